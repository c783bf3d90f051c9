"""Published tables as one system: tables of one population, parts that add up, and several releases of one date.

The auditor's reading. Cells of two releases are the same count where they go by the same name: in each dimension the
finest level that is named, with its label.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from schemas.errors import UsageRefused
from transforms.release.bounds import Marks, Numbers, Places, Sums
from transforms.release.published import SUMMED, Equations, Rules, equations, floors, split

Key = tuple[str, ...]
Entries = tuple[Places, Places, Numbers]
"""Equations as entries: the row, the cell and its factor."""

COINCIDENCE = 20
"""So many published eligible counts that all agree are no coincidence: two tables that count the same people."""
ASSUMPTIONS = ("any", "all", "none")
"""What an attacker makes of a correction, the boldest first: a count is as before where any, or where all, published
counts that it is part of are as before; or nothing is."""


@dataclass(frozen=True)
class Part:
    """The table of one `by` value in one release; `release` is its place among the releases given."""

    release: int
    key: Key
    table: pl.DataFrame
    rules: Rules
    equations: Equations


def gather(tables: list[tuple[pl.DataFrame, Rules]]) -> list[list[Part]]:
    """The tables that hang together, by `by` values; the earliest release first. Each table must be checked."""
    if len({rules.by for _, rules in tables}) > 1:
        raise UsageRefused("the releases are taken apart by different columns", "Attack them one by one")
    parts = [
        Part(release, key, part, rules, equations(part, rules))
        for release, (table, rules) in enumerate(tables)
        for key, part in split(table, rules).items()
    ]
    group = {part.key: part.key for part in parts}

    def top(key: Key) -> Key:
        while group[key] != key:
            key = group[key]
        return key

    for _, rules in tables:
        for together in [*rules.populations, *((whole, *keys) for whole, keys, _ in rules.parts)]:
            for key in (each for each in together if each in group):
                group[top(key)] = top(together[0]) if together[0] in group else top(key)
    for left, right in _one_population(parts):
        group[top(right)] = top(left)
    gathered: dict[Key, list[Part]] = {}
    for part in parts:
        gathered.setdefault(top(part.key), []).append(part)
    return list(gathered.values())


def join(parts: list[Part], assume: str) -> tuple[Sums, list[slice]]:
    """One system of all the parts, and where the hidden cells of each lie among its unknowns."""
    together = tie(parts, assume)
    cells = pl.concat([part.table.select("value", "#hidden") for part in parts])
    hidden, value = cells["#hidden"].to_numpy(), cells["value"].fill_null(0).to_numpy().astype(float)
    low = np.concatenate([floors(part.table, part.rules) for part in parts]).astype(float)
    told = together.factor * value[together.cell]
    is_open = hidden[together.cell]
    number = np.cumsum(hidden) - 1
    sums = Sums(
        row=together.row[is_open],
        unknown=number[together.cell[is_open]],
        factor=together.factor[is_open],
        right=-np.bincount(together.row, weights=told, minlength=len(together.basis)).astype(float),
        basis=together.basis,
        low=low[hidden],
    )
    start = np.cumsum([0, *(part.table.height for part in parts)])
    ends = np.concatenate([[0], np.cumsum(hidden)])[start].tolist()
    return sums, [slice(*ends[place : place + 2]) for place in range(len(parts))]


def tie(parts: list[Part], assume: str) -> Equations:
    """All the sums of the parts and the equations between them; cells are counted on from part to part."""
    start = np.cumsum([0, *(part.table.height for part in parts)])
    rows, entries, basis = 0, list[Entries](), []
    for part, offset in zip(parts, start[:-1], strict=True):
        own = part.equations
        entries.append((own.row + rows, own.cell + offset, own.factor))
        basis.append(own.basis)
        rows += len(own.basis)
    for row, cell, factor in _links(parts, start[:-1], assume):
        entries.append((row + rows, cell, factor))
        basis.append(np.ones(int(row.max()) + 1 if len(row) else 0, bool))
        rows += len(basis[-1])
    row, cell, factor = (np.concatenate(column) for column in zip(*entries, strict=True))
    return Equations(row, cell, factor, np.concatenate(basis))


def _links(parts: list[Part], start: Places, assume: str) -> list[Entries]:
    """The equations between parts, as entries whose rows are counted from 0 in each."""
    found = []
    place = {(part.release, part.key): number for number, part in enumerate(parts)}
    for release, rules in {part.release: part.rules for part in parts}.items():
        detected = [(left, right) for left, right in _one_population(parts, release)]
        for same in [*rules.populations, *detected]:
            there = [place[release, key] for key in same if (release, key) in place]
            found += [_equal(parts, start, there[0], other, ["eligible"]) for other in there[1:]]
        for whole, keys, measures in rules.parts:
            if (release, whole) in place:
                of = [place[release, key] for key in keys if (release, key) in place]
                found.append(_added(parts, start, place[release, whole], of, measures))
    for one, other in combinations(range(len(parts)), 2):
        if parts[one].key == parts[other].key and parts[one].release != parts[other].release:
            found.append(_repeated(parts, start, one, other, assume))
    return found


def _equal(parts: list[Part], start: Places, one: int, other: int, measures: list[str]) -> Entries:
    pairs = _named(parts[one]).filter(pl.col("measure").is_in(measures))
    pairs = pairs.join(_named(parts[other]), on=[n for n in pairs.columns if n != "#cell"], how="inner")
    return _difference(pairs["#cell"].to_numpy() + start[one], pairs["#cell_right"].to_numpy() + start[other])


def _difference(old: Places, new: Places) -> Entries:
    row = np.repeat(np.arange(len(old)), 2)
    return row, np.stack([new, old], axis=1).ravel().astype(np.int64), np.tile([1.0, -1.0], len(old))


def _added(parts: list[Part], start: Places, whole: int, of: list[int], measures: tuple[str, ...]) -> Entries:
    above = _named(parts[whole]).filter(pl.col("measure").is_in(measures)).with_row_index("#row")
    names = [name for name in above.columns if name not in ("#cell", "#row")]
    entries = [above.select("#row", pl.col("#cell") + int(start[whole]), factor=pl.lit(1.0))]
    for part in of:
        below = above.drop("#cell").join(_named(parts[part]), on=names)
        entries.append(below.select("#row", pl.col("#cell") + int(start[part]), factor=pl.lit(-1.0)))
    together = pl.concat(entries).sort("#row", maintain_order=True)
    row, cell = together["#row"].to_numpy().astype(np.int64), together["#cell"].to_numpy().astype(np.int64)
    return row, cell, together["factor"].to_numpy()


def _repeated(parts: list[Part], start: Places, one: int, other: int, assume: str) -> Entries:
    """The cells of an earlier release that a later one has too, where an attacker takes them to be the same count."""
    earlier, later = _named(parts[one]), _named(parts[other])
    levels = set(earlier.columns) | set(later.columns)
    fill = {name: pl.lit(SUMMED).alias(name) for name in levels - {"#cell"}}
    earlier = earlier.with_columns(each for name, each in fill.items() if name not in earlier.columns)
    later = later.with_columns(each for name, each in fill.items() if name not in later.columns)
    pairs = earlier.join(later, on=sorted(levels - {"#cell"}), how="inner")
    old, new = pairs["#cell"].to_numpy(), pairs["#cell_right"].to_numpy()
    before = parts[one].table["value"].to_numpy()[old] if len(old) else np.zeros(0)
    after = parts[other].table["value"].to_numpy()[new] if len(new) else np.zeros(0)
    both = ~np.isnan(before.astype(float)) & ~np.isnan(after.astype(float))
    differs, agrees = np.zeros(parts[other].table.height, bool), np.zeros(parts[other].table.height, bool)
    differs[new[both & (before != after)]] = True
    agrees[new[both & (before == after)]] = True
    kept = np.ones(len(differs), bool)
    if differs.any():
        tree = parts[other].equations
        within = {"any": _below(tree, agrees), "all": ~_below(tree, differs), "none": np.zeros(len(differs), bool)}
        kept = within[assume] & ~_above(tree, differs)
    elif assume == "none":
        kept = ~kept
    return _difference(old[kept[new]] + start[one], new[kept[new]] + start[other])


def _below(tree: Equations, marked: Marks) -> Marks:
    """The marked cells and all that they are made of."""
    parent, child = _arcs(tree)
    marked = marked.copy()
    while (new := marked[parent] & ~marked[child]).any():
        marked[child[new]] = True
    return marked


def _above(tree: Equations, marked: Marks) -> Marks:
    """The marked cells and all that they are part of."""
    parent, child = _arcs(tree)
    marked = marked.copy()
    while (new := marked[child] & ~marked[parent]).any():
        marked[parent[new]] = True
    return marked


def _arcs(tree: Equations) -> tuple[Places, Places]:
    of = np.zeros(len(tree.basis), np.int64)
    up = tree.factor > 0
    of[tree.row[up]] = tree.cell[up]
    return of[tree.row[~up]], tree.cell[~up]


def _named(part: Part) -> pl.DataFrame:
    """The name of each cell, free of the levels above the finest one; with `cell`, its row in the part."""
    columns = []
    for levels in part.rules.dimensions:
        for place, level in enumerate(levels):
            is_finest = pl.lit(True) if place + 1 == len(levels) else pl.col(levels[place + 1]) == SUMMED
            columns.append(pl.when(is_finest).then(level).otherwise(pl.lit(SUMMED)).alias(level))
    measure = pl.col("measure") if part.rules.linked else pl.lit("gap").alias("measure")
    return part.table.select(*columns, measure).with_row_index("#cell")


def _one_population(parts: list[Part], release: int | None = None) -> list[tuple[Key, Key]]:
    """Pairs of `by` values of one release that must count the same people: all that is published of both agrees."""
    pairs, known = [], dict[tuple[int, int | None], list[tuple[Part, pl.DataFrame]]]()
    for part in parts:
        if not part.rules.linked or release not in (None, part.release):
            continue
        eligible = part.table.filter(pl.col("measure") == "eligible", pl.col("value") > 0)
        largest = eligible["value"].max()
        alike = known.setdefault((part.release, largest if isinstance(largest, int) else None), [])
        for other, of_other in alike:
            dimensions = [name for name in part.rules.labels if name not in part.rules.by]
            both = eligible.join(of_other, on=dimensions)
            if both.height >= COINCIDENCE and (both["value"] == both["value_right"]).all():
                pairs.append((other.key, part.key))
        alike.append((part, eligible))
    return pairs
