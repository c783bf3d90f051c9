"""Specs and counts: what is refused, and that cells, sums and merged cells are what plain adding up gives."""

from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from disclosure_cases import grid, make_spec, tables
from hypothesis import HealthCheck, given, settings

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.spec import Spec, load_spec, spec_from
from transforms.release.tables import build_blocks, read_counts

SPEC = """
count = "gap"
eligible = "eligible"
by = ["indicator"]
[[dimension]]
levels = ["major", "district"]
[[dimension]]
levels = ["sex"]
[rules]
threshold = 5
zeros = "protect"
group_disclosure = true
guarantee = "not_small"
effort = "thorough"
"""


def plain() -> dict[str, Any]:
    return {"count": "gap", "dimension": [{"levels": ["row"]}], "rules": {"threshold": 5}}


def test_a_spec_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    spec = load_spec(tmp_path / "spec.toml")
    assert (spec.count, spec.eligible, spec.by) == ("gap", "eligible", ("indicator",))
    assert spec.dimensions == (("major", "district"), ("sex",))
    rules = spec.rules
    assert (rules.threshold, rules.zeros, rules.group_disclosure) == (5, "protect", True)
    assert (rules.guarantee, rules.effort) == ("not_small", "thorough")


def test_rules_that_are_left_out_have_their_defaults() -> None:
    rules = spec_from(plain()).rules
    assert (rules.zeros, rules.group_disclosure, rules.guarantee, rules.effort) == (
        "publish",
        False,
        "not_exact",
        "normal",
    )


BAD_SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "no count": ({"count": None}, "count must be"),
    "no dimension": ({"dimension": []}, "no \\[\\[dimension\\]\\]"),
    "a dimension without levels": ({"dimension": [{}]}, "levels must be"),
    "an empty dimension": ({"dimension": [{"levels": []}]}, "levels must be"),
    "a level that is no name": ({"dimension": [{"levels": [3]}]}, "levels must be the name"),
    "by that is no list": ({"by": "indicator"}, "by must be a list"),
    "a column twice": ({"by": ["row"]}, "named twice"),
    "a count that is a level": ({"count": "row"}, "named twice"),
    "a reserved column": ({"by": ["status"]}, "names of the protected table"),
    "an unknown key": ({"counts": "gap"}, "not known"),
    "an unknown key of a dimension": ({"dimension": [{"levels": ["row"], "name": "x"}]}, "not known"),
    "no rules": ({"rules": None}, "\\[rules\\] is missing"),
    "an unknown rule": ({"rules": {"threshold": 5, "rounding": 5}}, "not known"),
    "no threshold": ({"rules": {}}, "threshold"),
    "a threshold of 1": ({"rules": {"threshold": 1}}, "threshold"),
    "a threshold that is true": ({"rules": {"threshold": True}}, "threshold"),
    "a threshold that is text": ({"rules": {"threshold": "5"}}, "threshold"),
    "an unknown zero policy": ({"rules": {"threshold": 5, "zeros": "hide"}}, "zeros must be one of"),
    "an unknown guarantee": ({"rules": {"threshold": 5, "guarantee": "safe"}}, "guarantee must be one of"),
    "an unknown effort": ({"rules": {"threshold": 5, "effort": "much"}}, "effort must be one of"),
    "group_disclosure as text": ({"rules": {"threshold": 5, "group_disclosure": "yes"}}, "true or false"),
    "self_contribution as text": ({"rules": {"threshold": 5, "self_contribution": "yes"}}, "true or false"),
    "public_eligible without eligible": ({"rules": {"threshold": 5, "public_eligible": True}}, "needs to know"),
    "public_eligible with zeros": (
        {"eligible": "eligible", "rules": {"threshold": 5, "public_eligible": True}},
        "published zero tells",
    ),
    "public_eligible and not small": (
        {"eligible": "e", "rules": {"threshold": 5, "public_eligible": True, "guarantee": "not_small"}},
        "not_small cannot hold",
    ),
    "a sum without by": ({"sum": [{"whole": "a", "parts": ["b"]}]}, "one column in by"),
    "a sum without parts": ({"by": ["i"], "sum": [{"whole": "a", "parts": []}]}, "parts must be a list"),
    "a sum that is no list": ({"by": ["i"], "sum": "a"}, "list of sums"),
    "group_disclosure without eligible": ({"rules": {"threshold": 5, "group_disclosure": True}}, "needs to know"),
}


@pytest.mark.parametrize(("change", "words"), BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_a_bad_spec_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageRefused, match=words) as refusal:
        spec_from(plain() | change)
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_no_spec_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("count = ")
    for name, words in (("bad.toml", "not valid TOML"), ("missing.toml", "cannot be read")):
        with pytest.raises(UsageRefused, match=words):
            load_spec(tmp_path / name)


LINKED = pl.DataFrame(
    {
        "major": ["M1", "M1", "M2"],
        "district": ["D1", "D2", "D3"],
        "gap": [1, 2, 3],
        "eligible": [2, 2, 9],
    }
)
BAD_COUNTS = {
    "negative": (LINKED.with_columns(gap=pl.Series([1, -2, 3])), "negative"),
    "fractional": (LINKED.with_columns(gap=pl.Series([1.0, 0.5, 3.0])), "not a whole number"),
    "missing": (LINKED.with_columns(gap=pl.Series([1, None, 3])), "not a whole number"),
    "no number": (LINKED.with_columns(gap=pl.Series(["1", "few", "3"])), "not a whole number"),
    "endless": (LINKED.with_columns(gap=pl.Series([1.0, float("inf"), 3.0])), "not a whole number"),
    "too many": (LINKED.with_columns(eligible=pl.Series([2, 10**9 + 1, 9])), "above 1,000,000,000"),
    "gap above eligible": (LINKED.with_columns(gap=pl.Series([3, 2, 3])), "above the eligible"),
    "two parents": (LINKED.with_columns(district=pl.Series(["D1", "D2", "D1"])), "two parents"),
    "duplicate cells": (pl.concat([LINKED, LINKED.head(1)]), "more than once"),
    "a sum among them": (LINKED.with_columns(district=pl.Series(["D1", "*", "D3"])), "kept for sums"),
    "a label missing": (LINKED.with_columns(district=pl.Series(["D1", None, "D3"])), "label is missing"),
    "no cell": (LINKED.clear(), "no cell"),
}


