"""What true counts fit sums and bounds: the solver of the auditor of changed counts."""

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
PASSES = 100
"""Passes over the sums; a bound that still moves then is left as it is, which is no less true."""
NODES = 5_000
"""Where the search for another table gives up, and the cell counts as told: in nodes, never in seconds."""
NEAR = 1e-6
INFEASIBLE = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)
"""Nothing here is unbounded."""
FEASIBLE = int(highspy.SolutionStatus.kSolutionStatusFeasible)
WHOLE, REAL = int(highspy.HighsVarType.kInteger), int(highspy.HighsVarType.kContinuous)


@dataclass(frozen=True)
class System:
    """Tables that hang together: entry by entry a row of sums, the cell and its factor; cells count over the table.

    `cells` are those in it, which `has` marks among all; `basis` marks the rows that imply all others.
    """

    cells: Places
    row: Places
    cell: Places
    factor: Places
    basis: Marks
    has: Marks


def propagate(system: System, bounds: Places) -> bool:
    """Tighten the bounds by one sum at a time until nothing changes; False where no counts fit."""
    rows = len(system.basis)
    up = system.factor > 0
    for _ in range(PASSES):
        low, high = bounds[0][system.cell], bounds[1][system.cell]
        least = np.where(up, low, -high)
        most = np.where(up, high, -low)
        # as whole numbers: float weights of bincount are exact below 2**53
        least_sum = np.bincount(system.row, weights=least, minlength=rows).astype(np.int64)[system.row]
        most_sum = np.bincount(system.row, weights=most, minlength=rows).astype(np.int64)[system.row]
        # factor * cell = -(all others), so it lies between -(most of the others) and -(least of the others)
        new_least, new_most = -(most_sum - most), -(least_sum - least)
        new_low = np.where(up, new_least, -new_most)
        new_high = np.where(up, new_most, -new_least)
        before = bounds.copy()
        np.maximum.at(bounds[0], system.cell, new_low)
        np.minimum.at(bounds[1], system.cell, new_high)
        if (bounds[0] > bounds[1]).any():
            return False
        if (before == bounds).all():
            break
    return True


def moves(system: System) -> list[tuple[Places, Places, Places]]:
    """Small changes that keep every sum, as entries: which change, the cell, by how much.

    One person more in an inner cell, and so in all that it is part of; and, where tables share a population, one person
    moved from each inner cell to the one beside it.
    """
    size = int(system.cells.max(initial=-1)) + 1
    parent = np.full(len(system.basis), -1)
    is_parent = system.factor > 0
    parent[system.row[is_parent]] = system.cell[is_parent]
    above, below = parent[system.row[~is_parent]], system.cell[~is_parent]
    inner = np.setdiff1d(system.cells, above)
    order = np.argsort(below, kind="stable")
    above, begin = above[order], np.searchsorted(below[order], np.arange(size + 1))
    pairs = newest = inner * size + inner
    while len(newest):
        one, cell = newest // size, newest % size
        width = begin[cell + 1] - begin[cell]
        at = np.repeat(begin[cell] - np.cumsum(width) + width, width) + np.arange(int(width.sum()))
        newest = np.setdiff1d(np.repeat(one, width) * size + above[at], pairs)
        pairs = np.union1d(pairs, newest)
    one, cell = pairs // size, pairs % size
    paired = inner[np.isin(inner + 1, inner)]
    first, second = np.isin(one, paired), np.isin(one - 1, paired)
    swap = (
        np.concatenate([one[first], one[second] - 1]),
        np.concatenate([cell[first], cell[second]]),
        np.concatenate([np.ones(int(first.sum()), np.int64), np.full(int(second.sum()), -1)]),
    )
    return [_kept(system, move, size) for move in ((one, cell, np.ones(len(one), np.int64)), swap)]


