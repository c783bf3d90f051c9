"""What is wrong with the rows, on purpose and counted, so that whoever cleans them can be checked.

Rows that are spelt differently (percent, comma, no dot, OID) mean what they meant. Rows that should go (duplicates,
retracted and invalid ones) come on top of the others, so that what was planned for a person still holds without them.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.draws import Places, day_of
from transforms.sources.synthetic.population import STRANGERS
from transforms.sources.synthetic.rows import Rows, joined
from transforms.sources.synthetic.vocabulary import (
    HAS_DOT,
    MEASUREMENT,
    UNDOTTED,
    UNREADABLE,
    is_tenths,
    number_of,
    tenths,
    with_comma,
)

DUPLICATE = 0.0008
"""Exact duplicates: an extract that was resumed after a failure sends some rows twice."""
RETRACTED = 0.002
"""Entered for the wrong person and taken back."""
OID_PREFIX = 0.002
"""Rows from HL7 messages keep the object identifier before the identity code."""
PERCENT = 0.01
"""HbA1c in NGSP percent: old devices, results from abroad."""
DECIMAL_COMMA = 0.005
"""Results typed by hand, in the Finnish way."""
UNDOTTED_CODE = 0.01
"""ICD-10 codes from systems that drop the dot."""
INVALID_IDENTITY_CODE, UNKNOWN_PERSON, IMPOSSIBLE_DATE, UNREADABLE_VALUE = 0.0003, 0.0003, 0.0002, 0.0004
"""Slips of the pen, persons not in the register extract, placeholder dates, comments in place of results.

Together about one row in a thousand: seen in every extract, and far below what should stop a run.
"""
PLACEHOLDER_DAYS = (day_of(date(1800, 1, 1)), day_of(date(2999, 12, 31)))
"""What some systems write where they have no date."""
NGSP_SLOPE, NGSP_INTERCEPT = 0.09148, 2.152
"""NGSP % = slope x IFCC mmol/mol + intercept (IFCC-NGSP master equation)."""

_NEVER_RETRACTED = ("residence", "service_period", "restriction")
"""Tables of periods: one that is retracted would have to fit another person's life."""


@dataclass(frozen=True)
class Spoilt:
    """Rows with their faults, places of rows to be written twice, and how many of each kind there are."""

    rows: Rows
    duplicates: NDArray[np.int64]
    counts: dict[str, int]


def spoil(block: Block, table: str, clean: Rows) -> Spoilt:
    """Put the faults in. Invalid rows come last, are no duplicates and have one fault each."""
    rng, counts = block.rng(f"dirt in {table}"), {}
    rows = clean.with_words(is_retracted=np.zeros(len(clean), dtype=np.int32))
    if table not in _NEVER_RETRACTED:
        wrong = _for_someone_else(block, rng, rows)
        counts["retracted"] = len(wrong)
        rows = joined([rows, wrong])
    size = len(rows)
    rows = _spelt_differently(rng, table, rows, counts)
    invalid = [rows, *_invalid(block, rng, table, rows, counts)]
    prefixed = _some(rng, size, OID_PREFIX)
    person = rows.person.copy()
    person[prefixed] += block.size
    invalid[0] = replace(rows, person=person)
    duplicates = _some(rng, size, DUPLICATE)
    counts |= {"oid_prefix": len(prefixed), "duplicate": len(duplicates)}
    return Spoilt(joined(invalid), duplicates, counts)


def _some(rng: np.random.Generator, size: int, rate: float) -> NDArray[np.int64]:
    """Places of about this share of rows, each once."""
    return np.unique(rng.integers(0, max(size, 1), rng.binomial(size, rate)))


def _for_someone_else(block: Block, rng: np.random.Generator, rows: Rows) -> Rows:
    wrong = rows.take(_some(rng, len(rows), RETRACTED))
    person = rng.integers(0, block.size, len(wrong)).astype(np.int32)
    lived = np.ones(len(wrong), dtype=np.bool_)
    for name, days in wrong.days.items():
        if name in ("event_date", "booked_date"):
            lived &= (days >= block.people.first[person]) & ((days <= block.last[person]) | (days > block.as_of))
    wrong = replace(wrong, person=person).with_words(is_retracted=np.ones(len(wrong), dtype=np.int32))
    return wrong.take(lived & block.is_resident[person])


def _spelt_differently(rng: np.random.Generator, table: str, rows: Rows, counts: dict[str, int]) -> Rows:
    if table == "measurement":
        kind, value = rows.words["measurement"].copy(), rows.words["value"].copy()
        for word in ("hba1c", "hba1c_local"):
            is_hba1c = np.flatnonzero(kind == MEASUREMENT[word])
            chosen = is_hba1c[_some(rng, len(is_hba1c), PERCENT)]
            kind[chosen] = MEASUREMENT[f"{word}_percent"]
            value[chosen] = tenths(number_of(value[chosen]) * NGSP_SLOPE + NGSP_INTERCEPT)
            counts["percent"] = counts.get("percent", 0) + len(chosen)
        decimal = np.flatnonzero(is_tenths(value))
        chosen = decimal[_some(rng, len(decimal), DECIMAL_COMMA)]
        value[chosen] = with_comma(value[chosen])
        counts["decimal_comma"] = len(chosen)
        return rows.with_words(measurement=kind, value=value)
    if table == "diagnosis":
        code = rows.words["diagnosis"].copy()
        dotted = np.flatnonzero(HAS_DOT[code])
        chosen = dotted[_some(rng, len(dotted), UNDOTTED_CODE)]
        code[chosen] += UNDOTTED
        counts["undotted_code"] = len(chosen)
        return rows.with_words(diagnosis=code)
    return rows


def _invalid(block: Block, rng: np.random.Generator, table: str, rows: Rows, counts: dict[str, int]) -> list[Rows]:
    def some(kind: str, rate: float) -> Rows:
        found = rows.take(_some(rng, len(rows), rate))
        counts[kind] = len(found)
        return found

    misspelt = some("invalid_identity_code", INVALID_IDENTITY_CODE)
    unknown = some("unknown_person", UNKNOWN_PERSON)
    undated = some("impossible_date", IMPOSSIBLE_DATE)
    stranger: Places = 3 * block.size + rng.integers(0, STRANGERS, len(unknown), dtype=np.int32)
    column = next(iter(undated.days))
    # A booked appointment may lie ahead, so that only the early placeholder is impossible there.
    placeholders = PLACEHOLDER_DAYS[:1] if table == "appointment" else PLACEHOLDER_DAYS
    day = np.array(placeholders, dtype=np.int32)[rng.integers(0, len(placeholders), len(undated))]
    parts = [
        replace(misspelt, person=misspelt.person + 2 * block.size),
        replace(unknown, person=stranger),
        replace(undated, days=undated.days | {column: day}),
    ]
    if table == "measurement":
        unreadable = some("unreadable_value", UNREADABLE_VALUE)
        value = rng.integers(UNREADABLE.start, UNREADABLE.stop, len(unreadable), dtype=np.int32)
        parts.append(unreadable.with_words(value=value))
    return parts
