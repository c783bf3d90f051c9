"""From what a source writes of a home's place to an area of the geography."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from schemas.areas import DISTRICT, load_areas
from schemas.errors import UsageRefused
from transforms.sources.words import stripped


class Places:
    """Area codes by the code or name of a district, in any case, and by the city of an area map.

    `areas` is the geography, the default where it is None. A name that two districts share is nobody's. Raises
    UsageRefused where the map does not fit the geography.
    """

    def __init__(self, area_map: Path | None, areas: pl.DataFrame | None) -> None:
        """Gather the words that stand for an area."""
        geography = load_areas() if areas is None else areas
        codes = geography["code"]
        self._area_of: dict[str, str] = {code.lower(): code for code in codes}
        districts = geography.filter(pl.col("level") == DISTRICT)
        for column in ("name_fi", "name_sv", "name_en"):
            named = districts.select(pl.col(column).str.to_lowercase(), "code").drop_nulls()
            alone = named.unique(keep="none", subset=column)
            self._area_of = dict(alone.iter_rows()) | self._area_of
        self._area_of |= read_area_map(area_map, areas) if area_map else {}

    def area_code(self, written: Sequence[pl.Expr]) -> pl.Expr:
        """The area of the first of the texts that stands for one; null where none does."""
        return pl.coalesce(
            text.str.strip_chars()
            .str.to_lowercase()
            .replace_strict(self._area_of, default=None, return_dtype=pl.String)
            for text in written
        )


def read_area_map(path: Path, areas: pl.DataFrame | None) -> dict[str, str]:
    """Area code by city name in small letters. Raises UsageRefused where it does not fit the geography."""
    raw: pl.DataFrame | None = None
    try:
        raw = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        raw = None
    if raw is None or not {"city", "area_code"} <= set(raw.columns):
        raise UsageRefused("the area map is no CSV file with city and area_code", "Correct it", "area map")
    pairs = raw.select(stripped("city").str.to_lowercase(), stripped("area_code")).drop_nulls().unique()
    if twice := pairs.height - pairs["city"].n_unique():
        raise UsageRefused("a city has two areas", "Keep one of them", "area map", "city", twice)
    known = (load_areas() if areas is None else areas)["code"]
    if strange := pairs.filter(~pl.col("area_code").is_in(known.implode())).height:
        next_step = "Use codes of the areas file, or give the file that has them"
        raise UsageRefused("the code is no area of the geography", next_step, "area map", "area_code", strange)
    return dict(pairs.iter_rows())
