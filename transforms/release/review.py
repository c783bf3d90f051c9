"""What a steward looks at before deciding on a candidate: tables of figures, as text and as a page. Confidential."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from transforms.release.publish import AS_OF

CITY_CELL = {"major": "*", "district": "*", "sex": "*", "age_band": "*"}
GROUP = (AS_OF, "indicator", "major", "district", "sex", "age_band", "measure")


@dataclass(frozen=True)
class Section:
    """A heading and a table of words under it, or a sentence where there is nothing to show."""

    heading: str
    rows: pl.DataFrame
    nothing: str = "Nothing."


def facts(heading: str, found: Mapping[str, Any]) -> Section:
    """Names and values, one row each."""
    return Section(heading, pl.DataFrame({"": list(found), " ": [_word(value) for value in found.values()]}))


def hidden_by_rule(decisions: pl.DataFrame) -> Section:
    """How many cells each rule hides, by indicator: unsafe ones by reason, and those hidden to protect them."""
    hidden = decisions.filter(pl.col("decision") != "published")
    rule = pl.when(pl.col("decision") == "primary").then("unsafe_as").otherwise(pl.lit("to protect others"))
    rows = (
        hidden.group_by("indicator", rule.alias("rule"))
        .len("cells")
        .pivot("rule", index="indicator", values="cells", sort_columns=True)
        .sort("indicator")
        .fill_null(0)
    )
    return Section("Hidden cells by the rule that hides them", rows, "No cell is hidden.")


def changes(table: pl.DataFrame, before: pl.DataFrame | None) -> Section:
    """The city's figures against the last release's, and how many cells became hidden or visible; one row a measure.

    Cells of other dates are compared where they go by the same name but for the date.
    """
    heading = "Change against the last release"
    if before is None:
        return Section(heading, pl.DataFrame(), "There is no earlier release.")
    names = [name for name in GROUP if name != AS_OF]
    latest = [each.filter(pl.col(AS_OF) == pl.col(AS_OF).max()) for each in (table, before)]
    both = latest[0].join(latest[1], on=names, how="inner", suffix="_before", validate="1:1")
    is_city = pl.all_horizontal(pl.col(name) == value for name, value in CITY_CELL.items())
    now, earlier = pl.col("status") == "published", pl.col("status_before") == "published"
    rows = (
        both.group_by("indicator", "measure", maintain_order=True)
        .agg(
            before=pl.col("value_before").filter(is_city).first(),
            now=pl.col("value").filter(is_city).first(),
            became_hidden=(earlier & ~now).sum(),
            became_visible=(now & ~earlier).sum(),
        )
        .with_columns(change=pl.col("now") - pl.col("before"))
        .select("indicator", "measure", "before", "now", "change", "became_hidden", "became_visible")
    )
    return Section(heading, rows, "The two have no cell in common.")


def quality(history: pl.DataFrame) -> Section:
    """The quality checks of the load that did not pass, with their figures; those that passed as a count."""
    passed = history.filter("passed").height
    rows = history.filter(~pl.col("passed")).select("severity", "table", "column", "check", "threshold", "observed")
    return Section("Quality of the load", rows, f"All {passed} checks passed.")


def as_text(sections: Sequence[Section]) -> str:
    """The sections for a terminal."""
    parts = []
    for section in sections:
        lines = [section.heading, "-" * len(section.heading)]
        lines += _text_table(section.rows) if section.rows.height else [section.nothing]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_page(title: str, sections: Sequence[Section]) -> str:
    """The sections as an HTML page that needs nothing from elsewhere."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        "<style>body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}",
        "table{border-collapse:collapse}th,td{border:1px solid #767676;padding:.2rem .6rem;text-align:left}",
        ".scroll{overflow-x:auto}</style>\n</head>\n<body>\n<main>",
        f"<h1>{escape(title)}</h1>\n<p><strong>Confidential: not for publication.</strong></p>",
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.heading)}</h2>")
        parts.append(_html_table(section) if section.rows.height else f"<p>{escape(section.nothing)}</p>")
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _text_table(rows: pl.DataFrame) -> list[str]:
    words = [[_heading(name) for name in rows.columns], *([_word(value) for value in row] for row in rows.iter_rows())]
    if not any(words[0]):
        words = words[1:]
    widths = [max(len(row[place]) for row in words) for place in range(rows.width)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in words]


def _html_table(section: Section) -> str:
    rows = section.rows
    head = "".join(f'<th scope="col">{escape(_heading(name))}</th>' for name in rows.columns)
    lines = [f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(section.heading)}"><table>']
    if any(name.strip() for name in rows.columns):
        lines.append(f"<thead><tr>{head}</tr></thead>")
    lines.append("<tbody>")
    for first, *others in rows.iter_rows():
        cells = "".join(f"<td>{escape(_word(value))}</td>" for value in others)
        lines.append(f'<tr><th scope="row">{escape(_word(first))}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody></table></div>"])


def _heading(name: str) -> str:
    return name.strip().replace("_", " ")


def _word(value: Any) -> str:
    if value is None:
        return "..."
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
