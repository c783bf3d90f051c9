"""Count tables as cells and the sums that tie them: what is published, and what an attacker can add up."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.spec import MEASURE, SUMMED, Spec

Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SAFE, SMALL, ZERO, GROUP = "safe", "small", "zero", "group"
"""Why a cell is unsafe: a small count, a zero where zeros are protected, or a group in which everybody has the gap."""
LARGEST = 10**9
"""Of more people the sums of a table are no longer told apart by a solver's numbers."""
ENDLESS = 2**62
"""The roof of a cell that has none."""
ELIGIBLE, GAP, CLOSED = "eligible", "gap", "closed"
"""The measures of a linked table: eligible = gap + closed."""


@dataclass(frozen=True)
class Axis:
    """The nodes of one dimension: the total first, every other node after its parent.

    `labels` has one row per node and one column per level, `*` where the level is summed over. `parent` is -1 for the
    total.
    """

    labels: pl.DataFrame
    parent: Whole
    depth: Whole


@dataclass(frozen=True)
class Merged:
    """One entry per merged cell: cells that are the same sum of inner cells, for an attacker one unknown.

    `count` is how many cells of the table it stands for; `floor` and `roof` are the least and the most that a change
    may make of it when it is hidden, a `roof` of ENDLESS none. A `fixed` cell is public whatever is decided, an `open`
    one hidden whatever is decided, though nobody needs it to be; a `loose` one is open too, is in no table, and may be
    known. Sum k says that the merged cell `parent[k]` is the sum of `child[start[k]:start[k + 1]]`; the sums marked
    `basis` imply all the others.
    """

    value: Whole
    floor: Whole
    roof: Whole
    unsafe: Mask
    fixed: Mask
    open: Mask
    count: Whole
    parent: Whole
    start: Whole
    child: Whole
    basis: Mask
    loose: Mask

    @property
    def size(self) -> int:
        """Number of merged cells."""
        return len(self.value)

    @property
    def up(self) -> npt.NDArray[np.float64]:
        """How far each merged cell can go up; infinite where there is no end."""
        return np.where(self.roof < ENDLESS, self.roof - self.value, np.inf)

    @property
    def down(self) -> npt.NDArray[np.float64]:
        """How far each merged cell can go down."""
        return (self.value - self.floor).astype(float)


@dataclass(frozen=True)
class Block:
    """The table of one `by` value: one entry per cell in `value`, `unsafe_as` and `merged`.

    `merged` is the merged cell that a cell belongs to, -1 for a published zero.
    """

    key: tuple[str, ...]
    axes: tuple[Axis, ...]
    value: Whole
    unsafe_as: npt.NDArray[np.str_]
    merged: Whole
    cells: Merged

    def labels(self, by: tuple[str, ...]) -> pl.DataFrame:
        """One row per cell: the `by` columns, the levels and, in a linked table, the measure."""
        columns = [pl.Series(name, [word], dtype=pl.String) for name, word in zip(by, self.key, strict=True)]
        key = pl.DataFrame(columns) if columns else pl.DataFrame({"": [""]})
        frames = [key, *(axis.labels for axis in self.axes)]
        labels = frames[0]
        for frame in frames[1:]:
            labels = labels.join(frame, how="cross", maintain_order="left_right")
        return labels if columns else labels.drop("")


def read_counts(path: Path, spec: Spec) -> pl.DataFrame:
    """Read a CSV of inner cells; one row per cell, the spec's columns only, counts still as written.

    Raises UsageRefused where it is not CSV or a column is missing.
    """
    try:
        counts = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError, UnicodeDecodeError):
        counts = None
    if counts is None:
        raise UsageRefused("the file cannot be read as CSV", "Give a CSV file with a header", table="counts")
    _has_columns(counts, spec)
    return counts.select(*spec.labels, *spec.counts)


def build_blocks(counts: pl.DataFrame, spec: Spec) -> list[Block]:
    """Make one table for each `by` value, sorted by it, from inner cells; an inner cell without a row counts nobody.

    Raises UsageRefused for a missing column and DisclosureRefused for counts that are no such table.
    """
    inner = check_counts(counts, spec)
    if not spec.by:
        return [_block((), inner, spec)]
    parts = inner.sort(spec.by).partition_by(spec.by, as_dict=True, maintain_order=True)
    return [_block(tuple(str(word) for word in key), part, spec) for key, part in parts.items()]


