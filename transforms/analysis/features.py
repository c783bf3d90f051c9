"""What the clauses of the definitions read from the records: one mask per person and leaf.

A leaf is computed once however many indicators name it, and rows that several leaves share are read once.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.indicators import Bounds, Events, Follow, Leaf
from schemas.table import PERSON_NUMBER
from transforms.analysis.days import (
    FAR_FUTURE,
    Days,
    Masks,
    Reach,
    age_masks,
    column_days,
    days_before,
    masks_between,
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
from transforms.analysis.reading import CodeLists, read_rows, window_of


def event_masks(
    lake: Lake, leaves: Mapping[Events, Reach], codelists: CodeLists, as_ofs: Days, births: Days
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that counts rows of a table.

    `leaves` gives, for each, the ages in months outside which nobody asks: what is costly is not computed there.
    `births` gives the day of birth by person number. Raises QualityGateFailed where rows belong to nobody.
    """
    records = read_rows(lake, leaves, codelists, as_ofs, len(births))
    return {leaf: _mask(leaf, records, as_ofs, births, reach) for leaf, reach in leaves.items()}


def _mask(leaf: Events, read: Mapping[Events, pl.DataFrame], as_ofs: Days, births: Days, reach: Reach) -> Masks:
    records = read[leaf.rows]
    if leaf.from_age or leaf.to_age:
        may_count = age_masks(births, reach, as_ofs) > 0
        records = records.filter(pl.Series(may_count[records[PERSON_NUMBER].to_numpy()]))
    persons, events = records[PERSON_NUMBER].to_numpy(), column_days(records["event_date"], FAR_FUTURE)
    masks = _row_masks(leaf, records, read, persons, events, as_ofs, births)
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
    leaf: Events,
    records: pl.DataFrame,
    read: Mapping[Events, pl.DataFrame],
    persons: Numbers,
    events: Days,
    as_ofs: Days,
    births: Days,
) -> Masks:
    """The as-of dates on which each row counts by itself."""
    window = window_of(leaf, as_ofs)
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
        masks[masks > 0] &= _follow_masks(leaf.follow, read, persons[masks > 0], events[masks > 0], as_ofs, len(births))
    return masks


def _follow_masks(
    follow: Follow,
    read: Mapping[Events, pl.DataFrame],
    persons: Numbers,
    days: Days,
    as_ofs: Days,
    person_count: int,
) -> Masks:
    """The as-of dates on which the relation holds for each of some rows."""
    is_asked = np.zeros(person_count, dtype=np.bool_)
    is_asked[persons] = True
    followers = np.concatenate([_keys(read[rows], is_asked) for rows in follow.rows])
    followers.sort()
    followed = followed_masks(persons, days, followers, follow.start, follow.end, as_ofs)
    return followed if follow.wanted else ~followed


def _keys(records: pl.DataFrame, is_asked: NDArray[np.bool_]) -> Keys:
    """Keys of the days of the persons asked for."""
    persons, days = records[PERSON_NUMBER].to_numpy(), column_days(records["event_date"], FAR_FUTURE)
    asked = is_asked[persons]
    return person_day_keys(persons[asked], days[asked])


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
