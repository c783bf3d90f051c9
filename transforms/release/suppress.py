"""Which further cells to hide so that no unsafe cell can be worked back from the published ones and their sums."""

from dataclasses import dataclass, replace

import numpy as np

from schemas.policy import Disclosure
from transforms.release.cover import Cover, Needs
from transforms.release.greedy import give_back, hide, weights
from transforms.release.guarantee import Guarantee, Pool
from transforms.release.linear import TOUCH, Amounts, Changes, raising, whole, whole_change
from transforms.release.tables import Mask, Merged, Whole


@dataclass(frozen=True)
class Effort:
    """How much to try for less hidden. In attempts, rounds, nodes and work, never in seconds: with a clock the result
    would depend on the machine.

    `work` is what the attempts on a table may take, in cells times unsafe cells an attempt. Attempts are merged two by
    two, in so many `rounds` at most; `sharpen` is in how many the covering program learns from fractions first, and
    `gap` how close to its best choice it comes.
    """

    starts: int
    rounds: int
    sharpen: int
    work: int
    gap: float


EFFORTS = {
    "quick": Effort(1, 0, 0, 0, 0.01),
    "normal": Effort(6, 1, 4, 3_300_000, 0.01),
    "thorough": Effort(12, 10, 8, 40_000_000, 0.005),
}
NEAR = 1e-6
TOGETHER = {"not_exact": 6, "not_small": 2}
"""So many unsafe cells an attempt protects by one change, which is quicker. Where they must move far, a change of many
cells is of less use later: any cell that is given back undoes it for all of them."""
FEW = 3
"""Attempts that are too few to win back by merging what changes of many cells hide."""
NOISE = 0.4
"""How far the prices of an attempt stray, in natural logarithms."""


@dataclass(frozen=True)
class Suppression:
    """What to hide in a table: `hidden` has one entry per merged cell.

    `witnesses` has one row per whole-number change; each gives another table that agrees with all that is published,
    and together they move every unsafe cell as far as the guarantee asks, but those marked `bare`: these can be worked
    back from what is public already, whatever else is hidden. `companion` is one more change, for tables within this.
    """

    hidden: Mask
    witnesses: Whole
    bare: Mask
    companion: Whole


@dataclass(frozen=True)
class _Attempt:
    """What one attempt hides, at what cost, and the changes that show that it protects."""

    hidden: Mask
    cost: float
    pool: Pool
    changes: Changes


def suppress(cells: Merged, rules: Disclosure, safe_from: int, costs: Amounts | None = None) -> Suppression:
    """Choose what to hide: all unsafe cells, and as few and as small others as found to keep them from being known.

    A few attempts that differ by order and prices; then the best choice among all that they hid. `costs` has what
    hiding each cell costs, where that is not as usual.
    """
    told = cells.unsafe & cells.fixed | Guarantee(cells, rules, safe_from).stuck
    cells = replace(cells, unsafe=cells.unsafe & ~told, open=cells.open & ~cells.fixed)
    guarantee = Guarantee(cells, rules, safe_from)
    if not cells.unsafe.any():
        return Suppression(cells.open, np.zeros((0, cells.size), np.int64), told, np.zeros(cells.size, np.int64))
    costs = weights(cells) if costs is None else costs
    everywhere = Changes(cells, ~cells.fixed)
    unsafe = np.flatnonzero(cells.unsafe)
    order = unsafe[np.argsort(-cells.value[unsafe], kind="stable")]
    count = _attempts(guarantee)
    together = _together(guarantee, count)
    attempts = [_start(number, everywhere, guarantee, costs, order, together) for number in range(count)]
    best, *others = sorted(attempts, key=lambda attempt: attempt.cost)
    for other in others:
        best = _merge(best, other, guarantee, costs, order)
    answer = _make_whole(best.changes, best.pool, guarantee, costs, best.hidden)
    return replace(answer, bare=answer.bare | told)


def accompany(answer: Suppression, cells: Merged, least: Whole, costs: Amounts) -> Suppression:
    """Add a change after which each cell counts its `least`, hiding what it moves; none where it is not found."""
    if (cells.value >= least).all():
        return answer
    kept = replace(cells, floor=np.maximum(cells.floor, np.minimum(cells.value, least)))
    change = raising(kept, answer.hidden, np.maximum(least - cells.value, 0), costs)
    return answer if change is None else replace(answer, hidden=answer.hidden | (change != 0), companion=change)


def _start(
    number: int, everywhere: Changes, guarantee: Guarantee, costs: Amounts, order: Whole, together: int
) -> _Attempt:
    """One attempt from nothing; the first takes the largest first, the others differ by chance, the same each time."""
    cells, random, prices = guarantee.cells, np.random.default_rng(number), costs
    if number > 0:
        order, prices = random.permutation(order), costs * np.exp(random.normal(0, NOISE, cells.size))
    pool = Pool(guarantee)
    hidden = hide(everywhere, pool, guarantee, prices, order, cells.unsafe | cells.open, together)
    return _finish(hidden, pool, guarantee, costs)


