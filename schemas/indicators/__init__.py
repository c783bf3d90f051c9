"""Care-gap indicators, one TOML file each: who is counted, what closes the gap, who is left out and why.

A new indicator is a new file here and its test cases, no code. The words of a definition are in `clauses`; reasons
for leaving people out that several indicators share are in exclusions.toml.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
    Clause,
    Died,
    Events,
    Leaf,
    MovedAway,
    Not,
    Period,
    ResidentAtLeast,
    Selected,
    age_reach,
    leaves,
)
from schemas.indicators.parsing import Place, keys, parse_clause, parse_period

__all__ = [
    "SHARED_EXCLUSIONS", "Age", "AllOf", "AnyOf", "AtLeast", "Clause", "Died", "Events", "Exclusion", "Indicator",
    "Leaf", "MovedAway", "Not", "Period", "ResidentAtLeast", "Selected", "age_reach", "leaves", "load_indicators",
    "parse_exclusions", "parse_indicator",
]  # fmt: skip

SHARED_EXCLUSIONS = "exclusions.toml"


@dataclass(frozen=True)
class Exclusion:
    """Why a person of the population is left out of the count; `label` by language."""

    reason: str
    label: Mapping[str, str]
    when: Clause


@dataclass(frozen=True)
class Indicator:
    """One care gap.

    On an as-of date a person outside `population` is not counted. Of the others, the first exclusion that holds
    leaves the person out; else the gap is closed where `closed` holds, declined where `declined` does, and open
    otherwise. `grace` is how much later than the window the care may come before somebody should act; it does not
    move the window. Titles and descriptions are by language.
    """

    id: str
    version: int
    title: Mapping[str, str]
    description: Mapping[str, str]
    source: str
    population: Clause
    closed: Clause
    exclusions: tuple[Exclusion, ...]
    declined: Clause | None
    grace: Period | None

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """Every clause of the definition."""
        declined = (self.declined,) if self.declined else ()
        return (self.population, *(exclusion.when for exclusion in self.exclusions), self.closed, *declined)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """What the definition reads from the records, each thing once, in the order in which it is named."""
        return tuple(dict.fromkeys(leaf for clause in self.clauses for leaf in leaves(clause)))

    @property
    def codelists(self) -> tuple[str, ...]:
        """Names of the code lists in use, in alphabetical order."""
        return tuple(sorted({name for leaf in self.leaves if isinstance(leaf, Events) for name in leaf.codes}))


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
    found = [parse_indicator(file, texts[file], known, shared) for file in sorted(texts)]
    return {indicator.id: indicator for indicator in found}


def parse_exclusions(file: str, text: str, codelists: Mapping[str, CodeList]) -> dict[str, Exclusion]:
    """Read shared reasons for leaving people out, by reason."""
    return _exclusions(parse_toml(file, text), Place(file, "", codelists))


def parse_indicator(
    file: str, text: str, codelists: Mapping[str, CodeList], shared: Mapping[str, Exclusion]
) -> Indicator:
    """Read one indicator. Raises UsageRefused with the file, the place in it and the mend."""
    raw, place = parse_toml(file, text), Place(file, "", codelists)
    required = ("id", "version", "source", "title", "description", "population", "closed", "exclusions")
    keys(raw, (*required, "grace", "declined", "exclusion"), place)
    for key in required:
        if key not in raw:
            place.at(key).refuse("it is missing", "Add it")
    if f"{raw['id']}.toml" != file:
        place.at("id").refuse("it differs from the name of the file", "Name the file as the id, with .toml")
    if not isinstance(raw["version"], int) or isinstance(raw["version"], bool) or raw["version"] < 1:
        place.at("version").refuse("it must be a whole number of at least 1", "Raise it with every change of meaning")
    if not isinstance(raw["source"], str) or not raw["source"].strip():
        place.at("source").refuse("it is empty", "Say which guideline or rule the definition follows")
    own = _exclusions(raw.get("exclusion", {}), place.at("exclusion"))
    return Indicator(
        id=raw["id"],
        version=raw["version"],
        title=words_by_language(file, "title", raw["title"]),
        description=words_by_language(file, "description", raw["description"]),
        source=raw["source"],
        population=parse_clause(raw["population"], place.at("population")),
        closed=parse_clause(raw["closed"], place.at("closed")),
        exclusions=_in_order(raw["exclusions"], own, shared, place.at("exclusions")),
        declined=parse_clause(raw["declined"], place.at("declined")) if "declined" in raw else None,
        grace=parse_period(raw["grace"], place.at("grace")) if "grace" in raw else None,
    )


def _exclusions(raw: Any, place: Place) -> dict[str, Exclusion]:
    if not isinstance(raw, dict):
        place.refuse("exclusions must be tables", "Write [exclusion.reason] with fi, sv, en and when")
    found = {}
    for reason, definition in raw.items():
        inner = place.at(reason)
        if not isinstance(definition, dict) or "when" not in definition:
            inner.refuse("the clause is missing", "Add when = { ... }")
        label = words_by_language(place.file, inner.path, {k: v for k, v in definition.items() if k != "when"})
        found[reason] = Exclusion(reason, label, parse_clause(definition["when"], inner.at("when")))
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
