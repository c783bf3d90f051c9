"""Which row of a record counts: the one recorded last, and of those recorded on one day the one that came last.

A record is what has one `record_id` in one table. The rule needs only the rows that are there, so that merging what
came later gives what reading everything again gives. Rows without a record_id are records of their own.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from transforms.controller.pseudonymise import from_series
from transforms.controller.sorting import repeated_words, within

ARRIVAL = "_arrival"
"""The place of a row among all rows of a load."""
SUPERSEDED = "record_id: a later row replaces it"
_ENTRY = np.dtype([("word_0", "<u8"), ("word_1", "<u8"), ("arrival", "<i8"), ("recorded", "<i4")])
_NEVER = np.iinfo(np.int32).min
_AT_ONCE = 1 << 23
"""Entries that are looked at together: 64 MB of their first words."""


def append_entries(path: Path, rows: pl.DataFrame) -> None:
    """Note `record_key`, `recorded_date` and ARRIVAL of rows in a file; rows without a key are no entry."""
    rows = rows.filter(pl.col("record_key").is_not_null())
    entries = np.empty(rows.height, dtype=_ENTRY)
    keys = from_series(rows["record_key"])[0].view(np.uint64)
    entries["word_0"], entries["word_1"] = keys[:, 0], keys[:, 1]
    entries["arrival"] = rows[ARRIVAL].to_numpy()
    entries["recorded"] = recorded(rows["recorded_date"])
    with path.open("ab") as file:
        file.write(entries.data)


def recorded(days: pl.Series) -> NDArray[np.int32]:
    """Days as numbers; a day that is not known comes before all others."""
    return days.to_physical().fill_null(_NEVER).to_numpy()


def losers(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Arrivals of the rows that another one replaces, and of all rows of records that came more than once; sorted."""
    none = np.empty(0, dtype=np.int64)
    if not path.exists() or not path.stat().st_size:
        return none, none
    entries = np.memmap(path, dtype=_ENTRY, mode="r")
    slices = -(-len(entries) // _AT_ONCE)
    found = []
    for part in range(slices):
        inside = _of_slice(entries, part, slices)
        first = np.ascontiguousarray(inside["word_0"])
        found.append(inside[within(first, repeated_words(first))])
    several = np.concatenate(found)
    several = several[np.lexsort((several["arrival"], several["recorded"], several["word_1"], several["word_0"]))]
    same = (several["word_0"][1:] == several["word_0"][:-1]) & (several["word_1"][1:] == several["word_1"][:-1])
    lost = np.flatnonzero(same)
    shared = np.union1d(lost, lost + 1)
    return np.sort(several["arrival"][lost]), np.sort(several["arrival"][shared])


def _of_slice(entries: NDArray[np.void], part: int, slices: int) -> NDArray[np.void]:
    """The entries whose key lies in one of equal slices of all keys; keys are spread evenly."""
    if slices == 1:
        return np.asarray(entries)
    parts = []
    for start in range(0, len(entries), _AT_ONCE):
        block = np.asarray(entries[start : start + _AT_ONCE])
        parts.append(block[(block["word_0"] >> np.uint64(32)) * np.uint64(slices) >> np.uint64(32) == np.uint64(part)])
    return np.concatenate(parts)


def distinct(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows, those that are alike in everything but ARRIVAL once: the first of them, in the order they had."""
    content = rows.drop(ARRIVAL, strict=False)
    hashes = content.hash_rows(seed=1)
    several = hashes.is_in(pl.Series(repeated_words(hashes.to_numpy())).implode())
    if not several.any():
        return rows
    columns = content.columns
    places = rows.with_row_index("_place").filter(several).unique(columns, keep="first", maintain_order=True)["_place"]
    keep = ~several
    keep = keep.scatter(places, True)
    return rows.filter(keep)
