"""Quasi-identifiers made coarser before they cross the boundary, and the places of banned persons taken out."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from schemas.areas import DISTRICT
from schemas.policy import EventResolution, Resolution
from schemas.table import PERSON_NUMBER, Kind, Table
from transforms.controller.codes import rewritten

_EVERY: dict[str, str] = {"week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}
_AFTER_BIRTH: dict[str, str] = {"month": "2mo", "quarter": "2q", "year": "2y", "band": "10y"}
_LAST_DAYS = ("end_date", "to_date")
WITHHELD = "is withheld under a security ban"
"""Why rows of a residence table are not in the lake though they are valid."""


def generalise_birth(birth_date: pl.Series, resolution: Resolution) -> pl.Series:
    """First day of the month, quarter, year or five years of birth; the day itself where policy keeps days."""
    if resolution == "day":
        return birth_date
    if resolution == "band":
        year = pl.first().dt.year() // 5 * 5
        return birth_date.to_frame().select(pl.date(year, 1, 1).alias(birth_date.name)).to_series()
    return birth_date.dt.truncate(_EVERY[resolution])


def generalise_recorded(recorded: pl.Series, birth_date: pl.Series, resolution: Resolution) -> pl.Series:
    """Days on which persons were recorded, one a person; null birth dates leave them as they are.

    Whoever is recorded at birth is so on the day itself or soon after: up to the end of the unit after that of birth a
    day is made as coarse as the date of birth.
    """
    if resolution == "day":
        return recorded
    until = generalise_birth(birth_date, resolution).dt.offset_by(_AFTER_BIRTH[resolution])
    days = pl.DataFrame({"day": recorded, "coarse": generalise_birth(recorded, resolution), "until": until})
    near = (pl.col("day") < pl.col("until")).fill_null(False)
    return days.select(pl.when(near).then("coarse").otherwise("day").alias(recorded.name)).to_series()


def since_birth(residences: pl.DataFrame, birth_date: pl.Series, resolution: Resolution) -> pl.DataFrame:
    """Residences, those from the month of birth on without a first day and recorded no more exactly than the birth.

    An empty first day means since birth; the day itself would tell what the date of birth no longer does. One date of
    birth a row.
    """
    if resolution == "day" or not residences.height:
        return residences
    after = birth_date.dt.truncate("1mo").dt.offset_by("1mo")
    first, recorded = residences["from_date"], residences["recorded_date"]
    at_birth = first.is_null() | (first < after).fill_null(False)
    coarse = generalise_recorded(recorded, birth_date, resolution)
    return residences.with_columns(
        pl.when(~at_birth).then("from_date"), pl.when(at_birth).then(coarse).otherwise("recorded_date").name.keep()
    )


def generalise_dates(rows: pl.DataFrame, table: Table, resolution: EventResolution) -> pl.DataFrame:
    """Rows with each of their dates as the first day of its week (Monday) or month.

    The last day of a period becomes the last day of its week or month, so that what follows without a break still does.
    """
    if resolution == "day":
        return rows
    every = _EVERY[resolution]
    dates = [
        column.name for column in table.platform_columns if column.kind is Kind.DATE and column.name in rows.columns
    ]
    first = {name: pl.col(name).dt.truncate(every) for name in dates}
    last = {name: first[name].dt.offset_by(every).dt.offset_by("-1d") for name in dates if name in _LAST_DAYS}
    return rows.with_columns(**{**first, **last})


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
    """District codes; null where the area is not known to the geography. One value a row, all of them codes."""
    return rewritten(area_code, lambda codes: codes.replace_strict(districts, default=None, return_dtype=pl.String))


def security_banned(restrictions: pl.LazyFrame, as_of: date) -> pl.Series:
    """Numbers of the persons whose address is secret (turvakielto) on the as-of date or later."""
    lasting = pl.col("end_date").is_null() | (pl.col("end_date") >= as_of)
    in_force = ~pl.col("is_retracted").fill_null(False) & lasting
    banned = restrictions.filter((pl.col("kind") == "security_ban") & in_force)
    return banned.select(PERSON_NUMBER).unique().collect().to_series()


def banned_pseudonyms(persons: Sequence[Path | str], restrictions: Sequence[Path | str], as_of: date) -> set[bytes]:
    """Pseudonyms of the persons of a lake, or of files on their way to it, who are under a security ban."""
    if not restrictions or not persons:
        return set()
    numbers = security_banned(pl.scan_parquet([str(path) for path in restrictions]), as_of)
    found = pl.scan_parquet([str(path) for path in persons]).filter(pl.col(PERSON_NUMBER).is_in(numbers.implode()))
    return set(found.select("pseudonym").collect().to_series())


def without_whereabouts(residences: pl.DataFrame, banned: pl.Series) -> pl.DataFrame:
    """Residences with those of each banned person as one row without area and dates, which tells of no move."""
    if not len(banned):
        return residences
    hidden = pl.col(PERSON_NUMBER).is_in(banned.implode())
    one = residences.filter(hidden).unique(PERSON_NUMBER, maintain_order=True)
    blank = one.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in one.schema.items() if name != PERSON_NUMBER
    )
    return pl.concat([residences.filter(~hidden), blank])
