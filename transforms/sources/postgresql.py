"""A PostgreSQL database as a source: tables or views with the names and columns of `schemas.tables`.

Everything is read in one read-only transaction, so that all tables are of one moment, and streamed as Arrow batches by
ADBC. What the server says when it refuses may quote the address or a value, so none of it is passed on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import polars as pl
import pyarrow as pa

from schemas.errors import SourceRefused
from schemas.table import Column, Kind, Table
from schemas.tables import IDENTITY_LINK, SOURCE_TABLES
from transforms.sources import Remark
from transforms.sources.notes import Notes
from transforms.sources.postgresql_address import Address

_CATALOGUE = """
SELECT relation.relname, attribute.attname, type.typname,
    has_column_privilege(relation.oid, attribute.attnum, 'SELECT'),
    has_table_privilege(relation.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = relation.oid
JOIN pg_catalog.pg_type AS type ON type.oid = attribute.atttypid
WHERE relation.relkind IN ('r', 'p', 'v', 'm', 'f') AND attribute.attnum > 0 AND NOT attribute.attisdropped
    AND pg_catalog.pg_table_is_visible(relation.oid)
"""
_WHOLE, _REAL = ("int2", "int4", "int8"), ("float4", "float8", "numeric")
_DAYS = ("date", "timestamp", "timestamptz")
_CONNECTING = {
    "password": ("the server does not accept the role's password", "Give it in PGPASSWORD, or in a file by PGPASSFILE"),
    "certificate": ("the server's certificate cannot be verified", "Give its authority: ?sslrootcert=FILE"),
    "does not exist": ("there is no such database or role", "Check the address"),
}
"""What is said, by a word of libpq's; no word of it is passed on."""
_UNREACHABLE = ("the server cannot be reached or does not let the role in", "Check host, port, TLS and pg_hba.conf")


class PostgresqlSource:
    """A database as a source; `identifier` is what policy.toml says that `person_id` holds there."""

    kind = "postgresql"
    generated = False

    def __init__(self, address: Address, identifier: str, passfile: Path | None = None) -> None:
        """Keep where to read; the connection is made when reading starts."""
        self.identifier = identifier
        self._address, self._passfile = address, passfile
        self._notes = Notes()

    def areas(self) -> pl.DataFrame | None:
        """None: the geography is the one given, or the default."""
        return None

    def rows_expected(self) -> int | None:
        """None: only reading would tell."""
        return None

    def remarks(self) -> list[Remark]:
        """Tell what was missing or not as it should be; complete once `batches` has been read to its end."""
        return self._notes.remarks()

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Check every table first, then yield identity links, persons and the rest.

        Raises SourceRefused where the server cannot be read from, or has no table of persons.
        """
        self._notes = Notes()
        with connected(self._address.uri(self._passfile)) as connection:
            _all(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", None)
            read_only = _all(connection, "SELECT current_setting('transaction_read_only')", None)
            if read_only.to_series().to_list() != ["on"]:
                raise SourceRefused("the server does not keep the connection read-only", "Use a server that does")
            selects = self._selects(_all(connection, _CATALOGUE, None))
            for name in sorted(selects, key=lambda name: (name != IDENTITY_LINK, name != "person")):
                for rows in _read(connection, selects[name], name):
                    yield name, rows

    def _selects(self, catalogue: pl.DataFrame) -> dict[str, str]:
        """The SELECT of each table that is there. Raises SourceRefused where a required one or its column is not."""
        catalogue.columns = ["table", "column", "type", "may_read", "may_write"]
        selects = {}
        for name, table in SOURCE_TABLES.items():
            there = catalogue.filter(pl.col("table") == name)
            if there.is_empty():
                if name == "person":
                    mend = "Create it (caregap sources ddl), or set the role's search_path or ?schema=NAME"
                    raise SourceRefused("the table is missing", mend, name)
                if table.crosses:
                    self._notes.note(name, None, "the table is not in the database")
                continue
            if there["may_write"].any():
                self._notes.note(name, None, "the role may write to the table; grant it SELECT alone")
            types = dict(there.select("column", "type").iter_rows())
            for column in table.columns:
                if column.name in types:
                    continue
                if column.required:
                    raise SourceRefused("the required column is missing", "Add it to the table", name, column.name)
                self._notes.note(name, column.name, "the column is not in the database")
            used = [column for column in table.columns if column.name in types]
            if not there.filter(pl.col("column").is_in([c.name for c in used]))["may_read"].all():
                raise SourceRefused("the role may not read the table", "GRANT SELECT on it to the role", name)
            selects[name] = _select(table, used, types)
        return selects


@contextmanager
def connected(uri: str) -> Iterator[Any]:
    """A connection that is closed at the end, without a commit. Raises SourceRefused where none can be made."""
    connection, said = None, ""
    try:
        connection = adbc.connect(uri)
    except adbc_driver_manager.Error as error:
        said = str(error).lower()
    if connection is None:
        rule, mend = next((answer for word, answer in _CONNECTING.items() if word in said), _UNREACHABLE)
        raise SourceRefused(rule, mend)
    try:
        yield connection
    finally:
        connection.close()


def _select(table: Table, columns: list[Column], types: dict[str, str]) -> str:
    """All rows of a table, each column as the type that caregap reads it as, or else as text."""
    return f"SELECT {', '.join(_expression(c, types[c.name]) for c in columns)} FROM {table.name}"  # noqa: S608 - ours


def _expression(column: Column, of_type: str) -> str:
    name, text = column.name, f"{column.name}::text"
    if column.kind is Kind.DATE and of_type in _DAYS:
        # An end that is infinity has not come.
        text = f"CASE WHEN isfinite({name}) THEN {name}::date END"
    elif column.kind in (Kind.INTEGER, Kind.DECIMAL) and of_type in _WHOLE + _REAL:
        text = f"{name}::{'int8' if of_type in _WHOLE else 'float8'}"
    elif column.kind is Kind.FLAG and of_type == "bool":
        text = name
    return f"{text} AS {name}"


def _all(connection: Any, statement: str, table: str | None) -> pl.DataFrame:
    """All rows of a small result; none of a statement that has none."""
    return pl.concat([pl.DataFrame(), *_read(connection, statement, table)], how="diagonal")


def _read(connection: Any, statement: str, table: str | None) -> Iterator[pl.DataFrame]:
    """Rows of a statement in batches. Raises SourceRefused where the server refuses it or goes away."""
    failed = False
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            if cursor.description is None:
                return
            for batch in cursor.fetch_record_batch():
                if batch.num_rows:
                    yield pl.DataFrame(pl.from_arrow(batch))
    except (adbc_driver_manager.Error, OSError, pa.ArrowException, pl.exceptions.PolarsError):
        failed = True
    if failed:
        rule = "the server broke off the reading, or a value cannot be read as its column's type"
        raise SourceRefused(rule, "See the server's log, and run it again", table)
