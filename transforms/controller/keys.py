"""The keyring: one root key an epoch, sealed by a passphrase; every other key is derived.

The file is JSON: a header (format, Argon2id parameters, salt, nonce) that AES-256-GCM authenticates, and the sealed
epochs. It is created exclusively with mode 0600 and refused when looser. Derived keys are never stored.

Argon2id: RFC 9106, second recommended option (64 MiB, 3 passes, 4 lanes). HKDF: RFC 5869 with SHA-256.
"""

import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import KeyUnavailable

FORMAT = "caregap-keyring/1"
MEMORY_KIB, PASSES, LANES = 64 * 1024, 3, 4
PSEUDONYM_VERSION = "pseudo/v1"
QUARANTINE_VERSION = "quarantine/v1"


@dataclass(frozen=True)
class Keyring:
    """An opened keyring: root keys by epoch, and the epoch in use. Its repr shows no key."""

    current: str
    roots: dict[str, bytes]

    def __repr__(self) -> str:
        """Names of the epochs only."""
        return f"Keyring(current={self.current!r}, epochs={sorted(self.roots)})"

    def derive(self, *parts: str, epoch: str | None = None) -> bytes:
        """Derive the 32-byte key for a purpose, each part of which is bound to its length.

        Raises KeyUnavailable where the epoch's root key does not exist any more.
        """
        name = epoch or self.current
        if name not in self.roots:
            raise KeyUnavailable(
                "the key of this epoch does not exist", "It may have been destroyed: caregap keys list"
            )
        return derive(self.roots[name], *parts)


def derive(root: bytes, *parts: str) -> bytes:
    """HKDF-SHA-256 of a root key; info is each part as a 2-byte big-endian length and its UTF-8 bytes."""
    encoded = [part.encode() for part in parts]
    info = b"".join(len(part).to_bytes(2, "big") + part for part in encoded)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)


def new_keyring(epoch: str = "e1") -> Keyring:
    """Draw a root key for a first epoch."""
    return Keyring(current=epoch, roots={epoch: secrets.token_bytes(32)})


def save(keyring: Keyring, path: Path, passphrase: str, *, replace: bool = False) -> None:
    """Seal a keyring into a file of mode 0600, beside it first.

    Raises KeyUnavailable where a keyring is already there and `replace` does not say that it may go.
    """
    if path.exists() and not replace:
        raise KeyUnavailable("a keyring exists already", "Use it, or choose another data folder")
    nonce = secrets.token_bytes(12)
    header: dict[str, Any] = {
        "format": FORMAT,
        "kdf": {"name": "argon2id", "memory_kib": MEMORY_KIB, "passes": PASSES, "lanes": LANES},
        "salt": b64encode(secrets.token_bytes(16)).decode(),
        "nonce": b64encode(nonce).decode(),
    }
    inner = json.dumps({"current": keyring.current, "roots": {e: key.hex() for e, key in keyring.roots.items()}})
    sealed = _cipher(header, passphrase).encrypt(nonce, inner.encode(), _authenticated(header))
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"header": header, "sealed": b64encode(sealed).decode()}, file)
        file.flush()
        os.fsync(file.fileno())
    if replace:
        beside.replace(path)
        return
    try:
        os.link(beside, path)
    except FileExistsError:
        raise KeyUnavailable("a keyring exists already", "Use it, or choose another data folder") from None
    finally:
        beside.unlink()


def load(path: Path, passphrase: str) -> Keyring:
    """Open a keyring file. Raises KeyUnavailable: missing, readable by others, changed, or another passphrase."""
    try:
        file = path.open("rb")
    except OSError:
        raise KeyUnavailable("there is no keyring to open", "Create one: caregap keys create") from None
    with file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise KeyUnavailable("the keyring can be read by others", "Find out who read it; then chmod 600 it")
        content = file.read()
    try:
        outer = json.loads(content)
        header, sealed = outer["header"], b64decode(outer["sealed"], validate=True)
        if header["format"] != FORMAT:
            raise ValueError
        cipher = _cipher(header, passphrase)
        inner = json.loads(cipher.decrypt(b64decode(header["nonce"]), sealed, _authenticated(header)))
        return Keyring(inner["current"], {epoch: bytes.fromhex(key) for epoch, key in inner["roots"].items()})
    except InvalidTag:
        rule, mend = "the passphrase is wrong or the keyring was changed", "Give the right passphrase, or restore it"
    except (ValueError, KeyError, TypeError):
        rule, mend = "the keyring is damaged", "Restore it from its backup"
    raise KeyUnavailable(rule, mend)


def _cipher(header: dict[str, Any], passphrase: str) -> AESGCM:
    parameters = header["kdf"]
    # Bounds, so that a changed header cannot weaken the derivation or exhaust the machine.
    if not (MEMORY_KIB <= parameters["memory_kib"] <= 16 * MEMORY_KIB and PASSES <= parameters["passes"] <= 64):
        raise ValueError
    kdf = Argon2id(
        salt=b64decode(header["salt"]),
        length=32,
        iterations=parameters["passes"],
        lanes=parameters["lanes"],
        memory_cost=parameters["memory_kib"],
    )
    return AESGCM(kdf.derive(passphrase.encode()))


def _authenticated(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
