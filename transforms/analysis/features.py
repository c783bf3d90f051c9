"""What the clauses of the definitions read from the records: one mask per person and leaf.

A leaf is computed once however many indicators name it, and rows that several leaves share are read once.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.indicators import Bounds, Events, Follow, Leaf
from transforms.analysis.days import (
    FAR_FUTURE,
    Days,
    Masks,
    Reach,
    age_masks,
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
from transforms.analysis.runs import Records


def event_masks(
    lake: Lake, leaves: Mapping[Events, Reach], codelists: CodeLists, as_ofs: Days, births: Days
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that counts rows of a table.

    `leaves` gives, for each, the ages in months outside which nobody asks: what is costly is not computed there.
    `births` gives the day of birth by person number. Raises QualityGateFailed where rows belong to nobody.
    """
    records = read_rows(lake, leaves, codelists, as_ofs, len(births))
    return {leaf: _mask(leaf, records, as_ofs, births, reach) for leaf, reach in leaves.items()}


def counting_rows(lake: Lake, leaf: Events, codelists: CodeLists, as_ofs: Days, births: Days) -> tuple[Numbers, Days]:
    """The rows that count for a leaf by themselves on any of the as-of dates: whose they are, and their days."""
    read = read_rows(lake, [leaf], codelists, as_ofs, len(births))
    records = read[leaf.rows]
    counted = records.where(_row_masks(leaf, records, read, as_ofs, births) > 0)
    return counted.persons, counted.days


def _mask(leaf: Events, read: Mapping[Events, Records], as_ofs: Days, births: Days, reach: Reach) -> Masks:
    records = read[leaf.rows]
    if leaf.from_age or leaf.to_age:
        records = records.where((age_masks(births, reach, as_ofs) > 0)[records.persons])
    masks = _row_masks(leaf, records, read, as_ofs, births)
    if leaf.at_least == 1 and not leaf.total:
        return scatter(records.persons, masks, len(births))
    masks &= age_masks(births, reach, as_ofs)[records.persons]
    counts = masks > 0
    records, masks = records.where(counts), masks[counts]
    persons = records.persons
    if leaf.total:
        column, least = leaf.total
        amounts = np.nan_to_num(records.columns[column])
        return total_at_least(least, persons, masks, amounts, len(births), len(as_ofs))
    if leaf.distinct:
        groups = records.days if leaf.distinct == "event_date" else records.columns[leaf.distinct]
        _, persons, masks = merged(groups, persons, masks, len(births))
    return at_least(leaf.at_least, persons, masks, len(births), len(as_ofs))


def _row_masks(leaf: Events, records: Records, read: Mapping[Events, Records], as_ofs: Days, births: Days) -> Masks:
    """The as-of dates on which each row counts by itself."""
    persons, events = records.persons, records.days
    window = window_of(leaf, as_ofs)
    masks = masks_between(events, window.after, window.until)
    if leaf.active:
        masks &= masks_between(records.columns["end_date"], as_ofs - 1, FAR_FUTURE)
    if leaf.from_age:
        masks *= births[persons] <= days_before(events, leaf.from_age)
    if leaf.to_age:
        masks *= births[persons] >= days_before(events, leaf.to_age)
    if leaf.value:
        masks *= _is_within(leaf.value, records.columns["value"])
    if leaf.latest or leaf.without_before:
        asked = _are_of(persons[masks > 0], len(births))[persons]
        if leaf.latest:
            masks[asked] &= latest_masks(persons[asked], events[asked], window.until)
        if leaf.without_before:
            masks[asked] *= are_new(persons[asked], events[asked], leaf.without_before)
    if leaf.follow:
        counts = masks > 0
        masks[counts] &= _follow_masks(leaf.follow, read, persons[counts], events[counts], as_ofs, len(births))
    return masks


def _are_of(persons: Numbers, person_count: int) -> NDArray[np.bool_]:
    """By person number whether it is among some."""
    found = np.zeros(person_count, dtype=np.bool_)
    found[persons] = True
    return found


def _follow_masks(
    follow: Follow,
    read: Mapping[Events, Records],
    persons: Numbers,
    days: Days,
    as_ofs: Days,
    person_count: int,
) -> Masks:
    """The as-of dates on which the relation holds for each of some rows."""
    is_asked = _are_of(persons, person_count)
    followers = np.concatenate([_keys(read[rows], is_asked) for rows in follow.rows])
    followers.sort()
    followed = followed_masks(persons, days, followers, follow.start, follow.end, as_ofs)
    return followed if follow.wanted else ~followed


def _keys(records: Records, is_asked: NDArray[np.bool_]) -> Keys:
    """Keys of the days of the persons asked for."""
    asked = is_asked[records.persons]
    return person_day_keys(records.persons[asked], records.days[asked])


def _is_within(bounds: Bounds, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Values in the bounds; what is no number is not."""
    holds: NDArray[np.bool_] = ~np.isnan(numbers)
    if bounds.least is not None:
        holds &= numbers >= bounds.least
    if bounds.below is not None:
        holds &= numbers < bounds.below
    return holds
