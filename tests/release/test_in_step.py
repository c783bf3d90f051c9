"""Cells that move in step, held to plain linear algebra: the changes of a table, and no others."""

import numpy as np
import polars as pl
from disclosure_cases import tables
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.release.in_step import in_step
from transforms.release.spec import Spec
from transforms.release.tables import Mask, Merged, build_blocks


def sums_of(cells: Merged, among: Mask) -> np.ndarray:
    """All sums over the cells that may move, written out."""
    matrix = np.zeros((len(cells.parent), cells.size))
    for number, parent in enumerate(cells.parent):
        matrix[number, parent] += 1
        matrix[number, cells.child[cells.start[number] : cells.start[number + 1]]] -= 1
    return matrix[:, among]


def free(matrix: np.ndarray) -> int:
    """In how many independent ways cells can move."""
    return matrix.shape[1] - (int(np.linalg.matrix_rank(matrix)) if matrix.size else 0)


@settings(deadline=None)
@given(tables(), st.integers(0, 2**32))
def test_classes_allow_the_changes_that_keep_all_sums_and_no_others(case: tuple[pl.DataFrame, Spec], seed: int) -> None:
    cells = build_blocks(*case)[0].cells
    random = np.random.default_rng(seed)
    among = random.random(cells.size) < random.uniform(0.2, 1)
    steps = in_step(cells, among)
    spread = np.zeros((len(steps.places), steps.size))
    spread[np.arange(len(steps.places)), steps.of] = steps.sign
    over = np.zeros((int(steps.row.max(initial=-1)) + 1, steps.size))
    over[steps.row, steps.column] = steps.factor
    plain = sums_of(cells, among)
    # a class that cannot move is in no sum, and what it does is nothing
    moving = np.abs(spread).any(axis=0)
    assert not over[:, ~moving].any()
    for rows in (over, over[: steps.implying]):
        assert free(plain) == free(rows[:, moving])
    _, size, directions = np.linalg.svd(over[:, moving])
    kernel = directions[int((size > 1e-9).sum()) :]
    assert np.abs(plain @ spread[:, moving] @ kernel.T).max(initial=0) < 1e-9


@settings(deadline=None)
@given(tables())
def test_no_two_classes_are_left_alone_in_a_sum(case: tuple[pl.DataFrame, Spec]) -> None:
    cells = build_blocks(*case)[0].cells
    steps = in_step(cells, cells.unsafe)
    entries = pl.DataFrame({"row": steps.row, "factor": np.abs(steps.factor)}).group_by("row").agg("factor")
    assert all(len(factors) > 2 or (len(factors) == 2 and factors[0] != factors[1]) for factors in entries["factor"])
