"""How little can be hidden: no bound is above the truth, and the best choice is the best, by trying them all."""

from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest
from disclosure_cases import AREAS, grid, make_spec
from disclosure_oracle import cell_of, contains
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from transforms.release.guarantee import Guarantee
from transforms.release.optimum import WORK, Harm, least_harm
from transforms.release.spec import Spec
from transforms.release.tables import Block, build_blocks

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)


@st.composite
def small_tables(draw: st.DrawFn) -> tuple[pl.DataFrame, Spec]:
    """Two-way tables, one way with levels or linked by measures, of few small counts."""
    kind = draw(st.sampled_from(["grid", "levels", "linked"]))
    count = st.integers(0, 4)
    rules = {
        "threshold": draw(st.integers(2, 4)),
        "zeros": draw(st.sampled_from(["publish", "protect"])),
        "guarantee": draw(st.sampled_from(["not_exact", "not_small"])),
    }
    if kind == "grid":
        rows, columns = draw(st.sampled_from([(2, 2), (2, 3)]))
        values = draw(st.lists(count, min_size=rows * columns, max_size=rows * columns))
        return grid(rows, columns, values), make_spec([["row"], ["column"]], **rules)
    if kind == "levels":
        rows = [{"major": major, "district": district, "gap": draw(count)} for major, district in AREAS]
        return pl.DataFrame(rows), make_spec([["major", "district"]], **rules)
    rows = [{"row": f"r{i}", "gap": draw(count), "closed": draw(count)} for i in range(2)]
    frame = pl.DataFrame(rows).with_columns(eligible=pl.col("gap") + pl.col("closed")).drop("closed")
    rules["group_disclosure"] = draw(st.booleans())
    return frame, make_spec([["row"]], linked=True, **rules)


def harm_of(block: Block) -> Harm:
    safe, known = block.unsafe_as == "safe", block.merged >= 0
    number = np.bincount(block.merged[known & safe], minlength=block.cells.size).astype(float)
    return Harm(number * (1 + block.cells.value / 3), number, number * block.cells.value)


def changes_of(block: Block, spec: Spec) -> np.ndarray:
    """Every whole change of the inner cells by a few that leaves no count below what is allowed; merged cells."""
    linked = spec.eligible is not None
    cells = [cell_of(row, [list(x) for x in spec.dimensions], linked) for row in block.labels(()).iter_rows(named=True)]
    inner = [place for place, cell in enumerate(cells) if not any(contains(cell, x) and cell != x for x in cells)]
    within = np.array([[contains(cell, cells[place]) for place in inner] for cell in cells]).astype(int)
    reach = spec.rules.threshold
    ranges = [range(-block.value[p], reach + 1) if block.merged[p] >= 0 else range(1) for p in inner]
    moved = np.array(list(product(*ranges))) @ within.T
    kept = (moved[:, block.merged < 0] == 0).all(axis=1)
    merged = np.zeros((int(kept.sum()), block.cells.size), int)
    merged[:, block.merged[block.merged >= 0]] = moved[kept][:, block.merged >= 0]
    low = block.cells.floor - block.cells.value
    return merged[((merged >= low) | (merged == 0)).all(axis=1)]


def least_by_trying(block: Block, spec: Spec, harm: Harm) -> list[float] | None:
    """The least cost, number and people of all choices that protect every unsafe cell; None where none does."""
    cells = block.cells
    changes = changes_of(block, spec)
    guarantee = Guarantee(cells, spec.rules, spec.safe_from)
    bit = 1 << np.arange(cells.size)
    support = (changes != 0) @ bit
    protects = np.array([guarantee.protected_by(change) for change in changes]).reshape(-1, cells.size) @ bit
    first = {(int(s), int(p)) for s, p in zip(support, protects, strict=True) if p}
    unsafe = int(cells.unsafe @ bit)
    least: list[float] | None = None
    for more in product([0, 1], repeat=int((~cells.unsafe).sum())):
        hidden = cells.unsafe.copy()
        hidden[~cells.unsafe] = np.array(more, bool)
        mask, seen = int(hidden @ bit), 0
        for moves, keeps in first:
            if moves & ~mask == 0:
                seen |= keeps
        if seen == unsafe:
            of = [float(part[hidden].sum()) for part in (harm.cost, harm.number, harm.people)]
            least = of if least is None else [min(pair) for pair in zip(least, of, strict=True)]
    return least


