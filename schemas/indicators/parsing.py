"""From the TOML of a definition to clauses; what is wrong is said with the file, the place in it and the mend."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from schemas.codelists import CodeList
from schemas.errors import UsageRefused
from schemas.indicators.clauses import (
    Age,
    AllOf,
    AnyOf,
    AtLeast,
    Clause,
    Conditions,
    Died,
    Events,
    MovedAway,
    Not,
    Period,
    ResidentAtLeast,
    Selected,
)
from schemas.table import Kind, Table
from schemas.tables import TABLES


@dataclass(frozen=True)
class Place:
    """Where in which file something stands, such as `population.all[2]`, and the code lists that it may use."""

    file: str
    path: str
    codelists: Mapping[str, CodeList]

    def at(self, step: str | int) -> "Place":
        """A place inside this one; items of a list count from 1."""
        inner = f"{self.path}[{step}]" if isinstance(step, int) else f"{self.path}.{step}".lstrip(".")
        return Place(self.file, inner, self.codelists)

    def refuse(self, rule: str, mend: str) -> NoReturn:
        """Stop, naming the place."""
        raise UsageRefused(rule, mend, table=self.file, column=self.path or None)


def parse_clause(raw: Any, place: Place) -> Clause:
    """Read one clause, with all clauses inside it. Raises UsageRefused with the file, the place and the mend."""
    if not isinstance(raw, dict):
        place.refuse("a clause must be a table", 'Write it as { table = "...", ... }')
    kinds = [kind for kind in _CLAUSES if kind in raw]
    if len(kinds) != 1:
        place.refuse("the kind of clause is not clear", f"Use exactly one of {', '.join(_CLAUSES)}")
    allowed, parse = _CLAUSES[kinds[0]]
    keys(raw, (kinds[0], *allowed), place)
    return parse(raw, place)


def keys(raw: Mapping[str, Any], allowed: tuple[str, ...], place: Place) -> None:
    """Refuse a key that nothing reads: it would silently mean nothing."""
    for key in raw:
        if key not in allowed:
            place.at(key).refuse("the key is unknown", f"Use {', '.join(allowed)}")


def parse_period(raw: Any, place: Place) -> Period:
    """Read a length of time such as "12 months"."""
    found = re.fullmatch(r"([1-9]\d{0,3}) (day|week|month|year)s?", raw) if isinstance(raw, str) else None
    if not found:
        place.refuse("it is not a length of time", 'Write a number and days, weeks, months or years: "12 months"')
    count, unit = int(found[1]), found[2]
    return Period(count * (7 if unit == "week" else 1), "days") if unit in ("day", "week") else _months(count, unit)


def _months(count: int, unit: str) -> Period:
    return Period(count * (12 if unit == "year" else 1), "months")


def _several(key: str, raw: Any, place: Place) -> tuple[Clause, ...]:
    parts, inner = raw[key], place.at(key)
    if not isinstance(parts, list) or not parts:
        inner.refuse("it must be a list of clauses", "Add clauses to it")
    return tuple(parse_clause(part, inner.at(number)) for number, part in enumerate(parts, start=1))


def _whole(raw: Any, place: Place, least: int) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < least:
        place.refuse(f"it must be a whole number of at least {least}", "Correct it")
    return raw


def _at_least(raw: dict[str, Any], place: Place) -> Clause:
    parts = _several("of", raw, place)
    count = _whole(raw.get("at_least"), place.at("at_least"), 1)
    if count > len(parts):
        place.at("at_least").refuse("it is more than the clauses there are", "Lower it or add clauses")
    return AtLeast(count, parts)


def _age(unit: Literal["years", "months"]) -> Callable[[dict[str, Any], Place], Clause]:
    def parse(raw: dict[str, Any], place: Place) -> Clause:
        inner, bounds = place.at(f"age_{unit}"), raw[f"age_{unit}"]
        if not isinstance(bounds, dict) or not bounds:
            inner.refuse(
                "an age needs its bounds", "Write { from = 16, to = 85 }; both ages are in, one may be left out"
            )
        keys(bounds, ("from", "to"), inner)
        size = 12 if unit == "years" else 1
        start = _whole(bounds.get("from", 0), inner.at("from"), 0)
        end = _whole(bounds["to"], inner.at("to"), start) if "to" in bounds else None
        return Age(start * size, None if end is None else (end + 1) * size)

    return parse


def _flag(key: str, clause: Clause) -> Callable[[dict[str, Any], Place], Clause]:
    def parse(raw: dict[str, Any], place: Place) -> Clause:
        if raw[key] is not True:
            place.at(key).refuse("it can only be true", f"Write {{ not = {{ {key} = true }} }} for the opposite")
        return clause

    return parse


def _selected(raw: dict[str, Any], place: Place) -> Clause:
    name = raw["select"]
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        place.at("select").refuse("it is not the name of a SELECT", "Name a file of transforms/analysis/sql")
    inner, where = place.at("where"), raw.get("where", {})
    if not isinstance(where, dict):
        inner.refuse("conditions must be a table", "Write { column = value }")
    return Selected(name, tuple(sorted((column, _values(where[column], inner.at(column))) for column in where)))


def _events(raw: dict[str, Any], place: Place) -> Clause:
    table = TABLES.get(raw["table"]) if isinstance(raw["table"], str) else None
    dated = [name for name, known in TABLES.items() if "event_date" in known.names]
    if table is None or table.name not in dated:
        place.at("table").refuse("there is no such table of events", f"Use one of {', '.join(dated)}")
    active, distinct = raw.get("active", False), raw.get("distinct")
    if not isinstance(active, bool) or (active and "end_date" not in table.names):
        place.at("active").refuse("it must be true or false, and the table must have an end_date", "Correct it")
    if distinct not in (None, "code", "code_list", "event_date") or (distinct == "code" and "code" not in table.names):
        place.at("distinct").refuse("it is nothing that can be told apart", "Use code, code_list or event_date")
    at_least = _whole(raw.get("at_least", 1), place.at("at_least"), 1)
    if distinct and at_least == 1:
        place.at("distinct").refuse("it says nothing without at_least", "Add at_least = 2 or more")

    def period(key: str) -> Period | None:
        return parse_period(raw[key], place.at(key)) if key in raw else None

    from_age = period("from_age")
    if from_age and from_age.unit != "months":
        place.at("from_age").refuse("an age is counted in months or years", "Correct it")
    codes = _codes(raw["codes"], table, place.at("codes")) if "codes" in raw else ()

    def events(codes: tuple[str, ...]) -> Events:
        return Events(
            table=table.name,
            codes=codes,
            where=_conditions(raw.get("where", {}), table, place.at("where")),
            where_not=_conditions(raw.get("where_not", {}), table, place.at("where_not")),
            within=period("within"),
            begun_at_least=period("begun_at_least"),
            from_age=from_age,
            active=active,
            at_least=1 if distinct == "code_list" else at_least,
            distinct=None if distinct == "code_list" else cast("Literal['code', 'event_date'] | None", distinct),
        )

    if distinct != "code_list":
        return events(codes)
    if at_least > len(codes):
        place.at("at_least").refuse("it is more than the code lists there are", "Lower it or name more code lists")
    return AtLeast(at_least, tuple(events((name,)) for name in codes))


def _codes(raw: Any, table: Table, place: Place) -> tuple[str, ...]:
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not names:
        place.refuse("it names no code list", 'Write codes = ["name"], a file of schemas/codelists')
    systems = table.column("code_system").terms if "code_system" in table.names else ()
    for name in names:
        codelist = place.codelists.get(name) if isinstance(name, str) else None
        if codelist is None:
            place.refuse("there is no such code list", f"Use one of {', '.join(sorted(place.codelists))}, or add it")
        if not set(codelist.codes) & set(systems):
            place.refuse(f"no code of {name} can stand in {table.name}", f"Add codes of {', '.join(systems) or 'none'}")
    if len(set(names)) < len(names):
        place.refuse("a code list stands twice", "Drop one")
    return tuple(sorted(names))


def _conditions(raw: Any, table: Table, place: Place) -> Conditions:
    if not isinstance(raw, dict):
        place.refuse("conditions must be a table", 'Write { column = "value" }')
    columns = [c for c in table.platform_columns if c.kind is Kind.CODE and c.name not in ("code", "code_system")]
    conditions = {}
    for name in sorted(raw):
        column = next((column for column in columns if column.name == name), None)
        if column is None:
            known = ", ".join(column.name for column in columns)
            place.at(name).refuse(f"{table.name} has no such column of terms", f"Use one of {known}")
        conditions[name] = _values(raw[name], place.at(name))
        if any(isinstance(value, bool) for value in conditions[name]):
            place.at(name).refuse("the values must be texts", "Quote them")
        if column.terms and not set(conditions[name]) <= set(column.terms):
            place.at(name).refuse("the term is unknown", f"Use {', '.join(column.terms)}")
    return tuple(conditions.items())


def _values(raw: Any, place: Place) -> tuple[str | bool, ...]:
    values = raw if isinstance(raw, list) else [raw]
    for value in values:
        if not isinstance(value, bool) and not (isinstance(value, str) and re.fullmatch(r"[\w.:/-]+", value)):
            place.refuse("the values must be words without spaces, or true or false", "Correct them")
    if not values:
        place.refuse("there is no value", "Add one or drop the column")
    return tuple(sorted(set(values), key=str))


_EVENT_KEYS = (
    "codes", "where", "where_not", "within", "begun_at_least", "from_age", "active", "at_least", "distinct",
)  # fmt: skip
_CLAUSES: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any], Place], Clause]]] = {
    "all": ((), lambda raw, place: AllOf(_several("all", raw, place))),
    "any": ((), lambda raw, place: AnyOf(_several("any", raw, place))),
    "not": ((), lambda raw, place: Not(parse_clause(raw["not"], place.at("not")))),
    "of": (("at_least",), _at_least),
    "table": (_EVENT_KEYS, _events),
    "age_years": ((), _age("years")),
    "age_months": ((), _age("months")),
    "died": ((), _flag("died", Died())),
    "moved_away": ((), _flag("moved_away", MovedAway())),
    "resident_at_least": (
        (),
        lambda raw, place: ResidentAtLeast(parse_period(raw["resident_at_least"], place.at("resident_at_least"))),
    ),
    "select": (("where",), _selected),
}
"""What each kind of clause is told by, the further keys that it takes, and how it is read."""
