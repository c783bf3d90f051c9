"""The page of one run and the history of all, one file a language: no script, and nothing is asked of any host."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

import jinja2

from expectations.report import runs as history
from expectations.report.coverage import city_and_districts
from expectations.report.edits import Edit
from expectations.report.runs import GATE_CODE, Run
from expectations.report.trend import HEIGHT, WIDTH, trend
from expectations.report.words import HIDDEN, NOTHING, Words, words
from schemas.labels import LANGUAGES
from schemas.tables import TABLES

Row = Mapping[str, Any]
"""One check of one run, as the history keeps it."""


@dataclass(frozen=True)
class Counted:
    """What was counted from a run's load later: coverage as it may be told, and how far persons stand out.

    `areas` are (code, names by language) in order; `singling_out` has attributes and the share rounded down to a whole
    per cent, None where it is not told.
    """

    as_of: date
    least: int
    coverage: Sequence[Mapping[str, Any]]
    areas: Sequence[tuple[str, Mapping[str, str]]]
    group_size: int
    limit: float
    singling_out: Sequence[tuple[Sequence[str], int | None]]


@dataclass(frozen=True)
class RunView:
    """All that the page of a run is made from. `results` and `before` are rows by check, `rules` the run's own.

    `trend` holds the rows of this and the earlier runs of its kind by check, the earliest first.
    """

    run: Run
    previous: Run | None
    results: Mapping[str, Row]
    before: Mapping[str, Row]
    rules: Mapping[str, Mapping[str, Any]]
    trend: Mapping[str, Sequence[Row]]
    edits: Sequence[Edit] | None
    counted: Counted | None = None


@dataclass(frozen=True)
class HistoryView:
    """All that the history is made from: runs, results that did not pass by run and severity, and edits by run."""

    runs: Sequence[Run]
    missed: Mapping[tuple[str, str], int]
    edits: Mapping[str, Sequence[Edit]] = field(default_factory=dict)


def page_name(language: str) -> str:
    """File name of the page of a language."""
    return "index.html" if language == LANGUAGES[0] else f"index.{language}.html"


def run_pages(view: RunView) -> dict[str, bytes]:
    """The pages of a run; file name to UTF-8 bytes. The same view gives the same bytes."""
    return {page_name(language): _render("run.html.jinja", _run(view, words(language))) for language in LANGUAGES}


def history_pages(view: HistoryView) -> dict[str, bytes]:
    """The pages of the history."""
    return {
        page_name(language): _render("history.html.jinja", _history(view, words(language))) for language in LANGUAGES
    }


def _run(view: RunView, own: Words) -> dict[str, Any]:
    run, labels = view.run, own.labels
    checks = [_check(name, view, own) for name in view.results]
    missed = [one for one in checks if not one["passed"]]
    missed.sort(key=lambda one: one["severity"] != "fail")
    was_fine = {name for name, row in view.before.items() if row["passed"]}
    is_fine = {name for name, row in view.results.items() if row["passed"]}
    both = set(view.results) & set(view.before)
    failed = sum(one["severity"] == "fail" for one in missed)
    numbers = {"all": len(checks), "passed": len(is_fine), "warned": len(missed) - failed, "failed": failed}
    return {
        **_common(own),
        "run": run,
        "title": labels["run_title"].format(run=run.run),
        "state": _state(run),
        "summary": _summary(run, labels),
        "summary_counts": labels["summary_counts"].format(**{key: own.count(n) for key, n in numbers.items()}),
        "is_checked": bool(checks),
        "next_steps": _next_steps([one for one in missed if one["severity"] == "fail"], labels),
        "missed": missed,
        "by_table": [(name, [one for one in checks if one["table"] == name]) for name in _tables(checks)],
        "previous": view.previous,
        "newly": [one for one in checks if one["id"] in both & was_fine - is_fine],
        "fixed": [one for one in checks if one["id"] in both & is_fine - was_fine],
        "rows": _rows(view, own),
        "quarantine": _quarantine(view, own),
        "edits": None if view.edits is None else [_edit(edit, own) for edit in view.edits],
        "counted": view.counted,
        "coverage": _coverage(view.counted, own) if view.counted else None,
    }


def _history(view: HistoryView, own: Words) -> dict[str, Any]:
    ordered = history.in_order(view.runs)
    rows = [
        {
            "run": run,
            "state": _state(run),
            "outcome": _outcome(run, own.labels),
            "failing": own.count(view.missed.get((run.run, "fail"), 0)) if run.rules else NOTHING,
            "warnings": own.count(view.missed.get((run.run, "warn"), 0)) if run.rules else NOTHING,
            "rows_in": own.count(run.rows_in) if run.rules else NOTHING,
            "share": own.percent(run.left_out_share),
            "edited": bool(view.edits.get(run.run)),
        }
        for run in reversed(ordered)
    ]
    shares = [run.left_out_share for run in ordered if run.rules]
    edits = [(run, [_edit(edit, own) for edit in view.edits.get(run.run, ())]) for run in reversed(ordered)]
    return {
        **_common(own),
        "title": own.labels["history_title"],
        "rows": rows,
        "trend": trend("_share", shares, [True] * len(shares), (), own),
        "edits": [(run, edited) for run, edited in edits if edited],
    }


def _common(own: Words) -> dict[str, Any]:
    return {
        "t": own.labels,
        "words": own,
        "languages": [(language, page_name(language), words(language).labels) for language in LANGUAGES],
        "home": page_name(own.language),
        "width": WIDTH,
        "height": HEIGHT,
        "nothing": NOTHING,
        "signs": {"done": "✓", "stopped": "■", "checked": "■", "passed": "✓", "fail": "■", "warn": "▲"},
    }


def _state(run: Run) -> str:
    return "passed" if run.outcome == "done" else "fail"


def _outcome(run: Run, labels: Mapping[str, str]) -> str:
    if run.outcome == "stopped":
        return labels["outcome_code"].format(code=run.exit_code)
    return labels[f"outcome_{run.outcome}"]


def _summary(run: Run, labels: Mapping[str, str]) -> str:
    key = run.outcome
    if run.outcome == "stopped":
        key_of = {True: "stopped" if run.exit_code == GATE_CODE else "other", False: "unchecked"}
        return labels[f"summary_{key_of[bool(run.rules)]}"].format(code=run.exit_code)
    return labels[f"summary_{key}"]


def _check(name: str, view: RunView, own: Words) -> dict[str, Any]:
    """One check of the run as its row says it."""
    row, rule = view.results[name], view.rules[name]
    limits, past = (rule["minimum"], rule["maximum"]), view.trend.get(name, ())
    reason, next_step = (own.rule_text(rule, part) for part in ("reason", "next_step"))
    limit = own.limits(row["figure"], *limits)
    if rule["tolerate"]:
        limit += "; " + own.labels["tolerated"].format(count=own.count(rule["tolerate"]))
    return {
        "id": name,
        "table": row["table"],
        "what": own.checked(row["figure"]),
        "severity": row["severity"],
        "owner": own.owner(row["owner"]),
        "limit": limit,
        "observed": own.observed(row["figure"], row["observed"], row["count"]),
        "passed": row["passed"],
        "state": "passed" if row["passed"] else row["severity"],
        "result": own.labels["passed" if row["passed"] else f"not_passed_{row['severity']}"],
        "reason": reason,
        "next_step": next_step,
        "trend": trend(row["figure"], [one["observed"] for one in past], [one["passed"] for one in past], limits, own),
    }


def _next_steps(failed: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """What to do, each step once, with the language it is in."""
    steps = {
        (labels["next_owner"].format(step=one["next_step"][0], owner=one["owner"]), one["next_step"][1]): None
        for one in failed
    }
    return list(steps)


def _tables(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(one["table"] for one in checks))


def _rows(view: RunView, own: Words) -> list[dict[str, str]]:
    """Rows by table, against the run before."""
    found = []
    for table, tally in view.run.tallies.items():
        was = view.previous.tallies.get(table) if view.previous else None
        left_out, days = sum(tally["quarantined"].values()), view.run.freshness.get(table)
        found.append(
            {
                "table": table,
                "rows_in": own.count(tally["rows_in"]),
                "before": own.count(was["rows_in"]) if was else NOTHING,
                "change": _change(tally["rows_in"], was["rows_in"] if was else 0, own),
                "kept": own.count(tally["kept"]),
                "left_out": own.count(left_out),
                "share": own.percent(left_out / tally["rows_in"] if tally["rows_in"] else None),
                "freshness": NOTHING if days is None else own.labels["days"].format(count=own.count(days)),
            }
        )
    return found


def _change(now: int, before: int, own: Words) -> str:
    if not before:
        return NOTHING
    share = now / before - 1
    sign = "+" if share > 0 else "−" if share < 0 else "±"
    return sign + own.percent(abs(share))


def _quarantine(view: RunView, own: Words) -> list[dict[str, str]]:
    """Rows left out by table and reason, the most first; reasons of the run before that are gone stay in sight."""
    found = []
    for table in view.run.tallies:
        now = dict(view.run.tallies[table]["quarantined"])
        was = dict(view.previous.tallies.get(table, {"quarantined": {}})["quarantined"]) if view.previous else {}
        said: dict[str, list[int]] = {}
        for place, counts in enumerate((now, was)):
            for reason, count in counts.items():
                said.setdefault(own.reason(reason), [0, 0])[place] += count
        for reason, (count, before) in sorted(said.items(), key=lambda one: (-one[1][0], one[0])):
            was_told = own.count(before) if view.previous else NOTHING
            found.append({"table": table, "reason": reason, "count": own.count(count), "before": was_told})
    return found


def _edit(edit: Edit, own: Words) -> dict[str, str]:
    """One edit in words."""
    said = {"before": edit.before, "after": edit.after}
    if edit.file == "rules":
        kind = own.labels[f"severity_{edit.severity}"]
        what = f"{own.checked(edit.key)} ({kind}): {own.labels[f'field_{edit.field}']}"
        tables = [own.table(name) for name in edit.tables]
        many = own.labels["tables_count"].format(count=len(tables))
        where = ", ".join(tables) if len(tables) < 4 else many
        what = f"{what}, {where}"
        if edit.field in ("limits", "rule"):
            said = {key: own.limits(edit.key, *value) if value else value for key, value in said.items()}
        elif edit.field == "severity":
            said = {key: own.labels[f"severity_{value}"] for key, value in said.items()}
    else:
        what = edit.key
    absent = {"before": own.labels["edit_added"], "after": own.labels["edit_removed"]}
    told = {key: (NOTHING if value is None else str(value)) for key, value in said.items()}
    note = next((absent[key] for key, value in said.items() if value is None), "")
    return {"file": "policy.toml" if edit.file == "policy" else "expectations/rules.toml", "what": what, **told} | {
        "note": note
    }


def _coverage(counted: Counted, own: Words) -> dict[str, Any]:
    """Coverage of the city by table and of the districts by area, as cells of tables."""
    city, districts = city_and_districts(counted.coverage)
    tables = [row["table"] for row in city]
    names = dict(counted.areas)

    def cell(row: Mapping[str, Any] | None) -> dict[str, str]:
        if row is None:
            return {"share": HIDDEN, "delay": HIDDEN, "sign": "", "recording": ""}
        said = row["recording"]
        return {
            "share": own.band(row["low"], row["step"]),
            "before": own.band(row["before_low"], row["before_step"]),
            "delay": HIDDEN if row["delay_days"] is None else own.count(row["delay_days"]),
            "sign": {"more": "▲", "less": "▼"}.get(said, ""),
            "recording": own.labels[f"recording_{said}"] if said else HIDDEN,
            **{
                name: own.band(row[f"{name}_low"], 1) if has else NOTHING
                for name, has in (
                    ("without_code", "code" in TABLES[row["table"]].names),
                    ("without_value", "value" in TABLES[row["table"]].names),
                    ("without_district", True),
                )
            },
        }

    order = [code for code in names if code in districts] + [code for code in districts if code not in names]
    return {
        "tables": tables,
        "city": [(row["table"], cell(row)) for row in city],
        "districts": [
            (
                names[code].get(own.language, code) if code in names else own.labels["unknown_area"],
                [cell(districts[code].get(table)) for table in tables],
            )
            for code in order
        ],
        "singling_out": [(", ".join(parts), own.band(low, 1)) for parts, low in counted.singling_out],
        "limit": own.percent(counted.limit),
    }


def _render(name: str, context: Mapping[str, Any]) -> bytes:
    html = _environment().get_template(name).render(context)
    return "\n".join(line for line in (line.strip(" \t") for line in html.split("\n")) if line).encode() + b"\n"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("expectations.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
