"""The public file derived.csv: figures that follow from the published cells of a protected table and public registers.

One row per indicator, group that a page shows and kind. With gap g and eligible e of the group, G and E of the whole
city, and the group's residents r in areas.csv, `figure` is printed with the decimals of KINDS, rounded half up:

| kind | figure |
|---|---|
| rate, rate_low, rate_high | 100 g / e, and its Wilson 95 % limits |
| difference | 100 (g / e - G / E), in percentage points |
| funnel_low_95, funnel_high_95, funnel_low_998, funnel_high_998 | percent between which an area of e lies by chance |
| comparison | 0 not distinguishable from chance; 1, -1 beyond the 95 % limits; 2, -2 beyond the 99.8 % limits |
| per_1000, per_1000_low, per_1000_high | 1000 g / r, and Byar's 95 % limits (exact below 10) |
| standardised, standardised_low, standardised_high | gaps per 1,000 eligible at the ages of ESP 2013; Dobson's limits |
| ratio, ratio_low, ratio_high | g to the gaps expected at the city's rates by age; limits as per_1000 |
| change, change_low, change_high | rate less that of an earlier date, in percentage points; Newcombe's limits |

Each needs all its cells to be published: g and e; for the standardised rate those of every age band that has a weight;
for the ratio g, e of every age band, and the city's g and e of every age band. Where one is hidden the figure is not
given, so that no figure depends on a hidden count. `status` is `published`; or, without a figure, `suppressed` where a
cell is hidden, `undefined` where nobody is in a group or an age band that it divides by, `too_few` where a standardised
rate has fewer than 10 gaps.

Residents are those of public registers, in areas.csv, for all ages together: the lake's own counts of
residents are not protected, and no figure uses them. So there is no rate per resident by sex or age.
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import polars as pl

from schemas.areas import CITY, UNKNOWN_AREA
from schemas.areas.standard import load_standard_population
from transforms.release.page_figures import GROUP, PUBLISHED, SUPPRESSED, TOTAL, paired, public_cells
from transforms.statistics import (
    band_weights,
    beyond_funnel,
    change_interval,
    indirect_ratios,
    poisson_interval,
    standardised_rates,
    wilson_interval,
)

DERIVED_FILE = "derived.csv"
KINDS: dict[str, int] = {
    **dict.fromkeys(("rate", "rate_low", "rate_high", "difference"), 1),
    **dict.fromkeys(("funnel_low_95", "funnel_high_95", "funnel_low_998", "funnel_high_998"), 1),
    "comparison": 0,
    **dict.fromkeys(("per_1000", "per_1000_low", "per_1000_high"), 2),
    **dict.fromkeys(("standardised", "standardised_low", "standardised_high"), 1),
    **dict.fromkeys(("ratio", "ratio_low", "ratio_high"), 2),
    **dict.fromkeys(("change", "change_low", "change_high"), 1),
}
"""Kinds of figures in the order of the file, and the decimals that each is printed with."""
UNDEFINED, TOO_FEW = "undefined", "too_few"
LEAST_WEIGHT = 0.05
"""An age band with a smaller part of the standard population is left out of standardised rates: of the few people in it
nearly every district's counts are hidden, and the rate would be with them."""
AREA = ("indicator", "major", "district")
_STATUS = {"given": PUBLISHED, "unknown": SUPPRESSED, "empty": UNDEFINED, "too_few": TOO_FEW}

Ages = tuple[int, int | None]
"""Ages in completed years that an indicator is about: from, and below (None: no end)."""


