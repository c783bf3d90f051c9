"""Geographies: a tree of areas, from the city down to the districts that figures are published for.

Source of helsinki.csv: the City of Helsinki's division into major and basic districts, and its population forecast
for 2025; tile positions and short names are our own.
"""

from importlib.resources import files
from pathlib import Path

import polars as pl

from schemas.errors import UsageRefused

AREA_SCHEMA: dict[str, pl.DataType] = {
    "code": pl.String(),
    "parent": pl.String(),
    "level": pl.String(),
    "name_fi": pl.String(),
    "name_sv": pl.String(),
    "name_en": pl.String(),
    "short_fi": pl.String(),
    "short_sv": pl.String(),
    "tile_column": pl.Int32(),
    "tile_row": pl.Int32(),
    "population": pl.Int64(),
}
"""One row per area. `parent` is empty for the one area at the top; `population` is a public figure or empty."""

CITY, MAJOR, DISTRICT = "city", "major", "district"
UNKNOWN_AREA = "unknown"
"""Stands in counts where a person's district is not known, or secret under a security ban."""


def load_areas(path: Path | None = None) -> pl.DataFrame:
    """Read a geography, Helsinki's by default; one row per area.

    Raises UsageRefused where a code stands twice, a parent is missing or of the wrong level, or a level is unknown.
    Missing name and tile columns are filled: names from the code, short names from the names.
    """
    source = path or Path(str(files(__name__).joinpath("helsinki.csv")))
    try:
        raw = pl.read_csv(source, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        raw = None
    if raw is None:
        raise UsageRefused("the areas file cannot be read as CSV", "Give a CSV file with code, parent and level")
    return complete_areas(raw)


def complete_areas(raw: pl.DataFrame) -> pl.DataFrame:
    """Check a geography and fill what may be left out; one row per area, columns of AREA_SCHEMA."""
    for name in ("code", "parent", "level"):
        if name not in raw.columns:
            raise UsageRefused("the column is missing", "Add it to the areas file", table="areas", column=name)
    typed = raw.with_columns(
        pl.lit(None, dtype=pl.String).alias(name) for name in AREA_SCHEMA if name not in raw.columns
    ).select(
        pl.col(name).cast(pl.String).str.strip_chars().replace("", None).cast(kind, strict=False)
        for name, kind in AREA_SCHEMA.items()
    )
    areas = (
        typed.with_columns(name_fi=pl.coalesce("name_fi", "name_en", "code"))
        .with_columns(name_sv=pl.coalesce("name_sv", "name_fi"), name_en=pl.coalesce("name_en", "name_fi"))
        .with_columns(short_fi=pl.coalesce("short_fi", "name_fi"), short_sv=pl.coalesce("short_sv", "name_sv"))
    )
    _check(areas)
    return areas


def _check(areas: pl.DataFrame) -> None:
    def refuse(rule: str, column: str, found: pl.Series) -> None:
        if count := int(found.sum()):
            raise UsageRefused(rule, "Correct the areas file", table="areas", column=column, count=count)

    above = {MAJOR: CITY, DISTRICT: MAJOR}
    code, level = areas["code"], areas["level"]
    refuse("a code is missing", "code", code.is_null())
    refuse("a code stands for two areas", "code", code.is_duplicated())
    refuse("the code is taken by areas that are not known", "code", code == UNKNOWN_AREA)
    refuse("the level is none of city, major, district", "level", ~level.fill_null("").is_in([CITY, *above]))
    level_of = dict(zip(code, level, strict=True))
    expected, found = level.replace_strict(above, default=None), areas["parent"].replace_strict(level_of, default=None)
    refuse("the parent is missing or not of the level above", "parent", (level != CITY) & expected.ne_missing(found))
    if (level == CITY).sum() != 1 or DISTRICT not in level:
        raise UsageRefused(
            "there must be exactly one city, and districts in it",
            "Correct the areas file",
            table="areas",
            column="level",
        )
