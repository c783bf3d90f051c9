"""Every planted leak is found in the files, and each guard is the one that finds some of them."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.errors import BoundaryRefused
from schemas.policy import load_policy
from tests.leaks import clean
from tests.leaks.clean import CODE, EMAIL, FAMILY, NAME, PHONE, Staged, files_in
from tests.leaks.planted import LEAKS, Leak
from transforms.controller import boundary
from transforms.controller.canaries import Canaries

REMOVED: dict[str, Any] = {
    "check_approved": None, "check_name": None, "check_format": None, "check_types": None, "check_metadata": None,
    "check_binary": None, "check_numbers": None, "kinds_of": None, "whole_kinds": None,
    "count_in_bytes": 0, "encoded_digests": 0, "most": 1 << 40, "holds_identity_code": False,
    "ends_identity_code": False, "split_identity_codes": [],
}  # fmt: skip
"""What each guard answers when it is taken out."""


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    return clean.canaries()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "load"
    clean.load(folder)
    return folder


def planted(leak: Leak, loaded: Path, tmp_path: Path) -> dict[str, list[Path]]:
    folder = Path(shutil.copytree(loaded, tmp_path / "load"))
    leak.plant(Staged(folder))
    return files_in(folder)


def is_refused(files: dict[str, list[Path]], canaries: Canaries) -> bool:
    """Whether the boundary says no; a crash further on is no refusal, and its text may show a value."""
    try:
        boundary.check_boundary(files, load_policy(), canaries)
    except BoundaryRefused:
        return True
    except Exception:
        return False
    return False


def take_out(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if guard == "ill_shaped":
        monkeypatch.setattr(boundary, guard, lambda values, *_: pl.Series([False]).new_from_index(0, len(values)))
    else:
        monkeypatch.setattr(boundary, guard, lambda *_, **__: REMOVED[guard])


def test_the_files_pass_while_nothing_is_planted(loaded: Path, canaries: Canaries) -> None:
    files = files_in(loaded)
    assert set(files) >= {"person", "residence", "diagnosis", "contact", "measurement", "medication", "area"}
    boundary.check_boundary(files, load_policy(), canaries)


def test_there_are_enough_leaks_and_each_is_another() -> None:
    assert len({leak.name for leak in LEAKS}) == len(LEAKS) >= 40


@pytest.mark.parametrize("leak", LEAKS, ids=[leak.name for leak in LEAKS])
def test_a_planted_leak_is_refused_without_being_shown(
    leak: Leak, loaded: Path, canaries: Canaries, tmp_path: Path
) -> None:
    files = planted(leak, loaded, tmp_path)
    with pytest.raises(BoundaryRefused) as caught:
        boundary.check_boundary(files, load_policy(), canaries)
    refusal = caught.value
    assert refusal.exit_code == 12
    assert refusal.table in files
    assert refusal.__cause__ is None
    assert refusal.__context__ is None
    for secret in (CODE, CODE[:6], NAME, FAMILY, EMAIL, PHONE):
        assert secret.lower() not in str(refusal).lower()


@pytest.mark.parametrize("guard", sorted({leak.guard for leak in LEAKS}))
def test_without_a_guard_some_leak_gets_through(
    guard: str, loaded: Path, canaries: Canaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out(guard, monkeypatch)
    own = [leak for leak in LEAKS if leak.guard == guard]
    through = 0
    for number, leak in enumerate(own):
        folder = tmp_path / str(number)
        folder.mkdir()
        through += not is_refused(planted(leak, loaded, folder), canaries)
    assert through > 0
