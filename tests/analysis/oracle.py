"""The six first indicators once more, slowly and in plain Python: one person and one date at a time.

Written from the descriptions of the indicators, not from their definitions, and without anything of the engine.
"""

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

Record = Mapping[str, Any]
Records = Mapping[str, Sequence[Record]]
"""The rows of one person by table."""

CHRONIC = {
    "diabetes": (("icd10", ("E10", "E11", "E12", "E13", "E14")), ("icpc2", ("T89", "T90"))),
    "hypertension": (("icd10", ("I10", "I11", "I12", "I13", "I15")), ("icpc2", ("K86", "K87"))),
    "arteries": (
        ("icd10", ("I20", "I21", "I22", "I23", "I24", "I25", "I63", "I70", "I71", "I72", "I73", "G45")),
        ("icpc2", ("K74", "K75", "K76", "K89", "K90", "K91", "K92")),
    ),
    "heart": (("icd10", ("I50",)), ("icpc2", ("K77",))),
    "lungs": (("icd10", ("J44",)), ("icpc2", ("R95",))),
    "memory": (("icd10", ("F00", "F01", "F02", "F03", "G30")), ("icpc2", ("P70",))),
    "kidneys": (("icd10", ("N18",)),),
}


Parts = tuple[bool, list[tuple[str, bool]], bool, bool]
"""In the population, exclusions in order, closed, declined."""


