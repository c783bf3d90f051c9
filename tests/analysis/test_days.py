"""Windows and masks of days against plain dates."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.indicators import Deadline, Period, Season
from tests.analysis.oracle import back
from tests.analysis.oracle_gaps import due
from transforms.analysis.days import (
    FAR_FUTURE,
    FAR_PAST,
    age_masks,
    day_numbers,
    days_after,
    days_before,
    due_days,
    masks_between,
    season_days,
)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))


@UNHURRIED
@given(day=DAYS, months=st.integers(0, 1200))
def test_months_earlier_are_those_of_the_calendar(day: date, months: int) -> None:
    if back(date(2100, 1, 1), months) < date(1, 1, 1):
        return
    assert (
        days_before(day_numbers([day]), Period(months, "months")).tolist() == day_numbers([back(day, months)]).tolist()
    )


@UNHURRIED
@given(day=DAYS, count=st.integers(0, 5000))
def test_days_earlier_are_counted(day: date, count: int) -> None:
    expected = day_numbers([day - timedelta(days=count)])
    assert days_before(day_numbers([day]), Period(count, "days")).tolist() == expected.tolist()


@UNHURRIED
@given(as_ofs=st.lists(DAYS, min_size=1, max_size=32), days=st.lists(DAYS, min_size=1, max_size=20))
def test_a_mask_has_a_bit_for_each_date_that_the_day_counts_for(as_ofs: list[date], days: list[date]) -> None:
    until = day_numbers(as_ofs)
    found = masks_between(day_numbers(days), days_before(until, Period(12, "months")), until)
    for day, mask in zip(days, found.tolist(), strict=True):
        assert mask == sum(1 << bit for bit, as_of in enumerate(as_ofs) if back(as_of, 12) < day <= as_of)


def test_open_ends_reach_as_far_as_days_go() -> None:
    as_ofs = day_numbers([date(2020, 1, 1), date(2021, 1, 1)])
    days = np.array([FAR_PAST, as_ofs[0], as_ofs[0] + 1, FAR_FUTURE], dtype=np.int32)
    assert masks_between(days, FAR_PAST, as_ofs).tolist() == [3, 3, 2, 0]
    assert masks_between(days, as_ofs, FAR_FUTURE).tolist() == [0, 0, 1, 3]


def test_a_person_born_on_29_february_comes_of_age_on_1_march() -> None:
    births = day_numbers([date(2004, 2, 29)])
    as_ofs = day_numbers([date(2022, 2, 28), date(2022, 3, 1)])
    assert age_masks(births, (18 * 12, None), as_ofs).tolist() == [0b10]
    assert age_masks(births, (0, 18 * 12), as_ofs).tolist() == [0b01]


def test_a_month_later_stays_in_the_month() -> None:
    days = day_numbers([date(2023, 1, 31), date(2024, 1, 31), date(2023, 8, 31)])
    assert (
        days_after(days, Period(1, "months")).tolist()
        == day_numbers([date(2023, 2, 28), date(2024, 2, 29), date(2023, 9, 30)]).tolist()
    )
    assert days_after(days, Period(1, "days")).tolist() == (days + 1).tolist()


def test_due_days_are_those_of_the_oracle() -> None:
    rules = (Deadline(3, None, date(2023, 8, 31)), Deadline(0, date(2023, 9, 1), None))
    asked = [date(2018, 1, 1) + timedelta(days=number) for number in range(10 * 365)]
    assert due_days(day_numbers(asked), rules).tolist() == day_numbers([due(day) for day in asked]).tolist()


@pytest.mark.parametrize("season", [Season((10, 1), (3, 31)), Season((2, 1), (6, 30))])
def test_a_season_is_the_one_that_began_last(season: Season) -> None:
    for as_of in [date(2023, 1, 1) + timedelta(days=number) for number in range(800)]:
        begun = max(day for day in (date(year, *season.first) for year in range(2021, 2026)) if day <= as_of)
        end = min(day for day in (date(year, *season.last) for year in range(2021, 2027)) if day > begun)
        before, last = season_days(season, day_numbers([as_of]))
        assert (before[0] + 1, last[0]) == tuple(day_numbers([begun, min(end, as_of)]))
