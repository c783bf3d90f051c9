"""Counts that are not protected, for those allowed to see them; without Prefect, which takes seconds to load."""

from datetime import UTC, date, datetime

import polars as pl

from flows import audit
from flows.counted import read_counts
from flows.settings import Layout
from schemas.errors import UsageRefused
from schemas.indicators import Indicator, load_indicators
from schemas.policy import load_policy
from transforms.analysis.counts import DIMENSIONS, detail_columns, margins


def confidential_counts(
    layout: Layout, indicator: str, as_of: date, reason: str, area: str | None, *, with_months_before: bool = False
) -> str:
    """Unprotected counts of one indicator as CSV, with margins, reasons and parts; the access is logged first.

    They are of `as_of` alone, or of the month-ends that were counted with it as well.

    Raises UsageRefused where the indicator, the date or the area is not known, or no reason is given.
    """
    asked = asked_indicator(indicator, reason, "to see unprotected counts")
    policy = load_policy().in_force(datetime.now(UTC).date())
    counts, areas, _ = read_counts(layout, as_of)
    is_asked = pl.lit(with_months_before) | (pl.col("as_of") == as_of)
    found = counts.filter(pl.col("indicator") == indicator, is_asked)
    rows = margins(_with_details(layout, found, asked, as_of), areas)
    if area is not None:
        if area not in rows["area_code"]:
            raise UsageRefused("there is no such area", "Give a code of the areas file, unknown or *")
        rows = rows.filter(pl.col("area_code") == area)
    audit.record(
        layout.audit,
        "counts",
        indicator=indicator,
        as_of=as_of.isoformat(),
        area=area or "all",
        reason=reason,
        purpose=policy.purpose,
        count=rows.height,
    )
    return rows.write_csv()


def asked_indicator(indicator: str, reason: str, what: str) -> Indicator:
    """The definition of an indicator that somebody asks for. Raises UsageRefused where it, or a reason, is missing."""
    if not reason.strip():
        raise UsageRefused(f"a reason is needed {what}", "Give --reason TEXT")
    indicators = load_indicators()
    if indicator not in indicators:
        raise UsageRefused("there is no such indicator", "caregap indicators list names them")
    return indicators[indicator]


def _with_details(layout: Layout, counts: pl.DataFrame, indicator: Indicator, as_of: date) -> pl.DataFrame:
    """Counts of one indicator with a column for each reason of exclusion and each part that is lacking."""
    path, keys = layout.counts / as_of.isoformat() / "details.parquet", ["as_of", *DIMENSIONS]
    found = pl.read_parquet(path).filter(pl.col("indicator") == indicator.id).select(*keys, "detail", "persons")
    for name in detail_columns(indicator):
        persons = found.filter(pl.col("detail") == name).select(*keys, pl.col("persons").alias(name))
        counts = counts.join(persons, on=keys, how="left", maintain_order="left").with_columns(
            pl.col(name).fill_null(0)
        )
    return counts
