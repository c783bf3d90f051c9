"""From what a source wrote to what `schemas.tables` declares: types, spellings and units.

A value that cannot be read becomes null and is reported as unreadable, so that its row can be quarantined. Codes and
what came as text repeat, so each distinct one is normalised once.
"""

from collections.abc import Callable, Mapping
from functools import cache

import polars as pl

from schemas.codelists import load_codelists
from schemas.table import PERSON_ID, Column, Kind, Table
from transforms.controller.codes import CODE, as_codes, normal_schema, rewritten
from transforms.controller.identifiers import normal_spelling

NGSP_INTERCEPT, NGSP_SLOPE = 2.152, 0.09148
"""HbA1c: NGSP % = 0.09148 x IFCC mmol/mol + 2.152 (IFCC-NGSP master equation)."""
_NGSP_CODE, _PERCENT_BELOW = "4548-4", 20
_FLAGS = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}


def normalise(
    raw: pl.DataFrame, table: Table, identifier: str, known: pl.Series | None = None
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """Rows of a source as rows of `table`, and for each column that had unreadable values which rows they are in.

    Columns that the source lacks are null. Row order and count stay as they are. Codes are Categorical.
    Rows that are `known` have the identifier of a person, which is spelt as it should be.
    """
    schema = normal_schema(table)
    columns: list[pl.Series] = []
    unreadable: dict[str, pl.Series] = {}
    for column in table.columns:
        if column.name not in raw.columns:
            columns.append(pl.Series(column.name, [None], dtype=schema[column.name]).new_from_index(0, raw.height))
            continue
        source = raw[column.name]
        if column.name == PERSON_ID and known is not None:
            typed = _spelt(source, identifier, known)
        else:
            typed = _typed(source, column, table, identifier)
        columns.append(typed.alias(column.name))
        if typed.null_count() > source.null_count():
            lost = typed.is_null() & source.is_not_null() & (source.cast(pl.String).str.strip_chars() != "")
            if lost.any():
                unreadable[column.name] = lost
    frame = pl.DataFrame(columns)
    return (_measurement_units(frame) if table.name == "measurement" else frame), unreadable


def _spelt(identifiers: pl.Series, identifier: str, known: pl.Series) -> pl.Series:
    """Identifiers, those that are not known in normal spelling."""
    others = (~known).arg_true()
    text = identifiers.cast(pl.String).clone()
    return text.scatter(others, normal_spelling(text.gather(others), identifier)) if len(others) else text


def _typed(source: pl.Series, column: Column, table: Table, identifier: str) -> pl.Series:
    dtype = table.source_schema[column.name]
    if column.name in (PERSON_ID, "former_id"):
        return normal_spelling(source, identifier)
    if column.kind is Kind.CODE:
        return rewritten(as_codes(source), lambda distinct: _spelling(distinct, column, table))
    if column.kind is Kind.TEXT:
        return source.cast(pl.String)
    if source.dtype.is_float() and not source.is_finite().all():
        source = source.to_frame().select(pl.when(pl.first().is_finite()).then(pl.first())).to_series()
    if source.dtype == dtype or source.dtype == pl.Null:
        return source.cast(dtype)
    if source.dtype == pl.String:
        return _through_distinct(source, _READERS[column.kind])
    if column.kind is Kind.DATE:
        return (
            source.cast(pl.Date, strict=False)
            if source.dtype == pl.Datetime
            else pl.Series([None], dtype=dtype).new_from_index(0, len(source))
        )
    return source.cast(dtype, strict=False)


def _through_distinct(source: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a value-by-value function to the distinct values and spread the result."""
    before = source.alias("before").unique().drop_nulls()
    after = function(before).alias("after")
    if after.dtype == source.dtype and before.equals(after.alias("before")):
        return source
    if len(before) == 0:
        return pl.Series([None], dtype=after.dtype).new_from_index(0, len(source))
    return source.replace_strict(before, after, default=None, return_dtype=after.dtype)


def _spelling(distinct: pl.Series, column: Column, table: Table) -> pl.Series:
    text = pl.first().str.strip_chars()
    if column.terms:
        text = text.str.to_lowercase()
    elif column.name == "code":
        text = text.str.to_uppercase()
        if table.name == "vaccination":
            text = text.str.replace(r"^(\d)$", "0$1")  # CVX has two digits
        if table.name == "diagnosis":
            text = text.str.replace(r"^([A-Z][0-9]{2})([0-9A-Z]{1,3})$", "$1.$2")
    elif column.name == "unit":
        # What stands in braces is a remark, and so is what follows a unit: "%{HbA1c}", "mmol/mol Hb".
        text = text.str.replace_all(r"(.)\{[^}]*\}", "$1").str.replace_all(r"\s*/\s*", "/")
        text = text.str.replace(r"^(\S*[/%]\S*)\s.*$", "$1")
    return distinct.to_frame().select(pl.when(text != "").then(text)).to_series()


def _dates(distinct: pl.Series) -> pl.Series:
    text = pl.first().str.strip_chars()
    iso = text.str.head(10).str.to_date("%Y-%m-%d", strict=False)
    finnish = text.str.to_date("%d.%m.%Y", strict=False)
    whole = text.str.contains(r"^\d{4}-\d{2}-\d{2}($|[T ]\d{2}:\d{2})")
    return distinct.to_frame().select(pl.when(whole).then(iso).otherwise(finnish)).to_series()


def _decimals(distinct: pl.Series) -> pl.Series:
    """Numbers; of a censored one ("<5", "> 130") the bound, which is all that is known."""
    text = pl.first().str.strip_chars().str.replace(r"^[<>]=?\s*", "").str.replace(",", ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    return distinct.to_frame().select(pl.when(number.is_finite()).then(number)).to_series()


def _integers(distinct: pl.Series) -> pl.Series:
    number = _decimals(distinct)
    whole = number.to_frame().select(pl.when(pl.first() == pl.first().round(0)).then(pl.first())).to_series()
    return whole.cast(pl.Int32, strict=False)


def _flags(distinct: pl.Series) -> pl.Series:
    words = distinct.str.strip_chars().str.to_lowercase()
    return words.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)


_READERS: dict[Kind, Callable[[pl.Series], pl.Series]] = {
    Kind.DATE: _dates,
    Kind.DECIMAL: _decimals,
    Kind.INTEGER: _integers,
    Kind.FLAG: _flags,
}


def _measurement_units(measurements: pl.DataFrame) -> pl.DataFrame:
    """HbA1c in % (NGSP) becomes mmol/mol (IFCC), to one decimal.

    LOINC 4548-4 is in % by its definition; without a unit it is so below 20, which nobody has in mmol/mol.
    """
    named, defined = pl.col("unit") == "%", pl.col("unit").is_null() & (pl.col("value") < _PERCENT_BELOW)
    if not measurements.select((named | defined).any()).item():
        return measurements
    hba1c = pl.any_horizontal(
        (pl.col("code_system") == system) & pl.col("code").is_in(list(values))
        for system, values in _hba1c_codes().items()
    )
    by_definition = (pl.col("code_system") == "loinc") & (pl.col("code") == _NGSP_CODE)
    percent = (named & hba1c) | (defined & by_definition)
    if not measurements.select(percent.any()).item():
        return measurements
    return measurements.with_columns(
        value=pl.when(percent).then(((pl.col("value") - NGSP_INTERCEPT) / NGSP_SLOPE).round(1)).otherwise("value"),
        unit=pl.when(percent).then(pl.lit("mmol/mol", CODE)).otherwise("unit"),
    )


@cache
def _hba1c_codes() -> Mapping[str, tuple[str, ...]]:
    return load_codelists()["hba1c"].codes
