"""Columns of codes as numbers of their different texts: what is done to a text is done once, however many rows have it.

In the controller's frames a column of codes is Categorical. In files it is text.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from schemas.table import Kind, Table

CODE = pl.Categorical()
_KEPT = pl.Series([""], dtype=CODE)
"""While there is a column of a type, Polars keeps the numbers of its texts; without one it forgets them."""


def normal_schema(table: Table) -> dict[str, pl.DataType]:
    """Polars types of a source table's columns once they have been normalised."""
    is_code = {column.name: column.kind is Kind.CODE for column in table.columns}
    return {name: CODE if is_code[name] else dtype for name, dtype in table.source_schema.items()}


def as_codes(values: pl.Series) -> pl.Series:
    """Texts, or what is to be read as text, as codes."""
    return values if values.dtype == CODE else values.cast(pl.String).cast(CODE)


def different(codes: pl.Series) -> pl.Series:
    """The different texts of a column of codes."""
    return _distinct(codes).cast(pl.String)


def rewritten(codes: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Codes with each different text as a value-by-value function writes it; the same column where it changes none."""
    distinct = _distinct(codes)
    before = distinct.cast(pl.String)
    after = function(before)
    if before.equals(after):
        return codes
    return _looked_up(codes, distinct, after.cast(CODE).to_physical()).cat.to(CODE)


def ranked(codes: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The place of each row's text among the different ones in order, null for null, and those texts."""
    distinct = _distinct(codes)
    texts = distinct.cast(pl.String)
    order = texts.arg_sort()
    places = pl.int_range(len(order), dtype=pl.UInt32, eager=True)
    return _looked_up(codes, distinct.gather(order), places), texts.gather(order)


def _distinct(codes: pl.Series) -> pl.Series:
    """Each code that a column has, once: codes are small numbers, which are marked faster than hashed."""
    numbers = codes.to_physical().drop_nulls()
    last = numbers.max()
    is_there = np.zeros(last + 1 if isinstance(last, int) else 0, dtype=np.bool_)
    is_there[numbers.to_numpy()] = True
    return pl.Series(codes.name, np.flatnonzero(is_there).astype(np.uint32)).cat.to(CODE)


def _looked_up(codes: pl.Series, distinct: pl.Series, numbers: pl.Series) -> pl.Series:
    """For each row the number that belongs to its code."""
    found = distinct.to_physical()
    last = found.max()
    table = pl.Series([None], dtype=pl.UInt32).new_from_index(0, last + 1 if isinstance(last, int) else 1)
    return table.scatter(found, numbers).gather(codes.to_physical()).alias(codes.name)