def back(day: date, months: int) -> date:
    """So many months earlier, at the latest on the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def age_years(person: Record, day: date) -> int:
    """Completed years."""
    years = max(0, day.year - person["birth_date"].year - 1)
    return years + 1 if person["birth_date"] <= back(day, 12 * (years + 1)) else years


def is_counted(person: Record, records: Records, day: date) -> bool:
    """Born, and without an objection or a restriction of processing that has not been lifted."""
    objects = is_restricted(records, day, "objection", "processing_restriction")
    return bool(person["birth_date"] <= day) and not objects


def is_restricted(records: Records, day: date, *kinds: str) -> bool:
    """A restriction is known that has not ended before the day, whenever it began."""
    found = [r for r in valid(records, "restriction") if r["kind"] in kinds]
    return any(r.get("end_date") is None or r["end_date"] >= day for r in found)


def is_resident(person: Record, records: Records, day: date) -> bool:
    """Alive and living here."""
    died = person.get("death_date") is not None and person["death_date"] < day
    return not died and lives_here(records, day)


def area_of(records: Records, districts: Sequence[str], day: date) -> str:
    """The district, or unknown."""
    if is_restricted(records, day, "security_ban"):
        return "unknown"
    homes = [r for r in valid(records, "residence") if here_on(r, day)]
    if not homes:
        return "unknown"
    latest = max(r.get("from_date") or date.min for r in homes)
    codes = [r.get("area_code") for r in homes if (r.get("from_date") or date.min) == latest]
    known = [districts.index(code) for code in codes if code in districts]
    return districts[max(known)] if known else "unknown"


def status(indicator: str, person: Record, records: Records, day: date) -> str:
    """not_applicable, excluded: reason, declined, open or closed."""
    population, reasons, closed, declined = {
        "diabetes_hba1c_missing": diabetes_hba1c_missing,
        "hypertension_bp_missing": hypertension_bp_missing,
        "cvd_ldl_missing": cvd_ldl_missing,
        "mmr_missing_at_two": mmr_missing_at_two,
        "frail_no_contact": frail_no_contact,
        "provider_cancelled_not_rebooked": provider_cancelled_not_rebooked,
    }[indicator](person, records, day)  # fmt: skip
    if not is_counted(person, records, day) or not population:
        return "not_applicable"
    months = 6 if indicator == "mmr_missing_at_two" else 12
    first = [
        ("died", person.get("death_date") is not None and person["death_date"] < day),
        ("moved_away", not lives_here(records, day)),
        (f"resident_under_{months}_months", not lived_here_since(records, back(day, months), day)),
        ("palliative_care", in_service(records, "palliative_care", day) or has(records, day, (("icd10", ("Z51.5",)),))),
    ]
    for reason, holds in [*first, *reasons]:
        if holds:
            return f"excluded: {reason}"
    return "closed" if closed else "declined" if declined else "open"


def diabetes_hba1c_missing(person: Record, records: Records, day: date) -> Parts:
    long_ago = [d for d in valid(records, "diagnosis") if d["event_date"] <= back(day, 12)]
    sick = any(is_coded(d, (*CHRONIC["diabetes"], snomed("44054006", "46635009"))) and lasts(d, day) for d in long_ago)
    pregnant = any(
        is_coded(d, (("icd10", ("O24",)), ("icpc2", ("W85",)))) and back(day, 12) < d["event_date"] <= day
        for d in valid(records, "diagnosis")
    )
    reasons = [
        ("gestational_diabetes", pregnant),
        ("diabetes_in_remission", has(records, day, (snomed("703136005", "315051004"),))),
    ]
    measured = {("loinc", "4548-4"), ("loinc", "59261-8"), ("kuntaliitto", "6128")}
    return age_years(person, day) >= 16 and sick, reasons, is_measured(records, measured, day), False


def hypertension_bp_missing(person: Record, records: Records, day: date) -> Parts:
    sick = has(records, day, (*CHRONIC["hypertension"], snomed("38341003", "59621000")))
    return age_years(person, day) >= 18 and sick, [], is_measured(records, {("loinc", "8480-6")}, day), False


def cvd_ldl_missing(person: Record, records: Records, day: date) -> Parts:
    sick = has(records, day, (*CHRONIC["arteries"], snomed("53741008")))
    measured = is_measured(records, {("loinc", "18262-6"), ("loinc", "2089-1")}, day)
    return 18 <= age_years(person, day) <= 85 and sick, [], measured, False


def mmr_missing_at_two(person: Record, records: Records, day: date) -> Parts:
    two_years_old = back(day, 36) < person["birth_date"] <= back(day, 24)
    doses = [
        v
        for v in valid(records, "vaccination")
        if v["event_date"] <= day
        and ((v["code_system"] == "atc" and v["code"].startswith("J07BD")) or (v["code_system"], v["code"]) in CVX)
    ]
    given = any(v.get("status") in (None, "given") and person["birth_date"] <= back(v["event_date"], 11) for v in doses)
    contraindicated = any(v.get("status") == "contraindicated" for v in doses)
    refused = any(v.get("status") == "refused" for v in doses)
    return two_years_old, [("contraindication", contraindicated)], given, refused


CVX = {("cvx", "03"), ("cvx", "94")}


def frail_no_contact(person: Record, records: Records, day: date) -> Parts:
    contacts = [c for c in valid(records, "contact") if c["event_date"] <= day]
    extra = {
        "diabetes": snomed("44054006", "46635009"), "hypertension": snomed("38341003", "59621000"),
        "arteries": snomed("53741008"), "heart": snomed("84114007", "88805009"),
        "lungs": snomed("13645005", "185086009", "87433001"), "memory": snomed("52448006", "26929004"),
        "kidneys": snomed("709044004"),
    }  # fmt: skip
    diseases = sum(has(records, day, (*codes, extra[name])) for name, codes in CHRONIC.items())
    medicines = {
        (m["code_system"], m["code"]) for m in valid(records, "medication") if back(day, 12) < m["event_date"] <= day
    }
    emergency = any(c["channel"] == "emergency" and c["event_date"] > back(day, 24) for c in contacts)
    frail = in_service(records, "home_care", day) or diseases >= 2 or len(medicines) >= 10 or emergency
    seen = any(c["channel"] != "automated_message" and c["event_date"] > back(day, 12) for c in contacts)
    cared_for = in_service(records, "round_the_clock_care", day)
    return age_years(person, day) >= 75 and frail, [("round_the_clock_care", cared_for)], seen, False


def provider_cancelled_not_rebooked(person: Record, records: Records, day: date) -> Parts:
    appointments = valid(records, "appointment")
    population = needed = waiting = False
    for one in appointments:
        if one["status"] != "cancelled_by_provider" or one.get("reason") not in ("pandemic", "capacity"):
            continue
        cancelled = one.get("status_date") or one["event_date"]
        if not back(day, 24) < cancelled <= day - timedelta(days=90):
            continue
        population = True
        same = [a for a in appointments if a.get("specialty") == one.get("specialty")]
        ended = [
            a
            for a in same
            if a.get("reason") == "need_ended" and cancelled <= (a.get("status_date") or a["event_date"]) <= day
        ]
        if ended:
            continue
        needed = True
        waiting = waiting or not any(makes_good(a, cancelled, day) for a in same)
    return population, [("need_ended", not needed)], not waiting, False


def makes_good(appointment: Record, cancelled: date, day: date) -> bool:
    """Attended since the cancellation, or booked by the day and still ahead on it."""
    on, known = appointment["event_date"], appointment.get("status_date") or appointment["event_date"]
    if appointment["status"] == "attended" and cancelled <= on <= day:
        return True
    if (appointment.get("booked_date") or date.min) > day:
        return False
    if appointment["status"] in ("booked", "attended"):
        return bool(day <= on)
    return bool(day < on and day < known)


def valid(records: Records, table: str) -> list[Record]:
    """Rows that were not taken back."""
    return [r for r in records.get(table, ()) if not r.get("is_retracted")]


def lasts(record: Record, day: date) -> bool:
    """Begun and not ended before the day."""
    return bool(record["event_date"] <= day) and (record.get("end_date") is None or record["end_date"] >= day)


def here_on(residence: Record, day: date) -> bool:
    """The row holds on the day."""
    return (residence.get("from_date") or date.min) <= day <= (residence.get("to_date") or date.max)


def lives_here(records: Records, day: date) -> bool:
    """No residence is known at all, or one holds."""
    homes = valid(records, "residence")
    return not homes or any(here_on(r, day) for r in homes)


def lived_here_since(records: Records, first: date, day: date) -> bool:
    """Every day from the first to the last."""
    homes = [(r.get("from_date") or date.min, r.get("to_date") or date.max) for r in valid(records, "residence")]
    days = (first + timedelta(days=n) for n in range((day - first).days + 1))
    return not homes or all(any(start <= each <= end for start, end in homes) for each in days)


def in_service(records: Records, service: str, day: date) -> bool:
    """Has the service on the day."""
    return any(s["service"] == service and lasts(s, day) for s in valid(records, "service_period"))


def snomed(*codes: str) -> tuple[str, tuple[str, ...]]:
    """Codes of SNOMED."""
    return "snomed", codes


def is_coded(record: Record, codes: Sequence[tuple[str, tuple[str, ...]]]) -> bool:
    """The code is one of them, or below one of them in ICD-10 and ICPC-2."""
    for system, starts in codes:
        if record["code_system"] == system:
            return record["code"] in starts if system == "snomed" else record["code"].startswith(starts)
    return False


def has(records: Records, day: date, codes: Sequence[tuple[str, tuple[str, ...]]]) -> bool:
    """Has an active diagnosis of the codes on the day."""
    return any(is_coded(d, codes) and lasts(d, day) for d in valid(records, "diagnosis"))


def is_measured(records: Records, codes: set[tuple[str, str]], day: date) -> bool:
    """Measured within twelve months."""
    return any(
        (m["code_system"], m["code"]) in codes and back(day, 12) < m["event_date"] <= day
        for m in valid(records, "measurement")
    )
