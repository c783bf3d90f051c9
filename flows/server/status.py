"""Where a data folder stands: what is in it, what waits, what a killed process left, and what to do next.

Read from the files alone, so that it tells the same after any crash. No count of people that is not published.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

from flows import audit
from flows.room.candidates import ENDED, built, check_published, dates_of, last_release, state_of
from flows.settings import Layout, api_at_work
from flows.storage import Snapshot, has_snapshot, read_snapshot
from schemas.errors import Refusal
from transforms.release.decisions import RETURN

_VOID = "cannot be decided on"
_ACTIONS = ("ingest", "analyse", "release", "publish")


def status(layout: Layout) -> str:
    """Several lines for a terminal, the last of them what to do next. Writes nothing."""
    if not layout.data.is_dir():
        return "Nothing is here yet.\nNext: caregap run --source SRC --as-of DATE"
    snapshot = read_snapshot(layout) if has_snapshot(layout) else None
    counted = [json.loads(path.read_text("utf-8")) for path in sorted(layout.counts.glob("[0-9]*/counts.json"))]
    candidates = _candidates(layout)
    damaged = _damaged(layout)
    left, busy = leftovers(layout), _load_at_work(layout)
    lines = [f"Lake        {_lake(snapshot)}"]
    lines += [f"Counts      {_counts(one, snapshot)}" for one in counted] or ["Counts      none"]
    lines += [f"Candidate   {name}: {state}" for name, state in candidates.items() if state != "published"]
    lines.append(f"Published   {_published(layout)}")
    lines += [f"Damaged     {name}: {rule}" for name, rule in damaged.items()]
    lines += [f"Last        {line}" for action in _ACTIONS if (line := _last(layout, action))]
    lines += ["At work     a load"] if busy else []
    lines += [] if busy else [f"Left over   {one}" for one in left]
    lines.append(f"Server      {api_at_work(layout).removesuffix('/api') or 'not running: caregap serve'}")
    if damaged:
        name = next(iter(damaged))
        todo = f"caregap verify {layout.published / name}, then restore it, or caregap withdraw {name}"
    else:
        todo = _next(layout, snapshot, counted, candidates, [] if busy else left)
    return "\n".join([*lines, f"Next: {todo}"])


def leftovers(layout: Layout) -> list[str]:
    """What killed processes left behind, each with what becomes of it. None of it is read by anything."""
    found = []
    if loads := _folders(layout.staging):
        found.append(f"{len(loads)} unfinished load in controller/staging; the next load removes it")
    for folder, what in ((layout.counts, "analysis"), (layout.candidates, "candidate"), (layout.published, "release")):
        if hidden := [path for path in _folders(folder) if path.name.startswith(".")]:
            found.append(f"{len(hidden)} unfinished {what} in {folder.relative_to(layout.data)}; it may be deleted")
    there = [path.name for path in _folders(layout.candidates) if not path.name.startswith(".")]
    if strangers := sorted(set(there) - set(built(layout) if there else [])):
        found.append(f"candidate {', '.join(strangers)}: its run was killed, so nobody can publish it; build another")
    return found


def _folders(folder: Path) -> list[Path]:
    return (
        sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()) if folder.is_dir() else []
    )


def _load_at_work(layout: Layout) -> bool:
    path = layout.data / "controller" / ".lock"
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lake(snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return "empty"
    generated = " (generated)" if snapshot.generated else ""
    rows = f"{sum(snapshot.rows.values()):,} rows in {len(snapshot.rows)} tables"
    terms = f"policy {snapshot.policy_version[:12]}, code {snapshot.code_version}"
    return f"load {snapshot.load}, as of {snapshot.as_of}, from {snapshot.source}{generated}: {rows}; {terms}"


def _counts(about: dict[str, Any], snapshot: Snapshot | None) -> str:
    dates = f"{about['as_of']}" + (f" and {len(about['dates']) - 1} before" if len(about["dates"]) > 1 else "")
    of_now = snapshot is not None and about["load"] == snapshot.load
    return f"{dates}: {len(about['indicators'])} indicators, from " + (
        "the lake as it is" if of_now else "an earlier load"
    )


def _candidates(layout: Layout) -> dict[str, str]:
    states = {}
    for folder in _folders(layout.candidates):
        if not folder.name.startswith("."):
            try:
                states[folder.name] = state_of(layout, folder)
            except Refusal as refusal:
                states[folder.name] = f"{_VOID}: {refusal.rule}"
            except (OSError, ValueError):
                states[folder.name] = f"{_VOID}: a file of it cannot be read"
    return states


def _published(layout: Layout) -> str:
    latest = last_release(layout)
    number = len([path for path in _folders(layout.published) if not path.name.startswith(".")])
    return f"{number}; the latest is {latest.name}" if latest else "none that is current" if number else "none"


def _damaged(layout: Layout) -> dict[str, str]:
    """What is wrong with each release that is not as it was published or withdrawn."""
    found = {}
    for folder in _folders(layout.published):
        try:
            if not folder.name.startswith("."):
                check_published(layout, folder)
        except Refusal as refusal:
            found[folder.name] = refusal.rule
    return found


def _last(layout: Layout, action: str) -> str:
    entries = audit.entries(layout.audit, action)
    if not entries:
        return ""
    last = entries[-1]
    what = last.get("candidate") or last.get("release") or last.get("as_of", "")
    return (
        f"{action} {what}: {last.get('outcome', 'done')}, {last['when'][:19].replace('T', ' ')} UTC, by {last['who']}"
    )


def _next(
    layout: Layout,
    snapshot: Snapshot | None,
    counted: list[dict[str, Any]],
    candidates: dict[str, str],
    left: list[str],
) -> str:
    if snapshot is None or any("unfinished load" in one for one in left):
        return "caregap ingest --source SRC --as-of DATE" + (
            "" if snapshot is None else "; the lake is as it was before"
        )
    if not any(one["load"] == snapshot.load for one in counted):
        return f"caregap analyse --as-of {snapshot.as_of}"
    for name, state in candidates.items():
        if state.startswith("waits"):
            return f"caregap candidate show {name}, then approve, reject or return it"
        if state == "ready to publish":
            return f"caregap approve {name} publishes it, and so does the server"
    newest = max((one for one in counted if one["load"] == snapshot.load), key=lambda one: str(one["as_of"]))
    of_date = [name for name in candidates if name.startswith(newest["as_of"])]
    last = max(of_date, key=lambda name: int(name.rpartition("-")[2]), default=None)
    if last is None or candidates[last] == ENDED[RETURN] or candidates[last].startswith(_VOID):
        return f"caregap release --as-of {newest['as_of']}{dates_of(layout, last) if last else ''}"
    return "nothing waits"
