"""Linear programs over unknown whole numbers, kept warm: what values do the auditor's unknowns take in solutions?"""

from dataclasses import dataclass

import highspy
import numpy as np

from transforms.release.unknowns import NEAR, Bounds, ContradictionError, Marks, Numbers, Places, Sums, quiet

NODES = 200
"""Where a search for a solution with room gives up; in nodes, never in seconds."""
FIRST = 100.0
"""Worth of the first room of a row, beside that of any more."""
NEARLY = 1e-3
"""How close to the most room a solution comes."""
FRUITLESS = 3
"""Random objectives without news before every open question gets a program of its own."""
ROUGH = 0.2
"""How far from the best a whole solution may be that is only to be seen."""


@dataclass(frozen=True)
class Question:
    """What to find out: the tightest bounds, or only what is exact and what stays below `least`..`most`."""

    tight: bool
    asked: Marks
    least: Numbers
    most: Numbers

    def open(self, bounds: Bounds, part: Places) -> tuple[Marks, Marks]:
        """The unknowns of a part of which larger, and smaller, values are worth looking for."""
        low, high = bounds.low[part], bounds.high[part]
        seen_low, seen_high = bounds.seen_low[part], bounds.seen_high[part]
        up, down = (seen_high < high) & self.asked[part], (seen_low > low) & self.asked[part]
        if self.tight:
            return up, down
        is_told_open = (seen_low >= seen_high) & (low < high)
        is_small_open = (high >= self.least[part]) & (seen_high < self.most[part])
        return up & (is_told_open | is_small_open), down & is_told_open

    def enough(self, bounds: Bounds, part: Places) -> tuple[Numbers, Numbers]:
        """The least and the most that a solution need show of each unknown of a part."""
        if self.tight:
            return bounds.low[part], bounds.high[part]
        seen_low, seen_high = bounds.seen_low[part], bounds.seen_high[part]
        nearest = np.where(np.isinf(seen_low), bounds.low[part], np.maximum(seen_low - 1, bounds.low[part]))
        return nearest, np.minimum(np.maximum(seen_high + 1, self.most[part]), bounds.high[part])


def settle(program: "Program", question: Question) -> None:
    """Answer what is open in one part. Each whole-number solution answers for all the unknowns of the part at once."""
    bounds, part = program.bounds, program.part
    random = np.random.default_rng(0)
    try_at_random(program, question, random, whole=False)
    if np.isinf(bounds.seen_low[part]).any():
        program.optimum(np.zeros(len(part)), whole=True)
    for whole in (False, True):
        if whole:
            try_at_random(program, question, random, whole=True)
        for sign in (1, -1):
            for place in range(len(part)):
                if question.open(bounds, part[place : place + 1])[0 if sign > 0 else 1].any():
                    program.extreme(place, sign, whole=whole)


def try_at_random(program: "Program", question: Question, random: np.random.Generator, *, whole: bool) -> None:
    """Random objectives over all that is open, as long as they answer something."""
    bounds, part, fruitless = program.bounds, program.part, 0
    up, down = question.open(bounds, part)
    while fruitless < FRUITLESS and (up.any() or down.any()):
        sign = np.where(up & down, random.choice([-1, 1], len(part)), up * 1.0 - down)
        wish = random.uniform(0.2, 1, len(part)) * sign
        open_before = up.sum() + down.sum()
        if whole:
            low, high = question.enough(bounds, part)
            program.approach(wish, np.where(sign < 0, low, -np.inf), np.where(sign > 0, high, np.inf))
        else:
            program.optimum(wish, whole=False)
        up, down = question.open(bounds, part)
        fruitless = fruitless + 1 if up.sum() + down.sum() >= open_before * 0.98 else 0


