"""Changes of a table that keep every sum: the question that suppression asks again and again, as one linear program."""

import highspy
import numpy as np
import numpy.typing as npt

from transforms.release.in_step import InStep, in_step
from transforms.release.tables import Mask, Merged, Whole

Amounts = npt.NDArray[np.float64]

NODES = 2_000
"""Where a search for a whole-number change gives up. Counted in nodes, never in seconds: a clock would make the result
depend on the machine."""
NEARLY = 0.05
"""How close to the cheapest a change comes that raises many cells at once."""
TOUCH = 1e-3
"""Price of moving a hidden cell: next to nothing, but not nothing, so that a change moves no more than it must."""


class Changes:
    """All changes of some cells of a table that keep every sum and stay between floors and roofs, as one warm model.

    Cells can be opened and closed; the others never move, and the model is small where they are few. Cells that can
    only move in step are one. The two halves of a change, up and down, have a column each, so that what is moved has a
    price.

    After a new price the next question starts from the empty change: nothing else is known to be cheapest then, and
    it is found twice as quickly as from the last answer, which fits neither the prices nor the question.
    """

    def __init__(self, cells: Merged, among: Mask) -> None:
        """Start with all the cells among which changes are looked for open and free of charge."""
        self._steps = in_step(cells, among)
        self._place = np.full(cells.size, -1)
        self._place[among] = np.arange(len(self._steps.places))
        self._up, self._down = room(self._steps, cells.up[among], cells.down[among])
        self._model = classes_model(self._steps, np.zeros(2 * self._steps.size), np.append(self._up, self._down), 2)
        self._all = np.arange(2 * self._steps.size, dtype=np.int32)

    def price(self, costs: Amounts) -> None:
        """Set what moving a cell by 1 costs, one entry per cell of the table."""
        steps = self._steps
        self._costs = costs[steps.places]
        own = np.bincount(steps.of, weights=self._costs, minlength=steps.size)
        self._model.changeColsCost(len(self._all), self._all, np.concatenate([own, own]))
        self._model.setBasis()

    def price_some(self, cells: Whole, cost: float) -> None:
        """Set what moving some cells by 1 costs."""
        steps, at = self._steps, self._place[cells]
        self._costs[at] = cost
        of = np.unique(steps.of[at])
        own = np.bincount(steps.of, weights=self._costs, minlength=steps.size)[of]
        columns = np.concatenate([of, of + steps.size]).astype(np.int32)
        self._model.changeColsCost(len(columns), columns, np.concatenate([own, own]))
        self._model.setBasis()

    def open(self, cells: Whole) -> None:
        """Let cells move that were closed together."""
        of = np.unique(self._steps.of[self._place[cells]])
        self._bound(of, self._up[of], self._down[of])

    def close(self, cells: Whole) -> None:
        """Keep cells as they are, and so all that move in step with them."""
        of = np.unique(self._steps.of[self._place[cells]])
        self._bound(of, np.zeros(len(of)), np.zeros(len(of)))

    def cheapest(self, moves: dict[int, int]) -> Amounts | None:
        """The cheapest change that moves each of some open cells by an amount; None where there is none."""
        model, steps, size = self._model, self._steps, self._steps.size
        goes: dict[int, int] = {}
        for cell, amount in moves.items():
            place = int(self._place[cell])
            of, far = int(steps.of[place]), amount * int(steps.sign[place])
            if not far or not -self._down[of] <= far <= self._up[of] or goes.get(of, far) != far:
                return None
            goes[of] = far
        for of, far in goes.items():
            model.changeColBounds(of, max(far, 0), max(far, 0))
            model.changeColBounds(of + size, max(-far, 0), max(-far, 0))
        model.run()
        change = None
        if model.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            halves = np.asarray(model.getSolution().col_value)
            moved = halves[:size] - halves[size:]
            moved[np.abs(moved) < 1e-7] = 0
            change = np.zeros(len(self._place))
            change[steps.places] = steps.sign * moved[steps.of]
        for of in goes:
            model.changeColBounds(of, 0, self._up[of])
            model.changeColBounds(of + size, 0, self._down[of])
        return change

    def _bound(self, of: Whole, up: Amounts, down: Amounts) -> None:
        columns = np.concatenate([of, of + self._steps.size]).astype(np.int32)
        self._model.changeColsBounds(len(columns), columns, np.zeros(len(columns)), np.concatenate([up, down]))


def room(steps: InStep, up: Amounts, down: Amounts) -> tuple[Amounts, Amounts]:
    """How far each class can move up, and how far down, where each cell can go so far `up` and `down`."""
    high, low = np.full(steps.size, highspy.kHighsInf), np.full(steps.size, highspy.kHighsInf)
    ahead, against = steps.sign > 0, steps.sign < 0
    for of, far, back in ((steps.of[ahead], up[ahead], down[ahead]), (steps.of[against], down[against], up[against])):
        np.minimum.at(high, of, far)
        np.minimum.at(low, of, back)
    still = steps.of[steps.sign == 0]
    high[still], low[still] = 0, 0
    return high, low


