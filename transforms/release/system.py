"""Published tables as one system: tables of one population, parts that add up, and several releases.

The auditor's reading. Cells of two releases of one date are the same count where they go by the same name: in each
dimension the finest level that is named, with its label. Where the groups of one do not nest in those of the other,
both are made of smaller groups (`overlap`). Between dates only what is printed of a change ties counts.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl

from schemas.errors import UsageRefused
from transforms.release.bounds import outline
from transforms.release.derived import Ranges, changes, ranges
from transforms.release.overlap import atoms, named_alike
from transforms.release.printed import DERIVED_FILE
from transforms.release.published import (
    SUMMED,
    Equations,
    Part,
    Release,
    Rules,
    equations,
    floors,
    refuse,
    same_date,
    split,
)
from transforms.release.unknowns import Marks, Numbers, Places, Sums

Key = tuple[str, ...]
Entries = tuple[Places, Places, Numbers]
"""Equations as entries: the row, the cell and its factor."""

COINCIDENCE = 20
"""So many published eligible counts that all agree are no coincidence: two tables that count the same people."""
ASSUMPTIONS = ("any", "all", "none")
"""What an attacker makes of a correction, the boldest first: a count is as before where any, or where all, published
counts that it is part of are as before; or nothing is."""


def gather(releases: list[Release]) -> list[list[Part]]:
    """The tables that hang together, by `by` values; the earliest release first. Each table must be checked."""
    if len({_undated(rules.by, rules) for rules in (each.rules for each in releases)}) > 1:
        raise UsageRefused("the releases are taken apart by different columns", "Attack them one by one")
    parts = [part for number, release in enumerate(releases) for part in _parts(number, release)]
    if len({part.date == "" for part in parts}) > 1:
        raise UsageRefused("a release does not say its date", "Give as_of in its certificate", table="certificate.json")
    group = list(range(len(parts)))

    def top(place: int) -> int:
        while group[place] != place:
            place = group[place]
        return place

    def unite(places: Iterable[int]) -> None:
        tops = [top(place) for place in places]
        for place in tops[1:]:
            group[top(place)] = top(tops[0])

    place_of = {(part.release, part.key): place for place, part in enumerate(parts)}
    for number, release in enumerate(releases):
        rules = release.rules
        for together in [*rules.populations, *rules.nested, *((whole, *keys) for whole, keys, _ in rules.parts)]:
            unite(place_of[number, key] for key in together if (number, key) in place_of)
    for release_number, left, right in _one_population(parts):
        unite((place_of[release_number, left], place_of[release_number, right]))
    for cluster in _same_count(parts):
        unite(cluster)
    for place, part in enumerate(parts):
        for since in _since(part):
            unite((place, *changes(parts, part, since)))
    gathered: dict[int, list[Part]] = {}
    for place, part in enumerate(parts):
        gathered.setdefault(top(place), []).append(part)
    return list(gathered.values())


def _undated(key: Key, rules: Rules) -> Key:
    return tuple(word for word, name in zip(key, rules.by, strict=True) if name != rules.date_column)


def _parts(number: int, release: Release) -> list[Part]:
    rules = release.rules
    tables = split(release.table, rules)
    printed = dict.fromkeys(tables, release.printed)
    if release.printed is not None and rules.by:
        of = release.printed.rows.partition_by(rules.by, as_dict=True, maintain_order=True)
        if strangers := sum(rows.height for key, rows in of.items() if key not in tables):
            refuse("a figure is of no cell of the table", None, strangers, DERIVED_FILE)
        printed = {key: replace(release.printed, rows=of[key]) if key in of else None for key in tables}
    dates = {key: key[rules.by.index(rules.date_column)] if rules.date_column else release.date for key in tables}
    return [
        Part(
            release=number,
            key=key,
            count=_undated(key, rules),
            date=dates[key] or "",
            table=table,
            rules=rules,
            equations=equations(table, rules),
            printed=printed[key],
            correspondence=release.correspondence,
        )
        for key, table in tables.items()
    ]


def _since(part: Part) -> list[str]:
    """The dates that changes are printed since."""
    if part.printed is None:
        return []
    return [str(since) for since in part.printed.rows["since"].drop_nulls().unique(maintain_order=True)]


def _same_count(parts: list[Part]) -> list[list[int]]:
    """Tables of several releases that count the same people at the same date; by their places."""
    alike: dict[tuple[Key, str], list[list[int]]] = {}
    for place, part in enumerate(parts):
        clusters = alike.setdefault((part.count, part.date[:7]), [])
        fitting = [each for each in clusters if all(same_date(parts[other].date, part.date) for other in each)]
        if fitting:
            fitting[0].append(place)
        else:
            clusters.append([place])
    return [cluster for clusters in alike.values() for cluster in clusters if len(cluster) > 1]


def join(parts: list[Part], assume: str) -> tuple[Sums, list[slice], slice]:
    """One system of all the parts, and where the hidden cells of each lie among its unknowns, which come first.

    Then come the groups that cuts which do not nest have in common; the last slice has them. Raises DisclosureRefused
    where a figure is printed over hidden counts that cannot be read.
    """
    together, more = tie(parts, assume)
    cells = pl.concat([part.table.select("value", "#hidden") for part in parts])
    hidden, value = cells["#hidden"].to_numpy(), cells["value"].fill_null(0).to_numpy().astype(float)
    low = np.concatenate([floors(part.table, part.rules) for part in parts]).astype(float)
    start = np.cumsum([0, *(part.table.height for part in parts)])
    ends = np.concatenate([[0], np.cumsum(hidden)])[start].tolist()
    hidden, value, low = _more(more, hidden, value, low)
    none = np.zeros(0)
    beyond = within(parts, start[:-1])
    number, known = len(together.basis), _number_of_rows(beyond)
    rows = Ranges(
        np.append(together.row, beyond[0] + number),
        np.append(together.cell, beyond[1]),
        np.append(together.factor, beyond[2]),
        np.zeros(number + known),
        none,
        0,
    )
    room = np.repeat([0.0, np.inf], [number, known])
    own_basis = np.append(together.basis, np.ones(known, bool))
    sums = _sums(rows, room, own_basis, hidden, value, low)
    if any(part.printed is not None for part in parts):

        def bounding() -> tuple[Numbers, Numbers]:
            lowest, highest = value.copy(), value.copy()
            lowest[hidden], highest[hidden] = outline(sums)
            return lowest, highest

        told = ranges(parts, start[:-1], value, hidden, bounding, len(value))
        hidden, value, low = _more(told.more, hidden, value, low)
        with np.errstate(invalid="ignore"):
            room = np.append(room, told.most - told.least)
        all_rows = Ranges(
            np.concatenate([rows.row, told.row + len(own_basis)]),
            np.concatenate([rows.cell, told.cell]),
            np.concatenate([rows.factor, told.factor]),
            np.concatenate([rows.least, told.least]),
            none,
            0,
        )
        basis = np.append(own_basis, np.ones(len(told.least), bool))
        sums = _sums(all_rows, room, basis, hidden, value, low)
    return sums, [slice(*ends[place : place + 2]) for place in range(len(parts))], slice(ends[-1], ends[-1] + more)


def _more(number: int, hidden: Marks, value: Numbers, low: Numbers) -> tuple[Marks, Numbers, Numbers]:
    """The cells and so many hidden ones of which nothing is known."""
    none = np.zeros(number)
    return np.append(hidden, none == 0), np.append(value, none), np.append(low, none)


def _sums(rows: Ranges, room: Numbers, basis: Marks, hidden: Marks, value: Numbers, low: Numbers) -> Sums:
    told = np.where(hidden[rows.cell], 0.0, rows.factor * value[rows.cell])
    is_open = hidden[rows.cell]
    return Sums(
        row=rows.row[is_open],
        unknown=(np.cumsum(hidden) - 1)[rows.cell[is_open]],
        factor=rows.factor[is_open],
        right=rows.least - np.bincount(rows.row, weights=told, minlength=len(rows.least)),
        room=room,
        basis=basis,
        low=low[hidden],
    )


def tie(parts: list[Part], assume: str, known: Numbers | None = None) -> tuple[Equations, int]:
    """All the sums of the parts and the equations between them; cells are counted on from part to part.

    The second is how many cells follow those of the parts: smallest groups of which tables are made in different ways.
    What was corrected between two releases shows in what is published of both, or in `known`, the value of every cell.
    """
    start = np.cumsum([0, *(part.table.height for part in parts)])
    rows, entries, basis, more = 0, list[Entries](), [], 0
    for part, offset in zip(parts, start[:-1], strict=True):
        own = part.equations
        entries.append((own.row + rows, own.cell + offset, own.factor))
        basis.append(own.basis)
        rows += len(own.basis)
    links = _within(parts, start[:-1])
    for cluster in _same_count(parts):
        tables = [(parts[place].table, parts[place].rules) for place in cluster]
        overlap = next(
            (parts[place].correspondence for place in cluster if parts[place].correspondence is not None), None
        )
        if named_alike(tables, overlap):
            links += [
                _repeated(parts, start[:-1], one, other, assume, known) for one, other in combinations(cluster, 2)
            ]
        else:
            found, groups = atoms(tables, start[cluster], overlap, int(start[-1]) + more)
            links.append(found)
            more += groups
    for row, cell, factor in links:
        entries.append((row + rows, cell, factor))
        basis.append(np.ones(_number_of_rows((row, cell, factor)), bool))
        rows += len(basis[-1])
    row, cell, factor = (np.concatenate(column) for column in zip(*entries, strict=True))
    return Equations(row, cell, factor, np.concatenate(basis)), more


def _within(parts: list[Part], start: Places) -> list[Entries]:
    """The equations between the parts of each release, as entries whose rows are counted from 0 in each."""
    found = []
    place = {(part.release, part.key): number for number, part in enumerate(parts)}
    detected = _one_population(parts)
    for release, rules in {part.release: part.rules for part in parts}.items():
        same_people = [(left, right) for of, left, right in detected if of == release]
        for same in [*rules.populations, *same_people]:
            there = [place[release, key] for key in same if (release, key) in place]
            found += [_equal(parts, start, there[0], other, ["eligible"]) for other in there[1:]]
        for whole, keys, measures in rules.parts:
            if (release, whole) in place:
                of = [place[release, key] for key in keys if (release, key) in place]
                found.append(_added(parts, start, place[release, whole], of, measures))
    return found


def within(parts: list[Part], start: Places) -> Entries:
    """What is not below 0: how many more are eligible in a table than in one within it, a row a cell."""
    place = {(part.release, part.key): number for number, part in enumerate(parts)}
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    rows = 0
    for release, rules in {part.release: part.rules for part in parts}.items():
        for small, large in rules.nested:
            if (release, small) in place and (release, large) in place:
                row, cell, factor = _equal(parts, start, place[release, small], place[release, large], ["eligible"])
                found.append((row + rows, cell, factor))
                rows += _number_of_rows((row, cell, factor))
    row, cell, factor = (np.concatenate(column) for column in zip(*found, strict=True))
    return row, cell, factor


def _number_of_rows(entries: Entries) -> int:
    return int(entries[0].max()) + 1 if len(entries[0]) else 0


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


def _repeated(parts: list[Part], start: Places, one: int, other: int, assume: str, known: Numbers | None) -> Entries:
    """The cells of an earlier release that a later one has too, where an attacker takes them to be the same count."""
    earlier, later = _named(parts[one]), _named(parts[other])
    levels = set(earlier.columns) | set(later.columns)
    fill = {name: pl.lit(SUMMED).alias(name) for name in levels - {"#cell"}}
    earlier = earlier.with_columns(each for name, each in fill.items() if name not in earlier.columns)
    later = later.with_columns(each for name, each in fill.items() if name not in later.columns)
    pairs = earlier.join(later, on=sorted(levels - {"#cell"}), how="inner")
    old, new = pairs["#cell"].to_numpy(), pairs["#cell_right"].to_numpy()
    if known is None:
        before, after = (
            parts[of].table["value"].cast(pl.Float64).to_numpy()[at] for of, at in ((one, old), (other, new))
        )
    else:
        before, after = known[old + start[one]], known[new + start[other]]
    both = ~np.isnan(before) & ~np.isnan(after)
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


def _one_population(parts: list[Part]) -> list[tuple[int, Key, Key]]:
    """Pairs of `by` values of one release that must count the same people: all that is published of both agrees."""
    pairs, known = [], dict[tuple[int, int | None], list[tuple[Part, pl.DataFrame]]]()
    for part in parts:
        if not part.rules.linked:
            continue
        eligible = part.table.filter(pl.col("measure") == "eligible", pl.col("value") > 0)
        largest = eligible["value"].max()
        alike = known.setdefault((part.release, largest if isinstance(largest, int) else None), [])
        for other, of_other in alike:
            dimensions = [name for name in part.rules.labels if name not in part.rules.by]
            both = eligible.join(of_other, on=dimensions, suffix="#")
            if both.height >= COINCIDENCE and (both["value"] == both["value#"]).all():
                pairs.append((part.release, other.key, part.key))
        alike.append((part, eligible))
    return pairs
