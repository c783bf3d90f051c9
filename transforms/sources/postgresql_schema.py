"""The source tables as PostgreSQL's DDL, and a feed written into them."""

from collections.abc import Callable
from pathlib import Path

import adbc_driver_manager
import polars as pl
import pyarrow as pa

from schemas.errors import SourceRefused
from schemas.table import Kind, Table
from schemas.tables import SOURCE_TABLES
from transforms.sources.feed import FeedSource
from transforms.sources.postgresql import connected
from transforms.sources.postgresql_address import Address

_TYPES = {
    Kind.TEXT: "text",
    Kind.CODE: "text",
    Kind.DATE: "date",
    Kind.INTEGER: "integer",
    Kind.DECIMAL: "text",
    Kind.FLAG: "boolean",
}
"""A measured value is text: a laboratory writes `7,2` and `<5`, and caregap reads them."""
_ARROW = {"text": pl.String(), "date": pl.Date(), "integer": pl.Int32(), "boolean": pl.Boolean()}


def ddl(schema: str, role: str) -> str:
    """Statements that make the schema, its tables with comments, and a role that may read and nothing else."""
    parts = [f"CREATE SCHEMA IF NOT EXISTS {schema};"]
    parts += [_create(table, schema) for table in SOURCE_TABLES.values()]
    parts.append(
        f"""-- The role that caregap reads as. Give it a password, or let it in by certificate, in your own way.
CREATE ROLE {role} LOGIN;
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET search_path = {schema};
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};"""
    )
    return "\n\n".join(parts)


def _create(table: Table, schema: str) -> str:
    name = f"{schema}.{table.name}"
    columns = [f"    {c.name} {_TYPES[c.kind]}{' NOT NULL' if c.required else ''}" for c in table.columns]
    lines = [f"CREATE TABLE {name} (", ",\n".join(columns), ");", f"COMMENT ON TABLE {name} IS {_text(table.grain)};"]
    for column in table.columns:
        terms = f" One of: {', '.join(column.terms)}." if column.terms else ""
        lines.append(f"COMMENT ON COLUMN {name}.{column.name} IS {_text(column.description + terms)};")
    return "\n".join(lines)


def _text(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


def load_feed(
    feed: FeedSource, address: Address, passfile: Path | None, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Add the rows of a feed to the tables, all or none; rows by table.

    The address's role must own the tables or be allowed to write to them. Raises SourceRefused.
    """
    rows: dict[str, int] = {}
    with connected(address.uri(passfile, writes=True)) as connection:
        for name, batch in feed.batches():
            reader = _as_declared(batch, SOURCE_TABLES[name])
            failed = False
            try:
                with connection.cursor() as cursor:
                    cursor.adbc_ingest(name, reader, mode="append", db_schema_name=address.schema or None)
            except adbc_driver_manager.Error:
                failed = True
            if failed:
                mend = "Create the tables (caregap sources ddl) and load as their owner"
                raise SourceRefused("the server did not take the rows", mend, name)
            rows[name] = rows.get(name, 0) + batch.height
            if progress is not None:
                progress(batch.height)
        connection.commit()
    return rows


def _as_declared(batch: pl.DataFrame, table: Table) -> pa.Table:
    """Rows in the types of the DDL. Raises SourceRefused where a value has none of its column's type."""
    columns = []
    for name in batch.columns:
        dtype, column, failed = _ARROW[_TYPES[table.column(name).kind]], batch[name], False
        try:
            columns.append(column.cast(dtype))
        except pl.exceptions.PolarsError:
            failed = True
        if failed:
            mend = "Load a feed whose dates, numbers and flags are whole"
            raise SourceRefused("a value does not fit the column", mend, table.name, name)
    return pl.DataFrame(columns).to_arrow(compat_level=pl.CompatLevel.oldest())
