"""A keyring in a PKCS#11 token, tried on SoftHSM2."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import KeyUnavailable
from tests.conftest import needs
from transforms.controller import keys, token
from transforms.controller.token import Place

MODULES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so")]
MODULE = next((path for path in MODULES if path.exists()), None)
PIN, LABEL = "4711-4711", "controller"
KEYRING = keys.Keyring("e1", {"e1": bytes(range(32))}, bytes(range(1, 33)))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A token of this session. SoftHSM2 reads its configuration once a process."""
    needs(MODULE and shutil.which("softhsm2-util"), "SoftHSM2", "softhsm2")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", "0815-0815", "--pin", PIN],
        check=True,
        capture_output=True,
    )
    return Place(str(MODULE), LABEL)


@pytest.fixture
def keyring_file(place: Place, tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    keys.save(KEYRING, path, PIN, place=place)
    return path


def seal_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())["header"]["seal"])


def keys_in(place: Place) -> set[str]:
    """The ids of all keys of ours in the token."""
    with token._session(place, PIN) as (pkcs11, session):
        objects = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        return {found[pkcs11.Attribute.ID].hex() for found in objects}


def test_a_keyring_opens_with_the_token_and_its_pin(keyring_file: Path) -> None:
    assert keys.load(keyring_file, PIN) == KEYRING
    assert keys.is_in_token(keyring_file)
    assert keyring_file.stat().st_mode & 0o777 == 0o600


def test_the_token_s_key_can_not_be_read_and_the_file_holds_no_key(place: Place, keyring_file: Path) -> None:
    seal = seal_of(keyring_file)
    opened = token.unwrap(seal, PIN)
    with token._session(place, PIN) as (pkcs11, session):
        wrapping = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=bytes.fromhex(seal["key"]))
        assert wrapping[pkcs11.Attribute.NEVER_EXTRACTABLE]
        assert wrapping[pkcs11.Attribute.ALWAYS_SENSITIVE]
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            wrapping[pkcs11.Attribute.VALUE]
    assert len(opened) == 32
    assert opened not in keyring_file.read_bytes()
    assert opened.hex() not in keyring_file.read_text()


@pytest.mark.parametrize("pin", ["4711-4712", "1", ""])
def test_a_wrong_pin_is_refused(pin: str, keyring_file: Path) -> None:
    before = keyring_file.read_bytes()
    with pytest.raises(KeyUnavailable, match="PIN"):
        keys.load(keyring_file, pin)
    assert keyring_file.read_bytes() == before
    assert keys.load(keyring_file, PIN) == KEYRING


def test_a_missing_token_is_refused_and_nothing_is_written(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    before = keys_in(place)
    with pytest.raises(KeyUnavailable, match="not there"):
        keys.save(KEYRING, path, PIN, place=Place(place.module, "another"))
    assert not path.exists()
    assert keys_in(place) == before


@pytest.mark.parametrize("part", ["token", "ring", "key", "wrapped", "module", "name"])
def test_a_changed_seal_is_refused(part: str, keyring_file: Path) -> None:
    content = json.loads(keyring_file.read_text())
    seal = content["header"]["seal"]
    seal[part] = seal[part][:-4] + ("0000" if seal[part][-4:] != "0000" else "1111")
    keyring_file.write_text(json.dumps(content))
    with pytest.raises(KeyUnavailable):
        keys.load(keyring_file, PIN)


def test_a_wrapped_key_that_was_changed_is_refused(keyring_file: Path) -> None:
    content = json.loads(keyring_file.read_text())
    wrapped = content["header"]["seal"]["wrapped"]
    content["header"]["seal"]["wrapped"] = ("A" if wrapped[0] != "A" else "B") + wrapped[1:]
    keyring_file.write_text(json.dumps(content))
    with pytest.raises(KeyUnavailable, match="token refused"):
        keys.load(keyring_file, PIN)


@pytest.mark.parametrize("step", ["open", "fsync", "link"])
def test_a_keyring_that_cannot_be_written_leaves_no_key_in_the_token(
    step: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys_in(place)

    def disk_full(*arguments: object, **named: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(keys.os, step, disk_full)
    with pytest.raises(KeyUnavailable, match="cannot be written"):
        keys.save(KEYRING, tmp_path / "keyring.json", PIN, place=place)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []
    assert keys_in(place) == before


def test_an_older_copy_of_a_changed_keyring_opens_no_more(place: Place, keyring_file: Path) -> None:
    copy, seal = keyring_file.read_bytes(), seal_of(keyring_file)
    killed = token.new_seal(place, PIN, seal)  # a run that was killed before it wrote the file
    keys.change(KEYRING.with_pending(), keyring_file, PIN)
    assert keys.load(keyring_file, PIN).pending == "e2"
    assert not keys_in(place) & {seal["key"], killed["key"]}
    keyring_file.write_bytes(copy)
    with pytest.raises(KeyUnavailable, match="no key that opens"):
        keys.load(keyring_file, PIN)


def test_two_keyrings_share_a_token(place: Place, keyring_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    keys.save(KEYRING.with_pending(), other, PIN, place=place)
    keys.change(KEYRING, keyring_file, PIN)
    assert keys.load(other, PIN).pending == "e2"


def test_a_module_that_is_not_there_or_that_others_can_change_is_refused(tmp_path: Path) -> None:
    module = tmp_path / "module.so"
    for name in (str(module), "module.so"):
        with pytest.raises(KeyUnavailable, match="is not there"):
            token.new_seal(Place(name, LABEL), PIN)
    module.touch()
    module.chmod(0o666)
    with pytest.raises(KeyUnavailable, match="others can change"):
        token.new_seal(Place(str(module), LABEL), PIN)
    module.chmod(0o600)
    with pytest.raises(KeyUnavailable, match="token refused"):
        token.new_seal(Place(str(module), LABEL), PIN)


def test_without_python_pkcs11_a_token_is_refused_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)
    with pytest.raises(KeyUnavailable, match=r"caregap\[token\]"):
        keys.save(KEYRING, tmp_path / "keyring.json", PIN, place=Place("/module.so", LABEL))
    assert os.listdir(tmp_path) == []
