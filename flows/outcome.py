"""What a flow run leaves to be seen on the server's pages: tables of counts of rows and cells, never of people.

An artifact holds no record data and no count that is not published: rows by table, rejected rows by reason, numbers of
cells, and of a release what its public certificate says.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flows.settings import Layout

Report = Mapping[str, Any]
Row = Sequence[object]
LOAD_HEAD = ("table", "rows in", "kept", "quarantined", "quarantined before", "kept before")


def show(key: str, title: str, *parts: str) -> None:
    """Leave an artifact with this run; those of one key are its history."""
    from prefect.artifacts import create_markdown_artifact  # seconds to import, and a dry run needs none of it

    create_markdown_artifact(key=key, description=title, markdown="\n\n".join([f"## {title}", *filter(None, parts)]))


def table(head: Sequence[str], rows: Sequence[Row]) -> str:
    """A Markdown table; numbers are grouped and stand to the right."""
    numbers = [bool(rows) and all(isinstance(row[place], int | None) for row in rows) for place in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---:" if number else "---" for number in numbers) + "|"]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def as_text(head: Sequence[str], rows: Sequence[Row]) -> str:
    """The same for a terminal; without a head, the rows alone."""
    cells = [[_cell(value) for value in row] for row in ([head] if any(head) else []) + list(rows)]
    widths = [max((len(row[place]) for row in cells), default=0) for place in range(len(head))]
    numbers = [bool(rows) and all(isinstance(row[place], int | None) for row in rows) for place in range(len(head))]
    lines = [
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(f"  {line}" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def compare_loads(now: Report, before: Report | None) -> list[tuple[str, int, int, int, int | None, int | None]]:
    """One row per table of either load: rows in, kept and quarantined, and the last two of the load before."""
    earlier = before["tallies"] if before else {}
    rows = []
    for name in [*now["tallies"], *(name for name in earlier if name not in now["tallies"])]:
        mine, past = now["tallies"].get(name, _NONE), earlier.get(name)
        rows.append(
            (
                name,
                mine["rows_in"],
                mine["kept"],
                sum(mine["quarantined"].values()),
                sum(past["quarantined"].values()) if past else None,
                past["kept"] if past else None,
            )
        )
    return rows


def compare_reasons(now: Report, before: Report | None) -> list[tuple[str, str, int, int | None]]:
    """One row per table and reason for which either load rejected rows: how many, and how many the time before."""
    mine, past = _reasons(now), _reasons(before) if before else None
    names = sorted({*mine, *(past or {})})
    return [(*name, mine.get(name, 0), past.get(name, 0) if past is not None else None) for name in names]


_NONE: Report = {"rows_in": 0, "kept": 0, "quarantined": {}}


def _reasons(report: Report) -> dict[tuple[str, str], int]:
    return {
        (name, reason): count
        for name, tally in report["tallies"].items()
        for reason, count in tally["quarantined"].items()
    }


def last_load(layout: Layout) -> Report | None:
    """The report of the last load; None before the first."""
    path = layout.quality / "load.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def load_changes(now: Report, before: Report | None) -> list[str]:
    """Lines that tell how a load differs from the one before it, for a terminal; none for the first load."""
    if before is None:
        return []
    rows = [
        (name, kept - (kept_before or 0), rejected - (rejected_before or 0))
        for name, _, kept, rejected, rejected_before, kept_before in compare_loads(now, before)
    ]
    changed = [
        (name, f"{kept:+,} kept", f"{rejected:+,} quarantined") for name, kept, rejected in rows if kept or rejected
    ]
    head = f"Against the load before, {before['load']} as of {before['as_of']}:"
    return [head, as_text(("", "", ""), changed)] if changed else [f"{head} the same numbers of rows"]


def load_parts(now: Report, before: Report | None) -> list[str]:
    """A load, beside the one before it."""
    parts = [
        f"As of {now['as_of']}, load `{now['load']}`, source {now['source']}"
        + (" (generated)" if now["generated"] else "")
        + (f"; before: as of {before['as_of']}, load `{before['load']}`" if before else "; the first load"),
        table(LOAD_HEAD, compare_loads(now, before)),
    ]
    if reasons := compare_reasons(now, before):
        parts.append(table(("table", "why rows are in quarantine", "rows", "before"), reasons))
    noticed = [
        (".".join(part for part in (one["table"], one["column"]) if part), one["rule"], one["count"])
        for one in now["remarks"]
    ]
    return [*parts, table(("place", "noticed", "rows"), noticed)] if noticed else parts


def analysis_parts(now: Report, rows: int, before: Report | None) -> list[str]:
    """An analysis, beside the one before it: what was counted from what; no count of people."""
    facts: list[Row] = [
        ("as of", now["as_of"], before and before["as_of"]),
        ("dates", len(now["dates"]), before and len(before["dates"])),
        ("indicators", len(now["indicators"]), before and len(before["indicators"])),
        ("load", now["load"], before and before["load"]),
        ("policy", now["policy_version"], before and before["policy_version"]),
        ("code", now["code_version"], before and before["code_version"]),
        ("rows of counts", rows, None),
    ]
    parts = [table(("", "now", "before"), [tuple(_cell(value) for value in row) for row in facts])]
    if before:
        mine, past = now["indicators"], before["indicators"]
        changed = [(name, past.get(name, "new"), mine.get(name, "gone")) for name in sorted({*mine, *past})]
        changed = [row for row in changed if row[1] != row[2]]
        parts.append(table(("indicator", "version before", "now"), changed) if changed else "The same definitions.")
    return parts


def release_parts(certificate: Report, before: Report | None) -> list[str]:
    """What the public certificate of a candidate says, beside that of the last release."""
    words = {
        "cells": "cells",
        "primary": "unsafe, hidden",
        "secondary": "also hidden",
        "exactly_recoverable": "exactly recoverable",
        "provably_small": "provably small",
    }
    rows = [
        (said, _figure(certificate.get(name)), _figure(before.get(name)) if before else None)
        for name, said in words.items()
    ]
    return [table(("", "candidate", "last release"), rows)]


def _figure(value: object) -> str:
    return "withheld" if value is None else _cell(value)
