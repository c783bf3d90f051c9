"""What the lake's dates tell of a day of birth that policy keeps to the month."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.policy import Resolution
from schemas.tables import TABLES
from tests.controller.people import persons
from transforms.controller.generalise import generalise_birth, generalise_recorded, since_birth
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms

KEYRING = Keyring("e1", {"e1": bytes(range(32))})
PERSONS = 120
DELAYS = {"on the day": 0, "two days later": 2, "three weeks later": 21}


def loaded(folder: Path, resolution: Resolution, people: pl.DataFrame, homes: pl.DataFrame) -> dict[str, pl.DataFrame]:
    for name in ("staging", "quarantine"):
        (folder / name).mkdir()
    terms = Terms(KEYRING, "district-stats", "hetu", resolution, load_areas(), date(2026, 10, 31), date(2026, 11, 1))
    loader = Loader(terms, folder / "staging", folder / "quarantine")
    loader.add("person", people)
    loader.add("residence", homes)
    return {name: pl.concat(map(pl.read_parquet, paths)) for name, paths in loader.finish() if paths}


def told_days(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Each date of a person in the person and residence tables, by pseudonym."""
    dates = []
    for name in ("person", "residence"):
        days = [column for column, dtype in TABLES[name].platform_schema.items() if dtype == pl.Date]
        dates.append(found[name].unpivot(days, index="person_number").select("person_number", day="value"))
    return pl.concat(dates).drop_nulls().unique()


@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_no_date_of_a_person_tells_the_day_of_birth(tmp_path: Path, delay: int) -> None:
    recorded = pl.col("birth_date") + timedelta(days=delay)
    people = persons(PERSONS).with_columns(recorded_date=recorded)
    homes = people.select("person_id", "recorded_date", area_code=pl.lit("101"), from_date="birth_date")
    told = told_days(loaded(tmp_path, "month", people, homes))
    assert told["day"].dt.month().n_unique() >= 4
    assert set(told["day"].dt.day()) == {1}


def test_where_days_are_kept_so_are_all_dates(tmp_path: Path) -> None:
    people = persons(9).with_columns(recorded_date=pl.col("birth_date"))
    homes = people.select("person_id", "recorded_date", area_code=pl.lit("101"), from_date="birth_date")
    found = loaded(tmp_path, "day", people, homes)
    assert sorted(found["residence"]["from_date"]) == sorted(people["birth_date"])
    assert sorted(found["person"]["recorded_date"]) == sorted(people["birth_date"])


def test_a_move_later_in_life_keeps_its_days(tmp_path: Path) -> None:
    moved = date(2024, 5, 17)
    people = persons(2).with_columns(recorded_date=pl.lit(moved))
    homes = people.select("person_id", "recorded_date", area_code=pl.lit("101"), from_date=pl.lit(moved))
    found = loaded(tmp_path, "month", people, homes)
    assert set(found["residence"]["from_date"]) == set(found["residence"]["recorded_date"]) == {moved}
    assert set(found["person"]["recorded_date"]) == {moved}


@given(
    birth=st.dates(date(1900, 1, 1), date(2026, 10, 31)),
    other=st.integers(0, 30),
    delay=st.integers(-40, 4000),
    resolution=st.sampled_from(["month", "quarter", "year", "band"]),
)
def test_persons_born_in_one_unit_and_recorded_as_soon_are_told_alike(
    birth: date, other: int, delay: int, resolution: Resolution
) -> None:
    """Of two persons with one stored date of birth, recorded on one day at most a month after it, the same is told."""
    births = pl.Series("birth_date", [birth, birth + timedelta(days=other)])
    stored = generalise_birth(births, resolution)
    recorded = pl.Series("recorded_date", [day + timedelta(days=delay) for day in births])
    told = generalise_recorded(recorded, births, resolution)
    near = recorded <= stored.dt.offset_by("1mo")
    assert (told.filter(near) == generalise_birth(recorded, resolution).filter(near)).all()
    far = recorded >= stored.dt.offset_by("10y")
    assert (told.filter(far) == recorded.filter(far)).all()


def test_a_person_without_a_date_of_birth_keeps_what_is_known() -> None:
    rows = pl.DataFrame({"from_date": [date(2020, 2, 3), None], "recorded_date": [date(2020, 2, 5)] * 2})
    assert since_birth(rows, pl.Series("birth_date", [None, None], pl.Date), "month").equals(rows)
