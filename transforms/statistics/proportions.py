"""Proportions: their interval, whether they differ from a reference, and how far they have changed."""

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import special

Z_95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 % limits."""
Z_998 = 3.090232306167813
"""The 99.9 % point of the standard normal distribution: two-sided 99.8 % limits."""


def wilson_interval(count: pl.Expr, total: pl.Expr, z: float = Z_95) -> tuple[pl.Expr, pl.Expr]:
    """Lower and upper limit of the proportion `count / total`, each between 0 and 1; null where `total` is 0 or null.

    Wilson's score interval (Wilson 1927), without continuity correction: it keeps its coverage for the small groups
    and the rates near 0 that districts have, where the textbook interval does not.
    """
    total = pl.when(total > 0).then(total.cast(pl.Float64))
    share = count / total
    centre = share + z * z / (2 * total)
    half = z * (share * (1 - share) / total + z * z / (4 * total * total)).sqrt()
    scale = 1 + z * z / total
    # At the ends the limit is the end itself; arithmetic alone would miss it by a rounding error.
    lower = pl.when(total.is_not_null() & (count == 0)).then(0.0).otherwise((centre - half) / scale)
    upper = pl.when(count == total).then(1.0).otherwise((centre + half) / scale)
    return lower, upper


ABOVE, BELOW, ALIKE = "above", "below", "alike"


def against(reference: pl.Expr, lower: pl.Expr, upper: pl.Expr) -> pl.Expr:
    """Whether an interval lies wholly above or below a reference value, or holds it; null where any of them is.

    With 95 % limits about one area in twenty is called different by chance alone (Spiegelhalter 2005).
    """
    return (
        pl.when(reference.is_null() | lower.is_null() | upper.is_null())
        .then(None)
        .when(lower > reference)
        .then(pl.lit(ABOVE))
        .when(upper < reference)
        .then(pl.lit(BELOW))
        .otherwise(pl.lit(ALIKE))
    )


def funnel_limits(reference: ArrayLike, total: ArrayLike, z: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest proportion of `total` persons that chance explains where `reference` is true of everybody.

    Between 0 and 1; not a number where either is, or where `total` is 0. The limits of a funnel plot (Spiegelhalter,
    Statistics in Medicine 24 (2005) 1185-1202), as quantiles of the binomial distribution itself: beyond each lie at
    most 2.5 % of areas, or 0.1 %, by chance. They are whole counts, not smoothed between them as for a drawing, for
    smoothed limits, and those of the normal approximation, call too many small areas with few gaps different.
    """
    from scipy import stats  # a second to import, and only whoever draws a funnel needs it

    share, size = np.broadcast_arrays(np.asarray(reference, dtype=np.float64), np.asarray(total, dtype=np.float64))
    is_known = (size > 0) & (share >= 0) & (share <= 1)  # not a number fails every comparison
    n, rate = np.where(is_known, size, 1.0), np.where(is_known, share, 0.5)
    tail = float(special.ndtr(-z))
    low, high = (np.where(is_known, stats.binom.ppf(p, n, rate) / n, np.nan) for p in (tail, 1 - tail))
    return low, high


def beyond_funnel(
    count: ArrayLike, total: ArrayLike, reference: ArrayLike
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """How far the proportion `count / total` lies from the reference, and the limits that say so.

    0: not distinguishable from chance; 1 and -1: above and below the 95 % limits; 2 and -2: the 99.8 % limits; not a
    number where any of the three is, or `total` is 0. Of 34 districts up to two lie outside 95 % by chance alone, and
    up to one in fifteen releases outside 99.8 %. The limits are named low_95, high_95, low_998 and high_998.
    """
    seen, size, rate = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in (count, total, reference)))
    share = np.divide(seen, size, out=np.full(seen.shape, np.nan), where=size > 0)
    limits, steps = {}, np.zeros(share.shape)
    for name, z in (("95", Z_95), ("998", Z_998)):
        low, high = limits[f"low_{name}"], limits[f"high_{name}"] = funnel_limits(rate, size, z)
        steps += (share > high).astype(np.float64) - (share < low).astype(np.float64)
    return np.where(np.isnan(share) | np.isnan(limits["low_95"]), np.nan, steps), limits


def change_interval(
    count: pl.Expr, total: pl.Expr, earlier_count: pl.Expr, earlier_total: pl.Expr, z: float = Z_95
) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """How much a proportion has changed, and limits: later less earlier, between -1 and 1; null where any is not known.

    Newcombe's hybrid score interval (Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10), from the Wilson
    limits of both. It takes the two for different persons. Mostly they are the same ones, whose gaps at the two dates
    go together, so that the change varies less by chance than the interval says: a change that it does not hold by
    chance is one, and a smaller one may be. Dates less than the look-back apart (12 months for most indicators) share
    the very records that they are counted from and are not to be compared with it.
    """
    lower, upper = wilson_interval(count, total, z)
    earlier_lower, earlier_upper = wilson_interval(earlier_count, earlier_total, z)
    share = count / pl.when(total > 0).then(total)
    earlier = earlier_count / pl.when(earlier_total > 0).then(earlier_total)
    change = share - earlier
    below = ((share - lower).pow(2) + (earlier_upper - earlier).pow(2)).sqrt()
    above = ((upper - share).pow(2) + (earlier - earlier_lower).pow(2)).sqrt()
    return change, change - below, change + above
