"""The keyring: a root key an epoch and one that lasts, sealed; every other key is derived from them.

The file is JSON: a header (format, epoch in use, how it is sealed, nonce) that AES-256-GCM authenticates, and the
sealed roots. What seals it is a key from a passphrase (Argon2id) or one that only a PKCS#11 token can unwrap. It is
created exclusively with mode 0600 and refused when looser. Derived keys are never stored.

Argon2id: RFC 9106, second recommended option (64 MiB, 3 passes, 4 lanes). HKDF: RFC 5869 with SHA-256.
"""

import contextlib
import json
import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import KeyUnavailable
from transforms.controller import token

FORMAT = "caregap-keyring/2"
MEMORY_KIB, PASSES, LANES = 64 * 1024, 3, 4
PSEUDONYM_VERSION = "pseudo/v1"
QUARANTINE_VERSION = "quarantine/v1"
_EXISTS = ("a keyring exists already", "Use it, or choose another data folder")
_RESTORE = "Restore it from its backup"


@dataclass(frozen=True)
class Keyring:
    """An opened keyring: root keys by epoch (e1, e2, ...), and the epoch in use. Its repr shows no key.

    `digest` is the root that never changes, from which identifiers too long for a block are digested. None: there is
    none, and such identifiers are refused.
    """

    current: str
    roots: dict[str, bytes] = field(repr=False)
    digest: bytes | None = field(default=None, repr=False)

    @property
    def pending(self) -> str | None:
        """The epoch of a rotation that has not finished, or None."""
        newest = max(self.roots, key=_number)
        return newest if _number(newest) > _number(self.current) else None

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

    def derive_lasting(self, *parts: str) -> bytes | None:
        """Derive a key that is the same in every epoch; None where the keyring has no such root."""
        return None if self.digest is None else derive(self.digest, *parts)

    def with_pending(self) -> "Keyring":
        """The keyring with a root key for the next epoch, unless it has one already."""
        if self.pending:
            return self
        return replace(self, roots={**self.roots, f"e{_number(self.current) + 1}": secrets.token_bytes(32)})

    def without(self, epoch: str) -> "Keyring":
        """The keyring without an earlier epoch. KeyUnavailable: no such epoch, in use, or being rotated to."""
        if epoch not in self.roots:
            raise KeyUnavailable("there is no such epoch", "See caregap keys list")
        if epoch in (self.current, self.pending):
            raise KeyUnavailable("the epoch is in use", "Rotate first: caregap keys rotate --reason TEXT")
        return replace(self, roots={name: root for name, root in self.roots.items() if name != epoch})


def derive(root: bytes, *parts: str) -> bytes:
    """HKDF-SHA-256 of a root key; info is each part as a 2-byte big-endian length and its UTF-8 bytes."""
    encoded = [part.encode() for part in parts]
    info = b"".join(len(part).to_bytes(2, "big") + part for part in encoded)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)


def new_keyring(epoch: str = "e1") -> Keyring:
    """Draw the root key of a first epoch and the one that lasts."""
    return Keyring(epoch, {epoch: secrets.token_bytes(32)}, secrets.token_bytes(32))


def save(keyring: Keyring, path: Path, secret: str, *, place: token.Place | None = None) -> None:
    """Seal a new keyring into a file of mode 0600, beside it first: by a passphrase, or in a token by its PIN.

    Raises KeyUnavailable where a keyring is there already, the token does not do it or the file cannot be written;
    neither a file nor a key in the token is left behind then.
    """
    if path.exists():
        raise KeyUnavailable(*_EXISTS)
    seal = _passphrase_seal() if place is None else token.new_seal(place, secret)
    with _discarded_on_failure(seal, secret), _beside(keyring, seal, secret, path) as beside:
        os.link(beside, path)


def change(keyring: Keyring, path: Path, secret: str) -> None:
    """Seal a changed keyring in the place of the one at `path`, by the same means under a fresh sealing key.

    In a token the sealing keys before are destroyed, so that no older copy of the file opens any more. Raises
    KeyUnavailable, with the keyring as it was.
    """
    before = _read(path)[0]["seal"]
    seal = token.new_seal(token.place_of(before), secret, before) if _in_token(before) else _passphrase_seal()
    with _discarded_on_failure(seal, secret), _beside(keyring, seal, secret, path) as beside:
        beside.replace(path)
    if _in_token(seal):
        token.discard_others(seal, secret)


