"""What the clauses of the definitions read from the records: one mask per person and leaf.

A leaf is computed once however many indicators name it, and rows that several leaves share are read once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.codelists import TREE_SYSTEMS, CodeList
from schemas.errors import QualityGateFailed
from schemas.indicators import Bounds, Events, Leaf
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.analysis.days import (
    FAR_FUTURE,
    FAR_PAST,
    Days,
    Masks,
    Reach,
    age_masks,
    column_days,
    days_before,
    masks_between,
    season_days,
)
from transforms.analysis.lake import Lake
from transforms.analysis.masks import (
    Keys,
    Numbers,
    are_new,
    at_least,
    followed_masks,
    latest_masks,
    merged,
    person_day_keys,
    scatter,
    total_at_least,
)

CodeLists: TypeAlias = Mapping[str, CodeList]


def event_masks(
    lake: Lake, leaves: Mapping[Events, Reach], codelists: CodeLists, as_ofs: Days, births: Days
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that counts rows of a table.

    `leaves` gives, for each, the ages in months outside which nobody asks: what is costly is not computed there.
    `births` gives the day of birth by person number. Raises QualityGateFailed where rows belong to nobody.
    """
    asked: dict[Events, list[Events]] = {}
    for leaf in leaves:
        for rows in (leaf.rows, *(leaf.follow.rows if leaf.follow else ())):
            asked.setdefault(rows, []).append(leaf)
    records = {rows: _read(lake, rows, wanted, codelists, as_ofs, len(births)) for rows, wanted in asked.items()}
    return {leaf: _mask(leaf, records, as_ofs, births, reach) for leaf, reach in leaves.items()}


def person_numbers(records: pl.DataFrame, table: str, person_count: int) -> Numbers:
    """The person numbers of rows; QualityGateFailed where a row is of nobody in the person table."""
    column = records[PERSON_NUMBER]
    strangers = (column.is_null() | (column < 0) | (column >= person_count)).fill_null(value=True)
    if strangers.any():
        raise QualityGateFailed(
            "rows belong to a person who is not in the person table",
            "Load the lake again from the source",
            table=table,
            column=PERSON_NUMBER,
            count=int(strangers.sum()),
        )
    return column.to_numpy()


@dataclass(frozen=True)
class _Window:
    """The days on which a row counts for each as-of date: after < event date <= until."""

    after: Days
    until: Days


def _window(leaf: Events, as_ofs: Days) -> _Window:
    after = np.full(len(as_ofs), FAR_PAST, dtype=np.int32)
    until = as_ofs
    if leaf.within:
        after = days_before(as_ofs, leaf.within)
    if leaf.begun_at_least:
        until = days_before(as_ofs, leaf.begun_at_least)
    if leaf.season:
        before_season, season_end = season_days(leaf.season, as_ofs)
        after, until = np.maximum(after, before_season), np.minimum(until, season_end)
    return _Window(after, until)


def _reached(leaf: Events, rows: Events, as_ofs: Days) -> tuple[int, int]:
    """The days between which a leaf can need rows: after the first, until the second."""
    window = _window(leaf, as_ofs)
    after, until = window.after, window.until
    if leaf.follow and rows in leaf.follow.rows:
        until = np.maximum(until, as_ofs)
    if leaf.without_before and rows == leaf.rows:
        after = np.where(after > FAR_PAST, days_before(np.maximum(after, 0), leaf.without_before), FAR_PAST)
    return int(after.min()), int(until.max())


def _read(
    lake: Lake, rows: Events, wanted: list[Events], codelists: CodeLists, as_ofs: Days, person_count: int
) -> pl.DataFrame:
    reached = [_reached(leaf, rows, as_ofs) for leaf in wanted]
    first, last = min(after for after, _ in reached), max(until for _, until in reached)
    event_date = pl.col("event_date")
    conditions = [event_date <= pl.lit(last, pl.Int32).cast(pl.Date)]
    if first > FAR_PAST:
        conditions.append(event_date > pl.lit(first, pl.Int32).cast(pl.Date))
    if rows.codes:
        conditions.append(
            coded([codelists[name] for name in rows.codes], TABLES[rows.table].column("code_system").terms)
        )
    conditions += [pl.col(column).is_in(list(values)) for column, values in rows.where]
    conditions += [~pl.col(column).is_in(list(values)).fill_null(value=False) for column, values in rows.where_not]
    own = [leaf for leaf in wanted if leaf.rows == rows]
    columns = [PERSON_NUMBER, "event_date"]
    columns += ["end_date"] if any(leaf.active for leaf in own) else []
    columns += ["value"] if any(leaf.value for leaf in own) else []
    columns += sorted({leaf.total[0] for leaf in own if leaf.total})
    columns += ["code_system", "code"] if any(leaf.distinct == "code" for leaf in own) else []
    found = lake.scan(TABLES[rows.table]).filter(conditions).select(columns).collect(engine="streaming")
    person_numbers(found, rows.table, person_count)
    return found