def check_counts(counts: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """Check inner cells and bring them to text labels and Int64 counts; one row per inner cell.

    The table of a `by` value may do without a dimension: `*` in all its rows.
    """
    _has_columns(counts, spec)
    if counts.is_empty():
        _refuse("there is no cell to publish", None, 0)
    counts = counts.select(
        *(pl.col(name).cast(pl.String).str.strip_chars() for name in spec.labels),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in spec.counts),
    )
    for name in spec.labels:
        _none_of(counts, pl.col(name).is_null() | (pl.col(name) == ""), "the label is missing", name)
    kept = f"{SUMMED} is kept for sums; give inner cells only"
    for name in spec.by:
        _none_of(counts, pl.col(name) == SUMMED, kept, name)
    for levels in spec.dimensions:
        is_left_out = pl.all_horizontal(pl.col(levels) == SUMMED).all()
        left_out = is_left_out.over(spec.by) if spec.by else is_left_out
        for name in levels:
            _none_of(counts, (pl.col(name) == SUMMED) & ~left_out, kept, name)
    for name in spec.counts:
        whole = pl.col(name).is_finite() & (pl.col(name) == pl.col(name).floor())
        _none_of(counts, ~whole.fill_null(False), "the count is not a whole number", name)
        _none_of(counts, pl.col(name) > LARGEST, f"the count is above {LARGEST:,}", name)
        _none_of(counts, pl.col(name) < 0, "the count is negative", name)
    if spec.eligible is not None:
        _none_of(counts, pl.col(spec.count) > pl.col(spec.eligible), "the count is above the eligible", spec.count)
    _none_of(counts, pl.struct(spec.labels).is_duplicated(), "a cell stands more than once; sum its rows", None)
    for levels in spec.dimensions:
        for upper, lower in pairwise(levels):
            pairs = counts.select(upper, lower).unique()
            _none_of(pairs, pl.col(lower).is_duplicated(), f"the level has two parents in {upper}", lower)
    return counts.cast(dict.fromkeys(spec.counts, pl.Int64))


def _block(key: tuple[str, ...], inner: pl.DataFrame, spec: Spec) -> Block:
    axes = [_axis(inner, levels) for levels in spec.dimensions]
    shape = tuple(len(axis.parent) for axis in axes)
    flat = np.zeros(inner.height, np.int64)
    for axis, levels in zip(axes, spec.dimensions, strict=True):
        node = inner.select(levels).join(axis.labels.with_row_index("#node"), on=levels, maintain_order="left")["#node"]
        flat = flat * len(axis.parent) + node.to_numpy().astype(np.int64)
    value = np.zeros(np.prod(shape), np.int64)
    value[flat] = inner[spec.count].to_numpy()
    if spec.eligible is not None:
        closed = np.zeros_like(value)
        closed[flat] = (inner[spec.eligible] - inner[spec.count]).to_numpy()
        value = np.stack([np.zeros_like(value), value, closed], axis=-1)
        labels = pl.DataFrame({MEASURE: [ELIGIBLE, GAP, CLOSED]})
        axes.append(Axis(labels, np.array([-1, 0, 0]), np.array([0, 1, 1])))
        shape = (*shape, 3)
    value = _sum_up(value.reshape(shape), axes)
    unsafe_as, floor = _unsafe(value, spec)
    fixed = np.zeros(value.shape, bool)
    if spec.public_eligible:
        fixed[..., 0] = True
    merged, cells = _merge(tuple(axes), value.ravel(), unsafe_as.ravel() != SAFE, floor.ravel(), fixed.ravel())
    return Block(key, tuple(axes), value.ravel(), unsafe_as.ravel(), merged, cells)


def _axis(inner: pl.DataFrame, levels: tuple[str, ...]) -> Axis:
    leaves = inner.select(levels).unique().filter(pl.col(levels[-1]) != SUMMED)
    total = pl.DataFrame({name: [None] for name in levels}, schema=leaves.schema)
    below = (
        leaves.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in levels[depth:]).unique()
        for depth in range(1, len(levels) + 1)
    )
    nodes = pl.concat([total, *below]).sort(levels, nulls_last=False)
    depth = nodes.select(pl.sum_horizontal(pl.col(name).is_not_null() for name in levels)).to_series()
    labels = nodes.with_columns(pl.col(levels).fill_null(SUMMED))
    above = nodes.select(
        pl.when(depth == place + 1).then(pl.lit(SUMMED)).otherwise(pl.col(name).fill_null(SUMMED)).alias(name)
        for place, name in enumerate(levels)
    )
    parent = above.join(labels.with_row_index("#node"), on=levels, how="left", maintain_order="left")["#node"]
    return Axis(
        labels,
        np.where(depth.to_numpy() == 0, -1, parent.to_numpy().astype(np.int64)),
        depth.to_numpy().astype(np.int64),
    )


def _sum_up(value: Whole, axes: list[Axis]) -> Whole:
    for place, axis in enumerate(axes):
        along = np.moveaxis(value, place, 0)
        for depth in range(int(axis.depth.max()), 0, -1):
            nodes = np.flatnonzero(axis.depth == depth)
            np.add.at(along, axis.parent[nodes], along[nodes])
    return value


