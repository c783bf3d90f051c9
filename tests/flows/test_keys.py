"""What a key custodian does, from the command line and on a lake; killed at any step, the old lake stays."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows import cli, settings
from flows import keys as custody
from flows.increment import index_folder, memory_file
from flows.passphrase import open_keyring
from flows.settings import Layout
from flows.storage import Snapshot, commit, lake_files, read_snapshot, write_snapshot
from schemas.areas import load_areas
from schemas.errors import BoundaryRefused, KeyUnavailable, SourceRefused, UsageRefused
from schemas.tables import TABLES
from tests.controller.people import diagnoses, persons
from tests.controller.test_token import MODULE, PIN, place  # noqa: F401 - a fixture
from tests.flows.conftest import AS_OF, Caregap
from transforms.controller import keys
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms
from transforms.controller.token import Place

DOMAIN = "district-stats"
WHY = "yearly rotation"
SECRET = "a long passphrase"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An empty data folder with a keyring."""
    settings._taken.clear()
    monkeypatch.setenv("CAREGAP_PASSPHRASE", SECRET)
    monkeypatch.setitem(settings._taken, "CAREGAP_PASSPHRASE", SECRET)
    made = Layout(tmp_path / "data")
    made.create()
    keys.save(keys.new_keyring(), made.keyring, SECRET)
    return made


def ring(layout: Layout) -> Keyring:
    return keys.load(layout.keyring, SECRET)


def ingest(layout: Layout, keyring: Keyring) -> None:
    """Load a small source under the keyring's epoch, as the controller flow writes it."""
    for folder in (layout.staging, layout.quarantine):
        shutil.rmtree(folder)
        folder.mkdir()
    people = persons(40)
    rows = diagnoses(people["person_id"].to_list() * 2).with_columns(
        record_id=pl.Series([f"the row with number {number}" for number in range(80)])
    )
    terms = Terms(
        keyring=keyring,
        domain=DOMAIN,
        identifier="hetu",
        birth_date="month",
        areas=load_areas(),
        as_of=date(2026, 10, 31),
        latest=date(2026, 11, 1),
    )
    loader = Loader(terms, layout.staging, layout.quarantine)
    loader.add("person", people)
    loader.add("diagnosis", rows)
    areas = load_areas()
    district = areas.filter(~pl.col("code").is_in(areas["parent"].drop_nulls().implode()))["code"][0]
    loader.add("residence", people.select("person_id", area_code=pl.lit(district)))
    versions = {name: commit(layout, name, paths, "load", 0) for name, paths in loader.finish()}
    areas.write_parquet(layout.staging / "area.parquet")
    versions["area"] = commit(layout, "area", [layout.staging / "area.parquet"], "load", 0)
    rows_by_table = {"person": people.height, "diagnosis": rows.height}
    write_snapshot(
        layout,
        Snapshot("load", AS_OF, "feed", True, "p", "c", versions, rows_by_table, epoch=keyring.current),
    )


@pytest.fixture
def loaded(layout: Layout) -> Layout:
    """A data folder with a keyring and a lake under it."""
    ingest(layout, ring(layout))
    return layout


def lake(layout: Layout) -> dict[str, pl.DataFrame]:
    """What a reader of the current snapshot sees, table by table."""
    found = {}
    for name, paths in lake_files(layout, read_snapshot(layout)).items():
        if name in TABLES and paths:
            rows = pl.concat([pl.read_parquet(path) for path in paths])
            found[name] = rows.sort(rows.columns)
    return found


def same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    return one.keys() == other.keys() and all(one[name].equals(other[name]) for name in one)


def log(layout: Layout) -> list[dict[str, object]]:
    return [json.loads(line) for line in layout.audit.read_text().splitlines()]


def test_a_load_after_rotation_gives_the_pseudonyms_of_the_rekeyed_lake(loaded: Layout) -> None:
    before = lake(loaded)
    custody.rotate(loaded, DOMAIN, WHY)
    assert (ring(loaded).current, ring(loaded).pending, read_snapshot(loaded).epoch) == ("e2", None, "e2")
    rekeyed = lake(loaded)
    assert not set(before["person"]["pseudonym"]) & set(rekeyed["person"]["pseudonym"])
    assert not set(before["diagnosis"]["record_key"]) & set(rekeyed["diagnosis"]["record_key"])
    ingest(loaded, ring(loaded))
    assert same(lake(loaded), rekeyed)


def test_no_version_of_the_lake_from_before_a_rotation_is_left(loaded: Layout) -> None:
    orphan = loaded.lake / "person" / "left-by-a-killed-load.parquet"
    shutil.copy(lake_files(loaded, read_snapshot(loaded))["person"][0], orphan)
    before = lake(loaded)
    custody.rotate(loaded, DOMAIN, WHY)
    named = {Path(path) for paths in lake_files(loaded, read_snapshot(loaded)).values() for path in paths}
    assert {path for path in loaded.lake.rglob("*.parquet") if "_delta_log" not in path.parts} == named
    old = [*before["person"]["pseudonym"], *before["diagnosis"]["record_key"]]
    for path in loaded.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(value in content for value in old), path
    assert not list(loaded.staging.iterdir())


