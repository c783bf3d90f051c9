"""The status of one person on one date once more, slowly and in plain Python; the gaps are in `oracle_gaps`."""

from collections.abc import Sequence
from datetime import date

from tests.analysis.oracle_gaps import GAPS
from tests.analysis.oracle_records import (
    Record,
    Records,
    age_years,
    back,
    has,
    here_on,
    in_service,
    is_measured,
    lived_here_since,
    lives_here,
    valid,
)

__all__ = [
    "Record", "Records", "age_years", "area_of", "back", "is_counted", "is_measured", "is_resident", "lives_here",
    "statuses", "valid",
]  # fmt: skip


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


def statuses(person: Record, records: Records, day: date) -> dict[str, str]:
    """By indicator: not_applicable, excluded: reason, declined, open or closed."""
    records = {table: valid(records, table) for table in records}
    if not is_counted(person, records, day):
        return dict.fromkeys((*GAPS, "multiple_gaps"), "not_applicable")
    common = common_reasons(person, records, day)
    found = {}
    for name, gap in GAPS.items():
        population, own, closed, declined = gap(person, records, day)
        reasons = [*(common[reason] for reason in REASONS.get(name, REASONS["others"])), *own]
        first = next((reason for reason, holds in reasons if holds), None)
        word = f"excluded: {first}" if first else "closed" if closed else "declined" if declined else "open"
        found[name] = word if population else "not_applicable"
    return {**found, "multiple_gaps": multiple_gaps(found)}


REASONS = {
    "callback_late": ("died", "moved_away"),
    "mmr_missing_at_two": ("died", "moved_away", "6", "palliative_care"),
    "others": ("died", "moved_away", "12", "palliative_care"),
}


def common_reasons(person: Record, records: Records, day: date) -> dict[str, tuple[str, bool]]:
    """Reasons for leaving people out that the gaps share."""
    ever = lived_here_from_birth(person, records, day)
    new = {months: not (lived_here_since(records, back(day, months), day) or ever) for months in (6, 12)}
    palliative = in_service(records, "palliative_care", day) or has(records, day, (("icd10", ("Z51.5",)),))
    return {
        "died": ("died", person.get("death_date") is not None and person["death_date"] < day),
        "moved_away": ("moved_away", not lives_here(records, day)),
        "6": ("resident_under_6_months", new[6]),
        "12": ("resident_under_12_months", new[12]),
        "palliative_care": ("palliative_care", palliative),
    }


def lived_here_from_birth(person: Record, records: Records, day: date) -> bool:
    """Every day since the last of the month of birth, or since a day in it."""
    first = person["birth_date"]
    return any(
        lived_here_since(records, r["from_date"], day)
        for r in valid(records, "residence")
        if r.get("from_date")
        and r["from_date"] <= day
        and (r["from_date"].year, r["from_date"].month) <= (first.year, first.month)
    )


SAME = (
    {"diabetes_hba1c_missing", "hba1c_high_no_followup", "diabetes_annual_checks_incomplete"},
    {"cvd_ldl_missing", "cvd_statin_missing"},
    {"copd_spirometry_missing", "copd_influenza_vaccine_missing"},
)


def multiple_gaps(found: dict[str, str]) -> str:
    """Two open gaps, those of one disease counted once; call-backs are no gaps of care."""
    words = {name: word for name, word in found.items() if name != "callback_late"}
    if not any(word in ("open", "closed") for word in words.values()):
        return "not_applicable"
    gaps = {next((n for n, one in enumerate(SAME) if name in one), name) for name, w in words.items() if w == "open"}
    return "open" if len(gaps) >= 2 else "closed"