def _unsafe(value: Whole, spec: Spec) -> tuple[npt.NDArray[np.str_], Whole]:
    """Why each cell is unsafe, and the least that must be allowed for where it is hidden.

    Where zeros are published a hidden count is at least 1, but for the closed under group disclosure: a hidden closed
    may be the 0 of a group in which everybody has the gap. Somebody who is counted knows that his cell is not empty.
    """
    rules = spec.rules
    unsafe_as = np.where((value >= 1) & (value < spec.safe_from), SMALL, SAFE)
    floor = np.full(value.shape, int(rules.zeros == "publish"))
    if rules.zeros == "protect":
        unsafe_as[value == 0] = ZERO
    if spec.eligible is not None and rules.group_disclosure:
        everybody = (value[..., 2] == 0) & (value[..., 0] >= 1)
        unsafe_as[..., 2][everybody] = GROUP
        floor[..., 2] = 0
    if spec.public_eligible:
        unsafe_as[..., 0] = SAFE
        unsafe_as[value[..., 0] == 0] = SAFE
    if spec.self_contribution:
        floor = np.maximum(floor, value >= 1)
    return unsafe_as, floor


def _merge(axes: tuple[Axis, ...], value: Whole, unsafe: Mask, floor: Whole, fixed: Mask) -> tuple[Whole, Merged]:
    """Merge cells that are the same sum: a cell with one child that is not a published zero is that child.

    Going down from any cell by such steps ends at the same cell, the finest with that sum; the sums of these finest
    cells are all the sums there are.
    """
    unknown = unsafe | (value > 0)
    pairs = [_parents_and_children(axes, place, unknown) for place in range(len(axes))]
    finest = np.arange(len(value))
    for parent, child in pairs:
        alone = np.bincount(parent, minlength=len(value))[parent] == 1
        finest[parent[alone]] = child[alone]
    while (finest[finest] != finest).any():
        finest = finest[finest]
    kept = unknown & (finest == np.arange(len(value)))
    number = np.cumsum(kept) - 1
    merged = np.where(unknown, number[finest], -1)
    size = int(kept.sum())
    lowest = np.zeros(size, np.int64)
    np.maximum.at(lowest, merged[unknown], floor[unknown])
    is_unsafe, is_fixed = np.zeros(size, bool), np.zeros(size, bool)
    is_unsafe[merged[unsafe]] = True
    is_fixed[merged[unknown & fixed]] = True

    parents, sizes, children = [], [], []
    for parent, child in pairs:
        used = kept[parent]
        order = np.argsort(parent[used], kind="stable")
        above, width = np.unique(parent[used], return_counts=True)
        parents.append(number[above])
        sizes.append(width)
        children.append(merged[child[used][order]])
    of, width = np.concatenate(parents), np.concatenate(sizes)
    basis = np.zeros(len(of), bool)
    narrowest = np.lexsort((np.arange(len(of)), width, of))
    basis[narrowest[np.unique(of[narrowest], return_index=True)[1]]] = True
    return merged, Merged(
        value=value[kept],
        floor=lowest,
        roof=np.full(size, ENDLESS),
        unsafe=is_unsafe,
        fixed=is_fixed,
        open=np.zeros(size, bool),
        count=np.bincount(merged[unknown], minlength=size),
        parent=of,
        start=np.concatenate([[0], np.cumsum(width)]),
        child=np.concatenate(children),
        basis=basis,
        loose=np.zeros(size, bool),
    )


def above(axes: tuple[Axis, ...], place: int) -> list[tuple[Whole, Whole]]:
    """Pairs of cells one step apart along an axis, parent and child, from the deepest step up."""
    everything = np.ones(int(np.prod([len(axis.parent) for axis in axes])), bool)
    parent, child = _parents_and_children(axes, place, everything)
    stride = int(np.prod([len(axis.parent) for axis in axes[place + 1 :]], dtype=np.int64))
    depth = axes[place].depth[child // stride % len(axes[place].parent)]
    return [(parent[depth == step], child[depth == step]) for step in range(int(depth.max(initial=0)), 0, -1)]


def _parents_and_children(axes: tuple[Axis, ...], place: int, unknown: Mask) -> tuple[Whole, Whole]:
    """Pairs of cells one step apart along an axis, sorted by child, without published zeros."""
    stride = int(np.prod([len(axis.parent) for axis in axes[place + 1 :]], dtype=np.int64))
    cell = np.flatnonzero(unknown)
    node = cell // stride % len(axes[place].parent)
    above = axes[place].parent[node]
    below = above >= 0
    return (cell + (above - node) * stride)[below], cell[below]


def _has_columns(counts: pl.DataFrame, spec: Spec) -> None:
    for name in (*spec.labels, *spec.counts):
        if name not in counts.columns:
            raise UsageRefused(
                "the column is missing", "Add it to the counts, or correct the spec", table="counts", column=name
            )


def _none_of(counts: pl.DataFrame, wrong: pl.Expr, rule: str, column: str | None) -> None:
    bad = counts.select(wrong.sum()).item()
    if bad:
        _refuse(rule, column, bad)


def _refuse(rule: str, column: str | None, bad: int) -> NoReturn:
    raise DisclosureRefused(rule, "Correct the counts", table="counts", column=column, count=bad)
