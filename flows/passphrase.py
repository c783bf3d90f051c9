"""How the controller zone comes by the passphrase and the keyring. No other zone imports this."""

import os
import secrets
import sys
from getpass import getpass
from pathlib import Path

from flows import audit
from flows.settings import PASSPHRASES, Layout, take_secrets
from flows.storage import has_snapshot, read_snapshot
from schemas.errors import KeyUnavailable
from transforms.controller import keys
from transforms.controller.keys import Keyring


def passphrase(layout: Layout, *, new: bool = False, pin: bool = False) -> str:
    """The keyring's passphrase, or its token's PIN: from a file, the environment, the made one, or a terminal.

    A `new` passphrase is asked for twice; a PIN exists already.

    Raises KeyUnavailable where there is none, and where a passphrase file can be read by others.
    """
    given = take_secrets()
    if name := given.get("CAREGAP_PASSPHRASE_FILE"):
        return _read(Path(name))
    if text := given.get("CAREGAP_PASSPHRASE"):
        return text
    if layout.passphrase.exists() and not new:
        return _read(layout.passphrase)
    if sys.stdin.isatty():
        first = getpass("PIN of the token: " if pin else "Passphrase of the keyring, or PIN of its token: ")
        if not new or pin or first == getpass("Once more: "):
            return first
        raise KeyUnavailable("the two passphrases differ", "Try again")
    raise KeyUnavailable("there is no passphrase", "Set CAREGAP_PASSPHRASE_FILE to a file of mode 0600 that holds it")


def open_keyring(layout: Layout, *, generated: bool) -> Keyring:
    """The keyring of this data folder; for generated data one is made where there is none.

    Raises KeyUnavailable, also where a rotation was killed after the lake had changed and before the keyring had.
    """
    if not layout.keyring.exists():
        if not generated:
            raise KeyUnavailable("there is no keyring in this data folder", "Create one: caregap keys create")
        _make(layout)
    keyring = keys.load(layout.keyring, passphrase(layout))
    if keyring.pending and has_snapshot(layout) and read_snapshot(layout).epoch == keyring.pending:
        raise KeyUnavailable("a rotation of the keys has not finished", "Finish it: caregap keys rotate --reason TEXT")
    return keyring


def epoch_in_use(layout: Layout) -> str:
    """The epoch in use, from the keyring's header; no passphrase is needed. Raises KeyUnavailable."""
    return keys.epoch_in_use(layout.keyring)


def _make(layout: Layout) -> None:
    """A keyring for nobody's data, with its passphrase in a file beside it unless one is given."""
    given = any(name in take_secrets() for name in PASSPHRASES)
    text = passphrase(layout, new=True) if given else secrets.token_urlsafe(32)
    if not given:
        layout.passphrase.unlink(missing_ok=True)
        with os.fdopen(os.open(layout.passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    keys.save(keys.new_keyring(), layout.keyring, text)
    audit.record(layout.audit, "keys create", purpose="generated data", epoch="e1")


def _read(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise KeyUnavailable("the passphrase file can be read by others", "chmod 600 it")
        return path.read_text("utf-8").strip()
    except OSError:
        pass
    raise KeyUnavailable("the passphrase file cannot be read", "Check CAREGAP_PASSPHRASE_FILE")
