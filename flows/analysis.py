"""The analysis zone's flow: care-gap counts per district from the pseudonymised lake. No key, no source."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from flows import audit
from flows.evidence import forget_evidence, write_coverage
from flows.notices import told
from flows.quality import keep_counted
from flows.settings import Layout
from flows.storage import lake_files, read_snapshot, replace_folder, replace_json
from flows.version import code_version
from flows.zone import zone_flow, zone_task
from schemas.errors import UsageRefused
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from transforms.analysis.blocks import count_lake
from transforms.analysis.singling_out import check_singling_out, shares, singling_out

MOST_MONTHS = 32
"""Month-ends that one evaluation holds: a bit each of a 32-bit word."""


@zone_task("count care gaps")
def count(data: str, as_of: str, months: int) -> int:
    """Evaluate every indicator and write the counts, and the coverage beside them; returns the number of counts."""
    layout, policy, indicators = Layout(Path(data)), load_policy(), load_indicators()
    snapshot = read_snapshot(layout)
    files = lake_files(layout, snapshot)
    about_persons = _report_singling_out(layout, files, as_of, snapshot.generated)
    areas = pl.concat([pl.read_parquet(file) for file in files.pop("area")])
    dates = month_ends(date.fromisoformat(as_of), months)
    forget_evidence(layout)
    write_coverage(layout, files, list(indicators.values()), date.fromisoformat(as_of), areas)
    counted = count_lake(files, list(indicators.values()), dates, policy.age_band_starts, areas)
    target = layout.counts / as_of
    beside = target.with_name(f".{as_of}.{uuid4().hex[:8]}")
    beside.mkdir(mode=0o700)
    counted.counts.write_parquet(beside / "counts.parquet")
    counted.details.write_parquet(beside / "details.parquet")
    counted.residents.write_parquet(beside / "residents.parquet")
    areas.write_parquet(beside / "areas.parquet")
    replace_json(
        beside / "counts.json",
        {
            "as_of": as_of,
            "dates": [day.isoformat() for day in dates],
            "load": snapshot.load,
            "source": snapshot.source,
            "generated": snapshot.generated,
            "lake": snapshot.tables,
            "policy_version": policy.version,
            "code_version": code_version(),
            "singling_out": shares(about_persons),
            "indicators": {name: indicator.version for name, indicator in indicators.items()},
        },
    )
    replace_folder(beside, target)
    keep_counted(layout, snapshot, date.fromisoformat(as_of), areas, policy)
    return counted.counts.height


def _report_singling_out(
    layout: Layout, files: Mapping[str, list[str]], as_of: str, generated: bool
) -> list[dict[str, Any]]:
    """Write, beside those of other dates, how far persons stand out in the lake; stop where policy says so."""
    terms, path = load_policy().singling_out, layout.quality / "singling_out.json"
    report = singling_out(files, date.fromisoformat(as_of), terms.group_size)
    earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
    replace_json(path, {**earlier, as_of: {"group_size": terms.group_size, "generated": generated, "by": report}})
    check_singling_out(report, terms, generated=generated)
    return report


@zone_flow("caregap-analyse")
def analyse(data: str, as_of: str, months: int) -> int:
    """Count the care gaps at a date and at the ends of the months before it; returns the number of counts."""
    return count(data, as_of, months)


def run_analyse(layout: Layout, as_of: date, months: int) -> int:
    """Run the flow; returns the number of counts. Raises UsageRefused where `months` is out of range."""
    if not 1 <= months <= MOST_MONTHS:
        raise UsageRefused(f"months must be from 1 to {MOST_MONTHS}", "Give --months N")
    policy = load_policy().in_force(datetime.now(UTC).date())
    day = as_of.isoformat()
    about = {"as_of": day, "months": months, "purpose": policy.purpose, "count": 0}
    with audit.outcome_of(layout.audit, "analyse", **about) as entry, told(layout, "analyse", day):
        entry["count"] = counts = analyse(str(layout.data), day, months)
    return counts


def month_ends(as_of: date, months: int) -> list[date]:
    """The date itself and the ends of the months before it, `months` in all, in order."""
    dates = [as_of]
    while len(dates) < months:
        dates.append(dates[-1].replace(day=1) - timedelta(days=1))
    return dates[::-1]
