"""Whether a code is one that the project counts by, as a source wrote it."""

import re
from functools import cache

import polars as pl

from schemas.codelists import TREE_SYSTEMS, load_codelists


def is_listed(system: str, code: pl.Expr) -> pl.Expr:
    """Whether a code list has the code, or in a tree one above it, however it is spelt."""
    codes = _codes(system)
    if not codes:
        return pl.lit(value=False)
    plain = code.str.strip_chars().str.to_uppercase()
    if system in TREE_SYSTEMS:
        above = "|".join(re.escape(listed.replace(".", "")) for listed in codes)
        return plain.str.replace_all(".", "", literal=True).str.contains(f"^(?:{above})").fill_null(False)
    plain = plain.str.zfill(2) if system == "cvx" else plain
    return plain.is_in(codes).fill_null(False)


@cache
def _codes(system: str) -> list[str]:
    return sorted({code for listed in load_codelists().values() for code in listed.codes.get(system, ())})
