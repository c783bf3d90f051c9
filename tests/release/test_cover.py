"""The covering program that merges attempts: no row of it rules out a choice that protects, by trying them all."""

import numpy as np
import polars as pl
from disclosure_cases import drawn_block
from hypothesis import given, settings
from hypothesis import strategies as st
from test_optimum import SLOW, harm_of, least_by_trying, small_tables

from transforms.release.cover import Cover
from transforms.release.guarantee import Guarantee
from transforms.release.spec import Spec
from transforms.release.tables import build_blocks


@settings(SLOW, max_examples=12)
@given(small_tables())
def test_the_best_choice_by_the_rows_costs_no_more_than_the_best_there_is(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    block = build_blocks(counts, spec)[0]
    cells, harm = block.cells, harm_of(block)
    best = least_by_trying(block, spec, harm) if cells.unsafe.any() else None
    if best is None:
        return
    forced = float(harm.cost[cells.unsafe | cells.open].sum())
    everywhere = np.ones(cells.size, bool)
    cover = Cover(Guarantee(cells, spec.rules, spec.safe_from), harm.cost, everywhere, 0.0)
    cover.sharpen(3)
    before = 0.0
    for _ in range(20):
        chosen, least = cover.choose()
        assert chosen[cells.unsafe].all()
        assert before - 1e-6 <= least <= best[0] - forced + 1e-6
        before = least
        if not cover.learn(chosen):
            break
    else:
        raise AssertionError("the program did not come to an end")


@settings(SLOW, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(["not_exact", "not_small"]))
def test_no_row_rules_out_what_was_found_to_protect(seed: int, guarantee: str) -> None:
    spec, cells, costs, hidden = drawn_block(seed, guarantee)
    cover = Cover(Guarantee(cells, spec.rules, spec.safe_from), costs, np.ones(cells.size, bool), 0.0)
    cover.sharpen(3)
    for _ in range(5):
        chosen, least = cover.choose()
        assert least <= costs[hidden & ~cells.unsafe].sum() + 1e-6
        if not cover.learn(chosen):
            break
