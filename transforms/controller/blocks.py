"""Strings as 16-byte blocks, without copying them.

An Arrow string view of at most 12 bytes is a 4-byte little-endian length, the bytes and zero padding: 16 bytes that
the cipher can take as they are. (Arrow columnar format, variable-size binary view layout.)
"""

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

WIDTH = 16
INLINE = 12
"""Longest string, in bytes, that its view holds itself."""


def blocks(strings: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """The view of each string as a row of 16 bytes, and which rows are not null (None where all are).

    Under a null the bytes are whatever the buffer held, and may be an identifier that was there before.
    """
    array = strings.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    size = len(array)
    if array.buffers()[1] is None:
        return np.zeros((size, WIDTH), dtype=np.uint8), None
    bytes_ = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    view = bytes_[array.offset * WIDTH : (array.offset + size) * WIDTH].reshape(size, WIDTH)
    if strings.null_count() == 0:
        return view, None
    return view, strings.is_not_null().to_numpy()


def fit_inline(view: NDArray[np.uint8]) -> bool:
    """Whether every string of some views, given as flat bytes, is at most 12 bytes long and so held by its view."""
    return bool(view.view(np.uint32)[:: WIDTH // 4].max(initial=0) <= INLINE)


def through_runs(strings: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a value-by-value function once to each run of one string: sources tell of one person after the other.

    Where the function gives its argument back the strings are given back.
    """
    view, present = blocks(strings)
    halves = np.ascontiguousarray(view).view(np.uint64)
    is_first = np.ones(len(halves), dtype=np.bool_)
    is_first[1:] = (halves[1:, 0] != halves[:-1, 0]) | (halves[1:, 1] != halves[:-1, 1])
    if present is not None:
        is_first[1:] |= present[1:] != present[:-1]
    starts = np.flatnonzero(is_first)
    if 2 * len(starts) > len(strings):
        return function(strings)
    before = strings.gather(starts)
    after = function(before)
    if after is before:
        return strings
    lengths = np.diff(starts, append=len(strings))
    return after.gather(np.repeat(np.arange(len(starts), dtype=np.uint32), lengths))
