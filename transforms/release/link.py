"""Tables that hang together, as one system to protect: what is the same count is hidden or published everywhere.

Tables of one population share its cells, of populations that nest the part counts no more than the whole, parts add up
to their whole, and what earlier releases of the date told stays told. Cells are the same count where they go by the
same name: in each dimension the finest level that is named, with its label.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused
from transforms.release.spec import MEASURE, SUMMED, Spec
from transforms.release.tables import ELIGIBLE, ENDLESS, GAP, Block, Mask, Merged, Whole, above

MEASURES = (GAP, ELIGIBLE)
"""Where gap and eligible are the same, so is the closed: that is a sum already."""
MANY = 4
"""A table within which so many others are is not protected together with them, but before."""


@dataclass(frozen=True)
class Earlier:
    """The table of one `by` value as it was released before: its block, and which of its cells were published."""

    block: Block
    spec: Spec
    published: Mask


@dataclass(frozen=True)
class Group:
    """Tables to protect as one.

    `blocks` are their places among the tables given; `merged` has, for each of them, the merged cell of every cell,
    -1 for a published zero.
    """

    blocks: tuple[int, ...]
    merged: tuple[Whole, ...]
    cells: Merged


Populations = list[list[tuple[str, ...]]]
Parts = list[tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]]
Rows = list[tuple[int, list[int]]]
"""Sums of merged cells: the whole and its parts."""


def populations(blocks: list[Block], spec: Spec) -> Populations:
    """The `by` values that count the same eligible people: as many in every cell."""
    alike: dict[str, list[tuple[str, ...]]] = {}
    if spec.eligible is not None:
        for block in blocks:
            eligible = named(block, spec).drop("#cell").with_columns(value=pl.Series(block.value))
            eligible = eligible.filter(pl.col(MEASURE) == ELIGIBLE)
            if spec.rules.zeros == "publish":  # a cell that counts nobody may be left out of one of two tables
                eligible = eligible.filter(pl.col("value") > 0)
            alike.setdefault(eligible.write_csv(), []).append(block.key)
    return [keys for keys in alike.values() if len(keys) > 1]


def parts(blocks: list[Block], spec: Spec) -> Parts:
    """The sums of `by` values that the spec names, with the measures that add up.

    Raises DisclosureRefused where the counts do not add up, or a value is not there.
    """
    tables = {block.key: named(block, spec).with_columns(value=pl.Series(block.value)) for block in blocks}
    found: Parts = []
    for whole, names in spec.parts:
        keys: list[tuple[str, ...]] = [(name,) for name in names]
        if missing := [key for key in ((whole,), *keys) if key not in tables]:
            rule = "a sum names values that are not in the counts"
            raise DisclosureRefused(rule, "Correct the spec", "spec", count=len(missing))
        cell = [name for name in tables[whole,].columns if name not in ("#cell", "value")]
        added = pl.concat(tables[key] for key in keys).group_by(cell).agg(other=pl.col("value").sum())
        both = tables[whole,].join(added, on=cell, how="full", coalesce=True).fill_null(0)
        wrong = both.group_by(MEASURE).agg((pl.col("value") != pl.col("other")).sum())
        bad = dict(wrong.iter_rows())
        if bad[GAP]:
            rule = "the parts do not add up to the whole"
            raise DisclosureRefused(rule, "Correct the counts or the spec", "counts", count=bad[GAP])
        found.append(((whole,), keys, [measure for measure in MEASURES if bad.get(measure) == 0]))
    return found


def link(blocks: list[Block], spec: Spec, same: Populations, sums: Parts, earlier: list[Earlier]) -> list[Group]:
    """Join the tables that hang together; a table by itself is a group of one."""
    group = {block.key: block.key for block in blocks}

    def top(key: tuple[str, ...]) -> tuple[str, ...]:
        while group[key] != key:
            key = group[key]
        return key

    outer = outer_tables(spec, set(group))
    known = [list(pair) for pair in spec.nested if pair[1] not in outer and all(key in group for key in pair)]
    for together in [*same, *([whole, *keys] for whole, keys, _ in sums), *known]:
        for key in together[1:]:
            group[top(key)] = top(together[0])
    gathered: dict[tuple[str, ...], list[int]] = {}
    for place, block in enumerate(blocks):
        gathered.setdefault(top(block.key), []).append(place)
    groups = []
    for places in gathered.values():
        keys = {blocks[place].key for place in places}
        before = [each for each in earlier if each.block.key in keys]
        if len(places) == 1 and not before:
            (place,) = places
            groups.append(Group((place,), (blocks[place].merged,), blocks[place].cells))
        else:
            groups.append(_join(tuple(places), [blocks[place] for place in places], spec, same, sums, before))
    return groups


def outer_tables(spec: Spec, keys: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The `by` values within which many others are; not those that are within such a one themselves."""
    there = [pair for pair in spec.nested if set(pair) <= keys]
    parts = Counter(whole for _, whole in there)
    outer = {whole for whole, number in parts.items() if number >= MANY}
    return outer - {part for part, whole in there if whole in outer}


