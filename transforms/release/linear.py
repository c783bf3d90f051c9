"""Changes of a table that keep every sum: the question that suppression asks again and again, as one linear program."""

import highspy
import numpy as np
import numpy.typing as npt

from transforms.release.tables import Mask, Merged, Whole

Amounts = npt.NDArray[np.float64]

NODES = 2_000
"""Where a search for a whole-number change gives up. Counted in nodes, never in seconds: a clock would make the result
depend on the machine."""


class Changes:
    """All changes of a table that keep every sum and leave no hidden cell below its floor, kept as one warm model.

    A change moves open cells only. Its two halves, up and down, have a column each, so that what is moved has a price.
    """

    def __init__(self, cells: Merged) -> None:
        """Start with all cells open and free of charge."""
        self.size = cells.size
        self._down = (cells.value - cells.floor).astype(float)
        self._up = np.full(self.size, highspy.kHighsInf)
        self._model = _model(cells, self._up, self._down)
        self._all = np.arange(2 * self.size, dtype=np.int32)

    def price(self, costs: Amounts) -> None:
        """Set what moving each cell by 1 costs."""
        self._model.changeColsCost(2 * self.size, self._all, np.concatenate([costs, costs]))

    def price_one(self, cell: int, cost: float) -> None:
        """Set what moving one cell by 1 costs."""
        self._model.changeColCost(cell, cost)
        self._model.changeColCost(cell + self.size, cost)

    def open(self, cells: Whole) -> None:
        """Let cells move."""
        self._bound(cells, self._up[cells], self._down[cells])

    def close(self, cells: Whole) -> None:
        """Keep cells as they are."""
        none = np.zeros(len(cells))
        self._bound(cells, none, none)

    def cheapest(self, cell: int, amount: int) -> tuple[Amounts, float] | None:
        """The cheapest change that moves an open cell by an amount, and its cost; None where there is none."""
        model, other = self._model, cell + self.size
        if amount < 0 and -amount > self._down[cell]:
            return None
        model.changeColBounds(cell, max(amount, 0), max(amount, 0))
        model.changeColBounds(other, max(-amount, 0), max(-amount, 0))
        model.run()
        found = model.getModelStatus() == highspy.HighsModelStatus.kOptimal
        result = None
        if found:
            halves = np.asarray(model.getSolution().col_value)
            change = halves[: self.size] - halves[self.size :]
            change[np.abs(change) < 1e-7] = 0
            result = change, float(model.getInfo().objective_function_value)
        model.changeColBounds(cell, 0, self._up[cell])
        model.changeColBounds(other, 0, self._down[cell])
        return result

    def _bound(self, cells: Whole, up: Amounts, down: Amounts) -> None:
        columns = np.concatenate([cells, cells + self.size]).astype(np.int32)
        self._model.changeColsBounds(len(columns), columns, np.zeros(len(columns)), np.concatenate([up, down]))


def whole_change(cells: Merged, may_move: Mask, cell: int, amounts: tuple[int, ...], costs: Amounts) -> Whole | None:
    """A cheap change in whole numbers that moves a cell at least by one of the amounts; None where none was found.

    The amounts are tried in turn; a negative one asks for a move down.
    """
    up = np.where(may_move, highspy.kHighsInf, 0.0)
    down = np.where(may_move, cells.value - cells.floor, 0).astype(float)
    for amount in amounts:
        if -amount > down[cell]:
            continue
        model = _model(cells, up, down)
        model.setOptionValue("presolve", "choose")
        model.setOptionValue("mip_max_nodes", NODES)
        columns = np.arange(2 * cells.size, dtype=np.int32)
        model.changeColsCost(len(columns), columns, np.concatenate([costs, costs]))
        kinds = np.full(len(columns), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        model.changeColsIntegrality(len(columns), columns, kinds)
        model.changeColBounds(cell, max(amount, 0), up[cell] if amount > 0 else 0)
        model.changeColBounds(cell + cells.size, max(-amount, 0), down[cell] if amount < 0 else 0)
        model.run()
        halves = np.asarray(model.getSolution().col_value)
        if len(halves) == len(columns):
            change = whole(cells, halves[: cells.size] - halves[cells.size :])
            if change is not None and change[cell] * np.sign(amount) >= abs(amount):
                return change
    return None


def whole(cells: Merged, change: Amounts) -> Whole | None:
    """The change in whole numbers where it is one, checked exactly; None where it is not."""
    rounded = np.rint(change)
    if np.abs(change - rounded).max() > 1e-5:
        return None
    moved = rounded.astype(np.int64)
    adds_up = (
        not len(cells.parent) or (np.add.reduceat(moved[cells.child], cells.start[:-1]) == moved[cells.parent]).all()
    )
    return moved if adds_up and (cells.value + moved >= cells.floor)[moved != 0].all() else None


def _model(cells: Merged, up: Amounts, down: Amounts) -> highspy.Highs:
    model = highspy.Highs()
    # one thread and no clock: the same table gives the same answer on any machine; presolve would cost the warm start
    for name, setting in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("solver", "simplex")):
        model.setOptionValue(name, setting)
    size = cells.size
    model.addVars(2 * size, np.zeros(2 * size), np.concatenate([up, down]))
    widths = np.diff(cells.start)[cells.basis]
    child = cells.child[np.repeat(cells.basis, np.diff(cells.start))]
    starts = np.concatenate([[0], np.cumsum(widths)])
    parent_at, child_at = (
        starts[:-1] + np.arange(len(widths)),
        np.arange(len(child)) + np.repeat(np.arange(len(widths)), widths) + 1,
    )
    cell, sign = np.empty(len(child) + len(widths), np.int64), np.empty(len(child) + len(widths))
    cell[parent_at], sign[parent_at] = cells.parent[cells.basis], 1
    cell[child_at], sign[child_at] = child, -1
    columns = np.stack([cell, cell + size], axis=1).ravel().astype(np.int32)
    signs = np.stack([sign, -sign], axis=1).ravel()
    begin = (2 * (starts[:-1] + np.arange(len(widths)))).astype(np.int32)
    none = np.zeros(len(widths))
    model.addRows(len(widths), none, none, len(columns), begin, columns, signs)
    return model
