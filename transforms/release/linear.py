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
    """All changes of some cells of a table that keep every sum and leave no cell below its floor, as one warm model.

    Cells can be opened and closed; the others never move, and the model is small where they are few. The two halves
    of a change, up and down, have a column each, so that what is moved has a price.

    After a new price the next question starts from the empty change: nothing else is known to be cheapest then, and
    it is found twice as quickly as from the last answer, which fits neither the prices nor the question.
    """

    def __init__(self, cells: Merged, among: Mask) -> None:
        """Start with all the cells among which changes are looked for open and free of charge."""
        self._cells = np.flatnonzero(among)
        self._place = np.full(cells.size, -1)
        self._place[among] = np.arange(len(self._cells))
        self._down = (cells.value - cells.floor)[among].astype(float)
        self._up = np.full(len(self._cells), highspy.kHighsInf)
        self._model = _model(cells, among, self._up, self._down)
        self._all = np.arange(2 * len(self._cells), dtype=np.int32)

    def price(self, costs: Amounts) -> None:
        """Set what moving a cell by 1 costs, one entry per cell of the table."""
        own = costs[self._cells]
        self._model.changeColsCost(len(self._all), self._all, np.concatenate([own, own]))
        self._model.setBasis()

    def price_one(self, cell: int, cost: float) -> None:
        """Set what moving one cell by 1 costs."""
        place = int(self._place[cell])
        self._model.changeColCost(place, cost)
        self._model.changeColCost(place + len(self._cells), cost)
        self._model.setBasis()

    def open(self, cells: Whole) -> None:
        """Let cells move."""
        at = self._place[cells]
        self._bound(at, self._up[at], self._down[at])

    def close(self, cells: Whole) -> None:
        """Keep cells as they are."""
        self._bound(self._place[cells], np.zeros(len(cells)), np.zeros(len(cells)))

    def cheapest(self, cell: int, amount: int) -> Amounts | None:
        """The cheapest change that moves an open cell by an amount; None where there is none."""
        model, size = self._model, len(self._cells)
        place = int(self._place[cell])
        if amount < 0 and -amount > self._down[place]:
            return None
        model.changeColBounds(place, max(amount, 0), max(amount, 0))
        model.changeColBounds(place + size, max(-amount, 0), max(-amount, 0))
        model.run()
        change = None
        if model.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            halves = np.asarray(model.getSolution().col_value)
            moved = halves[:size] - halves[size:]
            moved[np.abs(moved) < 1e-7] = 0
            change = np.zeros(len(self._place))
            change[self._cells] = moved
        model.changeColBounds(place, 0, self._up[place])
        model.changeColBounds(place + size, 0, self._down[place])
        return change

    def _bound(self, at: Whole, up: Amounts, down: Amounts) -> None:
        columns = np.concatenate([at, at + len(self._cells)]).astype(np.int32)
        self._model.changeColsBounds(len(columns), columns, np.zeros(len(columns)), np.concatenate([up, down]))


def whole_change(cells: Merged, among: Mask, cell: int, amounts: tuple[int, ...], costs: Amounts) -> Whole | None:
    """A cheap change of some cells in whole numbers that moves one of them at least by one of the amounts, or None.

    The amounts are tried in turn; a negative one asks for a move down.
    """
    places = np.flatnonzero(among)
    place, size = int(np.searchsorted(places, cell)), len(places)
    up = np.full(size, highspy.kHighsInf)
    down = (cells.value - cells.floor)[among].astype(float)
    for amount in amounts:
        if -amount > down[place]:
            continue
        model = _model(cells, among, up, down)
        model.setOptionValue("presolve", "choose")
        model.setOptionValue("mip_max_nodes", NODES)
        columns = np.arange(2 * size, dtype=np.int32)
        model.changeColsCost(len(columns), columns, np.concatenate([costs[among], costs[among]]))
        kinds = np.full(len(columns), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        model.changeColsIntegrality(len(columns), columns, kinds)
        model.changeColBounds(place, max(amount, 0), up[place] if amount > 0 else 0)
        model.changeColBounds(place + size, max(-amount, 0), down[place] if amount < 0 else 0)
        model.run()
        halves = np.asarray(model.getSolution().col_value)
        if len(halves) == len(columns):
            change = np.zeros(cells.size)
            change[among] = halves[:size] - halves[size:]
            found = whole(cells, change)
            if found is not None and found[cell] * np.sign(amount) >= abs(amount):
                return found
    return None


def whole(cells: Merged, change: Amounts) -> Whole | None:
    """The change in whole numbers where it is one, checked exactly; None where it is not."""
    rounded = np.rint(change)
    if np.abs(change - rounded).max() > 1e-5:
        return None
    moved = rounded.astype(np.int64)
    if len(cells.parent) and (np.add.reduceat(moved[cells.child], cells.start[:-1]) != moved[cells.parent]).any():
        return None
    return moved if (cells.value + moved >= cells.floor)[moved != 0].all() else None


def _model(cells: Merged, among: Mask, up: Amounts, down: Amounts) -> highspy.Highs:
    """The sums over changes of some cells, each in two halves: first a column up for each, then a column down."""
    return _sums(cells, among, np.zeros(2 * len(up)), np.concatenate([up, down]), halves=True)


def sums_model(cells: Merged, among: Mask, low: Amounts, high: Amounts) -> highspy.Highs:
    """The sums over changes of some cells, one column for each."""
    return _sums(cells, among, low, high, halves=False)


def _sums(cells: Merged, among: Mask, low: Amounts, high: Amounts, *, halves: bool) -> highspy.Highs:
    model = highspy.Highs()
    settings: dict[str, bool | int | float | str] = {
        "output_flag": False,
        # one thread and no clock: the same table gives the same answer on any machine
        "threads": 1,
        # each question differs little from the last: presolve and perturbation would cost the warm start
        "presolve": "off",
        "solver": "simplex",
        "dual_simplex_cost_perturbation_multiplier": 0.0,
    }
    for name, setting in settings.items():
        model.setOptionValue(name, setting)
    model.addVars(len(low), low, high)
    sums = np.flatnonzero(cells.basis)
    members = cells.basis[np.repeat(np.arange(len(cells.parent)), np.diff(cells.start))]
    row = np.concatenate([np.arange(len(sums)), np.repeat(np.arange(len(sums)), np.diff(cells.start)[sums])])
    cell = np.concatenate([cells.parent[sums], cells.child[members]])
    sign = np.concatenate([np.ones(len(sums)), -np.ones(int(members.sum()))])
    order = np.argsort(row[among[cell]], kind="stable")
    row, cell, sign = row[among[cell]][order], cell[among[cell]][order], sign[among[cell]][order]
    used, begin = np.unique(row, return_index=True)
    place = (np.cumsum(among) - 1)[cell]
    if halves:
        begin = 2 * begin
        place = np.stack([place, place + int(among.sum())], axis=1).ravel()
        sign = np.stack([sign, -sign], axis=1).ravel()
    none = np.zeros(len(used))
    model.addRows(len(used), none, none, len(place), begin.astype(np.int32), place.astype(np.int32), sign)
    return model
