"""Which of the cells that several attempts hid are worth hiding: a covering program that learns from its mistakes.

Its columns are classes of cells that only move in step, so that hiding a part of one is no use. Its rows are what any
protecting set must meet. A sum with hidden classes has at least two of them; and where a choice leaves an unsafe cell
known, the dual of that proof names the classes of which one more must be hidden.
"""

import highspy
import numpy as np

from transforms.release.guarantee import Guarantee
from transforms.release.in_step import in_step
from transforms.release.linear import Amounts, classes_model, room
from transforms.release.tables import Mask, Whole

FEASIBLE = int(highspy.SolutionStatus.kSolutionStatusFeasible)
NODES = 300
"""Limits the search of a round; in nodes, never in seconds, for the same result on any machine."""
NEAR = 1e-6
FAR = 1e5
"""More than any cell needs to move."""


class Cover:
    """The choice of hidden cells among `allowed` ones, of the least cost by what is known of protecting sets so far."""

    def __init__(self, guarantee: Guarantee, costs: Amounts, allowed: Mask, gap: float) -> None:
        """Start with what each sum by itself asks for; `gap` is how close to the best a choice must come."""
        cells = guarantee.cells
        self._guarantee, self._cells = guarantee, cells
        self._among = (allowed | cells.unsafe | cells.open) & ~cells.fixed
        self._steps = steps = in_step(cells, self._among)
        forced, size = (cells.unsafe | cells.open)[self._among], steps.size
        self._is_unsafe, self._is_forced = np.zeros(size, bool), np.zeros(size, bool)
        self._is_unsafe[steps.of[cells.unsafe[self._among]]] = True
        self._is_forced[steps.of[forced]] = True
        self._up, self._down = room(steps, (cells.value - cells.floor)[self._among].astype(float))
        self._up, self._down = np.minimum(self._up, FAR), np.minimum(self._down, FAR)
        self._columns = np.arange(size, dtype=np.int32)
        self._choice = highspy.Highs()
        self._moves = classes_model(steps, np.zeros(size), np.zeros(size))
        self._moves.changeObjectiveSense(highspy.ObjSense.kMaximize)
        for name, setting in (("output_flag", False), ("threads", 1), ("mip_rel_gap", gap), ("mip_max_nodes", NODES)):
            self._choice.setOptionValue(name, setting)
        self._choice.addVars(size, self._is_forced.astype(float), np.ones(size))
        own = np.bincount(steps.of, weights=np.where(forced, 0, costs[self._among]), minlength=size)
        self._choice.changeColsCost(size, self._columns, own)
        self._choice.changeColsIntegrality(
            size, self._columns, np.full(size, int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        )
        self._known: set[tuple[bytes, bytes]] = set()
        self._partners()

    def choose(self) -> tuple[Mask, float]:
        """The best choice by the rows so far, one entry per cell; and what no better one can cost less than."""
        self._choice.run()
        info = self._choice.getInfo()
        if info.primal_solution_status != FEASIBLE:
            return self._among.copy(), 0.0
        return self._spread(np.asarray(self._choice.getSolution().col_value) > 0.5), float(info.mip_dual_bound)

    def sharpen(self, rounds: int) -> None:
        """Refute choices by fractions, in rounds: a class hidden by half lets a change be half as large."""
        asked = self._questions(np.flatnonzero(self._cells.unsafe[self._among]))
        self._choice.setOptionValue("solve_relaxation", True)
        for _ in range(rounds):
            self._choice.run()
            share = np.clip(np.asarray(self._choice.getSolution().col_value), 0, 1)
            share[share < NEAR] = 0
            asked = [question for question in asked if self._refute_part(*question, share)]
            if not asked:
                break
        self._choice.setOptionValue("solve_relaxation", False)

    def _spread(self, chosen: Mask) -> Mask:
        """The cells of chosen classes, and those that must be hidden."""
        hidden = self._cells.unsafe | self._cells.open
        hidden[self._among] |= chosen[self._steps.of]
        return hidden

    def learn(self, hidden: Mask) -> int:
        """Add what the unsafe cells that a choice leaves known ask for; returns how many rows are new."""
        share = np.zeros(self._steps.size)
        share[self._steps.of[hidden[self._among]]] = 1.0
        low, high = -self._down * share, self._up * share
        return sum(self._refute(*question, low, high) for question in self._questions(self._unprotected(low, high)))

    def _questions(self, places: Whole) -> list[tuple[int, tuple[int, ...]]]:
        """What must be possible for unsafe cells: one entry per class that must move, and the moves that will do."""
        steps, asked = self._steps, dict[tuple[int, tuple[int, ...]], None]()
        for place in places.tolist():
            of, sign = int(steps.of[place]), int(steps.sign[place])
            if sign:
                amounts = self._guarantee.amounts(int(steps.places[place]))
                asked[of, tuple(sorted(amount * sign for amount in amounts))] = None
        return list(asked)

    def _refute(self, of: int, moves: tuple[int, ...], low: Amounts, high: Amounts) -> bool:
        """Add a row where bounds on all classes let a class make none of the moves; whether there is a new one."""
        slopes = []
        for move in moves:
            found = self._reach(of, float(move), low, high)
            if found is None:
                return False
            slopes.append(found)
        gains = [self._gain(each, abs(move)) for each, move in zip(slopes, moves, strict=True)]
        return self._add(np.maximum.reduce(gains), of, float(max(abs(move) for move in moves)))

    def _refute_part(self, of: int, moves: tuple[int, ...], share: Amounts) -> bool:
        far = max(abs(move) for move in moves)
        return self._refute(of, moves, -np.minimum(far, self._down) * share, np.minimum(far, self._up) * share)

    def _gain(self, slopes: Amounts, amount: float) -> Amounts:
        """How much further a cell would move at most for hiding each class."""
        slopes = np.where(np.abs(slopes) > 1e-7, slopes, 0)
        return np.minimum(amount, np.maximum(slopes * self._up, -slopes * self._down))

    def _unprotected(self, low: Amounts, high: Amounts) -> Whole:
        """The unsafe cells that a few changes at random, and not each by itself, leave where they are; by place."""
        steps, size = self._steps, self._steps.size
        random, waiting = np.random.default_rng(0), self._cells.unsafe[self._among]
        reach = 2.0 * self._guarantee.safe_from
        self._moves.changeColsBounds(size, self._columns, np.maximum(low, -reach), np.minimum(high, reach))
        for _ in range(8):
            if not waiting.any():
                break
            wish = random.uniform(0.2, 1.5, len(waiting)) * waiting * steps.sign
            self._moves.changeColsCost(size, self._columns, np.bincount(steps.of, weights=wish, minlength=size))
            self._moves.run()
            change = np.zeros(self._cells.size)
            change[steps.places] = steps.sign * np.asarray(self._moves.getSolution().col_value)[steps.of]
            waiting &= ~self._guarantee.protected_by(change)[self._among]
        self._moves.changeColsCost(size, self._columns, np.zeros(size))
        return np.flatnonzero(waiting)

    def _reach(self, of: int, amount: float, low: Amounts, high: Amounts) -> Amounts | None:
        """None where a class can move by the amount; else, of each class, what opening it further would give."""
        model = self._moves
        model.changeColsBounds(self._steps.size, self._columns, low, high)
        bounds = (0.0, min(2 * amount, self._up[of])) if amount > 0 else (max(2 * amount, -self._down[of]), 0.0)
        model.changeColBounds(of, *bounds)
        model.changeColCost(of, float(np.sign(amount)))
        model.run()
        reached = model.getInfo().objective_function_value
        slopes = np.asarray(model.getSolution().col_dual)
        model.changeColCost(of, 0.0)
        if reached >= abs(amount) - NEAR:
            return None
        slopes[of] = 0
        return slopes

    def _partners(self) -> None:
        """A sum tells a hidden class that is alone in it, and then every unsafe cell behind that."""
        steps = self._steps
        begin = np.searchsorted(steps.row, np.unique(steps.row))
        for members in np.split(steps.column, begin[1:]):
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

    def _add(self, weight: Amounts, place: int, amount: float) -> bool:
        """One more row: the hidden classes together give the amount. False where it says nothing new."""
        weight[place] = 0
        needed = amount - weight[self._is_forced].sum()
        if needed <= 1e-9:
            return False
        others = np.flatnonzero((weight > 1e-9) & ~self._is_forced).astype(np.int32)
        factor = np.minimum(weight[others], needed)
        key = others.tobytes(), np.round(factor / needed, 6).tobytes()
        if key in self._known:
            return False
        self._known.add(key)
        self._choice.addRow(float(needed), highspy.kHighsInf, len(others), others, factor)
        return True
