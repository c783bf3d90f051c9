"""Rates, standardised rates, ratios and funnel limits against software and arithmetic that is not ours."""

from fractions import Fraction
from math import comb, exp, factorial, sqrt
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from schemas.areas.standard import load_standard_population
from schemas.errors import UsageRefused
from transforms.statistics import (
    Z_95,
    Z_998,
    band_weights,
    beyond_funnel,
    change_interval,
    funnel_limits,
    indirect_ratios,
    poisson_interval,
    standardised_rates,
)

STANDARD = load_standard_population()

# Events, persons and limits per 1,000 as PHStatsMethods 0.1.16 gives them (ph_rate), a package of the Department of
# Health and Social Care of England: exact below 10, Byar's from 10 on.
RATES = [
    (1, 2500, Z_95, 0.010127123193715958, 2.228657356375559),
    (5, 8000, Z_95, 0.20293579876480264, 1.4585415099153338),
    (9, 8000, Z_95, 0.5144216371722917, 2.1356004314273958),
    (10, 12000, Z_95, 0.39895415949729685, 1.532621550479706),
    (65, 8700, Z_95, 5.765883644880394, 9.522889488039063),
    (1203, 666446, Z_95, 1.7045216304447548, 1.910058367550524),
    (1, 2500, Z_998, 0.00040020013343341386, 3.693365390580634),
    (5, 8000, Z_998, 0.09242146648972908, 2.056843150460013),
    (9, 8000, Z_998, 0.3065530505454719, 2.832171663632866),
    (10, 12000, Z_998, 0.2430265312246405, 2.0161437439900456),
    (65, 8700, Z_998, 4.928765686377035, 10.804631131530806),
    (1203, 666446, Z_998, 1.6485286932064265, 1.9717851779029032),
]
# Garwood, Biometrika 28 (1936), table I, to the digits that are printed there.
GARWOOD = {0: (0.0, 3.689), 1: (0.025, 5.572), 2: (0.242, 7.225), 5: (1.623, 11.668), 9: (4.115, 17.085)}

STRATA = pl.DataFrame(
    {
        "area": ["A"] * 4 + ["B"] * 4,
        "count": [12, 40, 33, 51, 0, 3, 4, 5],
        "total": [210, 800, 520, 390, 15, 120, 160, 90],
        "weight": [34700.0, 26500.0, 10500.0, 9000.0] * 2,
        "reference": [300 / 9000, 1900 / 30000, 1700 / 21000, 2100 / 17000] * 2,
        "events": [136] * 4 + [12] * 4,
    }
)
# The same package on these strata: ph_dsr (Dobson) and ph_ISRatio (Byar), per person.
STANDARDISED = [
    ("A", Z_95, 0.0638305622506366, 0.04889330153071624, 0.08079839298498995),
    ("B", Z_95, 0.017657992565055764, 0.00806006187676785, 0.032473292004604446),
    ("A", Z_998, 0.0638305622506366, 0.04116567815416987, 0.09115264799133021),
    ("B", Z_998, 0.017657992565055764, 0.004434886230371294, 0.042586305308554174),
]
RATIOS = [
    ("A", Z_95, 0.9193017003067369, 0.7712866135250833, 1.0874379460169277),
    ("B", Z_95, 0.373018015272493, 0.19252422910299907, 0.6516269754665914),
    ("A", Z_998, 0.9193017003067369, 0.6947126776380258, 1.1900394860221153),
    ("B", Z_998, 0.373018015272493, 0.12435102602433888, 0.8418071424310973),
]


def exactly(value):
    return pytest.approx(value, rel=0, abs=1e-9)


def limits(count, z=Z_95):
    low, high = poisson_interval(pl.col("count"), z)
    return pl.DataFrame({"count": [count]}, schema={"count": pl.Int64}).select(low=low, high=high).row(0)


def test_the_points_of_the_normal_distribution_are_those_of_the_standard_library():
    assert exactly(NormalDist().inv_cdf(0.975)) == Z_95
    assert exactly(NormalDist().inv_cdf(0.999)) == Z_998


@pytest.mark.parametrize(("count", "persons", "z", "low", "high"), RATES)
def test_limits_of_rates_equal_those_of_independent_software(count, persons, z, low, high):
    found = [limit / persons * 1000 for limit in limits(count, z)]
    assert found == [exactly(low), exactly(high)]


@pytest.mark.parametrize("count", GARWOOD)
def test_few_events_have_the_limits_of_garwoods_table(count):
    assert limits(count) == pytest.approx(GARWOOD[count], abs=0.0005)


