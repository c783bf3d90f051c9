"""The care gaps once more, slowly and in plain Python: one person and one date at a time.

Written from the descriptions of the indicators, not from their definitions, and without anything of the engine. Each
gap gives whether the person is in the population, its own exclusions in order, and whether it is closed or declined.
"""

from datetime import date, timedelta

from tests.analysis.oracle_records import (
    Record,
    Records,
    age_years,
    back,
    forward,
    has,
    in_service,
    in_window,
    is_coded,
    is_free,
    is_measured,
    lasts,
    snomed,
    some,
    valid,
)

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

HBA1C = {("loinc", "4548-4"), ("loinc", "59261-8"), ("kuntaliitto", "6128")}
LDL = {("loinc", "18262-6"), ("loinc", "2089-1")}


def diabetes(person: Record, records: Records, day: date) -> tuple[bool, list[tuple[str, bool]]]:
    """Of age and long enough ill, and the reasons for leaving out."""
    long_ago = [d for d in valid(records, "diagnosis") if d["event_date"] <= back(day, 12)]
    sick = any(is_coded(d, (*CHRONIC["diabetes"], snomed("44054006", "46635009"))) and lasts(d, day) for d in long_ago)
    pregnant = any(
        is_coded(d, (("icd10", ("O24",)), ("icpc2", ("W85",)))) and in_window(d, day, 12)
        for d in valid(records, "diagnosis")
    )
    reasons = [
        ("gestational_diabetes", pregnant),
        ("diabetes_in_remission", has(records, day, (snomed("703136005", "315051004"),))),
    ]
    return age_years(person, day) >= 16 and sick, reasons


def diabetes_hba1c_missing(person: Record, records: Records, day: date) -> Parts:
    return *diabetes(person, records, day), is_measured(records, HBA1C, day), False


def hypertension_bp_missing(person: Record, records: Records, day: date) -> Parts:
    sick = has(records, day, (*CHRONIC["hypertension"], snomed("38341003", "59621000")))
    return age_years(person, day) >= 18 and sick, [], has_pressure(records, day), False


def has_pressure(records: Records, day: date) -> bool:
    return is_measured(records, {("loinc", "8480-6")}, day) and is_measured(records, {("loinc", "8462-4")}, day)


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


def hba1c_high_no_followup(person: Record, records: Records, day: date) -> Parts:
    ill, reasons = diabetes(person, records, day)
    tests = [m for m in valid(records, "measurement") if (m["code_system"], m["code"]) in HBA1C]
    old = [m for m in tests if m["event_date"] <= back(day, 6)]
    if not ill or not old:
        return False, [], False, False
    last = max(m["event_date"] for m in old)
    high = any(m["event_date"] == last and m.get("value") is not None and m["value"] >= 75 for m in old)
    newer = any(last < m["event_date"] <= day for m in tests)
    codes = {("snomed", code) for code in ("170777000", "394725008", "134395001", "401191002", "134388005", "91161007")}
    seen = any(
        last < c["event_date"] <= forward(last, 6)
        and (c.get("service") == "diabetes_clinic" or (c.get("code_system"), c.get("code")) in codes)
        for c in valid(records, "contact")
    )
    return high and last > back(day, 18), reasons, newer or seen, False


def diabetes_annual_checks_incomplete(person: Record, records: Records, day: date) -> Parts:
    feet = {("snomed", "401191002"), ("snomed", "134388005"), ("snomed", "91161007")}
    ratio = {("loinc", "32294-1"), ("loinc", "9318-7"), ("loinc", "14959-1")}
    checks = [
        is_measured(records, HBA1C, day),
        has_pressure(records, day),
        is_measured(records, LDL, day),
        is_measured(records, {("loinc", "33914-3"), ("loinc", "62238-1")}, day) and is_measured(records, ratio, day),
        some(records, "contact", feet, day, 12),
        is_measured(records, {("loinc", "39156-5"), ("loinc", "72166-2")}, day),
    ]
    return *diabetes(person, records, day), sum(checks) >= 4, False


def cvd_statin_missing(person: Record, records: Records, day: date) -> Parts:
    sick = has(records, day, (*CHRONIC["arteries"], snomed("53741008")))
    taken = any(
        in_window(m, day, 6)
        and (
            (m["code_system"] == "atc" and m["code"].startswith(("C10AA", "C10AX", "C10BA", "C10BX")))
            or (m["code_system"] == "rxnorm" and m["code"] in ("259255", "312961", "314231"))
        )
        for m in valid(records, "medication")
    )
    unsuited = has(records, day, (("icd10", ("Y52.6",)), snomed("294971007", "294972000", "294973005")))
    return 18 <= age_years(person, day) <= 85 and sick, [("statin_intolerance", unsuited)], taken, False


