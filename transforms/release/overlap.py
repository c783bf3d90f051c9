"""Tables of the same people cut in different ways: the small groups that both cuts are made of.

The auditor's reading. Two age bandings, two geographies or more than two tables count the same people, so that there is
one whole count of each smallest group, and every table adds these up. Nothing more can be known of the tables together,
and nothing less is assumed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused
from transforms.release.published import SUMMED, Rules
from transforms.release.unknowns import Numbers, Places

BAND = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+)?|\s*(\+))?")
MOST_ATOMS = 500_000
ENDLESS = 10**6
"""The age that an open band ends at."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One dimension of one table: its levels, and one row per innermost group."""

    table: int
    levels: tuple[str, ...]
    leaves: pl.DataFrame

    @property
    def leaf(self) -> str:
        """The finest level."""
        return self.levels[-1]


def named_alike(tables: Sequence[tuple[pl.DataFrame, Rules]], correspondence: pl.DataFrame | None = None) -> bool:
    """Whether equal names tell all that tables of the same people tell together.

    They do where the groups of one table are the finest in every dimension, and for two tables where in each dimension
    those of one nest in those of the other. Raises DisclosureRefused where nobody says how two dimensions overlap.
    """
    classes = _classes(tables, correspondence)
    finest = [{cut.table for cut in cuts if _refines_all(cut, cuts)} for cuts in classes]
    if any(not tables_of for tables_of in finest):
        return False
    everywhere = set(range(len(tables)))
    for of in finest:
        everywhere &= of
    return len(tables) <= 2 or bool(everywhere)


def atoms(
    tables: Sequence[tuple[pl.DataFrame, Rules]], start: Places, correspondence: pl.DataFrame | None, extra: int
) -> tuple[tuple[Places, Places, Numbers], int]:
    """Equations that make the inner cells of each table sums of smallest groups, and how many groups there are.

    The groups are cells from `extra` on: the smallest ones, and their sums over each dimension, for these are groups of
    people too whether a table has them or not. Raises DisclosureRefused where it cannot be said which there are.
    """
    measures = pl.DataFrame(
        {"#measure": ["gap", "closed"] if sum(rules.linked for _, rules in tables) > 1 else ["gap"]}
    )
    classes = _classes(tables, correspondence)
    groups = [measures, *(_groups(cuts, correspondence) for cuts in classes)]
    shape = [each.height + (each.height > 1) for each in groups]
    size = int(np.prod(shape, dtype=np.float64))
    if size > MOST_ATOMS:
        _refuse("the tables of the same people have too many groups in common to prove anything of them", size)
    number_of = np.arange(size).reshape(shape)
    rows, row, cell, factor = _sums_of_groups(number_of, extra)
    frame = measures.clear()
    for place, each in enumerate(groups):
        first = shape[place] - each.height
        each = each.with_columns(pl.Series(f"#{place}", np.arange(first, shape[place])))
        frame = frame.join(each, how="cross") if place else each
    inmost = number_of[tuple(frame[f"#{place}"].to_numpy() for place in range(len(groups)))]
    frame = frame.with_columns(pl.Series("#atom", inmost))
    for number, (table, rules) in enumerate(tables):
        names = {cut.leaf: f"{number} {cut.leaf}" for cuts in classes for cut in cuts if cut.table == number}
        measure = pl.col("measure") if rules.linked else pl.lit("gap")
        inner = table.with_row_index("#cell").select("#cell", *names, measure.alias("#measure"))
        inner = inner.filter(pl.col("#measure") != "eligible", *(pl.col(name) != SUMMED for name in names))
        inner = inner.rename(names).with_row_index("#row")
        of = frame.join(inner, on=[*names.values(), "#measure"], how="left", maintain_order="left")
        of = of.filter(pl.col("#measure").is_in(inner["#measure"].unique().to_list()))
        # a group that is in no cell of a table counts nobody there
        nobody = of.filter(pl.col("#row").is_null())
        of = of.drop_nulls("#row")
        row += [inner["#row"].to_numpy() + rows, of["#row"].to_numpy() + rows]
        rows += inner.height
        row.append(np.arange(nobody.height) + rows)
        rows += nobody.height
        cell += [inner["#cell"].to_numpy() + start[number], of["#atom"].to_numpy() + extra]
        cell.append(nobody["#atom"].to_numpy() + extra)
        factor += [np.ones(inner.height), -np.ones(of.height), np.ones(nobody.height)]
    all_rows = np.concatenate(row).astype(np.int64)
    order = np.argsort(all_rows, kind="stable")
    entries = all_rows[order], np.concatenate(cell).astype(np.int64)[order], np.concatenate(factor)[order]
    return entries, size


def _sums_of_groups(number: Places, extra: int) -> tuple[int, list[Places], list[Places], list[Numbers]]:
    """How many sums tie the groups, and their entries: along each axis the first is the sum of the others."""
    rows, row, cell, factor = 0, list[Places](), list[Places](), list[Numbers]()
    for axis in range(number.ndim):
        along = np.moveaxis(number, axis, 0).reshape(number.shape[axis], -1)
        if len(along) > 1:
            row.append(np.tile(np.arange(along.shape[1]), len(along)) + rows)
            cell.append(along.ravel() + extra)
            factor.append(np.repeat(np.where(np.arange(len(along)) == 0, 1.0, -1.0), along.shape[1]))
            rows += along.shape[1]
    return rows, row, cell, factor


