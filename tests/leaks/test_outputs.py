"""What the platform sees beside the rows of the lake, made so that no value can be in it."""

from dataclasses import asdict
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from expectations.profile import profile
from expectations.run import append_history, run_suites
from flows import storage
from flows.settings import Layout
from tests.leaks import clean
from tests.leaks.clean import CODE, NAME, Staged, files_in

DAY = date(2026, 10, 31)
TEXTS = [("diagnosis", "code"), ("contact", "service"), ("measurement", "unit"), ("residence", "area_code")]


@pytest.fixture
def leaking(tmp_path: Path) -> dict[str, list[Path]]:
    """Files with values in every open text column, as if the boundary were not there."""
    clean.load(tmp_path / "load")
    staged = Staged(tmp_path / "load")
    for table, column in TEXTS:
        staged.fill(table, column, [CODE, NAME] * (clean.COUNT // 2))
    return {name: paths for name, paths in files_in(tmp_path / "load").items() if name != "area"}


def test_quality_results_and_their_history_hold_figures_and_no_value(
    leaking: dict[str, list[Path]], tmp_path: Path
) -> None:
    intake = {
        name: {"rows_in": rows, "kept": rows, "quarantined": {}}
        for name, rows in ((name, pl.scan_parquet(paths).collect().height) for name, paths in leaking.items())
    }
    results = run_suites(profile(leaking, DAY, intake))  # type: ignore[arg-type]
    assert any(not result.passed for result in results)
    append_history(tmp_path / "history.parquet", results, run_id="x", as_of=DAY)
    shown = repr([asdict(result) for result in results]) + repr(pl.read_parquet(tmp_path / "history.parquet").rows())
    assert CODE not in shown
    assert NAME not in shown


def test_the_log_of_the_lake_holds_row_counts_and_no_lowest_or_highest_value(
    leaking: dict[str, list[Path]], tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "data")
    for name in leaking:
        storage.commit(layout, name, leaking[name], "load", 0)
    logs = list(layout.lake.rglob("_delta_log/*"))
    assert len(logs) >= len(leaking)
    for path in logs:
        assert CODE.encode() not in path.read_bytes()
        assert NAME.encode() not in path.read_bytes()
    for path in layout.lake.rglob("*"):
        assert CODE not in str(path)
        assert NAME not in str(path)
