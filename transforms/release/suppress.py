"""Which further cells to hide so that no unsafe cell can be worked back from the published ones and their sums."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from schemas.policy import Disclosure
from transforms.release.linear import Amounts, Changes, whole, whole_change
from transforms.release.tables import Mask, Merged, Whole

TOUCH = 1e-3
"""Price of moving a hidden cell: next to nothing, but not nothing, so that a change moves no more than it must."""


@dataclass(frozen=True)
class Suppression:
    """What to hide in a table: `hidden` has one entry per merged cell.

    `witnesses` has one row per whole-number change; each gives another table that agrees with all that is published,
    and together they move every unsafe cell as far as the guarantee asks.
    """

    hidden: Mask
    witnesses: Whole


@dataclass(frozen=True)
class Guarantee:
    """How far each unsafe cell must be able to move: by any of `amounts(cell)`.

    Under `not_exact` by 1 in either direction, under `not_small` up to the threshold.
    """

    cells: Merged
    rules: Disclosure

    def amounts(self, cell: int) -> tuple[int, ...]:
        """The moves that protect a cell, the preferred one first."""
        if self.rules.guarantee == "not_small":
            return (self.rules.threshold - int(self.cells.value[cell]),)
        return (1, -1) if self.cells.value[cell] > self.cells.floor[cell] else (1,)

    def protected_by(self, change: Amounts | Whole) -> Mask:
        """The unsafe cells that a change protects."""
        if self.rules.guarantee == "not_small":
            far = change >= self.rules.threshold - self.cells.value - 1e-7
        else:
            far = np.abs(change) >= 1 - 1e-7
        return np.asarray(far & self.cells.unsafe)


class Pool:
    """Changes found so far, by the cells that they move, and how many of them protect each unsafe cell."""

    def __init__(self, guarantee: Guarantee) -> None:
        """Start empty."""
        self._guarantee = guarantee
        self._changes: dict[int, Amounts] = {}
        self._protects: dict[int, Whole] = {}
        self._moving: list[set[int]] = [set() for _ in range(guarantee.cells.size)]
        self.protections = np.zeros(guarantee.cells.size, np.int64)
        self._next = 0

    def add(self, change: Amounts) -> Mask:
        """Keep a change; returns the unsafe cells that it protects."""
        mask = self._guarantee.protected_by(change)
        self._changes[self._next], self._protects[self._next] = change, np.flatnonzero(mask)
        for cell in np.flatnonzero(change).tolist():
            self._moving[cell].add(self._next)
        self.protections[mask] += 1
        self._next += 1
        return mask

    def moving(self, cells: Iterable[int]) -> set[int]:
        """The changes that move any of the cells."""
        return set().union(*(self._moving[cell] for cell in cells))

    def protections_without(self, changes: set[int]) -> Whole:
        """How many changes protect each cell when some are left out."""
        left = self.protections.copy()
        for number in changes:
            left[self._protects[number]] -= 1
        return left

    def drop(self, changes: set[int]) -> None:
        """Forget changes."""
        self.protections = self.protections_without(changes)
        for number in changes:
            for cell in np.flatnonzero(self._changes.pop(number)).tolist():
                self._moving[cell].discard(number)
            del self._protects[number]

    def changes(self) -> list[Amounts]:
        """All that are kept, the oldest first."""
        return list(self._changes.values())


def suppress(cells: Merged, rules: Disclosure) -> Suppression:
    """Choose what to hide: all unsafe cells, and as few and as small others as found to keep them from being known."""
    guarantee = Guarantee(cells, rules)
    if not cells.unsafe.any():
        return Suppression(cells.unsafe.copy(), np.zeros((0, cells.size), np.int64))
    costs = weights(cells)
    pool = Pool(guarantee)
    hidden = _hide(Changes(cells, np.ones(cells.size, bool)), pool, guarantee, costs)
    changes = Changes(cells, hidden)
    hidden = _give_back(changes, pool, guarantee, costs, hidden)
    return _make_whole(changes, pool, guarantee, costs, hidden)


def weights(cells: Merged) -> Amounts:
    """What hiding a merged cell costs: its cells, and something for the people in them.

    The scale is the typical size of the safe cells next to unsafe ones, from which the partners are taken.
    """
    width = np.diff(cells.start)
    of = np.repeat(np.arange(len(width)), width)
    smallest = np.full(len(width), np.inf)
    safe = ~cells.unsafe[cells.child]
    np.minimum.at(smallest, of[safe], cells.value[cells.child[safe]])
    wanted = smallest[np.isfinite(smallest) & (np.bincount(of[~safe], minlength=len(width)) > 0)]
    scale = 2 * float(wanted.mean()) if len(wanted) else 1.0
    return np.asarray(cells.count * (1 + cells.value / scale))


def _hide(changes: Changes, pool: Pool, guarantee: Guarantee, costs: Amounts) -> Mask:
    """Protect unsafe cells from the largest down, each by the cheapest change; what a change moves is hidden."""
    cells = guarantee.cells
    hidden = cells.unsafe.copy()
    changes.price(np.where(hidden, TOUCH, costs))
    unsafe = np.flatnonzero(cells.unsafe)
    for cell in unsafe[np.argsort(-cells.value[unsafe], kind="stable")].tolist():
        if pool.protections[cell]:
            continue
        found = _protect(changes, guarantee, cell)
        if found is None:
            continue
        for new in np.flatnonzero((found != 0) & ~hidden).tolist():
            hidden[new] = True
            changes.price_one(new, TOUCH)
        pool.add(found)
    return hidden


def _protect(changes: Changes, guarantee: Guarantee, cell: int) -> Amounts | None:
    for amount in guarantee.amounts(cell):
        found = changes.cheapest(cell, amount)
        if found is not None:
            return found
    return None


def _give_back(changes: Changes, pool: Pool, guarantee: Guarantee, costs: Amounts, hidden: Mask) -> Mask:
    """Publish hidden safe cells again, costliest first, where every unsafe cell stays protected."""
    cells = guarantee.cells
    hidden = hidden.copy()
    changes.price(np.where(cells.unsafe, TOUCH, costs / costs.mean()))
    sums = _Sums(cells, hidden)
    extra = np.flatnonzero(hidden & ~cells.unsafe)
    for cell in extra[np.argsort(-costs[extra], kind="stable")].tolist():
        if not hidden[cell]:
            continue
        chain = sums.publish(cell)
        if chain is None:
            continue
        gone = pool.moving(chain)
        left = pool.protections_without(gone)
        bare = np.flatnonzero(cells.unsafe & (left == 0) & (pool.protections > 0))
        known = np.array(chain)
        changes.close(known)
        found: list[Amounts] = []
        if _protect_again(changes, guarantee, bare, found.append):
            hidden[known] = False
            pool.drop(gone)
        else:
            changes.open(known)
            sums.hide(chain)
        for change in found:
            pool.add(change)
    return hidden


def _protect_again(changes: Changes, guarantee: Guarantee, bare: Whole, keep: Callable[[Amounts], None]) -> bool:
    waiting = np.zeros(guarantee.cells.size, bool)
    waiting[bare] = True
    for cell in bare.tolist():
        if not waiting[cell]:
            continue
        found = _protect(changes, guarantee, cell)
        if found is None:
            return False
        keep(found)
        waiting &= ~guarantee.protected_by(found)
    return True


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
                found = changes.cheapest(cell, amount)
                if found is not None and take(whole(cells, found)):
                    break
    prices = np.where(hidden, TOUCH, costs)
    for may_move in (hidden.copy(), np.ones(cells.size, bool)):
        for cell in np.flatnonzero(bare).tolist():
            if bare[cell]:
                take(whole_change(cells, may_move, cell, guarantee.amounts(cell), prices))
    for cell in np.flatnonzero(bare).tolist():
        take(_upwards(guarantee, cell))
    for change in witnesses:
        hidden |= change != 0
    return Suppression(hidden, np.array(witnesses))


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


class _Sums:
    """Every sum with the number of its hidden cells: a sum with one hidden cell tells it."""

    def __init__(self, cells: Merged, hidden: Mask) -> None:
        width = np.diff(cells.start) + 1
        members = np.insert(cells.child, cells.start[:-1], cells.parent)
        of = np.repeat(np.arange(len(width)), width)
        self._unsafe = cells.unsafe.tolist()
        self._sums_of: list[list[int]] = [[] for _ in range(cells.size)]
        for cell, number in zip(members.tolist(), of.tolist(), strict=True):
            self._sums_of[cell].append(number)
        kept = hidden[members]
        self._hidden = np.bincount(of[kept], minlength=len(width)).tolist()
        # the numbers of the hidden cells added up: with one hidden cell left, this is its number
        self._total = np.bincount(of[kept], weights=members[kept], minlength=len(width)).astype(np.int64).tolist()

    def publish(self, cell: int) -> list[int] | None:
        """Publish a cell and all that then follows; None, and nothing published, where an unsafe cell follows."""
        chain, known, at = [cell], {cell}, 0
        while at < len(chain):
            for number in self._sums_of[chain[at]]:
                self._hidden[number] -= 1
                self._total[number] -= chain[at]
            at += 1
            for number in self._sums_of[chain[at - 1]]:
                last = self._total[number]
                if self._hidden[number] == 1 and last not in known:
                    if self._unsafe[last]:
                        self.hide(chain[:at])
                        return None
                    known.add(last)
                    chain.append(last)
        return chain

    def hide(self, chain: list[int]) -> None:
        """Take cells back that were published."""
        for cell in chain:
            for number in self._sums_of[cell]:
                self._hidden[number] += 1
                self._total[number] += cell
