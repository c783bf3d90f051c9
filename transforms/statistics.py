"""Intervals of proportions and their comparison, as Polars expressions over counts.

Both the counting and the publishing derive figures with these; a published rate is computed from published counts.
"""

import polars as pl

Z_95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 % limits."""


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
