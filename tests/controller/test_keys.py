import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import KeyUnavailable
from transforms.controller import keys


@pytest.fixture
def keyring_file(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    keys.save(keys.Keyring("e1", {"e1": bytes(range(32))}), path, "a long passphrase")
    return path


def test_a_saved_keyring_opens_with_its_passphrase(keyring_file: Path) -> None:
    assert keys.load(keyring_file, "a long passphrase").roots == {"e1": bytes(range(32))}


def test_the_file_holds_no_key_and_only_its_owner_reads_it(keyring_file: Path) -> None:
    assert keyring_file.stat().st_mode & 0o777 == 0o600
    assert bytes(range(32)).hex() not in keyring_file.read_text()
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


@pytest.mark.parametrize("part", ["salt", "nonce", "kdf", "format", "sealed"])
def test_a_changed_file_is_refused(keyring_file: Path, part: str) -> None:
    content = json.loads(keyring_file.read_text())
    if part == "kdf":
        content["header"]["kdf"]["passes"] += 1
    elif part == "sealed":
        content["sealed"] = "AAAA" + content["sealed"][4:]
    else:
        content["header"][part] = "AAAA" + content["header"][part][4:]
    keyring_file.write_text(json.dumps(content))
    with pytest.raises(KeyUnavailable):
        keys.load(keyring_file, "a long passphrase")


def test_a_header_cannot_weaken_the_derivation(keyring_file: Path) -> None:
    content = json.loads(keyring_file.read_text())
    content["header"]["kdf"]["memory_kib"] = 8
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
    keyring = keys.Keyring("e1", {"e1": bytes(range(32))})
    assert bytes(range(32)).hex() not in f"{keyring!r}{keyring}"
    assert "\\x01" not in f"{keyring!r}{keyring}"


def test_hkdf_gives_the_published_answer() -> None:
    """RFC 5869, A.1: the primitive that derivation stands on."""
    derived = HKDF(
        SHA256(), 42, bytes.fromhex("000102030405060708090a0b0c"), bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    ).derive(b"\x0b" * 22)
    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def test_parts_are_bound_to_their_lengths() -> None:
    assert keys.derive(bytes(32), "ab", "c") != keys.derive(bytes(32), "a", "bc")
