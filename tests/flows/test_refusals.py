"""Bad input gets one clear line and the right exit code, and changes nothing."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from tests.controller.people import diagnoses, persons
from tests.flows.conftest import AS_OF, Caregap


def write_feed(folder: Path) -> Path:
    """A small feed that passes."""
    people = persons(60)
    for name, rows in (("person", people), ("diagnosis", diagnoses(people["person_id"].to_list()))):
        (folder / name).mkdir(parents=True)
        rows.write_parquet(folder / name / "part-0000.parquet")
    (folder / "feed.toml").write_text('format = "caregap-feed/1"\nidentifier = "hetu"\ngenerated = true\n')
    return folder


def rewrite(folder: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = folder / table / "part-0000.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


def lose_a_column(folder: Path) -> None:
    rewrite(folder, "diagnosis", lambda rows: rows.drop("code"))


def mistype_a_column(folder: Path) -> None:
    rewrite(folder, "diagnosis", lambda rows: rows.with_columns(event_date=pl.lit(20200517)))


def empty_a_file(folder: Path) -> None:
    (folder / "diagnosis" / "part-0000.parquet").write_bytes(b"")


def lose_the_persons(folder: Path) -> None:
    shutil.rmtree(folder / "person")


def spoil_many_rows(folder: Path) -> None:
    rewrite(folder, "diagnosis", lambda rows: pl.concat([rows.with_columns(person_id=pl.lit("no-code"))] * 2))


REFUSALS: list[tuple[Callable[[Path], None], int, str]] = [
    (lose_a_column, 10, "diagnosis.code: "),
    (mistype_a_column, 10, "diagnosis.event_date: "),
    (empty_a_file, 10, "diagnosis: "),
    (lose_the_persons, 10, "person: "),
    (spoil_many_rows, 11, "diagnosis: "),
]


@pytest.mark.parametrize(("spoil", "code", "place"), REFUSALS, ids=[spoil.__name__ for spoil, _, _ in REFUSALS])
def test_a_bad_feed_is_refused_and_the_lake_stays_as_it_was(
    spoil: Callable[[Path], None], code: int, place: str, data: Path, tmp_path: Path, caregap: Caregap
) -> None:
    folder = write_feed(tmp_path / "feed")
    spoil(folder)
    before = (data / "platform" / "lake" / "snapshot.json").read_bytes()
    done = caregap("ingest", "--source", f"feed:{folder}", "--as-of", AS_OF, data=data)
    assert done.code == code, done.err
    assert done.err.startswith(f"caregap: {place}"), done.err
    assert done.err.count("\n") == 1
    assert str(tmp_path) not in done.err
    assert (data / "platform" / "lake" / "snapshot.json").read_bytes() == before
    assert not list((data / "controller" / "staging").iterdir())


def test_the_same_feed_passes_unspoilt(data: Path, tmp_path: Path, caregap: Caregap) -> None:
    done = caregap("ingest", "--source", f"feed:{write_feed(tmp_path / 'feed')}", "--as-of", AS_OF, data=data)
    assert done.code == 0, done.err


def test_a_column_that_was_not_approved_does_not_cross(data: Path, tmp_path: Path) -> None:
    """The steward's inventory without the column: exit code 12, and the lake stays as it was."""
    from tests.flows.conftest import ROOT, start

    for package in ("flows", "transforms", "schemas", "expectations"):
        shutil.copytree(ROOT / package, tmp_path / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    policy = tmp_path / "code" / "schemas" / "policy.toml"
    text = policy.read_text()
    assert '"value", "unit",' in text
    policy.write_text(text.replace('"value", "unit",', '"unit",'))
    driver = tmp_path / "code" / "driver.py"
    driver.write_text("from flows import cli\ncli.main()\n")
    done = start(
        [str(driver)], "ingest", "--source", f"feed:{write_feed(tmp_path / 'feed')}", "--as-of", AS_OF, data=data,
        PYTHONPATH=str(tmp_path / "code"),
    )  # fmt: skip
    assert done.code == 12, done.err
    assert "measurement.value" in done.err
    assert "impact assessment" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["run", "--source", "oracle:x", "--as-of", AS_OF],
            10,
            "synthetic:N, feed:DIR, synthea:DIR, omop:DIR, fhir:DIR or postgresql://",
        ),
        (["ingest", "--source", "feed:/nowhere/at/all", "--as-of", AS_OF], 10, "no such folder"),
        (["ingest", "--source", "synthetic:many", "--as-of", AS_OF], 10, "whole number"),
        (["ingest", "--source", "synthetic:10", "--as-of", "31.10.2026"], 2, "YYYY-MM-DD"),
        (["ingest", "--source", "feed:x", "--as-of", "1999-12-31"], 10, "Give a date from 2000-01-01 to 2099-12-31"),
        (["ingest", "--source", "feed:x", "--as-of", "2100-01-01", "--dry-run"], 10, "from 2000-01-01 to"),
        (["serve", "--port", "0"], 2, "not a port from 1 to 65535"),
        (["ingest", "--as-of", AS_OF], 2, "--source"),
        (["nothing"], 2, "invalid choice"),
        (["analyse", "--as-of", AS_OF, "--months", "33"], 2, "months"),
        (["release", "--as-of", "2020-01-31"], 2, "caregap analyse"),
        (["approve", "none", "--as", "A", "--reason", "r"], 2, "no such candidate"),
        (["counts", "--indicator", "none", "--as-of", AS_OF, "--reason", "r"], 2, "caregap indicators list"),
        (["counts", "--indicator", "mmr_missing_at_two", "--as-of", AS_OF, "--reason", " "], 2, "--reason"),
        (["counts", "--indicator", "mmr_missing_at_two", "--as-of", AS_OF, "--reason", "r", "--area", "x"], 2, "area"),
        (["indicators", "explain", "none"], 2, "no such indicator"),
    ],
)
def test_wrong_words_are_refused_with_what_to_write(
    arguments: list[str], code: int, words: str, data: Path, caregap: Caregap
) -> None:
    done = caregap(*arguments, data=data)
    assert done.code == code, done.err
    assert words in done.err
    assert "Traceback" not in done.err


