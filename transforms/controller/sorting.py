"""Rows in the order of the lake's files, by one number per row instead of a comparison of several columns.

Columns become ranks or offsets, which are packed into the high bits of 64, with the row's place in the low ones. Such
numbers are sorted several times faster than rows are compared; where they need more than 64 bits, rows are compared.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from transforms.controller.codes import CODE, as_codes, ranked
from transforms.retracted import IS_RETRACTED, RETRACTED

_BITS = 64
_LOW_BITS = np.uint64((1 << 20) - 1)


def in_order(rows: pl.DataFrame, order: tuple[str, ...]) -> pl.DataFrame:
    """Rows sorted by some columns, nulls first, with those that were taken back behind all others.

    Rows that are alike stay as they were.
    """
    last = [IS_RETRACTED] if RETRACTED in rows.columns else []
    places = _places(rows, order, rows.select(last))
    return rows.sort(*last, *order, maintain_order=True) if places is None else rows[places]


def repeated_words(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The different values that are there more than once, in order."""
    ordered = np.sort(words)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def within(values: NDArray[Any], some: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each whole number is one of some sorted ones, of which there are few."""
    found = np.zeros(len(values), dtype=np.bool_)
    if not len(some):
        return found
    low = np.zeros(_LOW_BITS + 1, dtype=np.bool_)
    low[(some.view(np.uint64) & _LOW_BITS).astype(np.intp)] = True
    maybe = np.flatnonzero(low[(values.view(np.uint64) & _LOW_BITS).astype(np.intp)])
    places = np.minimum(np.searchsorted(some, values[maybe]), len(some) - 1)
    found[maybe[some[places] == values[maybe]]] = True
    return found


def _places(rows: pl.DataFrame, order: tuple[str, ...], last: pl.DataFrame) -> NDArray[np.uint64] | None:
    """Which row comes at each place, those with the flag `last` behind; None where it does not fit into one number."""
    place_bits = max(rows.height - 1, 0).bit_length()
    key, bits = np.zeros(rows.height, dtype=np.uint64), place_bits
    for flags in last.iter_columns():
        key, bits = flags.to_numpy().astype(np.uint64), bits + 1
    for column in order:
        numbers, most = _numbers(rows[column])
        width = most.bit_length()
        bits += width
        if bits > _BITS:
            return None
        key = (key << np.uint64(width)) | numbers
    key = (key << np.uint64(place_bits)) | np.arange(rows.height, dtype=np.uint64)
    key.sort()
    return key & np.uint64((1 << place_bits) - 1)


def _numbers(values: pl.Series) -> tuple[NDArray[np.uint64], int]:
    """Numbers in the order of the values, 0 for null, and the largest of them."""
    if values.dtype in (pl.String, CODE):
        places, texts = ranked(as_codes(values))
        return (places.cast(pl.UInt64) + 1).fill_null(0).to_numpy(), len(texts)
    whole = values.to_physical().cast(pl.Int64)
    lowest, highest = whole.min(), whole.max()
    if not isinstance(lowest, int) or not isinstance(highest, int):
        return np.zeros(len(values), dtype=np.uint64), 0
    return (whole - (lowest - 1)).fill_null(0).to_numpy().view(np.uint64), highest - lowest + 1
