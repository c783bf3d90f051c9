"""Which of the cells that several attempts hid are worth hiding: a covering program that learns from its mistakes.

Its columns are classes of cells that only move in step, so that hiding a part of one is no use. Its rows are what any
protecting set must meet. A sum with hidden classes has at least two of them; and where a choice leaves an unsafe cell
known, the dual of that proof names the classes of which one more must be hidden.
"""

from dataclasses import dataclass
from itertools import groupby

import highspy
import numpy as np
from scipy import sparse

from transforms.release.guarantee import Guarantee
from transforms.release.in_step import in_step
from transforms.release.linear import Amounts, classes_model, room
from transforms.release.proofs import Proofs
from transforms.release.tables import Mask, Whole

FEASIBLE = int(highspy.SolutionStatus.kSolutionStatusFeasible)
NODES = 300
"""Limits the search of a round; in nodes, never in seconds, for the same result on any machine."""
NEAR = 1e-6
FAR = 1e5
"""More than any cell needs to move."""


Moves = tuple[int, ...]
Question = tuple[int, Moves]
"""Can a class make any of the moves? A negative one goes down."""


@dataclass(frozen=True)
class Needs:
    """What every protecting set among some cells has: in each row of `shares` those of its classes add up to 1.

    `of` is the class of each cell. A class with a published cell is of no use.
    """

    shares: sparse.csr_array
    of: Whole

    def met_without(self, hidden: Mask, chain: list[int]) -> bool:
        """Whether hidden cells may still protect once a chain of them is published."""
        is_whole = np.ones(self.shares.shape[1], bool)
        is_whole[self.of[~hidden & (self.of >= 0)]] = False
        is_whole[self.of[chain]] = False
        return bool((self.shares @ is_whole >= 1 - NEAR).all())


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
        self._up, self._down = room(steps, cells.up[self._among], cells.down[self._among])
        self._up, self._down = np.minimum(self._up, FAR), np.minimum(self._down, FAR)
        self._columns = np.arange(size, dtype=np.int32)
        self._choice = highspy.Highs()
        self._moves = classes_model(steps, np.zeros(size), np.zeros(size))
        self._moves.changeObjectiveSense(highspy.ObjSense.kMaximize)
        settings = {"output_flag": False, "threads": 1, "mip_rel_gap": gap, "mip_max_nodes": NODES}
        # finds nothing here that the others do not
        settings |= {"mip_heuristic_run_feasibility_jump": False}
        for name, setting in settings.items():
            self._choice.setOptionValue(name, setting)
        self._choice.addVars(size, self._is_forced.astype(float), np.ones(size))
        own = np.bincount(steps.of, weights=np.where(forced, 0, costs[self._among]), minlength=size)
        self._choice.changeColsCost(size, self._columns, own)
        self._choice.changeColsIntegrality(
            size, self._columns, np.full(size, int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        )
        self._known: set[tuple[bytes, bytes]] = set()
        self._rows: list[tuple[Whole, Amounts]] = []
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
            by_far = groupby(sorted(asked, key=_far), key=_far)
            asked, learnt = [], 0
            for far, alike in by_far:
                low, high = -np.minimum(far, self._down) * share, np.minimum(far, self._up) * share
                refuted, new = self._refute_all(list(alike), low, high)
                asked, learnt = asked + refuted, learnt + new
            if not learnt:
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
        return self._refute_all(self._questions(self._unprotected(low, high)), low, high)[1]

    def needs(self) -> "Needs":
        """What is known so far of all protecting sets among the allowed cells."""
        column = np.concatenate([np.zeros(0, np.int64), *(row[0] for row in self._rows)])
        share = np.concatenate([np.zeros(0), *(row[1] for row in self._rows)])
        begin = np.cumsum([0, *(len(row[0]) for row in self._rows)])
        shares = sparse.csr_array((share, column, begin), shape=(len(self._rows), self._steps.size))
        of = np.full(self._cells.size, -1)
        of[self._among] = self._steps.of
        return Needs(shares, of)

    def _questions(self, places: Whole) -> list[Question]:
        """What must be possible for unsafe cells: one entry per class that must move, and the moves that will do."""
        steps, asked = self._steps, dict[Question, None]()
        for place in places.tolist():
            of, sign = int(steps.of[place]), int(steps.sign[place])
            if sign:
                amounts = self._guarantee.amounts(int(steps.places[place]))
                asked[of, tuple(sorted(amount * sign for amount in amounts))] = None
        return list(asked)

    def _refute_all(self, asked: list[Question], low: Amounts, high: Amounts) -> tuple[list[Question], int]:
        """Add rows where bounds on all classes let a class make none of its moves; returns for which they do, and how
        many rows are new.

        A change that makes one of the moves of a class answers for all others of which it does so too, and a proof
        is used for all that it keeps from their moves as well.
        """
        of = np.array([question[0] for question in asked], np.int64)
        least = np.array([min(question[1]) for question in asked])
        most = np.array([max(question[1]) for question in asked])
        waiting, refuted, new, proofs = np.ones(len(asked), bool), list[Question](), 0, Proofs(low, high)
        for number, question in enumerate(asked):
            if not waiting[number]:
                continue
            slopes, change = self._slopes(*question, proofs, low, high)
            if change is not None:
                moved = change[of]
                waiting &= ~(((least < 0) & (moved <= least + NEAR)) | ((most > 0) & (moved >= most - NEAR)))
                continue
            refuted.append(question)
            new += self._refute(*question, slopes)
        return refuted, new

    def _slopes(
        self, of: int, moves: Moves, proofs: Proofs, low: Amounts, high: Amounts
    ) -> tuple[list[Amounts], Amounts | None]:
        """What opening each class further would give to each of the moves; or a change that makes one of them."""
        slopes = list[Amounts]()
        for move in moves:
            known = proofs.against(of, move)
            if known is None:
                known, change = self._reach(of, float(move), low, high)
                if change is not None:
                    return [], change
                proofs.add(of, known * np.sign(move))
            slopes.append(known)
        return slopes, None

    def _refute(self, of: int, moves: Moves, slopes: list[Amounts]) -> bool:
        """Add the row that proofs give, one for each way that a class may move: what it lacks for one of them."""
        share = np.zeros(self._steps.size)
        for each, move in zip(slopes, moves, strict=True):
            each = np.where(np.abs(each) > 1e-7, each, 0)
            gain = np.maximum(each * self._up, -each * self._down)
            lacking = abs(move) - gain[self._is_forced].sum()
            if lacking <= NEAR:
                return False
            share = np.maximum(share, np.minimum(gain / lacking, 1))
        return self._add(share)

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

    def _reach(self, of: int, amount: float, low: Amounts, high: Amounts) -> tuple[Amounts, Amounts | None]:
        """What opening each class further would give to the move of a class; and the change where it can be made."""
        model = self._moves
        model.changeColsBounds(self._steps.size, self._columns, low, high)
        model.changeColBounds(
            of, *((0.0, min(amount, self._up[of])) if amount > 0 else (max(amount, -self._down[of]), 0.0))
        )
        model.changeColCost(of, float(np.sign(amount)))
        model.run()
        reached, solution = model.getInfo().objective_function_value, model.getSolution()
        slopes, change = np.asarray(solution.col_dual), np.asarray(solution.col_value)
        model.changeColCost(of, 0.0)
        # what the class itself is kept from by its own bounds is on its side of the sum
        own = 1.0 - np.sign(amount) * slopes[of]
        slopes[of] = 0
        slopes = slopes / own if own > NEAR else np.zeros(len(slopes))
        return slopes, change if reached >= abs(amount) - NEAR else None

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

    def _add(self, share: Amounts) -> bool:
        """One more row: hidden classes have shares that add up to 1. False where it is known."""
        others = np.flatnonzero((share > NEAR) & ~self._is_forced)
        factor = share[others]
        key = others.tobytes(), np.round(factor, 6).tobytes()
        if key in self._known:
            return False
        self._known.add(key)
        self._rows.append((others, factor))
        self._choice.addRow(1.0, highspy.kHighsInf, len(others), others.astype(np.int32), factor)
        return True


def _far(question: Question) -> int:
    return max(abs(move) for move in question[1])
