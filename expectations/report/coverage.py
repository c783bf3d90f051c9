"""Coverage of the records by area, as much of it as a page may say."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from schemas.areas import UNKNOWN_AREA

CITY_TOTAL = "*"
SCHEMA: dict[str, pl.DataType] = {
    "table": pl.String(),
    "area_code": pl.String(),
    "low": pl.Int64(),
    "step": pl.Int64(),
    "before_low": pl.Int64(),
    "before_step": pl.Int64(),
    "without_code_low": pl.Int64(),
    "without_value_low": pl.Int64(),
    "without_district_low": pl.Int64(),
    "delay_days": pl.Int64(),
    "recording": pl.String(),
}
"""One row per table and area. A share is told as the band of whole per cent that it lies in, from `low` to `low` and
`step`; null where it is not told. Shares of rows are told of the city alone, `delay_days` is a rounded mean."""
STEPS = (1, 10)
"""Widths of a band, in per cent."""
CHANCE = 2.0
"""Standard deviations of a count (Poisson) within which it may differ from the expected one by chance."""


def told(counts: pl.DataFrame, compared: pl.DataFrame, least: int) -> pl.DataFrame:
    """What may be told of the coverage at a date; SCHEMA.

    `counts` has one row per table, month and area, the last month being the date's; `compared` says by table and area
    how `recording` has changed. A band spans at least `least` persons, so that nobody can tell fewer of them apart,
    also at nought and a hundred per cent; a mean delay is told of as many rows at least, of as many persons. A
    change is told where the band is narrow and the change is not what chance alone would make of the persons expected.
    """
    columns = ["residents", "residents_with_record", "rows", "rows_without_code", "rows_without_value"]
    columns += ["rows_with_delay", "delay_days"]
    city = counts.group_by("table", "month_end", maintain_order=True).agg(
        pl.col(columns).sum(),
        rows_without_district=pl.col("rows").filter(pl.col("area_code") == UNKNOWN_AREA).sum(),
        has_code=pl.col("rows_without_code").is_not_null().any(),
        has_value=pl.col("rows_without_value").is_not_null().any(),
        area_code=pl.lit(CITY_TOTAL),
    )
    city = city.with_columns(
        rows_without_code=pl.when("has_code").then("rows_without_code"),
        rows_without_value=pl.when("has_value").then("rows_without_value"),
    )
    every = pl.concat([city.drop("has_code", "has_value"), counts.drop("as_of")], how="diagonal")
    is_last = pl.col("month_end") == pl.col("month_end").max()
    months = pl.col("month_end").filter(~is_last).n_unique()
    last = [pl.col(name).filter(is_last).first() for name in (*columns, "rows_without_district")]
    before = [
        pl.col(name).filter(~is_last).sum().alias(f"{name}_before") for name in ("residents", "residents_with_record")
    ]
    rows = every.group_by("table", "area_code", maintain_order=True).agg(*last, *before, months=months)
    here = _band("residents_with_record", "residents", pl.col("residents"), least)
    persons_before = pl.col("residents_before") / pl.col("months")
    then = _band("residents_with_record_before", "residents_before", persons_before, least)
    is_told = (pl.col("area_code") == CITY_TOTAL) & (pl.col("rows") >= 100 * least)
    of_rows = {
        f"{name}_low": pl.when(is_told).then(_band(f"rows_{name}", "rows", pl.col("rows"), least)[0])
        for name in ("without_code", "without_value", "without_district")
    }
    enough = (pl.col("rows_with_delay") >= least) & (pl.col("residents_with_record") >= least)
    rows = rows.with_columns(
        low=here[0],
        step=here[1],
        before_low=then[0],
        before_step=then[1],
        **of_rows,
        delay_days=pl.when(enough).then((pl.col("delay_days") / pl.col("rows_with_delay")).round(0)),
    )
    both = rows.join(compared.select("table", "area_code", "recording"), on=["table", "area_code"], how="left")
    expected = pl.col("residents") * pl.col("residents_with_record_before") / pl.col("residents_before")
    is_change = (pl.col("residents_with_record") - expected).abs() > CHANCE * expected.sqrt()
    is_told = (pl.col("step") == STEPS[0]) & (pl.col("low") > 0) & pl.col("recording").is_not_null()
    both = both.with_columns(
        recording=pl.when(is_told & is_change).then("recording").when(is_told).then(pl.lit("alike"))
    )
    return both.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def _band(part: str, whole: str, persons: pl.Expr, least: int) -> tuple[pl.Expr, pl.Expr]:
    """Lower end and width of the band that a share lies in, in per cent; null where no band holds enough persons."""
    step = pl.lit(None, pl.Int64)
    for width in reversed(STEPS):
        step = pl.when(persons * width >= 100 * least).then(pl.lit(width, pl.Int64)).otherwise(step)
    share = 100 * pl.col(part) // pl.col(whole)
    low = (share // step * step).clip(upper_bound=100 - step)
    return pl.when(pl.col(whole) > 0).then(low), step


Told = Mapping[str, Any]
"""One row of SCHEMA."""


def city_and_districts(rows: Iterable[Told]) -> tuple[list[Told], dict[str, dict[str, Told]]]:
    """The city's rows by table, and those of the districts by area and table."""
    city: list[Told] = []
    districts: dict[str, dict[str, Told]] = {}
    for row in rows:
        if row["area_code"] == CITY_TOTAL:
            city.append(row)
        else:
            districts.setdefault(row["area_code"], {})[row["table"]] = row
    return city, districts
