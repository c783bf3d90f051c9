"""The city over time: gaps, and persons who may have one, are about as many on every date as on the as-of date.

What is counted is what the platform counts: the rows go through the controller's load and the evaluation, for the last
24 month-ends of five years of data. What may differ is told: the season of a vaccine, and the pandemic.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from transforms.analysis.counts import counts
from transforms.analysis.evaluation import evaluate
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms
from transforms.sources.synthetic import SyntheticSource
from transforms.sources.synthetic.draws import NEVER
from transforms.sources.synthetic.planning import CARES
from transforms.sources.synthetic.spells import spells

AS_OF = date(2026, 10, 31)
MONTHS = 24
POINTS, STANDARD_ERRORS = 0.05, 3
"""How far a rate may be from that of the as-of date, whichever is more: the city is drawn, and so is its noise."""
SEASONAL = {"copd_influenza_vaccine_missing"}
"""A new season begins in October, with nobody vaccinated: these are compared with the same month of other years."""
LASTING = {
    "copd_spirometry_missing", "cvd_ldl_missing", "cvd_statin_missing", "dementia_medicine_no_review",
    "diabetes_hba1c_missing", "hypertension_bp_missing", "psychosis_metabolic_check_missing",
}  # fmt: skip
"""Indicators of conditions that last: as many have one on every date, but for growth by a few percent a year."""


def month_ends(last: date, count: int) -> Iterator[date]:
    """So many month-ends before a date, and the date itself, the latest first."""
    for _ in range(count + 1):
        yield last
        last = last.replace(day=1) - timedelta(days=1)


def rates(folder: Path, source: SyntheticSource, as_ofs: list[date]) -> pl.DataFrame:
    """One row per indicator and as-of date: eligible and open of the whole city, and the rate."""
    for name in ("staging", "quarantine"):
        (folder / name).mkdir(parents=True)
    areas = load_areas()
    keyring = Keyring("e1", {"e1": bytes(range(32))})
    terms = Terms(keyring, "district-stats", "hetu", "day", areas, source.as_of, source.as_of)
    loader = Loader(terms, folder / "staging", folder / "quarantine")
    for table, rows in source.batches():
        loader.add(table, rows)
    files = {table: [str(path) for path in paths] for table, paths in loader.finish()}
    found = evaluate(files, list(load_indicators().values()), as_ofs, load_policy().age_band_starts, areas)
    summed = counts(found).group_by("indicator", "as_of").agg(pl.col("eligible", "open").sum())
    return summed.with_columns(rate=pl.col("open") / pl.col("eligible")).sort("indicator", "as_of")


def far_off(found: pl.DataFrame) -> pl.DataFrame:
    """Rows whose rate is further from that of the last as-of date than chance allows; of a season, from last year's."""
    seasonal = pl.col("indicator").is_in(SEASONAL)
    compared = (
        pl.when(seasonal).then(pl.col("as_of").dt.offset_by("12mo").dt.month_end()).otherwise(found["as_of"].max())
    )
    then = found.select("indicator", "eligible", "open", "rate", compared="as_of")
    beside = found.with_columns(compared=compared).join(then, on=["indicator", "compared"], suffix="_then")
    both = (pl.col("open") + pl.col("open_then")) / (pl.col("eligible") + pl.col("eligible_then"))
    error = (both * (1 - both) * (1 / pl.col("eligible") + 1 / pl.col("eligible_then"))).sqrt()
    off = (pl.col("rate") - pl.col("rate_then")).abs()
    return beside.filter(off > pl.max_horizontal(pl.lit(POINTS), STANDARD_ERRORS * error))


@pytest.fixture(scope="module")
def trend(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("trend") / "city"
    return rates(folder, SyntheticSource(30_000, 5, AS_OF, 3, dirt=False), [*month_ends(AS_OF, MONTHS)])


def test_gaps_are_as_many_in_each_of_the_last_24_months_as_on_the_as_of_date(trend: pl.DataFrame) -> None:
    assert trend["as_of"].n_unique() == MONTHS + 1
    assert trend["indicator"].n_unique() == 20
    assert (trend["open"] > 0).all()
    assert far_off(trend).select("indicator", "as_of", "rate", "rate_then").rows() == []


def test_conditions_are_about_as_common_in_each_of_the_last_24_months(trend: pl.DataFrame) -> None:
    now = trend.filter(as_of=AS_OF).select("indicator", now="eligible")
    grown = trend.filter(pl.col("indicator").is_in(LASTING)).join(now, on="indicator")
    share = grown["eligible"] / grown["now"]
    assert grown["indicator"].n_unique() == len(LASTING)
    assert share.min() > 0.85
    assert share.max() < 1.15


def test_months_differ_as_they_do_where_people_are_counted(trend: pl.DataFrame) -> None:
    changes = trend.with_columns(change=pl.col("rate").diff().over("indicator")).drop_nulls()
    assert (changes.group_by("indicator").agg(pl.col("change").n_unique())["change"] > MONTHS / 2).all()


@pytest.mark.slow
@pytest.mark.parametrize(("persons", "years", "months", "seed"), [(150_000, 5, 30, 8), (70_000, 3, 12, 0)])
def test_gaps_are_as_many_over_the_years_in_a_larger_city(
    tmp_path: Path, persons: int, years: int, months: int, seed: int
) -> None:
    source = SyntheticSource(persons, years, AS_OF, seed, dirt=False)
    found = rates(tmp_path / "city", source, [*month_ends(AS_OF, months)])
    assert far_off(found).select("indicator", "as_of", "rate", "rate_then").rows() == []


@pytest.mark.slow
def test_the_pandemic_shows_and_passes(tmp_path: Path) -> None:
    dates = [date(2020, 2, 29), date(2020, 12, 31), date(2023, 6, 30)]
    found = rates(tmp_path / "city", SyntheticSource(60_000, 5, dates[-1], 3, dirt=False), dates)
    rate: Mapping[tuple[str, date], float] = {(name, day): share for name, day, _, _, share in found.iter_rows()}
    for indicator in ("diabetes_hba1c_missing", "hypertension_bp_missing"):
        before, within, after = (rate[indicator, day] for day in dates)
        assert within > before + 0.03
        assert abs(after - before) < 0.03
    on_that_day = rates(tmp_path / "then", SyntheticSource(60_000, 4, dates[1], 3, dirt=False), [dates[1]])
    for indicator in ("diabetes_hba1c_missing", "hypertension_bp_missing"):
        told = on_that_day.filter(indicator=indicator)["rate"].item()
        assert abs(told - rate[indicator, dates[1]]) < POINTS


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.02, 0.9), st.sampled_from(sorted({care.window for care in CARES.values()})), st.integers(0, 2**30),
    st.integers(0, 1100),
)  # fmt: skip
def test_as_many_miss_care_on_any_day(share: float, window: int, seed: int, days_ago: int) -> None:
    rng, persons, as_of = np.random.default_rng(seed), 6_000, 20_000
    missing = rng.random(persons) < share
    first, last = spells(rng, np.full(persons, share), missing, window, as_of, 5)
    is_missing = np.any((first + window <= as_of - days_ago) & (as_of - days_ago < last), axis=0)
    assert abs(is_missing.mean() - share) < 5 * (share * (1 - share) / persons) ** 0.5 + 0.01
    assert (np.any((first + window <= as_of) & (last > as_of), axis=0) == missing).all()
    assert ((last[0] == NEVER) == missing).all()
    assert (last[1:] <= first[:-1]).all()
    assert (first + window <= last).all()
