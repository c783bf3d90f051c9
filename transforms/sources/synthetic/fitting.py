"""Cells that add up to given margins, and whole persons that fill them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transforms.sources.synthetic.draws import Floats

_ROUNDS, _CLOSE_ENOUGH = 200, 1e-10


@dataclass(frozen=True)
class Margin:
    """What cells must add up to.

    `axes` are the axes of the cells that `totals` keeps, in order. Along the last axis of the cells, which is age, a
    margin counts groups: `starts` holds the first place of each, and must begin with 0.
    """

    axes: tuple[int, ...]
    totals: Floats
    starts: tuple[int, ...]

    def of(self, cells: Floats) -> Floats:
        """What the cells add up to now, in the shape of `totals`."""
        grouped = np.add.reduceat(cells, self.starts, axis=-1)
        found: Floats = grouped.sum(axis=tuple(axis for axis in range(cells.ndim) if axis not in self.axes))
        return found

    def spread(self, factors: Floats, cells: Floats) -> Floats:
        """One factor a cell from one a total."""
        shape = [factors.shape[self.axes.index(axis)] if axis in self.axes else 1 for axis in range(cells.ndim)]
        lengths = np.diff(self.starts, append=cells.shape[-1])
        spread: Floats = np.repeat(factors.reshape(shape), lengths, axis=-1)
        return spread


def fitted(cells: Floats, margins: Sequence[Margin]) -> Floats:
    """The cells nearest to `cells` (in relative entropy) with these margins: iterative proportional fitting.

    Raises ValueError where the margins contradict each other or the cells leave no room for them.
    """
    for _ in range(_ROUNDS):
        furthest = 0.0
        for margin in margins:
            now = margin.of(cells)
            factors = np.divide(margin.totals, now, out=np.zeros_like(now), where=now > 0)
            furthest = max(furthest, float(np.abs(factors[margin.totals > 0] - 1).max(initial=0)))
            cells = cells * margin.spread(factors, cells)
        if furthest < _CLOSE_ENOUGH:
            return cells
    raise ValueError("the margins cannot be met together")


def whole_persons(cells: Floats, persons: int, offset: float) -> NDArray[np.int64]:
    """Places in the flattened cells of so many persons: every run of cells gets its share to within one person.

    `offset`, from 0 to 1, decides where the remainders fall.
    """
    total = float(cells.sum())
    if persons == 0 or total == 0:
        return np.zeros(0, dtype=np.int64)
    edges = np.floor(np.cumsum(cells.ravel()) / total * persons + offset).astype(np.int64)
    edges[-1] = persons
    return np.repeat(np.arange(cells.size, dtype=np.int64), np.diff(np.minimum(edges, persons), prepend=0))
