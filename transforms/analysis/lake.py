"""The lake as the analysis reads it: one list of Parquet files per table, rows that have been retracted left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from schemas.table import Table
from schemas.tables import TABLES


@dataclass(frozen=True)
class Lake:
    """Parquet files by table name, of one consistent version; a table without files is empty."""

    files: Mapping[str, Sequence[str]]

    def scan(self, table: Table) -> pl.LazyFrame:
        """Rows of a table that count. A row is retracted only where it says so."""
        paths = list(self.files.get(table.name, ()))
        rows = pl.scan_parquet(paths) if paths else pl.LazyFrame(schema=table.platform_schema)
        return rows.filter(~pl.col("is_retracted").fill_null(value=False))

    def views(self, connection: duckdb.DuckDBPyConnection, select: str) -> None:
        """Give a connection a view of every table that a SELECT names, under its name, of the rows that count."""
        for name in tables_named(select):
            paths = list(self.files.get(name, ()))
            if paths:
                rows = connection.read_parquet(paths)
            else:
                rows = connection.from_arrow(pl.DataFrame(schema=TABLES[name].platform_schema).to_arrow())
            rows.filter("NOT coalesce(is_retracted, false)").create_view(name)


def tables_named(select: str) -> list[str]:
    """Tables that a SELECT names; one that only its comments name is as well."""
    words = set(re.findall(r"\w+", select))
    return [name for name in TABLES if name in words]
