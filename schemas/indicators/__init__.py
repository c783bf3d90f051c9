"""Care-gap indicators, one TOML file each: who is counted, what closes the gap, who is left out and why.

A new indicator is a new file here and its test cases, no code. The words of a definition are in `clauses`; reasons
for leaving people out that several indicators share are in exclusions.toml.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from schemas.codelists import CodeList, load_codelists, parse_toml, words_by_language
from schemas.errors import UsageRefused
from schemas.indicators.clauses import (
    Age,
    AllOf,
    AnyOf,
    AtLeast,
    Bounds,
    Clause,
    Deadline,
    Died,
    Events,
    Follow,
    Gap,
    Leaf,
    MovedAway,
    Not,
    Period,
    ResidentAtLeast,
    Season,
    Selected,
    age_reach,
    leaves,
)
from schemas.indicators.composites import compose, parse_composite
from schemas.indicators.parsing import parse_clause
from schemas.indicators.reading import Place, keys, parse_deadlines, parse_period

__all__ = [
    "SHARED_EXCLUSIONS", "Age", "AllOf", "AnyOf", "AtLeast", "Bounds", "Clause", "Deadline", "Died", "Events",
    "Exclusion", "Follow", "Gap", "Indicator", "Leaf", "MovedAway", "Not", "Part", "Period", "ResidentAtLeast",
    "Season", "Selected", "age_reach", "leaves", "load_indicators", "parse_exclusions", "parse_indicator",
]  # fmt: skip

SHARED_EXCLUSIONS = "exclusions.toml"
_TEXTS = ("source", "title", "target_group", "description")
"""What is told of an indicator in every language."""


@dataclass(frozen=True)
class Exclusion:
    """Why a person of the population is left out of the count; `label` by language."""

    reason: str
    label: Mapping[str, str]
    when: Clause

    @property
    def is_of_newcomers(self) -> bool:
        """It leaves out who has not lived here for long enough: whom nothing else leaves out is counted apart."""
        return isinstance(self.when, Not) and isinstance(self.when.clause, ResidentAtLeast)


@dataclass(frozen=True)
class Part:
    """One of several things that are asked for; `label` by language, `done` where the person has it."""

    name: str
    label: Mapping[str, str]
    done: Clause


@dataclass(frozen=True)
class Indicator:
    """One care gap.

    On an as-of date a person outside `population` is not counted. Of the others, the first exclusion that holds
    leaves the person out; else the gap is closed where `closed` holds, declined where `declined` does, and open
    otherwise. `grace` is how much later than the window the care may come before somebody should act; it moves neither
    the window nor the day by which the care is expected. `parts` are reported beside the status. `deadlines` are the
    rules of the definition that changed with time. A composite is counted from the statuses of its `components`. Its
    texts are by language.
    """

    id: str
    version: int
    source: Mapping[str, str]
    title: Mapping[str, str]
    target_group: Mapping[str, str]
    description: Mapping[str, str]
    population: Clause
    closed: Clause
    exclusions: tuple[Exclusion, ...]
    declined: Clause | None
    grace: Period | None
    parts: tuple[Part, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    components: tuple["Indicator", ...] = ()

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """Every clause of the definition."""
        declined = (self.declined,) if self.declined else ()
        reasons = (exclusion.when for exclusion in self.exclusions)
        return (self.population, *reasons, self.closed, *declined, *(part.done for part in self.parts))

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """What the definition reads from the records, each thing once, in the order in which it is named."""
        return tuple(dict.fromkeys(leaf for clause in self.clauses for leaf in leaves(clause)))

    @property
    def codelists(self) -> tuple[str, ...]:
        """Names of the code lists in use, in alphabetical order."""
        events = [leaf for leaf in self.leaves if isinstance(leaf, Events)]
        events += [row for leaf in events if leaf.follow for row in leaf.follow.rows]
        return tuple(sorted({name for leaf in events for name in leaf.codes}))


def load_indicators(
    folder: Path | None = None, codelists: Mapping[str, CodeList] | None = None
) -> dict[str, Indicator]:
    """Read every indicator of a folder by its id, in alphabetical order; the project's own by default.

    A folder without an exclusions.toml uses the project's. Raises UsageRefused with the file, the place and the mend.
    """
    known = load_codelists() if codelists is None else codelists
    place = folder or files(__name__)
    texts = {item.name: item.read_text("utf-8") for item in place.iterdir() if item.name.endswith(".toml")}
    own = files(__name__).joinpath(SHARED_EXCLUSIONS).read_text("utf-8")
    shared = parse_exclusions(SHARED_EXCLUSIONS, texts.pop(SHARED_EXCLUSIONS, own), known)
    ids = {file.removesuffix(".toml") for file in texts}
    found = [parse_indicator(file, texts[file], known, shared, ids) for file in sorted(texts)]
    by_id = {indicator.id: indicator for indicator in found}
    return {name: replace(one, components=_components(one, by_id)) for name, one in by_id.items()}


def parse_exclusions(file: str, text: str, codelists: Mapping[str, CodeList]) -> dict[str, Exclusion]:
    """Read shared reasons for leaving people out, by reason."""
    return _exclusions(parse_toml(file, text), Place(file, "", codelists))


def parse_indicator(
    file: str, text: str, codelists: Mapping[str, CodeList], shared: Mapping[str, Exclusion], ids: Collection[str]
) -> Indicator:
    """Read one indicator; a composite may name those of `ids`.

    Raises UsageRefused with the file, the place in it and the mend.
    """
    raw, place = parse_toml(file, text), Place(file, "", codelists)
    what = ("composite",) if "composite" in raw else ("population", "closed")
    required = ("id", "version", *_TEXTS, "exclusions", *what)
    keys(raw, (*required, "grace", "declined", "exclusion", "part", "deadline"), place)
    for key in required:
        if key not in raw:
            place.at(key).refuse("it is missing", "Add it")
    if f"{raw['id']}.toml" != file:
        place.at("id").refuse("it differs from the name of the file", "Name the file as the id, with .toml")
    if not isinstance(raw["version"], int) or isinstance(raw["version"], bool) or raw["version"] < 1:
        place.at("version").refuse("it must be a whole number of at least 1", "Raise it with every change of meaning")
    texts = {key: words_by_language(file, key, raw[key]) for key in _TEXTS}
    deadlines = parse_deadlines(raw["deadline"], place.at("deadline")) if "deadline" in raw else ()
    place = replace(place, deadlines=deadlines)
    parts = _parts(raw.get("part", {}), place.at("part"))
    place = replace(place, parts={part.name: part.done for part in parts})
    own = _exclusions(raw.get("exclusion", {}), place.at("exclusion"))
    if "composite" in raw:
        population, closed = compose(parse_composite(raw["composite"], place.at("composite"), ids))
    else:
        population = parse_clause(raw["population"], place.at("population"))
        closed = parse_clause(raw["closed"], place.at("closed"))
    return Indicator(
        id=raw["id"],
        version=raw["version"],
        source=texts["source"],
        title=texts["title"],
        target_group=texts["target_group"],
        description=texts["description"],
        population=population,
        closed=closed,
        exclusions=_in_order(raw["exclusions"], own, shared, place.at("exclusions")),
        declined=parse_clause(raw["declined"], place.at("declined")) if "declined" in raw else None,
        grace=parse_period(raw["grace"], place.at("grace")) if "grace" in raw else None,
        parts=parts,
        deadlines=deadlines,
    )


def _components(indicator: Indicator, by_id: Mapping[str, Indicator]) -> tuple[Indicator, ...]:
    names = dict.fromkeys(leaf.indicator for leaf in indicator.leaves if isinstance(leaf, Gap))
    place = Place(f"{indicator.id}.toml", "composite.of", {})
    for name in names:
        if any(isinstance(leaf, Gap) for leaf in by_id[name].leaves):
            place.refuse(f"{name} is a composite itself", "Name the indicators that it is made of")
    return tuple(by_id[name] for name in names)


def _parts(raw: Any, place: Place) -> tuple[Part, ...]:
    return tuple(
        Part(name, label, done) for name, label, done in _labelled(raw, "done", "Write [part.name] with", place)
    )


def _exclusions(raw: Any, place: Place) -> dict[str, Exclusion]:
    found = _labelled(raw, "when", "Write [exclusion.reason] with", place)
    return {reason: Exclusion(reason, label, when) for reason, label, when in found}


def _labelled(raw: Any, key: str, mend: str, place: Place) -> list[tuple[str, dict[str, str], Clause]]:
    """Named tables with a label in every language and a clause under `key`."""
    if not isinstance(raw, dict):
        place.refuse("it must hold tables", f"{mend} fi, sv, en and {key}")
    found = []
    for name, definition in raw.items():
        inner = place.at(name)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            inner.refuse("the name is not written as one", "Use small letters a to z, digits and _")
        if not isinstance(definition, dict) or key not in definition:
            inner.refuse("the clause is missing", f"Add {key} = {{ ... }}")
        label = words_by_language(place.file, inner.path, {k: v for k, v in definition.items() if k != key})
        found.append((name, label, parse_clause(definition[key], inner.at(key))))
    return found


def _in_order(
    raw: Any, own: Mapping[str, Exclusion], shared: Mapping[str, Exclusion], place: Place
) -> tuple[Exclusion, ...]:
    known = {**shared, **own}
    if not isinstance(raw, list):
        place.refuse("it must be a list of reasons", 'Write exclusions = ["died", ...], the first that holds counts')
    for number, reason in enumerate(raw, start=1):
        if not isinstance(reason, str) or reason not in known:
            place.at(number).refuse("the reason is unknown", f"Use {', '.join(known)}, or add [exclusion.reason]")
    if len(set(raw)) < len(raw):
        place.refuse("a reason stands twice", "Drop one")
    if idle := [reason for reason in own if reason not in raw]:
        raise UsageRefused(
            "the reason is defined and not used", "Name it in exclusions", table=place.file, column=idle[0]
        )
    return tuple(known[reason] for reason in raw)
