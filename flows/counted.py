"""Counts on the platform, not yet protected: as the analysis left them, and in the words of a release."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from flows.settings import Layout
from schemas.areas import MAJOR, UNKNOWN_AREA
from schemas.errors import UsageRefused

BY = ("as_of", "indicator")
DIMENSIONS = (("major", "district"), ("sex",), ("age_band",))
"""How a release cuts the counts: a table for each date and indicator, and its dimensions from coarse to fine."""


def read_counts(layout: Layout, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame, Mapping[str, Any]]:
    """Counts by indicator, date, district, sex and age band; the geography; and what they were counted from."""
    folder = layout.counts / as_of.isoformat()
    if not folder.exists():
        raise UsageRefused("nothing has been counted for this date", f"caregap analyse --as-of {as_of}")
    about = json.loads((folder / "counts.json").read_text("utf-8"))
    return pl.read_parquet(folder / "counts.parquet"), pl.read_parquet(folder / "areas.parquet"), about


def inner_cells(counts: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """Counts in the words of a release; one row per date, indicator, district, sex and age band."""
    above = dict(areas.filter(pl.col("level") != MAJOR).select("code", "parent").iter_rows())
    return counts.select(
        pl.col("as_of").cast(pl.String),
        "indicator",
        major=pl.col("area_code").replace_strict({**above, UNKNOWN_AREA: UNKNOWN_AREA}),
        district="area_code",
        sex="sex",
        age_band="age_band",
        eligible="eligible",
        gap="open",
    )
