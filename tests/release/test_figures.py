"""The public figures against a slow plain account that sees published cells alone."""

from datetime import date
from fractions import Fraction
from math import sqrt

import numpy as np
import polars as pl
import pytest
from page_cases import protected_table
from scipy import stats

from schemas.areas import load_areas
from schemas.areas.standard import load_standard_population
from schemas.errors import DisclosureRefused
from transforms.release.figures import KINDS, derived_figures, describe_derived, trend_figures
from transforms.release.page_figures import GROUP

AREAS = load_areas()
AGES = {"CG01": (16, None), "CG02": (18, 86)}
TABLE = protected_table(AREAS, ["CG01", "CG02"], size=2500)
FIGURES = derived_figures(TABLE, AREAS, AGES)
CITY = ("*", "*", "*", "*")
BANDS = ("0-17", "18-44", "45-64", "65-74", "75-")
POPULATION = dict(AREAS.select("code", "population").iter_rows())


class Hidden(Exception):
    """A figure needs a cell that is hidden."""


class Nobody(Exception):
    """A figure divides by nobody."""


class TooFew(Exception):
    """A standardised rate of fewer than ten gaps."""


def cells_of(table):
    return {
        (row["indicator"], *(row[name] for name in GROUP[1:]), row["measure"]): row["value"]
        for row in table.iter_rows(named=True)
        if row["status"] == "published"
    }


def poisson(count):
    if count < 10:
        return (stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, stats.chi2.ppf(0.975, 2 * count + 2) / 2)
    z = stats.norm.ppf(0.975)
    return tuple(n * (1 - 1 / (9 * n) + sign * z / (3 * sqrt(n))) ** 3 for n, sign in ((count, -1), (count + 1, 1)))


def weights(indicator):
    """The standard's persons of each band, year of age by year of age, without the bands of hardly anybody."""
    low, high = AGES[indicator]
    years = {}
    for first, last, weight in load_standard_population().iter_rows():
        for age in range(first, (last or 94) + 1):
            years[age] = weight / ((last or 94) - first + 1)
    of_band = {}
    for band in BANDS:
        first, _, last = band.partition("-")
        of_band[band] = sum(
            weight
            for age, weight in years.items()
            if int(first) <= age <= int(last or 94) and low <= age and (high is None or age < high)
        )
    whole = sum(of_band.values())
    return {band: weight for band, weight in of_band.items() if weight >= 0.05 * whole}


def plain(cells, indicator, group, kind, earlier=None):
    """A figure as a number, from published cells alone."""

    def cell(measure, of=group, table=cells):
        if (indicator, *of, measure) not in table:
            raise Hidden
        return table[(indicator, *of, measure)]

    def share(of=group, table=cells):
        eligible = table.get((indicator, *of, "eligible"))
        if eligible == 0:
            raise Nobody
        return Fraction(cell("gap", of, table), cell("eligible", of, table))

    def band(name):
        return (*group[:3], name)

    name, _, end = kind.partition("_")
    if name == "rate":
        rate = float(share()) * 100
        if not end:
            return rate
        interval = stats.binomtest(cell("gap"), cell("eligible")).proportion_ci(method="wilson")
        return 100 * (interval.low if end == "low" else interval.high)
    if name == "difference":
        if cells.get((indicator, *group, "eligible")) == 0:
            raise Nobody
        return float(share() - share(CITY)) * 100
    if name in ("funnel", "comparison"):
        if (n := cells.get((indicator, *group, "eligible"))) == 0:
            raise Nobody
        city, n = float(share(CITY)), cell("eligible")
        limits = {
            f"{side}_{level}": stats.binom.ppf(p, n, city) / n
            for level, tail in (("95", 0.025), ("998", 0.001))
            for side, p in (("low", tail), ("high", 1 - tail))
        }
        if name == "funnel":
            return 100 * limits[end]
        seen = cell("gap") / n
        return sum(seen > limits[f"high_{level}"] for level in ("95", "998")) - sum(
            seen < limits[f"low_{level}"] for level in ("95", "998")
        )
    if name == "per":
        code = next((code for code in (group[1], group[0]) if code != "*"), "091")
        count = cell("gap")
        number = dict(zip(("1000", "1000_low", "1000_high"), (count, *poisson(count)), strict=True))[end]
        return 1000 * number / POPULATION[code]
    if name == "standardised":
        of_band = weights(indicator)
        if hidden := [b for b in of_band for m in ("gap", "eligible") if (indicator, *band(b), m) not in cells]:
            raise Hidden(hidden)
        rates = {b: share(band(b)) for b in of_band}
        events = sum(cell("gap", band(b)) for b in of_band)
        if events < 10:
            raise TooFew
        whole = sum(of_band.values())
        value = sum(of_band[b] / whole * float(rates[b]) for b in of_band)
        variance = sum(
            (of_band[b] / whole) ** 2 * cell("gap", band(b)) / cell("eligible", band(b)) ** 2 for b in of_band
        )
        low, high = (value + sqrt(variance / events) * (limit - events) for limit in poisson(events))
        return 1000 * {"": value, "low": low, "high": high}[end]
    if name == "ratio":
        people = {b: cell("eligible", band(b)) for b in BANDS}
        events = cell("gap")
        expected = float(sum(n * share(("*", "*", "*", b)) for b, n in people.items() if n))
        if expected == 0:
            raise Nobody
        return {"": events, "low": poisson(events)[0], "high": poisson(events)[1]}[end] / expected
    assert name == "change"
    if 0 in (table.get((indicator, *group, "eligible")) for table in (cells, earlier)):
        raise Nobody
    now, then = share(), share(table=earlier)
    ends = [
        stats.binomtest(cell("gap", table=table), cell("eligible", table=table)).proportion_ci(method="wilson")
        for table in (cells, earlier)
    ]
    below = sqrt((float(now) - ends[0].low) ** 2 + (ends[1].high - float(then)) ** 2)
    above = sqrt((ends[0].high - float(now)) ** 2 + (float(then) - ends[1].low) ** 2)
    return 100 * (float(now - then) + {"": 0.0, "low": -below, "high": above}[end])


