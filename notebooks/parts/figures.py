"""Figures of one indicator in one form, whether they are counts not yet protected or those of a release."""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import polars as pl

from flows.room.acts import verify
from flows.settings import Layout, prepare
from flows.unprotected import confidential_counts
from schemas.areas import CITY, DISTRICT, MAJOR, UNKNOWN_AREA, load_areas
from schemas.errors import UsageRefused
from schemas.labels import load_labels
from transforms.release.publish import verify_release
from transforms.release.published import TABLE_FILE, read_published
from transforms.statistics import Z_95, beyond_funnel, change_interval, wilson_interval

TOTAL = "*"
"""Stands where a dimension is summed over."""
UNKNOWN = "unknown"
KEYS = ("as_of", "indicator", "area_code", "sex", "age_band")
FIGURE_SCHEMA: dict[str, pl.DataType] = {
    **{name: pl.Date() if name == "as_of" else pl.String() for name in KEYS},
    "level": pl.String(),
    "eligible": pl.Int64(),
    "gap": pl.Int64(),
    **dict.fromkeys(("rate", "low", "high"), pl.Float64()),
    "against_city": pl.Int8(),
}
"""One row per date, indicator, area (district, major district, unknown or `*`), sex and age band.

`eligible` and `gap` are persons, null where hidden; `rate` is their share (0 to 1) with Wilson's 95 % limits `low` and
`high`, null where either is hidden or nobody is eligible. `against_city` is how far the rate lies from the whole city's
at that date (`statistics.beyond_funnel`): 0 not distinguishable from chance, 1 and -1 beyond the 95 % limits, 2 and -2
beyond the 99.8 % limits.
"""
SAID = {2: "far above", 1: "above", 0: "as chance allows", -1: "below", -2: "far below"}
LOOK_BACK_DAYS = 365
"""Dates closer than this share the very records that they are counted from; their change has no honest interval."""


def counted_dates(layout: Layout) -> list[date]:
    """Dates that the platform has counts of, the latest first."""
    found = (path.parent.name for path in layout.counts.glob("[!.]*/counts.json"))
    return sorted(map(date.fromisoformat, found), reverse=True)


def releases(published: Path) -> dict[str, Path]:
    """Folders of the published releases that were not withdrawn, the latest date first."""
    there = [path for path in published.glob("[!.]*") if not path.is_symlink() and (path / TABLE_FILE).exists()]
    return {path.name: path for path in sorted(there, key=lambda path: path.name, reverse=True)}


def unprotected(layout: Layout, indicator: str, as_of: date, reason: str) -> pl.DataFrame:
    """Counts not yet protected, FIGURE_SCHEMA; the access is logged first, exactly as `caregap counts` does.

    Raises UsageRefused where the indicator or the date is not known, or no reason is given.
    """
    prepare(layout)
    text = confidential_counts(layout, indicator, as_of, reason, None, with_months_before=True)
    rows = pl.read_csv(text.encode(), infer_schema=False)
    areas = pl.read_parquet(layout.counts / as_of.isoformat() / "areas.parquet")
    return figured(rows.select(*KEYS, "eligible", gap="open"), areas)


