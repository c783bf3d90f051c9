"""How the codes of a column are written: what keeps names, numbers and notes out of it.

A column with terms holds nothing else. A code is written as one of the code systems of its table. What a source may
name itself (services, specialties, units) is one word without spaces, and there are not many of them.
"""

import re
from functools import cache

import polars as pl

from schemas.codelists import CODE_SYSTEMS
from schemas.table import Column, Table
from schemas.tables import TABLES

LONGEST = 40
"""Letters of the longest code; what is longer is text."""
_ICD10 = r"[A-Z]\d\d(\.[0-9A-Z]{1,4})?[*+]?"
_SYSTEMS = CODE_SYSTEMS | {
    "icd10": rf"{_ICD10}([*+&#]{_ICD10}|#[A-Z]\d\d[A-Z]{{2}}\d\d)?",  # Finnish pairs of cause and symptom, and ATC
    "loinc": CODE_SYSTEMS["loinc"] + "|QALY|DALY|QOLS",  # Synthea's years of life, which LOINC does not have
}
_WORD = r"\p{L}[\p{L}0-9]*([_.-][\p{L}0-9]+)*"
_SHAPES: dict[str, tuple[str, int, int]] = {
    "service": (_WORD, 4, 1000),
    "specialty": (_WORD, 4, 1000),
    "unit": (r"[!-?A-~µμ°²³]+", 6, 2000),
    "area_code": (r"[0-9A-Za-z]+(-[0-9A-Za-z]+)*", 8, 20_000),
    "code": ("", LONGEST, 100_000),
}
"""How the values are written, digits that one has at most, and how many values there are at most."""


def ill_shaped(values: pl.Series, table: Table, column: Column) -> pl.Series:
    """Whether each value is not written as the column's values are. One flag a value; null is well shaped."""
    if column.terms:
        return ~values.is_in(list(column.terms)).fill_null(True)
    shape, digits, _ = _SHAPES.get(column.name, (_WORD, 4, 1000))
    if column.name == "code" and "code_system" in table.names:
        shape = "|".join(_SYSTEMS[system] for system in table.column("code_system").terms)
    well = (
        values.str.contains(rf"^(?:{shape})$")
        & (values.str.len_chars() <= LONGEST)
        & (values.str.count_matches("[0-9]") <= digits)
    )
    return ~well.fill_null(True)


def most(column: Column) -> int:
    """How many different values a column can have; names and notes have more."""
    return len(column.terms) or _SHAPES.get(column.name, (_WORD, 4, 1000))[2]


@cache
def public_words() -> frozenset[str]:
    """Words of our own declarations: a code made of them says nothing of anybody, though somebody may be called so."""
    texts = [
        text for table in TABLES.values() for column in table.columns for text in (column.description, *column.terms)
    ]
    return frozenset(word for text in texts for word in re.split(r"[\W_]+", text.lower()) if word)