def derived_figures(
    table: pl.DataFrame, areas: pl.DataFrame, ages: Mapping[str, Ages], earlier: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row per indicator, group that a page shows, and kind: `figure` as printed text, and `status`.

    `table` is a protected table, `ages` by indicator, `earlier` a protected table of the same indicators at an earlier
    date, a look-back of 12 months or more before. Raises DisclosureRefused where a table is not what figures can be
    made from, and UsageRefused where its age bands cannot be given the weights of the standard population.
    """
    found = paired(public_cells(table, areas))
    shown = found.filter(_is_area() | _is_city_group()).with_row_index("order")
    shown = _with_city(shown).with_columns(_residents(areas))
    pieces = [_rates(shown), _comparisons(shown), _per_resident(shown), _standardised(found, shown, ages)]
    pieces += [_ratios(found, shown)]
    if earlier is not None:
        pieces.append(_changes(shown, paired(public_cells(earlier, areas))))
    return _written(pl.concat(pieces))


def describe_derived(table: pl.DataFrame, ages: Mapping[str, Ages]) -> dict[str, Any]:
    """How each kind follows from counts, for the certificate, so that an auditor needs none of this code.

    `figure` and `per` say what it is, `inputs` which cells all have to be published: `gap` and `eligible` of the group,
    `bands.gap` and `bands.eligible` of its age bands, and those of the whole city. `weights` are by indicator.
    """
    own, city = ("gap", "eligible"), ("city.gap", "city.eligible")
    bands = ("bands.gap", "bands.eligible")
    ratio = ("gap", "bands.eligible", "city.bands.gap", "city.bands.eligible")
    inputs = {
        **dict.fromkeys(("rate", "rate_low", "rate_high"), own),
        **dict.fromkeys(("difference", "comparison"), own + city),
        **dict.fromkeys([kind for kind in KINDS if kind.startswith("funnel")], ("eligible", *city)),
        **dict.fromkeys([kind for kind in KINDS if kind.startswith("per_1000")], ("gap",)),
        **dict.fromkeys([kind for kind in KINDS if kind.startswith("standardised")], bands),
        **dict.fromkeys([kind for kind in KINDS if kind.startswith("ratio")], ratio),
        **dict.fromkeys(
            [kind for kind in KINDS if kind.startswith("change")], (*own, "earlier.gap", "earlier.eligible")
        ),
    }
    figure = {
        "rate": ("share", 100),
        "rate_low": ("wilson_lower", 100),
        "rate_high": ("wilson_upper", 100),
        "difference": ("difference", 100),
        "standardised": ("standardised", 1000),
        "ratio": ("indirect_ratio", 1),
        "change": ("share_change", 100),
    }
    of_bands = table.filter(pl.col("age_band") != TOTAL).select("indicator", "age_band").unique(maintain_order=True)
    of_bands = of_bands.filter(pl.len().over("indicator") > 1)
    weights = {"level": "age_band", "weights": _weights(of_bands, ages)}
    by_age: dict[str, dict[str, Any]] = {
        **{kind: weights for kind in KINDS if kind.startswith("standardised")},
        **{kind: {"level": "age_band"} for kind in KINDS if kind.startswith("ratio")},
    }
    kinds = {
        kind: {
            **dict(zip(("figure", "per"), figure.get(kind, ("other", 1)), strict=True)),
            "decimals": decimals,
            "inputs": list(inputs[kind]),
            **by_age.get(kind, {}),
        }
        for kind, decimals in KINDS.items()
    }
    return {"rounding": "half_up", "kinds": kinds}


def trend_figures(
    tables: Mapping[date, pl.DataFrame], areas: pl.DataFrame, ages: Mapping[str, Ages]
) -> dict[date, pl.DataFrame]:
    """The derived figures of each date, in order; `change` is against the date a year before, where there is one.

    A year, for the look-backs of two dates that lie closer together share the very records that both count.
    """
    return {
        day: derived_figures(tables[day], areas, ages, tables.get(year_before(day, tables))) for day in sorted(tables)
    }


def release_figures(
    tables: Mapping[date, pl.DataFrame], as_of: date, areas: pl.DataFrame, ages: Mapping[str, Ages]
) -> pl.DataFrame:
    """The rows of derived.csv: one row per date, indicator, group that a page shows, and kind.

    Of the release's own date every figure; of the other dates of its table the rates of the whole city, which its pages
    draw as a trend. `as_of` is the date of a figure, `since`, of a change alone, the one that it is measured from.
    """
    before = year_before(as_of, tables)
    own = derived_figures(tables[as_of], areas, ages, tables.get(before))
    is_change = pl.col("kind").str.starts_with("change")
    since = pl.when(is_change).then(pl.lit(before.isoformat())).otherwise(pl.lit(None, pl.String)).alias("since")
    pieces = [own.select(pl.lit(as_of.isoformat()).alias("as_of"), pl.all(), since)]
    for day in sorted(set(tables) - {as_of}):
        city = _with_city(paired(public_cells(tables[day], areas)).filter(_is_city()).with_row_index("order"))
        figures = _written(_rates(city)).with_columns(since=pl.lit(None, pl.String))
        pieces.append(figures.select(pl.lit(day.isoformat()).alias("as_of"), pl.all()))
    return pl.concat(pieces)


def year_before(day: date, dates: Collection[date]) -> date:
    """The date of the same month a year before, whatever its day; one that is not there where there is none."""
    same_month = [other for other in dates if (other.year, other.month) == (day.year - 1, day.month)]
    return max(same_month, default=date(day.year - 1, day.month, 1))


def _is_area() -> pl.Expr:
    """Each area, the unknown one as a district alone."""
    once = (pl.col("major") != UNKNOWN_AREA) | (pl.col("district") == UNKNOWN_AREA)
    return once & (pl.col("sex") == TOTAL) & (pl.col("age_band") == TOTAL)


def _is_city_group() -> pl.Expr:
    """Each sex and each age band of the whole city."""
    one = (pl.col("sex") == TOTAL) | (pl.col("age_band") == TOTAL)
    return (pl.col("major") == TOTAL) & (pl.col("district") == TOTAL) & one


def _is_city() -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == TOTAL for name in GROUP[1:])


def _with_city(shown: pl.DataFrame) -> pl.DataFrame:
    city = shown.filter(_is_city()).select("indicator", city_gap="gap", city_eligible="eligible")
    return shown.join(city, on="indicator", how="left", maintain_order="left", validate="m:1")


def _residents(areas: pl.DataFrame) -> pl.Expr:
    """Public number of residents of an area, all ages; null of other groups and where there is no figure."""
    city = areas.filter(pl.col("level") == CITY).item(0, "code")
    code = (
        pl.when(pl.col("district") != TOTAL)
        .then("district")
        .when(pl.col("major") != TOTAL)
        .then("major")
        .otherwise(pl.lit(city))
    )
    known = areas.filter(pl.col("population") > 0)
    population = dict(known.select("code", "population").iter_rows())
    number = code.replace_strict(population, default=None, return_dtype=pl.Int64)
    return pl.when(_is_area() & (pl.col("district") != UNKNOWN_AREA)).then(number).alias("residents")


def _status(needed: tuple[str, ...], divided_by: tuple[str, ...]) -> pl.Expr:
    nobody = [(pl.col(name) == 0).fill_null(value=False) for name in divided_by]
    return (
        pl.when(pl.any_horizontal(pl.lit(value=False), *nobody))
        .then(pl.lit(UNDEFINED))
        .when(pl.any_horizontal(pl.col(name).is_null() for name in needed))
        .then(pl.lit(SUPPRESSED))
        .otherwise(pl.lit(PUBLISHED))
    )


def _long(groups: pl.DataFrame, status: pl.Expr, numbers: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """One row per group and kind. `number` counts units of the last decimal that is printed."""
    return pl.concat(
        groups.select(
            "order", *GROUP, kind=pl.lit(kind), number=number.cast(pl.Float64) * 10 ** KINDS[kind], status=status
        )
        for kind, number in numbers.items()
    )


def _written(pieces: pl.DataFrame) -> pl.DataFrame:
    """Figures as text, in the order of the groups and kinds."""
    kind_order = pl.col("kind").replace_strict({kind: place for place, kind in enumerate(KINDS)})
    given = pl.col("status") == PUBLISHED
    return pieces.sort("order", kind_order).select(
        *GROUP, "kind", figure=pl.when(given).then(_printed()), status="status"
    )


def _printed() -> pl.Expr:
    """`number` with the decimals of its kind, rounded half up; zero has no sign.

    A rate of counts below a million is a tie or further than 1e-7 from one: what is added makes up for rounding errors.
    """
    units = (pl.col("number").abs() + 0.5 + 1e-9).floor().cast(pl.Int64)
    sign = pl.when((pl.col("number") < 0) & (units > 0)).then(pl.lit("-")).otherwise(pl.lit(""))
    written = pl.lit(None, pl.String)
    for decimals in sorted(set(KINDS.values())):
        whole, rest = units // 10**decimals, units % 10**decimals
        fraction = pl.format(".{}", rest.cast(pl.String).str.zfill(decimals)) if decimals else pl.lit("")
        of_these = pl.col("kind").is_in([kind for kind, places in KINDS.items() if places == decimals])
        written = pl.when(of_these).then(pl.format("{}{}{}", sign, whole, fraction)).otherwise(written)
    return written


def _rates(shown: pl.DataFrame) -> pl.DataFrame:
    gap, eligible = pl.col("gap"), pl.col("eligible")
    low, high = wilson_interval(gap, eligible)
    numbers = {"rate": gap * 100 / eligible, "rate_low": low * 100, "rate_high": high * 100}
    return _long(shown, _status(("gap", "eligible"), ("eligible",)), numbers)


def _comparisons(shown: pl.DataFrame) -> pl.DataFrame:
    """Against the whole city, of which each group is a part: so a real difference is somewhat larger than is shown."""
    others = shown.filter(~_is_city())
    with_numbers = others.with_columns(city_rate=pl.col("city_gap") / pl.col("city_eligible"))
    columns = (with_numbers[name].cast(pl.Float64).to_numpy() for name in ("gap", "eligible", "city_rate"))
    steps, limits = beyond_funnel(*columns)
    with_numbers = with_numbers.with_columns(
        pl.Series("steps", steps), *(pl.Series(f"funnel_{name}", limit * 100) for name, limit in limits.items())
    )
    cells, divisors = ("eligible", "city_gap", "city_eligible"), ("eligible", "city_eligible")
    difference = pl.col("gap") / pl.col("eligible") - pl.col("city_rate")
    return pl.concat(
        [
            _long(
                with_numbers,
                _status(("gap", *cells), divisors),
                {"difference": 100 * difference, "comparison": pl.col("steps")},
            ),
            _long(
                with_numbers, _status(cells, divisors), {f"funnel_{name}": pl.col(f"funnel_{name}") for name in limits}
            ),
        ]
    )


def _per_resident(shown: pl.DataFrame) -> pl.DataFrame:
    low, high = poisson_interval(pl.col("gap"))
    counts = {"per_1000": pl.col("gap"), "per_1000_low": low, "per_1000_high": high}
    numbers = {kind: 1000 * count / pl.col("residents") for kind, count in counts.items()}
    return _long(shown.filter(pl.col("residents").is_not_null()), _status(("gap",), ()), numbers)


def _bands(found: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """One row per area and age band of its indicator, both sexes together; a band that is not there holds nobody."""
    by_age = found.filter(pl.col("sex") == TOTAL, pl.col("age_band") != TOTAL)
    bands = by_age.select("indicator", "age_band").unique(maintain_order=True)
    several = bands.filter(pl.len().over("indicator") > 1)
    areas = shown.filter(_is_area()).select("order", *AREA, events="gap")
    grid = areas.join(several, on="indicator", maintain_order="left")
    cells = by_age.select(*AREA, "age_band", count="gap", total="eligible", is_there=pl.lit(value=True))
    return grid.join(cells, on=[*AREA, "age_band"], how="left", maintain_order="left").with_columns(
        pl.when(pl.col("is_there").is_null()).then(0).otherwise(name).alias(name) for name in ("count", "total")
    )


def _weights(bands: pl.DataFrame, ages: Mapping[str, Ages]) -> dict[str, dict[str, float]]:
    """By indicator and age band, the standard population of the ages that the indicator is about; 0: left out."""
    standard, found = load_standard_population(), {}
    for indicator, labels in bands.group_by("indicator", maintain_order=True).agg("age_band").iter_rows():
        weights = band_weights(labels, standard, ages.get(indicator, (0, None)), split_years=True)
        least = LEAST_WEIGHT * sum(weights.values())
        found[indicator] = {band: weight if weight >= least else 0.0 for band, weight in weights.items()}
    return found


def _standardised(found: pl.DataFrame, shown: pl.DataFrame, ages: Mapping[str, Ages]) -> pl.DataFrame:
    strata = _bands(found, shown)
    weights = _weights(strata.select("indicator", "age_band").unique(maintain_order=True), ages)
    rows = [(name, band, weight) for name, by_band in weights.items() for band, weight in by_band.items()]
    weighed = pl.DataFrame(rows, schema=["indicator", "age_band", "weight"], orient="row")
    weighed = weighed.cast({"indicator": pl.String, "age_band": pl.String, "weight": pl.Float64})
    several = weighed.filter((pl.col("weight") > 0).sum().over("indicator") > 1)
    strata = strata.join(several, on=["indicator", "age_band"], maintain_order="left")
    return _per_area(shown, standardised_rates(strata, ["order"]), "standardised", 1000)


def _ratios(found: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    strata = _bands(found, shown)
    is_city = (pl.col("major") == TOTAL) & (pl.col("district") == TOTAL)
    reference = pl.when(pl.col("total") > 0).then(pl.col("count") / pl.col("total"))
    # one hidden band of the city is enough: a ratio must not hang on whether anybody of that age lives in the area
    is_known = (pl.col("count").is_not_null() & pl.col("total").is_not_null()).all().over("indicator")
    city = strata.filter(is_city).select("indicator", "age_band", reference=reference, is_known=is_known)
    strata = strata.filter(~is_city).join(city, on=["indicator", "age_band"], how="left", maintain_order="left")
    strata = strata.with_columns(events=pl.when("is_known").then("events"))
    return _per_area(shown, indirect_ratios(strata, ["order"]), "ratio", 1)


def _per_area(shown: pl.DataFrame, rates: pl.DataFrame, kind: str, per: int) -> pl.DataFrame:
    groups = shown.join(rates.rename({"status": "how"}), on="order", maintain_order="left")
    numbers = {kind: "value", f"{kind}_low": "low", f"{kind}_high": "high"}
    status = pl.col("how").replace_strict(_STATUS, return_dtype=pl.String)
    return _long(groups, status, {name: per * pl.col(column) for name, column in numbers.items()})


def _changes(shown: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    before = earlier.select(*GROUP, earlier_gap="gap", earlier_eligible="eligible")
    both = shown.join(before, on=GROUP, how="inner", maintain_order="left", validate="1:1")
    columns = ("gap", "eligible", "earlier_gap", "earlier_eligible")
    gap, eligible, earlier_gap, earlier_eligible = (pl.col(name) for name in columns)
    change, low, high = change_interval(gap, eligible, earlier_gap, earlier_eligible)
    numbers = {"change": 100 * change, "change_low": 100 * low, "change_high": 100 * high}
    return _long(both, _status(columns, ("eligible", "earlier_eligible")), numbers)
