"""What stands beside the counts on the platform: why a gap is open, and how well the records cover the residents."""

import io
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from flows import audit
from flows.settings import Layout
from flows.storage import lake_files, read_snapshot, replace_bytes
from flows.unprotected import asked_indicator
from schemas.errors import UsageRefused
from schemas.indicators import Indicator
from schemas.policy import load_policy
from transforms.analysis.coverage import compared, coverage, tables_used
from transforms.analysis.evidence import evidence


def write_evidence(layout: Layout, indicator: str, as_of: date, reason: str, *, for_outreach: bool) -> str:
    """Write the status of every person and the evidence of open gaps, for those allowed to; returns where.

    Rows are pseudonymised; the file is the account's alone and is removed by the next analysis, for it describes the
    lake of this one. The access is logged before anything is read. Raises UsageRefused where the indicator is not
    known or no reason is given.
    """
    found = asked_indicator(indicator, reason, "to see the rows of persons")
    policy = load_policy().in_force(datetime.now(UTC).date())
    snapshot = read_snapshot(layout)
    audit.record(
        layout.audit,
        "evidence",
        indicator=indicator,
        as_of=as_of.isoformat(),
        for_outreach=for_outreach,
        reason=reason,
        purpose=policy.purpose,
        load=snapshot.load,
    )
    files = lake_files(layout, snapshot)
    areas = pl.concat([pl.read_parquet(file) for file in files.pop("area")])
    rows = evidence(files, found, as_of, areas, for_outreach=for_outreach)
    layout.evidence.mkdir(mode=0o700, exist_ok=True)
    target = layout.evidence / f"{as_of}-{indicator}{'' if for_outreach else '-everybody'}.parquet"
    _replace_parquet(rows, target)
    is_open, is_newly_open = rows["status"] == "open", rows["newcomer_status"] == "open"
    gaps = f"{int(is_open.sum()):,} open gaps, and {int(is_newly_open.sum()):,} of newcomers"
    return f"{target}: {rows.height:,} persons, {gaps}. The next analysis removes it"


def forget_evidence(layout: Layout) -> None:
    """Remove what was written of persons: the lake that it describes has been replaced, or is about to be."""
    shutil.rmtree(layout.evidence, ignore_errors=True)


def write_coverage(
    layout: Layout,
    files: Mapping[str, Sequence[str]],
    indicators: Sequence[Indicator],
    as_of: date,
    areas: pl.DataFrame,
) -> None:
    """Write the coverage of the records at a date beside that of other dates; counts only."""
    found = coverage(files, indicators, as_of, areas)
    if layout.coverage.exists():
        found = pl.concat([pl.read_parquet(layout.coverage).filter(pl.col("as_of") != as_of), found])
    _replace_parquet(found.sort("as_of", maintain_order=True), layout.coverage)


def confidential_coverage(layout: Layout, as_of: date, reason: str, indicator: str | None, area: str | None) -> str:
    """The last month's coverage against the months before it as CSV, by table and area; the access is logged first.

    Raises UsageRefused where the date, the indicator or the area is not known, or no reason is given.
    """
    tables = tables_used(asked_indicator(indicator, reason, "to see the coverage")) if indicator else ()
    if not reason.strip():
        raise UsageRefused("a reason is needed to see the coverage", "Give --reason TEXT")
    known = pl.read_parquet(layout.coverage) if layout.coverage.exists() else pl.DataFrame({"as_of": [None]})
    if as_of not in known["as_of"].to_list():
        raise UsageRefused("nothing has been counted for this date", f"caregap analyse --as-of {as_of}")
    rows = compared(known, as_of).with_columns(pl.col(pl.Float64).round(4))
    if indicator:
        rows = rows.filter(pl.col("table").is_in(tables))
    if area is not None:
        if area not in rows["area_code"]:
            raise UsageRefused("there is no such area", "Give the code of a district, unknown or *")
        rows = rows.filter(pl.col("area_code") == area)
    audit.record(
        layout.audit,
        "coverage",
        indicator=indicator or "all",
        as_of=as_of.isoformat(),
        area=area or "all",
        reason=reason,
        purpose=load_policy().in_force(datetime.now(UTC).date()).purpose,
        count=rows.height,
    )
    return rows.write_csv()


def _replace_parquet(rows: pl.DataFrame, target: Path) -> None:
    """Write a file that only the account may read beside, then replace."""
    content = io.BytesIO()
    rows.write_parquet(content)
    replace_bytes(target, content.getvalue(), mode=0o600)