def has_copd(person: Record, records: Records, day: date) -> bool:
    codes = (*CHRONIC["lungs"], snomed("13645005", "185086009", "87433001"))
    return age_years(person, day) >= 35 and has(records, day, codes)


def copd_spirometry_missing(person: Record, records: Records, day: date) -> Parts:
    blown = some(records, "measurement", {("loinc", "20150-9"), ("loinc", "19868-9"), ("loinc", "19926-5")}, day, 24)
    return has_copd(person, records, day), [], blown, False


def copd_influenza_vaccine_missing(person: Record, records: Records, day: date) -> Parts:
    autumn = day.year if day.month >= 10 else day.year - 1
    doses = [
        v
        for v in valid(records, "vaccination")
        if date(autumn, 10, 1) <= v["event_date"] <= min(day, date(autumn + 1, 3, 31))
        and ((v["code_system"] == "atc" and v["code"].startswith("J07BB")) or (v["code_system"], v["code"]) == FLU)
    ]
    given = any(v.get("status") in (None, "given") for v in doses)
    return has_copd(person, records, day), [], given, any(v.get("status") == "refused" for v in doses)


FLU = ("cvx", "140")


def psychosis_metabolic_check_missing(person: Record, records: Records, day: date) -> Parts:
    codes = (
        ("icd10", tuple(f"F{n}" for n in range(20, 32))), ("icpc2", ("P72", "P73")), snomed("58214004", "13746004"),
    )  # fmt: skip
    glucose = {("loinc", c) for c in ("14771-0", "14749-6", "15074-8", "1558-6", "2339-0", "2345-7")}
    lipids = {("loinc", c) for c in ("2093-3", "14647-2", "2085-9", "14646-4", "2571-8", "14927-8")}
    weighed = is_measured(records, {("loinc", "39156-5"), ("loinc", "8280-0"), ("loinc", "56086-2")}, day)
    sampled = is_measured(records, glucose | HBA1C, day) and is_measured(records, lipids | LDL, day)
    done = weighed and sampled and has_pressure(records, day)
    return age_years(person, day) >= 18 and has(records, day, codes), [], done, False


def child_health_check_missed(person: Record, records: Records, day: date) -> Parts:
    visits = [c for c in valid(records, "contact") if c.get("service") == "child_clinic" and c["event_date"] <= day]
    private = any(
        c.get("service") == "private_child_clinic" and c["event_date"] <= day for c in valid(records, "contact")
    )
    population, done = False, True
    for first, last in ((3, 5), (15, 21), (45, 54)):
        if is_months_old(person, day, last) and not is_months_old(person, day, last + 12):
            population = True
            done = any(
                c["channel"] in ("visit", "home")
                and is_months_old(person, c["event_date"], first)
                and is_up_to(person, c["event_date"], last)
                for c in visits
            )
    return population, [("private_follow_up", private)], done, False


def is_months_old(person: Record, day: date, months: int) -> bool:
    """Completed so many months by the day."""
    return bool(person["birth_date"] <= back(day, months))


def is_up_to(person: Record, day: date, months: int) -> bool:
    """Not older than on the day of completing so many months."""
    return bool(person["birth_date"] >= back(day, months))


def dementia_medicine_no_review(person: Record, records: Records, day: date) -> Parts:
    taken = [
        m
        for m in valid(records, "medication")
        if m["code_system"] == "atc" and m["code"].startswith("N06D") and in_window(m, day, 12)
    ]
    ill = has(records, day, (*CHRONIC["memory"], snomed("52448006", "26929004")))
    seen = any(
        in_window(c, day, 12)
        and c["channel"] in ("visit", "home")
        and (c.get("profession") == "doctor" or c.get("service") == "memory_clinic")
        for c in valid(records, "contact")
    )
    tested = is_measured(records, {("loinc", "72106-8")}, day)
    return age_years(person, day) >= 60 and (ill or len(taken) >= 2), [], seen or tested, False


def no_show_not_rebooked(person: Record, records: Records, day: date) -> Parts:
    appointments = valid(records, "appointment")
    missed = [a for a in appointments if a["status"] == "no_show" and in_window(a, day, 12)]
    if len(missed) < 2:
        return False, [], False, False
    last = max(a["event_date"] for a in missed)
    services = {a.get("service") for a in missed if a["event_date"] == last}
    rebooked = all(
        any(makes_good(a, last, day) for a in appointments if a.get("service") == service) for service in services
    )
    return last <= day - timedelta(days=60), [], rebooked, False


