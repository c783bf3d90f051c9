"""Unknown whole numbers of which sums are known, and what is proven of them: what the auditor's solver works on."""

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

NEAR = 1e-6


class ContradictionError(Exception):
    """No whole numbers fit the published ones."""


@dataclass(frozen=True)
class Sums:
    """What is known of unknown whole numbers: the entries of a row, each `factor` times `unknown`, add up.

    They add up to at least `right[row]` and at most `room[row]` more, nothing more in an equation. `low` holds what is
    known at least of each unknown. The rows marked `basis` imply all the others.
    """

    row: Places
    unknown: Places
    factor: Numbers
    right: Numbers
    room: Numbers
    basis: Marks
    low: Numbers


@dataclass(frozen=True)
class Bounds:
    """One entry per unknown: proven to lie in `low`..`high`, and to be able to take `seen_low` and `seen_high`.

    `high` is infinite where the unknown may be as large as one likes. A bound that was seen is the tightest there is.
    """

    low: Numbers
    high: Numbers
    seen_low: Numbers
    seen_high: Numbers
    seen: Numbers
    """One row per solution that was seen, with no number where the solution says nothing of an unknown."""


def quiet(model: highspy.Highs) -> highspy.Highs:
    """The same model, without a word and on one thread: the same answer on any machine."""
    model.setOptionValue("output_flag", False)
    model.setOptionValue("threads", 1)
    return model


def parts_of(sums: Sums, is_open: Marks) -> list[tuple[Places, Places]]:
    """Unknowns that hang together through sums, with the rows of these sums."""
    used = sums.basis[sums.row] & is_open[sums.unknown]
    row, unknown = sums.row[used], sums.unknown[used]
    label = np.arange(len(sums.low))
    while True:
        of_row = np.full(len(sums.right), len(label))
        np.minimum.at(of_row, row, label[unknown])
        new = label.copy()
        np.minimum.at(new, unknown, of_row[row])
        new = new[new]
        if (new == label).all():
            break
        label = new
    members, rows = np.unique(unknown), np.unique(row)
    by_member, by_row = np.argsort(label[members], kind="stable"), np.argsort(of_row[rows], kind="stable")
    cut = np.unique(label[members][by_member], return_index=True)[1][1:]
    cut_rows = np.unique(of_row[rows][by_row], return_index=True)[1][1:]
    parts = zip(np.split(members[by_member], cut), np.split(rows[by_row], cut_rows), strict=True)
    return [(part, of) for part, of in parts if len(part)]
