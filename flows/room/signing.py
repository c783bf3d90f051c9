"""A steward's own key: made once, kept by the person, never in the data folder."""

import base64
import json
import os
import sys
from getpass import getpass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from flows import audit
from schemas.errors import KeyUnavailable, UsageRefused
from transforms.release.decisions import public_bytes

FILE, PASSPHRASE = "CAREGAP_SIGNING_KEY", "CAREGAP_SIGNING_PASSPHRASE"
"""Environment variables: where the key is, and what opens it where nobody sits at a terminal."""


def create(name: str, roles: list[str], key_file: Path | None) -> list[str]:
    """Make a key, sealed where a passphrase is given; returns the lines for policy.toml.

    Raises UsageRefused without a name, and where the file exists already: a key that signed something is never
    overwritten.
    """
    path, name = _path(key_file), " ".join(name.split())
    if not name:
        raise UsageRefused("a steward needs a name", "Give --as NAME")
    if path.exists():
        raise UsageRefused("there is a signing key already", "Give --key FILE for another")
    key, text = Ed25519PrivateKey.generate(), _passphrase("Passphrase of the new signing key (empty: none): ")
    seal: KeySerializationEncryption = BestAvailableEncryption(text) if text else NoEncryption()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, seal))
    return [
        f"Key written to {path}; it is yours alone. Have these lines put into schemas/policy.toml:",
        "",
        "[[steward]]",
        f"name = {_toml(name)}",
        f"roles = {_toml(roles)}",
        f'key = "{base64.b64encode(public_bytes(key)).decode()}"',
        f"accounts = {_toml([audit.account()])}",
    ]


def load_key(key_file: Path | None) -> Ed25519PrivateKey:
    """A steward's key. Raises KeyUnavailable where it is not there, does not open, or others can read it."""
    path = _path(key_file)
    content = path.read_bytes() if path.is_file() else None
    if content is None:
        raise KeyUnavailable("the signing key is not there", "Give --key FILE, or caregap stewards create")
    if path.stat().st_mode & 0o077:
        raise KeyUnavailable("the signing key can be read by others", "chmod 600 it")
    is_sealed = b"ENCRYPTED" in content.partition(b"\n")[0]
    key = None
    try:
        key = load_pem_private_key(content, _passphrase("Passphrase of the signing key: ") if is_sealed else None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnavailable("the signing key does not open", f"Check the file and {PASSPHRASE}")
    return key


def _toml(value: str | list[str]) -> str:
    """Text, or a list of it, as TOML has it: the quotes and escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _path(given: Path | None) -> Path:
    return given or Path(os.environ.get(FILE) or Path.home() / ".config" / "caregap" / "signing.pem")


def _passphrase(prompt: str) -> bytes | None:
    text = os.environ.get(PASSPHRASE)
    if text is None and sys.stdin.isatty():
        text = getpass(prompt)
    return text.encode() if text else None
