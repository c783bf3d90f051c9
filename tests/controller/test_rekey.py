"""A lake carried to another epoch from its pseudonyms alone is the lake that the source would give there."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from schemas.areas import load_areas
from schemas.errors import KeyUnavailable
from schemas.table import PERSON_NUMBER
from tests.controller.people import diagnoses, persons
from transforms.controller import rekey
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms
from transforms.controller.rekey import Rotation, rekey_lake

DOMAIN = "district-stats"
KEYRING = Keyring("e1", {"e1": bytes(range(32)), "e2": bytes(range(2, 34))}, bytes(range(1, 33)))
ROTATION = Rotation(KEYRING, DOMAIN, "e1", "e2")
Files = dict[str, list[Path]]


def load(folder: Path, epoch: str, identifier: str = "hetu", count: int = 70) -> Files:
    """The lake's files of a small source under an epoch."""
    people = persons(count)
    if identifier == "opaque":
        people = people.with_columns(
            person_id=pl.Series([f"{n:08x}-0000-4000-8000-000000000000" if n % 2 else f"p{n}" for n in range(count)])
        )
    keys = [None, "short", "a key of the source that is longer than a block"]
    rows = diagnoses(people["person_id"].to_list() * 3).with_columns(
        record_id=pl.Series([keys[n % 3] and f"{n} {keys[n % 3]}" for n in range(count * 3)]),
        is_retracted=pl.Series([n % 5 == 0 for n in range(count * 3)]),
    )
    for part in ("staging", "quarantine"):
        (folder / part).mkdir(parents=True)
    terms = Terms(
        keyring=replace(KEYRING, current=epoch),
        domain=DOMAIN,
        identifier=identifier,
        birth_date="month",
        areas=load_areas(),
        as_of=date(2026, 10, 31),
        latest=date(2026, 11, 1),
    )
    loader = Loader(terms, folder / "staging", folder / "quarantine")
    loader.add("person", people)
    loader.add("diagnosis", rows)
    return {name: paths for name, paths in loader.finish() if paths}


def rekeyed(files: Files, folder: Path, rotation: Rotation = ROTATION) -> Files:
    folder.mkdir()
    return dict(rekey_lake(files, rotation, folder))


def rows(files: Files, name: str) -> pl.DataFrame:
    found = pl.concat([pl.read_parquet(path) for path in files[name]])
    return found.sort(found.columns)


@pytest.mark.parametrize("identifier", ["hetu", "opaque"])
def test_a_rekeyed_lake_is_the_one_that_the_source_gives_under_the_new_epoch(identifier: str, tmp_path: Path) -> None:
    old = load(tmp_path / "old", "e1", identifier)
    found = rekeyed(old, tmp_path / "found", replace(ROTATION, identifier=identifier))
    expected = load(tmp_path / "expected", "e2", identifier)
    assert found.keys() == expected.keys()
    for name in expected:
        assert rows(found, name).equals(rows(expected, name))
        assert rows(found, name).schema == rows(expected, name).schema


def test_nothing_that_identifies_a_person_or_a_row_is_left_from_the_old_epoch(tmp_path: Path) -> None:
    old = load(tmp_path / "old", "e1")
    found = rekeyed(old, tmp_path / "found")
    for name, column in (("person", "pseudonym"), ("diagnosis", "record_key")):
        before, after = rows(old, name)[column].drop_nulls(), rows(found, name)[column].drop_nulls()
        assert len(after) == len(before) > 0
        assert not set(before) & set(after)
        content = b"".join(path.read_bytes() for path in found[name])
        assert not any(value in content for value in before)
    persons_before, persons_after = rows(old, "person"), rows(found, "person")
    assert persons_after[PERSON_NUMBER].to_list() == list(range(persons_before.height))
    assert persons_before["birth_date"].to_list() != persons_after["birth_date"].to_list()


def test_events_are_spread_over_the_buckets_of_the_new_numbers_and_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load(tmp_path / "old", "e1")
    monkeypatch.setattr(rekey, "BUCKET_PERSONS", 16)
    monkeypatch.setattr(rekey, "BATCH_ROWS", 23)
    found = rekeyed(old, tmp_path / "found")
    assert len(found["diagnosis"]) == 2 * 5
    for place, path in enumerate(found["diagnosis"]):
        bucket = pl.read_parquet(path)
        assert set(bucket[PERSON_NUMBER] // 16) == {place // 2}
        assert bucket[PERSON_NUMBER].is_sorted()
        assert set(bucket["is_retracted"]) == {place % 2 == 1}
    expected = load(tmp_path / "expected", "e2")
    assert rows(found, "diagnosis").equals(rows(expected, "diagnosis"))


def test_rows_that_became_alike_by_generalisation_stay_several(tmp_path: Path) -> None:
    old = load(tmp_path / "old", "e1")
    twice = pl.concat([pl.read_parquet(old["diagnosis"][0])] * 2)
    twice.write_parquet(old["diagnosis"][0])
    old["diagnosis"] = old["diagnosis"][:1]
    assert rows(rekeyed(old, tmp_path / "found"), "diagnosis").height == twice.height


def test_pseudonyms_of_more_than_one_key_are_refused(tmp_path: Path) -> None:
    old = load(tmp_path / "old", "e1")
    person = pl.read_parquet(old["person"][0])
    person.with_columns(
        pseudonym=pl.when(pl.int_range(pl.len()) > 0).then("pseudonym").otherwise(pl.lit(b"another key's!!!"))
    ).write_parquet(old["person"][0])
    with pytest.raises(KeyUnavailable, match="not of this key"):
        rekeyed(old, tmp_path / "found")


def test_an_epoch_whose_key_was_destroyed_can_not_be_left(tmp_path: Path) -> None:
    old = load(tmp_path / "old", "e1")
    left = replace(KEYRING, current="e2").without("e1")
    with pytest.raises(KeyUnavailable, match="does not exist"):
        rekeyed(old, tmp_path / "found", replace(ROTATION, keyring=left))
