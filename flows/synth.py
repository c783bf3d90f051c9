"""Writing a generated feed to a folder."""

from datetime import date
from pathlib import Path

from flows.progress import progress
from schemas.areas import load_areas
from transforms.sources.synthetic import SyntheticSource, write_feed


def write_synthetic_feed(
    persons: int, years: int, as_of: date, seed: int, areas: Path | None, out: Path, *, deltas: int, dirt: bool
) -> int:
    """Generate a feed into a folder that must not exist yet or be a feed of ours; returns the number of rows."""
    source = SyntheticSource(persons, years, as_of, seed, load_areas(areas), dirt=dirt)
    with progress("Generating", source.rows_expected(), "rows") as advance:
        return sum(write_feed(source, out, progress=advance, deltas=deltas).values())
