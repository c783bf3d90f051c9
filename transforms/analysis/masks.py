"""Bits of rows gathered to bits of persons: any of them, so many, the latest, followed or not."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.indicators import Period
from transforms.analysis.days import FAR_FUTURE, FAR_PAST, Days, Masks, days_after, days_before, masks_between

Numbers: TypeAlias = NDArray[np.int32]
Keys: TypeAlias = NDArray[np.int64]
_SPAN = 2**32
"""Days of one person lie within this of each other, those of two persons do not."""


def scatter(persons: Numbers, masks: Masks, person_count: int) -> Masks:
    """For each person number all the bits of its rows."""
    result = np.zeros(person_count, dtype=np.uint32)
    places = np.flatnonzero(masks)
    persons, masks = persons[places], masks[places]
    if masks.size and (masks == masks[0]).all():  # as with one as-of date; to set bits costs half of adding them
        result[persons] = masks[0]
    else:
        np.bitwise_or.at(result, persons, masks)
    return result


def merged(groups: Numbers, persons: Numbers, masks: Masks, person_count: int) -> tuple[Numbers, Numbers, Masks]:
    """One row per group and person with the bits of all its rows, in that order: groups, persons, masks."""
    keys = groups.astype(np.int64) * person_count + persons
    order = np.argsort(keys, kind="stable")  # the lake's order makes this a pass over what is sorted already
    in_order = keys[order]
    firsts = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1])) if in_order.size else order
    found = order[firsts]
    return groups[found], persons[found], np.bitwise_or.reduceat(masks[order], firsts) if firsts.size else masks


def at_least(least: int, persons: Numbers, masks: Masks, person_count: int, date_count: int) -> Masks:
    """Dates on which at least so many rows of a person count."""
    return _summed(least, persons, masks, None, person_count, date_count)


def total_at_least(
    least: int, persons: Numbers, masks: Masks, amounts: NDArray[np.float64], person_count: int, date_count: int
) -> Masks:
    """Dates on which the rows of a person that count add up to at least so much."""
    return _summed(least, persons, masks, amounts, person_count, date_count)


def _summed(
    least: int,
    persons: Numbers,
    masks: Masks,
    amounts: NDArray[np.float64] | None,
    person_count: int,
    date_count: int,
) -> Masks:
    candidates = (np.bincount(persons, amounts, person_count) >= least)[persons]
    persons, masks = persons[candidates], masks[candidates]
    amounts = None if amounts is None else amounts[candidates]
    result = np.zeros(person_count, dtype=np.uint32)
    for bit in range(date_count):
        counts = (masks >> np.uint32(bit)) & 1 == 1
        sums = np.bincount(persons[counts], None if amounts is None else amounts[counts], person_count)
        result |= (sums >= least).astype(np.uint32) << np.uint32(bit)
    return result


def person_day_keys(persons: Numbers, days: Days) -> Keys:
    """One number for a person's day; in the order of persons, then days."""
    keys: Keys = persons.astype(np.int64) * _SPAN + days
    return keys


def latest_masks(persons: Numbers, days: Days, until: Days) -> Masks:
    """For each row the as-of dates on which no other row of the person, begun by `until`, is of a later day."""
    known, place = np.unique(person_day_keys(persons, days), return_inverse=True)
    _, next_day = _later(known, known + 1, known)
    superseded = masks_between(next_day, FAR_PAST, until)
    return (~superseded)[place]


def are_new(persons: Numbers, days: Days, quiet: Period) -> NDArray[np.bool_]:
    """Rows whose person has no row of an earlier day within the period before."""
    known, place = np.unique(person_day_keys(persons, days), return_inverse=True)
    known_days = _days_of(known)
    first = known - known_days + days_before(known_days, quiet) + 1
    is_new: NDArray[np.bool_] = np.searchsorted(known, first) == np.arange(len(known))
    return is_new[place]


def followed_masks(persons: Numbers, days: Days, followers: Keys, start: Period, end: Period, as_ofs: Days) -> Masks:
    """For each row the as-of dates by which one of the followers of the person came from `start` to `end` after it.

    `followers` are keys of persons' days, in order.
    """
    of_person = person_day_keys(persons, np.zeros_like(days))
    found, day = _later(followers, of_person + days_after(days, start), of_person)
    in_time = found & (day <= days_after(days, end))
    return np.where(in_time, masks_between(day, FAR_PAST, as_ofs), np.uint32(0))


def _days_of(keys: Keys) -> Days:
    """The day in a key; days are well within half the span of 0."""
    return ((keys + _SPAN // 2) % _SPAN - _SPAN // 2).astype(np.int32)


def _later(keys: Keys, wanted: Keys, of_person: Keys) -> tuple[NDArray[np.bool_], Days]:
    """Whether the person has a key from the wanted one on, and the day of the first; FAR_FUTURE where not."""
    place = np.searchsorted(keys, wanted)
    there = place < len(keys)
    next_key = keys[np.where(there, place, 0)] if keys.size else np.zeros_like(wanted)
    same = there & (next_key - _days_of(next_key) == of_person - _days_of(of_person))
    return same, np.where(same, _days_of(next_key), FAR_FUTURE).astype(np.int32)
