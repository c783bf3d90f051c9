"""Figures in one form: their rates against plain arithmetic, what a change is, and what is said in words."""

from datetime import date

import polars as pl
import pytest

from notebooks.parts import figures
from schemas.areas import load_areas

AREAS = load_areas()
DAY = date(2026, 10, 31)


def made(rows: list[tuple[str, int | None, int | None]], day: date = DAY) -> pl.DataFrame:
    """Figures of an indicator: area, eligible and gap."""
    frame = pl.DataFrame(
        [(day, "x", area, "*", "*", eligible, gap) for area, eligible, gap in rows],
        schema=[*figures.KEYS, "eligible", "gap"], orient="row",
    )  # fmt: skip
    return figures.figured(frame, AREAS)


CITY = made([("*", 10_000, 2_000), ("101", 400, 140), ("102", 400, 80), ("103", None, 12), ("104", 0, 0)])


def test_a_rate_is_the_gap_among_the_eligible_and_none_where_either_is_hidden() -> None:
    rates = dict(CITY.select("area_code", "rate").iter_rows())
    assert rates == {"*": 0.2, "101": 0.35, "102": 0.2, "103": None, "104": None}
    assert dict(CITY.select("area_code", "against_city").iter_rows()) == {
        "*": None, "101": 2, "102": 0, "103": None, "104": None,
    }  # fmt: skip


def test_the_table_tells_hidden_from_empty() -> None:
    shown = figures.shown(CITY, AREAS, "fi")
    assert shown.select("Eligible", "Care gaps", "Rate, %", "95 % interval").rows()[3:] == [
        ("…", "12", "…", "…"), ("0", "0", "–", "–"),
    ]  # fmt: skip
    assert shown["Area"].to_list()[:2] == ["Koko kaupunki", "Vironniemi"]


def test_the_sentence_says_what_the_picture_shows() -> None:
    said = figures.sentence(CITY, figures.area_names(AREAS, "sv"))
    assert "Of 10,000 people eligible 2,000 have the care gap: 20.0 %" in said
    assert "Above the city beyond what chance explains: Estnäs." in said
    assert "Below" not in said
    assert "The rate of 2 districts is hidden" in said
    alike = figures.sentence(made([("*", 10_000, 2_000), ("102", 400, 80)]), figures.area_names(AREAS, "en"))
    assert "No district differs from the city by more than chance explains." in alike
    assert "hidden" in figures.sentence(made([("*", None, 5)]), {})


def test_names_stand_in_the_order_of_the_geography_each_once() -> None:
    names = figures.area_names(AREAS, "en")
    assert next(iter(names)) == "*"
    assert list(names)[-1] == "unknown"
    assert len(set(names.values())) == len(names)
    above = dict(AREAS.select("code", "parent").iter_rows())
    order = [code for code in names if code in above]
    assert all(order.index(above[code]) < order.index(code) for code in order if above[code] in order)


@pytest.mark.parametrize(("before", "has_interval"), [(date(2025, 10, 31), True), (date(2025, 11, 30), False)])
def test_a_change_has_an_interval_from_twelve_months_on(before: date, has_interval: bool) -> None:
    earlier = made([("*", 10_000, 2_500), ("101", None, 90), ("102", 400, 80), ("104", 0, 0)], before)
    change = figures.compared(earlier, CITY)
    city = change.filter(pl.col("area_code") == "*").row(0, named=True)
    assert city["change"] == pytest.approx(-0.05)
    assert (city["low"] is not None) == has_interval
    if has_interval:
        assert city["low"] < -0.05 < city["high"] < 0
    assert dict(change.select("area_code", "visible").iter_rows()) == {
        "*": "shown", "101": "newly shown", "102": "shown", "104": "shown",
    }  # fmt: skip
    assert ("no interval is given" in figures.change_sentence(change)) != has_interval


def test_a_correction_of_one_date_says_which_figures_changed() -> None:
    earlier = made([("*", 10_000, 2_000), ("101", 400, 141), ("102", 400, 80), ("103", 300, 12), ("104", None, 0)])
    change = dict(figures.compared(earlier, CITY).select("area_code", "visible").iter_rows())
    assert change == {"*": "shown", "101": "changed", "102": "shown", "103": "newly hidden", "104": "newly shown"}
