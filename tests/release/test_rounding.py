"""Controlled rounding: multiples of a base that add up, and an auditor of changed counts that is never wrong."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from disclosure_cases import AREAS, grid, make_spec
from disclosure_oracle import cell_of, contains
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release import rounding
from transforms.release.attack_values import ValueRules, attack_table, rules_of
from transforms.release.protect import describe, protect_counts
from transforms.release.published import rules_of as shape_of
from transforms.release.spec import Spec
from transforms.release.tables import build_blocks

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)


@st.composite
def tables(draw: st.DrawFn, largest: int = 30, **rules: Any) -> tuple[pl.DataFrame, Spec]:
    """Two or three dimensions, with levels or not, linked by measures or not."""
    linked = draw(st.booleans())
    shapes: list[list[tuple[list[str], list[tuple[str, ...]]]]] = [
        [(["row"], [("r1",), ("r2",), ("r3",)]), (["column"], [("c1",), ("c2",)])],
        [(["major", "district"], AREAS), (["sex"], [("F",), ("M",)])],
        [(["row"], [("r1",), ("r2",)]), (["column"], [("c1",), ("c2",)]), (["sex"], [("F",), ("M",)])],
    ]
    shape = draw(st.sampled_from(shapes))
    count = st.integers(0, largest)
    rows = []
    for path in product(*(nodes for _, nodes in shape)):
        row: dict[str, Any] = {}
        for (levels, _), node in zip(shape, path, strict=True):
            row |= dict(zip(levels, node, strict=True))
        row["gap"] = draw(count)
        row["eligible"] = row["gap"] + draw(count)
        rows.append(row)
    frame = pl.DataFrame(rows)
    spec = make_spec([levels for levels, _ in shape], linked=linked, **rules)
    return (frame if linked else frame.drop("eligible")), spec


def adds_up(table: pl.DataFrame, spec: Spec) -> bool:
    linked = spec.eligible is not None
    cells = {
        cell_of(row, [list(levels) for levels in spec.dimensions], linked): row["value"]
        for row in table.iter_rows(named=True)
    }
    inner = [cell for cell in cells if not any(other != cell and contains(cell, other) for other in cells)]
    return all(value == sum(cells[one] for one in inner if contains(cell, one)) for cell, value in cells.items())


@SLOW
@given(tables(method="rounding", base=5))
def test_counts_become_neighbouring_multiples_that_add_up(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    protected = protect_counts(counts, spec)
    true, shown = protected.decisions["value"].to_numpy(), protected.table["value"].to_numpy()
    assert (shown % 5 == 0).all()
    assert (shown[true == 0] == 0).all()
    reach = -protected.certificate["method"]["noise"][-1][0]
    assert (np.abs(shown - true) <= reach).all()
    if reach == 4:
        assert (shown[true % 5 == 0] == true[true % 5 == 0]).all()
    assert adds_up(protected.table, spec)
    assert set(protected.table["status"]) == {"published"}
    assert protected.certificate["exactly_recoverable"] == 0


def test_a_table_without_neighbours_that_add_up_goes_a_multiple_further_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = grid(2, 2, [3, 10, 20, 30])
    (block,) = build_blocks(frame, make_spec([["row"], ["column"]]))
    search = rounding._search
    near = rounding.round_cells(block.cells, 5)
    assert near.further == 0
    monkeypatch.setattr(
        rounding, "_search", lambda cells, base, further: search(cells, base, further) if further else None
    )
    far = rounding.round_cells(block.cells, 5)
    assert far.further == 1
    # what may go further does so only where it must
    assert (np.abs(far.value - block.cells.value) < 5).all()
    monkeypatch.setattr(rounding, "_search", lambda *_: None)
    with pytest.raises(DisclosureRefused, match="cannot be rounded"):
        rounding.round_cells(block.cells, 5)


def test_a_three_way_table_that_has_no_rounding_to_neighbours_is_rounded_all_the_same() -> None:
    """Causey, Cox and Ernst 1985: in three dimensions a rounding to neighbours need not be there."""
    inner = np.zeros((3, 3, 3), int)
    inner[0] = [[1, 1, 0], [0, 1, 1], [1, 0, 1]]
    inner[1] = [[1, 0, 1], [1, 1, 0], [0, 1, 1]]
    inner[2] = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    rows = [{"a": f"a{i}", "b": f"b{j}", "c": f"c{k}", "gap": int(inner[i, j, k])} for i, j, k in np.ndindex(3, 3, 3)]
    spec = make_spec([["a"], ["b"], ["c"]], threshold=2, method="rounding", base=2)
    protected = protect_counts(pl.DataFrame(rows), spec)
    assert adds_up(protected.table, spec)


def test_the_result_is_the_same_for_any_order_of_rows() -> None:
    random = np.random.default_rng(2)
    frame = grid(8, 9, random.poisson(6, 72).tolist())
    spec = make_spec([["row"], ["column"]], method="rounding", base=3)
    one, two = protect_counts(frame, spec), protect_counts(frame.sample(fraction=1, shuffle=True, seed=1), spec)
    assert one.table.equals(two.table)
    assert one.witnesses is None
    assert "changed" in describe(one.figures)


def test_tables_of_one_population_show_it_alike() -> None:
    random = np.random.default_rng(5)
    rows = [
        {"indicator": name, "row": f"r{i}", "column": f"c{j}", "eligible": 7 + 3 * i + 4 * j}
        for name in "ab"
        for i, j in product(range(4), range(3))
    ]
    frame = pl.DataFrame(rows).with_columns(gap=pl.Series(random.integers(0, 7, 24)))
    spec = make_spec([["row"], ["column"]], linked=True, by=("indicator",), method="rounding", base=5)
    protected = protect_counts(frame, spec)
    assert protected.certificate["populations"] == [[["a"], ["b"]]]
    eligible = protected.table.filter(pl.col("measure") == "eligible")
    a, b = (eligible.filter(pl.col("indicator") == name)["value"].to_list() for name in "ab")
    assert a == b


# -- the auditor ------------------------------------------------------------------------------------------------------


def all_truths(shown: list[int], within: np.ndarray, inner: list[int], rules: ValueRules) -> np.ndarray:
    """Every whole table that the published one may stand for, one row each, by trying them all."""
    least, most = np.array(rules.noise).T

    def may_be(cell: int, count: int) -> bool:
        row = min(count, len(least) - 1)
        return bool(least[row] <= shown[cell] - count <= most[row])

    reach = int(max(most.max(), -least.min()))
    choices = [[c for c in range(max(shown[p] - reach, 0), shown[p] + reach + 1) if may_be(p, c)] for p in inner]
    found = np.array(list(product(*choices))).reshape(-1, len(inner)) @ within.T
    row = np.minimum(found, len(least) - 1)
    change = np.array(shown) - found
    return found[((least[row] <= change) & (change <= most[row])).all(axis=1)]


@settings(SLOW, max_examples=60)
@given(st.data())
def test_the_auditor_of_changed_counts_is_never_wrong(data: st.DataObject) -> None:
    linked = data.draw(st.booleans())
    reach = data.draw(st.integers(1, 2))
    guarantee = data.draw(st.sampled_from(["not_exact", "not_small"]))
    zeros = data.draw(st.sampled_from(["publish", "protect"]))
    shape = (2, 1) if linked else data.draw(st.sampled_from([(2, 2), (3, 1), (2, 3)]))
    true = data.draw(st.lists(st.integers(0, 4), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    frame = grid(*shape, true)
    spec = make_spec([["row"], ["column"]], linked=linked, threshold=3, guarantee=guarantee, zeros=zeros)
    if linked:
        frame = frame.with_columns(
            eligible=pl.col("gap")
            + pl.Series(data.draw(st.lists(st.integers(0, 3), min_size=len(true), max_size=len(true))))
        )
    (block,) = build_blocks(frame, spec)
    noise = data.draw(st.lists(st.integers(-reach, reach), min_size=len(block.value), max_size=len(block.value)))
    shown = [v + max(e, -v) if v else 0 for v, e in zip(block.value.tolist(), noise, strict=True)]
    labels = block.labels(())
    table = labels.with_columns(value=pl.Series(shown), status=pl.lit("published"))
    public = {
        "rules": {"threshold": 3, "zeros": zeros, "group_disclosure": False, "guarantee": guarantee},
        "by": [],
        "dimensions": [["row"], ["column"]],
        "linked": linked,
    }
    rules = ValueRules(shape_of(public), ((0, 0), *((-min(c, reach), reach) for c in range(1, reach + 1))), None)
    cells = [cell_of(row, [["row"], ["column"]], linked) for row in labels.iter_rows(named=True)]
    inner = [p for p, cell in enumerate(cells) if not any(other != cell and contains(cell, other) for other in cells)]
    within = np.array([[contains(cell, cells[p]) for p in inner] for cell in cells]).astype(int)
    truths = all_truths(shown, within, inner, rules)
    assert (truths == block.value).all(axis=1).any()
    verdict = attack_table(table, rules)
    low, high = truths.min(axis=0), truths.max(axis=0)
    found = verdict.cells
    assert found["is_exact"].to_list() == (low == high).tolist()
    assert (found["lowest"].to_numpy() <= low).all()
    assert (found["highest"].to_numpy() >= high).all()
    unsafe = (low == high) & (low < 3) & ((low >= 1) | (zeros == "protect"))
    assert verdict.recovered_unsafe == unsafe.sum()
    small = (high < 3) & ((high >= 1) | (zeros == "protect"))
    if guarantee == "not_small":
        assert verdict.provably_small == small.sum()
        assert verdict.holds == (not small.any())
    else:
        assert verdict.provably_small <= small.sum()
        assert verdict.holds == (not unsafe.any())


def test_a_table_that_was_changed_afterwards_fits_no_counts() -> None:
    protected = protect_counts(grid(2, 2, [3, 10, 20, 30]), make_spec([["row"], ["column"]], method="rounding", base=5))
    rules = rules_of(protected.certificate)
    off = protected.table.with_columns(
        value=pl.when(pl.col("row") == "*").then(pl.col("value") + 50).otherwise("value")
    )
    with pytest.raises(DisclosureRefused, match="no true counts fit"):
        attack_table(off, rules)
    with pytest.raises(DisclosureRefused, match="not a multiple"):
        attack_table(protected.table.with_columns(pl.col("value") + 1), rules)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown method": ({"method": "swapping"}, "method must be one of"),
    "rounding without a base": ({"method": "rounding"}, "needs base"),
    "a base of 1": ({"method": "rounding", "base": 1}, "at least 2"),
    "a base that is true": ({"method": "rounding", "base": True}, "at least 2"),
    "a base without rounding": ({"base": 5}, "does not belong to method suppression"),
    "not small with a small base": ({"method": "rounding", "base": 5, "guarantee": "not_small"}, "proven to be small"),
    "one's own contribution": ({"method": "rounding", "base": 5, "self_contribution": True}, "with suppression only"),
}


@pytest.mark.parametrize(("rules", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_method_is_refused(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageRefused, match=words):
        make_spec([["row"]], **rules)


def test_not_small_holds_with_a_base_above_the_threshold() -> None:
    spec = make_spec([["row"], ["column"]], method="rounding", base=6, guarantee="not_small")
    protected = protect_counts(grid(3, 3, [3, 1, 20, 0, 2, 50, 4, 4, 0]), spec)
    assert protected.certificate["provably_small"] == 0
    assert protect_counts(grid(2, 2, [0] * 4), replace(spec)).table["value"].sum() == 0
