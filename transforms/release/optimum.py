"""How little can be hidden at best: proven lower bounds and, for small tables, the best choice itself.

A covering program with a column for each cell that may be hidden, and rows that every protecting choice meets (cutting
planes, Fischetti and Salazar-Gonzalez 2000). A row comes from multipliers of the sums: for every change d that keeps
them, slope(p) d(p) is the sum of slope(i) d(i) over the other cells, so a choice that lets cell p move by an amount
hides cells whose slopes and rooms together give as much. That is true of any multipliers. Those of a linear program
only make it sharp, and they are rounded to whole multiples of 1 / DENOMINATOR first, so that each row is exact.
"""

from dataclasses import dataclass, replace

import highspy
import numpy as np

from schemas.policy import Disclosure
from transforms.release.guarantee import Guarantee
from transforms.release.linear import NODES, Amounts, sums_model, whole
from transforms.release.tables import Mask, Merged, Whole

DENOMINATOR = 720_720
"""Divisible by every number up to 16, as the multipliers' denominators are."""
FAR = 1e5
"""More than any cell needs to move."""
NEAR = 1e-6
PASSES = 30
"""Times that a choice is asked again because it hides a cell alone in a sum."""
OPTIMAL = highspy.HighsModelStatus.kOptimal


@dataclass(frozen=True)
class Work:
    """How much to spend on bounds: in rounds, linear programs and nodes, never in seconds.

    Fractional choices are refuted for so many `rounds` and `programs` a table; the best choice is looked for where
    cells times unsafe cells are at most `small`, in at most `nodes` a round and `trials` rounds. The bounds of a number
    are raised until one more pass raises them by less than the share `gain`.
    """

    rounds: int
    programs: int
    small: int
    nodes: int
    trials: int
    gain: float


WORK = {
    "none": Work(-1, 0, 0, 0, 0, 0.0),
    "quick": Work(0, 0, 3_000, 20, 12, 0.01),
    "full": Work(6, 40_000, 60_000, 5_000, 100, 0.0),
}


@dataclass(frozen=True)
class Harm:
    """What hiding each merged cell does: its weighted `cost`, and the `number` and `people` of cells that are safe."""

    cost: Amounts
    number: Amounts
    people: Amounts


@dataclass(frozen=True)
class Bound:
    """No choice that keeps the guarantee costs less than `cost`, hides fewer safe cells than `number`, or less in them
    than `people`; three bounds, each by itself.

    `best` is a choice of that cost, proven to be the cheapest, where one was found, and `witnesses` its whole-number
    changes, one row each.
    """

    cost: float
    number: int
    people: int
    best: Mask | None = None
    witnesses: Whole | None = None


def least_harm(cells: Merged, rules: Disclosure, safe_from: int, harm: Harm, work: Work) -> Bound:
    """Bound from below what must be hidden for the unsafe cells of a table; all cells must be possible to protect."""
    cells = replace(cells, unsafe=cells.unsafe & ~cells.fixed, open=cells.open & ~cells.fixed)
    guarantee = Guarantee(cells, rules, safe_from)
    forced = cells.unsafe | cells.open
    always = [float(part[forced].sum()) for part in (harm.cost, harm.number, harm.people)]
    if not cells.unsafe.any():
        return Bound(always[0], round(always[1]), round(always[2]), cells.open, np.zeros((0, cells.size), np.int64))
    if work.rounds < 0:
        return Bound(always[0], round(always[1]), round(always[2]))
    covering = Covering(guarantee)
    covering.sharpen(harm.cost, work)
    best: Mask | None = None
    witnesses: Whole | None = None
    if cells.size * int(cells.unsafe.sum()) <= work.small:
        best, witnesses, cost = covering.best(harm.cost, work)
    else:
        cost = covering.bound(harm.cost)
    number, people = (
        int(np.ceil(least + covering.bound(part, work.gain) - 1e-4))
        for least, part in zip(always[1:], (harm.number, harm.people), strict=True)
    )
    return Bound(always[0] + cost, number, people, best, witnesses)


