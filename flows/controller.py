"""The controller zone's flow: source records become pseudonymised, checked files in the lake.

The only flow that has a source and a key. Its process is the controller's own.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
from prefect.futures import wait
from pydantic import SecretStr

from expectations.profile import profile
from flows import audit
from flows.batches import add_all
from flows.increment import forget_memories, intake, judge_delta, memory_file, open_base, resolutions, with_waiting
from flows.notices import told
from flows.passphrase import epoch_in_use, open_keyring
from flows.progress import progress
from flows.quality import keep_checks, recorded
from flows.quarantine import forget_old
from flows.settings import Layout
from flows.sources import SourceOptions, described, kind_of, open_source
from flows.storage import (
    Snapshot,
    commit,
    exclusive,
    forget_earlier,
    forget_later,
    has_snapshot,
    lake_files,
    read_snapshot,
    replace_json,
    tidy,
    write_snapshot,
)
from flows.version import code_version
from flows.zone import zone_flow, zone_task
from schemas.areas import load_areas
from schemas.errors import UsageRefused
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from schemas.resolution import check_resolutions
from schemas.tables import SOURCE_TABLES
from transforms.analysis.selects import select_text
from transforms.controller.boundary import check_boundary
from transforms.controller.canaries import Canaries
from transforms.controller.generalise import banned_pseudonyms
from transforms.controller.increment import Merged, merge
from transforms.controller.load import Loader, Terms
from transforms.controller.memory import memory_key, remember

DOMAIN = "district-stats"
"""The domain of the pseudonyms: one purpose, one recipient."""


@zone_task("read, check and pseudonymise")
def stage(data: str, address: str, as_of: str, load: str, options: SourceOptions, canaries: Canaries) -> int:
    """Read the source and leave files for the lake in the staging folder; returns the rows read.

    `canaries` learns what must not be found in those files.
    """
    layout, policy, day = Layout(Path(data)), load_policy(), date.fromisoformat(as_of)
    source = open_source(address, day, options)
    terms = policy.source(source.kind)
    generated = source.generated or terms.generated
    keyring = open_keyring(layout, generated=generated)
    base = open_base(layout, source, policy, keyring, day) if options.increment else None
    areas = base.areas if base else source.areas()
    if areas is None:
        areas = load_areas(options.areas)
    latest = max(day, datetime.now(UTC).date())
    staging, quarantine = layout.staging / load, layout.quarantine / load
    for folder in (staging, quarantine):
        folder.mkdir(mode=0o700)
    loader = Loader(
        Terms(
            keyring=keyring,
            domain=DOMAIN,
            identifier=source.identifier,
            birth_date=terms.birth_date,
            event_dates=policy.event_dates,
            areas=areas,
            as_of=day,
            latest=latest,
        ),
        staging,
        quarantine,
        base.before if base else None,
    )
    memory = base.before.memory if base else None
    with progress("Reading and pseudonymising", source.rows_expected(), "rows") as advance:
        add_all(loader, canaries, with_waiting(source.batches(), memory, latest, policy.quarantine_days), advance)
    merged: dict[str, Merged] = {}
    with progress("Sorting", None, "tables") as advance:
        if base is None:
            for table, paths in loader.finish():
                merged[table] = Merged(tuple(paths), tuple(paths), ())
                advance(1)
        else:
            for table, result in merge(loader, base.before, base.files, staging, base.index):
                merged[table] = result
                advance(1)
    areas.write_parquet(staging / "area.parquet")
    remember(
        replace(loader.memory(), event_dates=resolutions(policy, source.kind)),
        memory_file(layout, load),
        memory_key(keyring),
    )
    tallies = {
        table: {
            "rows_in": tally.rows_in,
            "kept": tally.kept,
            "quarantined": dict(tally.quarantined),
        }
        for table, tally in sorted(loader.tallies.items(), key=lambda each: list(SOURCE_TABLES).index(each[0]))
    }
    reasons = {table: tally["quarantined"] for table, tally in tallies.items()}
    replace_json(quarantine / "reasons.json", {"epoch": keyring.current, "tables": reasons})
    replace_json(
        staging / "load.json",
        {
            "source": source.kind,
            "generated": generated,
            "latest": latest.isoformat(),
            "identifier": source.identifier,
            "files": {table: [str(path) for path in result.written] for table, result in merged.items()},
            "judged": {table: [str(path) for path in result.judged] for table, result in merged.items()},
            "kept": {table: list(result.kept) for table, result in merged.items()},
            "intake": intake(merged, day) if base else None,
            "changed": {table: dict(result.left_out) for table, result in merged.items() if result.left_out},
            "tallies": tallies,
            "remarks": [
                {"table": remark.table, "column": remark.column, "rule": remark.rule, "count": remark.count}
                for remark in source.remarks()
            ],
        },
    )
    return sum(tally.rows_in for tally in loader.tallies.values())


@zone_task("check quality")
def judge(data: str, as_of: str, load: str) -> int:
    """Judge what was staged, keep the results, stop where a `fail` check fails; returns the number of checks."""
    from expectations.run import append_history, gate, run_suites  # seconds to import, and not needed to refuse

    layout, staged = Layout(Path(data)), _staged(Path(data), load)
    latest = date.fromisoformat(staged["latest"])
    judged = {name: [Path(path) for path in files] for name, files in staged["judged"].items()}
    profiles = profile(judged, date.fromisoformat(as_of), staged["intake"] or staged["tallies"], latest=latest)
    if staged["intake"]:
        judge_delta(profiles, staged["tallies"], staged["intake"])
    results = run_suites(profiles)
    append_history(layout.quality / "history.parquet", results, run_id=load, as_of=date.fromisoformat(as_of))
    keep_checks(layout, load, as_of, staged, profiles)
    gate(results)
    return len(results)


@zone_task("check the boundary")
def guard_boundary(data: str, load: str, canaries: Canaries) -> int:
    """Check the written files against what was approved to cross, and for leaks; returns the number of files."""
    paths = _paths(_staged(Path(data), load))
    paths["area"] = [Layout(Path(data)).staging / load / "area.parquet"]
    check_boundary(paths, load_policy(), canaries)
    return sum(len(files) for files in paths.values())


@zone_task("write the lake")
def write_lake(data: str, as_of: str, load: str) -> dict[str, int]:
    """Commit the staged files and make them the current snapshot; returns rows by table."""
    layout, staged, policy = Layout(Path(data)), _staged(Path(data), load), load_policy()
    now = int(datetime.now(UTC).timestamp() * 1000)
    paths = _paths(staged)
    kept = staged["kept"]
    rows = {name: _rows_in([*files, *kept[name]]) for name, files in paths.items()}
    paths["area"] = [layout.staging / load / "area.parquet"]
    if _newly_banned(layout, paths, date.fromisoformat(as_of)):
        forget_later(layout)
    snapshot = Snapshot(
        load=load,
        as_of=as_of,
        source=staged["source"],
        generated=staged["generated"],
        policy_version=policy.version,
        code_version=code_version(),
        tables={name: commit(layout, name, files, load, now, kept.get(name, ())) for name, files in paths.items()},
        rows=rows,
        epoch=epoch_in_use(layout),
        identifier=staged["identifier"],
    )
    replace_json(layout.quality / "load.json", {"load": load, "as_of": as_of, **_public_part(staged)})
    write_snapshot(layout, snapshot)
    forget_memories(layout, indexes=not staged["intake"])
    forget_earlier(layout, snapshot, "residence")
    tidy(layout, snapshot, policy.lake_days * 24)
    return rows


@zone_flow("caregap-ingest")
def ingest(data: str, source: SecretStr, as_of: str, load: str, options: SourceOptions) -> dict[str, int]:
    """Read a source, check it, pseudonymise it and write it to the lake; returns rows by table.

    Prefect keeps a flow's parameters where the platform can read them: the source's address is hidden there.
    """
    canaries = Canaries()
    # Great Expectations takes seconds to import: while the source is read, on another core.
    Thread(target=import_module, args=("expectations.run",), daemon=True).start()
    stage(data, source.get_secret_value(), as_of, load, options, canaries)
    _side_by_side((judge, data, as_of, load), (guard_boundary, data, load, canaries))
    return write_lake(data, as_of, load)


def run_ingest(layout: Layout, source: str, as_of: date, options: SourceOptions) -> dict[str, Any]:
    """Run the flow as the only one in this data folder; returns what a person wants to know of the load."""
    kind = kind_of(source)
    if options.increment and kind != "feed":
        raise UsageRefused("an increment is a feed", "Give --source feed:DIR with the rows that are new or changed")
    policy = load_policy().in_force(datetime.now(UTC).date(), crossing=True)
    check_resolutions(policy, kind, load_indicators().values(), select_text)
    load = f"{as_of:%Y%m%d}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    with (
        told(layout, "ingest", load),
        exclusive(layout),
        recorded(layout, load, as_of, kind, increment=options.increment),
    ):
        _sweep(layout)
        forget_old(layout, datetime.now(UTC).date(), policy.quarantine_days)
        about = {"load": load, "source": described(source), "as_of": as_of.isoformat(), "purpose": policy.purpose}
        try:
            with audit.outcome_of(layout.audit, "ingest", **about, count=0) as entry:
                rows = ingest(str(layout.data), SecretStr(source), as_of.isoformat(), load, options)
                entry["count"] = sum(rows.values())
        finally:
            shutil.rmtree(layout.staging / load, ignore_errors=True)
    report: dict[str, Any] = json.loads((layout.quality / "load.json").read_text("utf-8"))
    return report | {"rows": rows}


def _side_by_side(*calls: tuple[Any, ...]) -> None:
    """Run tasks with their arguments at the same time, each to its end; raises what the first that failed raises."""
    started = [task.submit(*arguments) for task, *arguments in calls]
    wait(started)
    for one in started:
        one.result()


def _newly_banned(layout: Layout, paths: dict[str, list[Path]], as_of: date) -> bool:
    """Whether somebody is under a security ban (turvakielto) whose area the lake may still hold."""
    if not has_snapshot(layout):
        return False
    before = read_snapshot(layout)
    files = lake_files(layout, before)
    known = banned_pseudonyms(files["person"], files.get("restriction", []), date.fromisoformat(before.as_of))
    return bool(banned_pseudonyms(paths["person"], paths.get("restriction", []), as_of) - known)


def _rows_in(files: Sequence[Path | str]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in files)


def _staged(data: Path, load: str) -> dict[str, Any]:
    text = (Layout(data).staging / load / "load.json").read_text("utf-8")
    return dict(json.loads(text))


def _paths(staged: dict[str, Any]) -> dict[str, list[Path]]:
    return {name: [Path(path) for path in files] for name, files in staged["files"].items()}


def _public_part(staged: dict[str, Any]) -> dict[str, Any]:
    """Counts and remarks without paths: what the platform may know of a load."""
    return {name: staged[name] for name in ("source", "generated", "tallies", "changed", "remarks")}


def _sweep(layout: Layout) -> None:
    """Remove what a killed run left in staging; its rows are still in the source."""
    for folder in layout.staging.iterdir():
        shutil.rmtree(folder)
    forget_memories(layout)


def describe_load(report: dict[str, Any]) -> str:
    """Rows by table, what was quarantined and why, and what was noticed; for a terminal."""
    lines = [f"Loaded {report['load']} from {report['source']}:"]
    lines.append(f"  {'table':<16}{'rows in':>12}{'kept':>12}{'quarantined':>13}  reasons")
    for table, tally in report["tallies"].items():
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(tally["quarantined"].items()))
        total = sum(tally["quarantined"].values())
        lines.append(f"  {table:<16}{tally['rows_in']:>12,}{tally['kept']:>12,}{total:>13,}  {reasons}")
    for table, reasons in report.get("changed", {}).items():
        changes = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
        lines.append(f"  {table:<16}left out of the merged rows: {changes}")
    for remark in report["remarks"]:
        place = ".".join(part for part in (remark["table"], remark["column"]) if part)
        lines.append(f"  noticed: {place}: {remark['rule']}" + (f" ({remark['count']:,})" if remark["count"] else ""))
    return "\n".join(lines)
