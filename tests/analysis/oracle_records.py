"""What the oracle asks of the rows of one person, in plain Python."""

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

Record = Mapping[str, Any]
Records = Mapping[str, Sequence[Record]]
"""The rows of one person by table."""


def back(day: date, months: int) -> date:
    """So many months earlier, at the latest on the last day of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def age_years(person: Record, day: date) -> int:
    """Completed years."""
    years = max(0, day.year - person["birth_date"].year - 1)
    return years + 1 if person["birth_date"] <= back(day, 12 * (years + 1)) else years


def forward(day: date, months: int) -> date:
    """So many months later, at the latest on the last day of that month."""
    return back(day, -months)


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
    reached = first
    while homes and reached <= day:
        ends = [end for start, end in homes if start <= reached <= end]
        if not ends:
            return False
        if max(ends) >= day:
            return True
        reached = max(ends) + timedelta(days=1)
    return True


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


def in_window(record: Record, day: date, months: int) -> bool:
    """The event came in the months that end on the day."""
    return bool(back(day, months) < record["event_date"] <= day)


def some(records: Records, table: str, codes: set[tuple[str, str]], day: date, months: int) -> bool:
    """A row with one of these very codes came in the months that end on the day."""
    return any(
        (r.get("code_system"), r.get("code")) in codes and in_window(r, day, months) for r in valid(records, table)
    )


def is_free(day: date) -> bool:
    """A Saturday, a Sunday or a Finnish holiday, Midsummer Eve and Christmas Eve among them."""
    if day.weekday() >= 5 or (day.month, day.day) in ((1, 1), (1, 6), (5, 1), (12, 6), (12, 24), (12, 25), (12, 26)):
        return True
    midsummer_eve = next(d for d in (date(day.year, 6, n) for n in range(19, 26)) if d.weekday() == 4)
    easter = easter_sunday(day.year)
    return day == midsummer_eve or (day - easter).days in (-2, 1, 39)


def easter_sunday(year: int) -> date:
    """Easter by the anonymous Gregorian rule."""
    a, b, c = year % 19, year // 100, year % 100
    d, e, f = b // 4, b % 4, (b + 8) // 25
    h = (19 * a + b - d - (b - f + 1) // 3 + 15) % 30
    i, k = c // 4, c % 4
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)