def published(release: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Figures of a release for all its indicators and dates, FIGURE_SCHEMA, and its geography; public files alone.

    Raises UsageRefused where the folder is no release, and DisclosureRefused where its table is not as it should be.
    """
    table, rules, _ = read_published(release)
    areas = _areas(release)
    if rules.date_column != "as_of" or not {"major", "district", "measure"} <= set(table.columns):
        raise UsageRefused("the table is not one of care gaps by district", "Give the folder of a release")
    # The unknown district is the only one of the unknown major district: the same people twice.
    rows = table.filter(~((pl.col("major") == UNKNOWN_AREA) & (pl.col("district") == TOTAL))).with_columns(
        area_code=pl.when(pl.col("district") != TOTAL).then("district").otherwise("major")
    )
    wide = rows.pivot("measure", index=list(KEYS), values="value", aggregate_function=None, maintain_order=True)
    return figured(wide.select(*KEYS, "eligible", "gap"), areas), areas


def history(folders: Iterable[Path], indicator: str) -> pl.DataFrame:
    """Figures of an indicator at every date that releases tell of, FIGURE_SCHEMA, in order of time.

    Of a date that several releases tell of, the figures of the one created last.
    """
    found = []
    for order, folder in enumerate(sorted(folders, key=_created)):
        rows = published(folder)[0].filter(pl.col("indicator") == indicator)
        found.append(rows.with_columns(order=pl.lit(order)))
    if not found:
        return pl.DataFrame(schema=FIGURE_SCHEMA)
    every = pl.concat(found)
    return every.filter(pl.col("order") == pl.col("order").max().over("as_of")).drop("order").sort(*KEYS)


def compared(earlier: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """One row per indicator, area, sex and age band of two sets of figures, each of one date.

    `before` and `now` are rates, `change` the later less the earlier with Newcombe's 95 % limits `low` and `high`, all
    0 to 1 or their differences. The limits are null where the dates are the same or less than twelve months apart.
    `visible` says what became of the figures: shown, hidden, newly hidden, newly shown, or changed (of one date).
    """
    keys = [name for name in KEYS if name != "as_of"]
    then, now = max(earlier["as_of"].to_list()), max(later["as_of"].to_list())
    before = earlier.select(*keys, before="rate", gap_before="gap", eligible_before="eligible")
    both = later.select(*keys, "level", "gap", "eligible", now="rate").join(
        before, on=keys, how="inner", maintain_order="left"
    )
    counts = (pl.col("gap"), pl.col("eligible"), pl.col("gap_before"), pl.col("eligible_before"))
    change, low, high = change_interval(*counts, z=Z_95)
    hidden = pl.any_horizontal(pl.col("gap", "eligible").is_null())
    was_hidden = pl.any_horizontal(pl.col("gap_before", "eligible_before").is_null())
    moved = (pl.col("gap") != pl.col("gap_before")) | (pl.col("eligible") != pl.col("eligible_before"))
    visible = (
        pl.when(hidden & was_hidden).then(pl.lit("hidden"))
        .when(hidden).then(pl.lit("newly hidden"))
        .when(was_hidden).then(pl.lit("newly shown"))
        .when(pl.lit(then == now) & moved).then(pl.lit("changed"))
        .otherwise(pl.lit("shown"))
    )  # fmt: skip
    none, far_enough = pl.lit(None, pl.Float64), (now - then).days >= LOOK_BACK_DAYS
    return both.with_columns(
        change=change, low=low if far_enough else none, high=high if far_enough else none, visible=visible
    ).select(*keys, "level", "before", "now", "change", "low", "high", "visible")


def shown(figures: pl.DataFrame, areas: pl.DataFrame, language: str) -> pl.DataFrame:
    """The figures in words of a language and percent, in the order of the geography; `…` stands for a hidden one."""
    labels = load_labels(language)
    names = area_names(areas, language)
    order = {code: place for place, code in enumerate(names)}

    def count(name: str) -> pl.Expr:
        return pl.coalesce(pl.col(name).cast(pl.String), pl.lit("…"))

    def percent(expression: pl.Expr) -> pl.Expr:
        return pl.coalesce((100 * expression).round(1).cast(pl.String), _missing())

    return (
        figures.with_columns(place=pl.col("area_code").replace_strict(order, default=len(order)))
        .sort("as_of", "place", "sex", "age_band", maintain_order=True)
        .select(
            pl.col("as_of").alias("Date"),
            pl.col("area_code").replace_strict(names, default=None).fill_null(pl.col("area_code")).alias("Area"),
            pl.col("sex").replace({**_sexes(labels), TOTAL: "All"}).alias("Sex"),
            pl.col("age_band").replace({TOTAL: "All"}).alias("Age"),
            count("eligible").alias("Eligible"),
            count("gap").alias("Care gaps"),
            percent(pl.col("rate")).alias("Rate, %"),
            pl.when(pl.col("rate").is_null())
            .then(_missing())
            .otherwise(pl.format("{}–{}", (100 * pl.col("low")).round(1), (100 * pl.col("high")).round(1)))
            .alias("95 % interval"),
            pl.col("against_city").replace_strict(SAID, default=None, return_dtype=pl.String).fill_null("").alias(
                "Against the city"
            ),
        )
    )  # fmt: skip


def shown_change(change: pl.DataFrame, names: Mapping[str, str], titles: Mapping[str, str]) -> pl.DataFrame:
    """What `compared` found in words, rates in percent and changes in percentage points."""

    def tenths(name: str) -> pl.Expr:
        return pl.coalesce((100 * pl.col(name)).round(1).cast(pl.String), pl.lit("…"))

    beyond = (pl.col("low") > 0) | (pl.col("high") < 0)
    return change.select(
        pl.col("indicator").replace(dict(titles)).alias("Care gap"),
        pl.col("area_code").replace(dict(names)).alias("Area"),
        tenths("before").alias("Earlier, %"),
        tenths("now").alias("Later, %"),
        tenths("change").alias("Change, points"),
        pl.when(pl.col("low").is_not_null())
        .then(pl.format("{} to {}", (100 * pl.col("low")).round(1), (100 * pl.col("high")).round(1)))
        .otherwise(pl.lit(""))
        .alias("95 % interval"),
        pl.when(pl.col("low").is_null())
        .then(pl.col("visible"))
        .when(beyond)
        .then(pl.lit("a change beyond chance"))
        .otherwise(pl.lit("not distinguishable from chance"))
        .alias("What it is"),
    )


def change_sentence(change: pl.DataFrame) -> str:
    """What became of the cells that two releases have in common, and why a change may have no interval."""
    counts = dict(change["visible"].value_counts().iter_rows())
    words = [f"{counts[name]:,} {name}" for name in ("changed", "newly hidden", "newly shown") if counts.get(name)]
    text = f"Of {change.height:,} rates in both, " + (", ".join(words) or "none became hidden, shown or another") + "."
    if not change["low"].is_not_null().any():
        text += " The dates are less than twelve months apart, so the same records count in both: no interval is given."
    return text


def area_names(areas: pl.DataFrame, language: str) -> dict[str, str]:
    """Names of the areas by code in the order of the geography, the whole city first and the unknown district last."""
    labels = load_labels(language)
    parts = areas.filter(pl.col("level") != CITY).select("code", f"name_{language}")
    majors = areas.filter(pl.col("level") == MAJOR)["code"].to_list()
    below = dict(areas.filter(pl.col("level") == DISTRICT).select("code", "parent").iter_rows())
    ordered = sorted(parts.iter_rows(), key=lambda row: (majors.index(below.get(row[0], row[0])), row[0] in below))
    return {TOTAL: labels["city"], **dict(ordered), UNKNOWN: labels["unknown_area"]}


def sentence(figures: pl.DataFrame, names: Mapping[str, str]) -> str:
    """What the figures of one date say of the whole city and its districts, for whoever does not see a picture."""
    own = figures.filter((pl.col("sex") == TOTAL) & (pl.col("age_band") == TOTAL))
    city, districts = own.filter(pl.col("area_code") == TOTAL), own.filter(pl.col("level") == DISTRICT)
    if city.height != 1 or city["rate"][0] is None:
        return "The rate of the whole city is hidden, or nobody is eligible."
    rate, low, high, gap, eligible = city.select("rate", "low", "high", "gap", "eligible").row(0)
    text = (
        f"Of {eligible:,} people eligible {gap:,} have the care gap: {100 * rate:.1f} %"
        f" (95 % interval {100 * low:.1f}–{100 * high:.1f} %)."
    )
    for step, words in ((1, "above"), (-1, "below")):
        codes = districts.filter(pl.col("against_city") * step > 0)["area_code"]
        if len(codes):
            text += f" {words.capitalize()} the city beyond what chance explains: {', '.join(names[c] for c in codes)}."
    if not (districts["against_city"].fill_null(0) != 0).any():
        text += " No district differs from the city by more than chance explains."
    hidden = int(districts["rate"].is_null().sum())
    return text + (f" The rate of {hidden} districts is hidden, or nobody there is eligible." if hidden else "")


def verified(layout: Layout, release: Path) -> str:
    """What `caregap verify` finds of a release. Raises ApprovalMissing where a byte or a signature is wrong."""
    return verify(layout, release)


def manifest_of(release: Path) -> dict[str, object]:
    """The manifest of a release whose files are what it says. Raises ApprovalMissing where one is not."""
    return verify_release(release)[0]


def figured(rows: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """Counts by KEYS with `eligible` and `gap` as figures; FIGURE_SCHEMA."""
    level = {TOTAL: CITY, UNKNOWN_AREA: UNKNOWN, **dict(areas.select("code", "level").iter_rows())}
    rows = rows.with_columns(
        pl.col("as_of").cast(pl.String).str.to_date(),
        pl.col("eligible", "gap").cast(pl.Int64),
        level=pl.col("area_code").replace_strict(level),
    )
    both = pl.col("gap").is_not_null() & (pl.col("eligible") > 0)
    low, high = wilson_interval(pl.when(both).then("gap"), pl.when(both).then("eligible"))
    rows = rows.with_columns(rate=pl.when(both).then(pl.col("gap") / pl.col("eligible")), low=low, high=high)
    everybody = pl.all_horizontal(pl.col("area_code", "sex", "age_band") == TOTAL)
    city = rows.filter(everybody).select("as_of", "indicator", city_rate="rate")
    found = rows.join(city, on=["as_of", "indicator"], how="left", maintain_order="left", validate="m:1")
    numbers = (found[name].cast(pl.Float64).to_numpy() for name in ("gap", "eligible", "city_rate"))
    steps = pl.Series("against_city", beyond_funnel(*numbers)[0]).fill_nan(None)
    return found.with_columns(
        against_city=pl.when(pl.col("area_code") != TOTAL).then(pl.lit(steps)).cast(pl.Int8)
    ).select(*FIGURE_SCHEMA)


def _missing() -> pl.Expr:
    """What stands for a rate that cannot be given: hidden, or nobody to have one."""
    return pl.when(pl.col("eligible") == 0).then(pl.lit("–")).otherwise(pl.lit("…"))


def _sexes(labels: Mapping[str, str]) -> dict[str, str]:
    return {code: labels[f"sex_{code}"] for code in ("female", "male", "unknown")}


def _areas(release: Path) -> pl.DataFrame:
    return load_areas(release / "areas.csv")


def _created(release: Path) -> tuple[str, str]:
    about = manifest_of(release)
    return str(about["created"]), str(about["release_id"])
