"""Where in a definition something stands, and the small values in it: keys, numbers, words, periods and days."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Any, NoReturn

from schemas.codelists import CodeList
from schemas.errors import UsageRefused
from schemas.indicators.clauses import Clause, Deadline, Period


@dataclass(frozen=True)
class Place:
    """Where in which file something stands, such as `population.all[2]`, and what it may name.

    Code lists by name, the parts and the deadlines that the same file declares.
    """

    file: str
    path: str
    codelists: Mapping[str, CodeList]
    parts: Mapping[str, Clause] = field(default_factory=dict)
    deadlines: tuple[Deadline, ...] = ()

    def at(self, step: str | int) -> "Place":
        """A place inside this one; items of a list count from 1."""
        inner = f"{self.path}[{step}]" if isinstance(step, int) else f"{self.path}.{step}".lstrip(".")
        return replace(self, path=inner)

    def refuse(self, rule: str, mend: str) -> NoReturn:
        """Stop, naming the place."""
        raise UsageRefused(rule, mend, table=self.file, column=self.path or None)


def keys(raw: Mapping[str, Any], allowed: tuple[str, ...], place: Place) -> None:
    """Refuse a key that nothing reads: it would silently mean nothing."""
    for key in raw:
        if key not in allowed:
            place.at(key).refuse("the key is unknown", f"Use {', '.join(allowed)}")


def parse_period(raw: Any, place: Place, least: int = 1) -> Period:
    """Read a length of time such as "12 months"."""
    found = re.fullmatch(r"(0|[1-9]\d{0,3}) (day|week|month|year)s?", raw) if isinstance(raw, str) else None
    if not found or int(found[1]) < least:
        place.refuse("it is not a length of time", 'Write a number and days, weeks, months or years: "12 months"')
    count, unit = int(found[1]), found[2]
    return Period(count * (7 if unit == "week" else 1), "days") if unit in ("day", "week") else _months(count, unit)


def _months(count: int, unit: str) -> Period:
    return Period(count * (12 if unit == "year" else 1), "months")


def parse_whole(raw: Any, place: Place, least: int) -> int:
    """Read a whole number."""
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < least:
        place.refuse(f"it must be a whole number of at least {least}", "Correct it")
    return raw


def parse_values(raw: Any, place: Place) -> tuple[str | bool, ...]:
    """Read one or more words, or true or false."""
    values = raw if isinstance(raw, list) else [raw]
    for value in values:
        if not isinstance(value, bool) and not (isinstance(value, str) and re.fullmatch(r"[\w.:/-]+", value)):
            place.refuse("the values must be words without spaces, or true or false", "Correct them")
    if not values:
        place.refuse("there is no value", "Add one or drop the column")
    return tuple(sorted(set(values), key=str))


def parse_number(raw: Any, place: Place) -> float:
    """Read a number, whole or not."""
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        place.refuse("it must be a number", "Correct it")
    return float(raw)


def parse_deadlines(raw: Any, place: Place) -> tuple[Deadline, ...]:
    """Read a dated table of deadlines: in order of time, one beginning the day after the other ends."""
    if not isinstance(raw, list) or not raw:
        place.refuse("it must be a list of tables", "Write [[deadline]] with working_days and from or until")
    found: list[Deadline] = []
    for number, rule in enumerate(raw, start=1):
        inner = place.at(number)
        if not isinstance(rule, dict):
            inner.refuse("a deadline must be a table", "Write [[deadline]] with working_days")
        keys(rule, ("from", "until", "working_days"), inner)
        for key in ("from", "until"):
            if key in rule and type(rule[key]) is not date:
                inner.at(key).refuse("it is not a day", "Write it without quotes: 2023-08-31")
        days = parse_whole(rule.get("working_days"), inner.at("working_days"), 0)
        found.append(Deadline(days, rule.get("from"), rule.get("until")))
    if found[0].start or found[-1].end:
        place.refuse("days are without a deadline", "Leave from out of the first and until out of the last")
    for number, (one, after) in enumerate(pairwise(found), start=2):
        if one.end is None or after.start is None or (after.start - one.end).days != 1:
            place.at(number).refuse("it does not follow the one before", "Begin it the day after that one ends")
    return tuple(found)