@pytest.mark.parametrize("count", range(10))
@pytest.mark.parametrize("z", [Z_95, Z_998])
def test_exact_limits_leave_the_tails_that_they_say(count, z):
    def at_most(mean, most):
        return sum(exp(-mean) * mean**k / factorial(k) for k in range(most + 1))

    low, high = limits(count, z)
    tail = NormalDist().cdf(-z)
    assert at_most(high, count) == exactly(tail)
    assert low == 0 if count == 0 else 1 - at_most(low, count - 1) == exactly(tail)


@pytest.mark.parametrize("count", [10, 11, 40, 1000, 300_000])
def test_byars_limits_are_within_two_parts_of_a_thousand_of_the_exact_ones(count):
    exact = stats.chi2.ppf(0.025, 2 * count) / 2, stats.chi2.ppf(0.975, 2 * count + 2) / 2
    assert limits(count) == pytest.approx(exact, rel=0.002)


def test_there_are_no_limits_of_a_count_that_is_not_known():
    assert limits(None) == (None, None)


def row_of(frame, area):
    return frame.filter(area=area).select("value", "low", "high").row(0)


@pytest.mark.parametrize(("area", "z", "value", "low", "high"), STANDARDISED)
def test_standardised_rates_equal_those_of_independent_software(area, z, value, low, high):
    found = row_of(standardised_rates(STRATA, ["area"], z), area)
    assert found == (exactly(value), exactly(low), exactly(high))


@pytest.mark.parametrize(("area", "z", "value", "low", "high"), RATIOS)
def test_ratios_equal_those_of_independent_software(area, z, value, low, high):
    found = row_of(indirect_ratios(STRATA, ["area"], z), area)
    assert found == (exactly(value), exactly(low), exactly(high))


@settings(deadline=None)
@given(st.permutations(range(8)))
def test_the_order_of_the_bands_changes_nothing(order):
    for rates in (standardised_rates, indirect_ratios):
        whole, shuffled = rates(STRATA, ["area"]).sort("area"), rates(STRATA[order], ["area"]).sort("area")
        assert shuffled["value"].to_list() == pytest.approx(whole["value"].to_list())
        assert shuffled["high"].to_list() == pytest.approx(whole["high"].to_list())


bands_of_people = st.lists(st.tuples(st.integers(0, 50), st.integers(50, 5000)), min_size=4, max_size=4)


@settings(deadline=None)
@given(bands_of_people.filter(lambda bands: sum(count for count, _ in bands) >= 10))
def test_dobsons_limits_are_the_formula_done_by_hand(bands):
    weights = [Fraction(w, 80700) for w in (34700, 26500, 10500, 9000)]
    rate = sum(w * count / total for w, (count, total) in zip(weights, bands, strict=True))
    variance = sum(w**2 * count / total**2 for w, (count, total) in zip(weights, bands, strict=True))
    events = sum(count for count, _ in bands)
    low = events * (1 - 1 / (9 * events) - Z_95 / (3 * sqrt(events))) ** 3
    high = (events + 1) * (1 - 1 / (9 * (events + 1)) + Z_95 / (3 * sqrt(events + 1))) ** 3
    by_hand = [float(rate) + sqrt(variance / events) * (limit - events) for limit in (low, high)]
    strata = STRATA[:4].with_columns(count=pl.Series([c for c, _ in bands]), total=pl.Series([t for _, t in bands]))
    assert row_of(standardised_rates(strata, ["area"]), "A") == (
        exactly(float(rate)),
        exactly(by_hand[0]),
        exactly(by_hand[1]),
    )


def changed(column, value, area="B", row=0):
    at = pl.Series([index == (row if area == "A" else row + 4) for index in range(8)])
    return STRATA.with_columns(pl.when(at).then(pl.lit(value)).otherwise(column).alias(column))


@pytest.mark.parametrize(
    ("strata", "direct", "indirect"),
    [
        (STRATA, "given", "given"),
        (changed("count", 1, row=3), "too_few", "given"),
        (changed("count", 3, row=3), "given", "given"),
        (changed("count", 2, row=3), "too_few", "given"),
        (changed("count", None), "unknown", "given"),
        (changed("total", None), "unknown", "unknown"),
        (changed("total", 0), "empty", "given"),
        (changed("reference", None), "given", "unknown"),
        (changed("events", None), "given", "unknown"),
        (STRATA.with_columns(total=pl.lit(0)), "empty", "empty"),
    ],
)
def test_what_cannot_be_given_is_a_status_and_not_a_number(strata, direct, indirect):
    for found, status in (
        (standardised_rates(strata, ["area"]), direct),
        (indirect_ratios(strata, ["area"]), indirect),
    ):
        row = found.filter(area="B").row(0, named=True)
        assert row["status"] == status
        assert all((row[name] is None) == (status != "given") for name in ("value", "low", "high"))


