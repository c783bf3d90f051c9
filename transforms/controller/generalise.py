"""Quasi-identifiers made coarser before they cross the boundary."""

import polars as pl

from schemas.areas import DISTRICT
from schemas.policy import Resolution

_EVERY: dict[str, str] = {"month": "1mo", "quarter": "1q", "year": "1y"}


def generalise_birth(birth_date: pl.Series, resolution: Resolution) -> pl.Series:
    """First day of the month, quarter or year of birth; the day itself where policy keeps days. One value a row."""
    return birth_date if resolution == "day" else birth_date.dt.truncate(_EVERY[resolution])


def district_of(areas: pl.DataFrame) -> dict[str, str]:
    """The district that each area code stands for: itself, or the district above a finer area."""
    parent = dict(areas.select("code", "parent").iter_rows())
    districts = set(areas.filter(pl.col("level") == DISTRICT)["code"])
    found = {}
    for code in parent:
        above: str | None = code
        while above is not None and above not in districts:
            above = parent.get(above)
        if above is not None:
            found[code] = above
    return found


def generalise_area(area_code: pl.Series, districts: dict[str, str]) -> pl.Series:
    """District codes; null where the area is not known to the geography. One value a row."""
    return area_code.replace_strict(districts, default=None, return_dtype=pl.String)
