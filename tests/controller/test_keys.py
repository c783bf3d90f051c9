import json
import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import KeyUnavailable
from transforms.controller import keys

KEYRING = keys.Keyring("e1", {"e1": bytes(range(32))}, bytes(range(1, 33)))


@pytest.fixture
def keyring_file(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    keys.save(KEYRING, path, "a long passphrase")
    return path


def test_a_saved_keyring_opens_with_its_passphrase(keyring_file: Path) -> None:
    assert keys.load(keyring_file, "a long passphrase") == KEYRING
    assert keys.epoch_in_use(keyring_file) == "e1"
    assert not keys.is_in_token(keyring_file)


def test_the_file_holds_no_key_and_only_its_owner_reads_it(keyring_file: Path) -> None:
    assert keyring_file.stat().st_mode & 0o777 == 0o600
    for root in (bytes(range(32)), bytes(range(1, 33))):
        assert root.hex() not in keyring_file.read_text()
    assert os.listdir(keyring_file.parent) == ["keyring.json"]


def test_a_wrong_passphrase_is_refused(keyring_file: Path) -> None:
    with pytest.raises(KeyUnavailable, match="passphrase is wrong"):
        keys.load(keyring_file, "another")


def test_a_keyring_that_others_can_read_is_refused(keyring_file: Path) -> None:
    keyring_file.chmod(0o640)
    with pytest.raises(KeyUnavailable, match="read by others"):
        keys.load(keyring_file, "a long passphrase")


def test_a_missing_keyring_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="no keyring"):
        keys.load(tmp_path / "none.json", "x")


@pytest.mark.parametrize("part", ["salt", "nonce", "passes", "lanes", "name", "current", "format", "seal", "sealed"])
def test_a_changed_file_is_refused(keyring_file: Path, part: str) -> None:
    content = json.loads(keyring_file.read_text())
    seal = content["header"]["seal"]
    if part in ("passes", "lanes"):
        seal[part] += 1
    elif part in ("salt", "name"):
        seal[part] = "AAAA" + seal[part][4:]
    elif part == "sealed":
        content["sealed"] = "AAAA" + content["sealed"][4:]
    elif part == "seal":
        content["header"]["seal"] = None
    else:
        content["header"][part] = "AAAA" + content["header"][part][4:]
    keyring_file.write_text(json.dumps(content))
    with pytest.raises(KeyUnavailable):
        keys.load(keyring_file, "a long passphrase")


def test_a_header_cannot_weaken_the_derivation(keyring_file: Path) -> None:
    content = json.loads(keyring_file.read_text())
    content["header"]["seal"]["memory_kib"] = 8
    keyring_file.write_text(json.dumps(content))
    with pytest.raises(KeyUnavailable, match="damaged"):
        keys.load(keyring_file, "a long passphrase")


def test_a_keyring_is_never_overwritten_by_a_new_one(keyring_file: Path) -> None:
    before = keyring_file.read_bytes()
    with pytest.raises(KeyUnavailable, match="exists already"):
        keys.save(keys.new_keyring(), keyring_file, "x")
    assert keyring_file.read_bytes() == before
    assert os.listdir(keyring_file.parent) == ["keyring.json"]


def test_an_epoch_without_a_key_is_refused() -> None:
    with pytest.raises(KeyUnavailable, match="epoch"):
        keys.new_keyring().derive("purpose", epoch="e9")


def test_neither_repr_nor_str_shows_a_key() -> None:
    shown = f"{KEYRING!r}{KEYRING}"
    assert shown == "Keyring(current='e1')" * 2


def disk_full(*arguments: object, **named: object) -> NoReturn:
    raise OSError("disk full")


STEPS = {"open": (keys.os, "open"), "write": (json, "dump"), "sync": (keys.os, "fsync")}


@pytest.mark.parametrize("step", [*STEPS, "link"])
def test_a_keyring_that_cannot_be_created_leaves_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*({**STEPS, "link": (keys.os, "link")}[step]), disk_full)
    with pytest.raises(KeyUnavailable, match="cannot be written"):
        keys.save(KEYRING, tmp_path / "keyring.json", "x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", [*STEPS, "replace"])
def test_a_keyring_that_cannot_be_changed_stays_as_it_was(
    step: str, keyring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keyring_file.read_bytes()
    monkeypatch.setattr(*({**STEPS, "replace": (Path, "replace")}[step]), disk_full)
    with pytest.raises(KeyUnavailable, match="cannot be written"):
        keys.change(KEYRING.with_pending(), keyring_file, "a long passphrase")
    assert keyring_file.read_bytes() == before
    assert os.listdir(keyring_file.parent) == ["keyring.json"]


def test_a_changed_keyring_opens_by_the_same_passphrase_and_is_sealed_anew(keyring_file: Path) -> None:
    before = json.loads(keyring_file.read_text())
    keys.change(KEYRING.with_pending(), keyring_file, "a long passphrase")
    after = json.loads(keyring_file.read_text())
    assert keys.load(keyring_file, "a long passphrase").pending == "e2"
    assert keyring_file.stat().st_mode & 0o777 == 0o600
    assert before["header"]["nonce"] != after["header"]["nonce"]
    assert before["header"]["seal"]["salt"] != after["header"]["seal"]["salt"]


def test_the_next_epoch_is_drawn_once_and_waits_until_it_is_brought_into_use() -> None:
    waiting = KEYRING.with_pending()
    assert (waiting.current, waiting.pending) == ("e1", "e2")
    assert waiting.with_pending() == waiting
    assert waiting.roots["e1"] == KEYRING.roots["e1"] != waiting.roots["e2"]
    assert waiting.digest == KEYRING.digest
    later = keys.Keyring("e10", {"e9": bytes(32), "e10": bytes(32)}, bytes(32))
    assert later.pending is None
    assert later.with_pending().pending == "e11"


def test_an_epoch_in_use_or_being_rotated_to_is_never_destroyed() -> None:
    waiting = KEYRING.with_pending()
    for epoch in ("e1", "e2"):
        with pytest.raises(KeyUnavailable, match="in use"):
            waiting.without(epoch)
    with pytest.raises(KeyUnavailable, match="no such epoch"):
        waiting.without("e3")
    left = replace(waiting, current="e2").without("e1")
    assert set(left.roots) == {"e2"}
    with pytest.raises(KeyUnavailable, match="does not exist"):
        left.derive("purpose", epoch="e1")


def test_hkdf_gives_the_published_answer() -> None:
    """RFC 5869, A.1: the primitive that derivation stands on."""
    derived = HKDF(
        SHA256(), 42, bytes.fromhex("000102030405060708090a0b0c"), bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    ).derive(b"\x0b" * 22)
    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def test_parts_are_bound_to_their_lengths() -> None:
    assert keys.derive(bytes(32), "ab", "c") != keys.derive(bytes(32), "a", "bc")