def check(figures, table, earlier=None):
    cells, before = cells_of(table), cells_of(earlier) if earlier is not None else None
    statuses = []
    for row in figures.iter_rows(named=True):
        indicator, *group = (row[name] for name in GROUP)
        try:
            expected, status = plain(cells, indicator, tuple(group), row["kind"], before), "published"
        except (Hidden, Nobody, TooFew) as reason:
            status = {Hidden: "suppressed", Nobody: "undefined", TooFew: "too_few"}[type(reason)]
        assert row["status"] == status, row
        if status == "published":
            decimals = KINDS[row["kind"]]
            assert len(row["figure"].partition(".")[2]) == decimals
            assert abs(float(row["figure"]) - expected) <= 0.5 * 10**-decimals + 1e-7, row
        else:
            assert row["figure"] is None
        statuses.append((row["kind"], status))
    return set(statuses)


def test_every_figure_is_what_the_published_cells_give():
    seen = check(FIGURES, TABLE)
    changes = {"change", "change_low", "change_high"}
    assert {kind for kind, status in seen if status == "published"} == set(KINDS) - changes
    assert {kind for kind, status in seen if status == "suppressed"} >= {"rate", "standardised", "ratio", "per_1000"}


def test_small_areas_have_a_ratio_and_no_standardised_rate():
    table = protected_table(AREAS, ["CG01"], seed=3, size=60).with_columns(status=pl.lit("published"))
    full = protected_table(AREAS, ["CG01"], seed=3, size=60)
    counts = table.with_columns(value=full["value"].fill_null(2))
    gap = counts.filter(measure="gap").select(*GROUP, g="value")
    counts = counts.join(gap, on=GROUP, how="left", maintain_order="left").with_columns(
        value=pl.when(pl.col("measure") == "eligible").then(pl.max_horizontal("value", "g")).otherwise("value")
    )
    seen = check(derived_figures(counts, AREAS, AGES), counts)
    assert {("standardised", "too_few"), ("standardised", "undefined"), ("ratio", "published")} <= seen


def test_the_groups_are_the_areas_and_the_citys_sexes_and_ages_once_each():
    groups = FIGURES.filter(kind="rate").select(GROUP)
    assert not groups.is_duplicated().any()
    areas = groups.filter(sex="*", age_band="*", indicator="CG01")
    assert areas.height == 1 + 8 + 34 + 1
    assert groups.filter(indicator="CG01").height == areas.height + 2 + 5
    assert not FIGURES.filter(kind="per_1000", district="unknown").height
    assert not FIGURES.filter((pl.col("kind") == "per_1000") & (pl.col("sex") != "*")).height
    assert not FIGURES.filter(
        (pl.col("kind") == "difference") & pl.all_horizontal(pl.col(n) == "*" for n in GROUP[1:])
    ).height


