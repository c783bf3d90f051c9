"""Cell-key perturbation: noise that a cell's name, its count and a secret determine, the same in every release.

Marley and Leaver 2011; the table of probabilities by the greatest entropy, as in the R package ptable. Their cell key
is the sum of random keys of the records in a cell. Counts come without records here, so the key of a cell is
HMAC-SHA-256, under a secret, of the date, the cell's name and its count. So

- the same cell with the same count is published the same in every release, whatever stands around it: nobody averages
  the noise away by asking twice;
- a count that a correction changed, even by one, is drawn anew: what two releases differ by is not what was corrected;
- the same people under two names (a district that is the only one of its area) have one name, the coarser one; and
  `eligible` goes by its cell and count alone, so that indicators of one population show it alike.

Whoever has the secret can take the noise off; it never leaves the city. Sums do not add up: each cell is drawn by
itself.
"""

import hmac
import json
from functools import partial
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from schemas.errors import DisclosureRefused
from transforms.release.methods import CellKey
from transforms.release.spec import MEASURE, SUMMED, Spec
from transforms.release.tables import ELIGIBLE, GAP, Axis, Block, Whole

Shares = npt.NDArray[np.float64]


def perturb(block: Block, spec: Spec, method: CellKey, secret: bytes) -> Whole:
    """What is published for each cell of a table instead of its count."""
    names = _names(block, spec)
    after = np.round(np.cumsum(table_of(method), axis=1), 9)
    sign = partial(hmac.digest, secret, digest=sha256)
    drawn = np.empty(len(block.value))
    for place, (name, count) in enumerate(zip(names, block.value.tolist(), strict=True)):
        text = json.dumps([method.date.isoformat(), name, count], ensure_ascii=False)
        drawn[place] = int.from_bytes(sign(msg=text.encode())[:6]) / 2**48
    row = np.minimum(block.value, method.deviation)
    noise = (drawn[:, None] >= after[row]).sum(axis=1).clip(max=2 * method.deviation) - method.deviation
    return np.asarray(block.value + noise)


def table_of(method: CellKey) -> Shares:
    """The chance of each noise from -deviation to deviation, one row a count: 0, 1, ..., deviation and all above.

    Of all the distributions with mean 0 and the variance asked for that leave no count below 0, the one with the
    greatest entropy. A count of 0 stays 0.
    """
    noise = np.arange(-method.deviation, method.deviation + 1)
    rows = np.zeros((method.deviation + 1, len(noise)))
    rows[0, method.deviation] = 1
    for count in range(1, method.deviation + 1):
        rows[count] = _flattest(noise, noise >= -count, method.variance)
    # in whole parts of a billion, so that a last digit that machines differ in never decides
    after = np.round(np.cumsum(rows, axis=1), 9)
    return np.asarray(np.round(np.diff(after, axis=1, prepend=0), 9))


def noise_of(method: CellKey) -> list[list[int]]:
    """The least and the greatest noise that a count of 0, 1, ... can get; the last row is that of all above."""
    found = [np.flatnonzero(row) - method.deviation for row in table_of(method)]
    return [[int(places.min()), int(places.max())] for places in found]


def _flattest(noise: Whole, allowed: npt.NDArray[np.bool_], variance: float) -> Shares:
    """The distribution of the greatest entropy over the noise allowed: exp(a x + b x^2) with mean 0 and the variance.

    Newton's method on the convex dual.
    """
    moment = np.stack([noise, noise**2]).astype(float)
    target, slope = np.array([0.0, variance]), np.zeros(2)

    def dual(at: Shares) -> float:
        return float(np.logaddexp.reduce((at @ moment)[allowed]) - at @ target)

    for _ in range(200):
        power = np.where(allowed, slope @ moment, -np.inf)
        share = np.exp(power - power.max())
        share /= share.sum()
        off = moment @ share - target
        if np.abs(off).max() < 1e-12:
            return np.asarray(share)
        spread = (moment * share) @ moment.T - np.outer(moment @ share, moment @ share)
        step = np.linalg.lstsq(spread, off, rcond=None)[0]
        size = 1.0
        while size > 1e-12 and dual(slope - size * step) > dual(slope) - 1e-4 * size * float(off @ step):
            size /= 2
        slope = slope - size * step
    power = np.where(allowed, slope @ moment, -np.inf)
    share = np.exp(power - power.max())
    share /= share.sum()
    if np.abs(moment @ share - target).max() > 1e-9:
        raise DisclosureRefused(
            "no noise has so much variance within the deviation", "Take a greater deviation or less variance", "spec"
        )
    return np.asarray(share)


def _names(block: Block, spec: Spec) -> list[list[list[str]]]:
    """The name of each cell: the finest level of each dimension that is not summed over, with its label.

    Free of the order of dimensions and of those that are summed over, so that tables of other dimensions agree.
    """
    names: list[list[list[str]]] = [[]]
    for levels, axis in zip(spec.dimensions, block.axes, strict=False):
        own = _axis_names(levels, axis)
        names = [[*name, *more] for name in names for more in own]
    names = [sorted(name) for name in names]
    by = [["by", column, word] for column, word in zip(spec.by, block.key, strict=True)]
    if spec.eligible is None:
        return [[*by, *name, [MEASURE, GAP]] for name in names]
    measures = block.axes[-1].labels[MEASURE].to_list()
    return [[*([] if measure == ELIGIBLE else by), *name, [MEASURE, measure]] for name in names for measure in measures]


def _axis_names(levels: tuple[str, ...], axis: Axis) -> list[list[list[str]]]:
    """The name of each node of a dimension; an only child goes by its parent's name."""
    rows = axis.labels.select(levels).rows()
    children = np.bincount(axis.parent[axis.parent >= 0], minlength=len(rows))
    names: list[list[list[str]]] = []
    for row, parent in zip(rows, axis.parent.tolist(), strict=True):
        if parent >= 0 and children[parent] == 1:
            names.append(names[parent])
            continue
        named = [(level, label) for level, label in zip(levels, row, strict=True) if label != SUMMED]
        names.append([list(named[-1])] if named else [])
    return names
