"""Rows are the same however they are read: whole or scan by scan, told apart by their order or not."""

from itertools import groupby
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.indicators import load_indicators
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, population
from transforms.analysis import reading
from transforms.analysis.counts import counts, details
from transforms.analysis.evaluation import evaluate
from transforms.analysis.runs import runs_of

INDICATORS = list(load_indicators().values())
AREAS = load_areas()
LONG = "a text of more than twelve bytes"
TEXTS = st.sampled_from([None, "", "a", "b", "twelve bytes", LONG, f"{LONG}, and another"])


@pytest.mark.parametrize("together", [True, False])
def test_what_is_read_scan_by_scan_is_what_is_read_whole(
    together: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What indicators ask for is put into scans together, or nearly every scan is of its own."""
    files = write_lake(tmp_path, population(11, 150))
    asked = [INDICATORS] if together else [[indicator] for indicator in INDICATORS]
    whole = [evaluate(files, some, AS_OFS, (0,), AREAS) for some in asked]
    monkeypatch.setattr(reading, "_FEW", -1)
    for some, expected in zip(asked, whole, strict=True):
        found = evaluate(files, some, AS_OFS, (0,), AREAS)
        assert counts(found).equals(counts(expected))
        assert details(found).equals(details(expected))
        assert (found.cells == expected.cells).all()
        for indicator in some:
            status, as_whole = found.of[indicator.id], expected.of[indicator.id]
            assert (status.persons == as_whole.persons).all()
            assert (status.open == as_whole.open).all()


@given(chunks=st.lists(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), min_size=1, max_size=4), start=st.integers(0, 3))
def test_runs_are_those_of_equal_texts(chunks: list[list[tuple[str | None, str | None]]], start: int) -> None:
    schema = {"first": pl.String, "second": pl.String}
    read = pl.concat([pl.DataFrame(chunk, schema=schema, orient="row") for chunk in chunks], rechunk=False)[start:]
    rows = [row for chunk in chunks for row in chunk][start:]
    runs = runs_of(read.with_row_index("number"), ["first", "second"])
    expected = [(texts, len(list(same))) for texts, same in groupby(rows)]
    heads = list(zip(runs.heads["first"], runs.heads["second"], strict=True))
    assert [heads[head] for head in runs.head_of_run] == [texts for texts, _ in expected]
    assert (runs.ends - runs.starts).tolist() == [count for _, count in expected]
    assert runs.starts.tolist() == [0, *runs.ends.tolist()][: len(expected)]
    assert len(heads) == runs.head_count == len(set(rows))
