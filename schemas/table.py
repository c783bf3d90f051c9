"""The one declaration of a table, from which types, checks, dictionary and what may cross the boundary derive."""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl
import pyarrow as pa


class Kind(StrEnum):
    """What a value is, independent of the file format it arrives in."""

    TEXT = "text"
    CODE = "code"
    DATE = "date"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLAG = "flag"


class Role(StrEnum):
    """How far a column identifies a person; what crosses the boundary follows from it.

    `DIRECT_IDENTIFIER` never crosses (free text counts as one: it may hold anything). `KEY` crosses as a pseudonym.
    `QUASI_IDENTIFIER` crosses generalised, as policy.toml says. `SENSITIVE` and `PLAIN` cross as they are; the first
    says something of a person's health or care, the second is administrative.
    """

    DIRECT_IDENTIFIER = "direct identifier"
    KEY = "key"
    QUASI_IDENTIFIER = "quasi-identifier"
    SENSITIVE = "sensitive"
    PLAIN = "plain"


_POLARS: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.CODE: pl.String(),
    Kind.DATE: pl.Date(),
    Kind.INTEGER: pl.Int32(),
    Kind.DECIMAL: pl.Float64(),
    Kind.FLAG: pl.Boolean(),
}
_ARROW: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.CODE: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.INTEGER: pa.int32(),
    Kind.DECIMAL: pa.float64(),
    Kind.FLAG: pa.bool_(),
}

PERSON_ID = "person_id"
"""The identified key of a person in the source; no platform table has it."""
RECORD_ID = "record_id"
"""The source system's own key of a row; crosses as `record_key`."""
PERSON_NUMBER = "person_number"
"""The platform's dense number of a person, 0 .. persons - 1; means nothing outside one lake."""


@dataclass(frozen=True)
class Column:
    """One column of a source table.

    `terms` closes a code set; `known` are the values of an open one that definitions may name. `minimum` and `maximum`
    bound numbers, in `unit`. A date may lie after the as-of date only where `may_be_future` says so (a booked
    appointment). `required` means that a row without it is invalid and a source without the column is refused.
    """

    name: str
    kind: Kind
    role: Role
    description: str
    required: bool = False
    terms: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    may_be_future: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the source and what becomes of it in the lake.

    `grain` is one sentence, "One row per ...". `order` is the sort order of the lake's files, chosen so that an
    indicator reads only the codes and dates that it needs. A table that does not cross is used in the controller zone
    alone and has no place in the lake.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    crosses: bool = True

    def column(self, name: str) -> Column:
        """Find a column by name; KeyError where the table has none of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the source columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def source_schema(self) -> dict[str, pl.DataType]:
        """Polars types of the source columns once they have been read and normalised."""
        return {column.name: _POLARS[column.kind] for column in self.columns}

    @property
    def platform_columns(self) -> tuple[Column, ...]:
        """Source columns that cross the boundary under their own name."""
        return tuple(c for c in self.columns if c.role not in (Role.DIRECT_IDENTIFIER, Role.KEY))

    @property
    def platform_schema(self) -> dict[str, pl.DataType]:
        """Polars types of the table in the lake."""
        schema: dict[str, pl.DataType] = {PERSON_NUMBER: pl.Int32()}
        if self.name == "person":
            schema["pseudonym"] = pl.Binary()
        schema |= {column.name: _POLARS[column.kind] for column in self.platform_columns}
        if RECORD_ID in self.names:
            schema["record_key"] = pl.Binary()
        return schema

    @property
    def platform_arrow_schema(self) -> pa.Schema:
        """Arrow types of the table in the lake, as its Parquet files must declare them, type by type."""
        kinds = {column.name: _ARROW[column.kind] for column in self.platform_columns}
        fixed = {PERSON_NUMBER: pa.int32(), "pseudonym": pa.binary(), "record_key": pa.binary()}
        return pa.schema([pa.field(name, fixed.get(name) or kinds[name]) for name in self.platform_schema])


def person_key(description: str = "Personal identity code, or the source's own person identifier.") -> Column:
    """The key column that every table has."""
    return Column(PERSON_ID, Kind.TEXT, Role.KEY, description, required=True)


def record_columns() -> tuple[Column, ...]:
    """The columns that let an event arrive late, be corrected and be retracted."""
    return (
        Column(
            "recorded_date",
            Kind.DATE,
            Role.PLAIN,
            "Day on which the source learnt of it; later than the event for late arrivals.",
        ),
        Column("is_retracted", Kind.FLAG, Role.PLAIN, "The source has taken the row back; it must not count."),
        Column(RECORD_ID, Kind.TEXT, Role.KEY, "Key of the row in the source system; a later row with it replaces it."),
    )


def event_date(description: str, *, may_be_future: bool = False) -> Column:
    """The day on which something happened to a person."""
    return Column("event_date", Kind.DATE, Role.SENSITIVE, description, required=True, may_be_future=may_be_future)
