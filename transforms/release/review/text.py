"""What a steward reads of a candidate in a terminal: the page's words and figures, without the cells one by one."""

from collections.abc import Sequence
from typing import Any

from transforms.release.review.content import content
from transforms.release.review.views import Review
from transforms.release.review.words import words

UNSEEN = str.maketrans("", "", "\u00ad\u2060")
"""Where a page may break a line, or must not; a terminal would show them as they are."""


def review_text(review: Review, language: str) -> str:
    """The candidate in one language, in the order of the page; lines for a terminal."""
    told = content(review, words(language))
    t = told["t"]
    sections = [
        (told["title"], [f"{t['confidential']}.", told["state"], *_table(told["facts"])]),
        *([(t["signatories_caption"], _signatories(told))] if not told["generated"] else []),
        (t["verdict_title"], _verdict(told)),
        (t["changes_title"], _changes(told)),
        (t["hidden_title"], _hidden(told)),
        (t["quality_title"], _quality(told)),
        (t["decisions_title"], _table(told["decisions"]) or [t["decisions_none"]]),
        (t["versions_title"], _table(told["versions"])),
        (t["commands_title"], _commands(told)),
    ]
    blocks = ["\n".join([heading, "-" * len(heading), *lines]) for heading, lines in sections]
    return "\n\n".join(blocks).translate(UNSEEN)


def _signatories(told: dict[str, Any]) -> list[str]:
    t = told["t"]
    rows = [(t["person"], t["roles"], t["signature"]), *told["signatories"]]
    return [
        t["required"].format(required=told["required"]),
        *(_table(rows) if told["signatories"] else [t["signatories_none"]]),
    ]


def _verdict(told: dict[str, Any]) -> list[str]:
    verdict, t = told["verdict"], told["t"]
    lines = [verdict["said"], f"{t['guarantee']}: {verdict['guarantee']}.", *_table(verdict["rows"], numbers=True)]
    lines += [verdict["allowed"]] if verdict["allowed"] else []
    return [*lines, f"{t['distance']}:", *(f"- {each}" for each in verdict["distance"])]


def _changes(told: dict[str, Any]) -> list[str]:
    changes, t = told["changes"], told["t"]
    if changes is None:
        return [t["changes_none"]]
    lines = [changes["said"]]
    for key in ("new", "gone", "redefined"):
        lines += [f"{t[f'indicators_{key}']}: {', '.join(changes[key])}"] if changes[key] else []
    rows = [(t["indicator"], t["figure"], t["before"], t["now"], t["change"])]
    for row in changes["rows"]:
        titles = [row["title"], *("" for _ in row["figures"][1:])]
        rows += [(title, *figures) for title, figures in zip(titles, row["figures"], strict=True)]
    moved = [(t["indicator"], t["became_hidden"], t["became_visible"])]
    moved += [(row["title"], *row["moved"]) for row in changes["rows"]]
    return [*lines, *_table(rows, numbers=True, texts=2), "", *_table(moved, numbers=True)]


def _hidden(told: dict[str, Any]) -> list[str]:
    hidden, t = told["hidden"], told["t"]
    if not hidden["rows"]:
        return [t["hidden_none"]]
    head = (t["indicator"], *hidden["rules"], t["total"], t["share_of_cells"])
    rows = [(row["title"], *row["counts"], row["total"], row["share"]) for row in hidden["rows"]]
    rows.append((t["all_indicators"], *hidden["sums"], hidden["sum"], hidden["sum_share"]))
    return _table([head, *rows], numbers=True)


def _quality(told: dict[str, Any]) -> list[str]:
    quality = told["quality"]
    more = [f"{told['t']['quality_page']}: {quality['command']}"] if quality["page"] else []
    return [quality["said"], *_table(quality["rows"]), *more]


def _commands(told: dict[str, Any]) -> list[str]:
    lead = told["t"]["commands_lead" if told["is_open"] else "commands_closed"]
    return [lead, *(f"{what}:\n  {command}" for what, command in told["commands"])]


def _table(rows: Sequence[Sequence[str]], *, numbers: bool = False, texts: int = 1) -> list[str]:
    """Columns side by side; with `numbers`, all but the first `texts` stand to the right."""
    if not rows:
        return []
    clean = [[value.translate(UNSEEN) for value in row] for row in rows]
    widths = [max(len(row[place]) for row in clean) for place in range(len(clean[0]))]
    return [
        "  ".join(
            value.rjust(width) if numbers and place >= texts else value.ljust(width)
            for place, (value, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in clean
    ]