def _kept(system: System, move: tuple[Places, Places, Places], size: int) -> tuple[Places, Places, Places]:
    """The changes that keep every sum, each cell's entries added up."""
    code, place = np.unique(move[0] * size + move[1], return_inverse=True)
    amount = np.bincount(place, weights=move[2], minlength=len(code)).astype(np.int64)
    code, amount = code[amount != 0], amount[amount != 0]
    which, cell = code // size, code % size
    order = np.argsort(system.cell, kind="stable")
    begin = np.searchsorted(system.cell[order], np.arange(size + 1))
    width = begin[cell + 1] - begin[cell]
    at = order[np.repeat(begin[cell] - np.cumsum(width) + width, width) + np.arange(int(width.sum()))]
    rows = len(system.basis)
    key, place = np.unique(np.repeat(which, width) * rows + system.row[at], return_inverse=True)
    off = np.bincount(place, weights=np.repeat(amount, width) * system.factor[at], minlength=len(key))
    good = ~np.isin(which, key[off != 0] // rows)
    return which[good], cell[good], amount[good]


def push(move: tuple[Places, Places, Places], truth: Places, bounds: Places, seen: Places) -> None:
    """Make each change as many times as there is room, forth and back, and note what was seen."""
    which, cell, amount = move
    for sign in (1, -1):
        step = amount * sign
        rising = step > 0
        room = np.where(rising, bounds[1][cell] - truth[cell], truth[cell] - bounds[0][cell]) // np.abs(step)
        times = np.full(int(which.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(times, which, room)
        far = truth[cell] + step * times[which]
        np.maximum.at(seen[1], cell, far)
        np.minimum.at(seen[0], cell, far)


class Search:
    """True counts that fit a system, near the published ones, as one program in whole numbers.

    Three columns a cell: its count, and by how much that is above and below the published one.
    """

    def __init__(self, system: System, value: Places) -> None:
        """Look for counts near the values."""
        self._system, self._size = system, len(system.cells)
        self._place = np.full(len(value), -1)
        self._place[system.cells] = np.arange(self._size)
        size, model = self._size, highspy.Highs()
        for name, setting in (
            ("output_flag", False),
            ("threads", 1),
            ("mip_max_nodes", NODES),
            ("mip_max_improving_sols", 1),
        ):
            model.setOptionValue(name, setting)
        model.addVars(3 * size, np.zeros(3 * size), np.full(3 * size, highspy.kHighsInf))
        model.changeColsCost(2 * size, np.arange(size, 3 * size, dtype=np.int32), np.ones(2 * size))
        kept = system.basis[system.row]
        row, cell, factor = system.row[kept], system.cell[kept], system.factor[kept]
        order = np.argsort(row, kind="stable")
        used, begin = np.unique(row[order], return_index=True)
        none, columns = np.zeros(len(used)), self._place[cell[order]].astype(np.int32)
        model.addRows(len(used), none, none, len(columns), begin.astype(np.int32), columns, factor[order].astype(float))
        wanted = value[system.cells].astype(float)
        near = np.stack([np.arange(size), np.arange(size, 2 * size), np.arange(2 * size, 3 * size)], axis=1)
        begin = np.arange(0, 3 * size, 3)
        sign = np.tile([1.0, -1.0, 1.0], size)
        model.addRows(size, wanted, wanted, 3 * size, begin.astype(np.int32), near.ravel().astype(np.int32), sign)
        self._model, self._columns = model, np.arange(size, dtype=np.int32)

    def find(
        self, low: Places, high: Places, cell: int | None = None, least: int = 0, most: int = 0
    ) -> tuple[Places | None, bool]:
        """Counts within bounds, one of them from `least` to `most`; None where none was found, and whether it is proven
        that there are none.

        Fractions first: what comes out whole is kept, and mostly the rest can be made whole around it.
        """
        lowest = low[self._system.cells].astype(float)
        highest = high[self._system.cells].astype(float)
        if cell is not None:
            lowest[self._place[cell]], highest[self._place[cell]] = least, most
        near = self._run((lowest, highest), REAL)
        if near is None:
            return None, self._model.getModelStatus() in INFEASIBLE
        is_whole = np.abs(near - np.rint(near)) < NEAR
        kept = np.where(is_whole, np.rint(near), lowest), np.where(is_whole, np.rint(near), highest)
        beside = np.maximum(np.floor(near) - 1, lowest), np.minimum(np.ceil(near) + 1, highest)
        for bounds in (kept, beside, (lowest, highest)):
            found = self._run(bounds, WHOLE)
            if found is not None and (checked := self._checked(found, lowest, highest)) is not None:
                return checked, False
        return None, self._model.getModelStatus() in INFEASIBLE

    def _run(self, bounds: tuple[Numbers, Numbers], kind: int) -> Numbers | None:
        self._model.changeColsIntegrality(self._size, self._columns, np.full(self._size, kind, dtype=np.uint8))
        self._model.changeColsBounds(self._size, self._columns, *bounds)
        self._model.run()
        if self._model.getInfo().primal_solution_status != FEASIBLE:
            return None
        return np.asarray(self._model.getSolution().col_value)[: self._size]

    def _checked(self, found: Numbers, low: Numbers, high: Numbers) -> Places | None:
        """The counts in whole numbers, where they fit exactly."""
        counts = np.zeros(len(self._place), np.int64)
        counts[self._system.cells] = np.rint(found).astype(np.int64)
        off = np.bincount(self._system.row, weights=self._system.factor * counts[self._system.cell])
        mine = counts[self._system.cells]
        return None if off.any() or (mine < low).any() or (mine > high).any() else counts
