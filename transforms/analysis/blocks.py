"""The counts of a lake of any size: ranges of persons evaluated one after the other, and their counts added up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.indicators import Indicator
from transforms.analysis.counts import counts, detail_columns, details, residents
from transforms.analysis.evaluation import evaluate
from transforms.analysis.lake import PERSONS_AT_ONCE, Files, Lake


@dataclass(frozen=True)
class Counted:
    """`counts`, `details` and `residents` of a whole lake: COUNT_SCHEMA, DETAIL_SCHEMA, RESIDENT_SCHEMA."""

    counts: pl.DataFrame
    details: pl.DataFrame
    residents: pl.DataFrame


def count_lake(
    files: Files,
    indicators: Sequence[Indicator],
    as_ofs: Sequence[date],
    age_band_starts: Sequence[int],
    areas: pl.DataFrame,
    persons_at_once: int = PERSONS_AT_ONCE,
) -> Counted:
    """Count everybody, so many persons at a time; what they are counted from is as for `evaluate`, which raises.

    Memory grows with `persons_at_once` and not with the lake. Rows and their order do not depend on it.
    """
    found: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = []
    labels: dict[str, Sequence[str]] = {}
    for lake in Lake(files).blocks(persons_at_once):
        statuses = evaluate(lake, indicators, as_ofs, age_band_starts, areas)
        found.append((counts(statuses), details(statuses), residents(statuses)))
        labels = {"area_code": statuses.area_codes, "age_band": statuses.age_bands}
        del statuses  # two ranges are never held at once
    labels |= {
        "indicator": [indicator.id for indicator in indicators],
        "indicator detail": [f"{one.id} {detail}" for one in indicators for detail in detail_columns(one)],
        "as_of": [as_of.isoformat() for as_of in as_ofs],
        "sex": sorted({sex for _, _, residing in found for sex in residing["sex"].unique()}),
    }
    return Counted(*(_added(frames, labels) for frames in zip(*found, strict=True)))


def _added(frames: Sequence[pl.DataFrame], labels: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The sums of counts of disjoint persons, in the order of the labels."""
    if len(frames) == 1:
        return frames[0]
    measures = [name for name, kind in frames[0].schema.items() if kind == pl.Int64]
    keys = [name for name in frames[0].columns if name not in measures]
    kind = [pl.concat_str("indicator", "detail", separator=" ").alias("indicator detail")] if "detail" in keys else []
    placed = [pl.col(name).cast(pl.String) for name in keys if name in labels and not (kind and name == "indicator")]
    order = [place.cast(pl.Enum(labels[place.meta.output_name()])) for place in kind + placed]
    return pl.concat(frames).group_by(keys).agg(pl.col(measures).sum()).sort(order)