class Program:
    """The linear program of one part, kept warm, and beside it the same in whole numbers.

    `seen` has the whole-number solutions that were seen, one entry per unknown of the part, where they are to be kept.
    """

    def __init__(
        self, sums: Sums, part: Places, rows: Places, bounds: Bounds, known: Numbers | None = None, *, keep: bool
    ) -> None:
        """Start with the rows of a part; the unknowns outside it are those of `known`, or exact."""
        self.part, self.bounds, self._keep = part, bounds, keep
        inside = np.full(len(sums.low), -1)
        inside[part] = np.arange(len(part))
        number = np.full(len(sums.right), -1)
        number[rows] = np.arange(len(rows))
        mine = number[sums.row] >= 0
        row, place, factor = number[sums.row[mine]], inside[sums.unknown[mine]], sums.factor[mine]
        outside = place < 0
        told = factor[outside] * (bounds.low if known is None else known)[sums.unknown[mine][outside]]
        self._right = sums.right[rows] - np.bincount(row[outside], weights=told, minlength=len(rows))
        self._most = self._right + sums.room[rows]
        self._row, self._place, self._factor = row[~outside], place[~outside], factor[~outside]
        self._columns = np.arange(len(part), dtype=np.int32)
        self.seen: list[Numbers] = []
        self._warm: highspy.Highs | None = None
        self._whole: highspy.Highs | None = None

    def extreme(self, place: int, sign: int, *, whole: bool) -> None:
        """Push one unknown up or down as far as it goes and keep what that proves."""
        wish = np.zeros(len(self.part))
        wish[place] = sign
        reached = self.optimum(wish, whole=whole)
        at, bounds = self.part[place], self.bounds
        if sign > 0:
            bounds.high[at] = min(bounds.high[at], np.floor(reached + NEAR))
        else:
            bounds.low[at] = max(bounds.low[at], np.ceil(-reached - NEAR))
        for model in filter(None, (self._warm, self._whole)):
            model.changeColBounds(place, bounds.low[at], bounds.high[at])

    def approach(self, wish: Numbers, low: Numbers, high: Numbers) -> None:
        """See a solution in whole numbers that comes near a wish, within bounds that go no further than is needed."""
        model, own_low, own_high = self._model(whole=True), self.bounds.low[self.part], self.bounds.high[self.part]
        size = len(self.part)
        model.changeColsBounds(size, self._columns, np.maximum(own_low, low), np.minimum(own_high, high))
        model.setOptionValue("mip_rel_gap", ROUGH)
        model.changeColsCost(size, self._columns, wish)
        model.run()
        values = np.asarray(model.getSolution().col_value)
        if len(values) == size:
            self.see(values)
        model.setOptionValue("mip_rel_gap", 0.0)
        model.changeColsBounds(size, self._columns, own_low, own_high)

    def optimum(self, wish: Numbers, *, whole: bool) -> float:
        """The largest that a wish can reach; a solution in whole numbers is kept as seen."""
        model = self._model(whole=whole)
        model.changeColsCost(len(self.part), self._columns, wish)
        model.run()
        status = model.getModelStatus()
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            raise ContradictionError
        if status != highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError(f"the solver stopped with {model.modelStatusToString(status)}")
        values = np.asarray(model.getSolution().col_value)
        is_seen = self.see(values)
        if not whole:
            return float(model.getInfo().objective_function_value)
        if not is_seen:
            raise ArithmeticError("the solver's whole numbers do not add up")
        return float(np.rint(values) @ wish)

    def see(self, values: Numbers) -> bool:
        """Keep a solution where it is one in whole numbers, and whether it is."""
        rounded = np.rint(values)
        if np.abs(values - rounded).max() > 1e-5:
            return False
        total = np.bincount(self._row, weights=self._factor * rounded[self._place], minlength=len(self._right))
        low, high = self.bounds.low[self.part], self.bounds.high[self.part]
        fits = (total >= self._right - NEAR) & (total <= self._most + NEAR)
        is_seen = bool(fits.all() and (rounded >= low).all() and (rounded <= high).all())
        if is_seen:
            self.bounds.seen_low[self.part] = np.minimum(self.bounds.seen_low[self.part], rounded)
            self.bounds.seen_high[self.part] = np.maximum(self.bounds.seen_high[self.part], rounded)
            if self._keep:
                self.seen.append(rounded)
        return is_seen

    def roomy(self, least: float) -> Numbers | None:
        """A solution in whole numbers that leaves room in as many as can be of the rows without an upper end.

        Up to `least` a row counts as room. None where none is found.
        """
        model, size, rows = quiet(highspy.Highs()), len(self.part), np.flatnonzero(np.isinf(self._most))
        model.addVars(size, self.bounds.low[self.part], self.bounds.high[self.part])
        model.addVars(2 * len(rows), np.zeros(2 * len(rows)), np.repeat([1.0, least], len(rows)))
        row = np.concatenate([self._row, rows, rows])
        place = np.append(self._place, size + np.arange(2 * len(rows)))
        factor = np.append(self._factor, -np.ones(2 * len(rows)))
        order = np.argsort(row, kind="stable")
        begin = np.searchsorted(row[order], np.arange(len(self._right))).astype(np.int32)
        model.addRows(
            len(self._right), self._right, self._most, len(row), begin, place[order].astype(np.int32), factor[order]
        )
        parts, columns = [size, len(rows), len(rows)], np.arange(size + 2 * len(rows), dtype=np.int32)
        model.changeObjectiveSense(highspy.ObjSense.kMaximize)
        model.changeColsCost(len(columns), columns, np.repeat([0.0, FIRST, 1.0], parts))
        whole, part = int(highspy.HighsVarType.kInteger), int(highspy.HighsVarType.kContinuous)
        model.changeColsIntegrality(len(columns), columns, np.repeat([whole, part, part], parts).astype(np.uint8))
        for name, setting in {"mip_rel_gap": NEARLY, "mip_max_nodes": NODES}.items():
            model.setOptionValue(name, setting)
        model.run()
        values = np.asarray(model.getSolution().col_value)[:size]
        return np.rint(values) if len(values) == size and self.see(values) else None

    def _model(self, *, whole: bool) -> highspy.Highs:
        known = self._whole if whole else self._warm
        if known is not None:
            return known
        model = quiet(highspy.Highs())
        settings: dict[str, bool | int | float | str] = {"mip_rel_gap": 0.0}
        if whole and (np.abs(self._factor) != 1).any():
            # a large factor makes much of little: a number that is nearly whole is not near enough
            settings |= {"mip_feasibility_tolerance": 1e-9, "primal_feasibility_tolerance": 1e-9}
        if not whole:
            settings |= {"presolve": "off", "solver": "simplex"}
        for name, setting in settings.items():
            model.setOptionValue(name, setting)
        model.addVars(len(self.part), self.bounds.low[self.part], self.bounds.high[self.part])
        begin = np.searchsorted(self._row, np.arange(len(self._right))).astype(np.int32)
        model.addRows(
            len(self._right),
            self._right,
            self._most,
            len(self._row),
            begin,
            self._place.astype(np.int32),
            self._factor,
        )
        model.changeObjectiveSense(highspy.ObjSense.kMaximize)
        if whole:
            kinds = np.full(len(self.part), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
            model.changeColsIntegrality(len(self.part), self._columns, kinds)
            self._whole = model
        else:
            self._warm = model
        return model
