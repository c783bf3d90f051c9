"""From what a user writes behind --source to a source that can be read. Used by the controller zone alone."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from schemas.areas import load_areas
from schemas.errors import SourceRefused
from transforms.sources import Source
from transforms.sources.feed import FeedSource
from transforms.sources.synthea import SyntheaSource
from transforms.sources.synthetic import SyntheticSource

WORDS = "synthetic:N, feed:DIR or synthea:DIR"


@dataclass(frozen=True)
class SourceOptions:
    """What shapes a source beside its address: a geography, a map into it, and the generator's terms."""

    areas: Path | None = None
    area_map: Path | None = None
    years: int = 3
    seed: int = 1
    increment: bool = False


def kind_of(address: str) -> str:
    """The kind of source that an address names; SourceRefused where it is none that caregap reads."""
    kind, colon, rest = address.partition(":")
    if not colon or not rest or kind not in ("synthetic", "feed", "synthea"):
        raise SourceRefused("the source is not of a known kind", f"Give {WORDS}")
    return kind


def open_source(address: str, as_of: date, options: SourceOptions) -> Source:
    """Open a source for reading. Raises SourceRefused."""
    kind, rest = kind_of(address), address.partition(":")[2]
    if kind == "feed":
        return FeedSource(Path(rest), increment=options.increment)
    if kind == "synthea":
        given = load_areas(options.areas) if options.areas else None
        return SyntheaSource(Path(rest), area_map=options.area_map, areas=given)
    if not rest.isdecimal() or not 1 <= int(rest) <= 10_000_000:
        raise SourceRefused("the number of persons is not a whole number from 1 to 10,000,000", "Give synthetic:N")
    return SyntheticSource(int(rest), options.years, as_of, options.seed, load_areas(options.areas))
