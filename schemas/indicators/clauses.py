"""The words that a definition is made of.

A clause holds or does not hold for a person on an as-of date. Leaves are read from the records; `AllOf`, `AnyOf`,
`Not` and `AtLeast` combine them. Clauses are values: two indicators that say the same name the same leaf, and it is
computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

Conditions: TypeAlias = tuple[tuple[str, tuple[str | bool, ...]], ...]
"""Columns, in alphabetical order, and the values that count in each."""


@dataclass(frozen=True)
class Period:
    """A length of time. Months are calendar months: 31 March less one month is the last day of February."""

    count: int
    unit: Literal["days", "months"]

    def __str__(self) -> str:
        """As it is written in a definition."""
        return f"{self.count} {self.unit if self.count != 1 else self.unit[:-1]}"


@dataclass(frozen=True)
class Bounds:
    """A number is at least `least` and below `below`; either may be open."""

    least: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        """The bounds in a few words."""
        parts = [f"from {self.least:g}"] if self.least is not None else []
        parts += [f"below {self.below:g}"] if self.below is not None else []
        return " ".join(parts)


@dataclass(frozen=True)
class Season:
    """A part of the year, both days in, as month and day; it may go on over New Year."""

    first: tuple[int, int]
    last: tuple[int, int]

    def __str__(self) -> str:
        """The season in a few words."""
        return f"{self.first[0]:02d}-{self.first[1]:02d} to {self.last[0]:02d}-{self.last[1]:02d}"


@dataclass(frozen=True)
class Follow:
    """Whether another event came, from so long until so long after a row, both days in, and by the as-of date.

    `rows` are the events that count, by table, codes and conditions. `wanted` says whether a row counts because one
    came or because none did.
    """

    rows: tuple["Events", ...]
    start: Period
    end: Period
    wanted: bool

    def __str__(self) -> str:
        """The relation in a few words."""
        word = "followed" if self.wanted else "not followed"
        return f"{word} {self.start} to {self.end} later by ({' or '.join(str(row) for row in self.rows)})"


@dataclass(frozen=True)
class Events:
    """The person has rows of a table that count on the as-of date.

    `codes` names code lists, `where` and `where_not` are conditions on columns (an empty value never meets a `where`
    and never fails a `where_not`); these say which rows are looked at. A row counts once its event date has come and,
    where given: `within` the period that ends on the as-of date (its first day is out), `begun_at_least` so long ago,
    in the `season` that is running or else was the last one, from the day on which the person reached `from_age` to
    the day of reaching `to_age`, `active` not ended before the as-of date, its `value` in the bounds, on the `latest`
    day of all rows that have begun, with no other row in the period `without_before` it, and with or without the
    `follow`. `at_least` so many rows are needed, or so many different values of `distinct`, or rows whose column adds
    up to a `total`.
    """

    table: str
    codes: tuple[str, ...] = ()
    where: Conditions = ()
    where_not: Conditions = ()
    within: Period | None = None
    begun_at_least: Period | None = None
    season: Season | None = None
    from_age: Period | None = None
    to_age: Period | None = None
    active: bool = False
    value: Bounds | None = None
    latest: bool = False
    without_before: Period | None = None
    follow: Follow | None = None
    at_least: int = 1
    distinct: Literal["code", "event_date"] | None = None
    total: tuple[str, int] | None = None

    @property
    def rows(self) -> "Events":
        """What is looked at: the table, codes and conditions alone."""
        return Events(self.table, self.codes, self.where, self.where_not)

    def __str__(self) -> str:
        """The clause in a few words; equal for equal clauses only."""
        things = f"{self.at_least} x {self.table}" if self.at_least > 1 else self.table
        parts = [f"{things} {' or '.join(self.codes)}".rstrip(), *_conditions(self.where, self.where_not)]
        parts += ["active"] if self.active else []
        parts += ["latest"] if self.latest else []
        parts += [f"value {self.value}"] if self.value else []
        parts += [f"within {self.within}"] if self.within else []
        parts += [f"begun at least {self.begun_at_least} before"] if self.begun_at_least else []
        parts += [f"in season {self.season}"] if self.season else []
        parts += [f"from age {self.from_age}"] if self.from_age else []
        parts += [f"to age {self.to_age}"] if self.to_age else []
        parts += [f"without another {self.without_before} before"] if self.without_before else []
        parts += [f"distinct {self.distinct}"] if self.distinct else []
        parts += [f"{self.total[0]} at least {self.total[1]} in all"] if self.total else []
        parts += [str(self.follow)] if self.follow else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Deadline:
    """What is asked on a day from `start` to `end` is due by the end of so many working days later.

    With 0 working days it is due the same day, or on the next working day where that day is none.
    """

    working_days: int
    start: date | None = None
    end: date | None = None

    def __str__(self) -> str:
        """The rule in a few words."""
        days = f"{self.working_days} working day{'s' if self.working_days != 1 else ''}"
        parts = [f"from {self.start}"] if self.start else []
        parts += [f"until {self.end}"] if self.end else []
        return " ".join([days, *parts])


@dataclass(frozen=True)
class Selected:
    """The person has a row, for the as-of date, in the result of a named SELECT, under the conditions given.

    `deadlines` are the dated rules of the definition; the SELECT sees them as a table `deadline`.
    """

    name: str
    where: Conditions = ()
    deadlines: tuple[Deadline, ...] = ()

    def __str__(self) -> str:
        """The clause in a few words."""
        due = [f"due in {'; '.join(str(rule) for rule in self.deadlines)}"] if self.deadlines else []
        return ", ".join([f"select {self.name}", *_conditions(self.where, ()), *due])


@dataclass(frozen=True)
class Gap:
    """The person's status of another indicator is open; or open or closed, which is `eligible`."""

    indicator: str
    status: Literal["open", "eligible"]

    def __str__(self) -> str:
        """The clause in a few words."""
        return f"{self.status} {self.indicator}"


