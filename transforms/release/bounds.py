"""What can be proven of hidden whole numbers from the sums that they are in: the solver of the auditor.

Shares nothing with what chooses the cells to hide, so that a mistake there is found here.
"""

from dataclasses import dataclass, replace

import highspy
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

NEAR = 1e-6
PASSES = 100
"""Passes over the sums before the linear programs take over."""
FRUITLESS = 3
"""Random objectives without news before every open question gets a program of its own."""


ROUGH = 0.2
"""How far from the best a whole solution may be that is only to be seen."""


class ContradictionError(Exception):
    """No whole numbers fit the published ones."""


@dataclass(frozen=True)
class Sums:
    """What is known of unknown whole numbers: the entries of a row, each `factor` times `unknown`, add up.

    They add up to at least `right[row]` and at most `room[row]` more, nothing more in an equation. `low` holds what is
    known at least of each unknown. The rows marked `basis` imply all the others.
    """

    row: Places
    unknown: Places
    factor: Numbers
    right: Numbers
    room: Numbers
    basis: Marks
    low: Numbers


@dataclass(frozen=True)
class Bounds:
    """One entry per unknown: proven to lie in `low`..`high`, and to be able to take `seen_low` and `seen_high`.

    `high` is infinite where the unknown may be as large as one likes. A bound that was seen is the tightest there is.
    """

    low: Numbers
    high: Numbers
    seen_low: Numbers
    seen_high: Numbers
    seen: Numbers
    """One row per solution that was seen, with no number where the solution says nothing of an unknown."""


@dataclass(frozen=True)
class _Question:
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


def prove(
    sums: Sums, threshold: int | Numbers, *, tight: bool, keep: bool = False, asked: Marks | None = None
) -> Bounds:
    """Bound every unknown: tightly, or as far as needed to say what is exact and what is below the threshold.

    The threshold may differ from unknown to unknown. Nothing is looked for of unknowns that are not `asked`. With
    `keep` the solutions that were seen are kept. Raises ContradictionError where no whole numbers fit.
    """
    alias, offset = _aliases(sums)
    core = _substitute(sums, alias, offset)
    low, high = _propagate(core)
    exact, endless = low == high, _endless(core, high)
    seen_low = np.where(exact, low, np.inf)
    seen_high = np.where(exact, low, np.where(endless, np.inf, -np.inf))
    bounds = Bounds(low, high, seen_low, seen_high, np.zeros((0, len(low))))
    # an unknown answers for those that differ from it by a known number too
    question = _Question(tight, np.zeros(len(low), bool), np.full(len(low), np.inf), np.full(len(low), -np.inf))
    np.logical_or.at(question.asked, alias, True if asked is None else asked)
    np.minimum.at(question.least, alias, threshold - offset)
    np.maximum.at(question.most, alias, threshold - offset)
    seen: list[Numbers] = []
    for part, rows in _parts(core, ~exact):
        program = _Program(core, part, rows, bounds, keep=keep)
        _settle(program, question)
        seen += program.seen if keep else []
    alone = np.bincount(core.unknown, minlength=len(low)) == 0
    bounds.seen_low[alone] = low[alone]
    low, high, seen_low, seen_high = (each[alias] + offset for each in (low, high, seen_low, seen_high))
    return Bounds(low, high, seen_low, seen_high, np.vstack([bounds.seen, *seen])[:, alias] + offset)


def outline(sums: Sums) -> tuple[Numbers, Numbers]:
    """Bounds of every unknown that follow from one sum at a time; infinite where none does."""
    alias, offset = _aliases(sums)
    low, high = _propagate(_substitute(sums, alias, offset))
    return low[alias] + offset, high[alias] + offset


def _aliases(sums: Sums) -> tuple[Places, Numbers]:
    """Unknowns that differ from another by a known number: unknown k is unknown `alias[k]` plus `offset[k]`."""
    rows = len(sums.right)
    plus, minus = sums.factor > 0, sums.factor < 0
    pair = (np.bincount(sums.row[plus], minlength=rows) == 1) & (np.bincount(sums.row[minus], minlength=rows) == 1)
    pair &= (sums.room == 0) & (np.bincount(sums.row[np.abs(sums.factor) != 1], minlength=rows) == 0)
    above, below = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    above[sums.row[plus]], below[sums.row[minus]] = sums.unknown[plus], sums.unknown[minus]
    alias, offset = np.arange(len(sums.low)), np.zeros(len(sums.low))
    alias[above[pair]], offset[above[pair]] = below[pair], sums.right[pair]
    for _ in range(len(alias).bit_length() + 1):
        offset, alias = offset + offset[alias], alias[alias]
    # tables that are tied to each other may lead back to where they began: there each answers for itself
    alone = alias[alias] != alias
    alias[alone], offset[alone] = np.flatnonzero(alone), 0.0
    if offset[alias == np.arange(len(alias))].any():
        raise ContradictionError
    return alias, offset


