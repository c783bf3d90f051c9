"""Seeded draws for many persons at once.

Every part of every block of persons has a stream of its own, so that what is drawn for one block depends neither on
the other blocks nor on how many of them are read together.
"""

from collections.abc import Mapping
from datetime import date
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.int32]
"""Days since 1970-01-01; `NEVER` where there is no such day."""
Places = NDArray[np.int32]
"""Places in a block of persons or in a vocabulary."""
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

NEVER = 10_000_000
"""Stands for a day that has not come: later than every date."""
DAYS_A_YEAR = 365.25
_EPOCH = date(1970, 1, 1).toordinal()

_DELAYS = np.concatenate(
    [np.zeros(9_360), np.arange(600) % 2 + 1, np.linspace(6, 60, 38), np.linspace(61, 300, 2)]
).astype(np.int32)
"""Days from an event to its record: mostly none, some of the next days, a few of a month or more."""


def stream(seed: int, part: str, block: int = 0) -> np.random.Generator:
    """The random numbers of one part of one block."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, crc32(part.encode()), block])))


def day_of(when: date) -> int:
    """Days since 1970-01-01."""
    return when.toordinal() - _EPOCH


def date_of(day: int) -> date:
    """The date of a number of days since 1970-01-01."""
    return date.fromordinal(day + _EPOCH)


def months_before(day: int, months: int) -> int:
    """The day so many months earlier; a month that is too short gives its last day."""
    dates = np.datetime64(day, "D")
    month = dates.astype("datetime64[M]")
    earlier = month - months
    wanted = earlier.astype("datetime64[D]").astype(int) + (dates - month.astype("datetime64[D]")).astype(int)
    return int(min(wanted, (earlier + 1).astype("datetime64[D]").astype(int) - 1))


def whole(rng: np.random.Generator, low: int, high: int, size: int) -> Days:
    """Whole numbers from `low` to `high`, both included."""
    return rng.integers(low, high + 1, size, dtype=np.int32)


def between(rng: np.random.Generator, first: Days, last: Days) -> Days:
    """A day from `first` to `last` for each; `first` where there is none."""
    span = np.maximum(last - first + 1, 1)
    day: Days = first + (rng.random(len(first)) * span).astype(np.int32)
    return day


def arrivals(rng: np.random.Generator, per_year: Floats, first: Days, last: Days) -> tuple[Places, Days]:
    """Whom something happens to at random, and when: a Poisson process from `first` to `last` for each."""
    span = np.maximum(last - first + 1, 0)
    person = np.repeat(np.arange(len(first), dtype=np.int32), rng.poisson(per_year * span / DAYS_A_YEAR))
    return person, first[person] + (rng.random(len(person)) * span[person]).astype(np.int32)


def spaced(rng: np.random.Generator, first: Days, last: Days, every: int) -> tuple[Places, Days]:
    """Whom something happens to about every so many days from `first` to `last`, and when."""
    count = np.maximum((last - first) // every + 1, 0)
    person = np.repeat(np.arange(len(first), dtype=np.int32), count)
    step = np.arange(len(person), dtype=np.int32) - np.repeat(np.cumsum(count, dtype=np.int64) - count, count)
    late = whole(rng, 0, every // 10, len(person)) * (step > 0)
    day = first[person] + (step * every).astype(np.int32) + late.astype(np.int32)
    kept = day <= last[person]
    return person[kept], day[kept]


def choose(rng: np.random.Generator, weights: Mapping[int, float], size: int) -> Places:
    """One of the keys for each, as often as its weight says."""
    edges = np.cumsum(list(weights.values()))
    place = np.searchsorted(edges, rng.random(size) * edges[-1], side="right")
    chosen: Places = np.array(list(weights), dtype=np.int32)[np.minimum(place, len(weights) - 1)]
    return chosen


def working_day(day: Days) -> Days:
    """A day of the week before where a day falls on a weekend (1970-01-01 was a Thursday); within six days."""
    after_thursday = day % 7
    back = (after_thursday - 1 + day // 7 % 5) * ((after_thursday == 2) | (after_thursday == 3))
    working: Days = (day - back).astype(np.int32)
    return working


def recorded(rng: np.random.Generator, day: Days, *, is_dirty: bool = True) -> Days:
    """When the source learns of it: late for some where the data are dirty, and perhaps after the extract."""
    if not is_dirty:
        return day.astype(np.int32)
    learnt: Days = day + _DELAYS[rng.integers(0, len(_DELAYS), len(day), dtype=np.uint16)]
    return learnt.astype(np.int32)
