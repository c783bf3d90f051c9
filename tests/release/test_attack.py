"""The auditor: its bounds are those of trying every table, and it breaks what is protected badly."""

import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from disclosure_cases import grid, make_spec, protect_or_nothing, tables
from disclosure_oracle import Cell, agreeing, cell_of, free_leaves, possible_values
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.attack import Verdict, attack_directory, attack_table, attack_tables, describe
from transforms.release.bounds import prove
from transforms.release.protect import protect_counts, write_protected
from transforms.release.published import Rules, rules_of
from transforms.release.spec import Spec
from transforms.release.tables import build_blocks
from transforms.release.unknowns import ContradictionError, Sums
from transforms.release.witnesses import verify_witnesses

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def public_rules(spec: Spec) -> Rules:
    return rules_of(
        {
            "rules": asdict(spec.rules),
            "by": list(spec.by),
            "dimensions": [list(levels) for levels in spec.dimensions],
            "linked": spec.eligible is not None,
        }
    )


def all_cells(counts: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    return pl.concat(
        block.labels(spec.by).with_columns(
            pl.Series("value", block.value), pl.Series("unsafe", block.unsafe_as != "safe")
        )
        for block in build_blocks(counts, spec)
    )


def hide(cells: pl.DataFrame, hidden: pl.Series) -> pl.DataFrame:
    return cells.with_columns(
        value=pl.when(~hidden).then("value"),
        status=pl.when(hidden).then(pl.lit("suppressed")).otherwise(pl.lit("published")),
    ).drop("unsafe", strict=False)


def assert_agrees_with_oracle(table: pl.DataFrame, spec: Spec, verdict: Verdict, *, tight: bool) -> None:
    dimensions, linked = [list(levels) for levels in spec.dimensions], spec.eligible is not None
    truth = possible_values(table.to_dicts(), dimensions, linked, asdict(spec.rules))
    assert verdict.cells.height == len(truth)
    for row in verdict.cells.iter_rows(named=True):
        lowest, highest = truth[cell_of(row, dimensions, linked)]
        assert row["is_exact"] == (lowest == highest)
        assert row["is_small"] == (highest is not None and highest < spec.rules.threshold)
        if tight or row["is_exact"]:
            assert (row["lowest"], row["highest"]) == (lowest, highest)
        else:
            assert row["lowest"] <= lowest
            assert row["highest"] is None or (highest is not None and row["highest"] >= highest)


@SLOW
@given(tables(largest=5), st.data())
def test_bounds_are_those_of_trying_every_table(case: tuple[pl.DataFrame, Spec], data: st.DataObject) -> None:
    counts, spec = case
    cells = all_cells(counts, spec)
    may_hide = pl.Series([True] * cells.height) if spec.rules.zeros == "protect" else cells["value"] > 0
    if spec.rules.group_disclosure:
        may_hide |= cells["measure"] == "closed"
    wish = data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height))
    table = hide(cells, may_hide & pl.Series(wish))
    assume((table["status"] == "suppressed").any())
    for tight in (True, False):
        verdict = attack_table(table, public_rules(spec), tight=tight)
        assert_agrees_with_oracle(table, spec, verdict, tight=tight)


@SLOW
@given(tables(), st.data())
def test_what_members_are_told_is_what_all_tables_that_have_them_agree_on(
    case: tuple[pl.DataFrame, Spec], data: st.DataObject
) -> None:
    counts, spec = case
    cells = all_cells(counts, spec)
    may_hide = pl.Series([True] * cells.height) if spec.rules.zeros == "protect" else cells["value"] > 0
    if spec.rules.group_disclosure:
        may_hide |= cells["measure"] == "closed"
    wish = data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height))
    table = hide(cells, may_hide & pl.Series(wish))
    assume((table["status"] == "suppressed").any())
    verdict = attack_table(table, replace(public_rules(spec), self_contribution=True))
    dimensions, linked = [list(levels) for levels in spec.dimensions], spec.eligible is not None
    arguments = table.to_dicts(), dimensions, linked, asdict(spec.rules)
    truth, safe_from = possible_values(*arguments), spec.rules.threshold + 1
    told = set()
    for member, (_, most) in truth.items():
        if most is None or most >= 1:
            for cell, (lowest, highest) in possible_values(*arguments, member).items():
                is_exact = lowest == highest and lowest < safe_from and truth[cell][0] != truth[cell][1]
                may_be_large = truth[cell][1] is None or truth[cell][1] >= safe_from
                is_small = (
                    spec.rules.guarantee == "not_small" and may_be_large and highest is not None and highest < safe_from
                )
                told |= {cell} if is_exact or is_small else set()
    rows = verdict.cells.filter("is_told_to_member").iter_rows(named=True)
    assert {cell_of(row, dimensions, linked) for row in rows} == told


