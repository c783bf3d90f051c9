"""The lake as the analysis reads it: one list of Parquet files per table, rows that have been retracted left out.

A load writes those into files of their own, which are not opened; files that may hold both kinds are filtered.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import duckdb
import polars as pl
import pyarrow.parquet as pq

from schemas.errors import UsageRefused
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.retracted import IS_RETRACTED, retracted_in

PERSONS_AT_ONCE = 1 << 20
"""Persons whose records are evaluated together: below 2 GiB, however many there are and whatever the dates."""
Files: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Lake:
    """Parquet files by table name, of one consistent version; a table without files is empty.

    It may hold a range of the persons only, from `first` to before `last`, and then numbers them from 0. A range
    without a beginning or an end also has the rows of numbers that nobody can have, so that one of them refuses those.
    """

    files: Files
    first: int | None = None
    last: int | None = None

    @property
    def offset(self) -> int:
        """What is to be added to the number of a person here."""
        return self.first or 0

    def scan(self, table: Table) -> pl.LazyFrame:
        """Rows of a table that count."""
        return self.counting(table)[0]

    def counting(self, table: Table) -> tuple[pl.LazyFrame, int]:
        """Rows of a table that count, and how many there are at most."""
        paths, row_count, are_mixed = self._counting(table.name)
        rows = pl.scan_parquet(paths) if paths else pl.LazyFrame(schema=table.platform_schema)
        if within := self._within():
            rows = rows.filter(pl.sql_expr(within)).with_columns(pl.col(PERSON_NUMBER) - self.offset)
        return rows.filter(~IS_RETRACTED) if are_mixed else rows, row_count

    def _counting(self, name: str) -> tuple[list[str], int, bool]:
        """A table's files without those of retracted rows alone, their rows, and whether retracted ones may be left."""
        found = {path: pq.read_metadata(path) for path in self.files.get(name, ())}
        holds = {path: retracted_in(about) for path, about in found.items()}
        paths = [path for path in found if holds[path] != "only"]
        return paths, sum(found[path].num_rows for path in paths), any(holds[path] == "unknown" for path in paths)

    def views(self, connection: duckdb.DuckDBPyConnection, select: str) -> None:
        """Give a connection a view of every table that a SELECT names, under its name, of the rows that count."""
        columns = f"* REPLACE ({PERSON_NUMBER} - {self.offset} AS {PERSON_NUMBER})" if self.offset else "*"
        for name in tables_named(select):
            paths, _, are_mixed = self._counting(name)
            counting = " AND ".join(filter(None, (self._within(), "NOT coalesce(is_retracted, false)" * are_mixed)))
            if paths:
                listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                rows = f"read_parquet([{listed}])"
            else:
                rows = f"empty_{name}"
                connection.register(rows, pl.DataFrame(schema=TABLES[name].platform_schema))
            view = f"CREATE TEMP VIEW {name} AS FROM {rows} SELECT {columns} WHERE {counting or True}"
            connection.execute(view).fetchall()

    def blocks(self, persons_at_once: int) -> Iterator["Lake"]:
        """The lake in ranges of so many persons, in order, each with the files that can have rows of them."""
        if persons_at_once < 1:
            raise UsageRefused("nobody would be evaluated", "Evaluate at least one person at once")
        largest = self.scan(TABLES["person"]).select(pl.col(PERSON_NUMBER).max()).collect().item()
        if largest is None or largest < persons_at_once:
            yield self
            return
        numbers = {path: _numbers_in(path) for paths in self.files.values() for path in paths}
        for start in range(0, largest + 1, persons_at_once):
            end = start + persons_at_once
            block = Lake({}, start or None, end if end <= largest else None)
            files = {
                name: [path for path in paths if block._may_hold(numbers[path])] for name, paths in self.files.items()
            }
            yield replace(block, files=files)

    def _may_hold(self, numbers: range | None) -> bool:
        """Whether rows of these persons, or of nobody knows whom, can be of the range."""
        if numbers is None:
            return True
        return (self.last is None or numbers.start < self.last) and (self.first is None or numbers.stop > self.first)

    def _within(self) -> str:
        """The condition on rows of the range, as SQL; empty where the lake is whole."""
        least = [f"{PERSON_NUMBER} >= {self.first}"] if self.first is not None else []
        below = [f"{PERSON_NUMBER} < {self.last}"] if self.last is not None else []
        within = " AND ".join(least + below)
        return f"({within} OR {PERSON_NUMBER} IS NULL)" if below and not least else within


def as_lake(files: Files | Lake) -> Lake:
    """The whole lake of some files, or a lake as it is."""
    return files if isinstance(files, Lake) else Lake(files)


def _numbers_in(path: str) -> range | None:
    """The person numbers that a file can hold, as it says itself; None where it does not."""
    about = pq.read_metadata(path)
    if PERSON_NUMBER not in about.schema.names:
        return None
    column, least, most = about.schema.names.index(PERSON_NUMBER), [], []
    for group in range(about.num_row_groups):
        statistics = about.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.null_count:
            return None
        least.append(statistics.min)
        most.append(statistics.max)
    return range(min(least, default=0), max(most, default=-1) + 1)


def own_connection() -> duckdb.DuckDBPyConnection:
    """A connection with temporary views of its own; to open a database of its own would cost as much as two SELECTs."""
    return duckdb.cursor()


def tables_named(select: str) -> list[str]:
    """Tables that a SELECT names; one that only its comments name is as well."""
    words = set(re.findall(r"\w+", select))
    return [name for name in TABLES if name in words]