def coded(codelists: Sequence[CodeList], systems: tuple[str, ...]) -> pl.Expr:
    """Rows whose code is in one of the lists. Ranges instead of prefixes let a scan skip what the order rules out."""
    code, found = pl.col("code"), []
    for system in systems:
        codes = sorted({code for codelist in codelists for code in codelist.codes.get(system, ())})
        if not codes:
            continue
        if system in TREE_SYSTEMS:
            within = [(code >= start) & (code < end) for start, end in _ranges(codes)]
            found.append((pl.col("code_system") == system) & pl.any_horizontal(within))
        else:
            found.append((pl.col("code_system") == system) & code.is_in(codes))
    return pl.any_horizontal(found)


def _ranges(codes: list[str]) -> list[tuple[str, str]]:
    """Codes in their order and all below them as ranges, from and before; neighbours such as I20 to I25 as one."""
    ranges: list[tuple[str, str]] = []
    for start in codes:
        end = start[:-1] + chr(ord(start[-1]) + 1)
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        else:
            ranges.append((start, end))
    return ranges


def _mask(leaf: Events, read: Mapping[Events, pl.DataFrame], as_ofs: Days, births: Days, reach: Reach) -> Masks:
    records = read[leaf.rows]
    persons, events = records[PERSON_NUMBER].to_numpy(), column_days(records["event_date"], FAR_FUTURE)
    masks = _row_masks(leaf, read, persons, events, as_ofs, births)
    if leaf.at_least == 1 and not leaf.total:
        return scatter(persons, masks, len(births))
    masks &= age_masks(births, reach, as_ofs)[persons]
    counts = masks > 0
    persons, masks = persons[counts], masks[counts]
    if leaf.total:
        column, least = leaf.total
        amounts = records[column].filter(counts).fill_null(0).cast(pl.Float64).to_numpy()
        return total_at_least(least, persons, masks, amounts, len(births), len(as_ofs))
    if leaf.distinct:
        groups = _groups(leaf.distinct, records.filter(counts))
        _, persons, masks = merged(groups, persons, masks, len(births))
    return at_least(leaf.at_least, persons, masks, len(births), len(as_ofs))


def _row_masks(
    leaf: Events, read: Mapping[Events, pl.DataFrame], persons: Numbers, events: Days, as_ofs: Days, births: Days
) -> Masks:
    """The as-of dates on which each row counts by itself."""
    records, window = read[leaf.rows], _window(leaf, as_ofs)
    masks = masks_between(events, window.after, window.until)
    if leaf.active:
        masks &= masks_between(column_days(records["end_date"], FAR_FUTURE), as_ofs - 1, FAR_FUTURE)
    if leaf.from_age:
        masks *= births[persons] <= days_before(events, leaf.from_age)
    if leaf.to_age:
        masks *= births[persons] >= days_before(events, leaf.to_age)
    if leaf.value:
        masks *= _is_within(leaf.value, records["value"])
    if leaf.latest:
        masks &= latest_masks(persons, events, window.until)
    if leaf.without_before:
        masks *= are_new(persons, events, leaf.without_before)
    if leaf.follow:
        followers = np.unique(np.concatenate([_keys(read[rows]) for rows in leaf.follow.rows]))
        followed = followed_masks(persons, events, followers, leaf.follow.start, leaf.follow.end, as_ofs)
        masks &= followed if leaf.follow.wanted else ~followed
    return masks


def _keys(records: pl.DataFrame) -> Keys:
    return person_day_keys(records[PERSON_NUMBER].to_numpy(), column_days(records["event_date"], FAR_FUTURE))


def _is_within(bounds: Bounds, values: pl.Series) -> NDArray[np.bool_]:
    """Values in the bounds; what is no number is not."""
    numbers = values.fill_null(float("nan")).to_numpy()
    holds: NDArray[np.bool_] = ~np.isnan(numbers)
    if bounds.least is not None:
        holds &= numbers >= bounds.least
    if bounds.below is not None:
        holds &= numbers < bounds.below
    return holds


def _groups(distinct: str, records: pl.DataFrame) -> Numbers:
    """A number for what is to be told apart in each row."""
    if distinct == "event_date":
        return column_days(records["event_date"], FAR_FUTURE)
    # The lake lies in the order of the codes, so that there are about as many runs as codes.
    code = pl.struct("code_system", "code")
    runs = records.select("code_system", "code", run=code.rle_id())
    first = runs.filter((pl.col("run") != pl.col("run").shift(1)).fill_null(value=True))
    ranks = first.select(code.rank("dense").cast(pl.Int32)).to_series()
    return ranks.gather(runs["run"]).to_numpy()
