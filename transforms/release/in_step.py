"""Cells that can only move in step: what two hidden cells of a sum do, once everything else in it is published.

Where one goes up by one, the other goes up or down by one, whatever else changes. Of a few hidden cells most are like
that, and what is left when each such class counts as one is a fraction of the cells and of the sums.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from transforms.release.tables import Mask, Merged, Whole


@dataclass(frozen=True)
class InStep:
    """The classes of cells that move as one when no others than `places` may move.

    Cell `places[k]` moves by `sign[k]` when class `of[k]` moves by 1; its sign is 0 where it cannot move at all. The
    sums over classes that all changes keep are given by their entries: each `factor` times `column`, added up by `row`.
    The first `implying` rows imply all others.
    """

    places: Whole
    of: Whole
    sign: Whole
    size: int
    row: Whole
    column: Whole
    factor: Whole
    implying: int


def in_step(cells: Merged, among: Mask) -> InStep:
    """Find the classes among some cells; a class by itself for each cell that moves freely."""
    places = np.flatnonzero(among)
    sums = _sums(cells, among, len(places))
    of, sign = np.arange(len(places)), np.ones(len(places), np.int64)
    while True:
        left = sums @ sparse.csr_array((sign, (np.arange(len(places)), of)), shape=(len(places),) * 2)
        left.eliminate_zeros()
        width = np.diff(left.indptr)
        still = left.indices[left.indptr[:-1][width == 1]]
        first = left.indptr[:-1][width == 2]
        first = first[np.abs(left.data[first]) == np.abs(left.data[first + 1])]
        if not len(still) + len(first):
            break
        same = left.data[first] != left.data[first + 1]
        to, turn = _united(len(places), left.indices[first], left.indices[first + 1], same, still)
        of, sign = to[of], sign * turn[of]
    kept, of = np.unique(of, return_inverse=True)
    order = np.argsort(~cells.basis, kind="stable")
    own = left[order[width[order] > 0]][:, kept].tocsr()
    own.sort_indices()
    rows = _different(own)
    implying = np.searchsorted(rows, int((cells.basis & (width > 0)).sum()))
    entries = own[rows].tocoo()
    row, column, factor = (part.astype(np.int64) for part in (entries.row, entries.col, entries.data))
    return InStep(places, of, sign, len(kept), row, column, factor, int(implying))


def _sums(cells: Merged, among: Mask, size: int) -> sparse.csr_array:
    """All sums, with a row each and a column for each cell that may move: +1 for the whole, -1 for its parts."""
    number = np.arange(len(cells.parent))
    row = np.concatenate([number, np.repeat(number, np.diff(cells.start))])
    cell = np.concatenate([cells.parent, cells.child])
    sign = np.repeat([1, -1], [len(cells.parent), len(cells.child)])
    inside = among[cell]
    column = (np.cumsum(among) - 1)[cell[inside]]
    return sparse.csr_array((sign[inside], (row[inside], column)), shape=(len(number), size))


def _united(size: int, one: Whole, other: Whole, same: Mask, still: Whole) -> tuple[Whole, Whole]:
    """For each class the one that it becomes, and whether it moves with it (1), against it (-1), or not at all (0).

    Every class stands for a move up and a move down; pairs that come together tie these four, two by two.
    """
    none, turned = np.zeros(0, np.int64), np.where(same, 0, size)
    tied = np.concatenate([one, one + size, still])
    to = np.concatenate([other + turned, other + size - turned, still + size, none])
    graph = sparse.coo_array((np.ones(len(tied)), (tied, to)), shape=(2 * size, 2 * size))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    least = np.full(2 * size, 2 * size)
    np.minimum.at(least, label, np.arange(2 * size))
    up, down = least[label[:size]], least[label[size:]]
    return np.minimum(up, down) % size, np.sign(down - up)


def _different(sums: sparse.csr_array) -> Whole:
    """The first row of each kind: one that is another, or its negative, says nothing more."""
    known: dict[tuple[bytes, bytes], int] = {}
    for number, (begin, end) in enumerate(zip(sums.indptr, sums.indptr[1:], strict=False)):
        factor = sums.data[begin:end] * np.sign(sums.data[begin])
        known.setdefault((sums.indices[begin:end].tobytes(), factor.tobytes()), number)
    return np.fromiter(known.values(), np.int64, len(known))
