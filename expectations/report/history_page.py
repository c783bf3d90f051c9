"""What the page of all runs says."""

from collections.abc import Mapping
from typing import Any

from expectations.report.runs import Run, in_order
from expectations.report.trend import trend
from expectations.report.views import HistoryView, common, edit_in_words, state_of
from expectations.report.words import NOTHING, Words


def history_page(view: HistoryView, own: Words) -> dict[str, Any]:
    """The words and figures of the history in one language."""
    ordered = in_order(view.runs)
    rows = [
        {
            "run": run,
            "state": state_of(run),
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
    edits = [(run, [edit_in_words(edit, own) for edit in view.edits.get(run.run, ())]) for run in reversed(ordered)]
    return {
        **common(own),
        "title": own.labels["history_title"],
        "rows": rows,
        "trend": trend("_share", shares, [True] * len(shares), (), own),
        "edits": [(run, edited) for run, edited in edits if edited],
    }


def _outcome(run: Run, labels: Mapping[str, str]) -> str:
    if run.outcome == "stopped":
        return labels["outcome_code"].format(code=run.exit_code)
    return labels[f"outcome_{run.outcome}"]
