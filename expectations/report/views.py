"""What the pages of the quality of runs are made from, and how they and what they share are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from expectations.report.edits import Edit
from expectations.report.runs import Run
from expectations.report.trend import HEIGHT, WIDTH
from expectations.report.words import NOTHING, Words, words
from schemas.labels import LANGUAGES

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


def common(own: Words) -> dict[str, Any]:
    """What every page has."""
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


def state_of(run: Run) -> str:
    """How a run is marked."""
    return "passed" if run.outcome == "done" else "fail"


def edit_in_words(edit: Edit, own: Words) -> dict[str, str]:
    """One edit of rules or policy in words."""
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
