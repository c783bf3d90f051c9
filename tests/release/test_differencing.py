"""Ways in which hidden counts were worked back from real publications: each breaks a naive protector, and not ours.

Naive is what people do: to hide small counts and no more, or to protect each table as if it were the only one. Whether
a table falls is decided by trying every table that agrees with what is published.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from disclosure_cases import grid, make_spec
from disclosure_oracle import agreeing, cell_of

from schemas.errors import DisclosureRefused
from transforms.release.attack import attack_releases, attack_tables
from transforms.release.ledger import record
from transforms.release.page_figures import GROUP, figures
from transforms.release.printed import printed
from transforms.release.protect import Protected, protect_counts
from transforms.release.published import Release, rules_of
from transforms.release.spec import Spec
from transforms.release.witnesses import verify_witnesses

DAY = date(2026, 10, 31)
Table = dict[Any, int]


def told(
    published: Sequence[tuple[pl.DataFrame, Spec]], agree: Callable[..., bool] = lambda *tables: True
) -> list[tuple[int, Any, int]]:
    """Hidden cells that have one unsafe value in all tables that agree with what is published and with each other."""
    rows, hidden = [], []
    for number, (table, spec) in enumerate(published):
        dimensions, linked = [list(levels) for levels in spec.dimensions], spec.eligible is not None
        rows.append(list(agreeing(table.to_dicts(), dimensions, linked, asdict(spec.rules))))
        for row in table.filter(status="suppressed").iter_rows(named=True):
            hidden.append((number, cell_of(row, dimensions, linked)))
    values: dict[Any, set[int]] = {cell: set() for cell in hidden}
    for tables in product(*rows):
        if agree(*tables):
            for number, cell in hidden:
                values[number, cell].add(tables[number][cell])
    assert all(values.values())
    return [(*cell, *of) for cell, of in values.items() if len(of) == 1 and max(of) < published[0][1].rules.threshold]


def primary_only(counts: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """The small counts hidden, and nothing else."""
    decisions = protect_counts(counts, spec).decisions
    is_shown = pl.col("decision") != "primary"
    return decisions.with_columns(
        value=pl.when(is_shown).then("value"),
        status=pl.when(is_shown).then(pl.lit("published")).otherwise(pl.lit("suppressed")),
    ).drop("decision", "unsafe_as")


def holds(*tables: tuple[pl.DataFrame, Protected]) -> bool:
    return attack_tables([(table, rules_of(made.certificate)) for table, made in tables]).holds


def is_proven(protected: Protected) -> bool:
    rules = rules_of(protected.certificate)
    return verify_witnesses(protected.table, rules, protected.decisions, protected.witnesses).unsafe > 0


def test_a_district_is_what_its_major_district_has_more_than_the_others() -> None:
    counts = pl.DataFrame({"major": ["A", "A", "B", "B"], "district": ["1", "2", "3", "4"], "gap": [3, 9, 7, 8]})
    spec = make_spec([["major", "district"]])
    protected = protect_counts(counts, spec)
    assert told([(primary_only(counts, spec), spec)]) == [(0, (("A", "1"),), 3)]
    assert not holds((primary_only(counts, spec), protected))
    assert told([(protected.table, spec)]) == []


def test_three_lone_contributors_in_a_row_are_told_by_their_total() -> None:
    counts = grid(3, 3, [1, 1, 1, 2, 3, 2, 3, 2, 2])
    spec = make_spec([["row"], ["column"]], threshold=2)
    naive, protected = primary_only(counts, spec), protect_counts(counts, spec)
    # linear algebra sees three unknowns in one equation; whole numbers of at least 1 do not
    assert len(told([(naive, spec)])) == 3
    assert not holds((naive, protected))
    assert told([(protected.table, spec)]) == []


ONE_POPULATION = pl.DataFrame(
    {
        "indicator": ["a"] * 4 + ["b"] * 4,
        "row": ["1", "1", "2", "2"] * 2,
        "column": ["x", "y"] * 4,
        "gap": [2, 1, 2, 3, 2, 2, 2, 2],
        "eligible": [5, 2, 4, 6, 5, 2, 4, 6],
    }
)


def same_people(one: Table, other: Table) -> bool:
    return all(other[cell] == value for cell, value in one.items() if len(cell) == 3 and cell[-1] == ())


def test_two_indicators_with_one_population_tell_each_others_denominators() -> None:
    alone = make_spec([["row"], ["column"]], linked=True, threshold=2)
    together = make_spec([["row"], ["column"]], linked=True, threshold=2, by=("indicator",))
    parts = [ONE_POPULATION.filter(indicator=name).drop("indicator") for name in "ab"]
    naive = [(protect_counts(part, alone).table, alone) for part in parts]
    assert [told([each]) for each in naive] == [[], []]
    protected = protect_counts(ONE_POPULATION, together)
    assert protected.certificate["populations"] == [[["a"], ["b"]]]
    ours = [(protected.table.filter(indicator=name).drop("indicator"), alone) for name in "ab"]
    assert told(naive, same_people) != []
    assert told(ours, same_people) == []
    eligible = [table.filter(measure="eligible")["status"].to_list() for table, _ in ours]
    assert eligible[0] == eligible[1]
    assert is_proven(protected)
    whole = pl.concat(
        table.with_columns(indicator=pl.lit(name)) for (table, _), name in zip(naive, "ab", strict=True)
    ).select(protected.table.columns)
    assert not holds((whole, protected))


@pytest.mark.parametrize("seed", [2, 3, 12, 16, 21, 28, 33, 42])
def test_where_a_population_is_within_another_each_bounds_the_other(seed: int) -> None:
    """Nobody is eligible for the second and not for the first: where sums agree, so does all they are made of."""
    random = np.random.default_rng(seed)
    large = random.integers(2, 7, 4)
    eligible = np.concatenate([large, large - (random.random(4) < 0.25)])
    places = {"indicator": ["a"] * 4 + ["b"] * 4, "row": ["1", "1", "2", "2"] * 2, "column": ["x", "y"] * 4}
    counts = pl.DataFrame(places | {"eligible": eligible, "gap": np.minimum(random.integers(1, 4, 8), eligible)})
    alone = make_spec([["row"], ["column"]], linked=True, threshold=2)
    together = make_spec([["row"], ["column"]], linked=True, threshold=2, by=("indicator",))

    def within(one: Table, other: Table) -> bool:
        return all(other[cell] <= value for cell, value in one.items() if cell[-1] == ())

    naive = [protect_counts(part.drop("indicator"), alone).table for part in counts.partition_by("indicator")]
    assert [told([(table, alone)]) for table in naive] == [[], []]
    assert told([(table, alone) for table in naive], within) != []
    protected = protect_counts(counts, replace(together, nested=((("b",), ("a",)),)))
    assert told([(protected.table.filter(indicator=name).drop("indicator"), alone) for name in "ab"], within) == []
    assert is_proven(protected)
    whole = pl.concat(
        table.with_columns(indicator=pl.lit(name)) for table, name in zip(naive, "ab", strict=True)
    ).select(protected.table.columns)
    assert not holds((whole, protected))


def test_a_part_that_counts_more_than_its_whole_is_refused() -> None:
    counts = ONE_POPULATION.with_columns(eligible=pl.col("eligible") + (pl.col("indicator") == "b"))
    spec = make_spec([["row"], ["column"]], linked=True, by=("indicator",))
    with pytest.raises(DisclosureRefused, match="within"):
        protect_counts(counts, replace(spec, nested=((("b",), ("a",)),)))


def test_one_population_is_seen_where_one_table_leaves_out_whom_nobody_counts() -> None:
    more = ONE_POPULATION.filter(indicator="b").head(2).with_columns(row=pl.lit("3"), gap=0, eligible=0)
    more = more.cast(dict(ONE_POPULATION.schema))
    spec = make_spec([["row"], ["column"]], linked=True, threshold=2, by=("indicator",))
    protected = protect_counts(pl.concat([ONE_POPULATION, more]), spec)
    assert protected.certificate["populations"] == [[["a"], ["b"]]]
    assert holds((protected.table, protected))


def test_month_on_month_is_the_difference_of_two_totals() -> None:
    """What a year had by September, what it had by October, and what October had."""
    counts = pl.DataFrame(
        {
            "count": ["by_september"] * 4 + ["in_october"] * 4 + ["by_october"] * 4,
            "row": ["1", "1", "2", "2"] * 3,
            "column": ["x", "y"] * 6,
            "gap": [6, 8, 9, 8, 2, 6, 7, 9, 8, 14, 16, 17],
        }
    )
    alone = make_spec([["row"], ["column"]])
    spec = replace(
        make_spec([["row"], ["column"]], by=("count",)), parts=(("by_october", ("by_september", "in_october")),)
    )
    names = ("by_september", "in_october", "by_october")

    def add_up(*tables: Table) -> bool:
        return all(value == tables[0][cell] + tables[1][cell] for cell, value in tables[2].items())

    naive = [(protect_counts(counts.filter(count=name).drop("count"), alone).table, alone) for name in names]
    assert told(naive, add_up) != []
    protected = protect_counts(counts, spec)
    ours = [(protected.table.filter(count=name).drop("count"), alone) for name in names]
    assert told(ours, add_up) == []
    assert is_proven(protected)
    whole = pl.concat(
        table.with_columns(count=pl.lit(name)) for (table, _), name in zip(naive, names, strict=True)
    ).select(protected.table.columns)
    order = protected.table.drop("value", "status")
    assert not holds((order.join(whole, on=order.columns, how="left", maintain_order="left"), protected))


def test_parts_that_do_not_add_up_are_refused() -> None:
    counts = pl.DataFrame({"count": ["a", "b", "c"], "row": ["1"] * 3, "gap": [9, 5, 5]})
    spec = make_spec([["row"]], by=("count",))
    with pytest.raises(DisclosureRefused, match="do not add up") as refusal:
        protect_counts(counts, replace(spec, parts=(("a", ("b", "c")),)))
    assert refusal.value.count == 2
    with pytest.raises(DisclosureRefused, match="not in the counts"):
        protect_counts(counts, replace(spec, parts=(("a", ("b", "d")),)))


def next_to(first: Protected, counts: pl.DataFrame, spec: Spec) -> Protected:
    before = record("2026-10-31-1", DAY, first.certificate, first.decisions)
    return protect_counts(counts, spec, earlier=[before])


def test_a_rerun_with_one_person_changed_keeps_its_pattern() -> None:
    counts = grid(3, 3, [3, 10, 20, 11, 12, 5, 13, 6, 15])
    changed = grid(3, 3, [3, 10, 20, 11, 12, 6, 13, 6, 15])
    spec = make_spec([["row"], ["column"]])
    first = protect_counts(counts, spec)
    corner = (("r0",), ("c0",))

    def one_changed(one: Table, other: Table) -> bool:
        may_differ = {cell for cell in one if cell[0] in ((), ("r1",)) and cell[1] in ((), ("c2",))}
        return all((other[cell] == value) != (cell in may_differ) for cell, value in one.items())

    # another pattern of the same table, as a fresh run may well choose
    shown = {("r0", "c0"), ("r0", "c2"), ("r2", "c0"), ("r2", "c2")}
    is_shown = ~pl.concat_str("row", "column", separator=" ").is_in([" ".join(cell) for cell in shown])
    other_pattern = protect_counts(changed, spec).decisions.select(
        "row",
        "column",
        value=pl.when(is_shown).then("value"),
        status=pl.when(is_shown).then(pl.lit("published")).otherwise(pl.lit("suppressed")),
    )
    second = next_to(first, changed, spec)
    assert told([(other_pattern, spec)]) == []
    assert (0, corner, 3) in told([(first.table, spec), (other_pattern, spec)], one_changed)
    assert not holds((first.table, first), (other_pattern, second))
    assert told([(first.table, spec), (second.table, spec)], one_changed) == []
    assert holds((first.table, first), (second.table, second))
    assert first.table["status"].equals(second.table["status"])


def test_a_gap_that_is_closed_leaves_as_many_eligible() -> None:
    """What was eligible stays published: with the closed of the correction beside it, it would tell the new gap."""
    places = {"d": ["d0", "d0", "d1", "d1", "d2", "d2"], "s": ["x", "y"] * 3}
    counts = pl.DataFrame(places | {"gap": [2, 3, 2, 2, 2, 3], "eligible": [11, 15, 5, 11, 3, 4]})
    corrected = counts.with_columns(gap=pl.Series([2, 2, 2, 2, 2, 3]))
    spec = make_spec([["d"], ["s"]], linked=True, effort="quick")
    first = protect_counts(counts, spec)
    second = next_to(first, corrected, spec)
    both = first.table.join(second.table, on=["d", "s", "measure"]).filter(pl.col("d") != "*", s="*")
    of = {key: dict(part.select("measure", "value").rows()) for (key,), part in both.group_by("d")}
    after = {key: dict(part.select("measure", "value_right").rows()) for (key,), part in both.group_by("d")}
    assert of["d0"]["eligible"] == 26
    for area, known in of.items():
        if known["eligible"] is not None and after[area]["gap"] is None:
            assert after[area]["closed"] is None


FINE = pl.DataFrame({"age": ["a", "b", "c", "d"], "gap": [6, 3, 9, 7], "area": ["x"] * 4})


def banded(**bands: str) -> pl.DataFrame:
    return FINE.with_columns(
        pl.col("age").replace_strict(dict(zip("abcd", labels, strict=True))).alias(name)
        for name, labels in bands.items()
    )


def test_a_second_banding_cuts_a_band_in_two() -> None:
    """Ages a+b, c+d; then a, b+c+d: what is in a+b and not in a is b."""
    first_spec, second_spec = make_spec([["half"]]), make_spec([["half", "age"]])
    counts = banded(half="1122")
    first = protect_counts(counts.group_by("half").agg(pl.col("gap").sum()), first_spec)
    naive = primary_only(counts.drop("area"), second_spec)
    second = next_to(first, counts.drop("area"), second_spec)
    assert (0, (("1", "b"),), 3) in told([(naive, second_spec)])
    assert told([(second.table, second_spec)]) == []
    assert holds((first.table, first), (second.table, second))
    assert not holds((first.table, first), (naive, second))


AGES = pl.DataFrame(
    {
        "broad": ["0-17", "0-17", "18-64", "65-"],
        "school": ["0-14", "15-64", "15-64", "65-"],
        "gap": [8, 2, 20, 9],
    }
)


def test_a_second_banding_that_does_not_nest_leaves_the_difference() -> None:
    """10 below 18 and 8 below 15: each table by itself needs nothing hidden, and two of 15 to 17 are told."""
    one, other = make_spec([["broad"]]), make_spec([["school"]])
    cuts = [AGES.group_by(name, maintain_order=True).agg(pl.col("gap").sum()) for name in ("broad", "school")]
    first, naive = protect_counts(cuts[0], one), protect_counts(cuts[1], other)
    assert first.table["value"].null_count() == naive.table["value"].null_count() == 0
    fits = {
        middle
        for young, middle, grown in product(range(40), repeat=3)
        if young + middle == 10 and middle + grown == 22 and young == 8
    }
    assert fits == {2}
    assert not holds((first.table, first), (naive.table, naive))
    # ours is refused, or holds together with what is out already
    try:
        second = next_to(first, cuts[1], other)
    except DisclosureRefused as refusal:
        if refusal.exit_code != 13:
            raise
    else:
        assert holds((first.table, first), (second.table, second))


def test_a_change_since_last_month_gives_last_months_count() -> None:
    """Last month 3 was hidden beside 6; this month nothing needs to be, and the change of each area is printed."""
    counts = [pl.DataFrame({"area": ["1", "2", "3"], "gap": gap}) for gap in ([3, 6, 7], [8, 9, 7])]
    spec = make_spec([["area"]])
    before, now = (protect_counts(each, spec) for each in counts)
    assert told([(before.table, spec), (now.table, spec)]) == []

    def both(figures: list[tuple[str, str, str, str]]) -> list[Release]:
        frame = pl.DataFrame(figures, schema=["area", "kind", "figure", "since"], orient="row")
        changes = printed(frame, {"kinds": {"change": {"figure": "change"}}}, ("area",))
        rules = [rules_of(each.certificate) for each in (before, now)]
        return [Release(before.table, rules[0], "2026-09-30"), Release(now.table, rules[1], "2026-10-31", changes)]

    def grew(by: int) -> Callable[..., bool]:
        return lambda old, new: new[(("1",),)] - old[(("1",),)] == by

    assert (0, (("1",),), 3) in told([(before.table, spec), (now.table, spec)], grew(5))
    assert not attack_releases(both([("1", "change", "5", "2026-09-30")])).holds
    # ours prints a change where both counts are published
    shown = before.table.filter(status="published").join(now.table.filter(status="published"), on="area")
    ours = [
        (area, "change", str(new - old), "2026-09-30")
        for area, old, new in shown.select("area", "value", "value_right").iter_rows()
    ]
    assert len(ours) == 2
    assert attack_releases(both(ours)).holds


def test_a_rate_printed_beside_hidden_counts_gives_them_away() -> None:
    counts = pl.DataFrame({"area": ["1", "2", "3"], "gap": [3, 6, 20], "eligible": [37, 36, 90]})
    spec = make_spec([["area"]], linked=True)
    protected = protect_counts(counts, spec)
    rules = rules_of(protected.certificate)
    kinds = {"rounding": "half_up", "kinds": {"percent": {"figure": "share", "per": 100}}}
    table = primary_only(counts, spec).with_columns(
        value=pl.when(pl.col("area").is_in(["1", "2"]) & (pl.col("measure") != "eligible"))
        .then(None)
        .otherwise("value")
    )
    table = table.with_columns(
        status=pl.when(pl.col("value").is_null()).then(pl.lit("suppressed")).otherwise(pl.lit("published"))
    )
    assert attack_releases([Release(table, rules)]).holds
    rates = printed(pl.DataFrame({"area": ["1"], "kind": ["percent"], "figure": ["8.1"]}), kinds, ("area",))
    fits = [gap for gap in range(1, 38) if 8.05 <= 100 * gap / 37 < 8.15]
    assert fits == [3]
    assert not attack_releases([Release(table, rules, printed=rates)]).holds
    # ours prints what follows from published counts
    city = printed(pl.DataFrame({"area": ["*"], "kind": ["percent"], "figure": ["17.8"]}), kinds, ("area",))
    assert attack_releases([Release(protected.table, rules, printed=city)]).holds


def test_hierarchies_that_share_leaves_tell_each_others_hidden_leaves() -> None:
    counts = banded(half="1122", side="1221")
    one, other = make_spec([["half", "age"]]), make_spec([["side", "age"]])
    first = protect_counts(counts.drop("side", "area"), one)
    alone = protect_counts(counts.drop("half", "area"), other)

    def same_leaves(left: Table, right: Table) -> bool:
        leaves = {cell[0][-1]: value for cell, value in left.items() if len(cell[0]) == 2}
        return all(value == leaves[cell[0][-1]] for cell, value in right.items() if len(cell[0]) == 2)

    assert told([(first.table, one)]) == told([(alone.table, other)]) == []
    assert told([(first.table, one), (alone.table, other)], same_leaves) != []
    assert not holds((first.table, first), (alone.table, alone))
    second = next_to(first, counts.drop("half", "area"), other)
    assert told([(first.table, one), (second.table, other)], same_leaves) == []
    assert holds((first.table, first), (second.table, second))


@pytest.mark.parametrize("weights", [(3, 4, 2)])
def test_a_standardised_rate_is_not_told_where_an_age_group_is_hidden(weights: tuple[int, ...]) -> None:
    """A rate over three age groups of 10 people each, of which two are published: the third is solved for."""
    gap = [7, 3, 6]
    rate = round(sum(weight * part / 10 for weight, part in zip(weights, gap, strict=True)) / sum(weights), 4)
    fits = [
        third
        for third in range(11)
        if round((weights[0] * 0.7 + weights[1] * third / 10 + weights[2] * 0.6) / sum(weights), 4) == rate
    ]
    assert fits == [3]
    table = pl.DataFrame(
        [("i", "*", "*", "*", str(age), measure) for age in ("*", 0, 1, 2) for measure in ("eligible", "gap")],
        schema=[*GROUP, "measure"],
        orient="row",
    ).with_columns(value=pl.Series([30, 16, 10, 7, 10, None, 10, 6]))
    shown = figures(table)
    hidden = shown.filter(pl.col("gap").is_null())
    assert hidden.height == 1
    assert hidden.select("rate_tenths", "lower", "upper", "comparison").null_count().sum_horizontal().item() == 4
    # every figure of a group follows from that group's own published counts: no figure reaches over age groups
    again = figures(table.with_columns(value=pl.when(pl.col("age_band") != "2").then("value").otherwise(9)))
    others = pl.col("age_band") != "2"
    assert shown.filter(others).equals(again.filter(others))
