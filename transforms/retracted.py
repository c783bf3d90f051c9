"""Which files of the lake hold rows that the source took back, as Parquet's statistics say, without reading the rows.

A load writes those rows into files of their own: they must not count, and an increment must know that they were there.
"""

from typing import Literal, TypeAlias

import polars as pl
import pyarrow.parquet as pq

RETRACTED = "is_retracted"
IS_RETRACTED = pl.col(RETRACTED).fill_null(value=False)
"""A row is retracted only where it says so."""
Holds: TypeAlias = Literal["none", "only", "unknown"]


def retracted_in(file: pq.FileMetaData) -> Holds:
    """Whether no row of a file is retracted, or every one; "unknown" where there are both or it does not say."""
    if RETRACTED not in file.schema.names:
        return "unknown"
    column, found = file.schema.names.index(RETRACTED), set()
    for group in range(file.num_row_groups):
        chunk = file.row_group(group).column(column)
        statistics = chunk.statistics
        if chunk.num_values == 0:
            continue
        if statistics is None or not statistics.has_null_count:
            return "unknown"
        if statistics.null_count == chunk.num_values:
            found.add(False)
        elif statistics.has_min_max:
            found |= {statistics.min, statistics.max} | ({False} if statistics.null_count else set())
        else:
            return "unknown"
    if found == {True}:
        return "only"
    return "none" if True not in found else "unknown"
