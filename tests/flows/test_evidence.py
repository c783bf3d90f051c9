"""Evidence and coverage as they are asked for on the command line."""

import csv
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.settings import Layout
from flows.storage import lake_files, read_snapshot
from tests.flows.conftest import AS_OF, Caregap

INDICATOR = "diabetes_hba1c_missing"
ASKED = ("evidence", "--indicator", INDICATOR, "--as-of", AS_OF, "--reason", "checking the outreach list")


def test_evidence_is_written_for_the_account_alone_and_logged(data: Path, caregap: Caregap) -> None:
    done = caregap(*ASKED, data=data)
    assert done.code == 0, done.err
    path = data / "platform" / "evidence" / f"{AS_OF}-{INDICATOR}.parquet"
    assert str(path) in done.out
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    rows = pl.read_parquet(path)
    assert not rows["person_number"].is_duplicated().any()
    open_rows = rows.filter(status="open")
    assert open_rows.height > 5
    assert open_rows["evidence"].list.len().min() == 1
    assert rows.filter(pl.col("status") != "open")["evidence"].list.len().max() == 0
    told = open_rows.select(pl.col("evidence").list.first().struct.unnest())
    assert not told["holds"].any()
    # Nobody waits beyond the look-back: the latest test is older than a year, or there is none.
    assert told.filter(pl.col("last_date") > date(2025, 10, 31)).height == 0
    assert told["last_date"].drop_nulls().len() > 0
    log = [json.loads(line) for line in (data / "audit" / "log.jsonl").read_text().splitlines()]
    assert {"action": "evidence", "indicator": INDICATOR, "for_outreach": True}.items() <= log[-1].items()
    assert log[-1]["reason"] == "checking the outreach list"


def test_the_open_gaps_of_everybody_are_those_that_are_counted(data: Path, caregap: Caregap) -> None:
    assert caregap(*ASKED, "--with-contact-bans", data=data).code == 0
    rows = pl.read_parquet(data / "platform" / "evidence" / f"{AS_OF}-{INDICATOR}-everybody.parquet")
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet").filter(indicator=INDICATOR)
    assert rows.filter(status="open").height == counts["open"].sum()
    layout = Layout(data)
    people = pl.read_parquet(lake_files(layout, read_snapshot(layout))["person"])
    assert rows.height == people.height


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("--indicator", "no_such", "--as-of", AS_OF, "--reason", "planning"), 2),
        (("--indicator", INDICATOR, "--as-of", AS_OF, "--reason", "  "), 2),
        (("--indicator", INDICATOR, "--as-of", AS_OF), 2),
        (("--indicator", INDICATOR, "--as-of", AS_OF, "--reason", "about 010190-999A"), 2),
    ],
)
def test_no_evidence_without_a_reason(data: Path, caregap: Caregap, given: tuple[str, ...], code: int) -> None:
    assert caregap("evidence", *given, data=data).code == code
    assert not (data / "platform" / "evidence").exists()


def test_coverage_is_there_after_an_analysis_and_its_access_is_logged(data: Path, caregap: Caregap) -> None:
    stored = pl.read_parquet(data / "platform" / "quality" / "coverage.parquet")
    assert {column for column in stored.columns if column.startswith("person")} == set()
    assert (data / "platform" / "quality" / "coverage.parquet").stat().st_mode & 0o777 == 0o600
    asked = ("coverage", "--as-of", AS_OF, "--reason", "reading the trend")
    done = caregap(*asked, "--indicator", INDICATOR, "--area", "*", data=data)
    assert done.code == 0, done.err
    rows = {row["table"]: row for row in csv.DictReader(done.out.splitlines())}
    assert set(rows) == {"diagnosis", "measurement", "service_period"}
    row = rows["measurement"]
    assert 0 < float(row["share"]) < 1
    assert 0 < float(row["share_before"]) < 1
    assert row["recording"] in ("more", "less", "alike")
    assert 0 < float(row["share_without_district"]) < 0.2
    log = [json.loads(line) for line in (data / "audit" / "log.jsonl").read_text().splitlines()]
    assert (log[-1]["action"], log[-1]["reason"]) == ("coverage", "reading the trend")
    for wrong in (("--as-of", "2020-01-31", "--reason", "x"), ("--as-of", AS_OF, "--reason", " ")):
        assert caregap("coverage", *wrong, data=data).code == 2
    assert caregap(*asked, "--area", "no such", data=data).code == 2
    assert caregap(*asked, "--indicator", "no_such", data=data).code == 2


@pytest.mark.slow
def test_the_next_analysis_removes_evidence_and_keeps_the_coverage_of_other_dates(data: Path, caregap: Caregap) -> None:
    assert caregap(*ASKED, data=data).code == 0
    assert caregap("analyse", "--as-of", "2026-09-30", data=data).code == 0
    assert not (data / "platform" / "evidence").exists()
    stored = pl.read_parquet(data / "platform" / "quality" / "coverage.parquet")
    assert stored["as_of"].unique().sort().to_list() == [date(2026, 9, 30), date(2026, 10, 31)]
    same = stored.filter(as_of=date(2026, 9, 30))
    assert caregap("analyse", "--as-of", "2026-09-30", data=data).code == 0
    again = pl.read_parquet(data / "platform" / "quality" / "coverage.parquet")
    assert again.height == stored.height
    assert again.filter(as_of=date(2026, 9, 30)).equals(same)
