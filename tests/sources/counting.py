"""From a source to counts, in this process: everything that decides a count, nothing of an orchestrator."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from schemas.areas import load_areas
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from transforms.analysis.counts import counts
from transforms.analysis.evaluation import evaluate
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Tally, Terms
from transforms.sources import Source

KEYRING = Keyring("e1", {"e1": bytes(range(32))}, digest=bytes(range(1, 33)))


def load(source: Source, as_of: date, folder: Path) -> tuple[dict[str, list[str]], dict[str, Tally]]:
    """Load a source as the controller does; files by table, and what became of the rows."""
    for name in ("staging", "quarantine"):
        (folder / name).mkdir(parents=True)
    terms = Terms(KEYRING, "test", source.identifier, "month", load_areas(), as_of, as_of)
    loader = Loader(terms, folder / "staging", folder / "quarantine")
    for table, rows in source.batches():
        loader.add(table, rows)
    return {table: [str(path) for path in paths] for table, paths in loader.finish()}, loader.tallies


def counts_of(source: Source, as_ofs: Sequence[date], folder: Path) -> pl.DataFrame:
    """Counts of every indicator by area, sex and age band."""
    files, _ = load(source, max(as_ofs), folder)
    bands = load_policy().age_band_starts
    return counts(evaluate(files, list(load_indicators().values()), as_ofs, bands, load_areas()))


def totals(found: pl.DataFrame) -> dict[str, tuple[int, ...]]:
    """Eligible, open, closed, declined and excluded persons by indicator."""
    measures = ["eligible", "open", "closed", "declined", "excluded"]
    summed = found.group_by("indicator", maintain_order=True).agg(pl.col(measures).sum())
    return {row[0]: row[1:] for row in summed.iter_rows()}