def load(path: Path, secret: str) -> Keyring:
    """Open a keyring file with its passphrase, or the PIN of its token.

    Raises KeyUnavailable: missing, readable by others, changed, another passphrase, or a token that does not do it.
    """
    header, sealed = _read(path)
    try:
        cipher = AESGCM(_sealing_key(header["seal"], secret))
        inner = json.loads(cipher.decrypt(b64decode(header["nonce"]), sealed, _authenticated(header)))
        roots = {epoch: bytes.fromhex(root) for epoch, root in inner["roots"].items()}
        return Keyring(header["current"], roots, bytes.fromhex(inner["digest"]))
    except InvalidTag:
        rule, mend = "the passphrase is wrong or the keyring was changed", "Give the right passphrase, or restore it"
    except (ValueError, KeyError, TypeError):
        rule, mend = "the keyring is damaged", _RESTORE
    raise KeyUnavailable(rule, mend)


def epoch_in_use(path: Path) -> str:
    """The epoch in use, which the header of a keyring file names in the clear. Raises KeyUnavailable."""
    return str(_read(path)[0]["current"])


def is_in_token(path: Path) -> bool:
    """Whether a keyring file is sealed by a token. Raises KeyUnavailable."""
    return _in_token(_read(path)[0]["seal"])


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and sealed part of a keyring file, neither authenticated yet."""
    try:
        file = path.open("rb")
    except OSError:
        file = None
    if file is None:
        raise KeyUnavailable("there is no keyring to open", "Create one: caregap keys create")
    with file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise KeyUnavailable("the keyring can be read by others", "Find out who read it; then chmod 600 it")
        content = file.read()
    try:
        outer = json.loads(content)
        header, sealed = outer["header"], b64decode(outer["sealed"], validate=True)
        if header["format"] == FORMAT and isinstance(header["seal"], dict) and isinstance(header["current"], str):
            return header, sealed
    except (ValueError, KeyError, TypeError):
        pass
    raise KeyUnavailable("the keyring is damaged, or of another version of caregap", _RESTORE)


def _sealed(keyring: Keyring, seal: dict[str, Any], secret: str) -> dict[str, Any]:
    if keyring.digest is None:
        raise AssertionError("a keyring without a digest root must not be saved")
    nonce = secrets.token_bytes(12)
    header = {"format": FORMAT, "current": keyring.current, "seal": seal, "nonce": b64encode(nonce).decode()}
    roots = {epoch: root.hex() for epoch, root in keyring.roots.items()}
    inner = json.dumps({"roots": roots, "digest": keyring.digest.hex()})
    sealed = AESGCM(_sealing_key(seal, secret)).encrypt(nonce, inner.encode(), _authenticated(header))
    return {"header": header, "sealed": b64encode(sealed).decode()}


@contextlib.contextmanager
def _beside(keyring: Keyring, seal: dict[str, Any], secret: str, path: Path) -> Iterator[Path]:
    """The sealed keyring in a file of mode 0600 beside `path`, on the disk when handed out, and gone afterwards."""
    content = _sealed(keyring, seal, secret)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _discarded_on_failure(seal: dict[str, Any], secret: str) -> Iterator[None]:
    """Leave no key in the token for a keyring that was not written; an error of the disk becomes a KeyUnavailable."""
    refusal = None
    written = False
    try:
        yield
        written = True
    except FileExistsError:
        refusal = KeyUnavailable(*_EXISTS)
    except OSError:
        refusal = KeyUnavailable("the keyring cannot be written", "Check the disk; nothing has changed")
    finally:
        if not written and _in_token(seal):
            token.discard(seal, secret)
    if refusal:
        raise refusal


def _passphrase_seal() -> dict[str, Any]:
    salt = b64encode(secrets.token_bytes(16)).decode()
    return {"name": "argon2id", "memory_kib": MEMORY_KIB, "passes": PASSES, "lanes": LANES, "salt": salt}


def _sealing_key(seal: dict[str, Any], secret: str) -> bytes:
    if _in_token(seal):
        return token.unwrap(seal, secret)
    # Bounds, so that a changed header cannot weaken the derivation or exhaust the machine.
    bounded = (
        seal["name"] == "argon2id"
        and MEMORY_KIB <= seal["memory_kib"] <= 16 * MEMORY_KIB
        and PASSES <= seal["passes"] <= 64
        and 1 <= seal["lanes"] <= 64
    )
    if not bounded:
        raise ValueError
    kdf = Argon2id(
        salt=b64decode(seal["salt"]),
        length=32,
        iterations=seal["passes"],
        lanes=seal["lanes"],
        memory_cost=seal["memory_kib"],
    )
    return kdf.derive(secret.encode())


def _in_token(seal: dict[str, Any]) -> bool:
    return seal.get("name") == token.NAME


def _authenticated(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _number(epoch: str) -> int:
    return int(epoch[1:])
