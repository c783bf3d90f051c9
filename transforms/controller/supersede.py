"""Which row of a record counts: the one recorded last, and of those recorded on one day the one that came last.

A record is what has one `record_id` in one table. The rule needs only the rows that are there, so that merging what
came later gives what reading everything again gives. Rows without a record_id are records of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from schemas.table import PERSON_NUMBER
from transforms.controller.register import KEY
from transforms.controller.sorting import repeated_words, within

ARRIVAL = "_arrival"
"""The place of a row among all rows of a load."""
SUPERSEDED = "record_id: a later row replaces it"
_AT_ONCE = 1 << 24
"""Words that are sorted at a time; of a table with more rows, those that begin alike."""
_LOOKED_AT = {PERSON_NUMBER: pl.Int32, ARRIVAL: pl.Int64, "recorded_date": pl.Date}
Arrivals = NDArray[np.int64]


@dataclass(frozen=True)
class Repeated:
    """Arrivals, sorted, of all rows of records that came more than once, and of those that a later row replaces.

    `moved` has the KEY of each record that rows give to more than one person.
    """

    shared: Arrivals
    lost: Arrivals
    moved: pl.DataFrame


def repeated(parts: Sequence[Path], rows: int, as_kept: Callable[[pl.DataFrame], pl.DataFrame]) -> Repeated:
    """Which of the staged rows in some files, `rows` in all, are of records that came more than once.

    Keys are spread evenly: few rows share the first word with another one, and only these are looked at whole, with
    their days `as_kept` in the lake. Rows without a key are no record's.
    """
    bits = max(0, (rows - 1) // _AT_ONCE).bit_length()
    found = [pl.DataFrame(schema={**dict.fromkeys(KEY, pl.UInt64), **_LOOKED_AT})]
    staged = [rows for rows in map(mapped, parts) if KEY[0] in rows.columns]
    for beginning in range(1 << bits) if staged else ():
        several = repeated_words(pl.concat([_words(rows, bits, beginning) for rows in staged]).to_numpy())
        if len(several):
            found += [_with_words(rows, several) for rows in staged]
    alike = as_kept(pl.concat(found)).sort(*KEY, "recorded_date", ARRIVAL, nulls_last=False)
    same = (alike[KEY[0]] == alike[KEY[0]].shift(-1)) & (alike[KEY[1]] == alike[KEY[1]].shift(-1))
    replaced = same.fill_null(False)
    shared = replaced | replaced.shift(1, fill_value=False)
    shared_arrivals, lost = (np.sort(alike[ARRIVAL].filter(which).to_numpy()) for which in (shared, replaced))
    moved = alike.filter(replaced & (alike[PERSON_NUMBER] != alike[PERSON_NUMBER].shift(-1))).select(KEY).unique()
    return Repeated(shared_arrivals, lost, moved)


def mapped(part: Path) -> pl.DataFrame:
    """The rows of a staged part, left where they lie: a column that nobody looks at is not read."""
    with pa.memory_map(str(part)) as file:
        rows = pl.from_arrow(pa.ipc.open_file(file).read_all(), rechunk=False)
    return cast("pl.DataFrame", rows)


def _words(rows: pl.DataFrame, bits: int, beginning: int) -> pl.Series:
    """The first words of the keys, those whose highest bits are a number."""
    words = rows[KEY[0]].drop_nulls()
    return words.filter(words // (1 << 64 - bits) == beginning) if bits else words


def _with_words(rows: pl.DataFrame, several: NDArray[np.uint64]) -> pl.DataFrame:
    """The rows whose keys begin with one of some words."""
    # Where there is no key the word is as if it were 0.
    places = np.flatnonzero(within(rows[KEY[0]].fill_null(0).to_numpy(), several))
    return rows.select(*KEY, *_LOOKED_AT)[places].filter(pl.col(KEY[0]).is_not_null())


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
