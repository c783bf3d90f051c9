"""What a steward is told of the hidden cells: how many each rule hides, and which they are."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from transforms.release.page_figures import TOTAL
from transforms.release.publish import AS_OF
from transforms.release.review.cells import SECONDARY, by_rule, district_totals, hidden_cells, own_cells
from transforms.release.review.views import Review
from transforms.release.review.words import Words
from transforms.release.site.addresses import indicator_page
from transforms.release.tables import GROUP, SMALL, ZERO

RULES = (SMALL, ZERO, GROUP, SECONDARY)
SHOWN = 20
"""So many hidden cells of an indicator stand on the page; the file beside it has them all."""


def suppressed(review: Review, own: Words) -> dict[str, Any]:
    """Hidden cells by indicator: numbers by rule, which sum up to the certificate's, and the first of the cells."""
    hidden, threshold = hidden_cells(review.decisions, review.as_of), review.certificate["rules"]["threshold"]
    counts: dict[str, dict[str, int]] = {}
    for indicator, rule, cells in by_rule(hidden).iter_rows():
        counts.setdefault(indicator, {})[rule] = cells
    rules = [rule for rule in RULES if any(rule in found for found in counts.values())]
    of = dict(review.table.group_by("indicator").len().iter_rows())
    totals = {name: pair for name, *pair in district_totals(own_cells(review.table, review.as_of)).iter_rows()}
    parts = {name: part for (name,), part in hidden.partition_by("indicator", as_dict=True).items()}
    places = own.places(review.areas)
    rows = [
        {
            "title": review.titles[name][own.language],
            "address": f"../public/{own.language}/{indicator_page(name)}",
            "counts": [own.count(found.get(rule, 0)) for rule in rules],
            "total": own.count(sum(found.values())),
            "share": own.share(sum(found.values()), of[name]),
            "districts": own.say("of_all", part=totals[name][1], all=totals[name][0]) if name in totals else "–",
            **_cells(parts[name], review, own, places, threshold),
        }
        for name, found in sorted(counts.items(), key=lambda one: review.titles[one[0]][own.language])
    ]
    sums = {rule: sum(found.get(rule, 0) for found in counts.values()) for rule in rules}
    return {
        "rules": [own.rule(rule, threshold) for rule in rules],
        "unsafe": own.unsafe(threshold),
        "rows": rows,
        "sums": [own.count(sums[rule]) for rule in rules],
        "sum": own.count(hidden.height),
        "sum_share": own.share(hidden.height, review.table.height),
        "dates": ", ".join(own.date(day) for day in sorted(set(review.table[AS_OF]))),
    }


def _cells(
    hidden: pl.DataFrame, review: Review, own: Words, places: Mapping[str, str], threshold: int
) -> dict[str, Any]:
    """The first hidden cells of an indicator, and how many there are."""
    shown = [
        (
            _place(major, district, places),
            own.group(sex, age_band) + ("" if day == review.as_of.isoformat() else f" ({own.date(day)})"),
            own.measure(measure),
            own.rule(rule, threshold),
        )
        for day, _, major, district, sex, age_band, measure, rule in hidden.head(SHOWN).iter_rows()
    ]
    key = "cells_all" if hidden.height <= SHOWN else "cells_some"
    title = review.titles[hidden["indicator"][0]][own.language]
    return {"cells": shown, "summary": own.say(key, title=title, count=hidden.height, shown=len(shown))}


def _place(major: str, district: str, places: Mapping[str, str]) -> str:
    """The name of an area; a major district is told from a district of the same name by standing alone."""
    above = places.get(major, major)
    return above if district in (TOTAL, major) else f"{above}: {places.get(district, district)}"
