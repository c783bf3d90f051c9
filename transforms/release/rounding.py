"""Controlled rounding: every cell to a neighbouring multiple of a base so that all sums still hold.

Cox 1987 showed that two-way tables always have such a rounding; tables of more dimensions may have none (Salazar-
Gonzalez 2005), and then some cells are rounded a multiple further, as few as the search finds.
"""

from dataclasses import dataclass

import highspy
import numpy as np

from schemas.errors import DisclosureRefused
from transforms.release.linear import sums_model
from transforms.release.tables import Merged, Whole

NODES = 5_000
"""Limits the search, in nodes and not in seconds, for the same result on any machine."""
GAP = 0.01
STEPS = 4
"""So many multiples further than its neighbours a cell may be rounded where nothing nearer adds up."""
FURTHER = 1_000.0
"""Price of a multiple further, in bases."""
WHOLE = int(highspy.HighsVarType.kInteger)


@dataclass(frozen=True)
class Rounded:
    """One entry per merged cell: its multiple of the base; and by how many multiples cells went further at most."""

    value: Whole
    further: int


def round_cells(cells: Merged, base: int) -> Rounded:
    """Round every cell to a neighbouring multiple of the base so that all sums hold, close to the counts.

    Multiples of the base, zeros among them, stay. Where that cannot add up, cells go further, and no zero ever moves.
    Raises DisclosureRefused where nothing within reach adds up.
    """
    if not cells.size:
        return Rounded(np.zeros(0, np.int64), 0)
    for further in range(STEPS + 1):
        multiple = _search(cells, base, further)
        if multiple is not None:
            return Rounded(multiple * base, further)
    raise DisclosureRefused(
        "the counts cannot be rounded so that they add up", "Take a smaller base", table="counts", count=cells.size
    )


def _search(cells: Merged, base: int, further: int) -> Whole | None:
    """The multiples of the base nearest to the counts that add up, at most so many beyond the neighbours; or None."""
    size = cells.size
    low = cells.value // base
    rest = cells.value - low * base
    up = low + (rest > 0)
    may = np.minimum(further, low) * (cells.value > 0)
    model = sums_model(cells, np.ones(size, bool), (low - may).astype(float), up + further * (cells.value > 0.0))
    for name, setting in (
        ("presolve", "choose"),
        ("solver", "choose"),
        ("mip_max_nodes", NODES),
        ("mip_rel_gap", GAP),
    ):
        model.setOptionValue(name, setting)
    columns = np.arange(size, dtype=np.int32)
    # a hair's breadth by the cell's place: where two roundings are as near, every machine takes the same
    tie = 1e-3 * ((np.arange(size) * 2_654_435_761) % 1_009) / 1_009
    model.changeColsCost(size, columns, (base - 2 * rest) / base + tie)
    model.changeColsIntegrality(size, columns, np.full(size, WHOLE, dtype=np.uint8))
    if further:
        _price_what_goes_further(model, low, up)
    model.run()
    if model.getInfo().primal_solution_status != int(highspy.SolutionStatus.kSolutionStatusFeasible):
        return None
    multiple = np.rint(np.asarray(model.getSolution().col_value)[:size]).astype(np.int64)
    adds_up = (
        np.add.reduceat(multiple[cells.child], cells.start[:-1]) == multiple[cells.parent]
        if len(cells.parent)
        else np.ones(1, bool)
    )
    return multiple if adds_up.all() else None


def _price_what_goes_further(model: highspy.Highs, low: Whole, up: Whole) -> None:
    """Two more columns a cell: by how much it stays below its lower neighbour, and above its upper one."""
    size = len(low)
    model.addVars(2 * size, np.zeros(2 * size), np.full(2 * size, highspy.kHighsInf))
    extra = np.arange(size, 3 * size, dtype=np.int32)
    # above what rounding to a neighbour could ever save
    model.changeColsCost(2 * size, extra, np.full(2 * size, FURTHER))
    for place in range(size):
        both = np.array([place, size + place], np.int32)
        model.addRow(float(low[place]), highspy.kHighsInf, 2, both, np.ones(2))
        both = np.array([place, 2 * size + place], np.int32)
        model.addRow(-highspy.kHighsInf, float(up[place]), 2, both, np.array([1.0, -1.0]))
