"""Sums of tables, public denominators and both kinds of guarantee: the auditor against trying every table."""

from dataclasses import asdict, replace
from itertools import product

import polars as pl
from disclosure_cases import make_spec, protect_or_nothing
from disclosure_oracle import Cell, agreeing, cell_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_attack import all_cells, hide

from schemas.errors import DisclosureRefused
from transforms.release.attack import attack_releases, attack_table
from transforms.release.published import Release, Rules, rules_of
from transforms.release.spec import Spec

SLOW = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
Table = dict[Cell, int]


def rules_for(spec: Spec, **more: object) -> Rules:
    asked = {"self_contribution": spec.self_contribution, "public_eligible": spec.public_eligible}
    return rules_of(
        {
            "rules": asdict(spec.rules) | asked,
            "by": list(spec.by),
            "dimensions": [list(levels) for levels in spec.dimensions],
            "linked": spec.eligible is not None,
            **more,
        }
    )


@st.composite
def sums(draw: st.DrawFn) -> tuple[pl.DataFrame, Spec]:
    """Inner cells of two tables and of the one that they add up to."""
    rows = []
    for area in "123":
        one, other = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        rows += [
            {"count": name, "area": area, "gap": gap} for name, gap in (("a", one), ("b", other), ("w", one + other))
        ]
    spec = make_spec(
        [["area"]],
        by=("count",),
        threshold=draw(st.integers(2, 4)),
        zeros=draw(st.sampled_from(["publish", "protect"])),
        guarantee=draw(st.sampled_from(["not_exact", "not_small"])),
    )
    return pl.DataFrame(rows), replace(spec, parts=(("w", ("a", "b")),))


def together(table: pl.DataFrame, spec: Spec) -> dict[tuple[str, Cell], set[int]]:
    """All values of each cell over every three tables of which the last is the sum of the others."""
    found = [
        list(agreeing(table.filter(count=name).to_dicts(), [["area"]], False, asdict(spec.rules))) for name in "abw"
    ]
    values: dict[tuple[str, Cell], set[int]] = {}
    wholes = {tuple(sorted(cells.items())) for cells in found[2]}
    for one, other in product(*found[:2]):
        whole = {cell: one[cell] + other[cell] for cell in one}
        if tuple(sorted(whole.items())) in wholes:
            for name, cells in zip("abw", (one, other, whole), strict=True):
                for cell, value in cells.items():
                    values.setdefault((name, cell), set()).add(value)
    return values


@SLOW
@given(sums(), st.data())
def test_parts_and_their_whole_tell_what_all_sums_agree_on(
    case: tuple[pl.DataFrame, Spec], data: st.DataObject
) -> None:
    counts, spec = case
    cells = all_cells(counts, spec)
    wish = pl.Series(data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height)))
    may_hide = ((cells["value"] > 0) | (spec.rules.zeros == "protect")) & (cells["area"] != "*")
    table = hide(cells, may_hide & wish)
    assume((table["status"] == "suppressed").any())
    parts = [{"whole": ["w"], "parts": [["a"], ["b"]], "measures": ["gap"]}]
    verdict = attack_table(table, rules_for(spec, parts=parts), tight=True)
    values = together(table, spec)
    for row in verdict.cells.iter_rows(named=True):
        fits = values[row["count"], cell_of(row, [["area"]], False)]
        assert (row["lowest"], row["highest"]) == (min(fits), max(fits))
        assert row["is_exact"] == (len(fits) == 1)
        assert row["is_small"] == (max(fits) < spec.rules.threshold)