def whole_change(
    cells: Merged, among: Mask, cell: int, amounts: tuple[int, ...], costs: Amounts | None = None
) -> Whole | None:
    """A change of some cells in whole numbers that moves one of them at least by one of the amounts, or None.

    The amounts are tried in turn; a negative one asks for a move down. With `costs` it is a cheap one, and without them
    the first that is found, which takes a fraction of the time.
    """
    places = np.flatnonzero(among)
    place, size = int(np.searchsorted(places, cell)), len(places)
    up, down = cells.up[among], cells.down[among]
    for amount in amounts:
        if not -down[place] <= amount <= up[place]:
            continue
        model = _model(cells, among, up, down)
        model.setOptionValue("presolve", "choose")
        model.setOptionValue("mip_max_nodes", NODES)
        columns = np.arange(2 * size, dtype=np.int32)
        if costs is not None:
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


def raising(cells: Merged, hidden: Mask, least: Whole, costs: Amounts) -> Whole | None:
    """A change in whole numbers that raises each cell at least by its `least`, where that is above 0.

    None where it is not found. What is `hidden` already moves for next to nothing, any other cell at its cost.
    """
    among = ~cells.fixed
    size, up, down = int(among.sum()), cells.up[among], cells.down[among]
    least = least[among]
    if (least > up).any():
        return None
    model = _model(cells, among, up, down)
    columns = np.arange(2 * size, dtype=np.int32)
    prices = np.where(hidden, TOUCH, costs)[among]
    model.changeColsCost(len(columns), columns, np.concatenate([prices, prices]))
    must = least > 0
    model.changeColsBounds(
        len(columns),
        columns,
        np.concatenate([np.where(must, least, 0.0), np.zeros(size)]),
        np.concatenate([up, np.where(must, 0.0, down)]),
    )
    for name, setting in {"presolve": "choose", "mip_max_nodes": NODES, "mip_rel_gap": NEARLY}.items():
        model.setOptionValue(name, setting)
    kinds = np.full(len(columns), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
    model.changeColsIntegrality(len(columns), columns, kinds)
    model.run()
    halves = np.asarray(model.getSolution().col_value)
    if len(halves) != len(columns):
        return None
    change = np.zeros(cells.size)
    change[among] = halves[:size] - halves[size:]
    found = whole(cells, change)
    return found if found is not None and (found[among] >= least)[must].all() else None


def whole(cells: Merged, change: Amounts) -> Whole | None:
    """The change in whole numbers where it is one, checked exactly; None where it is not."""
    rounded = np.rint(change)
    if np.abs(change - rounded).max() > 1e-5:
        return None
    moved = rounded.astype(np.int64)
    if len(cells.parent) and (np.add.reduceat(moved[cells.child], cells.start[:-1]) != moved[cells.parent]).any():
        return None
    return moved if ((moved <= cells.up) & (-moved <= cells.down))[moved != 0].all() else None


def _model(cells: Merged, among: Mask, up: Amounts, down: Amounts) -> highspy.Highs:
    """The sums over changes of some cells, each in two halves: first a column up for each, then a column down."""
    return _sums(cells, among, np.zeros(2 * len(up)), np.concatenate([up, down]), halves=True)


def sums_model(cells: Merged, among: Mask, low: Amounts, high: Amounts) -> highspy.Highs:
    """The sums over changes of some cells, one column for each."""
    return _sums(cells, among, low, high, halves=False)


def _sums(cells: Merged, among: Mask, low: Amounts, high: Amounts, *, halves: bool) -> highspy.Highs:
    model = _quiet()
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


def classes_model(steps: InStep, low: Amounts, high: Amounts, columns: int = 1) -> highspy.Highs:
    """The sums over classes of cells that move in step, one column for each; or two, all ups first and then all downs.

    Bounds are of columns.
    """
    model = _quiet()
    model.addVars(len(low), low, high)
    used = steps.row < steps.implying
    begin = np.searchsorted(steps.row, np.arange(steps.implying)) * columns
    place, factor = steps.column[used], steps.factor[used].astype(float)
    if columns == 2:
        place = np.stack([place, place + steps.size], axis=1).ravel()
        factor = np.stack([factor, -factor], axis=1).ravel()
    none = np.zeros(steps.implying)
    model.addRows(len(none), none, none, len(place), begin.astype(np.int32), place.astype(np.int32), factor)
    return model


def _quiet() -> highspy.Highs:
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
    return model
