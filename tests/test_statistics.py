from math import isclose, sqrt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.statistics import ABOVE, ALIKE, BELOW, Z_95, against, wilson_interval

# Computed with scipy 1.17.1 (binomtest(k, n).proportion_ci(0.95, "wilson")) and, to the same twelve digits, with
# statsmodels 0.15.0 (proportion_confint(k, n, method="wilson")). The first four are also in Newcombe, Statistics in
# Medicine 17 (1998) 857-872, table I, method 3, to four digits: 0.2553 0.3662; 0.0624 0.1605; 0 0.1611; 0.0061 0.1718.
GOLDEN = [
    (81, 263, 0.255288519878, 0.366209576983),
    (15, 148, 0.062386399531, 0.160487241723),
    (0, 20, 0.0, 0.161125158053),
    (1, 29, 0.006113214293, 0.171755218793),
    (0, 1, 0.0, 0.793450685623),
    (1, 1, 0.206549314377, 1.0),
    (29, 29, 0.883030201500, 1.0),
    (5, 10, 0.236593090513, 0.763406909487),
    (3, 4000, 0.000255099728, 0.002202904396),
    (119874, 666446, 0.178950264502, 0.180794500286),
]


def limits(count: int | None, total: int | None) -> tuple[float | None, float | None]:
    frame = pl.DataFrame({"count": [count], "total": [total]}, schema={"count": pl.Int64, "total": pl.Int64})
    lower, upper = wilson_interval(pl.col("count"), pl.col("total"))
    return frame.select(lower=lower, upper=upper).row(0)


@pytest.mark.parametrize(("count", "total", "lower", "upper"), GOLDEN)
def test_wilson_limits_equal_those_of_independent_software(count, total, lower, upper):
    assert limits(count, total) == (pytest.approx(lower, abs=1e-9), pytest.approx(upper, abs=1e-9))


@settings(deadline=None)
@given(st.integers(1, 2_000_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_limits_are_where_the_score_test_turns(pair):
    count, total = pair
    share = count / total
    for limit in limits(count, total):
        assert 0 <= limit <= 1
        if limit not in (0, 1):
            assert isclose(abs(share - limit), Z_95 * sqrt(limit * (1 - limit) / total), rel_tol=1e-6, abs_tol=1e-12)
    lower, upper = limits(count, total)
    assert lower <= share <= upper
    mirrored = limits(total - count, total)
    assert mirrored == (pytest.approx(1 - upper, abs=1e-9), pytest.approx(1 - lower, abs=1e-9))


@pytest.mark.parametrize(("count", "total"), [(0, 0), (None, 20), (0, None), (3, None), (None, None)])
def test_there_is_no_interval_without_both_counts_or_without_anybody(count, total):
    assert limits(count, total) == (None, None)


@pytest.mark.parametrize(
    ("reference", "lower", "upper", "said"),
    [
        (0.2, 0.21, 0.3, ABOVE),
        (0.2, 0.1, 0.19, BELOW),
        (0.2, 0.2, 0.3, ALIKE),
        (0.2, 0.1, 0.2, ALIKE),
        (0.2, 0.1, 0.3, ALIKE),
        (None, 0.1, 0.3, None),
        (0.2, None, 0.3, None),
        (0.2, 0.1, None, None),
    ],
)
def test_an_interval_differs_only_where_it_lies_wholly_on_one_side(reference, lower, upper, said):
    frame = pl.DataFrame({"r": [reference], "l": [lower], "u": [upper]}, schema=dict.fromkeys("rlu", pl.Float64))
    assert frame.select(against(pl.col("r"), pl.col("l"), pl.col("u"))).item() == said
