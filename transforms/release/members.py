"""What somebody can tell who is counted himself: his own cells are not empty.

The auditor's.
"""

from dataclasses import replace

import numpy as np

from transforms.release.bounds import prove
from transforms.release.unknowns import Bounds, Marks, Numbers, Sums


def told_to_members(
    sums: Sums, bounds: Bounds, safe_from: Numbers, must_not_be_small: Marks, *, people: Marks
) -> Marks:
    """Which unsafe cells somebody can tell who is counted in a hidden cell, and so knows that it is not empty.

    `people` are the unknowns that somebody may be counted in. Solutions that were seen settle nearly all pairs of such
    a cell and an unsafe one; the others are proven.
    """
    told = np.zeros(len(sums.low), bool)
    may_be_unsafe = (bounds.low < safe_from) & (bounds.low < bounds.high) & ~np.isinf(bounds.seen_high)
    is_asked = must_not_be_small & (bounds.high >= safe_from)
    for place in np.flatnonzero(people & (bounds.low == 0) & (bounds.high >= 1)).tolist():
        seen = bounds.seen[bounds.seen[:, place] >= 1]
        low = np.min(seen, axis=0, initial=np.inf, where=~np.isnan(seen))
        high = np.max(seen, axis=0, initial=-np.inf, where=~np.isnan(seen))
        if not (may_be_unsafe & ~told & ((low >= high) | (is_asked & (high < safe_from)))).any():
            continue
        floor = sums.low.copy()
        floor[place] = 1
        known = prove(replace(sums, low=floor), safe_from, tight=False, asked=may_be_unsafe)
        is_told = (known.low == known.high) & (known.low < safe_from) | is_asked & (known.high < safe_from)
        told |= is_told & may_be_unsafe
    return told
