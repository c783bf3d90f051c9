"""What the page of one run says."""

from collections.abc import Iterable, Mapping
from typing import Any

from expectations.report.coverage import city_and_districts
from expectations.report.runs import GATE_CODE, Run
from expectations.report.trend import trend
from expectations.report.views import Counted, RunView, common, edit_in_words, state_of
from expectations.report.words import HIDDEN, NOTHING, Words
from schemas.tables import TABLES


def run_page(view: RunView, own: Words) -> dict[str, Any]:
    """The words and figures of the page of a run in one language."""
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
        **common(own),
        "run": run,
        "title": labels["run_title"].format(run=run.run),
        "state": state_of(run),
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
        "edits": None if view.edits is None else [edit_in_words(edit, own) for edit in view.edits],
        "counted": view.counted,
        "coverage": _coverage(view.counted, own) if view.counted else None,
    }


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
        limit += "; " + own.labels["tolerated"].format(rows=own.rows(rule["tolerate"]))
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
        "singling_out": [
            (", ".join(map(own.attribute, parts)), own.band(low, 1)) for parts, low in counted.singling_out
        ],
        "limit": own.percent(counted.limit),
    }
