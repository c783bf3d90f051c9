"""Slow and plain: every table of whole numbers that agrees with what is published, one by one."""

from collections.abc import Iterator
from itertools import product
from typing import Any

Cell = tuple[tuple[str, ...], ...]
Row = dict[str, Any]


def cell_of(row: Row, dimensions: list[list[str]], linked: bool) -> Cell:
    """A cell as one path per dimension: () is the total, ("M1", "D2") a node two levels down."""
    paths = [tuple(row[level] for level in levels if row[level] != "*") for levels in dimensions]
    if linked:
        paths.append(() if row["measure"] == "eligible" else (row["measure"],))
    return tuple(paths)


def contains(cell: Cell, inner: Cell) -> bool:
    return all(below[: len(above)] == above for above, below in zip(cell, inner, strict=True))


def all_cells(inner: list[Cell]) -> set[Cell]:
    return {cell for leaf in inner for cell in product(*([path[:k] for k in range(len(path) + 1)] for path in leaf))}


def floor_of(cell: Cell, rules: Row, linked: bool) -> int:
    if rules["zeros"] == "protect" or (linked and rules.get("group_disclosure") and cell[-1] == ("closed",)):
        return 0
    return 1


def possible_values(
    table: list[Row], dimensions: list[list[str]], linked: bool, rules: Row
) -> dict[Cell, tuple[int, int | None]]:
    """The least and greatest value of each suppressed cell over all tables that agree; None where there is no greatest.

    Empty where no table agrees.
    """
    known: dict[Cell, int] = {}
    hidden: list[Cell] = []
    for row in table:
        cell = cell_of(row, dimensions, linked)
        if row["status"] == "published":
            known[cell] = row["value"]
        else:
            hidden.append(cell)
    cells = [*known, *hidden]
    inner = [cell for cell in cells if not any(other != cell and contains(cell, other) for other in cells)]
    limits = [[value for cell, value in known.items() if contains(cell, leaf)] for leaf in inner]
    # a leaf that is in no published cell is tied to nothing: its least value is enough, and it has no greatest
    free = {leaf for leaf, limit in zip(inner, limits, strict=True) if not limit}
    seen: dict[Cell, tuple[int, int]] = {}
    for values in _fill(inner, [min(limit, default=1) for limit in limits], known):
        sums = {cell: sum(v for leaf, v in zip(inner, values, strict=True) if contains(cell, leaf)) for cell in hidden}
        if all(total >= floor_of(cell, rules, linked) for cell, total in sums.items()):
            for cell, total in sums.items():
                low, high = seen.get(cell, (total, total))
                seen[cell] = (min(low, total), max(high, total))
    return {
        cell: (low, None if any(contains(cell, leaf) for leaf in free) else high) for cell, (low, high) in seen.items()
    }


def _fill(inner: list[Cell], limits: list[int], known: dict[Cell, int]) -> Iterator[tuple[int, ...]]:
    members = [[place for place, leaf in enumerate(inner) if contains(cell, leaf)] for cell in known]
    wanted = list(known.values())

    def fits(values: list[int]) -> bool:
        for places, total in zip(members, wanted, strict=True):
            part = sum(values[place] for place in places if place < len(values))
            if part > total or (places[-1] < len(values) and part != total):
                return False
        return True

    def extend(values: list[int]) -> Iterator[tuple[int, ...]]:
        if len(values) == len(inner):
            yield tuple(values)
            return
        for value in range(limits[len(values)] + 1):
            if fits([*values, value]):
                yield from extend([*values, value])

    yield from extend([])
