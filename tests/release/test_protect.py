"""Disclosure control: what is hidden stays hidden from an attacker who tries every table."""

import json
import stat
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from disclosure_cases import AREAS, grid, make_spec, protect_or_nothing, tables
from disclosure_oracle import cell_of, contains, possible_values
from hypothesis import HealthCheck, given, settings

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.guarantee import Guarantee
from transforms.release.linear import Changes
from transforms.release.protect import describe, protect_counts, verify, write_protected
from transforms.release.spec import Spec
from transforms.release.suppress import suppress
from transforms.release.tables import build_blocks

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(tables(largest=6))
def test_no_unsafe_cell_can_be_worked_back(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    protected = protect_or_nothing(counts, spec)
    if protected is None:
        return
    dimensions, linked = [list(levels) for levels in spec.dimensions], spec.eligible is not None
    possible = possible_values(protected.table.to_dicts(), dimensions, linked, asdict(spec.rules))
    for row in protected.decisions.iter_rows(named=True):
        value, threshold = row["value"], spec.rules.threshold
        cell = cell_of(row, dimensions, linked)
        is_zero_to_hide = value == 0 and (spec.rules.zeros == "protect" or row["unsafe_as"] == "group")
        if 1 <= value < threshold or is_zero_to_hide:
            lowest, highest = possible[cell]
            assert lowest != highest
            if spec.rules.guarantee == "not_small":
                assert highest is None or highest >= threshold
            assert row["decision"] == "primary"
        if cell in possible:
            lowest, highest = possible[cell]
            assert lowest <= value
            assert highest is None or value <= highest


@settings(SLOW, max_examples=12)
@given(tables(largest=4))
def test_no_unsafe_cell_can_be_worked_back_by_somebody_who_is_counted(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case[0], replace(case[1], self_contribution=True)
    protected = protect_or_nothing(counts, spec)
    if protected is None:
        return
    dimensions, linked = [list(levels) for levels in spec.dimensions], spec.eligible is not None
    rows = [(cell_of(row, dimensions, linked), row) for row in protected.decisions.iter_rows(named=True)]
    inner = [
        (cell, row)
        for cell, row in rows
        if not any(other != cell and contains(cell, other) for other, _ in rows) and row["decision"] != "published"
    ]
    for member in [cell for cell, row in inner if row["value"] >= 1][:1]:
        possible = possible_values(protected.table.to_dicts(), dimensions, linked, asdict(spec.rules), member)
        for cell, row in rows:
            if 1 <= row["value"] <= spec.rules.threshold or row["unsafe_as"] != "safe":
                lowest, highest = possible[cell]
                assert lowest != highest
                if spec.rules.guarantee == "not_small":
                    assert highest is None or highest > spec.rules.threshold


@settings(SLOW, max_examples=50)
@given(tables(largest=6))
def test_no_unsafe_cell_can_be_worked_back_where_everybody_knows_the_eligible(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    rules = replace(spec.rules, zeros="protect", guarantee="not_exact")
    spec = replace(spec, rules=rules, public_eligible=True)
    if spec.eligible is None:
        return
    protected = protect_counts(counts, spec)
    dimensions = [list(levels) for levels in spec.dimensions]
    possible = possible_values(protected.table.to_dicts(), dimensions, True, asdict(spec.rules))
    people = protected.decisions.filter(measure="eligible")
    assert (people["decision"] == "published").all()
    eligible = {cell_of(row, dimensions, True)[:-1]: row["value"] for row in people.iter_rows(named=True)}
    for row in protected.decisions.filter(pl.col("measure") != "eligible").iter_rows(named=True):
        cell = cell_of(row, dimensions, True)
        if eligible[cell[:-1]] and row["value"] < spec.rules.threshold:
            lowest, highest = possible[cell]
            assert lowest != highest


def test_who_is_counted_himself_makes_the_threshold_unsafe() -> None:
    counts, rows = grid(2, 2, [5, 10, 20, 30]), [["row"], ["column"]]
    hidden = [
        (protect_counts(counts, make_spec(rows, self_contribution=own)).table["status"] == "suppressed").sum()
        for own in (False, True)
    ]
    assert hidden == [0, 4]


def test_of_many_tables_no_figure_is_one_more_sum() -> None:
    """Each table has 1 or 2 unsafe cells, or 3, by what fits its margins: 40 of them with 40 in all have 1 each."""
    block = grid(2, 2, [1, 7, 5, 30])
    counts = pl.concat(block.with_columns(indicator=pl.lit(f"i{number}")) for number in range(40))
    protected = protect_counts(counts, make_spec([["row"], ["column"]], by=("indicator",)))
    assert (protected.figures["primary"], protected.figures["secondary"]) == (40, 120)
    exact = ("primary", "secondary", "suppressed_value_sum", "cost", "lower_bound", "proven_optimal")
    assert [protected.certificate[name] for name in exact] == [None] * 6


def test_the_public_is_not_told_how_few_cells_are_suppressed() -> None:
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), make_spec([["row"], ["column"]]))
    withheld = ("primary", "secondary", "suppressed_value_sum")
    assert [protected.certificate[name] for name in withheld] == [None] * 3
    assert "withheld" in protected.certificate["note"]
    assert [protected.figures[name] for name in withheld] == [1, 3, 80]
    assert "withheld" in describe(protected.certificate)
    assert "80" in describe(protected.figures)


@SLOW
@given(tables())
def test_the_table_is_the_counts_added_up(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    protected = protect_or_nothing(counts, spec)
    if protected is None:
        return
    levels = [level for levels in spec.dimensions for level in levels]
    measures = {"gap": pl.col("gap")}
    if spec.eligible:
        measures |= {"closed": pl.col("eligible") - pl.col("gap"), "eligible": pl.col("eligible")}
    for row in protected.table.iter_rows(named=True):
        assert (row["value"] is None) == (row["status"] == "suppressed")
        if row["value"] is not None:
            part = counts.filter(*(pl.col(level) == row[level] for level in levels if row[level] != "*"))
            assert part.select(measures[row.get("measure", "gap")].sum()).item() == row["value"]
    assert protected.table.height == protected.certificate["cells"] == protected.decisions.height


@SLOW
@given(tables())
def test_a_closed_count_of_zero_is_published_only_where_nobody_is_eligible(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    protected = protect_or_nothing(counts, spec)
    if protected is None or not spec.rules.group_disclosure:
        return
    cells = protected.decisions.pivot("measure", index=spec.labels, values=["value", "decision"])
    group = cells.filter(pl.col("value_closed") == 0, pl.col("value_eligible") >= 1)
    assert (group["decision_closed"] == "primary").all()


@pytest.mark.parametrize(("count", "hidden"), [(4, 4), (5, 0), (6, 0)])
def test_the_threshold_is_the_least_safe_count(count: int, hidden: int) -> None:
    protected = protect_counts(grid(2, 2, [count, 10, 20, 30]), make_spec([["row"], ["column"]]))
    assert (protected.table["status"] == "suppressed").sum() == hidden


@pytest.mark.parametrize(("zeros", "hidden"), [("publish", 0), ("protect", 4)])
def test_zeros_are_published_or_protected_as_the_rules_say(zeros: str, hidden: int) -> None:
    protected = protect_counts(grid(2, 2, [0, 10, 20, 30]), make_spec([["row"], ["column"]], zeros=zeros))
    assert (protected.table["status"] == "suppressed").sum() == hidden


def test_a_safe_table_is_published_whole() -> None:
    protected = protect_counts(grid(2, 2, [5, 10, 20, 30]), make_spec([["row"], ["column"]]))
    assert protected.table["value"].to_list() == [65, 25, 40, 15, 5, 10, 50, 20, 30]
    assert protected.certificate["secondary"] == protected.certificate["primary"] == 0


def test_empty_cells_alone_are_published_as_zeros() -> None:
    protected = protect_counts(grid(2, 2, [0, 0, 0, 0]), make_spec([["row"], ["column"]]))
    assert protected.table["value"].to_list() == [0] * 9


def test_all_reasons_look_the_same_to_the_public() -> None:
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), make_spec([["row"], ["column"]]))
    hidden = protected.table.filter(pl.col("status") != "published")
    assert set(hidden["status"]) == {"suppressed"}
    assert hidden["value"].null_count() == hidden.height == 4
    assert set(protected.decisions["decision"]) == {"published", "primary", "secondary"}
    assert not {"decision", "unsafe_as"} & set(protected.table.columns)


def test_a_lone_unsafe_total_hides_what_would_tell_it() -> None:
    protected = protect_counts(grid(2, 2, [3, 0, 0, 0]), make_spec([["row"], ["column"]]))
    assert (protected.table["status"] == "suppressed").sum() == 4
    assert verify(protected).holds


def test_nothing_left_to_publish_is_refused() -> None:
    with pytest.raises(DisclosureRefused, match="nothing is left"):
        protect_counts(grid(1, 1, [3]), make_spec([["row"], ["column"]]))


def many_blocks() -> tuple[pl.DataFrame, Spec]:
    random = np.random.default_rng(7)
    rows = [
        {"indicator": f"i{i}", "major": major, "district": district, "sex": sex, "band": f"b{band}"}
        for i in range(3)
        for major, district in AREAS
        for sex in "FM"
        for band in range(3)
    ]
    counts = pl.DataFrame(rows).with_columns(gap=pl.Series(random.poisson(6, len(rows))))
    counts = counts.with_columns(eligible=pl.col("gap") + pl.Series(random.poisson(6, len(rows))))
    return counts, make_spec(
        [["major", "district"], ["sex"], ["band"]], linked=True, by=("indicator",), group_disclosure=True
    )


def test_result_does_not_depend_on_processes_or_on_the_order_of_rows() -> None:
    counts, spec = many_blocks()
    one = protect_counts(counts, spec, processes=1)
    two = protect_counts(counts.sample(fraction=1, shuffle=True, seed=1), spec, processes=2)
    assert one.table.equals(two.table)
    assert one.decisions.equals(two.decisions)
    assert one.figures | {"seconds": 0} == two.figures | {"seconds": 0}


def test_a_block_is_protected_as_if_it_were_alone() -> None:
    counts, spec = many_blocks()
    together = protect_counts(counts, spec).table.filter(pl.col("indicator") == "i1")
    assert together.equals(protect_counts(counts.filter(pl.col("indicator") == "i1"), spec).table)


@SLOW
@given(tables(largest=9))
def test_witnesses_are_whole_tables_that_agree_with_what_is_published(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    (block,) = build_blocks(counts, spec)
    cells, rules = block.cells, spec.rules
    answer = suppress(cells, rules, spec.safe_from)
    protected = np.zeros(cells.size, bool)
    for change in answer.witnesses:
        assert not change[~answer.hidden].any()
        assert (cells.value + change >= cells.floor)[answer.hidden].all()
        for number, parent in enumerate(cells.parent):
            assert change[cells.child[cells.start[number] : cells.start[number + 1]]].sum() == change[parent]
        protected |= Guarantee(cells, rules, spec.safe_from).protected_by(change)
    assert (protected == cells.unsafe).all()


def test_files_are_public_or_confidential(tmp_path: Path) -> None:
    spec = make_spec([["row"], ["column"]])
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    out = tmp_path / "out"
    write_protected(protected, out)
    write_protected(protected, out)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == [
        "certificate.json",
        "confidential",
        "confidential/decisions.parquet",
        "confidential/figures.json",
        "confidential/witnesses.parquet",
        "table.csv",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert stat.S_IMODE((out / "confidential").stat().st_mode) == 0o700
    assert stat.S_IMODE((out / "confidential/decisions.parquet").stat().st_mode) == 0o600
    assert json.loads((out / "certificate.json").read_text())["rules"]["threshold"] == 5
    table = pl.read_csv(out / "table.csv")
    assert table.columns == ["row", "column", "value", "status"]
    assert table["value"].null_count() == 4
    assert "also suppressed" in describe(protected.figures)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    protected = protect_counts(grid(2, 2, [5, 10, 20, 30]), make_spec([["row"], ["column"]]))
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(UsageRefused, match="other files"):
        write_protected(protected, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_killed_between_two_moves_loses_nothing(tmp_path: Path) -> None:
    protected = protect_counts(grid(2, 2, [5, 10, 20, 30]), make_spec([["row"], ["column"]]))
    out = tmp_path / "out"
    write_protected(protected, out)
    out.rename(tmp_path / ".out.old")
    write_protected(protected, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_broken_table_is_not_verified() -> None:
    spec = make_spec([["row"], ["column"]])
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    shown = pl.col("decision") != "primary"
    naive = protected.decisions.select(
        "row",
        "column",
        value=pl.when(shown).then("value"),
        status=pl.when(shown).then(pl.lit("published")).otherwise(pl.lit("suppressed")),
    )
    with pytest.raises(DisclosureRefused, match="does not hold") as refusal:
        verify(replace(protected, table=naive))
    assert refusal.value.exit_code == 13


def test_a_new_price_leaves_nothing_of_the_last_answer() -> None:
    cells = build_blocks(grid(3, 3, [3, 10, 20, 30, 4, 50, 60, 70, 80]), make_spec([["row"], ["column"]]))[0].cells
    everywhere, random = np.ones(cells.size, bool), np.random.default_rng(1)
    used = Changes(cells, everywhere)
    for cell in np.flatnonzero(cells.unsafe).tolist() * 3:
        costs = random.uniform(0.1, 9, cells.size)
        used.price(costs)
        fresh = Changes(cells, everywhere)
        fresh.price(costs)
        found, expected = used.cheapest({cell: 1}), fresh.cheapest({cell: 1})
        assert found is not None
        assert expected is not None
        assert found[cell] == 1
        assert np.abs(found) @ costs == pytest.approx(np.abs(expected) @ costs)
