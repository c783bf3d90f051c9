"""The files of the lake: which rows lie together, and how a file is written."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.table import PERSON_NUMBER, Table
from transforms.controller.blocks import WIDTH
from transforms.controller.codes import CODE, as_codes, ranked
from transforms.controller.pseudonymise import from_series
from transforms.controller.register import KEY
from transforms.retracted import IS_RETRACTED

RECORD_KEY = "record_key"
ROW_GROUP = 1 << 16
FILE_ROWS = 1 << 17
"""Rows of a file, all of which are written anew where one of them must go."""
RECENT_DAYS = 92
"""Rows recorded in the last quarter lie in files of their own: what the next days correct is nearly all among them."""
RECENT = "recent-"
"""How the names of those files begin."""
WHOLE_TABLES = ("person", "residence", "restriction")
"""Tables that are small enough to be written whole each time."""


def is_recent(table: Table, as_of: date) -> pl.Expr:
    """Whether a row lies in the files of what was recorded lately; where that is not known, of what happened lately."""
    if table.name in WHOLE_TABLES:
        return pl.lit(False)
    days = [name for name in ("recorded_date", "event_date") if name in table.platform_schema]
    return (pl.coalesce(days) > as_of - timedelta(days=RECENT_DAYS)).fill_null(False)


def write_run(rows: pl.DataFrame, stem: Path) -> list[Path]:
    """Write rows in their order as files of FILE_ROWS, named after `stem`; none where there are no rows.

    Rows that were taken back lie in files of their own, behind the others: whoever counts need not look at them.
    """
    paths: list[Path] = []
    for some in _apart(rows):
        for start in range(0, some.height, FILE_ROWS):
            paths.append(stem.with_name(f"{stem.name}-{len(paths):06d}.parquet"))
            write(some[start : start + FILE_ROWS], paths[-1])
    return paths


def _apart(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that count, and those that were taken back. What `in_order` gives is not copied."""
    taken_back = rows.select(IS_RETRACTED).to_series()
    border = rows.height - taken_back.sum()
    if taken_back[:border].any():
        return rows.filter(~taken_back), rows.filter(taken_back)
    return rows[:border], rows[border:]


def write(rows: pl.DataFrame, path: Path) -> None:
    """Write a file for the lake, codes as texts and words as keys. Nothing makes keys smaller: they are left as is."""
    columns = {name: _arrow(rows[name]) for name in rows.columns if name not in KEY}
    if KEY[0] in rows.columns:
        present = rows[KEY[0]].is_not_null()
        columns[RECORD_KEY] = binary(as_bytes(rows), None if present.all() else present)
    keys = [name for name, array in columns.items() if array.type == pa.binary()]
    hardly_repeated = (*keys, PERSON_NUMBER)
    pq.write_table(
        pa.table(columns),
        path,
        row_group_size=ROW_GROUP,
        compression={name: "none" if name in keys else "zstd" for name in columns},
        use_dictionary=[name for name in columns if name not in hardly_repeated],
        write_statistics=[name for name in columns if name not in keys],
        store_schema=False,
    )


def _arrow(column: pl.Series) -> pa.Array:
    if column.dtype in (pl.String, CODE):
        places, texts = ranked(as_codes(column))
        return pa.DictionaryArray.from_arrays(places.cast(pl.Int32).to_arrow(), texts.to_arrow().cast(pa.string()))
    if column.dtype == pl.Binary:
        return binary(*from_series(column))
    return column.rechunk().to_arrow()


def as_bytes(rows: pl.DataFrame) -> NDArray[np.uint8]:
    """The keys of rows that have them as words, a (rows, 16) array; zeros where there is none."""
    return rows.select(pl.col(KEY).fill_null(0)).to_numpy(order="c").view(np.uint8).reshape(-1, WIDTH)


def binary(keys: NDArray[np.uint8], present: pl.Series | None) -> pa.Array:
    """Keys of 16 bytes, a (rows, 16) array, as Arrow's binary; null where `present` is false."""
    valid = None if present is None else pa.py_buffer(np.packbits(present.to_numpy(), bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(keys))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(WIDTH), len(keys), [valid, data]).cast(pa.binary())