KILLS: dict[str, tuple[object, str, int]] = {
    "before the new epoch": (keys, "change", 1),
    "while re-keying": (custody, "rekey_lake", 1),
    "at the boundary": (custody, "check_boundary", 1),
    "before the first table": (custody, "commit", 1),
    "between two tables": (custody, "commit", 2),
    "before the snapshot": (custody, "write_snapshot", 1),
    "after the snapshot": (custody, "_delete_earlier", 1),
    "before the epoch is brought into use": (keys, "change", 2),
}


class Killed(BaseException):
    """The process ends here; nothing of ours catches it."""


def dying(real: Callable[..., object], nth: int) -> Callable[..., object]:
    calls = 0

    def inner(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise Killed
        return real(*arguments, **named)

    return inner


@pytest.mark.parametrize("when", KILLS)
def test_a_rotation_that_was_killed_leaves_the_old_lake_and_the_next_finishes_it(
    when: str, loaded: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, nth = KILLS[when]
    before = lake(loaded)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying(getattr(owner, name), nth))
        with pytest.raises(Killed):
            custody.rotate(loaded, DOMAIN, WHY)
    assert ring(loaded).current == "e1"
    drawn = ring(loaded).roots.get("e2")
    if when in ("after the snapshot", "before the epoch is brought into use"):
        assert read_snapshot(loaded).epoch == "e2"
        with pytest.raises(KeyUnavailable, match="has not finished"):
            open_keyring(loaded, generated=False)
    else:
        assert same(lake(loaded), before)
        assert open_keyring(loaded, generated=False).current == "e1"
    killed_at = read_snapshot(loaded)
    custody.rotate(loaded, DOMAIN, WHY)
    assert killed_at.epoch == "e1" or read_snapshot(loaded) == killed_at
    assert ring(loaded).current == "e2"
    assert drawn is None or ring(loaded).roots["e2"] == drawn
    rekeyed = lake(loaded)
    ingest(loaded, ring(loaded))
    assert same(lake(loaded), rekeyed)
    assert len(list((loaded.lake / "person").glob("*.parquet"))) == 2  # the rotation's, and the later load's


def test_a_refused_rotation_changes_neither_lake_nor_epoch(loaded: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lake(loaded)
    policy = custody.load_policy()
    monkeypatch.setattr(custody, "load_policy", lambda: replace(policy, inventory={}))
    with pytest.raises(BoundaryRefused):
        custody.rotate(loaded, DOMAIN, WHY)
    assert same(lake(loaded), before)
    assert open_keyring(loaded, generated=False).current == "e1"
    assert not list(loaded.staging.iterdir())


def test_rotation_leaves_nothing_that_an_increment_built_on(loaded: Layout) -> None:
    (memory := memory_file(loaded, "load")).write_bytes(b"sealed")
    index = index_folder(loaded) / "diagnosis"
    index.mkdir(parents=True)
    (index / "0000-01234567.keys").write_bytes(b"marks")
    custody.rotate(loaded, DOMAIN, WHY)
    assert not memory.exists()
    assert not index_folder(loaded).exists()


def test_a_lake_of_an_unknown_epoch_or_of_none_is_not_rotated(loaded: Layout) -> None:
    content = loaded.keyring.read_bytes()
    for epoch, refusal in (("e7", KeyUnavailable), ("", SourceRefused)):
        write_snapshot(loaded, replace(read_snapshot(loaded), epoch=epoch))
        with pytest.raises(refusal):
            custody.rotate(loaded, DOMAIN, WHY)
    assert loaded.keyring.read_bytes() == content


def test_an_empty_lake_rotates_too(layout: Layout) -> None:
    custody.rotate(layout, DOMAIN, WHY)
    assert ring(layout).current == "e2"


def test_destroying_an_epoch_ends_its_way_back_and_the_log_says_so(loaded: Layout) -> None:
    root = ring(loaded).roots["e1"]
    with pytest.raises(KeyUnavailable, match="in use"):
        custody.destroy(loaded, "e1", WHY)
    custody.rotate(loaded, DOMAIN, WHY)
    said = " ".join(custody.destroy(loaded, "e1", "retention has ended"))
    assert set(ring(loaded).roots) == {"e2"}
    with pytest.raises(KeyUnavailable, match="does not exist"):
        ring(loaded).derive("purpose", epoch="e1")
    last = log(loaded)[-1]
    assert (last["action"], last["epoch"], last["reason"], last["outcome"]) == (
        "keys destroy",
        "e1",
        "retention has ended",
        "done",
    )
    for text in (str(last["ended"]), said):
        assert "way back" in text
        assert "link" in text
        assert "quarantine" in text
    assert "backup" in said
    assert root.hex() not in loaded.audit.read_text()
    custody.rotate(loaded, DOMAIN, WHY)
    assert ring(loaded).current == "e3"


def test_the_epoch_that_the_lake_is_in_is_not_destroyed(loaded: Layout) -> None:
    keys.change(replace(ring(loaded).with_pending(), current="e2"), loaded.keyring, SECRET)
    with pytest.raises(KeyUnavailable, match="still in this epoch"):
        custody.destroy(loaded, "e1", WHY)
    assert set(ring(loaded).roots) == {"e1", "e2"}


def test_epochs_are_listed_and_verified(loaded: Layout) -> None:
    assert custody.list_epochs(loaded) == ["e1  (in use)"]
    keys.change(ring(loaded).with_pending(), loaded.keyring, SECRET)
    assert custody.list_epochs(loaded) == ["e1  (in use)", "e2  (a rotation to it has not finished)"]
    assert custody.verify(loaded) == ["The keyring opens: 2 epochs, e1 in use", "The lake is in epoch e1"]


@pytest.mark.parametrize("action", ["rotate", "destroy"])
def test_keys_are_changed_for_a_reason_alone(action: str, layout: Layout) -> None:
    with pytest.raises(UsageRefused, match="reason"):
        getattr(custody, action)(layout, "e1", "  ")


def run(layout: Layout, monkeypatch: pytest.MonkeyPatch, *arguments: str, secret: str = SECRET) -> int:
    """A `caregap keys` command; rotation alone needs more set up, which the whole runs do."""
    settings._taken.clear()
    monkeypatch.setenv("CAREGAP_PASSPHRASE", secret)
    code = cli.run(["keys", *arguments, "--data", str(layout.data)])
    settings._taken.clear()
    return code


def test_the_wrong_passphrase_a_loose_mode_and_a_changed_file_are_refused_with_16(
    loaded: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = loaded.keyring.read_bytes()
    for arguments in (["list"], ["verify"], ["destroy", "--epoch", "e1", "--reason", WHY]):
        assert run(loaded, monkeypatch, *arguments, secret="another") == 16
    loaded.keyring.chmod(0o644)
    assert run(loaded, monkeypatch, "verify") == 16
    loaded.keyring.chmod(0o600)
    assert loaded.keyring.read_bytes() == before
    loaded.keyring.write_bytes(before.replace(b'"current": "e1"', b'"current": "e2"'))
    assert run(loaded, monkeypatch, "verify") == 16
    loaded.keyring.write_bytes(before)
    assert run(loaded, monkeypatch, "verify") == 0
    assert run(loaded, monkeypatch, "create") == 16
    assert run(loaded, monkeypatch, "destroy", "--epoch", "e1") == 2
    assert run(loaded, monkeypatch, "create", "--token-label", "x") == 2
    assert loaded.keyring.read_bytes() == before
    assert len(list(loaded.keyring.parent.iterdir())) == 1
    assert SECRET not in capsys.readouterr().err


def test_a_keyring_in_a_token_is_created_rotated_and_destroyed(
    place: Place,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layout = Layout(tmp_path / "data")
    token = ("--token-module", str(MODULE), "--token-label", place.label)
    assert run(layout, monkeypatch, "create", *token[:3], "no such token", secret=PIN) == 16
    assert run(layout, monkeypatch, "create", *token, secret="1234-1234") == 16
    assert not layout.keyring.exists()
    assert run(layout, monkeypatch, "create", *token, secret=PIN) == 0
    assert run(layout, monkeypatch, "verify", secret="1234-1234") == 16
    monkeypatch.setitem(settings._taken, "CAREGAP_PASSPHRASE", PIN)
    custody.rotate(layout, DOMAIN, WHY)
    assert len(custody.destroy(layout, "e1", WHY)) == 1
    assert custody.list_epochs(layout) == ["e2  (in use)"]


@pytest.mark.slow
def test_keys_are_rotated_on_a_whole_run_s_lake(data: Path, feed: Path, caregap: Caregap) -> None:
    layout = Layout(data)
    assert read_snapshot(layout).epoch == "e1"
    rotated = caregap("keys", "rotate", "--reason", WHY, data=data)
    assert rotated.code == 0, rotated.err
    rekeyed = lake(layout)
    assert caregap("analyse", "--as-of", AS_OF, data=data).code == 0
    again = caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data)
    assert again.code == 0, again.err
    assert read_snapshot(layout).epoch == "e2"
    assert same(lake(layout), rekeyed)
    destroyed = caregap("keys", "destroy", "--epoch", "e1", "--reason", WHY, data=data)
    assert destroyed.code == 0, destroyed.err
