"""The analysis zone's flow: care-gap counts per district from the pseudonymised lake. No key, no source."""

from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import polars as pl

from flows.settings import Layout
from flows.storage import lake_files, read_snapshot, replace_json
from flows.version import code_version
from flows.zone import zone_task
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from transforms.analysis.counts import count
from transforms.analysis.months import month_ends

KEPT = "counts.parquet"


@zone_task("count care gaps")
def count_gaps(data: str, as_of: str, months: int) -> str:
    """Evaluate every indicator and write the counts; returns the folder they are in."""
    layout, policy = Layout(Path(data)), load_policy()
    snapshot = read_snapshot(layout)
    files = lake_files(layout, snapshot)
    areas = pl.read_parquet(files.pop("area"))
    indicators = load_indicators()
    dates = month_ends(date.fromisoformat(as_of), months)
    counts, residents = count(files, indicators, dates, policy.age_band_starts, areas)
    target = layout.counts / as_of
    beside = target.with_name(f".{as_of}.{uuid4().hex[:8]}")
    beside.mkdir(mode=0o700)
    counts.write_parquet(beside / KEPT)
    residents.write_parquet(beside / "residents.parquet")
    areas.write_parquet(beside / "areas.parquet")
    replace_json(
        beside / "counts.json",
        {
            "as_of": as_of,
            "months": months,
            "counted": datetime.now(UTC).isoformat(timespec="seconds"),
            "load": snapshot.load,
            "source": snapshot.source,
            "generated": snapshot.generated,
            "lake": snapshot.tables,
            "policy_version": policy.version,
            "code_version": code_version(),
            "indicators": {indicator.id: indicator.version for indicator in indicators.values()},
        },
    )
    replace_folder(beside, target)
    return str(target)