@SLOW
@given(small_tables(), st.sampled_from(["quick", "full"]))
def test_no_bound_is_above_the_truth_and_the_best_choice_is_the_best(case: tuple[pl.DataFrame, Spec], how: str) -> None:
    counts, spec = case
    (block,) = build_blocks(counts, spec)
    if not block.cells.unsafe.any() or block.cells.size > 12:
        return
    harm = harm_of(block)
    least = least_by_trying(block, spec, harm)
    assert least is not None
    for work in (WORK[how], replace(WORK[how], small=0), replace(WORK[how], small=0, rounds=2)):
        found = least_harm(block.cells, spec.rules, spec.safe_from, harm, work)
        assert found.cost <= least[0] + 1e-6
        assert found.number <= least[1]
        assert found.people <= least[2]
        if work.small:
            assert found.best is not None
            assert found.cost == pytest.approx(least[0])
            assert harm.cost[found.best].sum() == pytest.approx(least[0])


def least_by_each_sum(guarantee: Guarantee, costs: np.ndarray) -> float:
    """The least cost of a choice, in fractions, that leaves no cell told by one sum alone: every such row, written out.

    A member of a sum may be as large as the others of it can make up for; a cell that is hidden alone is told.
    """
    cells = guarantee.cells
    hidden, room = cells.unsafe | cells.open, cells.value - cells.floor
    rows, least = [], []
    for number, parent in enumerate(cells.parent.tolist()):
        sign = {parent: -1, **dict.fromkeys(cells.child[cells.start[number] : cells.start[number + 1]].tolist(), 1)}
        sign = {cell: side for cell, side in sign.items() if not cells.fixed[cell]}
        for one in sign:
            row = np.zeros(cells.size)
            if cells.unsafe[one]:
                needed, *down = guarantee.amounts(one)
                for cell in sign.keys() - {one}:
                    row[cell] = needed if down or sign[cell] != sign[one] else min(needed, int(room[cell]))
                left = needed - row[hidden].sum()
                row, left = np.minimum(row * ~hidden, left), left
                rows, least = [*rows, row], [*least, left] if left > 0 else [*least, -np.inf]
            elif not any(hidden[cell] for cell in sign):
                row[list(sign)] = 1
                row[one] = -1
                rows, least = [*rows, row], [*least, 0]
    kept = np.isfinite(np.array(least))
    if not kept.any():
        return 0.0
    found = linprog(costs, A_ub=-np.array(rows)[kept], b_ub=-np.array(least)[kept], bounds=(0, 1))
    assert found.status == 0
    return float(found.fun)


@SLOW
@given(small_tables())
def test_the_first_bound_knows_what_each_sum_tells(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    (block,) = build_blocks(counts, spec)
    cells, harm = block.cells, harm_of(block)
    found = least_harm(cells, spec.rules, spec.safe_from, harm, replace(WORK["quick"], small=0, gain=0.0))
    forced = cells.unsafe | cells.open
    costs = np.where(forced, 0, harm.cost)
    least = least_by_each_sum(Guarantee(cells, spec.rules, spec.safe_from), costs) if cells.unsafe.any() else 0.0
    assert found.cost == pytest.approx(harm.cost[forced].sum() + least, abs=1e-5)


@SLOW
@given(small_tables())
def test_the_best_choice_comes_with_witnesses(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    (block,) = build_blocks(counts, spec)
    cells = block.cells
    found = least_harm(cells, spec.rules, spec.safe_from, harm_of(block), WORK["quick"])
    assert found.best is not None
    assert found.witnesses is not None
    protected = np.zeros(cells.size, bool)
    for change in found.witnesses:
        assert not change[~found.best].any()
        assert (cells.value + change >= cells.floor)[found.best].all()
        for number, parent in enumerate(cells.parent):
            assert change[cells.child[cells.start[number] : cells.start[number + 1]]].sum() == change[parent]
        protected |= Guarantee(cells, spec.rules, spec.safe_from).protected_by(change)
    assert (protected == cells.unsafe).all()
