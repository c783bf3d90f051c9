"""How many people have which status where: the figures that release protects and `caregap counts` shows."""

from datetime import date
from importlib.resources import files

import duckdb
import polars as pl

from schemas.areas import CITY, MAJOR
from schemas.errors import UsageRefused
from schemas.indicators import Clause, age_reach
from schemas.table import PERSON_NUMBER
from transforms.analysis.compiling import excluded_column
from transforms.analysis.evaluation import Statuses

TOTAL = "*"
"""Stands where a dimension is summed over."""

COUNT_SCHEMA: dict[str, pl.DataType] = {
    "indicator": pl.String(),
    "as_of": pl.Date(),
    "area_code": pl.String(),
    "sex": pl.String(),
    "age_band": pl.String(),
    "eligible": pl.Int64(),
    "open": pl.Int64(),
    "closed": pl.Int64(),
    "declined": pl.Int64(),
    "excluded": pl.Int64(),
}
"""One row per indicator, as-of date, area, sex and age band; counts of persons, eligible = open + closed."""

RESIDENT_SCHEMA: dict[str, pl.DataType] = {
    "as_of": pl.Date(),
    "area_code": pl.String(),
    "sex": pl.String(),
    "age_band": pl.String(),
    "residents": pl.Int64(),
}
"""One row per as-of date, area, sex and age band; persons alive and living there."""

DIMENSIONS = ("area_code", "sex", "age_band")


def counts(statuses: Statuses) -> pl.DataFrame:
    """One row per indicator, as-of date, area (district or unknown), sex and age band, zeros included.

    Columns of COUNT_SCHEMA. An indicator has the age bands that its population can reach, every area of the
    geography, and every sex that the person table knows.
    """
    status = [
        masks.select(PERSON_NUMBER, "open", "closed", "declined", "excluded", indicator=pl.lit(indicator))
        for indicator, masks in statuses.masks.items()
    ]
    if not status:
        return pl.DataFrame(schema=COUNT_SCHEMA)
    found = _query(statuses, "counts", pl.concat(status)).with_columns(eligible=pl.col("open") + pl.col("closed"))
    grid = pl.concat(
        pl.DataFrame({"indicator": indicator.id}).join(_grid(statuses, indicator.population), how="cross")
        for indicator in statuses.indicators
    )
    return _filled(grid, found, COUNT_SCHEMA)


def residents(statuses: Statuses) -> pl.DataFrame:
    """One row per as-of date, area (district or unknown), sex and age band, zeros included; RESIDENT_SCHEMA."""
    return _filled(_grid(statuses, None), _query(statuses, "residents"), RESIDENT_SCHEMA)


def margins(counts: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """The same counts with every sum over area, sex and age band beside them, marked `*`.

    An area is a district or unknown, its major district, or `*` for everybody; the unknown area is in `*` alone.
    """
    parents = areas.filter(pl.col("level").is_in([CITY, MAJOR]).not_()).select(area_code="code", above="parent")
    keys = [name for name in counts.columns if name in COUNT_SCHEMA and COUNT_SCHEMA[name] in (pl.String, pl.Date)]
    measures = [name for name in counts.columns if name not in keys]
    by_area = pl.concat(
        [
            counts,
            counts.join(parents, on="area_code").with_columns(area_code="above").drop("above"),
            counts.with_columns(area_code=pl.lit(TOTAL)),
        ]
    )
    by_sex = pl.concat([by_area, by_area.with_columns(sex=pl.lit(TOTAL))])
    by_age = pl.concat([by_sex, by_sex.with_columns(age_band=pl.lit(TOTAL))])
    return by_age.group_by(keys, maintain_order=True).agg(pl.col(measures).sum()).select(counts.columns)


def statuses_at(statuses: Statuses, indicator: str, as_of: date, *, for_outreach: bool) -> pl.DataFrame:
    """One row per person number: `status` (not_applicable, excluded, declined, open or closed) and exclusion `reason`.

    This is the only way to statuses of persons. Whoever asks says whether somebody will be contacted because of the
    answer: `for_outreach` leaves out who is under a contact ban, is in no count, or has died. Raises UsageRefused
    where the indicator or the date was not evaluated.
    """
    if indicator not in statuses.masks or as_of not in statuses.as_ofs:
        raise UsageRefused("the indicator or the date was not evaluated", "Evaluate it first")
    definition = next(found for found in statuses.indicators if found.id == indicator)
    bit = 1 << statuses.as_ofs.index(as_of)
    words = ["open", "closed", "declined", "excluded"]
    reasons = [exclusion.reason for exclusion in definition.exclusions]

    def holds(column: str) -> pl.Expr:
        return (pl.col(column) & pl.lit(bit, pl.UInt32)) > 0

    status = pl.coalesce([pl.when(holds(word)).then(pl.lit(word)) for word in words])
    reason = pl.coalesce(
        [pl.lit(None, pl.String), *(pl.when(holds(excluded_column(r))).then(pl.lit(r)) for r in reasons)]
    )
    found = statuses.masks[indicator].select(PERSON_NUMBER, status=status, reason=reason)
    wanted = (pl.col("may_be_contacted") & pl.lit(bit, pl.UInt32)) > 0 if for_outreach else pl.lit(value=True)
    return (
        statuses.persons.filter(wanted)
        .select(PERSON_NUMBER)
        .join(found, on=PERSON_NUMBER, how="left", maintain_order="left")
        .with_columns(pl.col("status").fill_null("not_applicable"))
    )


def _query(statuses: Statuses, name: str, status: pl.DataFrame | None = None) -> pl.DataFrame:
    text = files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")
    with duckdb.connect() as connection:
        connection.register("person", statuses.persons)
        connection.register("stratum", statuses.strata)
        connection.register("as_of", pl.DataFrame({"as_of": statuses.as_ofs}).with_row_index("bit"))
        if status is not None:
            connection.register("status", status)
        found: pl.DataFrame = connection.sql(text).pl()
    return found.with_columns(
        area_code=_named(found["area"], statuses.area_codes), age_band=_named(found["age_band"], statuses.age_bands)
    )


def _named(positions: pl.Series, names: tuple[str, ...]) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(positions.cast(pl.UInt32))


def _grid(statuses: Statuses, population: Clause | None) -> pl.DataFrame:
    """Every as-of date, area, sex present and age band that the population can reach, in their order."""
    low, high = age_reach(population) if population else (0, None)
    ends: list[int | None] = [*statuses.age_band_starts[1:], None]
    reached = [
        band
        for band, start, end in zip(statuses.age_bands, statuses.age_band_starts, ends, strict=True)
        if (end is None or low < end * 12) and (high is None or start * 12 < high)
    ]
    grid = pl.DataFrame({"as_of": statuses.as_ofs}, schema={"as_of": pl.Date})
    sexes = statuses.persons["sex"].unique().sort().to_list()
    for name, values in zip(DIMENSIONS, (statuses.area_codes, sexes, reached), strict=True):
        grid = grid.join(pl.DataFrame({name: values}, schema={name: pl.String}), how="cross")
    return grid


def _filled(grid: pl.DataFrame, found: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    keys = [name for name, kind in schema.items() if kind != pl.Int64]
    measures = [name for name in schema if name not in keys]
    filled = grid.join(found, on=keys, how="left", maintain_order="left").with_columns(
        pl.col(measures).fill_null(0).cast(pl.Int64)
    )
    return filled.select(*schema)
