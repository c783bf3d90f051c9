"""What proofs found so far tell of other classes: a sum that keeps one class from moving mostly keeps others too."""

import numpy as np

from transforms.release.linear import Amounts

NEAR = 1e-6


class Proofs:
    """Sums that all changes keep, and how far each class can go by them while all classes stay within bounds."""

    def __init__(self, low: Amounts, high: Amounts) -> None:
        """Start with the bounds alone."""
        self._low, self._high = low, high
        self.lowest, self.highest = low.copy(), high.copy()
        self._sums: list[Amounts] = []
        self._down_by, self._up_by = np.full(len(low), -1), np.full(len(low), -1)

    def add(self, of: int, slopes: Amounts) -> None:
        """Note that a class is the sum of the others, each times its slope."""
        slopes = slopes.copy()
        slopes[of] = -1.0
        at = np.flatnonzero(slopes)
        slope = slopes[at]
        ends = slope * self._low[at], slope * self._high[at]
        least, most = np.minimum(*ends), np.maximum(*ends)
        ways = (least - least.sum()) / slope, (most - most.sum()) / slope
        low, high = np.minimum(*ways), np.maximum(*ways)
        self._down_by[at[low > self.lowest[at]]] = self._up_by[at[high < self.highest[at]]] = len(self._sums)
        self.lowest[at], self.highest[at] = np.maximum(self.lowest[at], low), np.minimum(self.highest[at], high)
        self._sums.append(slopes)

    def against(self, of: int, move: float) -> Amounts | None:
        """What the others give to a move of a class, too little for it; None where no proof is known.

        All give 0 where the class's own bounds keep it.
        """
        if self.lowest[of] <= move + NEAR if move < 0 else self.highest[of] >= move - NEAR:
            return None
        by = int((self._down_by if move < 0 else self._up_by)[of])
        if by < 0:
            return np.zeros(len(self._low))
        slopes: Amounts = self._sums[by] / (-np.sign(move) * self._sums[by][of])
        slopes[of] = 0
        return slopes
