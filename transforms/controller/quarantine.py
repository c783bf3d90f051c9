"""Rejected rows, sealed: only the key holder can read them, and none of them is lost.

A sealed file is a 12-byte nonce and the AES-256-GCM ciphertext of Parquet; its name is authenticated with it.
"""

import io
import os
import secrets
from pathlib import Path

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import KeyUnavailable
from transforms.controller.keys import QUARANTINE_VERSION, Keyring

SUFFIX = ".sealed"


def quarantine_key(keyring: Keyring, epoch: str | None = None) -> bytes:
    """The key of the quarantine in an epoch, the one in use by default. Errors as Keyring.derive."""
    name = epoch or keyring.current
    return keyring.derive(QUARANTINE_VERSION, "aes256-gcm", name, epoch=name)


def seal(rows: pl.DataFrame, path: Path, key: bytes) -> None:
    """Write rejected rows, as the source had them, with their `reason` column."""
    buffer = io.BytesIO()
    rows.with_columns(pl.exclude("reason").cast(pl.String, strict=False)).write_parquet(buffer, compression="zstd")
    nonce = secrets.token_bytes(12)
    sealed = nonce + AESGCM(key).encrypt(nonce, buffer.getvalue(), path.name.encode())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(sealed)


def unseal(path: Path, key: bytes) -> pl.DataFrame:
    """Read rejected rows back. Raises KeyUnavailable where the key is another or the file was changed."""
    sealed = path.read_bytes()
    try:
        opened = AESGCM(key).decrypt(sealed[:12], sealed[12:], path.name.encode())
    except InvalidTag:
        opened = None
    if opened is None:
        raise KeyUnavailable("the quarantine does not open", "Use the key of the epoch it was sealed in")
    return pl.read_parquet(io.BytesIO(opened))