def callback_late(person: Record, records: Records, day: date) -> Parts:
    asked: dict[tuple[str | None, date], list[Record]] = {}
    for request in valid(records, "contact_request"):
        if in_window(request, day, 12):
            asked.setdefault((request.get("service"), request["event_date"]), []).append(request)
    counted = taken_back = late = 0
    for (_, on), requests in asked.items():
        meant = [r for r in requests if r.get("outcome") not in ("withdrawn", "duplicate")]
        answers = [
            r["answered_date"] for r in meant if r.get("outcome") in (None, "answered") and r.get("answered_date")
        ]
        if not meant:
            taken_back += 1
        elif due(on) <= day or (answers and min(answers) <= day):
            counted += 1
            late += not answers or min(answers) > due(on)
    return counted + taken_back > 0, [("withdrawn_or_duplicate", counted == 0)], late == 0, False


def due(asked: date) -> date:
    """The third working day after until August 2023, the same or the next working day from September 2023."""
    day = asked
    if asked >= date(2023, 9, 1):
        while is_free(day):
            day += timedelta(days=1)
        return day
    left = 3
    while left:
        day += timedelta(days=1)
        left -= not is_free(day)
    return day


def depression_no_followup(person: Record, records: Records, day: date) -> Parts:
    codes = (("icd10", ("F32", "F33")), ("icpc2", ("P76",)), snomed("35489007", "370143000", "36923009"))
    ill = [d["event_date"] for d in valid(records, "diagnosis") if is_coded(d, codes)]
    medicine = [
        m["event_date"]
        for m in valid(records, "medication")
        if m["code_system"] == "atc" and m["code"].startswith("N06A")
    ]
    contacts = [c["event_date"] for c in valid(records, "contact") if c["channel"] != "automated_message"]
    starts = [
        d
        for dates in (ill, medicine)
        for d in dates
        if not any(back(d, 12) < other < d for other in dates) and back(day, 12) < d <= day - timedelta(days=56)
    ]
    followed = all(any(10 <= (c - d).days <= 56 for c in contacts) for d in starts)
    return bool(starts), [("specialist_care", in_service(records, "specialist_care", day))], followed, False


def substance_use_no_followup(person: Record, records: Records, day: date) -> Parts:
    codes = (
        ("icd10", ("F10", "F11", "F12", "F13", "F14", "F15", "F16", "F18", "F19")),
        ("icpc2", ("P15", "P16", "P18", "P19")),
        snomed("7200002", "66590003", "191816009"),
    )
    limit = day - timedelta(days=30)
    ill = [d["event_date"] for d in valid(records, "diagnosis") if is_coded(d, codes) and d["event_date"] <= limit]
    detox = [
        c["event_date"]
        for c in valid(records, "contact")
        if (c.get("code_system"), c.get("code")) == ("snomed", "56876005") and c["event_date"] <= limit
    ]
    contacts = [
        c["event_date"]
        for c in valid(records, "contact")
        if c.get("service") == "substance_services" and c["channel"] != "automated_message"
    ]
    latest = [(max(dates), least) for dates, least in ((ill, 0), (detox, 1)) if dates and max(dates) > back(day, 12)]
    followed = all(any(least <= (c - d).days <= 30 for c in contacts) for d, least in latest)
    return age_years(person, day) >= 16 and bool(latest), [], followed, False


def opioid_no_review(person: Record, records: Records, day: date) -> Parts:
    supply = sum(
        m.get("days_supplied") or 0
        for m in valid(records, "medication")
        if day - timedelta(days=180) < m["event_date"] <= day
        and (
            (m["code_system"] == "atc" and m["code"].startswith("N02A"))
            or (m["code_system"], m["code"]) in (("rxnorm", "1049625"), ("rxnorm", "857005"))
        )
    )
    malignant = ("icpc2", tuple(
        "A79 B72 B73 B74 D74 D75 D76 D77 L71 N74 R84 R85 S77 T71 U75 U76 U77 W72 X75 X76 X77 Y77 Y78".split()
    ))  # fmt: skip
    reasons = [
        ("cancer", has(records, day, (("icd10", ("C",)), malignant))),
        ("intractable_pain", has(records, day, (("icd10", ("R52.1",)),))),
    ]
    reviewed = any(
        in_window(c, day, 6)
        and c.get("profession") == "doctor"
        and (c.get("code_system"), c.get("code")) == ("snomed", "182836005")
        for c in valid(records, "contact")
    )
    return age_years(person, day) >= 18 and supply >= 90, reasons, reviewed, False


GAPS = {
    gap.__name__: gap
    for gap in (
        callback_late, child_health_check_missed, copd_influenza_vaccine_missing, copd_spirometry_missing,
        cvd_ldl_missing, cvd_statin_missing, dementia_medicine_no_review, depression_no_followup,
        diabetes_annual_checks_incomplete, diabetes_hba1c_missing, frail_no_contact, hba1c_high_no_followup,
        hypertension_bp_missing, mmr_missing_at_two, no_show_not_rebooked, opioid_no_review,
        provider_cancelled_not_rebooked, psychosis_metabolic_check_missing, substance_use_no_followup,
    )
}  # fmt: skip