@pytest.mark.parametrize("seed", range(4))
def test_no_figure_depends_on_a_hidden_count(seed):
    """Hide more and more cells: a figure stays to the letter, or it is gone because a cell of its own is."""
    random = np.random.default_rng(seed)
    hidden = pl.Series(random.random(TABLE.height) < 0.15) & ~pl.Series(
        random.random() < 0.5 for _ in range(TABLE.height)
    )
    table = TABLE.with_columns(
        value=pl.when(~hidden).then("value"),
        status=pl.when(hidden).then(pl.lit("suppressed")).otherwise("status"),
    )
    fewer = derived_figures(table, AREAS, AGES)
    both = FIGURES.join(fewer, on=[*GROUP, "kind"], how="full", coalesce=True, suffix="_fewer", validate="1:1")
    assert both.height == FIGURES.height == fewer.height
    given = both.filter(pl.col("figure_fewer").is_not_null())
    assert given["figure"].equals(given["figure_fewer"].alias("figure"))
    assert fewer.filter(status="suppressed").height > FIGURES.filter(status="suppressed").height
    check(fewer, table)


def test_a_hidden_cell_with_a_value_is_refused():
    """Whatever stood there, no figure could be made of it."""
    place = TABLE["status"].to_list().index("suppressed")
    spoilt = TABLE.with_row_index("row").with_columns(value=pl.when(pl.col("row") == place).then(3).otherwise("value"))
    with pytest.raises(DisclosureRefused, match="a suppressed cell has a value"):
        derived_figures(spoilt.drop("row"), AREAS, AGES)


def test_hidden_city_counts_take_every_comparison_with_them():
    whole = pl.all_horizontal(pl.col(name) == "*" for name in GROUP[1:]) & (pl.col("measure") == "gap")
    table = TABLE.with_columns(
        value=pl.when(~whole).then("value"), status=pl.when(whole).then(pl.lit("suppressed")).otherwise("status")
    )
    found = derived_figures(table, AREAS, AGES)
    compared = found.filter(pl.col("kind").str.contains("difference|comparison|funnel"))
    assert set(compared["status"]) == {"suppressed"}
    check(found, table)


def test_change_is_against_the_same_month_a_year_before():
    tables = {
        date(2024, 10, 31): protected_table(AREAS, ["CG01", "CG02"], seed=5, size=2500),
        date(2025, 9, 30): protected_table(AREAS, ["CG01", "CG02"], seed=6, size=2500),
        date(2025, 10, 31): TABLE,
    }
    found = trend_figures(tables, AREAS, AGES)
    assert list(found) == sorted(tables)
    assert ["change" in set(one["kind"]) for one in found.values()] == [False, False, True]
    latest, earliest = tables[date(2025, 10, 31)], tables[date(2024, 10, 31)]
    seen = check(found[date(2025, 10, 31)], latest, earliest)
    assert ("change_low", "published") in seen
    assert ("change", "suppressed") in seen


def test_an_auditor_is_told_of_every_kind_and_of_the_weights():
    described = describe_derived(TABLE, AGES)
    assert set(described["kinds"]) == set(KINDS)
    assert described["kinds"]["standardised"]["weights"]["CG01"] == {
        "0-17": 0, "18-44": 34700, "45-64": 26500, "65-74": 10500, "75-": 9000,
    }  # fmt: skip
    for kind, about in described["kinds"].items():
        assert about["decimals"] == KINDS[kind]
        assert about["inputs"]


@pytest.mark.parametrize(
    ("gap", "eligible", "printed"), [(1, 16, "6.3"), (29, 200, "14.5"), (1, 2000, "0.1"), (0, 7, "0.0")]
)
def test_halves_are_rounded_up(gap, eligible, printed):
    rows = [("CG01", "*", "*", "*", "*", m, v, "published") for m, v in (("gap", gap), ("eligible", eligible))]
    table = pl.DataFrame(rows, schema=[*GROUP, "measure", "value", "status"], orient="row")
    found = derived_figures(table, AREAS, {})
    assert found.filter(kind="rate")["figure"].item() == printed