class Covering:
    """All rows found so far that a protecting choice meets; one column per cell that is free to be hidden or not."""

    def __init__(self, guarantee: Guarantee) -> None:
        """Start with what each sum by itself asks for its unsafe cells."""
        cells = guarantee.cells
        self._guarantee, self._cells = guarantee, cells
        self._at = np.flatnonzero(~cells.fixed)
        self._forced = (cells.unsafe | cells.open)[self._at]
        self._free = np.flatnonzero(~self._forced)
        self._column = np.cumsum(~self._forced) - 1
        self._room = (cells.value - cells.floor)[self._at]
        self._place = np.full(cells.size, -1)
        self._place[self._at] = np.arange(len(self._at))
        size = len(self._at)
        self._all = np.arange(size, dtype=np.int32)
        self._moves = sums_model(cells, ~cells.fixed, np.zeros(size), np.zeros(size))
        self._moves.changeObjectiveSense(highspy.ObjSense.kMaximize)
        matrix = self._moves.getLp().a_matrix_
        width = np.diff(np.asarray(matrix.start_))
        inner, outer = np.asarray(matrix.index_, np.int64), np.repeat(np.arange(len(width)), width)
        by_row = matrix.format_ == highspy.MatrixFormat.kRowwise
        self._row: Whole = outer if by_row else inner
        self._cell: Whole = inner if by_row else outer
        self._sign = np.rint(np.asarray(matrix.value_)).astype(np.int64)
        self._rows: list[tuple[Whole, Amounts, float]] = []
        self._known: set[tuple[bytes, bytes]] = set()
        self._choice = highspy.Highs()
        settings = (("output_flag", False), ("threads", 1), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.0))
        for name, setting in settings:
            self._choice.setOptionValue(name, setting)
        self._choice.addVars(len(self._free), np.zeros(len(self._free)), np.ones(len(self._free)))
        self._added = 0
        self._start()

    def bound(self, costs: Amounts, gain: float = 0.0) -> float:
        """A proven lower bound on the cost of the free cells: any multipliers of the rows give one.

        Those of the linear program give the best; taken by themselves, its tolerances do not matter. The last passes
        raise it by little and take most of the time: one that gives less than the share `gain` is the last.
        """
        self._solve(costs, gain)
        price, rows = costs[self._at[self._free]], self._rows[: self._added]
        if not rows:
            return 0.0
        multiplier = np.maximum(np.asarray(self._choice.getSolution().row_dual), 0)
        column = np.concatenate([row[0] for row in rows])
        factor = np.concatenate([row[1] for row in rows])
        of = np.repeat(np.arange(len(rows)), [len(row[0]) for row in rows])
        left = price - np.bincount(column, weights=factor * multiplier[of], minlength=len(price))
        needed = np.array([row[2] for row in rows])
        return max(float(needed @ multiplier + np.minimum(left, 0).sum()), 0.0)

    def sharpen(self, costs: Amounts, work: Work) -> None:
        """Refute choices by fractions, in rounds: a cell hidden by half lets a change be half as large."""
        everyone, programs = np.flatnonzero(self._cells.unsafe), 0
        asked = everyone
        for _ in range(work.rounds):
            if programs >= work.programs:
                break
            share = self._solve(costs)
            programs += len(asked)
            refuted = [cell for cell in asked.tolist() if self._refute_part(cell, share)]
            if not refuted and len(asked) == len(everyone):
                break
            # a cell that could move mostly still can: those are asked again once nobody else is left
            asked = np.array(refuted, np.int64) if refuted else everyone

    def best(self, costs: Amounts, work: Work) -> tuple[Mask | None, Whole | None, float]:
        """The cheapest choice, its witnesses and its cost over the free cells; where the work does not suffice, only
        the best bound.
        """
        cells = self._cells
        least = self.bound(costs)
        self._choice.setOptionValue("mip_max_nodes", work.nodes)
        for _ in range(work.trials):
            share = self._solve(costs, whole=True)
            least = max(least, float(self._choice.getInfo().mip_dual_bound))
            if len(self._free) and self._choice.getModelStatus() != OPTIMAL:
                break
            hidden = np.zeros(cells.size, bool)
            hidden[self._at] = share > 0.5
            if self._refute_whole(hidden):
                continue
            witnesses, is_known = self._whole_changes(hidden)
            if witnesses is not None:
                return hidden, witnesses, float(costs[hidden & ~(cells.unsafe | cells.open)].sum())
            if not is_known:
                break
            # fractions protect these cells and whole numbers do not: then no part of the choice does either
            others = np.flatnonzero(~hidden[self._at])
            self._add(others, np.ones(len(others), np.int64), 1)
        return None, None, least

    def _whole_changes(self, hidden: Mask) -> tuple[Whole | None, bool]:
        """Whole-number changes of hidden cells that protect all unsafe ones; None where there are none, or where the
        search gave up: the second entry tells whether it is known that there are none.
        """
        cells, found = self._cells, list[Whole]()
        bare = cells.unsafe.copy()
        for cell in np.flatnonzero(cells.unsafe).tolist():
            if not bare[cell]:
                continue
            change, is_known = search_whole(cells, hidden, cell, self._guarantee.amounts(cell))
            if change is None:
                return None, is_known
            found.append(change)
            bare &= ~self._guarantee.protected_by(change)
        return np.array(found).reshape(-1, cells.size), True

    def _solve(self, costs: Amounts, gain: float = 0.0, *, whole: bool = False) -> Amounts:
        """The choice that costs least by the rows so far; how far each cell is hidden.

        Rows that it breaks are added, pass by pass, until there are none or a pass adds less than the share `gain`.
        """
        size = len(self._free)
        columns = np.arange(size, dtype=np.int32)
        kind = int(highspy.HighsVarType.kInteger if whole else highspy.HighsVarType.kContinuous)
        self._choice.changeColsIntegrality(size, columns, np.full(size, kind, dtype=np.uint8))
        self._choice.changeColsCost(size, columns, costs[self._at[self._free]])
        share, before = np.ones(len(self._at)), 0.0
        for _ in range(PASSES):
            new = self._rows[self._added :]
            for column, factor, needed in new:
                self._choice.addRow(needed, highspy.kHighsInf, len(column), column.astype(np.int32), factor)
            self._added = len(self._rows)
            self._choice.run()
            share[self._free] = np.clip(np.asarray(self._choice.getSolution().col_value)[:size], 0, 1)
            share[share < NEAR] = 0
            least = float(self._choice.getInfo().objective_function_value)
            if whole or least - before < gain * least or not self._refute_alone(share):
                break
            before = least
        return share

    def _start(self) -> None:
        """The sums by themselves, as rows; and the sums without a cell that must be hidden, for later."""
        cells, sums = self._cells, len(self._cells.parent)
        number = np.arange(sums)
        of = np.concatenate([np.repeat(number, np.diff(cells.start)), number])
        cell = np.concatenate([cells.child, cells.parent])
        slope = np.repeat([1, -1], [len(cells.child), sums])
        order = np.argsort(of, kind="stable")
        order = order[~cells.fixed[cell[order]]]
        of, cell, slope = of[order], cell[order], slope[order]
        place = self._place[cell]
        is_forced = self._forced[place]
        with_forced = np.bincount(of[is_forced], minlength=sums) > 0
        begin = np.searchsorted(of, np.append(number, sums))
        for entry in np.flatnonzero(cells.unsafe[cell] & ~self._is_kept_by_forced(of, place, slope)).tolist():
            mine = slice(begin[of[entry]], begin[of[entry] + 1])
            others = np.arange(mine.start, mine.stop) != entry
            slopes = -slope[mine][others] * slope[entry]
            self._learn(int(cell[entry]), place[mine][others], [slopes, -slopes], [1, 1])
        self._members = place[~with_forced[of]]
        self._width = np.diff(begin)[~with_forced & (np.diff(begin) > 0)]

    def _is_kept_by_forced(self, of: Whole, place: Whole, slope: Whole) -> Mask:
        """For each member of a sum, where it is unsafe, whether others that must be hidden let it move far enough.

        Any of them does where either way will do. Upwards, one that then moves upwards too, which has no end; or
        those that then move downwards, with as much room as is needed.
        """
        guarantee, cells = self._guarantee, self._cells
        forced, room, value = self._forced[place], self._room[place], cells.value[self._at[place]]
        if guarantee.rules.guarantee == "not_small":
            needed, both = guarantee.safe_from - value, np.zeros(len(value), bool)
        else:
            needed, both = np.ones(len(value), np.int64), room > 0
        side, size = 2 * of + (slope > 0), 2 * len(cells.parent)
        number = np.bincount(side[forced], minlength=size)
        space = np.bincount(side[forced], weights=room[forced], minlength=size)
        against, beside = number[side ^ 1], number[side] - forced
        has_room = np.where(both, beside > 0, space[side] - room * forced >= needed)
        return np.asarray((against > 0) | has_room)

    def _refute_alone(self, share: Amounts) -> bool:
        """A cell that is hidden alone in a sum is known all the same: nobody hides it. Whether there are new rows."""
        if not len(self._width):
            return False
        begin = np.cumsum(self._width) - self._width
        mine = share[self._members]
        total = np.repeat(np.add.reduceat(mine, begin), self._width)
        of = np.repeat(np.arange(len(self._width)), self._width)
        learnt = False
        for entry in np.flatnonzero(2 * mine > total + 1e-5).tolist():
            number = of[entry]
            members = self._members[begin[number] : begin[number] + self._width[number]]
            learnt |= self._add(members, np.where(members == self._members[entry], -1, 1), 0)
        return learnt

    def _refute_part(self, cell: int, share: Amounts) -> bool:
        amounts = self._guarantee.amounts(cell)
        amount, both = max(amounts), len(amounts) > 1
        low = -share * (amount if both else np.minimum(amount, self._room))
        found = self._reach(cell, amount, low, amount * share)
        if found is None:
            return False
        return self._learn(cell, self._others(cell), [found[0], -found[0]], [found[1], found[1]])

    def _refute_whole(self, hidden: Mask) -> bool:
        """Whether a choice leaves unsafe cells known; then there are new rows."""
        share = hidden[self._at].astype(float)
        low, high = -self._room * share, FAR * share
        learnt = False
        for cell in np.flatnonzero(self._cells.unsafe).tolist():
            found = []
            for amount in self._guarantee.amounts(cell):
                reached = self._reach(cell, amount, low, high)
                if reached is None:
                    break
                found.append(reached)
            else:
                learnt |= self._learn(
                    cell, self._others(cell), [each[0] for each in found], [each[1] for each in found]
                )
        return learnt

    def _others(self, cell: int) -> Whole:
        return np.delete(np.arange(len(self._at)), self._place[cell])

    def _reach(self, cell: int, amount: int, low: Amounts, high: Amounts) -> tuple[Whole, int] | None:
        """None where the cell can move by the amount; else a proof: the slopes of the others, and its own."""
        model, place, sign = self._moves, int(self._place[cell]), 1 if amount > 0 else -1
        model.changeColsBounds(len(self._at), self._all, low, high)
        model.changeColBounds(place, *((0.0, 2.0 * amount) if amount > 0 else (2.0 * amount, 0.0)))
        model.changeColCost(place, float(sign))
        model.run()
        reached, status = model.getInfo().objective_function_value, model.getModelStatus()
        multiplier = np.asarray(model.getSolution().row_dual)
        model.changeColCost(place, 0.0)
        if status != OPTIMAL or reached >= abs(amount) - NEAR:
            return None
        multiple = np.rint(multiplier * DENOMINATOR).astype(np.int64)
        slopes = np.zeros(len(self._at), np.int64)
        np.subtract.at(slopes, self._cell, multiple[self._row] * self._sign)
        own = -sign * int(slopes[place])
        return (np.delete(slopes, place), own) if own > 0 else None

    def _learn(self, cell: int, others: Whole, slopes: list[Whole], own: list[int]) -> bool:
        """Add the row that proofs give, one for each way that the cell may move: any of the ways will do."""
        amounts = self._guarantee.amounts(cell)
        together = int(np.prod(own[: len(amounts)]))
        needed = abs(amounts[0]) * together
        gain = np.zeros(len(others), np.int64)
        for slope, mine in zip(slopes, own[: len(amounts)], strict=False):
            scaled = slope * (together // mine)
            gain = np.maximum(
                gain, np.where(scaled > 0, needed, np.minimum(needed, np.maximum(-scaled, 0) * self._room[others]))
            )
        return self._add(others, gain, needed)

    def _add(self, places: Whole, gain: Whole, needed: int) -> bool:
        """One more row: the hidden cells together give as much as is needed. False where it says nothing new."""
        forced = self._forced[places]
        left = int(needed - gain[forced].sum())
        is_open = (gain != 0) & ~forced
        places, gain = places[is_open], gain[is_open]
        if left <= 0 and not (gain < 0).any():
            return False
        scale = float(max(left, 1))
        factor = (np.minimum(gain, left) if left > 0 else gain) / scale
        key = places.tobytes(), factor.tobytes()
        if key in self._known:
            return False
        self._known.add(key)
        self._rows.append((self._column[places], factor, left / scale))
        return True


def search_whole(cells: Merged, among: Mask, cell: int, amounts: tuple[int, ...]) -> tuple[Whole | None, bool]:
    """A change of some cells in whole numbers that moves one of them at least by one of the amounts.

    The second entry tells, where there is None, whether there is none, or the search gave up.
    """
    places = np.flatnonzero(among)
    place, size = int(np.searchsorted(places, cell)), len(places)
    is_known = True
    for amount in amounts:
        low, high = -cells.down[among], np.minimum(cells.up[among], FAR)
        low[place], high[place] = (amount, high[place]) if amount > 0 else (low[place], amount)
        if low[place] > high[place]:
            continue
        model = sums_model(cells, among, low, high)
        columns = np.arange(size, dtype=np.int32)
        model.setOptionValue("presolve", "choose")
        model.setOptionValue("mip_max_nodes", NODES)
        model.changeColsIntegrality(size, columns, np.full(size, int(highspy.HighsVarType.kInteger), dtype=np.uint8))
        model.run()
        if model.getModelStatus() == OPTIMAL:
            change = np.zeros(cells.size)
            change[among] = np.asarray(model.getSolution().col_value)
            if (found := whole(cells, change)) is not None:
                return found, True
        is_known &= model.getModelStatus() == highspy.HighsModelStatus.kInfeasible
    return None, is_known
