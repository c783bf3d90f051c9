"""The history of the data's quality, and the pages made from it: `platform/quality` of the data folder.

`runs/RUN/run.json` says what a load came to, `counted.json` beside it what was counted from it and may be told,
`history.parquet` the result of every check, and `rules/` each version of the checks and of policy.toml by its SHA-256,
so that an edit of either is part of the history.
"""

import contextlib
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from expectations.profile import Figures
from expectations.report import runs as history
from expectations.report.coverage import told
from expectations.report.edits import Edit, policy_edits, rule_edits, rules_text, version
from expectations.report.page import Counted, HistoryView, RunView, history_pages, page_name, run_pages
from expectations.report.runs import Run, from_json, to_json
from expectations.report.words import known_reason
from expectations.rules import all_checks
from flows import audit
from flows.settings import Layout
from flows.storage import Snapshot, replace_bytes, replace_json
from schemas import policy as policies
from schemas.areas import DISTRICT
from schemas.errors import Refusal, UsageRefused
from schemas.labels import LANGUAGES
from schemas.policy import Policy, load_policy
from transforms.analysis.coverage import compared

FRESH_ROWS = 100
"""A table's latest day is told where so many rows could have it."""


@contextlib.contextmanager
def recorded(layout: Layout, load: str, as_of: date, source: str, *, increment: bool) -> Iterator[None]:
    """Keep what the load that is done in here comes to, and make its page; the error goes on as it was."""
    code = 0
    try:
        yield
    except Exception as error:
        code = error.exit_code if isinstance(error, Refusal) else 1
        raise
    finally:
        with _safely(layout, load):
            _finish(layout, load, as_of, source, code, increment=increment)


def keep_checks(
    layout: Layout, load: str, as_of: str, staged: Mapping[str, Any], profiles: Mapping[str, Figures]
) -> None:
    """Keep, beside the results of a load's checks, the rules and the policy that they were made under, and counts."""
    policy, text = load_policy(), rules_text(all_checks())
    _keep_version(layout, f"{version(text)}.json", text)
    _keep_version(layout, f"{policy.version}.toml", policies.POLICY_FILE.read_text("utf-8"))
    run = Run(
        run=load,
        as_of=date.fromisoformat(as_of),
        started=datetime.now(UTC),
        source=staged["source"],
        generated=staged["generated"],
        increment=staged["intake"] is not None,
        outcome="checked",
        exit_code=0,
        rules=version(text),
        policy=policy.version,
        tallies={table: _told(tally) for table, tally in staged["tallies"].items()},
        freshness={table: _freshness(figures) for table, figures in profiles.items()},
    )
    _write(layout, run)


def keep_counted(layout: Layout, snapshot: Snapshot, as_of: date, areas: pl.DataFrame, policy: Policy) -> None:
    """Keep with its load what has been counted from it and may be told, and make the load's page anew."""
    with _safely(layout, snapshot.load):
        if not _record(layout, snapshot.load).exists():
            return
        least = policy.quality_pages.least_persons
        counts = pl.read_parquet(layout.coverage).filter(pl.col("as_of") == as_of)
        stands_out = json.loads((layout.quality / "singling_out.json").read_text("utf-8"))[as_of.isoformat()]
        names = areas.filter(pl.col("level") == DISTRICT)
        content = {
            "as_of": as_of.isoformat(),
            "least": least,
            "coverage": told(counts, compared(counts, as_of), least).to_dicts(),
            "areas": [[row["code"], {one: row[f"name_{one}"] for one in LANGUAGES}] for row in names.to_dicts()],
            "group_size": stands_out["group_size"],
            "limit": policy.singling_out.limit,
            "singling_out": [
                [one["attributes"], int(100 * one["share_in_small_groups"]) if one["persons"] >= 100 * least else None]
                for one in stands_out["by"]
            ],
        }
        replace_json(_record(layout, snapshot.load).with_name("counted.json"), content)
        build(layout, snapshot.load)


def build(layout: Layout, load: str | None = None) -> Path:
    """Make the history's pages, and those of one load or of all; returns the first page of the history."""
    runs = _runs(layout)
    results = _results(layout)
    edits = {run.run: edited for run in runs if (edited := _edits(layout, runs, run))}
    for run in runs:
        if load in (None, run.run):
            for name, content in run_pages(_view(layout, runs, run, results)).items():
                replace_bytes(layout.quality / "runs" / run.run / name, content)
    missed = results.filter(~pl.col("passed")).group_by("run_id", "severity").len()
    counts = {(run, severity): count for run, severity, count in missed.iter_rows()}
    for name, content in history_pages(HistoryView(runs, counts, edits)).items():
        replace_bytes(layout.quality / name, content)
    return layout.quality / page_name(LANGUAGES[0])


def listed(layout: Layout) -> str:
    """Loads as CSV, the earliest first: what they came to, and how many checks of either severity did not pass."""
    results, text = _results(layout), io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("load", "as_of", "checked", "source", "outcome", "exit_code", "fail", "warn", "rows_in", "left_out"))
    for run in history.in_order(_runs(layout)):
        own = results.filter(pl.col("run_id") == run.run, ~pl.col("passed"))["severity"].to_list()
        when = f"{run.started:%Y-%m-%dT%H:%M:%SZ}"
        missed = [own.count(severity) if run.rules else "" for severity in ("fail", "warn")]
        rows.writerow(
            (run.run, run.as_of, when, run.source, run.outcome, run.exit_code, *missed, run.rows_in, run.left_out)
        )
    return text.getvalue()


