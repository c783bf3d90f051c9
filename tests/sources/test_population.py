"""The city's persons: who lives where at what age, and who came, moved, left, was born and died when."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from transforms.sources.synthetic import SyntheticSource
from transforms.sources.synthetic.draws import date_of, day_of, months_before
from transforms.sources.synthetic.fitting import Margin, fitted, whole_persons
from transforms.sources.synthetic.population import populate
from transforms.sources.synthetic.profile import AGE_GROUP_STARTS, MALE_SHARES, profile_of

AS_OF = date(2026, 10, 31)
STARTS = tuple(AGE_GROUP_STARTS.values())


def residents_of(persons: int, seed: int = 3) -> np.ndarray:
    """Residents with a known district by district, sex and age group, counted one by one from what was drawn."""
    profile = profile_of(load_areas(), seed)
    people = populate(persons, 5, day_of(AS_OF), seed, profile)
    found = np.zeros((len(profile.codes), 2, len(STARTS)), dtype=np.int64)
    here = (people.death > day_of(AS_OF)) & (people.left > day_of(AS_OF)) & ~people.is_area_unknown
    birthdays = [day_of(date(AS_OF.year - start, AS_OF.month, AS_OF.day)) for start in STARTS]
    group = np.sum([people.birth <= birthday for birthday in birthdays], axis=0) - 1
    np.add.at(found, (people.area[here], people.is_male[here].astype(int), group[here]), 1)
    return found


def targets() -> tuple[np.ndarray, np.ndarray]:
    """Shares by district and age group, and by sex and age group, from the published figures alone."""
    folder = pl.read_csv("transforms/sources/synthetic/helsinki_profile.csv", schema_overrides={"code": pl.String})
    people = load_areas().filter(pl.col("level") == "district").select("code", "population")
    rows = folder.join(people, on="code").sort("code")
    assert rows.height == 34
    groups = rows.select(list(AGE_GROUP_STARTS)).to_numpy().astype(float)
    weight = rows["population"].cast(pl.Float64).to_numpy()
    by_age = groups / groups.sum(axis=1, keepdims=True) * (weight / weight.sum())[:, None]
    men = by_age.sum(axis=0) * np.array(MALE_SHARES)
    return by_age, np.stack([by_age.sum(axis=0) - men, men])


@pytest.mark.parametrize("persons", [3_000, 60_000, 680_000])
def test_residents_have_the_citys_margins_within_one_percent(persons: int) -> None:
    found = residents_of(persons)
    by_age, by_sex = targets()
    total = found.sum()
    assert total > 0.75 * persons
    for counted, share, slack in (
        (found.sum(axis=1), by_age, 3),
        (found.sum(axis=0), by_sex, 12),
        (found.sum(axis=(1, 2)), by_age.sum(axis=1), 3),
        (found.sum(axis=(0, 1)), by_age.sum(axis=0), 12),
        (found.sum(axis=(0, 2)), by_sex.sum(axis=1), 12),
    ):
        # One percent where a percent is more than the persons that rounding cells to whole ones can shift.
        wanted = share * total
        assert (np.abs(counted - wanted) <= np.maximum(0.01 * wanted, slack)).all()
    if persons == 680_000:
        district = np.abs(found.sum(axis=(1, 2)) / total / by_age.sum(axis=1) - 1)
        assert district.max() < 0.002


def test_those_whose_district_is_unknown_are_three_in_a_hundred_everywhere() -> None:
    profile = profile_of(load_areas(), 1)
    people = populate(200_000, 3, day_of(AS_OF), 1, profile)
    for area in range(len(profile.codes)):
        assert abs(people.is_area_unknown[people.area == area].mean() - 0.03) < 0.003


cells = st.lists(st.lists(st.lists(st.floats(0.01, 50), min_size=4, max_size=4), min_size=2, max_size=2), min_size=1,
                 max_size=5)  # fmt: skip


@given(cells, cells)
def test_fitted_cells_have_the_margins_and_keep_the_odds(start: list, goal: list) -> None:
    start, goal = start[: len(goal)], goal[: len(start)]
    cells, wanted = np.array(start), np.array(goal)
    margins = [
        Margin((0, 2), np.add.reduceat(wanted, (0, 1), axis=2).sum(axis=1), (0, 1)),
        Margin((1, 2), np.add.reduceat(wanted, (0, 1), axis=2).sum(axis=0), (0, 1)),
    ]
    result = fitted(cells, margins)
    for margin in margins:
        assert np.allclose(margin.of(result), margin.totals, rtol=1e-7)
    # Inside a group of ages and a district and sex nothing but the level changes.
    assert np.allclose(result[..., 1:] * cells[..., 1:2], result[..., 1:2] * cells[..., 1:], rtol=1e-9)


def test_margins_that_contradict_each_other_are_refused() -> None:
    cells = np.ones((2, 2, 1))
    with pytest.raises(ValueError, match="together"):
        fitted(cells, [Margin((0, 2), np.array([[1.0], [1.0]]), (0,)), Margin((1, 2), np.array([[5.0], [1.0]]), (0,))])


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30).filter(lambda found: sum(found) > 1e-6),
       st.integers(0, 5_000), st.floats(0, 0.999))  # fmt: skip
def test_whole_persons_are_as_many_as_asked_and_near_their_share(
    share: list[float], persons: int, offset: float
) -> None:
    counts = np.bincount(whole_persons(np.array(share), persons, offset), minlength=len(share))
    assert counts.sum() == persons
    wanted = np.array(share) / sum(share) * persons
    assert (np.abs(counts - wanted) <= 1 + 1e-6).all()
    assert (np.abs(np.cumsum(counts) - np.cumsum(wanted)) <= 1 + 1e-6).all()


@given(st.dates(date(1980, 1, 1), date(2090, 12, 31)), st.integers(0, 1300))
def test_months_before_clamp_to_the_last_day(day: date, months: int) -> None:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    assert date_of(months_before(day_of(day), months)) == date(year, month + 1, min(day.day, last))


@pytest.fixture(scope="module")
def register() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Persons and residences of a city without faults."""
    frames: dict[str, list[pl.DataFrame]] = {"person": [], "residence": []}
    for table, rows in SyntheticSource(30_000, 5, AS_OF, 4, dirt=False).batches():
        if table in frames:
            frames[table].append(rows)
    return pl.concat(frames["person"]), pl.concat(frames["residence"])


