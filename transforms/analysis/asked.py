"""What an evaluation cannot be asked, and why a lake cannot be read: refused by name, before figures are wrong."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

import polars as pl

from schemas.areas import DISTRICT
from schemas.errors import QualityGateFailed, UsageRefused
from schemas.indicators import Indicator
from schemas.tables import TABLES
from transforms.analysis.days import MAX_AS_OFS
from transforms.analysis.lake import Lake

_MEND = "Load the lake again from the source"


def check_asked(
    lake: Lake,
    indicators: Sequence[Indicator],
    as_ofs: Sequence[date],
    age_band_starts: Sequence[int],
    areas: pl.DataFrame,
) -> None:
    """Raise UsageRefused where figures would be wrong, or could not be told apart."""
    if unknown := sorted(lake.files.keys() - TABLES.keys()):
        raise UsageRefused("there is no such table", f"Use {', '.join(TABLES)}", table=unknown[0])
    if not all(isinstance(indicator, Indicator) for indicator in indicators):
        raise UsageRefused("indicators are not definitions", "Give some of load_indicators().values()")
    if len({indicator.id for indicator in indicators}) < len(indicators):
        raise UsageRefused("two indicators have one id", "Give each indicator once")
    if not 1 <= len(as_ofs) <= MAX_AS_OFS or len(set(as_ofs)) < len(as_ofs):
        raise UsageRefused(f"there must be 1 to {MAX_AS_OFS} different as-of dates", "Ask for fewer months at once")
    if not all(type(as_of) is date for as_of in as_ofs):
        raise UsageRefused("an as-of date is not a day", "Give it as datetime.date")
    starts = list(age_band_starts)
    if starts[:1] != [0] or not all(type(start) is int for start in starts):
        raise UsageRefused("the age bands do not begin at 0", "Give the first year of age of each, 0 first")
    if not all(start < after for start, after in pairwise(starts)):
        raise UsageRefused(
            "the age bands are not in order", "Give the first year of age of each, each more than before"
        )
    if not {"code", "level"} <= set(areas.columns) or DISTRICT not in areas["level"]:
        raise UsageRefused("the geography has no districts", "Give what schemas.areas.load_areas reads")


def check_files(lake: Lake) -> None:
    """Raise QualityGateFailed with the table, and the column, where a file cannot be read as what it should be."""
    for name, paths in lake.files.items():
        for path in paths:
            try:
                found = pl.read_parquet_schema(path)
            except (OSError, pl.exceptions.PolarsError):
                what = "is no Parquet file" if Path(path).is_file() else "is not there"
                raise QualityGateFailed(f"a file {what}", _MEND, table=name) from None
            for column, kind in TABLES[name].platform_schema.items():
                if column not in found or (found[column] != kind and not _is_like(found[column], kind)):
                    rule = "it is of another type" if column in found else "it is missing in a file"
                    raise QualityGateFailed(rule, _MEND, table=name, column=column)


def _is_like(found: pl.DataType, kind: pl.DataType) -> bool:
    """Whole numbers of another width are read as well."""
    return found.is_integer() and kind.is_integer()