@pytest.mark.parametrize(("counts", "words"), BAD_COUNTS.values(), ids=BAD_COUNTS.keys())
def test_counts_that_are_no_table_are_refused(counts: pl.DataFrame, words: str) -> None:
    with pytest.raises(DisclosureRefused, match=words) as refusal:
        build_blocks(counts, make_spec([["major", "district"]], linked=True))
    assert refusal.value.exit_code == 13


def test_a_table_may_do_without_a_dimension_that_others_have() -> None:
    spec = make_spec([["row"], ["column"]], by=("as_of",))
    cut = grid(2, 2, [5, 6, 7, 8]).with_columns(as_of=pl.lit("2026-10-31"))
    whole = cut.group_by("row", maintain_order=True).agg(pl.col("gap").sum())
    whole = whole.select("row", "gap", column=pl.lit("*"), as_of=pl.lit("2025-10-31"))
    plain, own = build_blocks(pl.concat([cut, whole], how="diagonal"), spec)
    assert own.labels(("as_of",)).height == 9
    told = plain.labels(("as_of",)).with_columns(value=pl.Series(plain.value))
    assert told.select("row", "column", "value").rows() == [("*", "*", 26), ("r0", "*", 11), ("r1", "*", 15)]
    some = whole.with_columns(column=pl.Series(["*", "c0"]))
    with pytest.raises(DisclosureRefused, match="kept for sums"):
        build_blocks(pl.concat([cut, some], how="diagonal"), spec)
    with pytest.raises(DisclosureRefused, match="kept for sums"):
        build_blocks(cut.with_columns(as_of=pl.lit("*")), spec)


@pytest.mark.parametrize("column", ["district", "eligible"])
def test_a_missing_column_is_refused_by_name(column: str, tmp_path: Path) -> None:
    spec = make_spec([["major", "district"]], linked=True)
    LINKED.drop(column).write_csv(tmp_path / "counts.csv")
    for attempt in (
        lambda: build_blocks(LINKED.drop(column), spec),
        lambda: read_counts(tmp_path / "counts.csv", spec),
    ):
        with pytest.raises(UsageRefused) as refusal:
            attempt()
        assert refusal.value.column == column


def test_counts_are_read_as_text_so_that_codes_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("row,column,gap,more\n01,1,5,x\n02,1,7.0,y\n")
    spec = make_spec([["row"], ["column"]])
    counts = read_counts(tmp_path / "counts.csv", spec)
    assert counts.columns == ["row", "column", "gap"]
    (block,) = build_blocks(counts, spec)
    labelled = block.labels(()).with_columns(value=pl.Series(block.value))
    assert labelled.filter(pl.col("column") == "*").rows() == [("*", "*", 12), ("01", "*", 5), ("02", "*", 7)]
    with pytest.raises(UsageRefused, match="cannot be read"):
        read_counts(tmp_path / "none.csv", spec)


def test_an_inner_cell_without_a_row_counts_nobody() -> None:
    (block,) = build_blocks(grid(2, 2, [5, 6, 7, 8]).head(3), make_spec([["row"], ["column"]]))
    assert block.value.tolist() == [18, 12, 6, 11, 5, 6, 7, 7, 0]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_cells_and_sums_are_those_of_plain_adding_up(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    (block,) = build_blocks(counts, spec)
    rules, cells = spec.rules, block.cells
    levels = [level for levels in spec.dimensions for level in levels]
    inner = []
    for row in counts.iter_rows(named=True):
        parts = {"gap": row["gap"], "closed": row["eligible"] - row["gap"]} if spec.eligible else {"gap": row["gap"]}
        for measure, value in parts.items():
            everybody = rules.group_disclosure and measure == "closed" and value == 0 and row["eligible"] > 0
            is_open = value > 0 or rules.zeros == "protect" or everybody
            inner.append(({**row, "measure": measure}, value, is_open))
    members = []
    for label, value in zip(block.labels(()).iter_rows(named=True), block.value, strict=True):
        measure = label.get("measure", "gap")
        of = [
            place
            for place, (row, _, _) in enumerate(inner)
            if all(label[level] in ("*", row[level]) for level in levels) and measure in ("eligible", row["measure"])
        ]
        assert value == sum(inner[place][1] for place in of)
        members.append(frozenset(place for place in of if inner[place][2]))
    # cells are merged exactly where they add up the same inner cells that are not published as zero
    assert [merged == -1 for merged in block.merged] == [not of for of in members]
    for (left, one), (right, other) in product(zip(block.merged, members, strict=True), repeat=2):
        assert (left == right) == (one == other)
    of_merged = {int(merged): of for merged, of in zip(block.merged, members, strict=True)}
    for number, parent in enumerate(cells.parent):
        children = [of_merged[int(child)] for child in cells.child[cells.start[number] : cells.start[number + 1]]]
        assert len(children) >= 2
        assert sum(len(child) for child in children) == len(of_merged[int(parent)])
        assert frozenset().union(*children) == of_merged[int(parent)]
    # the basis leaves exactly the inner cells free
    assert cells.size - cells.basis.sum() == len({of for of in members if len(of) == 1})
