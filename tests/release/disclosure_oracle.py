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
    table: list[Row], dimensions: list[list[str]], linked: bool, rules: Row, member: Cell | None = None
) -> dict[Cell, tuple[int, int | None]]:
    """The least and greatest value of each suppressed cell over all tables that agree; None where there is no greatest.

    Empty where no table agrees. A `member` is an inner cell that is known not to be empty.
    """
    seen: dict[Cell, tuple[int, int]] = {}
    hidden = [cell_of(row, dimensions, linked) for row in table if row["status"] != "published"]
    for cells in agreeing(table, dimensions, linked, rules):
        if cells.get(member, 1) >= 1:
            for cell in hidden:
                low, high = seen.get(cell, (cells[cell], cells[cell]))
                seen[cell] = (min(low, cells[cell]), max(high, cells[cell]))
    free = free_leaves(table, dimensions, linked)
    return {
        cell: (low, None if any(contains(cell, leaf) for leaf in free) else high) for cell, (low, high) in seen.items()
    }


def free_leaves(table: list[Row], dimensions: list[list[str]], linked: bool) -> set[Cell]:
    """Inner cells in no published cell: tied to nothing, their least value is enough, they have no greatest."""
    known, inner = _read(table, dimensions, linked)
    return {leaf for leaf in inner if not any(contains(cell, leaf) for cell in known)}


def agreeing(table: list[Row], dimensions: list[list[str]], linked: bool, rules: Row) -> Iterator[dict[Cell, int]]:
    """Every whole table that agrees with what is published, as the value of each cell."""
    known, inner = _read(table, dimensions, linked)
    cells = [cell_of(row, dimensions, linked) for row in table]
    limits = [min((value for cell, value in known.items() if contains(cell, leaf)), default=1) for leaf in inner]
    members = {cell: [place for place, leaf in enumerate(inner) if contains(cell, leaf)] for cell in cells}
    for values in _fill(inner, limits, known):
        sums = {cell: sum(values[place] for place in members[cell]) for cell in cells}
        if all(cell in known or total >= floor_of(cell, rules, linked) for cell, total in sums.items()):
            yield sums


def _read(table: list[Row], dimensions: list[list[str]], linked: bool) -> tuple[dict[Cell, int], list[Cell]]:
    cells = [cell_of(row, dimensions, linked) for row in table]
    known = {cell: row["value"] for cell, row in zip(cells, table, strict=True) if row["status"] == "published"}
    return known, [cell for cell in cells if not any(other != cell and contains(cell, other) for other in cells)]


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
