"""How a data steward of the controller looks at rejected rows. Controller zone; rows are shown, never written."""

import json
import shutil
from datetime import UTC, date, datetime

import polars as pl

from flows import audit
from flows.passphrase import open_keyring
from flows.settings import Layout
from schemas.errors import UsageRefused
from transforms.controller.quarantine import SUFFIX, quarantine_key, unseal


def list_loads(layout: Layout) -> str:
    """Rejected rows as CSV: one row per load, table and reason; no row's content."""
    rows = []
    for folder in sorted(layout.quarantine.iterdir()):
        summary = folder / "reasons.json"
        if summary.exists():
            for table, reasons in json.loads(summary.read_text("utf-8"))["tables"].items():
                rows += [(folder.name, table, reason, count) for reason, count in sorted(reasons.items())]
    schema = {"load": pl.String, "table": pl.String, "reason": pl.String, "rows": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").write_csv()


def show(layout: Layout, load: str, table: str | None, reason: str) -> str:
    """The rejected rows of a load as CSV, as the source had them; the access is logged first.

    Raises UsageRefused where the load has no quarantine or no reason is given, KeyUnavailable without the key.
    """
    if not reason.strip():
        raise UsageRefused("a reason is needed to see rejected rows", "Give --reason TEXT")
    folder = layout.quarantine / load
    if load not in {path.parent.name for path in layout.quarantine.glob("*/reasons.json")}:
        raise UsageRefused("there is no quarantine of this load", "caregap quarantine lists them")
    epoch = json.loads((folder / "reasons.json").read_text("utf-8"))["epoch"]
    key = quarantine_key(open_keyring(layout, generated=False), epoch)
    paths = sorted(folder.glob(f"{table or '*'}-*{SUFFIX}"))
    audit.record(layout.audit, "quarantine", load=load, table=table or "all", reason=reason, count=len(paths))
    frames = [
        unseal(path, key)
        .with_columns(table=pl.lit(path.name.rpartition("-")[0]))
        .select("table", "reason", pl.all().exclude("table", "reason"))
        for path in paths
    ]
    return pl.concat(frames, how="diagonal").write_csv() if frames else "table,reason\n"


def forget_old(layout: Layout, today: date, keep_days: int) -> int:
    """Delete rejected rows that are past the time policy keeps them; returns how many loads' were deleted."""
    old = [
        folder
        for folder in layout.quarantine.iterdir()
        if (today - datetime.fromtimestamp(folder.stat().st_mtime, UTC).date()).days > keep_days
    ]
    for folder in old:
        shutil.rmtree(folder)
    return len(old)
