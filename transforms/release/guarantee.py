"""How far each unsafe cell must be able to move, and the changes found so far that move it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from schemas.policy import Disclosure
from transforms.release.linear import Amounts
from transforms.release.tables import Mask, Merged, Whole


@dataclass(frozen=True)
class Guarantee:
    """How far each unsafe cell must be able to move: by any of `amounts(cell)`.

    Under `not_exact` by 1 in either direction, under `not_small` up to `safe_from`, the least safe count.
    """

    cells: Merged
    rules: Disclosure
    safe_from: int

    def amounts(self, cell: int) -> tuple[int, ...]:
        """The moves that protect a cell, the preferred one first."""
        if self.rules.guarantee == "not_small":
            return (self.safe_from - int(self.cells.value[cell]),)
        value, floor, roof = (int(part[cell]) for part in (self.cells.value, self.cells.floor, self.cells.roof))
        return tuple(amount for amount in (1, -1) if floor <= value + amount <= roof)

    @property
    def stuck(self) -> Mask:
        """The unsafe cells that no change may move so far: other tables hold them."""
        if self.rules.guarantee == "not_small":
            far = self.cells.up >= self.safe_from - self.cells.value
        else:
            far = (self.cells.up >= 1) | (self.cells.down >= 1)
        return np.asarray(self.cells.unsafe & ~far)

    def protected_by(self, change: Amounts | Whole) -> Mask:
        """The unsafe cells that a change protects."""
        if self.rules.guarantee == "not_small":
            far = change >= self.safe_from - self.cells.value - 1e-7
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
