"""Reading text columns: blanks, words of a closed set, rows that something is true of."""

import polars as pl


def stripped(column: str) -> pl.Expr:
    """Text without blanks around it; null where nothing is left."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)


def count_where(rows: pl.DataFrame, condition: pl.Expr) -> int:
    """How many rows a condition holds for; null counts as not."""
    return int(rows.with_columns(condition.alias("#")).select(pl.col("#").sum()).item())


def word_of(text: pl.Expr, groups: dict[str, list[str]], otherwise: str) -> pl.Expr:
    """The term whose group holds the word, whatever its case."""
    terms = {word: term for term, words in groups.items() for word in words}
    return text.str.to_lowercase().replace_strict(terms, default=otherwise, return_dtype=pl.String)
