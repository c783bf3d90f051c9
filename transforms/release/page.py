"""What a release says of itself and of its indicators, wherever it is told: on its pages and in its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from schemas.policy import Disclosure


class Reason(Protocol):
    """Why somebody of the population is not counted."""

    @property
    def label(self) -> Mapping[str, str]:
        """The reason in a few words, by language."""


class IndicatorText(Protocol):
    """What is told of an indicator; texts by language."""

    @property
    def id(self) -> str:
        """Key of the indicator in the table."""

    @property
    def version(self) -> int:
        """Number of the definition; a change of meaning raises it."""

    @property
    def title(self) -> Mapping[str, str]:
        """Name of the gap, a few words."""

    @property
    def target_group(self) -> Mapping[str, str]:
        """Who belongs to the population: the denominator of the rate."""

    @property
    def description(self) -> Mapping[str, str]:
        """Who of the population has the gap."""

    @property
    def source(self) -> Mapping[str, str]:
        """Guideline or law that the indicator comes from."""

    @property
    def exclusions(self) -> Sequence[Reason]:
        """Who is left out of the count, in the order in which it is looked at."""


@dataclass(frozen=True)
class Release:
    """What a release is, apart from its figures. `generated` is true where no real person's data is in it."""

    release_id: str
    as_of: date
    created: date
    generated: bool
    rules: Disclosure
    software_version: str