def _finish(hidden: Mask, pool: Pool, guarantee: Guarantee, costs: Amounts, needs: Needs | None = None) -> _Attempt:
    changes = Changes(guarantee.cells, hidden)
    hidden = give_back(changes, pool, guarantee, costs, hidden, needs)
    return _Attempt(hidden, float(costs[hidden & ~guarantee.cells.unsafe & ~guarantee.cells.open].sum()), pool, changes)


def _merge(best: _Attempt, other: _Attempt, guarantee: Guarantee, costs: Amounts, order: Whole) -> _Attempt:
    """The better of what two attempts hid: a covering program chooses among the cells of both, and its choice is mended
    where it falls short.

    Two are few enough to come close to the best that is in them; of all attempts together a program finds less.
    """
    cells, effort = guarantee.cells, EFFORTS[guarantee.rules.effort]
    allowed = best.hidden | other.hidden
    cover, within = Cover(guarantee, costs, allowed, effort.gap), Changes(cells, allowed)
    known = np.array([*best.pool.changes(), *other.pool.changes()]).reshape(-1, cells.size)
    cover.sharpen(effort.sharpen)
    for _ in range(effort.rounds):
        chosen, least = cover.choose()
        if least > best.cost - NEAR:
            break
        learnt = cover.learn(chosen)
        pool = Pool(guarantee)
        for change in known[~(known[:, ~chosen] != 0).any(axis=1)]:
            pool.add(change)
        mended = hide(within, pool, guarantee, costs, order, chosen)
        best = min(best, _finish(mended, pool, guarantee, costs, cover.needs()), key=lambda attempt: attempt.cost)
        if not learnt:
            break
    return best


def _attempts(guarantee: Guarantee) -> int:
    """How many attempts the work allowed for a table is enough for.

    Each takes half as long again under `not_small`, where the last of them was not seen to gain anything.
    """
    cells, rules, effort = guarantee.cells, guarantee.rules, EFFORTS[guarantee.rules.effort]
    work = cells.size * int(cells.unsafe.sum())
    starts = effort.starts
    if rules.guarantee == "not_small":
        work, starts = work * 3 // 2, starts - 1
    if rules.group_disclosure:
        work *= 2  # zeros are unsafe too, and a change that moves one of them moves more cells
    return int(max(min(effort.work // work, starts), 1))


def _together(guarantee: Guarantee, attempts: int) -> int:
    """How many unsafe cells an attempt protects by one change; what that costs is won back by merging attempts."""
    rules = guarantee.rules
    return 1 if attempts < FEW and rules.effort != "quick" else TOGETHER[rules.guarantee]


def _make_whole(changes: Changes, pool: Pool, guarantee: Guarantee, costs: Amounts, hidden: Mask) -> Suppression:
    """See that each unsafe cell is protected by a change in whole numbers; hide more where there is none.

    People are whole: a change by halves protects against linear algebra, not against an attacker who knows that.
    """
    cells = guarantee.cells
    hidden = hidden.copy()
    bare = cells.unsafe.copy()
    witnesses: list[Whole] = []

    def take(change: Whole | None) -> bool:
        if change is None:
            return False
        if (guarantee.protected_by(change) & bare).any():
            witnesses.append(change)
            bare[guarantee.protected_by(change)] = False
        return True

    for known in pool.changes():
        take(whole(cells, known))
    for cell in np.flatnonzero(cells.unsafe).tolist():
        if bare[cell]:
            for amount in guarantee.amounts(cell):
                found = changes.cheapest({cell: amount})
                if found is not None and take(whole(cells, found)):
                    break
    before, prices = hidden.copy(), np.where(hidden, TOUCH, costs)
    for may_move, price in ((before, None), (~cells.fixed, prices)):
        for cell in np.flatnonzero(bare).tolist():
            if bare[cell]:
                take(whole_change(cells, may_move, cell, guarantee.amounts(cell), price))
    for cell in np.flatnonzero(bare).tolist():
        if bare[cell] and not (change := _upwards(guarantee, cell))[cells.fixed].any():
            take(whole(cells, change.astype(float)))
    for change in witnesses:
        hidden |= change != 0
    return Suppression(hidden, np.array(witnesses).reshape(-1, cells.size), bare, np.zeros(cells.size, np.int64))


def _upwards(guarantee: Guarantee, cell: int) -> Whole:
    """The change that always exists: more people in one inner cell, and so in every cell that it is part of."""
    cells = guarantee.cells
    inner, amount = cell, max(guarantee.amounts(cell))
    while (below := np.flatnonzero(cells.parent == inner)).size:
        inner = int(cells.child[cells.start[below[0]]])
    change = np.zeros(cells.size, np.int64)
    of = np.repeat(cells.parent, np.diff(cells.start))
    waiting = [inner]
    while waiting:
        now = waiting.pop()
        if not change[now]:
            change[now] = amount
            waiting += of[cells.child == now].tolist()
    return change
