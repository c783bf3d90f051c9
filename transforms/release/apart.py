"""Blocks of unknowns that only inequalities tie, as those of tables that lie within others, settled apart.

What a block allows by itself is more than what is possible, so what it proves holds. Where all other blocks are held at
one solution, a block allows less than what is possible, so what is seen of it can be. What neither answers is left for
the program of all blocks together, which is large.
"""

from dataclasses import replace

import numpy as np

from transforms.release.programs import Program, Question, settle, try_at_random
from transforms.release.unknowns import NEAR, ContradictionError, Marks, Numbers, Places, Sums, parts_of

ROOM = 2.0
"""Room that a row is given in the solution at which the others are held, beside what is safe."""
TIGHT = 0.1
"""Blocks of which such a share of the ties has no room, even there, move together or not at all: they are one."""


def settle_apart(sums: Sums, together: Program, rows: Places, question: Question, *, keep: bool) -> list[Program]:
    """Answer what blocks by themselves can answer of a part; returns the programs of the blocks with what they saw.

    `rows` are the rows of the part. Nothing is done where the part is one block, where no end of an unknown is known
    that has one, so that a block by itself may have none, or where no solution is found to hold the others at.
    """
    part, bounds = together.part, together.bounds
    if not (sums.room[rows] > 0).any():
        return []
    block = _blocks(sums, part, rows)
    is_open = np.isinf(bounds.high[part]) & ~np.isinf(bounds.seen_high[part])
    if block[part].max() < 1 or is_open.any():
        return []
    most = question.most[part]
    held = together.roomy(ROOM + float(most[np.isfinite(most)].max(initial=0)))
    if held is None:
        return []
    known = bounds.low.copy()
    known[part] = held
    block = _united(sums, rows, block, known)
    ties, programs, numbers = _ties(sums, rows, block), [], np.unique(block[part]).tolist()
    if len(numbers) < 2:
        return []
    for number in numbers:
        among, of = np.flatnonzero(block == number), rows[_has(sums, block == number)[rows]]
        # what the block proves by itself is kept, what is seen of it is not
        alone = replace(bounds, seen_low=bounds.seen_low.copy(), seen_high=bounds.seen_high.copy())
        by_itself = Program(sums, among, of[~ties[of]], alone, keep=True)
        settle(by_itself, question)
        # and here what is seen is kept, and what is proven is not
        held_to = replace(bounds, low=bounds.low.copy(), high=bounds.high.copy())
        program = Program(sums, among, of, held_to, known, keep=keep)
        for values in by_itself.seen:
            program.see(values)
        try:
            settle(program, question)
        except ContradictionError:  # by the solver's tolerance alone: the others are held at a solution
            continue
        programs.append(program)
    try_at_random(together, question, np.random.default_rng(0), whole=True)
    return programs


def _blocks(sums: Sums, part: Places, rows: Places) -> Places:
    """For each unknown of a part the number of its block, tied by equations alone; -1 for all other unknowns."""
    is_own, inside, block = np.zeros(len(sums.right), bool), np.zeros(len(sums.low), bool), np.full(len(sums.low), -1)
    is_own[rows], inside[part] = True, True
    equations = replace(sums, basis=sums.basis & is_own & (sums.room == 0))
    block[part] = len(part) + np.arange(len(part))
    for number, (members, _) in enumerate(parts_of(equations, inside)):
        block[members] = number
    block[part] = np.unique(block[part], return_inverse=True)[1]
    return block


def _united(sums: Sums, rows: Places, block: Places, known: Numbers) -> Places:
    """The blocks, those as one that leave no room to each other."""
    ties = np.flatnonzero(_ties(sums, rows, block))
    total = np.bincount(sums.row, weights=sums.factor * known[sums.unknown], minlength=len(sums.right))
    least, most = _ends(sums, block)
    pair, of = np.unique(np.stack([least[ties], most[ties]], axis=1), axis=0, return_inverse=True)
    is_tight = total[ties] - sums.right[ties] < 1 - NEAR
    share = np.bincount(of.ravel(), weights=is_tight, minlength=len(pair)) / np.bincount(
        of.ravel(), minlength=len(pair)
    )
    label = np.arange(block.max() + 1)
    for one, other in pair[share >= TIGHT].tolist():
        label[label == label[other]] = label[one]
    return np.where(block >= 0, label[block], -1)


def _ties(sums: Sums, rows: Places, block: Places) -> Marks:
    """The rows, of some, that have unknowns of more than one block."""
    least, most = _ends(sums, block)
    ties = np.zeros(len(sums.right), bool)
    ties[rows] = least[rows] < most[rows]
    return ties


def _ends(sums: Sums, block: Places) -> tuple[Places, Places]:
    """The least and the greatest number of a block that has unknowns in each row."""
    inside = block[sums.unknown] >= 0
    least, most = np.full(len(sums.right), len(block)), np.full(len(sums.right), -1)
    np.minimum.at(least, sums.row[inside], block[sums.unknown[inside]])
    np.maximum.at(most, sums.row[inside], block[sums.unknown[inside]])
    return least, most


def _has(sums: Sums, among: Marks) -> Marks:
    """The rows that have any of some unknowns."""
    return np.asarray(np.bincount(sums.row[among[sums.unknown]], minlength=len(sums.right)) > 0)
