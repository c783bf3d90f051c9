"""Indicators that are counted from the statuses of others."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from schemas.indicators.clauses import AnyOf, AtLeast, Clause, Gap, Not
from schemas.indicators.reading import Place, keys, parse_whole


@dataclass(frozen=True)
class Composite:
    """At least `at_least` open gaps of the indicators `of`; those of one group of `once` count as one gap."""

    of: tuple[str, ...]
    once: tuple[tuple[str, ...], ...]
    at_least: int


def parse_composite(raw: Any, place: Place, known: Collection[str]) -> Composite:
    """Read a composite of `known` indicators. Raises UsageRefused with the file, the place and the mend."""
    if not isinstance(raw, dict):
        place.refuse("it must be a table", "Write [composite] with of and at_least")
    keys(raw, ("of", "once", "at_least"), place)
    of = _names(raw.get("of"), place.at("of"))
    if strange := [name for name in of if name not in known]:
        place.at("of").refuse(f"there is no indicator {strange[0]}", "Correct the name or add its file")
    groups = raw.get("once", [])
    if not isinstance(groups, list):
        place.at("once").refuse("it must be a list of lists", 'Write once = [["one", "other"]]')
    once = tuple(_names(group, place.at("once").at(number)) for number, group in enumerate(groups, start=1))
    grouped = [name for group in once for name in group]
    if not set(grouped) <= set(of) or len(set(grouped)) < len(grouped):
        place.at("once").refuse("an indicator is not in of, or in two groups", "Correct the groups")
    composite = Composite(of, once, parse_whole(raw.get("at_least"), place.at("at_least"), 1))
    if composite.at_least > len(_groups(composite)):
        place.at("at_least").refuse("it is more than the distinct gaps there are", "Lower it or name more indicators")
    return composite


def compose(composite: Composite) -> tuple[Clause, Clause]:
    """The population, whoever is in a denominator; and when it is closed, with fewer open gaps than `at_least`."""
    population = AnyOf(tuple(Gap(name, "eligible") for name in composite.of))
    open_gaps = tuple(AnyOf(tuple(Gap(name, "open") for name in group)) for group in _groups(composite))
    return population, Not(AtLeast(composite.at_least, open_gaps))


def _groups(composite: Composite) -> list[tuple[str, ...]]:
    grouped = {name for group in composite.once for name in group}
    return [*composite.once, *((name,) for name in composite.of if name not in grouped)]


def _names(raw: Any, place: Place) -> tuple[str, ...]:
    if not isinstance(raw, list) or not raw or not all(isinstance(name, str) for name in raw):
        place.refuse("it must be a list of indicators", 'Write ["one", "other"]')
    if len(set(raw)) < len(raw):
        place.refuse("an indicator stands twice", "Drop one")
    return tuple(raw)