@settings(SLOW, max_examples=20)
@given(sums())
def test_parts_and_their_whole_are_protected_from_each_other(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    try:
        protected = protect_or_nothing(counts, spec)
    except DisclosureRefused:
        return
    if protected is None:
        return
    values = together(protected.table, spec)
    for row in protected.decisions.filter(decision="primary").iter_rows(named=True):
        # a total that is hidden too has no greatest value, and the plain way of trying has no end
        if (row["count"], cell_of(row, [["area"]], False)) in values and protected.table.filter(area="*")[
            "value"
        ].null_count() == 0:
            fits = values[row["count"], cell_of(row, [["area"]], False)]
            assert len(fits) > 1
            assert spec.rules.guarantee == "not_exact" or max(fits) >= spec.rules.threshold


@SLOW
@given(st.data())
def test_public_denominators_leave_what_all_tables_with_them_agree_on(data: st.DataObject) -> None:
    rows = []
    for area in "123":
        gap = data.draw(st.integers(0, 4))
        rows.append({"area": area, "gap": gap, "eligible": gap + data.draw(st.integers(0, 4))})
    rules = {"zeros": "protect", "public_eligible": True, "group_disclosure": data.draw(st.booleans())}
    spec = make_spec([["area"]], linked=True, **rules)
    cells = all_cells(pl.DataFrame(rows), spec)
    wish = pl.Series(data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height)))
    table = hide(cells, wish & (cells["measure"] != "eligible"))
    assume((table["status"] == "suppressed").any())
    verdict = attack_table(table, rules_for(spec), tight=True)
    values: dict[Cell, set[int]] = {}
    for whole in agreeing(table.to_dicts(), [["area"]], True, asdict(spec.rules)):
        for cell, value in whole.items():
            values.setdefault(cell, set()).add(value)
    for row in verdict.cells.iter_rows(named=True):
        fits = values[cell_of(row, [["area"]], True)]
        assert (row["lowest"], row["highest"], row["is_exact"]) == (min(fits), max(fits), len(fits) == 1)
    # a published count is unsafe where its group has anybody in it and the count is below the threshold
    people = {row["area"]: row["value"] for row in cells.filter(measure="eligible").to_dicts()}
    unsafe = [
        row
        for row in table.filter(status="published").to_dicts()
        if row["measure"] != "eligible" and people[row["area"]] and row["value"] < 5
    ]
    assert verdict.published_unsafe == len(unsafe)


@SLOW
@given(st.data())
def test_two_releases_of_a_date_tell_what_all_tables_that_fit_both_agree_on(data: st.DataObject) -> None:
    rows = []
    for area in "123":
        gap = data.draw(st.integers(0, 4))
        rows.append({"area": area, "gap": gap, "eligible": gap + data.draw(st.integers(0, 4))})
    zeros, group = data.draw(st.sampled_from(["publish", "protect"])), data.draw(st.booleans())
    spec = make_spec([["area"]], linked=True, zeros=zeros, group_disclosure=group)
    cells = all_cells(pl.DataFrame(rows), spec)
    may_hide = (cells["value"] > 0) | (zeros == "protect") | (group & (cells["measure"] == "closed"))
    tables = []
    for _ in range(2):
        wish = pl.Series(data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height)))
        tables.append(hide(cells, may_hide & wish & ~((cells["area"] == "*") & (cells["measure"] == "eligible"))))
    assume(any((table["status"] == "suppressed").any() for table in tables))
    fitting = [
        {tuple(sorted(whole.items())) for whole in agreeing(table.to_dicts(), [["area"]], True, asdict(spec.rules))}
        for table in tables
    ]
    values: dict[Cell, set[int]] = {}
    for whole in fitting[0] & fitting[1]:
        for cell, value in whole:
            values.setdefault(cell, set()).add(value)
    releases = [Release(table, rules_for(spec), "2026-10-31") for table in tables]
    for row in attack_releases(releases, tight=True).cells.iter_rows(named=True):
        fits = values[cell_of(row, [["area"]], True)]
        assert (row["lowest"], row["highest"], row["is_exact"]) == (min(fits), max(fits), len(fits) == 1)
    # of another date nothing is the same: each is attacked as if it were alone
    apart = attack_releases([releases[0], replace(releases[1], date="2026-11-30")], tight=True).cells
    alone = [attack_releases([each], tight=True).cells for each in releases]
    assert apart["lowest"].to_list() == [*alone[0]["lowest"], *alone[1]["lowest"]]
    assert apart["highest"].to_list() == [*alone[0]["highest"], *alone[1]["highest"]]