def test_who_is_there_may_not_tell_more_than_the_public() -> None:
    """Of two hidden counts that are 1 together, zeros hidden too, who is there tells both; if anybody is."""
    spec = make_spec([["row"], ["column"]], zeros="protect")
    cells = all_cells(grid(2, 2, [1, 0, 20, 30]), spec)
    table = hide(cells, (cells["row"] != "*") & (cells["column"] != "*"))
    rules = replace(public_rules(spec), self_contribution=True)
    public = attack_tables([(table, rules)])
    nobody, somebody = (attack_tables([(table, rules)], present=[cells["value"] >= least]) for least in (99, 1))
    assert [each.recovered_unsafe for each in (public, nobody, somebody)] == [0, 0, 0]
    assert [each.told_to_members for each in (public, nobody, somebody)] == [2, 0, 2]
    assert [each.broken - public.broken for each in (nobody, somebody)] == [0, 2]


@settings(SLOW, max_examples=40)
@given(tables(), st.data())
def test_what_those_who_are_there_are_told_is_part_of_what_members_might_be(
    case: tuple[pl.DataFrame, Spec], data: st.DataObject
) -> None:
    counts, spec = case
    cells = all_cells(counts, spec)
    may_hide = pl.Series([True] * cells.height) if spec.rules.zeros == "protect" else cells["value"] > 0
    wish = data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height))
    table = hide(cells, may_hide & pl.Series(wish))
    assume((table["status"] == "suppressed").any())
    rules = replace(public_rules(spec), self_contribution=True)
    dimensions, linked = [list(levels) for levels in spec.dimensions], spec.eligible is not None
    arguments = table.to_dicts(), dimensions, linked, asdict(spec.rules)
    truth, safe_from = possible_values(*arguments), spec.rules.threshold + 1
    there = {cell_of(row, dimensions, linked) for row in cells.to_dicts() if row["value"] >= 1}
    told = set()
    for member in truth.keys() & there:
        for cell, (lowest, highest) in possible_values(*arguments, member).items():
            is_exact = lowest == highest and lowest < safe_from and truth[cell][0] != truth[cell][1]
            may_be_large = truth[cell][1] is None or truth[cell][1] >= safe_from
            is_small = spec.rules.guarantee == "not_small" and may_be_large
            told |= {cell} if is_exact or (is_small and highest is not None and highest < safe_from) else set()
    verdict = attack_tables([(table, rules)], present=[cells["value"] >= 1])
    rows = verdict.cells.filter("is_told_to_member").iter_rows(named=True)
    assert {cell_of(row, dimensions, linked) for row in rows} == told


@st.composite
def one_population(draw: st.DrawFn) -> tuple[pl.DataFrame, Spec]:
    """Inner cells of two indicators that count the same people, and rules."""
    rows = []
    for row, column in (("1", "x"), ("1", "y"), ("2", "x")):
        eligible = draw(st.integers(0, 5))
        for indicator in "ab":
            gap = draw(st.integers(0, eligible))
            rows.append({"indicator": indicator, "row": row, "column": column, "gap": gap, "eligible": eligible})
    rules = {
        "threshold": draw(st.integers(2, 4)),
        "zeros": draw(st.sampled_from(["publish", "protect"])),
        "guarantee": draw(st.sampled_from(["not_exact", "not_small"])),
        "group_disclosure": draw(st.booleans()),
    }
    return pl.DataFrame(rows), make_spec([["row"], ["column"]], linked=True, by=("indicator",), **rules)


