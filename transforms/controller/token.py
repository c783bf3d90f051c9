"""A keyring's sealing key, wrapped by a key that never leaves a PKCS#11 token.

The sealing key is 32 random bytes; the token wraps it with an AES-256 key of its own that is sensitive and not
extractable (CKM_AES_KEY_WRAP, RFC 3394). Whoever has the keyring file and not the token, or the token and not its
PIN, has nothing. python-pkcs11 is optional and imported here alone, when a token is used.
"""

import contextlib
import importlib
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import KeyUnavailable

NAME = "pkcs11"
_REASONS = {
    "NoSuchToken": ("the token is not there", "Insert it, or start what serves it; check its label"),
    "TokenNotPresent": ("the token is not there", "Insert it, or start what serves it"),
    "PinIncorrect": ("the PIN of the token is wrong", "Give the right one; a token locks after a few wrong ones"),
    "PinLenRange": ("the PIN of the token is wrong", "Give the right one; a token locks after a few wrong ones"),
    "PinLocked": ("the PIN of the token is locked", "Its security officer can unlock it"),
    "NoSuchKey": ("the token has no key that opens this keyring", "Use the token that it was created with"),
    "MultipleTokensReturned": ("several tokens have this label", "Give the token a label of its own"),
}
"""What the kinds of error of python-pkcs11 that a custodian can mend mean."""


@dataclass(frozen=True)
class Place:
    """Which token: the PKCS#11 module's file, and the token's label."""

    module: str
    label: str


def new_seal(place: Place, pin: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make a key in the token and wrap a fresh sealing key with it; the keyring `before` it stays the same one.

    Raises KeyUnavailable, with no key left behind, where the token is missing, refuses the PIN or cannot do it.
    """
    ring = str(before["ring"]) if before else secrets.token_hex(8)
    seal = {"name": NAME, "module": place.module, "token": place.label, "ring": ring, "key": secrets.token_hex(8)}
    with _session(place, pin, write=True) as (pkcs11, session):
        wrapping = session.generate_key(
            pkcs11.KeyType.AES,
            256,
            label=_label(seal),
            id=bytes.fromhex(seal["key"]),
            store=True,
            capabilities=pkcs11.MechanismFlag.WRAP | pkcs11.MechanismFlag.UNWRAP,
            template={
                pkcs11.Attribute.SENSITIVE: True,
                pkcs11.Attribute.EXTRACTABLE: False,
                pkcs11.Attribute.PRIVATE: True,
            },
        )
        try:
            passing = {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET,
                pkcs11.Attribute.VALUE: secrets.token_bytes(32),
                pkcs11.Attribute.EXTRACTABLE: True,
                pkcs11.Attribute.SENSITIVE: False,
                pkcs11.Attribute.TOKEN: False,
            }
            sealing = session.create_object(passing)
            wrapped = wrapping.wrap_key(sealing, mechanism=pkcs11.Mechanism.AES_KEY_WRAP)
            sealing.destroy()
        except BaseException:
            wrapping.destroy()
            raise
    return {**seal, "wrapped": b64encode(wrapped).decode()}


def unwrap(seal: dict[str, Any], pin: str) -> bytes:
    """The sealing key. Raises KeyUnavailable: token, key or PIN missing or wrong, or the keyring was changed."""
    wrapped = b64decode(seal["wrapped"], validate=True)
    with _session(place_of(seal), pin) as (pkcs11, session):
        wrapping = session.get_key(
            object_class=pkcs11.ObjectClass.SECRET_KEY, label=_label(seal), id=bytes.fromhex(seal["key"])
        )
        sealing = wrapping.unwrap_key(
            pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.KeyType.GENERIC_SECRET,
            wrapped,
            mechanism=pkcs11.Mechanism.AES_KEY_WRAP,
            store=False,
            template={pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False},
        )
        value = bytes(sealing[pkcs11.Attribute.VALUE])
        sealing.destroy()
    return value


def discard(seal: dict[str, Any], pin: str) -> None:
    """Destroy the token's key of a seal: what it seals opens no more."""
    _destroy(seal, pin, lambda key: key == seal["key"])


def discard_others(seal: dict[str, Any], pin: str) -> None:
    """Destroy the token's keys of earlier seals of the same keyring, those of killed runs among them."""
    _destroy(seal, pin, lambda key: key != seal["key"])


def place_of(seal: dict[str, Any]) -> Place:
    """Which token a seal is in."""
    return Place(str(seal["module"]), str(seal["token"]))


def _destroy(seal: dict[str, Any], pin: str, meant: Any) -> None:
    with _session(place_of(seal), pin, write=True) as (pkcs11, session):
        wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.LABEL: _label(seal)}
        for key in list(session.get_objects(wanted)):
            if meant(key[pkcs11.Attribute.ID].hex()):
                key.destroy()


@contextlib.contextmanager
def _session(place: Place, pin: str, *, write: bool = False) -> Iterator[tuple[Any, Any]]:
    """The library and a session of the token's user; every error of the token becomes a KeyUnavailable."""
    try:
        pkcs11 = importlib.import_module("pkcs11")
    except ImportError:
        pkcs11 = None
    if pkcs11 is None:
        raise KeyUnavailable("python-pkcs11 is not installed", "pip install 'caregap[token]'")
    module = _trusted(place.module)
    kind = None
    try:
        with pkcs11.lib(module).get_token(token_label=place.label).open(rw=write, user_pin=pin) as session:
            yield pkcs11, session
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        kind = type(error).__name__
    if kind is not None:
        raise KeyUnavailable(*_REASONS.get(kind, (f"the token refused ({kind})", "Check module, token and keyring")))


def _trusted(module: str) -> str:
    """The module's file, which runs with our rights and is named by a file that is not authenticated yet."""
    path = Path(module)
    try:
        found = path.stat() if path.is_absolute() else None
    except OSError:
        found = None
    if found is None:
        raise KeyUnavailable("the token's PKCS#11 module is not there", "Install it; give its whole path")
    if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022:
        raise KeyUnavailable("others can change the token's PKCS#11 module", "Use one that only root can write")
    return module


def _label(seal: dict[str, Any]) -> str:
    return f"caregap-{seal['ring']}"
