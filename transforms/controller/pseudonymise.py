"""Keyed pseudonyms: AES-256 as a pseudorandom permutation of one 16-byte block, under a key per domain and epoch.

An identifier of at most 12 bytes is one block (4-byte little-endian length, its bytes, zero padding): the mapping is
injective, needs no table that would have to be protected, and whoever holds the key can invert it. A longer one is
first made a block by HMAC-SHA-256 truncated to 128 bits, under a key of its type and domain that is the same in every
epoch; that step is one-way, and two of n identifiers share a block with a chance of about n² / 2^129.

The epoch's permutation comes last in both cases. So any pseudonym is carried to another epoch without its identifier:
the old permutation inverted, the new one applied. Without the old epoch's key nothing leads from one to the other.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from numpy.typing import NDArray

from schemas.errors import KeyUnavailable
from transforms.controller.blocks import INLINE, WIDTH, blocks, fit_inline
from transforms.controller.keys import PSEUDONYM_VERSION, Keyring

_CHUNK = 1 << 14
"""Blocks a call to the cipher: 256 KiB, which stays in the processor's second-level cache."""
_NOTHING = np.empty(0, dtype=np.uint8)
_MARGIN = WIDTH - 1
"""Bytes that the cipher wants free behind what it writes."""


@dataclass(frozen=True)
class PseudonymKey:
    """The two keys of one identifier type in one domain and epoch. Its repr shows neither.

    `digest` is None where the keyring has no digest root: identifiers over 12 bytes are refused then.
    """

    permutation: bytes
    digest: bytes | None

    def __repr__(self) -> str:
        """Nothing."""
        return "PseudonymKey()"


class _OverInline(Exception):
    """An identifier is over 12 bytes, so that its view is not a block."""


def pseudonym_key(keyring: Keyring, identifier: str, domain: str, epoch: str | None = None) -> PseudonymKey:
    """Derive the keys of an identifier type ("hetu", "record:diagnosis", ...) in a domain. Errors as Keyring.derive."""
    name = epoch or keyring.current
    return PseudonymKey(
        permutation=keyring.derive(PSEUDONYM_VERSION, "aes256-prp", identifier, domain, name, epoch=name),
        digest=keyring.derive_lasting(PSEUDONYM_VERSION, "hmac-sha256-128", identifier, domain),
    )


