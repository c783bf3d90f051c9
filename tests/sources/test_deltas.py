"""Daily deltas: what is known each evening, and that a base and its deltas are the feed as one."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from flows.cli import run
from schemas.errors import UsageRefused
from schemas.tables import SOURCE_TABLES
from transforms.sources.feed import FeedSource
from transforms.sources.synthetic import SyntheticSource, write_feed
from transforms.sources.synthetic.deltas import split

AS_OF = date(2026, 10, 31)
DAYS = 6
BASE = AS_OF - timedelta(days=DAYS)
Tables = dict[str, pl.DataFrame]


def rows_of(folder: Path) -> Tables:
    return {
        path.name: pl.concat([pl.read_parquet(part) for part in sorted(path.glob("*.parquet"))])
        for path in folder.iterdir()
        if path.is_dir() and path.name in SOURCE_TABLES
    }


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Tables, list[tuple[date, Tables]], Path]:
    """The feed as one, the base, and the deltas in order of day."""
    folder = tmp_path_factory.mktemp("deltas")
    write_feed(SyntheticSource(4_000, 3, AS_OF, 8), folder / "whole")
    write_feed(SyntheticSource(4_000, 3, AS_OF, 8), folder / "daily", deltas=DAYS)
    days = [BASE + timedelta(days=day + 1) for day in range(DAYS)]
    deltas = [(day, rows_of(folder / "daily" / f"delta-{day}")) for day in days]
    return rows_of(folder / "whole"), rows_of(folder / "daily" / "base"), deltas, folder / "daily"


def test_a_base_and_its_deltas_read_in_order_are_the_feed_as_one(feeds: tuple) -> None:
    whole, base, deltas, _ = feeds
    assert set(base) == set(whole)
    for table, wanted in whole.items():
        parts = [base[table], *(delta[table] for _, delta in deltas if table in delta)]
        key = "record_id" if "record_id" in wanted.columns else "person_id"
        rows = pl.concat(parts)
        # Rows that are no person's own share its key: what is compared is the last row of each key and of each kind.
        if table in ("person", "identity_link"):
            assert not wanted.join(rows, on=wanted.columns, how="anti", nulls_equal=True).height
            continue
        last = rows.unique(key, keep="last", maintain_order=True).sort(key)
        assert last.equals(wanted.unique().sort(key).select(last.columns)), table


def test_every_row_comes_on_the_day_on_which_it_was_recorded(feeds: tuple) -> None:
    _, base, deltas, _ = feeds
    for table, rows in base.items():
        if "recorded_date" in rows.columns:
            assert (rows["recorded_date"] <= BASE).all(), table
    for day, tables in deltas:
        assert {"contact", "measurement", "appointment", "contact_request"} <= set(tables)
        for table, rows in tables.items():
            assert (rows["recorded_date"] == day).all(), table


def test_a_delta_brings_new_late_corrected_and_retracted_rows(feeds: tuple) -> None:
    whole, base, deltas, _ = feeds
    added = {
        table: pl.concat([tables[table] for _, tables in deltas if table in tables])
        for table in {name for _, tables in deltas for name in tables}
    }
    contact = added["contact"]
    assert contact.filter(pl.col("event_date") == pl.col("recorded_date")).height > 50
    assert contact.filter(pl.col("event_date") < pl.col("recorded_date")).height > 5
    again = added["appointment"].join(base["appointment"], on="record_id", how="semi")
    assert again.height > 20
    before = base["appointment"].join(again.select("record_id"), on="record_id", how="semi")
    assert set(before["status"]) == {"booked"}
    assert before["status_date"].null_count() == before.height
    assert {"attended", "cancelled_by_client"} <= set(again["status"])
    retracted = [
        rows.filter("is_retracted").select("record_id") for rows in added.values() if "record_id" in rows.columns
    ]
    taken_back = pl.concat(retracted)
    assert taken_back.height > 0
    known = pl.concat(
        [rows.select("record_id", "is_retracted") for rows in base.values() if "record_id" in rows.columns]
    )
    assert not known.join(taken_back, on="record_id", how="semi")["is_retracted"].any()
    deaths = added["person"].filter(pl.col("death_date").is_not_null())["person_id"]
    assert base["person"].filter(pl.col("person_id").is_in(deaths.implode()))["death_date"].null_count() == len(deaths)
    assert whole["person"].filter(pl.col("person_id").is_in(deaths.implode()))["death_date"].null_count() == 0


def test_the_last_day_brings_no_more_ends_of_complaints_than_another(feeds: tuple) -> None:
    _, _, deltas, _ = feeds
    ended = [tables["diagnosis"]["end_date"].eq(day).sum() for day, tables in deltas if "diagnosis" in tables]
    assert len(ended) == DAYS
    assert 0 < ended[-1] <= 2 * max(ended[:-1])


def test_the_base_is_a_feed_that_any_reader_takes(feeds: tuple) -> None:
    folder = feeds[3]
    source = FeedSource(folder / "base")
    assert sum(rows.height for _, rows in source.batches()) == sum(rows.height for rows in feeds[1].values())
    assert source.remarks() == []
    assert {path.name for path in folder.iterdir()} == {
        "base", "truth", *(f"delta-{BASE + timedelta(days=day + 1)}" for day in range(DAYS))
    }  # fmt: skip


def test_a_row_without_a_recorded_date_was_known_from_the_first() -> None:
    rows = pl.DataFrame(
        {"event_date": [AS_OF, AS_OF], "recorded_date": [None, AS_OF], "is_retracted": [False, True]},
        schema={"event_date": pl.Date, "recorded_date": pl.Date, "is_retracted": pl.Boolean},
    )
    found = split("contact", rows, BASE)
    assert found[None].height == 1
    assert found[AS_OF].height == 1
    assert split("identity_link", rows.drop("recorded_date"), BASE)[None].height == 2


def test_the_command_writes_deltas_and_a_clean_feed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["synth", "--persons", "200", "--years", "2", "--as-of", "2026-10-31", "--out", str(tmp_path / "out")]
    assert run([*words, "--deltas", "2", "--clean"]) == 0
    assert "rows" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"base", "truth", "delta-2026-10-30", "delta-2026-10-31"}
    assert pl.read_parquet(tmp_path / "out" / "truth" / "faults.parquet").height == 0
    assert run(words) == 0
    assert (tmp_path / "out" / "feed.toml").is_file()


def test_a_number_of_deltas_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageRefused):
        write_feed(SyntheticSource(10, 1, AS_OF, 1), tmp_path / "out", deltas=400)
