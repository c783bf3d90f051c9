"""Counts on the platform, not yet protected, as the analysis left them."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from flows.settings import Layout
from schemas.errors import UsageRefused


def read_counts(layout: Layout, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame, Mapping[str, Any]]:
    """Counts by indicator, date, district, sex and age band; the geography; and what they were counted from."""
    folder = layout.counts / as_of.isoformat()
    if not folder.exists():
        raise UsageRefused("nothing has been counted for this date", f"caregap analyse --as-of {as_of}")
    about = json.loads((folder / "counts.json").read_text("utf-8"))
    return pl.read_parquet(folder / "counts.parquet"), pl.read_parquet(folder / "areas.parquet"), about