def pseudonymise(identifiers: pl.Series, key: PseudonymKey, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """One 16-byte pseudonym a row, as a (rows, 16) array; rows of zeros under nulls.

    `out`, a flat array of `room(rows)` bytes, is written into where it is given: memory that was used before is
    faster than new memory. Raises KeyUnavailable where an identifier is over 12 bytes and there is no digest key.
    """
    view, present = blocks(identifiers)
    try:
        found = _permuted(view, _context(key.permutation), out, inline=True)
    except _OverInline:
        found = _permuted(_with_digests(identifiers, view, key.digest), _context(key.permutation), out)
    if present is not None:
        found[~present] = 0
    return found


def rekey(
    pseudonyms: NDArray[np.uint8], old: PseudonymKey, new: PseudonymKey, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """The pseudonyms under another key of what has these under the old one; (rows, 16) arrays, `out` as above.

    The blocks in between, which hold short identifiers, exist only chunk by chunk in memory that is zeroed after.
    """
    source, inverse, forward = _flat(pseudonyms), _context(old.permutation, inverse=True), _context(new.permutation)
    target = _target(len(source), out)
    between = np.zeros(min(len(source), _CHUNK * WIDTH) + _MARGIN, dtype=np.uint8)
    for start in range(0, len(source), _CHUNK * WIDTH):
        size = inverse.update_into(source.data[start : start + _CHUNK * WIDTH], between.data)
        forward.update_into(between.data[:size], target.data[start : start + size + _MARGIN])
    between[:] = 0
    return target[: len(source)].reshape(-1, WIDTH)


def permute(view: NDArray[np.uint8], key: bytes, *, inverse: bool = False) -> NDArray[np.uint8]:
    """AES-256 of each 16-byte row, or its inverse; a fresh (rows, 16) array."""
    return _permuted(view, _context(key, inverse=inverse), None)


def room(rows: int) -> int:
    """Bytes that an `out` for so many rows must have."""
    return rows * WIDTH + _MARGIN


def to_series(pseudonyms: NDArray[np.uint8], name: str, present: pl.Series | None = None) -> pl.Series:
    """Pseudonyms as a Polars binary column, null where `present` is false."""
    array = pa.Array.from_buffers(
        pa.binary(WIDTH), len(pseudonyms), [None, pa.py_buffer(np.ascontiguousarray(pseudonyms))]
    )
    column = pl.Series(name, pl.from_arrow(array))
    if present is None or present.all():
        return column
    return column.to_frame().select(pl.when(present).then(pl.first()).alias(name)).to_series()


def from_series(column: pl.Series) -> tuple[NDArray[np.uint8], pl.Series | None]:
    """A Polars binary column of pseudonyms as a (rows, 16) array, and which rows are not null (None where all are)."""
    present = column.is_not_null() if column.null_count() else None
    filled = column if present is None else column.fill_null(bytes(WIDTH))
    array = filled.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    ends = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if not (np.diff(ends) == WIDTH).all():
        raise ValueError("a pseudonym is not 16 bytes")
    found = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[ends[0] : ends[-1]] if len(array) else _NOTHING
    return found.reshape(-1, WIDTH), present


def _permuted(
    view: NDArray[np.uint8], context: CipherContext, out: NDArray[np.uint8] | None, *, inline: bool = False
) -> NDArray[np.uint8]:
    """Each row through the cipher; _OverInline where rows must be `inline` blocks and one is not."""
    source = _flat(view)
    target = _target(len(source), out)
    read, written, step = source.data, target.data, _CHUNK * WIDTH
    for start in range(0, len(source), step):
        if inline and not fit_inline(source[start : start + step]):
            raise _OverInline
        context.update_into(read[start : start + step], written[start : start + step + _MARGIN])
    return target[: len(source)].reshape(-1, WIDTH)


def _with_digests(identifiers: pl.Series, view: NDArray[np.uint8], key: bytes | None) -> NDArray[np.uint8]:
    """Blocks where some identifiers are over 12 bytes; each distinct one of these is digested once."""
    if key is None:
        raise KeyUnavailable("the keyring has no digest root, which identifiers over 12 bytes need", "Create a new one")
    is_long = (identifiers.str.len_bytes() > INLINE).fill_null(False)
    long = identifiers.filter(is_long)
    distinct = long.unique(maintain_order=True)
    base, digests = HMAC(key, SHA256()), bytearray()
    for identifier in distinct:
        step = base.copy()
        step.update(identifier.encode())
        digests += step.finalize()[:WIDTH]
    known = np.frombuffer(bytes(digests), dtype=np.uint8).reshape(-1, WIDTH)
    found = view.copy()
    found[is_long.to_numpy()] = known[_positions(long, distinct)]
    return found


def _positions(values: pl.Series, distinct: pl.Series) -> NDArray[np.uint32]:
    """Where each value stands among the distinct ones."""
    if len(values) == len(distinct):
        return np.arange(len(values), dtype=np.uint32)
    order = distinct.alias("value").to_frame().with_row_index("row")
    rows = values.alias("value").to_frame().join(order, on="value", how="left", maintain_order="left")
    return rows["row"].to_numpy()


def _context(key: bytes, *, inverse: bool = False) -> CipherContext:
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - one block a message: a permutation, not a mode
    return cipher.decryptor() if inverse else cipher.encryptor()


def _flat(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rows).reshape(-1)


def _target(size: int, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    return np.empty(size + _MARGIN, dtype=np.uint8) if out is None else out
