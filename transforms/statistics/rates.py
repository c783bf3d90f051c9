"""Counts, rates per so many persons, and rates made comparable between areas whose people differ in age."""

from collections.abc import Sequence

import polars as pl
from scipy import special

from transforms.statistics.proportions import Z_95

LEAST_EVENTS = 10
"""From here on Byar's approximation is as good as exact, and below it no standardised rate is given (PHE 2018)."""


def poisson_interval(count: pl.Expr, z: float = Z_95) -> tuple[pl.Expr, pl.Expr]:
    """Limits of the mean number of events where `count` were seen; null where it is. Divide by persons for a rate.

    Byar's approximation from 10 events (Breslow and Day 1987, volume II, page 69), below it the exact limits from the
    chi-square distribution (Garwood, Biometrika 28 (1936) 437-442): chi-square with 2 O degrees of freedom at half the
    error, and with 2 O + 2 at the other end, each halved.
    """
    tail, few = float(special.ndtr(-z)), range(LEAST_EVENTS)
    exact_low = {events: float(special.gammaincinv(events, tail)) if events else 0.0 for events in few}
    exact_high = {events: float(special.gammainccinv(events + 1, tail)) for events in few}
    is_few, seen = count < LEAST_EVENTS, count.cast(pl.Float64)
    more = seen + 1
    low = seen * (1 - 1 / (9 * seen) - z / (3 * seen.sqrt())).pow(3)
    high = more * (1 - 1 / (9 * more) + z / (3 * more.sqrt())).pow(3)
    return (
        pl.when(is_few).then(count.replace_strict(exact_low, default=None, return_dtype=pl.Float64)).otherwise(low),
        pl.when(is_few).then(count.replace_strict(exact_high, default=None, return_dtype=pl.Float64)).otherwise(high),
    )


def standardised_rates(strata: pl.DataFrame, by: Sequence[str], z: float = Z_95) -> pl.DataFrame:
    """One row per group of `by`: `value`, `low` and `high`, events per person as if all had the standard's ages.

    `strata` is one row per group and age band: `count` of events, `total` of persons, `weight` of the standard
    population. Directly standardised: the mean of the age-specific rates, weighted by the standard. The limits are
    Dobson's on Byar's (Dobson et al., Statistics in Medicine 10 (1991) 457-462): the limits of the number of events,
    moved and stretched to the rate and its variance. Events are taken for rare; where a third of the persons have one,
    the limits are wider than need be.

    `events` is the number of them, and `status` is `given`; or, with no numbers: `unknown` where a count or a total is
    null, `empty` where nobody is in a band that has a weight, `too_few` below 10 events.
    """
    share = pl.col("weight") / pl.col("weight").sum().over(by)
    weighed = strata.filter(pl.col("weight") > 0).with_columns(share=share)
    part = pl.col("share") / pl.when(pl.col("total") > 0).then(pl.col("total"))
    sums = weighed.group_by(by, maintain_order=True).agg(
        events=pl.when(pl.col("count").is_not_null().all()).then(pl.col("count").sum()),
        value=(part * pl.col("count")).sum(),
        variance=(part.pow(2) * pl.col("count")).sum(),
        is_unknown=(pl.col("count").is_null() | pl.col("total").is_null()).any(),
        is_empty=(pl.col("total") == 0).any(),
    )
    low, high = poisson_interval(pl.col("events"), z)
    stretch = (pl.col("variance") / pl.col("events")).sqrt()
    status = (
        pl.when("is_unknown")
        .then(pl.lit("unknown"))
        .when("is_empty")
        .then(pl.lit("empty"))
        .when(pl.col("events") < LEAST_EVENTS)
        .then(pl.lit("too_few"))
        .otherwise(pl.lit("given"))
    )
    limits = sums.with_columns(
        status=status,
        low=pl.col("value") + stretch * (low - pl.col("events")),
        high=pl.col("value") + stretch * (high - pl.col("events")),
    )
    return limits.select(*by, *_where_given("value", "low", "high"), "events", "status")


def indirect_ratios(strata: pl.DataFrame, by: Sequence[str], z: float = Z_95) -> pl.DataFrame:
    """One row per group of `by`: `value`, `low` and `high`, events seen to events expected.

    `strata` is one row per group and age band: `events` of the whole group (the same in each of its rows), `total` of
    persons, and `reference`, the rate of the band in the reference population. 1 is as many as at the reference's
    rates. It needs no events by age, and a band without persons expects none; so it is there where a directly
    standardised rate is not. Ratios of two areas must not be compared with each other: each is weighed by its own ages.
    The limits are those of the events seen (exact below 10, Byar's above); that the reference varies too, and that the
    area is part of it, is left out of account.

    `status` is `given`; or, with no numbers: `unknown` where a needed number is null, `empty` where none are expected.
    """
    needed = pl.col("total") != 0
    expected = pl.when(needed).then(pl.col("total") * pl.col("reference")).otherwise(0.0)
    sums = strata.group_by(by, maintain_order=True).agg(
        events=pl.col("events").first(),
        expected=expected.sum(),
        is_unknown=(
            pl.col("events").is_null() | pl.col("total").is_null() | (needed & pl.col("reference").is_null())
        ).any(),
    )
    low, high = poisson_interval(pl.col("events"), z)
    status = (
        pl.when("is_unknown")
        .then(pl.lit("unknown"))
        .when(pl.col("expected") <= 0)
        .then(pl.lit("empty"))
        .otherwise(pl.lit("given"))
    )
    ratios = sums.with_columns(
        status=status,
        value=pl.col("events") / pl.col("expected"),
        low=low / pl.col("expected"),
        high=high / pl.col("expected"),
    )
    return ratios.select(*by, *_where_given("value", "low", "high"), "expected", "status")


def _where_given(*names: str) -> list[pl.Expr]:
    return [pl.when(pl.col("status") == "given").then(name).alias(name) for name in names]
