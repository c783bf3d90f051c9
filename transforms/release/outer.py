"""Tables that many others are within, as a composite's parts are: protected before them, and what they then allow.

All of them as one system would be too large to search. So the outer table is protected by itself, but none of its
cells goes below what a table within it counts; and then each inner table, none of whose cells goes above what the outer
one counts. A change of either agrees with all other tables as they are. That leaves no room where few people are in the
outer table and an inner one counts them all. There one more change of the outer table, its companion, raises it, and
the inner tables move beneath it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from transforms.release.link import Group, named, none_beyond, outer_tables, same_name
from transforms.release.spec import MEASURE, Spec
from transforms.release.tables import ELIGIBLE, Block, Mask, Merged, Whole


@dataclass(frozen=True)
class Inner:
    """Cells of the group `of` that count no more people than cells of the group `outer`: `cells` lie under `above`."""

    of: int
    outer: int
    cells: Whole
    above: Whole


def inner_cells(groups: Sequence[Group], blocks: list[Block], spec: Spec) -> list[Inner]:
    """What lies under the outer tables, by pairs of tables in different groups; groups by their places.

    Raises DisclosureRefused where a part counts more than its whole.
    """
    place = {blocks[at].key: (number, at) for number, group in enumerate(groups) for at in group.blocks}
    outer = outer_tables(spec, set(place))
    known = [(place[part], place[whole]) for part, whole in spec.nested if part in place and whole in outer]
    names: dict[int, pl.DataFrame] = {}
    for number, at in {each for pair in known for each in pair}:
        merged = groups[number].merged[groups[number].blocks.index(at)]
        names[at] = (
            named(blocks[at], spec).with_columns(pl.Series("#merged", merged)).filter(pl.col(MEASURE) == ELIGIBLE)
        )
    found = []
    for (small, part), (large, whole) in known:
        if small != large:
            pairs = same_name(names[part], names[whole]).filter(pl.all_horizontal(pl.all() >= 0))
            cells, above = (column.to_numpy() for column in pairs.unique(maintain_order=True))
            none_beyond(groups[large].cells.value[above] - groups[small].cells.value[cells])
            found.append(Inner(small, large, cells, above))
    return found


def above_inner(groups: Sequence[Group], inner: Sequence[Inner], place: int) -> Merged:
    """The cells of an outer group, none of which goes below what the tables within it count."""
    cells = groups[place].cells
    floor = cells.floor.copy()
    for each in inner:
        if each.outer == place:
            np.maximum.at(floor, each.above, groups[each.of].cells.value[each.cells])
    return replace(cells, floor=floor)


def below_outer(groups: Sequence[Group], inner: Sequence[Inner], place: int, raised: Mapping[int, Whole]) -> Merged:
    """The cells of an inner group, none of which goes above the outer tables with their companions, `raised`."""
    cells = groups[place].cells
    roof = cells.roof.copy()
    for each in inner:
        if each.of == place:
            np.minimum.at(roof, each.cells, (groups[each.outer].cells.value + raised[each.outer])[each.above])
    return replace(cells, roof=roof)


def room_for_inner(groups: Sequence[Group], inner: Sequence[Inner], place: int, spec: Spec) -> Whole:
    """What the companion of an outer group must count at least in each of its cells for the inner ones to have room.

    Under `not_exact` an unsafe inner cell may have to grow by one person. Under `not_small` both a gap and a closed
    count may have to reach what is safe, beside at least one in the other.
    """
    least = np.zeros(groups[place].cells.size, np.int64)
    for each in inner:
        if each.outer == place:
            cells = groups[each.of].cells
            count, is_unsafe = cells.value[each.cells], cells.unsafe[each.cells]
            if spec.rules.guarantee == "not_small":
                needed = np.where(count <= spec.safe_from, spec.safe_from + 1, count)
            else:
                needed = count + is_unsafe
            np.maximum.at(least, each.above, needed)
    return least


def accompanied(groups: Sequence[Group], inner: Sequence[Inner], place: int, witnesses: Whole) -> dict[int, Mask]:
    """Which witnesses of a group go above an outer table as it is, by outer group: these need its companion."""
    found: dict[int, Mask] = {}
    for each in inner:
        if each.of == place:
            room = groups[each.outer].cells.value[each.above] - groups[place].cells.value[each.cells]
            beyond = (witnesses[:, each.cells] > room).any(axis=1)
            found[each.outer] = found.get(each.outer, np.zeros(len(witnesses), bool)) | beyond
    return found
