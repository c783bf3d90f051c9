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
_PART_BITS = 4
"""Entries are looked at in sixteen parts: of a table of 50 million rows 100 MB at a time."""


def append_entries(folder: Path, rows: pl.DataFrame) -> None:
    """Note `record_key`, `recorded_date` and ARRIVAL of rows in a folder; rows without a key are no entry.

    Keys are spread evenly, so that each of its files, by the first bits of the key, takes as much as any other.
    """
    rows = rows.filter(pl.col("record_key").is_not_null())
    entries = np.empty(rows.height, dtype=_ENTRY)
    keys = from_series(rows["record_key"])[0].view(np.uint64)
    entries["word_0"], entries["word_1"] = keys[:, 0], keys[:, 1]
    entries["arrival"] = rows[ARRIVAL].to_numpy()
    entries["recorded"] = recorded(rows["recorded_date"])
    parts = (keys[:, 0] >> np.uint64(64 - _PART_BITS)).astype(np.uint8)
    entries = entries[np.argsort(parts, kind="stable")]
    ends = np.cumsum(np.bincount(parts, minlength=1 << _PART_BITS))
    folder.mkdir(exist_ok=True)
    for part, some in enumerate(np.split(entries, ends[:-1])):
        with (folder / f"{part:02d}").open("ab") as file:
            file.write(some.data)


def recorded(days: pl.Series) -> NDArray[np.int32]:
    """Days as numbers; a day that is not known comes before all others."""
    return days.to_physical().fill_null(_NEVER).to_numpy()


def losers(folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Arrivals of the rows that another one replaces, and of all rows of records that came more than once; sorted."""
    lost, shared = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        entries = np.fromfile(path, dtype=_ENTRY)
        first = np.ascontiguousarray(entries["word_0"])
        several = entries[within(first, repeated_words(first))]
        order = np.lexsort((several["arrival"], several["recorded"], several["word_1"], several["word_0"]))
        several = several[order]
        same = (several["word_0"][1:] == several["word_0"][:-1]) & (several["word_1"][1:] == several["word_1"][:-1])
        replaced = np.flatnonzero(same)
        lost.append(several["arrival"][replaced])
        shared.append(several["arrival"][np.union1d(replaced, replaced + 1)])
    return np.sort(np.concatenate(lost)), np.sort(np.concatenate(shared))


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