def test_births_deaths_and_moves_happen_every_month_as_often_as_in_the_city(
    register: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    persons, homes = register
    first = date(2021, 11, 1)
    last = homes.sort("from_date", nulls_last=False).group_by("person_id", maintain_order=True).agg(pl.all().last())
    came = homes.filter(pl.col("from_date") > first)
    before = homes.select("person_id", ended=pl.col("to_date").dt.offset_by("1d"))
    inside = came.join(before, left_on=["person_id", "from_date"], right_on=["person_id", "ended"], how="semi")
    gone = last.join(persons.filter(pl.col("death_date").is_null()), on="person_id", how="semi")
    yearly = {
        "births": (persons.filter(pl.col("birth_date") >= first)["birth_date"], 0.007, 0.014),
        "deaths": (persons["death_date"].drop_nulls(), 0.005, 0.012),
        "moves in": (came.join(inside, on=["person_id", "from_date"], how="anti")["from_date"], 0.02, 0.06),
        "moves between districts": (inside["from_date"], 0.03, 0.1),
        "moves out": (gone["to_date"].drop_nulls(), 0.012, 0.05),
    }
    for what, (days, least, most) in yearly.items():
        by_month = days.filter(days >= first).dt.truncate("1mo").value_counts()
        assert by_month.height == 60, what
        assert least < by_month["count"].sum() / 5 / persons.height < most, what
        assert by_month["count"].min() > 0.3 * by_month["count"].mean(), what


def test_moves_have_the_day_they_took_effect_and_the_day_they_were_recorded() -> None:
    source = SyntheticSource(20_000, 3, AS_OF, 6)
    homes = pl.concat([rows for table, rows in source.batches() if table == "residence"]).unique()
    faults = source.truth()["faults"]
    homes = homes.join(faults.filter(pl.col("kind") == "impossible_date"), on="record_id", how="anti")
    told = faults.filter(pl.col("kind") == "retroactive_move")
    assert told.height > 10
    late = homes.join(told, on="record_id", how="semi").filter(pl.col("from_date").is_not_null())
    delay = (late["recorded_date"] - late["from_date"]).dt.total_days()
    assert (delay >= 60).mean() > 0.6
    rest = homes.join(told, on="record_id", how="anti").filter(pl.col("from_date").is_not_null())
    assert (rest["recorded_date"] >= rest["from_date"]).all()
    assert ((rest["recorded_date"] - rest["from_date"]).dt.total_days() <= 2).mean() > 0.5


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**30), st.sampled_from([date(2024, 2, 29), AS_OF, date(2022, 3, 31)]))
def test_nobody_is_lost_however_small_the_city(persons: int, seed: int, as_of: date) -> None:
    people = populate(persons, 3, day_of(as_of), seed, profile_of(load_areas(), seed))
    assert len(people.birth) == persons
    assert (people.birth <= people.last).all()
    assert (people.first <= people.last).all()
    assert (people.last <= day_of(as_of)).all()
