"""What a page may say: figures derived from the cells of a protected table, and from nothing else."""

import polars as pl

from schemas.areas import UNKNOWN_AREA
from schemas.errors import DisclosureRefused
from transforms.statistics import beyond_funnel, wilson_interval

TOTAL = "*"
"""Stands in a group column where the figure is summed over it."""
GROUP = ("indicator", "major", "district", "sex", "age_band")
COLUMNS = (*GROUP, "measure", "value", "status")
PUBLISHED, SUPPRESSED = "published", "suppressed"


def public_cells(table: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """One row per cell of a protected table, its public columns alone, checked and in the order they came.

    Raises DisclosureRefused where the table is not what a page can be made from: a hidden cell with a value, a
    published one without, a cell that stands twice, a gap larger than its population, an area that is not known, an
    indicator without figures for the city. Each would otherwise be shown as if it were true.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        _refuse("a column of the protected table is missing", missing[0], len(missing))
    cells = table.select(COLUMNS)
    hidden, value = pl.col("status") == SUPPRESSED, pl.col("value")
    known = [*areas["code"], UNKNOWN_AREA, TOTAL]
    checks = {
        ("a status is neither published nor suppressed", "status"): ~pl.col("status").is_in([PUBLISHED, SUPPRESSED]),
        ("a suppressed cell has a value", "value"): hidden & value.is_not_null(),
        ("a published cell has no value", "value"): ~hidden & value.is_null(),
        ("a count is negative", "value"): value.fill_null(0) < 0,
        ("a cell stands twice", "measure"): pl.struct(*GROUP, "measure").is_duplicated(),
        ("a cell belongs to an area that is not known", "major"): ~pl.col("major").is_in(known),
        ("a cell belongs to an area that is not known", "district"): ~pl.col("district").is_in(known),
    }
    counts = cells.select(rule.fill_null(True).sum().alias(str(i)) for i, rule in enumerate(checks.values())).row(0)
    for (rule, column), count in zip(checks, counts, strict=True):
        if count:
            _refuse(rule, column, count)
    return cells


def paired(cells: pl.DataFrame) -> pl.DataFrame:
    """One row per indicator and group: `eligible` and `gap`, null where hidden. Raises DisclosureRefused as figures."""
    eligible, gap = (
        cells.filter(pl.col("measure") == measure).select(*GROUP, pl.col("value").alias(measure))
        for measure in ("eligible", "gap")
    )
    both = eligible.join(gap, on=GROUP, how="full", coalesce=True, maintain_order="left", validate="1:1")
    if not eligible.height == gap.height == both.height:
        _refuse("a group has a gap or a population and not the other", "measure", both.height - gap.height)
    if count := both.filter(pl.col("gap") > pl.col("eligible")).height:
        _refuse("the gap is larger than its population", "value", count)
    return both


def figures(cells: pl.DataFrame) -> pl.DataFrame:
    """One row per indicator and group: `eligible`, `gap`, and what follows from them where both are published.

    `rate_tenths` is the gap's share of the eligible in tenths of a percent, rounded half up; `lower` and `upper` are
    its 95 % limits (0 to 1); `comparison` is how far it lies from the city's rate (`statistics.beyond_funnel`).
    `is_empty` is true where the published population is 0, so that there is no rate. Everything else that is null is
    hidden.
    """
    both = pl.col("gap").is_not_null() & (pl.col("eligible") > 0)
    lower, upper = wilson_interval(pl.col("gap"), pl.col("eligible"))
    is_city = pl.all_horizontal(pl.col(name) == TOTAL for name in GROUP[1:])
    rated = paired(cells).with_columns(
        is_empty=(pl.col("eligible") == 0).fill_null(False),
        rate=pl.when(both).then(pl.col("gap") / pl.col("eligible")),
        rate_tenths=pl.when(both).then((2000 * pl.col("gap") + pl.col("eligible")) // (2 * pl.col("eligible"))),
        lower=lower,
        upper=upper,
    )
    city = rated.filter(is_city).select("indicator", city_rate="rate")
    without = set(cells["indicator"]) - set(city["indicator"])
    if without:
        _refuse("an indicator has no figures for the whole city", "indicator", len(without))
    found = rated.join(city, on="indicator", how="left", maintain_order="left", validate="m:1")
    numbers = (found[name].cast(pl.Float64).to_numpy() for name in ("gap", "eligible", "city_rate"))
    comparison = pl.Series("comparison", beyond_funnel(*numbers)[0]).fill_nan(None).cast(pl.Int8)
    return found.with_columns(comparison).drop("rate", "city_rate")


def _refuse(rule: str, column: str, count: int) -> None:
    raise DisclosureRefused(
        rule, "Protect the counts again; nothing was published", table="protected table", column=column, count=count
    )