def values_together(table: pl.DataFrame, spec: Spec) -> dict[tuple[str, Cell], set[int]]:
    """All values of each hidden cell, over every pair of tables that agree with each other on who is eligible."""
    dimensions = [list(levels) for levels in spec.dimensions]
    by_people: dict[tuple[tuple[Cell, int], ...], list[list[dict[Cell, int]]]] = {}
    hidden = []
    for number, name in enumerate("ab"):
        rows = table.filter(indicator=name).to_dicts()
        assume(not free_leaves(rows, dimensions, True))
        hidden += [(name, cell_of(row, dimensions, True)) for row in rows if row["status"] == "suppressed"]
        for cells in agreeing(rows, dimensions, True, asdict(spec.rules)):
            people = tuple(sorted((cell, value) for cell, value in cells.items() if cell[-1] == ()))
            by_people.setdefault(people, [[], []])[number].append(cells)
    values: dict[tuple[str, Cell], set[int]] = {cell: set() for cell in hidden}
    for both in by_people.values():
        if all(both):
            for name, cell in hidden:
                values[name, cell] |= {cells[cell] for cells in both["ab".index(name)]}
    return values


@SLOW
@given(one_population(), st.data())
def test_two_tables_of_one_population_tell_what_all_pairs_agree_on(
    case: tuple[pl.DataFrame, Spec], data: st.DataObject
) -> None:
    counts, spec = case
    cells = pl.concat(
        block.labels(spec.by).with_columns(value=pl.Series(block.value)) for block in build_blocks(counts, spec)
    )
    may_hide = (cells["value"] > 0) | (spec.rules.zeros == "protect")
    if spec.rules.group_disclosure:
        may_hide |= cells["measure"] == "closed"
    wish = data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height))
    table = hide(cells, may_hide & pl.Series(wish))
    assume((table["status"] == "suppressed").any())
    values = values_together(table, spec)
    verdict = attack_table(table, replace(public_rules(spec), populations=((("a",), ("b",)),)), tight=True)
    assert verdict.cells.height == len(values)
    for row in verdict.cells.iter_rows(named=True):
        fits = values[row["indicator"], cell_of(row, [["row"], ["column"]], True)]
        assert (row["lowest"], row["highest"]) == (min(fits), max(fits))
        assert row["is_exact"] == (len(fits) == 1)
        assert row["is_small"] == (max(fits) < spec.rules.threshold)


