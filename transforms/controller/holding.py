"""What a table's files hold, from what Parquet says of them: so that a night's checks know of the whole table too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl
import pyarrow.parquet as pq

EVENT_DATE = "event_date"


@dataclass(frozen=True)
class Holding:
    """Rows of a table, and the days from its latest event until the as-of date, later ones left aside."""

    lake_rows: int
    days_since_latest_event: int | None


def holding(files: Sequence[str], as_of: date) -> Holding:
    """What some files of a table hold. Only a file with events after the as-of date is read."""
    rows, latest = 0, None
    for file in files:
        metadata = pq.read_metadata(file)
        rows += metadata.num_rows
        if EVENT_DATE in metadata.schema.names:
            last = _latest(file, metadata, as_of)
            latest = max(filter(None, (latest, last)), default=None)
    return Holding(rows, None if latest is None else (as_of - latest).days)


def _latest(file: str, metadata: pq.FileMetaData, as_of: date) -> date | None:
    column = metadata.schema.names.index(EVENT_DATE)
    groups = [metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups)]
    if all(group is not None and group.has_min_max and group.max <= as_of for group in groups):
        return max((group.max for group in groups), default=None)
    dates = pl.scan_parquet(file).select(pl.col(EVENT_DATE).filter(pl.col(EVENT_DATE) <= as_of).max()).collect()
    found: date | None = dates.item()
    return found
