"""Which of the cells that several attempts hid are worth hiding: a covering program that learns from its mistakes.

Its rows are what any protecting set must meet. A sum with hidden cells has at least two of them; and where a choice
leaves an unsafe cell known, the dual of that proof names the cells of which one more must be hidden.
"""

import highspy
import numpy as np

from transforms.release.guarantee import Guarantee
from transforms.release.linear import Amounts, sums_model
from transforms.release.tables import Mask, Whole

FEASIBLE = int(highspy.SolutionStatus.kSolutionStatusFeasible)
NODES = 300
"""Limits the search of a round; in nodes, never in seconds, for the same result on any machine."""
FAR = 1e5
"""More than any cell needs to move."""


class Cover:
    """The choice of hidden cells among `allowed` ones, of the least cost by what is known of protecting sets so far."""

    def __init__(self, guarantee: Guarantee, costs: Amounts, allowed: Mask, gap: float) -> None:
        """Start with what each sum by itself asks for; `gap` is how close to the best a choice must come."""
        cells = guarantee.cells
        self._guarantee, self._cells = guarantee, cells
        self._among = (allowed | cells.unsafe | cells.open) & ~cells.fixed
        self._at = np.flatnonzero(self._among)
        self._is_unsafe = cells.unsafe[self._at]
        self._is_forced = (cells.unsafe | cells.open)[self._at]
        self._room = (cells.value - cells.floor)[self._at].astype(float)
        size = len(self._at)
        self._columns = np.arange(size, dtype=np.int32)
        self._choice = highspy.Highs()
        self._moves = sums_model(cells, self._among, np.zeros(size), np.zeros(size))
        self._moves.changeObjectiveSense(highspy.ObjSense.kMaximize)
        for name, setting in (("output_flag", False), ("threads", 1), ("mip_rel_gap", gap), ("mip_max_nodes", NODES)):
            self._choice.setOptionValue(name, setting)
        self._choice.addVars(size, self._is_forced.astype(float), np.ones(size))
        self._choice.changeColsCost(size, self._columns, np.where(self._is_forced, 0, costs[self._at]))
        self._known: set[tuple[bytes, bytes]] = set()
        self._partners()

    def choose(self) -> Mask:
        """The best choice by the rows so far; one entry per cell."""
        self._choice.changeColsIntegrality(
            len(self._at), self._columns, np.full(len(self._at), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        )
        self._choice.run()
        if self._choice.getInfo().primal_solution_status != FEASIBLE:
            return self._among.copy()
        chosen = self._cells.unsafe | self._cells.open
        chosen[self._at[np.asarray(self._choice.getSolution().col_value) > 0.5]] = True
        return chosen

    def learn(self, hidden: Mask) -> int:
        """Add what the unsafe cells that a choice leaves known ask for; returns how many there are."""
        share = hidden[self._at].astype(float)
        low, high = -self._room * share, FAR * share
        bare = self._unprotected(low, high)
        for place in bare.tolist():
            amounts = self._guarantee.amounts(int(self._at[place]))
            slopes = [self._reach(place, float(amount), low, high) for amount in amounts]
            gains = [
                self._gain(each, abs(amount)) for each, amount in zip(slopes, amounts, strict=True) if each is not None
            ]
            if len(gains) == len(amounts):
                self._add(np.maximum.reduce(gains), place, float(max(amounts)))
        return len(bare)

    def _gain(self, slopes: Amounts, amount: float) -> Amounts:
        """How much further a cell would move at most for hiding each other cell."""
        return np.where(slopes > 1e-7, amount, np.minimum(amount, np.maximum(-slopes, 0) * self._room))

    def _unprotected(self, low: Amounts, high: Amounts) -> Whole:
        """The unsafe cells that a few changes at random, and not each by itself, leave where they are."""
        random, waiting = np.random.default_rng(0), self._is_unsafe.copy()
        reach = 2.0 * self._guarantee.safe_from
        self._moves.changeColsBounds(len(self._at), self._columns, np.maximum(low, -reach), np.minimum(high, reach))
        for _ in range(8):
            if not waiting.any():
                break
            self._moves.changeColsCost(len(self._at), self._columns, random.uniform(0.2, 1.5, len(self._at)) * waiting)
            self._moves.run()
            change = np.zeros(self._cells.size)
            change[self._at] = np.asarray(self._moves.getSolution().col_value)
            waiting &= ~self._guarantee.protected_by(change)[self._at]
        self._moves.changeColsCost(len(self._at), self._columns, np.zeros(len(self._at)))
        return np.flatnonzero(waiting)

    def _reach(self, place: int, amount: float, low: Amounts, high: Amounts) -> Amounts | None:
        """None where an unsafe cell can move by the amount; else, of each cell, what opening it further would give."""
        model = self._moves
        model.changeColsBounds(len(self._at), self._columns, low, high)
        model.changeColBounds(place, *((0.0, 2 * amount) if amount > 0 else (2 * amount, 0.0)))
        model.changeColCost(place, float(np.sign(amount)))
        model.run()
        reached = model.getInfo().objective_function_value
        slopes = np.asarray(model.getSolution().col_dual)
        model.changeColCost(place, 0.0)
        if reached >= abs(amount) - 1e-6:
            return None
        slopes[place] = 0
        return slopes

    def _partners(self) -> None:
        """A sum tells a hidden cell that is alone in it, and then every unsafe cell behind that."""
        cells, inside = self._cells, np.full(self._cells.size, -1)
        inside[self._at] = np.arange(len(self._at))
        for number, parent in enumerate(cells.parent.tolist()):
            members = inside[np.append(cells.child[cells.start[number] : cells.start[number + 1]], parent)]
            members = members[members >= 0]
            unsafe = members[self._is_unsafe[members]]
            forced = members[self._is_forced[members]]
            if len(forced) > 1 or len(forced) > len(unsafe):
                continue
            for alone in unsafe if len(unsafe) else members:
                others = members[members != alone]
                row = np.append(others, alone) if not len(unsafe) else others
                factor = np.append(np.ones(len(others)), [] if len(unsafe) else [-1.0])
                self._choice.addRow(
                    float(len(unsafe)), highspy.kHighsInf, len(row), row.astype(np.int32), factor.astype(float)
                )

    def _add(self, weight: Amounts, place: int, amount: float) -> None:
        """One more row: the hidden cells together give the amount."""
        weight[place] = 0
        needed = amount - weight[self._is_forced].sum()
        if needed <= 1e-9:
            return
        others = np.flatnonzero((weight > 1e-9) & ~self._is_forced).astype(np.int32)
        factor = np.minimum(weight[others], needed)
        key = others.tobytes(), np.round(factor / needed, 6).tobytes()
        if key not in self._known:
            self._known.add(key)
            self._choice.addRow(float(needed), highspy.kHighsInf, len(others), others, factor)
