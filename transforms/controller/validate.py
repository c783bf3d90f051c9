"""Which rows are invalid, and why: the first rule that a row breaks is its reason."""

from collections.abc import Iterator
from datetime import date

import polars as pl

from schemas.table import PERSON_ID, Column, Kind, Table
from transforms.controller.identifiers import is_valid
from transforms.controller.shapes import ill_shaped

EARLIEST = date(1880, 1, 1)
"""No record of a living memory is older; an earlier date is a slip of the pen or a placeholder."""
UNREADABLE, MISSING, INVALID = "cannot be read", "is missing", "is not a valid identifier"
NOT_A_TERM, OUT_OF_RANGE = "is not one of the terms", "is out of range"
NOT_A_CODE = "is not written as a code"
TOO_EARLY, IN_FUTURE, ENDS_BEFORE = "is before 1880", "is in the future", "is before the first day"
UNKNOWN_PERSON, DUPLICATE, CONFLICT = "is not among the persons", "exact duplicate", "two persons share it"
MERGED = "merged with another row of the person"
LINKS_DISAGREE = "leads to two persons, or round in a circle"


def reasons(
    rows: pl.DataFrame, table: Table, identifier: str, unreadable: dict[str, pl.Series], latest: date
) -> pl.Series:
    """The reason why a row is invalid, "column: rule", or null. One value a row.

    `latest` is the last day that is not in the future.
    """
    reason = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, rows.height)
    for text, broken in _rules(rows, table, identifier, unreadable, latest):
        if broken.any():
            first = broken.fill_null(False) & reason.is_null()
            reason = pl.select(pl.when(first).then(pl.lit(text)).otherwise(reason).alias("reason")).to_series()
    return reason


def _rules(
    rows: pl.DataFrame, table: Table, identifier: str, unreadable: dict[str, pl.Series], latest: date
) -> Iterator[tuple[str, pl.Series]]:
    for name, lost in unreadable.items():
        yield f"{name}: {UNREADABLE}", lost
    for column in table.columns:
        if column.required:
            yield f"{column.name}: {MISSING}", rows[column.name].is_null()
    for name in (PERSON_ID, "former_id"):
        if name in table.names:
            yield f"{name}: {INVALID}", ~is_valid(rows[name], identifier)
    for column in table.columns:
        values = rows[column.name]
        if column.terms:
            foreign = values.unique().drop_nulls()
            foreign = foreign.filter(~foreign.is_in(list(column.terms)))
            if len(foreign):
                yield f"{column.name}: {NOT_A_TERM}", values.is_in(foreign.implode())
        elif column.kind is Kind.CODE:
            foreign = values.unique().drop_nulls()
            foreign = foreign.filter(ill_shaped(foreign, table, column))
            if len(foreign):
                yield f"{column.name}: {NOT_A_CODE}", values.is_in(foreign.implode())
        if column.minimum is not None or column.maximum is not None:
            yield f"{column.name}: {OUT_OF_RANGE}", _outside(values, column)
        if column.kind is Kind.DATE:
            yield f"{column.name}: {TOO_EARLY}", values < EARLIEST
            if not column.may_be_future:
                yield f"{column.name}: {IN_FUTURE}", values > latest
    for first, last in (("event_date", "end_date"), ("from_date", "to_date"), ("birth_date", "death_date")):
        if {first, last} <= set(table.names):
            yield f"{last}: {ENDS_BEFORE}", rows[last] < rows[first]


def _outside(values: pl.Series, column: Column) -> pl.Series:
    low = values < column.minimum if column.minimum is not None else pl.repeat(False, len(values), eager=True)
    high = values > column.maximum if column.maximum is not None else pl.repeat(False, len(values), eager=True)
    return low | high
