"""Spells with and without care: how a person's follow-up comes and goes over the years.

For each person and kind of care, spells in which it is given in time and spells in which it is missing take turns. How
long they last is drawn so that the share of persons without it is the same on every day: the planned one on the as-of
date, and about the same ten months or three years before. The as-of date falls anywhere in a spell, as in life.
"""

import numpy as np

from transforms.sources.synthetic.draws import NEVER, Days, Flags, Floats

MISSING_DAYS = 300
"""Days for which care is missing on average, where it is not missed more often than it is given."""
_ROOM = 1.25
"""Care in time lasts at least this many look-backs on average: the first of them is certain."""
CLEAR_DAYS = 8
"""Days by which a gap is older than its look-back on the as-of date: weekends and short months change nothing."""


def spells(
    rng: np.random.Generator, share: Floats, is_missing: Flags, window: int, as_of: int, count: int
) -> tuple[Days, Days]:
    """First and last days of the latest `count` spells in which nothing was given to each person, the latest first.

    `share` is each person's share of days on which care of the last `window` days is missing; `is_missing` says for
    whom it is on the as-of date. Something was given on the days that bound a spell. The spell of those who miss it
    now has no end yet.
    """
    size = len(share)
    share = np.clip(share, 0.01, 0.9)
    missing = np.maximum(MISSING_DAYS, _ROOM * window * share / (1 - share))
    longer = missing * (1 - share) / share - window
    since_given = np.where(
        rng.random(size) * (window + longer) < window, rng.random(size) * window, window + _long(rng, longer)
    )
    end = as_of - since_given
    first, last = np.empty((count, size), np.int32), np.empty((count, size), np.int32)
    for spell in range(count):
        begin = end - window - _long(rng, missing)
        now = is_missing & (spell == 0)
        begin = np.where(now, as_of - window - CLEAR_DAYS - _long(rng, missing), begin)
        first[spell], last[spell] = np.floor(begin), np.where(now, NEVER, np.floor(end))
        # What was given on the first day was in time for a look-back, which is the certain part of that care.
        end = begin - _long(rng, longer)
    return first, last


def _long(rng: np.random.Generator, mean: Floats) -> Floats:
    drawn: Floats = rng.exponential(size=len(mean)) * mean
    return drawn
