"""The covering program that merges attempts: no row of it rules out a choice that protects, by trying them all."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from test_optimum import SLOW, harm_of, least_by_trying, small_tables

from transforms.release.cover import Cover
from transforms.release.guarantee import Guarantee
from transforms.release.spec import Spec
from transforms.release.tables import build_blocks


@settings(SLOW, max_examples=30)
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
