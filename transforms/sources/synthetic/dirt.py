"""What is wrong with the rows, on purpose, row by row on record, so that whoever cleans them can be checked.

Rows that are spelt differently (percent, comma, no dot, OID, a former identity code) mean what they meant. Rows that
should go (duplicates, retracted and invalid ones, events after death) come on top of the others, so that what was
planned for a person still holds without them. What is recorded late is not there yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.draws import NEVER, Days, Flags, Places, day_of, whole
from transforms.sources.synthetic.population import STRANGERS
from transforms.sources.synthetic.rows import Rows, joined
from transforms.sources.synthetic.vocabulary import (
    CENSORED,
    HAS_DOT,
    MEASUREMENT,
    UNDOTTED,
    UNREADABLE,
    is_tenths,
    is_whole,
    number_of,
    tenths,
    whole_numbers,
    with_comma,
)

RATES = {
    "duplicate": 0.0008,  # an extract that was resumed after a failure sends some rows twice
    "retracted": 0.002,  # entered for the wrong person and taken back
    "oid_prefix": 0.002,  # rows from HL7 messages keep the object identifier before the identity code
    "percent": 0.01,  # HbA1c in NGSP percent: old devices, results from abroad
    "wrong_unit": 0.001,  # percent that are called mmol/mol
    "decimal_comma": 0.005,  # results typed by hand, in the Finnish way
    "censored": 0.35,  # of CRP: analysers write "<5" for what they cannot tell apart
    "undotted_code": 0.01,  # ICD-10 codes from systems that drop the dot
    "invalid_identity_code": 0.0003,  # slips of the pen; with the next three about one row in a thousand,
    "unknown_person": 0.0003,  # which is seen in every extract and far below what should stop a run:
    "impossible_date": 0.0002,  # persons not in the register extract, placeholder dates,
    "unreadable_value": 0.0004,  # comments in place of results
    "after_death": 0.004,  # of contacts before a death: rows closed by somebody who had not heard of it
    "changed_code": 0.003,  # of persons: a temporary code became permanent, a date or sex was corrected
    "duplicate_person": 0.5,  # of those: registered under both codes; and a fifth of it under the same one twice
    "retroactive_move": 0.02,  # of moves within the city: told to the register months later
    "missing_district": 0.03,  # care of addresses, no fixed abode
    "late_arrival": 0.064,  # recorded after the day itself; days by `draws.recorded`
}
"""Shares of rows with each fault, of all rows where nothing else is said. Orders of magnitude as Finnish registers'
quality reports give them; late arrivals are few, since the national archive takes entries as they are signed."""
PLACEHOLDER_DAYS = (day_of(date(1800, 1, 1)), day_of(date(2999, 12, 31)))
"""What some systems write where they have no date."""
NGSP_SLOPE, NGSP_INTERCEPT = 0.09148, 2.152
"""NGSP % = slope x IFCC mmol/mol + intercept (IFCC-NGSP master equation)."""

_PERIODS = ("residence", "service_period", "restriction")
"""Tables of periods: one that is retracted would have to fit another person's life."""
_NEVER_INVALID = ("restriction",)
"""A ban that cannot be read stops every load."""
_OUTLIVE = ("contact", "measurement", "medication")
"""Tables in which somebody still writes after a death."""

OWN, WITH_OID, MISSPELT, FORMER, NOBODYS = range(5)
"""How a person's code is spelt in a row: `person + OWN * size`, `person + WITH_OID * size` and so on."""


@dataclass(frozen=True)
class Spoilt:
    """Rows with their faults, places of rows to be written twice, and the places of each kind of fault."""

    rows: Rows
    duplicates: NDArray[np.int64]
    faults: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


def spoil(block: Block, table: str, clean: Rows) -> Spoilt:
    """Put the faults in. Invalid rows come last, are no duplicates and have one fault each."""
    rows = clean.with_words(is_retracted=np.zeros(len(clean), dtype=np.int32))
    if not block.is_dirty:
        return Spoilt(rows, np.zeros(0, dtype=np.int64))
    rng = block.rng(f"dirt in {table}")
    faults: dict[str, NDArray[np.int64]] = {}
    if table not in _PERIODS:
        rows = _with(rows, "retracted", _for_someone_else(block, rng, rows), faults)
    if table in _OUTLIVE:
        rows = _with(rows, "after_death", _after_death(block, rng, rows), faults)
    size = len(rows)
    rows = _spelt_differently(rng, table, rows, faults)
    person = rows.person.copy()
    former = _under_former_code(block, rows)
    person[former] += FORMER * block.size
    faults["former_code"] = former
    prefixed = np.setdiff1d(_some(rng, size, RATES["oid_prefix"]), former)
    person[prefixed] += WITH_OID * block.size
    faults["oid_prefix"] = prefixed
    whole_rows, rows = rows, replace(rows, person=person)
    if table not in _NEVER_INVALID:
        for kind, invalid in _invalid(block, rng, table, whole_rows).items():
            rows = _with(rows, kind, invalid, faults)
    faults["duplicate"] = _some(rng, size, RATES["duplicate"])
    return Spoilt(rows, faults["duplicate"], faults)


def _with(rows: Rows, kind: str, more: Rows, faults: dict[str, NDArray[np.int64]]) -> Rows:
    faults[kind] = np.arange(len(rows), len(rows) + len(more))
    return joined([rows, more])


