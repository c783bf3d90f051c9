"""Which rows are invalid, and why: the first rule that a row breaks is its reason."""

from collections.abc import Iterator
from datetime import date
from functools import reduce
from operator import or_
from typing import Any

import polars as pl

from schemas.table import PERSON_ID, Kind, Table
from transforms.controller.codes import CODE, different
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
    rows: pl.DataFrame,
    table: Table,
    identifier: str,
    unreadable: dict[str, pl.Series],
    latest: date,
    known: pl.Series | None = None,
) -> pl.Series:
    """The reason why a row is invalid, "column: rule", or null. One value a row.

    `latest` is the last day that is not in the future. Rows that are `known` have the identifier of a person.
    """
    reason = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, rows.height)
    for text, broken in _rules(rows, table, identifier, unreadable, latest, known):
        if broken.any():
            first = broken.fill_null(False) & reason.is_null()
            reason = pl.select(pl.when(first).then(pl.lit(text)).otherwise(reason).alias("reason")).to_series()
    return reason


def _rules(
    rows: pl.DataFrame,
    table: Table,
    identifier: str,
    unreadable: dict[str, pl.Series],
    latest: date,
    known: pl.Series | None,
) -> Iterator[tuple[str, pl.Series]]:
    """Each rule that may be broken, and which rows break it. Codes are judged once each, ranges by their ends."""
    for name, lost in unreadable.items():
        yield f"{name}: {UNREADABLE}", lost
    for column in table.columns:
        if column.required and rows[column.name].null_count():
            yield f"{column.name}: {MISSING}", rows[column.name].is_null()
    for name in (PERSON_ID, "former_id"):
        if name == PERSON_ID and known is not None:
            others = (~known).arg_true()
            yield f"{name}: {INVALID}", ~known.clone().scatter(others, is_valid(rows[name].gather(others), identifier))
        elif name in table.names:
            yield f"{name}: {INVALID}", ~is_valid(rows[name], identifier)
    for column in table.columns:
        values = rows[column.name]
        if column.kind is Kind.CODE:
            known = different(values)
            foreign = known.filter(
                ~known.is_in(list(column.terms)) if column.terms else ill_shaped(known, table, column)
            )
            if len(foreign):
                rule = NOT_A_TERM if column.terms else NOT_A_CODE
                yield f"{column.name}: {rule}", values.is_in(foreign.cast(CODE).implode())
        if column.minimum is not None or column.maximum is not None:
            yield f"{column.name}: {OUT_OF_RANGE}", _outside(values, column.minimum, column.maximum)
        if column.kind is Kind.DATE:
            yield f"{column.name}: {TOO_EARLY}", _outside(values, EARLIEST, None)
            if not column.may_be_future:
                yield f"{column.name}: {IN_FUTURE}", _outside(values, None, latest)
    for first, last in (("event_date", "end_date"), ("from_date", "to_date"), ("birth_date", "death_date")):
        if {first, last} <= set(table.names):
            yield f"{last}: {ENDS_BEFORE}", rows[last] < rows[first]


def _outside(values: pl.Series, low: float | date | None, high: float | date | None) -> pl.Series:
    """Which values lie outside; one flag in all, false, where none does."""
    lowest: Any = values.min()
    highest: Any = values.max()
    broken = [values < low] if low is not None and lowest is not None and lowest < low else []
    broken += [values > high] if high is not None and highest is not None and highest > high else []
    return reduce(or_, broken) if broken else pl.Series([False])
