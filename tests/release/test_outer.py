"""Tables that many others are within, as a composite's parts are: both the protector and the auditor against trying
every table.
"""

from dataclasses import asdict, replace

import polars as pl
import pytest
from disclosure_cases import make_spec, protect_or_nothing
from disclosure_oracle import Cell, agreeing, cell_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_attack import all_cells, hide
from test_linked_attack import rules_for

from schemas.errors import DisclosureRefused
from schemas.indicators import load_indicators
from schemas.indicators.nesting import nested
from transforms.release import programs, protect
from transforms.release.attack import Verdict, attack_table
from transforms.release.link import MANY
from transforms.release.protect import Protected, ToldRefused
from transforms.release.spec import Spec
from transforms.release.suppress import Suppression

SLOW = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
Table = dict[Cell, int]
PARTS, WHOLE, AREAS = "abcd", "w", "123"
WITHIN = tuple(((part,), (WHOLE,)) for part in PARTS)
NESTED = [[[part], [WHOLE]] for part in PARTS]


@st.composite
def composites(draw: st.DrawFn) -> tuple[pl.DataFrame, Spec]:
    """Inner cells of a table and of four within it."""
    rows = []
    for area in AREAS:
        people = draw(st.integers(0, 4))
        for name in (*PARTS, WHOLE):
            eligible = people if name == WHOLE else draw(st.integers(0, people))
            rows.append({"count": name, "area": area, "eligible": eligible, "gap": draw(st.integers(0, eligible))})
    rules = {
        "threshold": draw(st.integers(2, 3)),
        "group_disclosure": draw(st.booleans()),
        "zeros": draw(st.sampled_from(["publish", "protect"])),
        "guarantee": draw(st.sampled_from(["not_exact", "not_small"])),
    }
    return pl.DataFrame(rows), replace(make_spec([["area"]], linked=True, by=("count",), **rules), nested=WITHIN)


def values_of(table: pl.DataFrame, spec: Spec) -> dict[tuple[str, Cell], set[int]]:
    """All values of each cell over all tables in which nobody is eligible in a part and not in the whole."""
    found = {
        name: list(agreeing(table.filter(count=name).to_dicts(), [["area"]], True, asdict(spec.rules)))
        for name in (*PARTS, WHOLE)
    }
    values: dict[tuple[str, Cell], set[int]] = {}
    for whole in found[WHOLE]:
        beneath = {name: [part for part in found[name] if is_within(part, whole)] for name in PARTS}
        if all(beneath.values()):
            for name, tables in (*beneath.items(), (WHOLE, [whole])):
                for cell, value in (each for one in tables for each in one.items()):
                    values.setdefault((name, cell), set()).add(value)
    return values


def is_within(part: Table, whole: Table) -> bool:
    return all(value <= whole.get(cell, 0) for cell, value in part.items() if cell[-1] == ())


@SLOW
@given(composites(), st.data())
def test_what_lies_within_a_composite_tells_what_all_tables_agree_on(
    case: tuple[pl.DataFrame, Spec], data: st.DataObject
) -> None:
    counts, spec = case
    cells = all_cells(counts, spec)
    wish = pl.Series(data.draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height)))
    may_be_zero = spec.rules.group_disclosure & (cells["measure"] == "closed")
    may_hide = ((cells["value"] > 0) | (spec.rules.zeros == "protect") | may_be_zero) & (cells["area"] != "*")
    table = hide(cells, may_hide & wish)
    assume((table["status"] == "suppressed").any())
    verdict = attack_table(table, rules_for(spec, nested=NESTED), tight=True)
    values = values_of(table, spec)
    for row in verdict.cells.iter_rows(named=True):
        fits = values[row["count"], cell_of(row, [["area"]], True)]
        assert (row["lowest"], row["highest"]) == (min(fits), max(fits))
        assert row["is_exact"] == (len(fits) == 1)


@SLOW
@given(composites())
def test_a_composite_and_its_parts_are_protected_from_each_other(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    try:
        protected = protect_or_nothing(counts, spec)
    except ToldRefused:
        return  # so few people that nothing can be hidden among them
    if protected is None:
        return
    is_bounded = protected.table.filter(area="*")["value"].null_count() == 0
    assume(is_bounded)  # a total that is hidden too has no greatest value, and trying every table has no end
    values = values_of(protected.table, spec)
    for row in protected.decisions.filter(decision="primary").iter_rows(named=True):
        fits = values[row["count"], cell_of(row, [["area"]], True)]
        assert len(fits) > 1
        assert spec.rules.guarantee == "not_exact" or max(fits) >= spec.rules.threshold


EVERYBODY = pl.DataFrame(
    {
        "count": [name for name in (*PARTS, WHOLE) for _ in range(5)],
        "area": list("12345") * 5,
        "eligible": [2, 1, 4, 10, 4, 2, 1, 6, 10, 4, 2, 2, 3, 8, 4, 1, 2, 11, 7, 3, 2, 2, 12, 11, 7],
        "gap": [2, 1, 3, 10, 3, 2, 1, 6, 4, 3, 2, 2, 2, 8, 4, 1, 1, 5, 7, 2, 1, 2, 2, 7, 1],
    }
)
"""In areas 1 and 2 two people are in the composite, and parts count both of them."""
SPEC = replace(make_spec([["area"]], linked=True, by=("count",), threshold=3), nested=WITHIN)


def protect_everybody() -> Protected:
    return protect.protect_counts(EVERYBODY, SPEC)


def attack_of(protected: Protected, spec: Spec = SPEC) -> Verdict:
    return attack_table(protected.table, rules_for(spec, nested=NESTED))


def test_where_a_part_counts_everybody_the_composite_moves_with_it() -> None:
    assert len(WITHIN) >= MANY
    naive = protect.protect_counts(EVERYBODY, replace(SPEC, nested=()))
    assert not attack_of(naive).holds
    protected = protect_everybody()
    assert attack_of(protected).holds
    assert protected.witnesses is not None
    cells = protected.decisions.with_row_index("cell").select("cell", "count", "area", "measure")
    moved = protected.witnesses.join(cells, on="cell").filter(area="1", measure="eligible")
    together = moved.group_by("witness").agg(pl.col("count").unique())
    assert any({"c", WHOLE} <= set(names) for names in together["count"])


def test_without_the_companion_there_is_no_room_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(answer: Suppression, *_: object) -> Suppression:
        return answer

    monkeypatch.setattr(protect, "accompany", alone)
    with pytest.raises(ToldRefused, match="within each other"):
        protect_everybody()


def test_changes_that_leave_the_composite_behind_are_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protect, "accompanied", lambda *_: {})
    with pytest.raises(DisclosureRefused, match="does not add up"):
        protect_everybody()


def test_tables_settled_apart_tell_what_all_together_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    naive = protect.protect_counts(EVERYBODY, replace(SPEC, nested=()))
    apart = attack_of(naive).cells
    monkeypatch.setattr(programs.Program, "roomy", lambda *_: None)  # then nothing is settled apart
    assert attack_of(naive).cells.select("is_exact", "is_small").equals(apart.select("is_exact", "is_small"))
    assert apart["is_exact"].any()


def test_a_composite_has_everybody_of_its_parts() -> None:
    known = load_indicators()
    parts = [part.id for part in known["multiple_gaps"].components]
    assert len(parts) > MANY
    assert {(part, "multiple_gaps") for part in parts} <= set(nested(known.values()))
    assert not any(part == "multiple_gaps" for part, _ in nested(known.values()))