def none_beyond(more: Whole) -> None:
    """Raise DisclosureRefused where a whole counts fewer people than a part, so that there are `more` below 0."""
    if (more < 0).any():
        rule = "more are eligible in a part than in the whole that it is within"
        raise DisclosureRefused(rule, "Correct the counts or the spec", "counts", count=int((more < 0).sum()))


def _join(
    places: tuple[int, ...], blocks: list[Block], spec: Spec, same: Populations, sums: Parts, earlier: list[Earlier]
) -> Group:
    tables = [(block, spec, block.cells) for block in blocks]
    tables += [(each.block, each.spec, _told(each)) for each in earlier]
    names = [named(block, of).with_columns(pl.Series("#merged", block.merged)) for block, of, _ in tables]
    start = np.cumsum([0, *(cells.size for _, _, cells in tables)])
    names = [
        frame.with_columns(
            pl.when(pl.col("#merged") >= 0).then(pl.col("#merged") + offset).otherwise(-1).alias("#merged")
        )
        for frame, offset in zip(names, start[:-1].tolist(), strict=True)
    ]
    number = {block.key: place for place, block in enumerate(blocks)}
    pairs = [same_name(names[0].clear(), names[0].clear())]
    for keys in same:
        there = [names[number[key]].filter(pl.col(MEASURE) == ELIGIBLE) for key in keys if key in number]
        pairs += [same_name(there[0], other) for other in there[1:]]
    for one, other in combinations(range(len(tables)), 2):
        if other >= len(blocks) and tables[one][0].key == tables[other][0].key:
            pairs.append(same_name(names[one], names[other].filter(~pl.Series(_changed(tables, names, one, other)))))
    rows: Rows = []
    for whole, keys, measures in sums:
        if whole in number:
            rows += _added(names[number[whole]], [names[number[key]] for key in keys], measures)
    systems = [cells for _, _, cells in tables]
    value = np.concatenate([cells.value for cells in systems])
    for part, whole in spec.nested:
        if part in number and whole in number:
            beyond, more = _beyond(names[number[part]], names[number[whole]], value, sum(each.size for each in systems))
            systems.append(beyond)
            rows += more
    pairs += [pl.DataFrame({"#merged": [whole], "#merged_right": part}) for whole, part in rows if len(part) == 1]
    cells, place = _unite(systems, pl.concat(pairs), [row for row in rows if len(row[1]) > 1])
    merged = [
        np.append(place[offset : offset + block.cells.size], -1)[block.merged]
        for block, offset in zip(blocks, start[:-1].tolist(), strict=False)
    ]
    return Group(places, tuple(merged), cells)


def _told(earlier: Earlier) -> Merged:
    """The merged cells of an earlier table: what was published is public for good, what was hidden stays so."""
    cells, known = earlier.block.cells, earlier.block.merged >= 0
    fixed, hidden = np.zeros(cells.size, bool), np.zeros(cells.size, bool)
    fixed[earlier.block.merged[known & earlier.published]] = True
    hidden[earlier.block.merged[known & ~earlier.published]] = True
    return Merged(
        value=cells.value,
        floor=cells.floor,
        roof=cells.roof,
        unsafe=cells.unsafe & ~fixed,
        fixed=fixed,
        open=hidden & ~fixed,
        count=np.zeros(cells.size, np.int64),
        parent=cells.parent,
        start=cells.start,
        child=cells.child,
        basis=cells.basis,
        loose=np.zeros(cells.size, bool),
    )


def _beyond(small: pl.DataFrame, large: pl.DataFrame, value: Whole, first: int) -> tuple[Merged, Rows]:
    """How many more are eligible in the second of two tables than in the first: a cell each, and the sums that say so.

    These cells are in no table. An attacker knows that none is below 0, and may know more of them.
    """
    of = [table.filter(pl.col(MEASURE) == ELIGIBLE) for table in (small, large)]
    pairs = same_name(*of).filter(pl.all_horizontal(pl.all() >= 0)).unique(maintain_order=True)
    part, whole = pairs["#merged"].to_numpy(), pairs["#merged_right"].to_numpy()
    size, none = pairs.height, np.zeros(0, np.int64)
    more, no, yes = value[whole] - value[part], np.zeros(size, bool), np.ones(size, bool)
    none_beyond(more)
    count = np.zeros(size, np.int64)
    roof = np.full(size, ENDLESS)
    cells = Merged(more, count, roof, no, no, yes, count, none, np.zeros(1, np.int64), none, np.zeros(0, bool), yes)
    return cells, [(top, [below, first + number]) for number, (below, top) in enumerate(pairs.iter_rows())]


def named(block: Block, spec: Spec) -> pl.DataFrame:
    """The name of each cell, free of the levels above the finest one, its measure and `cell`, its place."""
    labels = block.labels(spec.by)
    columns = []
    for levels in spec.dimensions:
        for place, level in enumerate(levels):
            is_finest = pl.lit(True) if place + 1 == len(levels) else pl.col(levels[place + 1]) == SUMMED
            columns.append(pl.when(is_finest).then(level).otherwise(pl.lit(SUMMED)).alias(level))
    measure = pl.col(MEASURE) if spec.eligible is not None else pl.lit(GAP).alias(MEASURE)
    return labels.select(*columns, measure).with_row_index("#cell")


