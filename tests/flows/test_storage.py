import json
import os
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from flows import storage
from flows.settings import Layout
from flows.storage import (
    CHECKPOINT_EVERY,
    Snapshot,
    commit,
    exclusive,
    lake_files,
    read_snapshot,
    replace_folder,
    tidy,
    write_snapshot,
)
from schemas.errors import SourceRefused, UsageRefused
from schemas.tables import TABLES


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "data")
    made.create()
    return made


def vaccinations(persons: int) -> pl.DataFrame:
    rows = {"person_number": range(persons), "code_system": "atc", "code": "J07BD52", "event_date": date(2020, 1, 1)}
    return pl.DataFrame(rows).select(
        (pl.col(name) if name in rows else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in TABLES["vaccination"].platform_schema.items()
    )


def staged(layout: Layout, persons: int) -> Path:
    path = layout.staging / f"{persons}.parquet"
    vaccinations(persons).write_parquet(path)
    return path


def snapshot(version: int) -> Snapshot:
    return Snapshot("load", "2026-10-31", "synthetic", True, "p", "c", {"vaccination": version}, {"vaccination": 0})


def rows_in(layout: Layout, version: int) -> int:
    files = lake_files(layout, snapshot(version))["vaccination"]
    return duckdb.connect().execute("select count(*) from read_parquet(?)", [files]).fetchall()[0][0]


def test_a_commit_replaces_the_content_and_earlier_versions_stay_readable(layout: Layout) -> None:
    first = commit(layout, "vaccination", [staged(layout, 3)], "load-1", 0)
    second = commit(layout, "vaccination", [staged(layout, 5)], "load-2", 0)
    assert (rows_in(layout, first), rows_in(layout, second)) == (3, 5)
    assert pl.read_delta(str(layout.lake / "vaccination")).height == 5
    assert DeltaTable(str(layout.lake / "vaccination")).history()[0]["load"] == "load-2"


def test_a_table_may_be_empty(layout: Layout) -> None:
    version = commit(layout, "vaccination", [], "load-1", 0)
    assert lake_files(layout, snapshot(version))["vaccination"] == []


def test_a_load_that_dies_before_the_snapshot_changes_nothing_that_is_read(layout: Layout) -> None:
    write_snapshot(layout, snapshot(commit(layout, "vaccination", [staged(layout, 3)], "load-1", 0)))
    commit(layout, "vaccination", [staged(layout, 5)], "load-2", 0)
    assert rows_in(layout, read_snapshot(layout).tables["vaccination"]) == 3


def test_a_snapshot_is_there_whole_or_not_at_all(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    write_snapshot(layout, snapshot(1))
    monkeypatch.setattr(storage.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_snapshot(layout, snapshot(2))
    assert read_snapshot(layout).tables == {"vaccination": 1}


def test_tidying_keeps_the_snapshots_version_and_deletes_what_is_past_its_time(layout: Layout) -> None:
    versions = [commit(layout, "vaccination", [staged(layout, persons)], "load", 0) for persons in (2, 3, 4)]
    tidy(layout, snapshot(versions[1]), keep_hours=0)
    assert rows_in(layout, versions[1]) == 3
    assert len(list((layout.lake / "vaccination").glob("*.parquet"))) == 2  # the snapshot's, and the newest


def log_entries_read(folder: Path) -> int:
    """Entries of a table's log behind its last checkpoint."""
    checkpoint = json.loads((folder / "_delta_log" / "_last_checkpoint").read_text())["version"]
    return sum(int(entry.stem) > checkpoint for entry in (folder / "_delta_log").glob("*.json"))


def test_a_log_is_summed_up_and_what_is_past_its_time_goes_all_the_same(layout: Layout) -> None:
    folder = layout.lake / "vaccination"
    versions = []
    for night in range(3 * CHECKPOINT_EVERY):
        versions.append(commit(layout, "vaccination", [staged(layout, night + 1)], "load", 0))
        tidy(layout, snapshot(versions[-1]), keep_hours=24)
    assert log_entries_read(folder) <= CHECKPOINT_EVERY
    assert [rows_in(layout, version) for version in versions] == list(range(1, len(versions) + 1))
    # As if the removals were so old that a checkpoint no longer tells of them.
    DeltaTable(str(folder)).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 hours"})
    DeltaTable(str(folder)).create_checkpoint()
    for file in folder.glob("*.parquet"):
        os.utime(file, (0, 0))
    tidy(layout, snapshot(versions[-1]), keep_hours=24)
    assert rows_in(layout, versions[-1]) == 3 * CHECKPOINT_EVERY
    assert {str(path) for path in folder.glob("*.parquet")} == set(
        lake_files(layout, snapshot(versions[-1]))["vaccination"]
    )


def test_an_empty_lake_says_what_to_do(layout: Layout) -> None:
    with pytest.raises(SourceRefused, match="caregap ingest"):
        read_snapshot(layout)


def test_two_loads_never_work_at_once(layout: Layout) -> None:
    with exclusive(layout), pytest.raises(UsageRefused, match="another load"), exclusive(layout):
        pass
    with exclusive(layout):
        pass


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["new"]


def test_zones_are_closed_to_others(layout: Layout) -> None:
    for zone in ("controller", "platform", "prefect", "audit"):
        assert (layout.data / zone).stat().st_mode & 0o777 == 0o700
