"""What can be proven of hidden whole numbers from the sums that they are in: the solver of the auditor.

Shares nothing with what chooses the cells to hide, so that a mistake there is found here.
"""

from dataclasses import replace

import highspy
import numpy as np

from transforms.release.apart import settle_apart
from transforms.release.programs import Program, Question, settle
from transforms.release.unknowns import NEAR, Bounds, ContradictionError, Marks, Numbers, Places, Sums, parts_of, quiet

PASSES = 100
"""Passes over the sums before the linear programs take over."""


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
    question = Question(tight, np.zeros(len(low), bool), np.full(len(low), np.inf), np.full(len(low), -np.inf))
    np.logical_or.at(question.asked, alias, True if asked is None else asked)
    np.minimum.at(question.least, alias, threshold - offset)
    np.maximum.at(question.most, alias, threshold - offset)
    seen: list[Numbers] = []
    for part, rows in parts_of(core, ~exact):
        program = Program(core, part, rows, bounds, keep=keep)
        apart = settle_apart(core, program, rows, question, keep=keep)
        settle(program, question)
        if keep:
            seen += [_spread(each, len(low)) for each in (*apart, program)]
    alone = np.bincount(core.unknown, minlength=len(low)) == 0
    bounds.seen_low[alone] = low[alone]
    low, high, seen_low, seen_high = (each[alias] + offset for each in (low, high, seen_low, seen_high))
    return Bounds(low, high, seen_low, seen_high, np.vstack([bounds.seen, *seen])[:, alias] + offset)


def _spread(program: Program, size: int) -> Numbers:
    """The solutions that were seen of a part, over all unknowns."""
    found = np.full((len(program.seen), size), np.nan)
    found[:, program.part] = np.array(program.seen).reshape(-1, len(program.part))
    return found


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
    model = quiet(highspy.Highs())
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


def _others(part: Numbers, sums: Sums) -> Numbers:
    """For each entry the sum of the other entries of its row; infinite where one of them is."""
    rows, ends = len(sums.right), np.isinf(part)
    finite = np.where(ends, 0, part)
    total = np.bincount(sums.row, weights=finite, minlength=rows)[sums.row] - finite
    endless = np.bincount(sums.row, weights=np.where(ends, np.sign(part), 0), minlength=rows)[sums.row]
    endless = endless - np.where(ends, np.sign(part), 0)
    return np.where(endless > 0, np.inf, np.where(endless < 0, -np.inf, total))