def test_an_empty_lake_says_what_to_do_first(tmp_path: Path, caregap: Caregap) -> None:
    done = caregap("analyse", "--as-of", AS_OF, data=tmp_path / "data")
    assert (done.code, "caregap ingest" in done.err) == (10, True)


@pytest.mark.parametrize("spoilt", ["wrong passphrase", "readable by others", "changed"])
def test_without_the_key_nothing_is_read_or_written(spoilt: str, data: Path, tmp_path: Path, caregap: Caregap) -> None:
    keyring = data / "controller" / "keys" / "keyring.json"
    passphrase = {}
    if spoilt == "wrong passphrase":
        passphrase = {"CAREGAP_PASSPHRASE": "not the one"}
    elif spoilt == "readable by others":
        keyring.chmod(0o644)
    else:
        keyring.write_bytes(keyring.read_bytes().replace(b'"sealed": "', b'"sealed": "AAAA'))
    before = (data / "platform" / "lake" / "snapshot.json").read_bytes()
    folder = write_feed(tmp_path / "feed")
    done = caregap("ingest", "--source", f"feed:{folder}", "--as-of", AS_OF, data=data, **passphrase)
    assert done.code == 16, done.err
    assert (data / "platform" / "lake" / "snapshot.json").read_bytes() == before
    assert not list((data / "controller" / "staging").iterdir())


def test_the_future_of_a_booked_appointment_is_no_fault(data: Path, tmp_path: Path, caregap: Caregap) -> None:
    folder = write_feed(tmp_path / "feed")
    people = pl.read_parquet(folder / "person" / "part-0000.parquet")["person_id"]
    (folder / "appointment").mkdir()
    pl.DataFrame(
        {"person_id": people, "event_date": date(2027, 5, 1), "status": "booked", "booked_date": date(2026, 10, 1)}
    ).write_parquet(folder / "appointment" / "part-0000.parquet")
    done = caregap("ingest", "--source", f"feed:{folder}", "--as-of", AS_OF, data=data)
    assert done.code == 0, done.err
