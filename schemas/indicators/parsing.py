"""From the TOML of a definition to clauses; what is wrong is said with the file, the place in it and the mend."""

import re
from collections.abc import Callable
from typing import Any, Literal

from schemas.indicators.clauses import (
    Age,
    AllOf,
    AnyOf,
    AtLeast,
    Clause,
    Died,
    MovedAway,
    Not,
    ResidentAtLeast,
    Selected,
)
from schemas.indicators.parsing_events import EVENT_KEYS, parse_events
from schemas.indicators.reading import Place, keys, parse_period, parse_values, parse_whole


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


def _several(key: str, raw: Any, place: Place) -> tuple[Clause, ...]:
    parts, inner = raw[key], place.at(key)
    if not isinstance(parts, list) or not parts:
        inner.refuse("it must be a list of clauses", "Add clauses to it")
    return tuple(parse_clause(part, inner.at(number)) for number, part in enumerate(parts, start=1))


def _at_least(raw: dict[str, Any], place: Place) -> Clause:
    parts = _several("of", raw, place)
    count = parse_whole(raw.get("at_least"), place.at("at_least"), 1)
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
        start = parse_whole(bounds.get("from", 0), inner.at("from"), 0)
        end = parse_whole(bounds["to"], inner.at("to"), start) if "to" in bounds else None
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
    found = sorted((column, parse_values(where[column], inner.at(column))) for column in where)
    return Selected(name, tuple(found), place.deadlines)


def _part(raw: dict[str, Any], place: Place) -> Clause:
    if raw["part"] not in place.parts:
        place.at("part").refuse("there is no such part", f"Use {', '.join(place.parts) or 'none'}, or add [part.name]")
    return place.parts[raw["part"]]


_CLAUSES: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any], Place], Clause]]] = {
    "all": ((), lambda raw, place: AllOf(_several("all", raw, place))),
    "any": ((), lambda raw, place: AnyOf(_several("any", raw, place))),
    "not": ((), lambda raw, place: Not(parse_clause(raw["not"], place.at("not")))),
    "of": (("at_least",), _at_least),
    "table": (EVENT_KEYS, parse_events),
    "age_years": ((), _age("years")),
    "age_months": ((), _age("months")),
    "died": ((), _flag("died", Died())),
    "moved_away": ((), _flag("moved_away", MovedAway())),
    "resident_at_least": (
        (),
        lambda raw, place: ResidentAtLeast(parse_period(raw["resident_at_least"], place.at("resident_at_least"))),
    ),
    "select": (("where",), _selected),
    "part": ((), _part),
}
"""What each kind of clause is told by, the further keys that it takes, and how it is read."""
