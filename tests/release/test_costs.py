"""What hiding a cell costs is set in the spec, and the certificate tells the distance to the least possible."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from disclosure_cases import AREAS, grid, make_spec, protect_or_nothing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import UsageRefused
from transforms.release.protect import Protected, describe, protect_counts
from transforms.release.spec import Spec, spec_from

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=25)


def areas_by_sex(values: list[int]) -> pl.DataFrame:
    rows = [{"major": major, "district": district, "sex": sex} for major, district in AREAS for sex in "FM"]
    return pl.DataFrame(rows).with_columns(gap=pl.Series(values))


def with_costs(standing: list[list[float]], people: float | None, **rules: Any) -> Spec:
    raw: dict[str, Any] = {
        "count": "gap",
        "dimension": [
            {"levels": ["major", "district"], "standing": standing[0]},
            {"levels": ["sex"], "standing": standing[1]},
        ],
        "rules": {"threshold": 5, **rules},
        "costs": {} if people is None else {"people_per_cell": people},
    }
    return spec_from(raw)


def cost_by_hand(protected: Protected, standing: list[list[float]], people: float) -> float:
    total = 0.0
    for row in protected.decisions.iter_rows(named=True):
        if row["decision"] == "secondary":
            depth = (row["major"] != "*") + (row["district"] != "*")
            total += standing[0][depth] * standing[1][row["sex"] != "*"] * (1 + row["value"] / people)
    return total


STANDINGS = [[[1.0, 1.0, 1.0], [1.0, 1.0]], [[9.0, 3.0, 1.0], [2.0, 1.0]], [[40.0, 40.0, 1.0], [1.0, 1.0]]]
counts = st.lists(st.integers(1, 12), min_size=8, max_size=8)


@SLOW
@given(counts, st.sampled_from(STANDINGS), st.sampled_from([1.0, 7.0, 1000.0]))
def test_the_least_cost_is_as_the_spec_sets_it(values: list[int], standing: list[list[float]], people: float) -> None:
    frame = areas_by_sex(values)
    mine = protect_or_nothing(frame, with_costs(standing, people))
    if mine is None:
        return
    if mine.figures["primary"]:
        assert mine.figures["cost"] == round(cost_by_hand(mine, standing, people))
    assert mine.figures["proven_optimal"] == {"tables": 1, "of": 1}
    for other in (with_costs(STANDINGS[0], None), with_costs(STANDINGS[2], 1000.0)):
        theirs = protect_counts(frame, other)
        assert cost_by_hand(mine, standing, people) <= cost_by_hand(theirs, standing, people) + 1e-6


def test_cells_of_high_standing_are_spared() -> None:
    frame = pl.DataFrame([{"major": major, "district": district} for major, district in AREAS])
    frame = frame.with_columns(gap=pl.Series([3, 0, 900, 900]))

    def hidden_for(standing: list[float]) -> list[tuple[str, ...]]:
        raw = {"dimension": [{"levels": ["major", "district"], "standing": standing}], "rules": {"threshold": 5}}
        decisions = protect_counts(frame, spec_from({"count": "gap", **raw})).decisions
        return sorted(decisions.filter(pl.col("decision") == "secondary").select("major", "district").iter_rows())

    assert hidden_for([]) == [("*", "*")]
    assert hidden_for([5, 1, 1]) in ([("M2", "*"), ("M2", "D3")], [("M2", "*"), ("M2", "D4")])


def test_the_certificate_tells_the_distance_to_the_least_possible() -> None:
    random = np.random.default_rng(3)
    frame = grid(40, 40, random.poisson(9, 1600).tolist())
    protected = protect_counts(frame, make_spec([["row"], ["column"]]))
    figures = protected.certificate
    for name, least in figures["lower_bound"].items():
        assert 0 < least <= figures[name]
        assert figures["optimality_gap"][name] == pytest.approx((figures[name] - least) / figures[name], abs=1e-4)
    assert "whatever is chosen" in describe(figures)
    full = protect_counts(frame, replace(make_spec([["row"], ["column"]]), bound="full")).certificate
    assert full["lower_bound"]["cost"] >= figures["lower_bound"]["cost"]


def test_where_few_cells_are_suppressed_the_distance_is_withheld_too() -> None:
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), make_spec([["row"], ["column"]]))
    withheld = ("cost", "lower_bound", "optimality_gap", "proven_optimal")
    assert [protected.certificate[name] for name in withheld] == [None] * 4
    assert protected.figures["lower_bound"]["secondary"] == protected.figures["secondary"] == 3
    assert protected.figures["proven_optimal"] == {"tables": 1, "of": 1}
    assert "whatever is chosen" not in describe(protected.certificate)
    assert all(name in protected.certificate["note"] for name in withheld)


def test_without_a_bound_none_is_told() -> None:
    spec = make_spec([["row"], ["column"]], bound="none")
    protected = protect_counts(grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80]), spec)
    assert protected.figures["lower_bound"] is protected.figures["proven_optimal"] is None
    assert "also suppressed" in describe(protected.figures)


def test_thorough_work_looks_for_the_full_bound() -> None:
    assert make_spec([["row"]]).bound == "quick"
    assert make_spec([["row"]], effort="thorough").bound == "full"
    assert make_spec([["row"]], effort="thorough", bound="quick").bound == "quick"


def dimension(standing: Any) -> dict[str, Any]:
    return {"dimension": [{"levels": ["row"], "standing": standing}]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a standing too few": (dimension([1]), "a number for the total and one for each level"),
    "no list": (dimension(3), "a number for the total and one for each level"),
    "words": (dimension(["much", 1]), "numbers above 0"),
    "nothing": (dimension([1, 0]), "numbers above 0"),
    "true": (dimension([True, 1]), "numbers above 0"),
    "endless": (dimension([float("inf"), 1]), "numbers above 0"),
    "the finest first": (dimension([1, 2]), "must not grow"),
    "costs that are no section": ({"costs": 3}, "must be a section"),
    "an unknown cost": ({"costs": {"area": 3}}, "not known"),
    "no people a cell": ({"costs": {"people_per_cell": 0}}, "above 0"),
    "people as text": ({"costs": {"people_per_cell": "30"}}, "above 0"),
    "an unknown bound": ({"rules": {"threshold": 5, "bound": "tight"}}, "bound must be one of"),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD.keys())
def test_bad_costs_are_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    plain = {"count": "gap", "dimension": [{"levels": ["row"]}], "rules": {"threshold": 5}}
    with pytest.raises(UsageRefused, match=words) as refusal:
        spec_from(plain | change)
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)