@dataclass(frozen=True)
class Age:
    """The person's age in completed months is at least `from_months` and, where given, below `below_months`."""

    from_months: int = 0
    below_months: int | None = None

    def __str__(self) -> str:
        """The clause in a few words."""
        parts = [f"from {_age(self.from_months)}"] if self.from_months or self.below_months is None else []
        parts += [f"below {_age(self.below_months)}"] if self.below_months is not None else []
        return f"age {' '.join(parts)}"


@dataclass(frozen=True)
class Died:
    """The person died before the as-of date; on the day itself the person still counts as alive."""

    def __str__(self) -> str:
        """The clause in a few words."""
        return "died"


@dataclass(frozen=True)
class MovedAway:
    """The register knows where the person has lived, and none of it holds on the as-of date."""

    def __str__(self) -> str:
        """The clause in a few words."""
        return "moved away"


@dataclass(frozen=True)
class ResidentAtLeast:
    """The person has lived in the area without a break for the period or since birth.

    Who is of no known residence counts as having done so.
    """

    period: Period

    def __str__(self) -> str:
        """The clause in a few words."""
        return f"resident at least {self.period}"


Leaf: TypeAlias = Events | Selected | Gap | Age | Died | MovedAway | ResidentAtLeast


@dataclass(frozen=True)
class AllOf:
    """Every one of the clauses holds."""

    clauses: tuple["Clause", ...]


@dataclass(frozen=True)
class AnyOf:
    """One or more of the clauses hold."""

    clauses: tuple["Clause", ...]


@dataclass(frozen=True)
class AtLeast:
    """At least `count` of the clauses hold."""

    count: int
    clauses: tuple["Clause", ...]


@dataclass(frozen=True)
class Not:
    """The clause does not hold."""

    clause: "Clause"


Clause: TypeAlias = Leaf | AllOf | AnyOf | AtLeast | Not


def leaves(clause: Clause) -> Iterator[Leaf]:
    """The leaves of a clause, as often as they stand in it."""
    if isinstance(clause, Not):
        yield from leaves(clause.clause)
    elif isinstance(clause, AllOf | AnyOf | AtLeast):
        for part in clause.clauses:
            yield from leaves(part)
    else:
        yield clause


def age_reach(clause: Clause) -> tuple[int, int | None]:
    """Ages in completed months that a person can have for the clause to hold: from, and below (None: no end)."""
    if isinstance(clause, Age):
        return clause.from_months, clause.below_months
    if isinstance(clause, AllOf | AnyOf):
        reaches = [age_reach(part) for part in clause.clauses]
        starts, ends = [start for start, _ in reaches], [end for _, end in reaches]
        known = [end for end in ends if end is not None]
        if isinstance(clause, AllOf):
            return max(starts), min(known, default=None)
        return min(starts), max(known) if len(known) == len(ends) else None
    return 0, None


def _conditions(where: Conditions, where_not: Conditions) -> list[str]:
    def words(conditions: Conditions, verb: str) -> list[str]:
        return [f"{column} {verb} {' or '.join(str(value).lower() for value in v)}" for column, v in conditions]

    return words(where, "is") + words(where_not, "is not")


def _age(months: int) -> str:
    return str(Period(months, "months")) if months % 12 else f"{months // 12} years"
