"""One attempt at hiding little: protect unsafe cells one by one, then publish again what was not needed."""

from collections.abc import Callable, Iterator

import numpy as np

from transforms.release.cover import Needs
from transforms.release.guarantee import Guarantee, Pool
from transforms.release.linear import TOUCH, Amounts, Changes
from transforms.release.tables import Mask, Merged, Whole


def weights(cells: Merged) -> Amounts:
    """What hiding a merged cell costs: its cells, and something for the people in them.

    Number of cells and people in them pull against each other; a cell of half as much again as is usual in the
    table counts twice. Unsafe cells are part of what is usual: where most counts are small, what is hidden beside
    them can be small too.
    """
    scale = 1.5 * max(float(np.median(cells.value)), 1.0) if cells.size else 1.0
    return np.asarray(cells.count * (1 + cells.value / scale))


def hide(
    changes: Changes,
    pool: Pool,
    guarantee: Guarantee,
    costs: Amounts,
    order: Whole,
    hidden: Mask,
    together: int = 1,
) -> Mask:
    """Protect unsafe cells in an order by the cheapest change; what a change moves is hidden and then cheap.

    So many cells are protected `together` by one change, where there is one.
    """
    hidden = hidden.copy()
    changes.price(np.where(hidden, TOUCH, costs))

    def keep(change: Amounts) -> None:
        new = np.flatnonzero((change != 0) & ~hidden)
        if len(new):
            hidden[new] = True
            changes.price_some(new, TOUCH)
        pool.add(change)

    for some in _unprotected(pool, order, together):
        found = changes.cheapest({cell: guarantee.amounts(cell)[0] for cell in some}) if len(some) > 1 else None
        if found is not None:
            keep(found)
            continue
        for cell in some:
            if not pool.protections[cell] and (found := _protect(changes, guarantee, cell)) is not None:
                keep(found)
    return hidden


def _unprotected(pool: Pool, order: Whole, together: int) -> Iterator[list[int]]:
    """The cells that nothing kept so far protects, some at a time."""
    some = list[int]()
    for cell in order.tolist():
        if not pool.protections[cell]:
            some.append(cell)
            if len(some) == together:
                yield some
                some = []
    yield some


def _protect(changes: Changes, guarantee: Guarantee, cell: int) -> Amounts | None:
    for amount in guarantee.amounts(cell):
        found = changes.cheapest({cell: amount})
        if found is not None:
            return found
    return None


def give_back(
    changes: Changes,
    pool: Pool,
    guarantee: Guarantee,
    costs: Amounts,
    hidden: Mask,
    needs: Needs | None = None,
) -> Mask:
    """Publish hidden safe cells again, costliest first, where every unsafe cell stays protected.

    What is known of all protecting sets (`needs`) spares questions.
    """
    cells = guarantee.cells
    hidden = hidden.copy()
    changes.price(np.where(cells.unsafe | cells.open, TOUCH, costs / (costs.mean() or 1)))
    sums = _Sums(cells, hidden)
    extra = np.flatnonzero(hidden & ~cells.unsafe & ~cells.open)
    for cell in extra[np.argsort(-costs[extra], kind="stable")].tolist():
        if not hidden[cell]:
            continue
        chain = sums.publish(cell)
        if chain is None:
            continue
        if needs is not None and not needs.met_without(hidden, chain):
            sums.hide(chain)
            continue
        gone = pool.moving(chain)
        left = pool.protections_without(gone)
        bare = np.flatnonzero(cells.unsafe & (left == 0) & (pool.protections > 0))
        bare = _likely_known(bare, guarantee, sums.shared(chain, bare))
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


def _likely_known(bare: Whole, guarantee: Guarantee, shared: Whole) -> Whole:
    """Cells in the order in which they are likely to be known now: one that is ends the search.

    Those that may move one way only first, then those that share the most sums with what is published, then the
    smallest.
    """
    ways = np.array([len(guarantee.amounts(cell)) for cell in bare.tolist()], np.int64)
    return bare[np.lexsort((guarantee.cells.value[bare], -shared, ways))]


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


class _Sums:
    """Every sum with the number of its hidden cells: a sum with one hidden cell tells it."""

    def __init__(self, cells: Merged, hidden: Mask) -> None:
        width = np.diff(cells.start) + 1
        members = np.insert(cells.child, cells.start[:-1], cells.parent)
        of = np.repeat(np.arange(len(width)), width)
        self._stays = (cells.unsafe | (cells.open & ~cells.loose)).tolist()
        self._sums_of: list[list[int]] = [[] for _ in range(cells.size)]
        for cell, number in zip(members.tolist(), of.tolist(), strict=True):
            self._sums_of[cell].append(number)
        kept = hidden[members]
        self._hidden = np.bincount(of[kept], minlength=len(width)).tolist()
        # the numbers of the hidden cells added up: with one hidden cell left, this is its number
        self._total = np.bincount(of[kept], weights=members[kept], minlength=len(width)).astype(np.int64).tolist()

    def publish(self, cell: int) -> list[int] | None:
        """Publish a cell and all that then follows; None, and nothing published, where that ends at one to hide."""
        chain, known, at = [cell], {cell}, 0
        while at < len(chain):
            for number in self._sums_of[chain[at]]:
                self._hidden[number] -= 1
                self._total[number] -= chain[at]
            at += 1
            for number in self._sums_of[chain[at - 1]]:
                last = self._total[number]
                if self._hidden[number] == 1 and last not in known:
                    if self._stays[last]:
                        self.hide(chain[:at])
                        return None
                    known.add(last)
                    chain.append(last)
        return chain

    def shared(self, chain: list[int], cells: Whole) -> Whole:
        """In how many sums each cell stands together with one of a chain."""
        touched = {number for cell in chain for number in self._sums_of[cell]}
        return np.array([sum(number in touched for number in self._sums_of[cell]) for cell in cells.tolist()], np.int64)

    def hide(self, chain: list[int]) -> None:
        """Take cells back that were published."""
        for cell in chain:
            for number in self._sums_of[cell]:
                self._hidden[number] += 1
                self._total[number] += cell
