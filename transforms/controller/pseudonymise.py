"""Keyed pseudonyms: AES-256 as a pseudorandom permutation of one block, HMAC-SHA-256 where an identifier is longer.

An identifier of at most 12 bytes is one 16-byte block (4-byte little-endian length, its bytes, zero padding), so the
mapping is injective, needs no table that would have to be protected, and whoever holds the key can invert it. Longer
identifiers are given HMAC-SHA-256 truncated to 128 bits under a key of their own: one-way.
"""

import hmac
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from transforms.controller.blocks import INLINE, WIDTH, blocks
from transforms.controller.keys import PSEUDONYM_VERSION, Keyring

_CHUNK = 1 << 14
"""Blocks a call to the cipher: 256 KiB, which stays in the processor's second-level cache."""


@dataclass(frozen=True)
class PseudonymKey:
    """The two keys of one identifier type in one domain and epoch. Its repr shows neither."""

    permutation: bytes
    digest: bytes

    def __repr__(self) -> str:
        """Nothing."""
        return "PseudonymKey()"


def pseudonym_key(keyring: Keyring, identifier: str, domain: str, epoch: str | None = None) -> PseudonymKey:
    """Derive the keys of an identifier type ("hetu", "record", ...) in a domain. Errors as Keyring.derive."""
    name = epoch or keyring.current
    return PseudonymKey(
        permutation=keyring.derive(PSEUDONYM_VERSION, "aes256-prp", identifier, domain, name, epoch=name),
        digest=keyring.derive(PSEUDONYM_VERSION, "hmac-sha256", identifier, domain, name, epoch=name),
    )


def pseudonymise(identifiers: pl.Series, key: PseudonymKey) -> NDArray[np.uint8]:
    """One 16-byte pseudonym a row, as a (rows, 16) array; rows of zeros under nulls."""
    if (identifiers.str.len_bytes().max() or 0) > INLINE:  # type: ignore[operator]
        return _mixed(identifiers, key)
    view, present = blocks(identifiers)
    out = permute(view, key.permutation)
    if present is not None:
        out[~present] = 0
    return out


def permute(view: NDArray[np.uint8], key: bytes, *, inverse: bool = False) -> NDArray[np.uint8]:
    """AES-256 of each 16-byte row, or its inverse; a fresh (rows, 16) array."""
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - one block a message: a permutation, not a mode
    context = cipher.decryptor() if inverse else cipher.encryptor()
    source = memoryview(np.ascontiguousarray(view).reshape(-1).data)
    out = np.empty(len(source) + WIDTH - 1, dtype=np.uint8)
    target, step = memoryview(out.data), _CHUNK * WIDTH
    for start in range(0, len(source), step):
        end = min(start + step, len(source))
        context.update_into(source[start:end], target[start : end + WIDTH - 1])
    return out[: len(source)].reshape(-1, WIDTH)


def to_series(pseudonyms: NDArray[np.uint8], name: str, present: pl.Series | None = None) -> pl.Series:
    """Pseudonyms as a Polars binary column, null where `present` is false."""
    array = pa.Array.from_buffers(
        pa.binary(WIDTH), len(pseudonyms), [None, pa.py_buffer(np.ascontiguousarray(pseudonyms))]
    )
    column = pl.Series(name, pl.from_arrow(array))
    if present is None or present.all():
        return column
    return column.to_frame().select(pl.when(present).then(pl.first()).alias(name)).to_series()


def _mixed(identifiers: pl.Series, key: PseudonymKey) -> NDArray[np.uint8]:
    """Pseudonyms where some identifiers do not fit a block; each distinct long one is digested once."""
    distinct = identifiers.unique(maintain_order=True).drop_nulls()
    long = distinct.filter(distinct.str.len_bytes() > INLINE)
    short = distinct.filter(distinct.str.len_bytes() <= INLINE)
    base = hmac.new(key.digest, digestmod="sha256")
    digests = bytearray()
    for identifier in long:
        step = base.copy()
        step.update(identifier.encode())
        digests += step.digest()[:WIDTH]
    view, _ = blocks(short)
    known = np.concatenate(
        [permute(view, key.permutation), np.frombuffer(bytes(digests), dtype=np.uint8).reshape(-1, WIDTH)]
    )
    known = np.vstack([known, np.zeros((1, WIDTH), dtype=np.uint8)])
    order = pl.DataFrame({"identifier": pl.concat([short, long])}).with_row_index("row")
    rows = identifiers.alias("identifier").to_frame().join(order, on="identifier", how="left", maintain_order="left")
    chosen: NDArray[np.uint8] = known[rows["row"].fill_null(len(known) - 1).to_numpy()]
    return chosen