def show(layout: Layout, load: str | None) -> str:
    """What a load's checks said, the latest's where none is given, and where its page is; for a terminal.

    Raises UsageRefused where there is no such load.
    """
    found = {run.run: run for run in history.in_order(_runs(layout))}
    if not found or (load is not None and load not in found):
        raise UsageRefused("there is no such load", "caregap quality list names them")
    run = found[load or list(found)[-1]]
    missed = _results(layout).filter(pl.col("run_id") == run.run, ~pl.col("passed"))
    lines = [f"Load {run.run} as of {run.as_of} from {run.source}: {run.outcome}, exit code {run.exit_code}"]
    lines += [
        f"  {row['severity']}: {row['table']}.{row['figure']} is {row['observed']:.6g}, allowed is {row['threshold']}"
        f" ({row['owner']}): {row['reason']} {row['next_step']}"
        for row in missed.sort("severity", maintain_order=True).to_dicts()
    ]
    edits = _edits(layout, list(found.values()), run)
    lines += [f"  edited: {edit.file} {edit.key} {edit.field}: {edit.before} -> {edit.after}" for edit in edits or ()]
    return "\n".join([*lines, f"Page: {layout.quality / 'runs' / run.run / page_name(LANGUAGES[0])}"])


def _finish(layout: Layout, load: str, as_of: date, source: str, code: int, *, increment: bool) -> None:
    path = _record(layout, load)
    if path.exists():
        content = json.loads(path.read_text("utf-8"))
    else:  # it stopped before the checks
        nothing: dict[str, Any] = {"rules": "", "policy": "", "tallies": {}, "freshness": {}, "generated": False}
        now = datetime.now(UTC).isoformat()
        content = nothing | {"run": load, "as_of": as_of.isoformat(), "started": now, "source": source}
        content |= {"increment": increment}
    content |= {"outcome": "stopped" if code else "done", "exit_code": code}
    _write(layout, from_json(content))
    build(layout, load)


@contextlib.contextmanager
def _safely(layout: Layout, load: str) -> Iterator[None]:
    """A page is no reason for a load to fail: what breaks is logged, and `caregap quality build` makes it anew."""
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            audit.record(layout.audit, "quality pages", load=load, outcome="failed")


def _view(layout: Layout, runs: Sequence[Run], run: Run, results: pl.DataFrame) -> RunView:
    alike = history.earlier_of_kind(runs, run)
    length = load_policy().quality_pages.trend_runs
    shown = [one.run for one in [*alike, run][-length:]]
    rows: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in shown}
    for row in results.filter(pl.col("run_id").is_in(shown)).iter_rows(named=True):
        rows[row["run_id"]][row["check"]] = row
    previous = alike[-1] if alike else None
    own = rows[run.run]
    return RunView(
        run=run,
        previous=previous,
        results=own,
        before=rows[previous.run] if previous else {},
        rules={rule["id"]: rule for rule in _rules(layout, run)},
        trend={name: [rows[one][name] for one in shown if name in rows[one]] for name in own},
        edits=_edits(layout, runs, run),
        counted=_counted(layout, run),
    )


def _edits(layout: Layout, runs: Sequence[Run], run: Run) -> list[Edit] | None:
    """What was edited since the run before, of whatever kind; None where there is none."""
    before = history.earlier_checked(runs, run)[-1:]
    if not before or not run.rules:
        return None
    edits = []
    if before[0].rules != run.rules:
        edits += rule_edits(_rules(layout, before[0]), _rules(layout, run))
    if before[0].policy != run.policy:
        texts = [(layout.quality / "rules" / f"{one.policy}.toml").read_text("utf-8") for one in (before[0], run)]
        edits += policy_edits(*texts)
    return edits


def _counted(layout: Layout, run: Run) -> Counted | None:
    path = _record(layout, run.run).with_name("counted.json")
    if not path.exists():
        return None
    content = json.loads(path.read_text("utf-8"))
    return Counted(**{**content, "as_of": date.fromisoformat(content["as_of"])})


def _rules(layout: Layout, run: Run) -> list[dict[str, Any]]:
    if not run.rules:
        return []
    return list(json.loads((layout.quality / "rules" / f"{run.rules}.json").read_text("utf-8")))


def _runs(layout: Layout) -> list[Run]:
    return [from_json(json.loads(path.read_text("utf-8"))) for path in layout.quality.glob("runs/*/run.json")]


def _results(layout: Layout) -> pl.DataFrame:
    """The results of every check so far. Read here, for the module that writes them takes seconds to import."""
    path = layout.quality / "history.parquet"
    if path.exists():
        return pl.read_parquet(path)
    return pl.DataFrame(schema={"run_id": pl.String, "check": pl.String, "severity": pl.String, "passed": pl.Boolean})


def _told(tally: Mapping[str, Any]) -> dict[str, Any]:
    """A table's rows in, kept and left out by reason; a reason that is not one of ours has no name."""
    reasons: Counter[str] = Counter()
    for reason, count in tally["quarantined"].items():
        reasons[known_reason(reason)] += count
    return {**tally, "quarantined": dict(reasons)}


def _freshness(figures: Figures) -> int | None:
    days = figures.get("days_since_latest_event")
    return None if days is None or (figures["row_count"] or 0) < FRESH_ROWS else int(days)


def _record(layout: Layout, load: str) -> Path:
    return layout.quality / "runs" / load / "run.json"


def _write(layout: Layout, run: Run) -> None:
    path = _record(layout, run.run)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_json(path, to_json(run))


def _keep_version(layout: Layout, name: str, text: str) -> None:
    path = layout.quality / "rules" / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        replace_bytes(path, text.encode())