def _classes(tables: Sequence[tuple[pl.DataFrame, Rules]], correspondence: pl.DataFrame | None) -> list[list[Cut]]:
    """The dimensions that cut the same thing: those with a level in common, two bandings, or by a correspondence."""
    classes: list[list[Cut]] = []
    for number, (table, rules) in enumerate(tables):
        for levels in rules.dimensions:
            leaves = table.filter(pl.col(levels[-1]) != SUMMED).select(levels).unique(maintain_order=True)
            cut = Cut(number, levels, leaves)
            alike = [cuts for cuts in classes if any(set(cut.levels) & set(other.levels) for other in cuts)]
            classes = [cuts for cuts in classes if all(cuts is not other for other in alike)]
            classes.append([*(other for cuts in alike for other in cuts), cut])
    while (pair := _strangers(classes, len(tables))) is not None:
        ours, theirs = pair
        bands = [[cuts for cuts in side if all(_is_banding(cut) for cut in cuts)] for side in pair]
        listed = [
            [
                cuts
                for cuts in side
                if correspondence is not None and {c.leaf for c in cuts} <= {*correspondence.columns}
            ]
            for side in pair
        ]
        fitting = [both for both in (listed, bands) if len(both[0]) == len(both[1]) == 1]
        if not fitting:
            _refuse("nothing says how a dimension of one table overlaps with that of another", len(ours) + len(theirs))
        (one,), (other,) = fitting[0]
        classes = [cuts for cuts in classes if cuts is not one and cuts is not other] + [[*one, *other]]
    for cuts in classes:
        if len({cut.table for cut in cuts}) < len(cuts):
            _refuse("two dimensions of one table overlap with one of another", len(cuts))
    return classes


def _strangers(classes: list[list[Cut]], tables: int) -> tuple[list[list[Cut]], list[list[Cut]]] | None:
    """Dimensions of which one table has some that another has not, and the other some that the one has not.

    Two dimensions of one table are two things, wherever else they are.
    """
    of = [{cut.table for cut in cuts} for cuts in classes]
    for one in range(tables):
        for other in range(one + 1, tables):
            ours = [place for place, where in enumerate(of) if one in where and other not in where]
            theirs = [place for place, where in enumerate(of) if other in where and one not in where]
            unclear = [(a, b) for a in ours for b in theirs if not of[a] & of[b]]
            if unclear:
                return tuple([classes[place] for place in sorted(set(side))] for side in zip(*unclear, strict=True))  # type: ignore[return-value]
    return None


def _refines_all(cut: Cut, cuts: list[Cut]) -> bool:
    """Whether the innermost groups of a dimension are parts of those of all the others, by their names."""
    return all(
        other.leaf in cut.levels and not _cross(cut.leaves[other.leaf], other.leaves[other.leaf]) for other in cuts
    )


def _cross(one: pl.Series, other: pl.Series) -> bool:
    """Whether two bands go by different names and have ages in common."""
    bands = [{span for name in names.unique() if (span := _span(name)) is not None} for names in (one, other)]
    return any(a != b and a[0] < b[1] and b[0] < a[1] for a in bands[0] for b in bands[1])


def _groups(cuts: list[Cut], correspondence: pl.DataFrame | None) -> pl.DataFrame:
    """One row per smallest group of a dimension; a column per table says in which of its groups it is."""
    names = {cut: f"{cut.table} {cut.leaf}" for cut in cuts}
    finest = next((cut for cut in cuts if _refines_all(cut, cuts)), None)
    if finest is not None:
        frame = finest.leaves.select(pl.col(cut.leaf).alias(name) for cut, name in names.items())
        for cut, name in names.items():
            missing = cut.leaves.select(pl.col(cut.leaf).alias(name)).unique(maintain_order=True)
            frame = pl.concat([frame, missing.join(frame, on=name, how="anti")], how="diagonal")
        return frame
    leaves = {cut.leaf for cut in cuts}
    if correspondence is not None and leaves <= {*correspondence.columns}:
        known = correspondence.select(sorted(leaves)).cast(pl.String).unique(maintain_order=True)
        for cut in cuts:
            if left_out := set(cut.leaves[cut.leaf]) - set(known[cut.leaf]):
                _refuse("the correspondence leaves groups of a table out", len(left_out))
        return known.select(pl.col(cut.leaf).alias(name) for cut, name in names.items())
    if not all(_is_banding(cut) for cut in cuts):
        _refuse("the groups of two tables overlap, and nothing says how", len(cuts))
    points = sorted({age for cut in cuts for label in cut.leaves[cut.leaf] for age in _span(label) or ()})
    columns: dict[str, list[str | None]] = {name: [] for name in names.values()}
    for low, _ in pairwise(points):
        for cut, name in names.items():
            spans = ((label, _span(label)) for label in cut.leaves[cut.leaf])
            columns[name].append(next((label for label, of in spans if of and of[0] <= low < of[1]), None))
    for label in sorted({label for cut in cuts for label in cut.leaves[cut.leaf] if _span(label) is None}):
        for cut, name in names.items():
            columns[name].append(label if label in cut.leaves[cut.leaf] else None)
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _is_banding(cut: Cut) -> bool:
    """Whether there are bands of several ages, and no two of them have an age in common."""
    spans = sorted(span for label in cut.leaves[cut.leaf] if (span := _span(label)) is not None)
    return any(b - a > 1 for a, b in spans) and all(a[1] <= b[0] for a, b in pairwise(spans))


def _span(label: str) -> tuple[int, int] | None:
    """The first age of a band and the first after it: "15-64", "65-", "65+" or "7"."""
    found = BAND.fullmatch(label.strip())
    if found is None:
        return None
    low = int(found[1])
    if found[2]:
        return low, int(found[2]) + 1
    is_one = found.end(1) == len(label.strip())
    return (low, low + 1) if is_one else (low, ENDLESS)


def _refuse(rule: str, count: int) -> None:
    raise DisclosureRefused(
        rule,
        "Give correspondence.csv with one row per smallest group and both levels, or keep to the levels of the other",
        table="table.csv",
        count=count,
    )
