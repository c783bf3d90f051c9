"""An invented candidate as a steward sees it."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from page_cases import RELEASE, dated, protected_table

from schemas.areas import load_areas
from schemas.labels import LANGUAGES
from transforms.release.decisions import Statement
from transforms.release.publish import AS_OF
from transforms.release.review.views import (
    BUILT_IT,
    NOT_NEEDED,
    WAITING,
    Before,
    Missed,
    Quality,
    Review,
    Signatory,
    Standing,
)

AREAS = load_areas()
INDICATORS = ["CG01", "CG02", "CG03"]
CANARY = 987_654_321
"""The count of every hidden cell here: it must be nowhere."""
MARKUP = "<b>&\"'"
NOW = datetime(2026, 11, 22, 8, 5, tzinfo=UTC)
SIGNED = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
"""Half past midnight of the next day in Helsinki."""


def table_of(seed: int = 7, day: date = RELEASE.as_of, indicators: list[str] = INDICATORS) -> pl.DataFrame:
    return dated(protected_table(AREAS, indicators, seed=seed), day)


def with_decisions(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The public table, and the confidential decisions on its cells."""
    is_small, is_out = pl.col("reason") == "small", pl.col("reason").is_null()
    everybody = is_small & (pl.col("measure") == "closed")
    decisions = table.with_columns(
        value=pl.when(is_out).then("value").otherwise(CANARY),
        decision=pl.when(is_out).then(pl.lit("published")).when(is_small).then(pl.lit("primary")).otherwise("reason"),
        unsafe_as=pl.when(everybody)
        .then(pl.lit("group"))
        .when(is_small)
        .then(pl.lit("small"))
        .otherwise(pl.lit("safe")),
    ).drop("reason", "status")
    return table.drop("reason"), decisions


def signatories(**bars: str) -> list[Signatory]:
    return [
        Signatory("Data Steward", ("data_steward",), SIGNED, ""),
        Signatory("Other Steward", ("data_steward", "auditor"), None, NOT_NEEDED),
        Signatory(f"Counter {MARKUP}", ("statistician",), None, ""),
        Signatory("Builder", ("statistician",), None, BUILT_IT),
    ]


def waiting() -> Standing:
    required = {"data_steward": 1, "statistician": 1}
    return Standing(WAITING, required, {"statistician": 1}, signatories())


def review(**changes: Any) -> Review:
    """A candidate of two dates, of which the earlier has areas alone, and the release before it."""
    earlier = table_of(8, date(2025, 10, 31)).filter(pl.col("sex") == "*", pl.col("age_band") == "*")
    table, decisions = with_decisions(pl.concat([earlier, table_of()]))
    before = Before("2026-09-30-2", date(2026, 9, 30), table_of(9, date(2026, 9, 30)).drop("reason"), {"CG01": 1})
    counts = dict(decisions.group_by("decision").len().iter_rows())
    figures = {
        "cells": table.height,
        **{name: counts[name] for name in ("published", "primary", "secondary")},
        "suppressed_value_sum": 123_456,
        "exactly_recoverable": 0,
        "exactly_recoverable_safe": 2,
        "provably_small": 1_234,
        "lower_bound": {"secondary": 17, "suppressed_value_sum": 100_001, "cost": 9},
        "optimality_gap": {"secondary": 0.257, "suppressed_value_sum": 0.1899, "cost": 0.1},
        "proven_optimal": {"tables": 3, "of": 6},
    }
    rules = {"threshold": 5, "zeros": "publish", "group_disclosure": True, "guarantee": "not_exact"}
    inputs = {
        "load": "20261031-20261122T090307787998",
        "source": "feed",
        "lake": {"person": 4, "diagnosis": 7},
        "code_version": "0.1.0",
        "release_policy_version": "a" * 64,
        "feedback_address": "feedback@city.example",
        "indicator_versions": dict.fromkeys(INDICATORS, 1) | {"CG01": 2},
        "singling_out": [{"attributes": ["birth_date", "sex"], "share_unique": 0.7031, "share_in_small_groups": 0.9}],
    }
    missed = Missed(
        "warn",
        *({language: f"{word} {language}" for language in LANGUAGES} for word in ("table", "what", "3 %", "1 %")),
    )
    found = Review(
        manifest={
            "release_id": RELEASE.release_id,
            "as_of": RELEASE.as_of.isoformat(),
            "created": "2026-11-20",
            "built_by": "nightly",
            "generated": False,
            "inputs": inputs,
        },
        digest="b" * 64,
        standing=waiting(),
        made=[Statement(RELEASE.release_id, "b" * 64, "approve", "Data Steward", MARKUP, SIGNED.isoformat(), "")],
        certificate={"rules": rules, "earlier_releases": 2, "populations": [["x", "y"]]},
        figures=figures,
        table=table,
        decisions=decisions,
        before=before,
        quality=Quality(237, [missed], {language: f"../{language}.html" for language in LANGUAGES}),
        areas=AREAS,
        titles={
            name: {language: f"{name} {MARKUP} {language}" for language in LANGUAGES} for name in [*INDICATORS, "CG09"]
        },
        folder="data/release/published/2026-10-31-1",
        command="caregap",
        written=NOW,
    )
    return replace(found, **changes)


def hidden_rows(decisions: pl.DataFrame) -> list[dict[str, Any]]:
    """Every hidden cell and its rule, plainly."""
    return [
        {name: row[name] for name in (AS_OF, "indicator", "major", "district", "sex", "age_band", "measure")}
        | {"rule": row["unsafe_as"] if row["decision"] == "primary" else "secondary"}
        for row in decisions.iter_rows(named=True)
        if row["decision"] != "published"
    ]


def city(cells: pl.DataFrame, day: str) -> dict[tuple[str, str], int | None]:
    """The city's counts by indicator and measure, plainly."""
    return {
        (row["indicator"], row["measure"]): row["value"]
        for row in cells.iter_rows(named=True)
        if row["as_of"] == day and {row[name] for name in ("major", "district", "sex", "age_band")} == {"*"}
    }


def number(text: str, language: str) -> float | None:
    """A number as the language writes it, back; None for the symbol of a hidden one."""
    if text == "...":
        return None
    text = text.replace("\u00a0", "")
    text = text.replace(",", "") if language == "en" else text.replace(",", ".")
    found = re.match(r"([+−±]?)(\d+(?:\.\d+)?)", text)
    assert found, text
    return float(found[2]) * (-1 if found[1] == "−" else 1)
