"""The lake as the analysis reads it: one list of Parquet files per table, rows that have been retracted left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl
import pyarrow.parquet as pq

from schemas.table import Table
from schemas.tables import TABLES

RETRACTED = pl.col("is_retracted").fill_null(value=False)
"""A row is retracted only where it says so."""


@dataclass(frozen=True)
class Lake:
    """Parquet files by table name, of one consistent version; a table without files is empty."""

    files: Mapping[str, Sequence[str]]

    def scan(self, table: Table) -> pl.LazyFrame:
        """Rows of a table that count."""
        return self.scan_all(table)[0].filter(~RETRACTED)

    def scan_all(self, table: Table) -> tuple[pl.LazyFrame, int]:
        """Rows of a table with those that do not count, and how many there are."""
        paths = list(self.files.get(table.name, ()))
        rows = pl.scan_parquet(paths) if paths else pl.LazyFrame(schema=table.platform_schema)
        return rows, sum(pq.read_metadata(path).num_rows for path in paths)

    def views(self, connection: duckdb.DuckDBPyConnection, select: str) -> None:
        """Give a connection a view of every table that a SELECT names, under its name, of the rows that count."""
        for name in tables_named(select):
            paths = list(self.files.get(name, ()))
            if paths:
                listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                rows = f"read_parquet([{listed}])"
            else:
                rows = f"empty_{name}"
                connection.register(rows, pl.DataFrame(schema=TABLES[name].platform_schema))
            counting = f"CREATE TEMP VIEW {name} AS FROM {rows} WHERE NOT coalesce(is_retracted, false)"
            connection.execute(counting).fetchall()


def own_connection() -> duckdb.DuckDBPyConnection:
    """A connection with temporary views of its own; to open a database of its own would cost as much as two SELECTs."""
    return duckdb.cursor()


def tables_named(select: str) -> list[str]:
    """Tables that a SELECT names; one that only its comments name is as well."""
    words = set(re.findall(r"\w+", select))
    return [name for name in TABLES if name in words]
