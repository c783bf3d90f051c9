"""Days as numbers, and which as-of dates a day counts for.

A mask is 32 bits, bit m for the m-th as-of date of an evaluation; so one pass over the records serves all the dates.
"""

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias

import holidays
import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.indicators import Deadline, Period, Season

Days: TypeAlias = NDArray[np.int32]
"""Days since 1970-01-01."""
Masks: TypeAlias = NDArray[np.uint32]
Reach: TypeAlias = tuple[int, int | None]
"""Ages in completed months: from, and below (None: no end)."""

FAR_PAST, FAR_FUTURE = -(2**30), 2**30
MAX_AS_OFS = 32


def day_numbers(dates: Sequence[date]) -> Days:
    """Dates as days."""
    return np.array([np.datetime64(day, "D").astype(np.int64) for day in dates], dtype=np.int32)


def column_days(column: pl.Series, missing: int) -> Days:
    """A column of dates as days, with `missing` where there is none."""
    return column.to_physical().fill_null(missing).cast(pl.Int32).to_numpy()


def days_before(days: Days, period: Period) -> Days:
    """The day a period earlier; a month that is too short gives its last day (31 March less one month: 28 February)."""
    if period.unit == "days":
        return (days - period.count).astype(np.int32)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int32)
    earlier = months - period.count
    first = earlier.astype("datetime64[D]").astype(np.int32)
    last = (earlier + 1).astype("datetime64[D]").astype(np.int32) - 1
    earlier_days: Days = np.minimum(first + day_of_month, last).astype(np.int32)
    return earlier_days


def days_after(days: Days, period: Period) -> Days:
    """The day a period later; a month that is too short gives its last day (31 January and one month: 28 February)."""
    return days_before(days, Period(-period.count, period.unit))


def season_days(season: Season, as_ofs: Days) -> tuple[Days, Days]:
    """For each as-of date the season that is running or was the last: the day before it, and its last day so far."""
    years = as_ofs.astype("datetime64[D]").astype("datetime64[Y]")
    first, last = _day_of_year(years, season.first), _day_of_year(years, season.last)
    earlier = first > as_ofs
    first = np.where(earlier, _day_of_year(years - 1, season.first), first)
    goes_on = season.last < season.first
    last = np.where(earlier != goes_on, _day_of_year(years + (1 if goes_on else -1), season.last), last)
    return (first - 1).astype(np.int32), np.minimum(last, as_ofs).astype(np.int32)


def _day_of_year(years: NDArray[np.datetime64], month_and_day: tuple[int, int]) -> Days:
    month, day = month_and_day
    days: Days = (years.astype("datetime64[M]") + month - 1).astype("datetime64[D]").astype(np.int32) + day - 1
    return days


def due_days(days: Days, deadlines: Sequence[Deadline]) -> Days:
    """The last day on which what is asked on each day is answered in time.

    A working day is a Monday to Friday that is no Finnish public holiday. Midsummer Eve and Christmas Eve are none
    either: the act on the reckoning of time limits (150/1930, section 5) treats them as holidays.
    """
    if not days.size:
        return days
    years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
    known = holidays.country_holidays("FI", years=range(int(years.min()), int(years.max()) + 2))
    free = np.array(sorted(known), dtype="datetime64[D]")
    due = np.full(len(days), FAR_FUTURE, dtype=np.int32)
    for rule in deadlines:
        start = day_numbers([rule.start])[0] if rule.start else FAR_PAST
        end = day_numbers([rule.end])[0] if rule.end else FAR_FUTURE
        ruled = (days >= start) & (days <= end)
        # What is asked on a free day is due the next working day, or so many working days after it.
        asked, ahead = days[ruled].astype("datetime64[D]"), rule.working_days
        if ahead:
            found = np.busday_offset(asked, ahead, roll="backward", holidays=free)
        else:
            found = np.busday_offset(asked, ahead, roll="forward", holidays=free)
        due[ruled] = found.astype(np.int32)
    return due


def masks_between(days: Days, after: Days | int, until: Days | int) -> Masks:
    """For each day the as-of dates m with after[m] < day <= until[m]; a plain number stands for every as-of date."""
    starts, ends = np.broadcast_arrays(np.atleast_1d(after), np.atleast_1d(until))
    if len(starts) == 1:
        held = days <= ends
        if starts[0] != FAR_PAST:  # a day that is not known may be FAR_PAST itself
            held &= days > starts
        return held.astype(np.uint32)
    edges = np.concatenate([starts, ends])
    edges = edges[(edges > FAR_PAST) & (edges < FAR_FUTURE)]
    first, last = (int(edges.min()), int(edges.max()) + 1) if edges.size else (0, 0)
    span = np.arange(first, last + 1)[:, None]
    bits = np.left_shift(np.uint32(1), np.arange(len(starts), dtype=np.uint32))
    table = np.where((span > starts) & (span <= ends), bits, np.uint32(0)).sum(axis=1, dtype=np.uint32)
    masks: Masks = table[np.clip(days, first, last) - first]
    return masks


def age_masks(births: Days, reach: Reach, as_ofs: Days) -> Masks:
    """As-of dates on which a person is of an age. A month of age is complete on the day of the month of birth."""
    low, high = reach
    oldest = FAR_PAST if high is None else days_before(as_ofs, Period(high, "months"))
    return masks_between(births, oldest, days_before(as_ofs, Period(low, "months")))
