"""The cells of a candidate as a steward asks for them: what changed in the city, and what is hidden by which rule."""

from datetime import date

import polars as pl

from schemas.areas import UNKNOWN_AREA
from transforms.release.page_figures import GROUP, PUBLISHED, TOTAL
from transforms.release.publish import AS_OF

SECONDARY = "secondary"
"""The rule of a cell that is hidden for the sake of others; of an unsafe one it is what makes it so."""
CUTS = GROUP[1:]
"""Columns that cut an indicator's figures."""
CELL = (*GROUP, "measure")
RATED = ("gap", "eligible")


def own_cells(table: pl.DataFrame, day: date) -> pl.DataFrame:
    """The cells of one date; one row per indicator, group and measure."""
    return table.filter(pl.col(AS_OF) == day.isoformat())


def city_changes(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The city's figures in two tables of one date each; one row per indicator and measure that both have.

    `before` and `now` are null where hidden.
    """
    is_city = [pl.col(name) == TOTAL for name in CUTS]
    names = ["indicator", "measure"]
    mine, past = (part.filter(*is_city).select(*names, "value") for part in (now, before))
    return mine.join(past, on=names, how="inner", suffix="_before", validate="1:1", maintain_order="left").select(
        *names, before="value_before", now="value"
    )


def hidden_changes(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Cells of two tables of one date each that became hidden or visible, or that one of them lacks; one row per
    indicator that both have: `became_hidden`, `became_visible`, `added` and `gone`, all numbers of cells.
    """
    mine, past = (
        part.select(*CELL, (pl.col("status") == PUBLISHED).alias(name))
        for part, name in ((now, "now"), (before, "before"))
    )
    both = mine.join(past, on=CELL, how="full", coalesce=True, validate="1:1", maintain_order="left")
    names = list(set(mine["indicator"]) & set(past["indicator"]))
    shared = both.filter(pl.col("indicator").is_in(names))
    is_out, was_out = pl.col("now"), pl.col("before")
    return shared.group_by("indicator", maintain_order=True).agg(
        became_hidden=(was_out & ~is_out).sum(),
        became_visible=(is_out & ~was_out).sum(),
        added=was_out.is_null().sum(),
        gone=is_out.is_null().sum(),
    )


def hidden_cells(decisions: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Every hidden cell with its `rule`; one row per date, indicator, group and measure, without its count.

    Within an indicator the figures of `as_of` come first, and the widest groups: those hide the most from a reader.
    """
    is_primary, width = pl.col("decision") == "primary", pl.sum_horizontal(pl.col(name) == TOTAL for name in CUTS)
    return (
        decisions.with_row_index("place")
        .filter(pl.col("decision") != PUBLISHED)
        .with_columns(rule=pl.when(is_primary).then("unsafe_as").otherwise(pl.lit(SECONDARY)))
        .sort("indicator", pl.col(AS_OF) != as_of.isoformat(), AS_OF, -width.cast(pl.Int8), "place")
        .select(AS_OF, *CELL, "rule")
    )


def by_rule(hidden: pl.DataFrame) -> pl.DataFrame:
    """How many cells each rule hides; one row per indicator and rule."""
    return hidden.group_by("indicator", "rule").len("cells").sort("indicator", "rule")


def district_totals(now: pl.DataFrame) -> pl.DataFrame:
    """Gaps of whole districts, not cut by sex or age; one row per indicator: `districts`, and the `hidden` of them."""
    is_total = [pl.col(name) == TOTAL for name in CUTS[2:]]
    is_district = ~pl.col("district").is_in([TOTAL, UNKNOWN_AREA])
    found = now.filter(*is_total, is_district, pl.col("measure") == "gap")
    return found.group_by("indicator").agg(districts=pl.len(), hidden=(pl.col("status") != PUBLISHED).sum())


def hidden_csv(hidden: pl.DataFrame, areas: pl.DataFrame) -> bytes:
    """Every hidden cell as CSV, with the area's names; UTF-8."""
    names = areas.select(pl.col("code").alias("area"), "name_fi", "name_sv", "name_en")
    area = pl.when(pl.col("district") == TOTAL).then("major").otherwise("district")
    named = hidden.with_columns(area=area).join(names, on="area", how="left", maintain_order="left").drop("area")
    return named.select(*hidden.columns[:-1], "name_fi", "name_sv", "name_en", "rule").write_csv().encode()
