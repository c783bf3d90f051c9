"""Rows on their way to the lake's files: in parts by buckets of persons, each of which can be sorted in memory.

A part is an uncompressed Arrow file of numbers: a code is the number that this process has for it, a record key two
words. So a row is moved, compared and sorted as some forty bytes. What is staged can be read by this process alone.
"""

import shutil
from pathlib import Path
from threading import Lock

import numpy as np
import polars as pl

from schemas.table import PERSON_NUMBER, Table
from transforms.controller.codes import CODE
from transforms.controller.generalise import generalise_dates
from transforms.controller.lake_files import RECENT, RECORD_KEY, WHOLE_TABLES, as_bytes, is_recent
from transforms.controller.pseudonymise import to_series
from transforms.controller.register import KEY, words
from transforms.controller.supersede import ARRIVAL, Repeated, mapped, repeated
from transforms.controller.terms import Terms

_PART = 1 << 32
"""Rows that a batch has at most."""


class Staging:
    """The staged rows of a load in a folder of the controller's, by table and bucket. Several threads may put rows."""

    def __init__(self, folder: Path, terms: Terms, bucket_persons: int) -> None:
        """Stage rows in a folder that exists; `bucket_persons` have their events in one bucket."""
        self._folder, self._terms, self._bucket_persons = folder, terms, bucket_persons
        self._heights: dict[str, int] = {}
        self._lock = Lock()

    def put(self, table: Table, rows: pl.DataFrame, part: int) -> None:
        """Stage rows of a table as `as_lake_rows` gives them; `part` is the place of the batch among all."""
        if rows.height == 0:
            return
        with self._lock:
            self._heights[table.name] = self._heights.get(table.name, 0) + rows.height
        numbers = pl.col(PERSON_NUMBER) // self._bucket_persons
        bucket = pl.lit(0) if table.name in WHOLE_TABLES else numbers
        buckets = rows.select(
            pl.exclude(CODE),
            pl.col(CODE).to_physical(),
            (pl.int_range(pl.len()) + part * _PART).alias(ARRIVAL),
            pl.when(is_recent(table, self._terms.as_of)).then(-1).otherwise(bucket).cast(pl.Int32).alias("_bucket"),
        )
        for (number,), some in buckets.partition_by("_bucket", as_dict=True, include_key=False).items():
            folder = self._folder / table.name / (RECENT if number < 0 else f"{number:04d}")
            folder.mkdir(parents=True, exist_ok=True)
            some.write_ipc(folder / f"{part:08d}.part", compression="uncompressed")

    def buckets(self, table: Table) -> list[Path]:
        """The buckets of a table that hold rows, in order."""
        folder = self._folder / table.name
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def repeated(self, table: Table) -> Repeated:
        """Which rows of a table are of records that came more than once."""
        parts = [part for bucket in self.buckets(table) for part in bucket.glob("*.part")]
        coarser = self._terms.resolution(table.name)
        return repeated(parts, self._heights.get(table.name, 0), lambda rows: generalise_dates(rows, table, coarser))

    def rows(self, table: Table, buckets: list[Path]) -> pl.DataFrame:
        """The rows of some buckets of a table in the order in which they came, with ARRIVAL."""
        schema = table.platform_schema
        parts = [mapped(part) for bucket in buckets for part in sorted(bucket.glob("*.part"))]
        if not parts:
            return pl.DataFrame(schema={**staged_schema(table), ARRIVAL: pl.Int64})
        rows = pl.concat(parts, rechunk=True)
        codes = [name for name, dtype in schema.items() if dtype == pl.String]
        return rows.select(
            *(pl.col(name).cat.to(CODE) if name in codes else name for name in staged_schema(table)), ARRIVAL
        )

    def take(self, table: Table, bucket: Path) -> pl.DataFrame:
        """The rows of one bucket, which holds none afterwards."""
        rows = self.rows(table, [bucket])
        shutil.rmtree(bucket)
        return rows


def staged_schema(table: Table) -> dict[str, pl.DataType]:
    """Polars types of a table's rows once they have been staged."""
    schema: dict[str, pl.DataType] = {}
    for name, dtype in table.platform_schema.items():
        if name == RECORD_KEY:
            schema |= dict.fromkeys(KEY, pl.UInt64())
        else:
            schema[name] = CODE if dtype == pl.String else dtype
    return schema


def key_words(keys: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], present: pl.Series) -> list[pl.Series]:
    """Keys of 16 bytes, a (rows, 16) array, as two columns of words; null where `present` is false."""
    columns = words(keys)
    if present.all():
        return columns
    return pl.DataFrame(columns).select(pl.when(present).then(pl.all())).get_columns()


def as_lake_rows(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Staged rows in the form that they have in the lake: `table.platform_schema`."""
    if KEY[0] in rows.columns:
        rows = rows.with_columns(to_series(as_bytes(rows), RECORD_KEY, rows[KEY[0]].is_not_null()))
    return rows.select(*table.platform_schema).cast(pl.Schema(table.platform_schema))
