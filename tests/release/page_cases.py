"""An invented protected table over any geography, of the shape that the pages are made from."""

from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from schemas.areas import DISTRICT
from schemas.policy import Disclosure
from transforms.release.page import Release
from transforms.release.page_figures import GROUP

BANDS = ("0-17", "18-44", "45-64", "65-74", "75-")
RELEASE = Release(
    release_id="2026-10-31-1",
    as_of=date(2026, 10, 31),
    created=date(2026, 11, 3),
    generated=True,
    rules=Disclosure(threshold=5, zeros="publish", group_disclosure=True, guarantee="not_exact", effort="normal"),
    software_version="0.1.0",
)


@dataclass(frozen=True)
class Text:
    id: str
    title: dict[str, str]
    target_group: dict[str, str]
    description: dict[str, str]
    source: dict[str, str]
    version: int = 1
    exclusions: tuple[Any, ...] = ()


def texts(*ids: str) -> list[Text]:
    return [
        Text(
            indicator,
            {language: f"{indicator} {word}" for language, word in languages},
            {language: f"Target group of {indicator}, {language}" for language, _ in languages},
            {language: f'{word} <b>& "{indicator}"</b>' for language, word in languages},
            {language: f"Käypä hoito <2026>, {language}" for language, _ in languages},
        )
        for indicator in ids
        for languages in [(("fi", "Verenpaine mittaamatta"), ("sv", "Blodtryck ej mätt"), ("en", "No blood pressure"))]
    ]


def dated(table: pl.DataFrame, as_of: date = RELEASE.as_of) -> pl.DataFrame:
    """The same as a release's table has it: of a date."""
    return table.select(pl.lit(as_of.isoformat()).alias("as_of"), pl.all())


def protected_table(areas: pl.DataFrame, indicators: list[str], seed: int = 7, size: int = 600) -> pl.DataFrame:
    """One row per cell, with `reason` (why it is hidden), which a page must take no notice of."""
    random = np.random.default_rng(seed)
    districts = [
        *areas.filter(pl.col("level") == DISTRICT).select("parent", "code").iter_rows(),
        ("unknown", "unknown"),
    ]
    inner = pl.DataFrame(
        [(i, *d, s, a) for i, d, s, a in product(indicators, districts, ("female", "male"), BANDS)],
        schema=list(GROUP),
        orient="row",
    )
    share = random.beta(6, 25, len(districts))
    weight = np.tile(np.repeat(np.clip(random.lognormal(0, 0.7, len(districts)), 0.02, 4), 10), len(indicators))
    eligible = random.poisson(size / 10 * weight * np.tile([0.01, 0.3, 1.2, 1.6, 1.9], inner.height // 5))
    gap = random.binomial(eligible, np.tile(np.repeat(share, 10), len(indicators)))
    inner = inner.with_columns(eligible=pl.Series(eligible), gap=pl.Series(gap))
    inner = inner.with_columns(closed=pl.col("eligible") - pl.col("gap"))
    summed = [[], ["district"], ["major", "district"]]
    cells = pl.concat(
        inner.with_columns(pl.lit("*").alias(name) for name in [*area, *sex, *age])
        .group_by(*GROUP, maintain_order=True)
        .agg(pl.col("eligible", "gap", "closed").sum())
        for area, sex, age in product(summed, ([], ["sex"]), ([], ["age_band"]))
    )
    long = cells.unpivot(["gap", "closed", "eligible"], index=list(GROUP), variable_name="measure")
    secondary = pl.Series(random.random(long.height) < 0.02) & (pl.col("district") != "*")
    small = pl.col("value").is_between(1, 4)
    reason = pl.when(small).then(pl.lit("small")).when(secondary).then(pl.lit("secondary"))
    return long.with_columns(reason=reason).with_columns(
        value=pl.when(pl.col("reason").is_null()).then(pl.col("value").cast(pl.Int64)),
        status=pl.when(pl.col("reason").is_null()).then(pl.lit("published")).otherwise(pl.lit("suppressed")),
    )