def test_a_band_without_weight_and_a_reference_band_without_persons_do_not_matter():
    outside = pl.DataFrame(
        {"area": ["B"], "count": [None], "total": [0], "weight": [0.0], "reference": [None], "events": [12]},
        schema=STRATA.schema,
    )
    wider = pl.concat([STRATA, outside])
    assert standardised_rates(wider, ["area"]).equals(standardised_rates(STRATA, ["area"]))
    assert indirect_ratios(wider, ["area"]).equals(indirect_ratios(STRATA, ["area"]))


def test_the_standard_population_is_joined_by_age():
    bands = ["75-", "20-44", "0-19", "45-64", "65-74"]
    expected = {"0-19": 21500, "20-44": 32500, "45-64": 26500, "65-74": 10500, "75-": 9000}
    assert band_weights(bands, STANDARD) == expected
    assert band_weights(bands[::-1], STANDARD.reverse()) == expected
    assert sum(expected.values()) == STANDARD["weight"].sum() == 100_000


def test_bands_that_do_not_nest_are_refused_or_split_by_years_of_age():
    bands = ["0-17", "18-44", "45-64", "65-74", "75-"]
    with pytest.raises(UsageRefused, match="do not nest"):
        band_weights(bands, STANDARD)
    split = band_weights(bands, STANDARD, split_years=True)
    assert split == {"0-17": 19300, "18-44": 34700, "45-64": 26500, "65-74": 10500, "75-": 9000}
    assert band_weights(bands, STANDARD, (16, 86), split_years=True) == {**split, "0-17": 2200, "75-": 6800}
    with pytest.raises(UsageRefused, match="do not nest"):
        band_weights(["0-94", "95-"], STANDARD, split_years=True)


@pytest.mark.parametrize("bands", [["0-44", "40-64"], ["0-44", "0-44"], ["young"], ["5"], ["-4"]])
def test_what_are_no_age_bands_is_refused(bands):
    with pytest.raises(UsageRefused):
        band_weights(bands, STANDARD, split_years=True)


def chance(n, count, rate):
    """Probability of a count and less, in whole fractions."""
    return sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(count + 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 99), st.data())
def test_what_is_called_different_is_as_rare_as_it_says(n, percent, data):
    count, rate = data.draw(st.integers(0, n)), Fraction(percent, 100)
    steps, found = beyond_funnel(count, n, float(rate))
    expected = 0
    for tail in (Fraction(25, 1000), Fraction(1, 1000)):
        expected += int(1 - chance(n, count - 1, rate) <= tail) - int(chance(n, count, rate) <= tail)
    assert steps == expected
    assert found["low_998"] <= found["low_95"] <= found["high_95"] <= found["high_998"]


def test_funnel_limits_equal_the_quantiles_of_a_published_example():
    # Binomial with n = 20 and a probability of one half: 2.07 % lie at 5 and less, 0.13 % at 3 and less (any table).
    assert funnel_limits(0.5, 20, Z_95) == (exactly(6 / 20), exactly(14 / 20))
    assert funnel_limits(0.5, 20, Z_998) == (exactly(3 / 20), exactly(17 / 20))


def test_there_is_no_comparison_with_what_is_not_known():
    steps, found = beyond_funnel(
        [3, np.nan, 3, 0, 3, 3], [10, 10, np.nan, 0, 10, 10], [0.3, 0.3, 0.3, 0.3, np.nan, 1.2]
    )
    assert np.isnan(steps).tolist() == [False, True, True, True, True, True]
    assert np.isnan(found["high_95"]).tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_where_everybody_is_alike_nobody_differs_by_being_so(rate):
    assert beyond_funnel(rate * 7, 7, rate)[0] == 0
    assert abs(beyond_funnel(3, 7, rate)[0]) == 2


# Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10, to the digits that are printed there.
@pytest.mark.parametrize(
    ("count", "total", "earlier_count", "earlier_total", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (0, 10, 0, 10, -0.2775, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0000),
        (10, 10, 0, 10, 0.6075, 1.0000),
    ],
)
def test_limits_of_a_change_are_newcombes(count, total, earlier_count, earlier_total, low, high):
    frame = pl.DataFrame({"a": [count], "m": [total], "b": [earlier_count], "n": [earlier_total]})
    change, lower, upper = change_interval(*(pl.col(name) for name in "ambn"))
    found = frame.select(change=change, lower=lower, upper=upper).row(0)
    assert found == pytest.approx((count / total - earlier_count / earlier_total, low, high), abs=0.00005)


def test_a_change_is_not_known_where_a_count_is_not():
    frame = pl.DataFrame({"a": [None, 3, 3], "m": [9, 0, 9], "b": [3, 3, None], "n": [9, 9, 9]})
    change = change_interval(*(pl.col(name) for name in "ambn"))
    assert all(frame.select(one.alias("x"))["x"].null_count() == 3 for one in change)
