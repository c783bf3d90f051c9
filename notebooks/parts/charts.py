"""Pictures of figures; each tells the same as the table beside it, and its description in words."""

import altair as alt
import polars as pl

from notebooks.parts.figures import TOTAL, area_names
from schemas.areas import DISTRICT
from transforms.statistics import Z_95, Z_998, funnel_limits

INK, LINE, MARK, HIDDEN_FILL = "#14202b", "#5b6770", "#0e3c70", "#ffffff"
SHADES = ["#e9f1f9", "#b9d3ec", "#82b0dc", "#5a93c9"]
"""From the smallest rates to the largest; dark text keeps a contrast of 4.5:1 on each."""
RATE = alt.Axis(format=".0%", title="Rate")
ALONE = {"embedOptions": {"actions": False}}
"""A picture without the menu that would send what it shows to an editor on another host."""


def tile_map(figures: pl.DataFrame, areas: pl.DataFrame, language: str, description: str) -> alt.LayerChart:
    """Rate by district, each tile roughly where the district lies; `…` and no colour where the rate is hidden."""
    short = f"short_{language}" if f"short_{language}" in areas.columns else "short_fi"
    tiles = areas.filter(pl.col("level") == DISTRICT).select(
        "tile_column", "tile_row", area_code="code", name=pl.coalesce(short, f"name_{language}")
    )
    if tiles["tile_row"].null_count():
        order = pl.int_range(pl.len())
        tiles = tiles.with_columns(tile_column=order % 8, tile_row=order // 8)
    rows = (
        tiles.join(_whole(figures), on="area_code", how="left", maintain_order="left")
        .with_columns(
            said=pl.when(pl.col("rate").is_null())
            .then(pl.when(pl.col("eligible") == 0).then(pl.lit("–")).otherwise(pl.lit("…")))
            .otherwise(pl.format("{} %", (100 * pl.col("rate")).round(1)))
        )
        .select("tile_column", "tile_row", "name", "rate", "said")
    )
    place = alt.Chart(rows).encode(
        alt.X("tile_column:O", axis=None, scale=alt.Scale(paddingInner=0.05)),
        alt.Y("tile_row:O", axis=None, scale=alt.Scale(paddingInner=0.08)),
        tooltip=[alt.Tooltip("name:N", title="District"), alt.Tooltip("said:N", title="Rate")],
    )
    shade = alt.Color(
        "rate:Q", scale=alt.Scale(range=SHADES), legend=alt.Legend(format=".0%", title="Rate"),
    )  # fmt: skip
    tile = place.mark_rect(stroke=LINE).encode(
        color=alt.condition("isValid(datum.rate)", shade, alt.value(HIDDEN_FILL))
    )
    name = place.mark_text(dy=-8, fontSize=10, color=INK).encode(text="name:N")
    said = place.mark_text(dy=8, fontSize=12, fontWeight="bold", color=INK).encode(text="said:N")
    return (tile + name + said).properties(
        width=alt.Step(76), height=alt.Step(52), description=description, usermeta=ALONE
    )


def bars(figures: pl.DataFrame, areas: pl.DataFrame, language: str, description: str) -> alt.LayerChart:
    """Rate by district with its 95 % interval, in the order of the geography and not of the rates; the city as a line.

    A district whose rate is hidden has no mark.
    """
    names = area_names(areas, language)
    rows = _whole(figures).filter(pl.col("level") == DISTRICT).with_columns(area=_named(names))
    order = [names[code] for code in names if code in set(rows["area_code"])]
    base = alt.Chart(rows.select("area", "rate", "low", "high")).encode(alt.Y("area:N", sort=order, title=None))
    interval = base.mark_rule(color=LINE).encode(alt.X("low:Q", axis=RATE), alt.X2("high:Q"))
    mark = base.mark_point(filled=True, size=60, color=MARK).encode(alt.X("rate:Q", axis=RATE))
    return (_city_line(figures, "x") + interval + mark).properties(width=520, description=description, usermeta=ALONE)


def funnel(figures: pl.DataFrame, areas: pl.DataFrame, language: str, description: str) -> alt.LayerChart:
    """Rate against the number of people eligible, with the limits of chance (95 and 99.8 %) around the city's rate."""
    names = area_names(areas, language)
    rows = _whole(figures).filter((pl.col("level") == DISTRICT) & pl.col("rate").is_not_null())
    city = _whole(figures).filter(pl.col("area_code") == TOTAL)["rate"]
    largest = max(rows["eligible"].to_list(), default=0) or 1 if len(city) and city[0] is not None else 0
    sizes = sorted({max(1, round(largest * 1.05 * step / 200)) for step in range(1, 201)}) if largest else []
    limits = pl.DataFrame({"eligible": sizes}, schema={"eligible": pl.Int64})
    for name, z in (("95 %", Z_95), ("99.8 %", Z_998)):
        low, high = funnel_limits(city[0] if sizes else 0.0, limits["eligible"].to_numpy(), z)
        limits = limits.with_columns(pl.Series(f"low {name}", low), pl.Series(f"high {name}", high))
    lines = limits.unpivot(index="eligible", variable_name="limit", value_name="rate").with_columns(
        within=pl.col("limit").str.replace("low |high ", "")
    )
    line = (
        alt.Chart(lines)
        .mark_line(color=LINE)
        .encode(
            alt.X("eligible:Q", title="People eligible"),
            alt.Y("rate:Q", axis=RATE),
            alt.StrokeDash("within:N", title="Limits of chance"),
            detail="limit:N",
        )
    )
    points = rows.with_columns(
        area=_named(names),
        beyond=pl.when(pl.col("against_city") != 0).then(pl.lit("beyond")).otherwise(pl.lit("within")),
    )
    dots = alt.Chart(points.select("area", "eligible", "rate", "beyond")).encode(alt.X("eligible:Q"), alt.Y("rate:Q"))
    dot = dots.mark_point(filled=True, size=60, color=MARK).encode(
        alt.Shape(
            "beyond:N", title="95 % limits", scale=alt.Scale(domain=["within", "beyond"], range=["circle", "diamond"])
        ),
        tooltip=["area:N", alt.Tooltip("rate:Q", format=".1%"), "eligible:Q"],
    )
    label = (
        dots.transform_filter("datum.beyond == 'beyond'").mark_text(align="left", dx=7, color=INK).encode(text="area:N")
    )
    return (_city_line(figures, "y") + line + dot + label).properties(
        width=520, height=340, description=description, usermeta=ALONE
    )


def trend(figures: pl.DataFrame, description: str) -> alt.LayerChart:
    """Rate of one area over dates with its 95 % interval; a date without a rate is a gap in the line."""
    rows = figures.sort("as_of").select("as_of", "rate", "low", "high")
    base = alt.Chart(rows).encode(alt.X("as_of:T", title=None, axis=alt.Axis(format="%Y-%m")))
    band = base.mark_errorbar(color=LINE, ticks=True).encode(alt.Y("low:Q", axis=RATE), alt.Y2("high:Q"))
    line = base.mark_line(color=MARK, point=alt.OverlayMarkDef(filled=True, size=50, color=MARK)).encode(
        alt.Y("rate:Q", axis=RATE, scale=alt.Scale(zero=False))
    )
    return (band + line).properties(width=520, height=260, description=description, usermeta=ALONE)


def _whole(figures: pl.DataFrame) -> pl.DataFrame:
    """The rows of both sexes and all ages."""
    return figures.filter((pl.col("sex") == TOTAL) & (pl.col("age_band") == TOTAL))


def _named(names: dict[str, str]) -> pl.Expr:
    return pl.col("area_code").replace_strict(names, default=None)


def _city_line(figures: pl.DataFrame, axis: str) -> alt.Chart:
    city = _whole(figures).filter(pl.col("area_code") == TOTAL).select("rate")
    where = alt.X("rate:Q", axis=RATE) if axis == "x" else alt.Y("rate:Q", axis=RATE)
    return alt.Chart(city).mark_rule(color=INK, strokeDash=[2, 2]).encode(where)
