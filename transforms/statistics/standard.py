"""The standard population's weights for our age bands."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

import polars as pl

from schemas.errors import UsageRefused

_LAST = 1000
"""No age reaches it; the end of an open band."""


def band_weights(
    bands: Sequence[str],
    standard: pl.DataFrame,
    ages: tuple[int, int | None] = (0, None),
    *,
    split_years: bool = False,
) -> dict[str, float]:
    """The standard population of each age band, by the band's label ("18-44", "75-" for an open one).

    `standard` has `age_from`, `age_to` (null: open) and `weight`. `ages`, from and below in completed years, are those
    of whom the rate is about: of a band that reaches further, only what lies within counts. The standard's bands are
    joined by age, never by position. Where one of them lies across the edge of one of ours, UsageRefused; with
    `split_years` its years of age are taken for equally many, as the standard has no finer figures (its open band
    cannot be split). UsageRefused too where bands overlap or are no bands.
    """
    spans = {band: _span(band) for band in bands}
    in_order = sorted(spans.values())
    if len(set(bands)) < len(bands) or any(after[0] < before[1] for before, after in pairwise(in_order)):
        _refuse("age bands overlap", "Give each age one band")
    below = _LAST if ages[1] is None else ages[1]
    pieces = [
        (first, _LAST if last is None else last + 1, float(weight))
        for first, last, weight in standard.select("age_from", "age_to", "weight").iter_rows()
    ]
    weights = {}
    for band, (start, end) in spans.items():
        inside = max(start, ages[0]), min(end, below)
        weights[band] = sum(_part(piece, inside, split_years=split_years) for piece in pieces)
    return weights


def _part(piece: tuple[int, int, float], span: tuple[int, int], *, split_years: bool) -> float:
    """How much of a standard band lies in a span of ages."""
    first, end, weight = piece
    years = min(end, span[1]) - max(first, span[0])
    if years <= 0:
        return 0.0
    if years == end - first:
        return weight
    if not split_years or end == _LAST:
        _refuse("the standard population's bands do not nest in the age bands", "Let age bands begin where its do")
    return weight * years / (end - first)


def _span(band: str) -> tuple[int, int]:
    first, dash, last = band.partition("-")
    if not (first.isdecimal() and dash and (last.isdecimal() or not last)):
        _refuse("an age band is not written as one", 'Write "18-44", or "75-" for an open one')
    return int(first), int(last) + 1 if last else _LAST


def _refuse(rule: str, mend: str) -> NoReturn:
    raise UsageRefused(rule, mend, table="esp2013.csv", column="age_from")