def same_name(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Pairs of merged cells that are the same count; one row per cell that both tables have."""
    plain = ("#cell", "#merged")
    levels = sorted({*one.columns, *other.columns} - {*plain})
    one = one.with_columns(pl.lit(SUMMED).alias(name) for name in levels if name not in one.columns)
    other = other.with_columns(pl.lit(SUMMED).alias(name) for name in levels if name not in other.columns)
    return one.join(other, on=levels, how="inner").select("#merged", "#merged_right")


def _changed(tables: list[tuple[Block, Spec, Merged]], names: list[pl.DataFrame], one: int, other: int) -> Mask:
    """The cells of an earlier table whose count, or the count of a part, is another in a later one.

    As many eligible are the same count even where there are more gaps: that is what a correction of a gap leaves.
    """
    block, spec, _ = tables[other]
    numbered = [names[each].with_columns(pl.col("#cell").cast(pl.Int64).alias("#merged")) for each in (one, other)]
    both = same_name(*numbered)
    new, old = both["#merged"].to_numpy(), both["#merged_right"].to_numpy()
    differs = np.zeros(len(block.value), bool)
    differs[old[tables[one][0].value[new] != block.value[old]]] = True
    for place in range(len(spec.dimensions)):
        for parent, child in above(block.axes, place):
            np.logical_or.at(differs, parent, differs[child])
    return differs


def _added(whole: pl.DataFrame, of: list[pl.DataFrame], measures: list[str]) -> Rows:
    """The merged cells that add up, one entry per cell of the whole that is not a published zero."""
    cell = [name for name in whole.columns if name not in ("#cell", "#merged")]
    known = pl.col("#merged") >= 0
    part = pl.concat(of).filter(known, pl.col(MEASURE).is_in(measures)).select(*cell, pl.col("#merged").alias("#part"))
    both = whole.filter(known).join(part, on=cell).group_by("#merged", "#cell", maintain_order=True).agg("#part")
    return [(top, sorted(below)) for top, below in both.select("#merged", "#part").iter_rows()]


def _unite(tables: list[Merged], pairs: pl.DataFrame, rows: Rows) -> tuple[Merged, Whole]:
    """One system of all tables in which the pairs are one cell each, and where every cell went."""
    pairs = pairs.filter(pl.col("#merged") != pl.col("#merged_right"))
    one, other = pairs["#merged"].to_numpy(), pairs["#merged_right"].to_numpy()
    start = np.cumsum([0, *(cells.size for cells in tables)])
    label = np.arange(start[-1])
    told = np.zeros(len(label), bool)
    # a count that one table gives as a published zero is known in the other
    told[np.concatenate([one[other < 0], other[one < 0]])] = True
    known = (one >= 0) & (other >= 0)
    one, other = one[known], other[known]
    while (label[one] != label[other]).any():
        least = np.minimum(label[one], label[other])
        np.minimum.at(label, label[one], least)
        np.minimum.at(label, label[other], least)
        label = label[label]
    kept, place = np.unique(label, return_inverse=True)
    sums: dict[tuple[int, tuple[int, ...]], bool] = {}
    for cells, offset in zip(tables, start[:-1].tolist(), strict=True):
        parent, child = place[cells.parent + offset].tolist(), place[cells.child + offset].tolist()
        for number, is_basis in enumerate(cells.basis.tolist()):
            row = parent[number], tuple(sorted(child[cells.start[number] : cells.start[number + 1]]))
            sums[row] = sums.get(row, False) or is_basis
    sums |= {(int(place[top]), tuple(sorted(place[below].tolist()))): True for top, below in rows}
    sums = {row: is_basis for row, is_basis in sums.items() if row[0] not in row[1] and len(set(row[1])) == len(row[1])}

    def any_of(masks: list[Mask]) -> Mask:
        return np.bincount(place, weights=np.concatenate(masks), minlength=len(kept)) > 0

    floor = np.zeros(len(kept), np.int64)
    np.maximum.at(floor, place, np.concatenate([cells.floor for cells in tables]))
    roof = np.full(len(kept), ENDLESS)
    np.minimum.at(roof, place, np.concatenate([cells.roof for cells in tables]))
    children = [np.array(row[1], np.int64) for row in sums]
    fixed = any_of([np.concatenate([cells.fixed for cells in tables]) | told])
    return Merged(
        value=np.concatenate([cells.value for cells in tables])[kept],
        floor=floor,
        roof=roof,
        unsafe=any_of([cells.unsafe for cells in tables]),
        fixed=fixed,
        open=any_of([cells.open for cells in tables]) & ~fixed,
        count=np.bincount(place, weights=np.concatenate([cells.count for cells in tables])).astype(np.int64),
        parent=np.array([row[0] for row in sums], np.int64),
        start=np.concatenate([[0], np.cumsum([len(row) for row in children])]).astype(np.int64),
        child=np.concatenate([np.zeros(0, np.int64), *children]),
        basis=np.array(list(sums.values()), bool),
        loose=any_of([cells.loose for cells in tables]),
    ), place
