"""What a proof for one class tells of others, held to plain linear programs; and what known rows spare."""

import numpy as np
import polars as pl
from disclosure_cases import drawn_block, grid, make_spec, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from transforms.release.cover import Cover
from transforms.release.guarantee import Guarantee
from transforms.release.linear import Changes
from transforms.release.proofs import Proofs
from transforms.release.spec import Spec
from transforms.release.tables import build_blocks


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**32))
def test_a_class_goes_as_far_as_a_proof_says_and_no_further(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 6))
    low, high = -random.integers(0, 4, size).astype(float), random.integers(0, 4, size).astype(float)
    slopes = random.integers(-2, 3, size).astype(float)
    of = int(random.integers(size))
    slopes[of] = 0
    proofs = Proofs(low, high)
    proofs.add(of, slopes)
    row = slopes.copy()
    row[of] = -1
    for cell in range(size):
        for sign in (1, -1):
            wish = np.zeros(size)
            wish[cell] = -sign
            far = -linprog(wish, A_eq=row[None], b_eq=[0], bounds=list(zip(low, high, strict=True))).fun
            for move in (1, 2, 3):
                against = proofs.against(cell, sign * move)
                assert (against is None) == (far >= move - 1e-6)
                if against is not None and against.any():
                    # the class's move is what the others give, and they give too little within their bounds
                    assert np.allclose(against * row[cell] * -sign, np.where(np.arange(size) == cell, 0, row))
                    assert np.maximum(against * low, against * high).sum() < move


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**32), st.sampled_from(["not_exact", "not_small"]))
def test_a_cell_that_a_known_row_needs_is_needed(seed: int, guarantee: str) -> None:
    spec, cells, costs, hidden = drawn_block(seed, guarantee)
    goal = Guarantee(cells, spec.rules, spec.safe_from)
    cover = Cover(goal, costs, np.ones(cells.size, bool), 0.0)
    cover.sharpen(3)
    cover.learn(cells.unsafe)
    needs = cover.needs()
    # what protects meets every need, and where a need is not met some unsafe cell is known
    assert needs.met_without(hidden, [])
    for cell in np.flatnonzero(hidden & ~cells.unsafe).tolist():
        if not needs.met_without(hidden, [cell]):
            left = hidden.copy()
            left[cell] = False
            moves = Changes(cells, left)
            unsafe = np.flatnonzero(cells.unsafe).tolist()
            assert not all(any(moves.cheapest({one: by}) is not None for by in goal.amounts(one)) for one in unsafe)


def test_rows_that_are_not_met_are_found() -> None:
    spec = make_spec([["row"], ["column"]], effort="quick")
    cells = build_blocks(grid(2, 2, [1, 20, 30, 40]), spec)[0].cells
    cover = Cover(Guarantee(cells, spec.rules, spec.safe_from), np.ones(cells.size), np.ones(cells.size, bool), 0.0)
    new = cover.learn(cells.unsafe)
    assert new > 0
    needs = cover.needs()
    assert needs.met_without(np.ones(cells.size, bool), [])
    assert not needs.met_without(cells.unsafe, [])


@settings(deadline=None, max_examples=25)
@given(tables(), st.integers(0, 2**32))
def test_cells_moved_together_are_moved_as_asked_and_every_sum_stays(
    case: tuple[pl.DataFrame, Spec], seed: int
) -> None:
    cells = build_blocks(*case)[0].cells
    if not cells.size:
        return
    random = np.random.default_rng(seed)
    among = random.random(cells.size) < 0.8
    chosen = random.permutation(np.flatnonzero(among))[:3].tolist()
    moves = {cell: int(random.choice([-1, 1, 2])) for cell in chosen}
    changes = Changes(cells, among)
    changes.price(np.ones(cells.size))
    found = changes.cheapest(moves) if moves else None
    if found is None:
        return
    assert all(abs(found[cell] - by) < 1e-6 for cell, by in moves.items())
    assert not found[~among].any()
    total = np.add.reduceat(found[cells.child], cells.start[:-1]) if len(cells.parent) else found[:0]
    assert np.abs(total - found[cells.parent]).max(initial=0) < 1e-6
    assert (cells.value + found >= np.minimum(cells.floor, cells.value) - 1e-6).all()