@settings(SLOW, max_examples=40)
@given(one_population())
def test_two_tables_of_one_population_are_protected_from_each_other(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    protected = protect_or_nothing(counts, spec)
    if protected is None:
        return
    rules = rules_of(protected.certificate)
    values = values_together(protected.table, spec)
    for row in protected.decisions.filter(decision="primary").iter_rows(named=True):
        fits = values[row["indicator"], cell_of(row, [["row"], ["column"]], True)]
        assert len(fits) > 1
        if spec.rules.guarantee == "not_small":
            assert max(fits) >= spec.rules.threshold
    verify_witnesses(protected.table, rules, protected.decisions, protected.witnesses)
    eligible = protected.table.filter(measure="eligible").partition_by("indicator", include_key=False)
    assert eligible[0].equals(eligible[1])
    # who is told of the population by nobody sees it in the counts
    undeclared = replace(rules, populations=())
    assert attack_table(protected.table, undeclared).holds


def test_tables_that_agree_on_many_people_count_the_same_ones_whether_declared_or_not() -> None:
    rows = [
        {"indicator": name, "row": f"r{i}", "column": f"c{j}", "gap": 3 if name == "a" and i == j == 0 else 10}
        for name in "ab"
        for i, j in product(range(5), range(5))
    ]
    counts = pl.DataFrame(rows).with_columns(eligible=pl.lit(20) + pl.int_range(50) % 25)
    spec = make_spec([["row"], ["column"]], linked=True, by=("indicator",))
    protected = protect_counts(counts, spec)
    rules = replace(rules_of(protected.certificate), populations=())
    gap = (pl.col("indicator") == "a") & (pl.col("row") == "r0") & (pl.col("column") == "c0")
    # indicator b shows the denominator that a hides
    closed_shown = pl.when(gap & (pl.col("measure") != "closed")).then(None).otherwise(protected.decisions["value"])
    naive = protected.table.with_columns(value=closed_shown).with_columns(
        status=pl.when(pl.col("value").is_null()).then(pl.lit("suppressed")).otherwise(pl.lit("published"))
    )
    alone = naive.filter(indicator="a")
    told = attack_table(naive, rules).cells.filter(gap, measure="eligible")
    assert told["is_exact"].to_list() == [True]
    assert attack_table(alone, rules).cells.height == 2


def test_primary_suppression_alone_is_undone_by_subtraction() -> None:
    spec = make_spec([["row"], ["column"]])
    cells = all_cells(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    verdict = attack_table(hide(cells, cells["unsafe"]), public_rules(spec))
    assert verdict.recovered_unsafe == 1
    assert verdict.cells["lowest"].to_list() == [3]
    assert not verdict.holds


def test_one_partner_a_row_does_not_help_the_columns() -> None:
    spec = make_spec([["row"], ["column"]])
    cells = all_cells(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    partner = (cells["row"] == "r0") & (cells["column"] == "c1")
    verdict = attack_table(hide(cells, cells["unsafe"] | partner), public_rules(spec))
    assert (verdict.recovered_unsafe, verdict.recovered_safe) == (1, 1)


def test_a_pair_that_linear_algebra_cannot_split_falls_to_whole_numbers_above_zero() -> None:
    # two hidden cells that sum to 2 in every direction: without zeros each can only be 1
    spec = make_spec([["row"], ["column"]])
    cells = all_cells(grid(3, 3, [1, 1, 20, 1, 1, 50, 60, 70, 80]), spec)
    verdict = attack_table(hide(cells, cells["unsafe"] & (cells["value"] == 1)), public_rules(spec))
    assert verdict.recovered_unsafe == 4


def test_protected_zeros_leave_a_way_out_that_published_zeros_do_not() -> None:
    counts = grid(3, 3, [1, 1, 20, 1, 1, 50, 60, 70, 80])
    spec = make_spec([["row"], ["column"]], zeros="protect")
    cells = all_cells(counts, spec)
    verdict = attack_table(hide(cells, cells["value"] == 1), public_rules(spec), tight=True)
    assert verdict.recovered_unsafe == 0
    assert verdict.cells.select("lowest", "highest").unique().rows() == [(0, 2)]


def odd_ring(slack_row: float) -> Sums:
    """x + y = y + z = z + x = 3 + t and t + u = the slack row, all at least 0: only an odd t has whole x, y, z."""
    x, y, z, t, u = range(5)
    rows = [{x: 1, y: 1, t: -1}, {y: 1, z: 1, t: -1}, {z: 1, x: 1, t: -1}, {t: 1, u: 1}]
    entries = [(row, unknown, factor) for row, part in enumerate(rows) for unknown, factor in part.items()]
    row, unknown, factor = (np.array(column) for column in zip(*entries, strict=True))
    right = np.array([3.0, 3.0, 3.0, slack_row])
    return Sums(row, unknown, factor.astype(float), right, np.zeros(4), np.ones(4, bool), np.zeros(5))


@pytest.mark.parametrize("tight", [True, False])
def test_whole_numbers_tell_what_fractions_do_not(tight: bool) -> None:
    bounds = prove(odd_ring(1.0), threshold=5, tight=tight)
    assert bounds.low.tolist() == bounds.high.tolist() == [2, 2, 2, 1, 0]


def test_a_larger_whole_number_is_found_behind_a_fraction() -> None:
    bounds = prove(odd_ring(4.0), threshold=5, tight=True)
    assert (bounds.low[3], bounds.high[3]) == (1, 3)
    assert (bounds.seen_low[3], bounds.seen_high[3]) == (1, 3)


def test_sums_that_only_fractions_solve_are_a_contradiction() -> None:
    with pytest.raises(ContradictionError):
        prove(odd_ring(0.0), threshold=5, tight=False)


@pytest.mark.parametrize(("count", "seen"), [(4, 1), (5, 0), (6, 0)])
def test_a_published_count_below_the_threshold_is_reported(count: int, seen: int) -> None:
    spec = make_spec([["row"], ["column"]])
    cells = all_cells(grid(2, 2, [count, 10, 20, 30]), spec)
    verdict = attack_table(hide(cells, pl.Series([False] * cells.height)), public_rules(spec))
    assert verdict.published_unsafe == seen
    assert verdict.holds == (seen == 0)


def test_a_published_group_in_which_everybody_has_the_gap_is_reported() -> None:
    counts = grid(2, 2, [10, 11, 12, 13]).with_columns(eligible=pl.Series([10, 20, 30, 40]))
    seen = []
    for group in (False, True):
        spec = make_spec([["row"], ["column"]], linked=True, group_disclosure=group)
        cells = all_cells(counts, spec)
        verdict = attack_table(hide(cells, pl.Series([False] * cells.height)), public_rules(spec))
        seen.append(verdict.published_unsafe)
    assert seen == [0, 1]


def test_a_changed_value_contradicts_the_rest() -> None:
    spec = make_spec([["row"], ["column"]])
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    changed = protected.table.with_columns(
        value=pl.when((pl.col("row") == "*") & (pl.col("column") == "*")).then(pl.col("value") + 1).otherwise("value")
    )
    with pytest.raises(DisclosureRefused, match="no whole counts fit"):
        attack_table(changed, public_rules(spec))


def test_a_changed_value_next_to_hidden_cells_contradicts_their_floor() -> None:
    spec = make_spec([["row"], ["column"]])
    protected = protect_counts(grid(2, 2, [3, 10, 20, 30]), spec)
    rows = protected.table.filter(pl.col("column") == "*", pl.col("row") != "*")["value"].to_list()
    assert None not in rows
    changed = protected.table.with_columns(
        value=pl.when((pl.col("row") != "*") & (pl.col("column") == "*")).then(1).otherwise("value")
    )
    with pytest.raises(DisclosureRefused, match="no whole counts fit"):
        attack_table(changed, public_rules(spec))


BAD_TABLES = {
    "a row is gone": lambda table: table.slice(0, table.height - 1),
    "an inner row is gone": lambda table: table.slice(1, table.height - 1),
    "a row stands twice": lambda table: pl.concat([table, table.head(1)]),
    "a suppressed cell has a number": lambda table: table.with_columns(value=pl.col("value").fill_null(3)),
    "a published cell has none": lambda table: table.with_columns(status=pl.lit("published")),
    "a status of another kind": lambda table: table.with_columns(status=pl.lit("small")),
    "a number is negative": lambda table: table.with_columns(-pl.col("value")),
    "a number is a fraction": lambda table: table.with_columns(pl.col("value") + 0.5),
}


@pytest.mark.parametrize("change", BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_a_table_that_is_not_whole_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    spec = make_spec([["row"], ["column"]])
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    table = protected.table.with_columns(pl.col("value").cast(pl.String))
    bad = change(protected.table)
    assert not table.equals(bad)
    with pytest.raises(DisclosureRefused):
        attack_table(bad, public_rules(spec))


def test_the_public_files_alone_are_enough(tmp_path: Path) -> None:
    spec = make_spec([["row"], ["column"]])
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    write_protected(protected, tmp_path / "out")
    for path in (tmp_path / "out" / "confidential").iterdir():
        path.unlink()
    verdict = attack_directory(tmp_path / "out")
    assert verdict.holds
    assert verdict.cells.height == (protected.table["status"] == "suppressed").sum()
    assert "holds" in describe(verdict)


def test_a_folder_without_the_public_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageRefused, match="cannot be read"):
        attack_directory(tmp_path)
    (tmp_path / "table.csv").write_text("value,status\n")
    (tmp_path / "certificate.json").write_text(json.dumps({"by": []}))
    with pytest.raises(UsageRefused, match="does not hold the rules"):
        attack_directory(tmp_path)