def _some(rng: np.random.Generator, size: int, rate: float) -> NDArray[np.int64]:
    """Places of about this share of rows, each once."""
    return np.unique(rng.integers(0, max(size, 1), rng.binomial(size, rate)))


def _first_day(rows: Rows) -> Days:
    return next(iter(rows.days.values()))


def _for_someone_else(block: Block, rng: np.random.Generator, rows: Rows) -> Rows:
    wrong = rows.take(_some(rng, len(rows), RATES["retracted"]))
    person = rng.integers(0, block.size, len(wrong)).astype(np.int32)
    lived = np.ones(len(wrong), dtype=np.bool_)
    for name, days in wrong.days.items():
        if name in ("event_date", "booked_date"):
            lived &= (days >= block.people.first[person]) & ((days <= block.last[person]) | (days > block.as_of))
    wrong = replace(wrong, person=person).with_words(is_retracted=np.ones(len(wrong), dtype=np.int32))
    # It takes some days until somebody notices.
    noticed = np.minimum(wrong.days["recorded_date"] + whole(rng, 1, 30, len(wrong)), block.as_of).astype(np.int32)
    wrong = replace(wrong, days=wrong.days | {"recorded_date": noticed})
    return wrong.take(lived & block.is_resident[person])


def _after_death(block: Block, rng: np.random.Generator, rows: Rows) -> Rows:
    """Rows of persons who have died, dated again some days after it."""
    death = block.people.death[rows.person]
    last = rows.take(np.flatnonzero((death < block.as_of) & (rng.random(len(rows)) < RATES["after_death"])))
    day = block.people.death[last.person] + whole(rng, 1, 25, len(last))
    last = replace(last, days=last.days | {"event_date": day.astype(np.int32), "recorded_date": day.astype(np.int32)})
    return last.take(day <= block.as_of)


def _under_former_code(block: Block, rows: Rows) -> NDArray[np.int64]:
    changed = block.people.code_changed
    return np.flatnonzero(_first_day(rows) < np.where(changed == NEVER, -NEVER, changed)[rows.person])


def _spelt_differently(rng: np.random.Generator, table: str, rows: Rows, faults: dict[str, NDArray[np.int64]]) -> Rows:
    if table == "measurement":
        return _other_values(rng, rows, faults)
    if table == "diagnosis":
        code = rows.words["diagnosis"].copy()
        dotted = np.flatnonzero(HAS_DOT[code])
        chosen = dotted[_some(rng, len(dotted), RATES["undotted_code"])]
        code[chosen] += UNDOTTED
        faults["undotted_code"] = chosen
        return rows.with_words(diagnosis=code)
    return rows


def _other_values(rng: np.random.Generator, rows: Rows, faults: dict[str, NDArray[np.int64]]) -> Rows:
    kind, value = rows.words["measurement"].copy(), rows.words["value"].copy()
    for fault in ("percent", "wrong_unit"):
        chosen: list[NDArray[np.int64]] = []
        for word in ("hba1c", "hba1c_local"):
            is_hba1c = np.flatnonzero((kind == MEASUREMENT[word]) & is_whole(value))
            found = is_hba1c[_some(rng, len(is_hba1c), RATES[fault])]
            value[found] = tenths(number_of(value[found]) * NGSP_SLOPE + NGSP_INTERCEPT)
            if fault == "percent":
                kind[found] = MEASUREMENT[f"{word}_percent"]
            chosen.append(found)
        faults[fault] = np.concatenate(chosen)
    low = np.flatnonzero((kind == MEASUREMENT["crp"]) & (value <= whole_numbers(np.array([5.0]))[0]))
    censored = low[_some(rng, len(low), RATES["censored"])]
    value[censored] = CENSORED
    decimal = np.flatnonzero(is_tenths(value))
    comma = decimal[_some(rng, len(decimal), RATES["decimal_comma"])]
    value[comma] = with_comma(value[comma])
    faults |= {"censored": censored, "decimal_comma": comma}
    return rows.with_words(measurement=kind, value=value)


def _invalid(block: Block, rng: np.random.Generator, table: str, rows: Rows) -> dict[str, Rows]:
    def some(kind: str) -> Rows:
        return rows.take(_some(rng, len(rows), RATES[kind]))

    misspelt, unknown, undated = (some(kind) for kind in ("invalid_identity_code", "unknown_person", "impossible_date"))
    stranger: Places = NOBODYS * block.size + rng.integers(0, STRANGERS, len(unknown), dtype=np.int32)
    column = next(iter(undated.days))
    # A booked appointment may lie ahead, so that only the early placeholder is impossible there.
    placeholders = PLACEHOLDER_DAYS[:1] if table == "appointment" else PLACEHOLDER_DAYS
    day = np.array(placeholders, dtype=np.int32)[rng.integers(0, len(placeholders), len(undated))]
    found = {
        "invalid_identity_code": replace(misspelt, person=misspelt.person + MISSPELT * block.size),
        "unknown_person": replace(unknown, person=stranger),
        "impossible_date": replace(undated, days=undated.days | {column: day}),
    }
    if table == "measurement":
        unreadable = some("unreadable_value")
        value = rng.integers(UNREADABLE.start, UNREADABLE.stop, len(unreadable), dtype=np.int32)
        found["unreadable_value"] = unreadable.with_words(value=value)
    return found


def missing_districts(block: Block) -> Flags:
    """Whose district the register does not tell."""
    unknown: Flags = block.people.is_area_unknown & block.is_dirty
    return unknown