def _substitute(sums: Sums, alias: Places, offset: Numbers) -> Sums:
    size, rows = len(sums.low), len(sums.right)
    right = sums.right - np.bincount(sums.row, weights=sums.factor * offset[sums.unknown], minlength=rows)
    place, at = np.unique(sums.row * size + alias[sums.unknown], return_inverse=True)
    factor = np.bincount(at, weights=sums.factor, minlength=len(place))
    place, factor = place[factor != 0], factor[factor != 0]
    bare = np.bincount(place // size, minlength=rows) == 0
    if ((right[bare] > NEAR) | (right[bare] + sums.room[bare] < -NEAR)).any():
        raise ContradictionError
    low = np.zeros(size)
    np.maximum.at(low, alias, sums.low - offset)
    return replace(sums, row=place // size, unknown=place % size, factor=factor, right=right, low=low)


def _propagate(sums: Sums) -> tuple[Numbers, Numbers]:
    """Bounds that follow from one sum at a time, over and over: what the others leave for each member."""
    low, high = sums.low.copy(), np.full(len(sums.low), np.inf)
    up = sums.factor > 0
    for _ in range(PASSES):
        least = sums.factor * np.where(up, low[sums.unknown], high[sums.unknown])
        most = sums.factor * np.where(up, high[sums.unknown], low[sums.unknown])
        above = (sums.right + sums.room)[sums.row] - _others(least, sums)
        below = sums.right[sums.row] - _others(most, sums)
        before = low.copy(), high.copy()
        np.minimum.at(high, sums.unknown, np.floor(np.where(up, above, below) / sums.factor + NEAR))
        np.maximum.at(low, sums.unknown, np.ceil(np.where(up, below, above) / sums.factor - NEAR))
        if (low > high).any():
            raise ContradictionError
        if (before[0] == low).all() and (before[1] == high).all():
            break
    return low, high


def _endless(sums: Sums, high: Numbers) -> Marks:
    """The unknowns that may be as large as one likes: those that some direction raises in which every sum stays.

    Directions add up to directions, so that one linear program finds all of these unknowns at once.
    """
    endless = np.isinf(high)
    mine = endless[sums.unknown]
    rows, row = np.unique(sums.row[mine], return_inverse=True)
    if not len(rows):
        return endless
    size = int(endless.sum())
    model = _quiet(highspy.Highs())
    model.addVars(2 * size, np.zeros(2 * size), np.repeat([np.inf, 1.0], size))
    order = np.argsort(row, kind="stable")
    place, factor = (np.cumsum(endless) - 1)[sums.unknown[mine]][order], sums.factor[mine][order]
    most = np.where(np.isinf(sums.room[rows]), np.inf, 0.0)
    begin = np.searchsorted(row[order], np.arange(len(rows))).astype(np.int32)
    model.addRows(len(rows), np.zeros(len(rows)), most, len(place), begin, place.astype(np.int32), factor)
    pairs = np.stack([np.arange(size), np.arange(size) + size], axis=1).ravel().astype(np.int32)
    model.addRows(
        size,
        np.zeros(size),
        np.full(size, np.inf),
        2 * size,
        np.arange(0, 2 * size, 2, dtype=np.int32),
        pairs,
        np.tile([1.0, -1.0], size),
    )
    model.changeObjectiveSense(highspy.ObjSense.kMaximize)
    model.changeColsCost(2 * size, np.arange(2 * size, dtype=np.int32), np.repeat([0.0, 1.0], size))
    model.run()
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError("the solver stopped")
    found = endless.copy()
    found[endless] = np.asarray(model.getSolution().col_value)[size:] > 0.5
    return found


def _quiet(model: highspy.Highs) -> highspy.Highs:
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", 1)
    return model


def _others(part: Numbers, sums: Sums) -> Numbers:
    """For each entry the sum of the other entries of its row; infinite where one of them is."""
    rows, ends = len(sums.right), np.isinf(part)
    finite = np.where(ends, 0, part)
    total = np.bincount(sums.row, weights=finite, minlength=rows)[sums.row] - finite
    endless = np.bincount(sums.row, weights=np.where(ends, np.sign(part), 0), minlength=rows)[sums.row]
    endless = endless - np.where(ends, np.sign(part), 0)
    return np.where(endless > 0, np.inf, np.where(endless < 0, -np.inf, total))


def _parts(sums: Sums, is_open: Marks) -> list[tuple[Places, Places]]:
    """Unknowns that hang together through sums, with the rows of these sums."""
    used = sums.basis[sums.row] & is_open[sums.unknown]
    row, unknown = sums.row[used], sums.unknown[used]
    label = np.arange(len(sums.low))
    while True:
        of_row = np.full(len(sums.right), len(label))
        np.minimum.at(of_row, row, label[unknown])
        new = label.copy()
        np.minimum.at(new, unknown, of_row[row])
        new = new[new]
        if (new == label).all():
            break
        label = new
    members, rows = np.unique(unknown), np.unique(row)
    by_member, by_row = np.argsort(label[members], kind="stable"), np.argsort(of_row[rows], kind="stable")
    cut = np.unique(label[members][by_member], return_index=True)[1][1:]
    cut_rows = np.unique(of_row[rows][by_row], return_index=True)[1][1:]
    parts = zip(np.split(members[by_member], cut), np.split(rows[by_row], cut_rows), strict=True)
    return [(part, of) for part, of in parts if len(part)]


def _settle(program: "_Program", question: _Question) -> None:
    """Answer what is open in one part. Each whole-number solution answers for all the unknowns of the part at once."""
    bounds, part = program.bounds, program.part
    random = np.random.default_rng(0)
    _try_at_random(program, question, random, whole=False)
    if np.isinf(bounds.seen_low[part]).any():
        program.optimum(np.zeros(len(part)), whole=True)
    for whole in (False, True):
        if whole:
            _try_at_random(program, question, random, whole=True)
        for sign in (1, -1):
            for place in range(len(part)):
                if question.open(bounds, part[place : place + 1])[0 if sign > 0 else 1].any():
                    program.extreme(place, sign, whole=whole)


def _try_at_random(program: "_Program", question: _Question, random: np.random.Generator, *, whole: bool) -> None:
    """Random objectives over all that is open, as long as they answer something."""
    bounds, part, fruitless = program.bounds, program.part, 0
    up, down = question.open(bounds, part)
    while fruitless < FRUITLESS and (up.any() or down.any()):
        wish = random.uniform(0.2, 1, len(part)) * np.where(
            up & down, random.choice([-1, 1], len(part)), up * 1.0 - down
        )
        open_before = up.sum() + down.sum()
        program.optimum(wish, whole=whole, rough=whole)
        up, down = question.open(bounds, part)
        fruitless = fruitless + 1 if up.sum() + down.sum() >= open_before * 0.98 else 0


class _Program:
    """The linear program of one part, kept warm, and beside it the same in whole numbers."""

    def __init__(self, sums: Sums, part: Places, rows: Places, bounds: Bounds, *, keep: bool) -> None:
        self.part, self.bounds = part, bounds
        inside = np.full(len(sums.low), -1)
        inside[part] = np.arange(len(part))
        number = np.full(len(sums.right), -1)
        number[rows] = np.arange(len(rows))
        mine = number[sums.row] >= 0
        row, place, factor = number[sums.row[mine]], inside[sums.unknown[mine]], sums.factor[mine]
        known = place < 0
        told = factor[known] * bounds.low[sums.unknown[mine][known]]
        self._right = sums.right[rows] - np.bincount(row[known], weights=told, minlength=len(rows))
        self._most = self._right + sums.room[rows]
        self._row, self._place, self._factor = row[~known], place[~known], factor[~known]
        self._columns = np.arange(len(part), dtype=np.int32)
        self.seen: list[Numbers] = []
        self._size = len(sums.low) if keep else 0
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

    def optimum(self, wish: Numbers, *, whole: bool, rough: bool = False) -> float:
        """The largest that a wish can reach, or with `rough` nearly; a solution in whole numbers is kept as seen."""
        model = self._model(whole=whole)
        if whole:
            model.setOptionValue("mip_rel_gap", ROUGH if rough else 0.0)
        model.changeColsCost(len(self.part), self._columns, wish)
        model.run()
        status = model.getModelStatus()
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            raise ContradictionError
        if status != highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError(f"the solver stopped with {model.modelStatusToString(status)}")
        values = np.asarray(model.getSolution().col_value)
        is_seen = self._see(values)
        if not whole:
            return float(model.getInfo().objective_function_value)
        if not is_seen:
            raise ArithmeticError("the solver's whole numbers do not add up")
        return float(np.rint(values) @ wish)

    def _see(self, values: Numbers) -> bool:
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
            if self._size:
                solution = np.full(self._size, np.nan)
                solution[self.part] = rounded
                self.seen.append(solution)
        return is_seen

    def _model(self, *, whole: bool) -> highspy.Highs:
        known = self._whole if whole else self._warm
        if known is not None:
            return known
        model = _quiet(highspy.Highs())
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
