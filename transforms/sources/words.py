"""Reading text columns: blanks, words of a closed set, rows that something is true of."""

import polars as pl

from schemas.tables import TABLES

_RESULT = r"^\s*([<>]?=?\s*[-+]?\d+(?:[.,]\d+)?)\s*(%|[A-Za-zµμ]+/[A-Za-z0-9]+)?\s*$"
OUT_OF_RANGE = "it is out of range and was left empty"


def stripped(column: str) -> pl.Expr:
    """Text without blanks around it; null where nothing is left."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)


def number_in(text: pl.Expr) -> pl.Expr:
    """The number of a result that is written as one, with or without its unit; null where it is not."""
    return text.str.extract(_RESULT, 1)


def unit_in(text: pl.Expr) -> pl.Expr:
    """The unit that is written after a number, "%" or one thing per another; null where there is none."""
    return text.str.extract(_RESULT, 2)


def count_where(rows: pl.DataFrame, condition: pl.Expr) -> int:
    """How many rows a condition holds for; null counts as not."""
    return int(rows.with_columns(condition.alias("#")).select(pl.col("#").sum()).item())


def word_of(text: pl.Expr, groups: dict[str, list[str]], otherwise: str) -> pl.Expr:
    """The term whose group holds the word, whatever its case."""
    terms = {word: term for term, words in groups.items() for word in words}
    return text.str.to_lowercase().replace_strict(terms, default=otherwise, return_dtype=pl.String)


def terms_of(text: pl.Expr, groups: dict[str, list[str]]) -> pl.Expr:
    """The term whose group holds the word, whatever its case; null where none does."""
    terms = {word: term for term, words in groups.items() for word in words}
    return text.str.strip_chars().str.to_lowercase().replace_strict(terms, default=None, return_dtype=pl.String)


def hold_identity_codes(identifiers: pl.Series) -> bool:
    """Whether most of the identifiers are written as Finnish personal identity codes are."""
    present = identifiers.drop_nulls().str.strip_chars()
    return len(present) > 0 and present.str.contains(r"(?i)^\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]$").sum() * 2 > len(present)


def within_range(number: pl.Expr, table: str, column: str) -> pl.Expr:
    """The number where its column can hold it, else nothing: the rest of the row is none the worse for it."""
    limits = TABLES[table].column(column)
    return pl.when(number.cast(pl.Float64, strict=False).is_between(limits.minimum, limits.maximum)).then(number)
