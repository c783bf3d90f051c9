"""Printed figures: what the auditor makes of them is what trying every table makes of them."""

import json
from dataclasses import asdict, replace
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from disclosure_cases import make_spec
from disclosure_oracle import Cell, agreeing, cell_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_attack import all_cells, hide, public_rules

from schemas.errors import DisclosureRefused, Refusal, UsageRefused
from transforms.release.attack import Verdict, attack_directory, attack_releases
from transforms.release.bounds import prove
from transforms.release.printed import Printed, printed
from transforms.release.published import Release
from transforms.release.spec import Spec
from transforms.release.unknowns import Sums

SLOW = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
Z = 1.959963984540054
SPEC = make_spec([["age"]], linked=True)
WEIGHTS = {"a": 3, "b": 4, "c": 2}
Table = dict[Cell, int]


def rounded(value: Fraction, digits: int, rounding: str) -> str:
    """Print as people do, by long division."""
    unit = Decimal(1).scaleb(-digits)
    how = ROUND_HALF_UP if rounding == "half_up" else ROUND_HALF_EVEN
    scaled = value * 10**digits
    whole = Decimal(scaled.numerator // scaled.denominator)
    rest = scaled - scaled.numerator // scaled.denominator
    tail = Decimal("0.5") if rest == Fraction(1, 2) else Decimal("0.25") if 0 < rest < Fraction(1, 2) else Decimal(0)
    tail = Decimal("0.75") if rest > Fraction(1, 2) else tail
    return str(((whole + tail).quantize(Decimal(1), how) * unit).quantize(unit))


def wilson(count: int, total: int, sign: int) -> float:
    share = count / total
    if count == (0 if sign < 0 else total):
        return share
    half = Z * sqrt(share * (1 - share) / total + Z * Z / (4 * total * total))
    return (share + Z * Z / (2 * total) + sign * half) / (1 + Z * Z / total)


def byar(count: int, total: int, sign: int) -> float:
    number = count + (sign > 0)
    return number * (1 - 1 / (9 * number) + sign * Z / (3 * sqrt(number))) ** 3 / total if number else 0.0


def groups(cells: Table) -> dict[str, tuple[int, int]]:
    """Gap and eligible by age, "*" for all."""
    names = {cell[0][0] if cell[0] else "*" for cell in cells}
    path = {name: () if name == "*" else (name,) for name in names}
    return {name: (cells[path[name], ("gap",)], cells[path[name], ()]) for name in names}


def prints(kind: str, name: str, cells: Table, rounding: str, digits: int) -> str | None:
    """A figure as it is printed from a whole table; None where it divides by nobody."""
    of = groups(cells)
    gap, eligible = of[name]
    if not eligible:
        return None
    if kind in ("wilson_lower", "wilson_upper", "byar_lower", "byar_upper"):
        end = {"wilson": wilson, "byar": byar}[kind.split("_")[0]](gap, eligible, 1 if kind.endswith("upper") else -1)
        return str(Decimal(end * 100).quantize(Decimal(1).scaleb(-digits)))
    if kind == "share":
        return rounded(Fraction(100 * gap, eligible), digits, rounding)
    if kind == "difference":
        return rounded(Fraction(100 * gap, eligible) - Fraction(100 * of["*"][0], of["*"][1]), digits, rounding)
    parts = {age: each for age, each in of.items() if age != "*"}
    if kind == "standardised":
        rate = sum(Fraction(WEIGHTS[age] * g, 9 * n) if n else Fraction(0) for age, (g, n) in parts.items())
        return rounded(100 * rate, digits, rounding)
    expected = sum(Fraction(WEIGHTS[age], 10) * n for age, (_, n) in parts.items())
    return rounded(Fraction(100 * gap) / expected, digits, rounding)


def description(rounding: str) -> dict[str, Any]:
    kinds = {name: {"figure": name, "per": 100} for name in (*EXACT, "difference")}
    kinds["standardised"] = {"figure": "standardised", "per": 100, "level": "age", "weights": WEIGHTS}
    reference = {age: str(Decimal(weight) / 10) for age, weight in WEIGHTS.items()}
    kinds["indirect_ratio"] = {"figure": "indirect_ratio", "per": 100, "level": "age", "reference": reference}
    return {"rounding": rounding, "kinds": kinds | {"other": {"figure": "other"}}}


EXACT = ("share", "wilson_lower", "wilson_upper", "byar_lower", "byar_upper")
"""Kinds that are read whatever is hidden."""


def with_figures(table: pl.DataFrame, spec: Spec, rows: list[tuple[str, str, str]], rounding: str) -> Release:
    frame = pl.DataFrame(rows, schema=["age", "kind", "figure"], orient="row")
    return Release(table, public_rules(spec), printed=printed(frame, description(rounding), ("age",)))


def attack(release: Release) -> Verdict:
    return attack_releases([release], tight=True)


@st.composite
def hidden_and_printed(draw: st.DrawFn) -> tuple[pl.DataFrame, Spec, list[tuple[str, str, str]], str]:
    rows = []
    for age in "abc":
        gap = draw(st.integers(0, 4))
        rows.append({"age": age, "gap": gap, "eligible": gap + draw(st.integers(0, 4))})
    rules = {"zeros": draw(st.sampled_from(["publish", "protect"])), "group_disclosure": draw(st.booleans())}
    spec = make_spec([["age"]], linked=True, **rules)
    cells = all_cells(pl.DataFrame(rows), spec)
    may_hide = (cells["value"] > 0) | (spec.rules.zeros == "protect")
    if spec.rules.group_disclosure:
        may_hide |= cells["measure"] == "closed"
    wish = draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height))
    # how many there are in all is known, or there would be no end to the tables to try
    table = hide(cells, may_hide & pl.Series(wish) & ~((cells["age"] == "*") & (cells["measure"] == "eligible")))
    assume((table["status"] == "suppressed").any())
    truth = {cell_of(row, [["age"]], True): row["value"] for row in cells.to_dicts()}
    kinds = st.sampled_from([*EXACT, "difference", "standardised", "indirect_ratio"])
    rounding = draw(st.sampled_from(["half_up", "half_even"]))
    figures = []
    for kind, name, digits in draw(
        st.lists(st.tuples(kinds, st.sampled_from("abc*"), st.integers(0, 2)), min_size=1, max_size=3)
    ):
        name = "*" if kind in ("standardised", "indirect_ratio") else name
        figure = prints(kind, name, truth, rounding, digits)
        if figure is not None:
            figures.append((name, kind, figure))
    return table, spec, figures, rounding


def digits_of(figure: str) -> int:
    return len(figure.partition(".")[2])


@SLOW
@given(hidden_and_printed())
def test_figures_tell_what_all_tables_that_print_them_agree_on(
    case: tuple[pl.DataFrame, Spec, list[tuple[str, str, str]], str],
) -> None:
    table, spec, figures, rounding = case
    values: dict[Cell, set[int]] = {}
    for cells in agreeing(table.to_dicts(), [["age"]], True, asdict(spec.rules)):
        same = (prints(kind, name, cells, rounding, digits_of(figure)) == figure for name, kind, figure in figures)
        if all(same):
            for cell, value in cells.items():
                values.setdefault(cell, set()).add(value)
    try:
        verdict = attack(with_figures(table, spec, figures, rounding))
    except DisclosureRefused as refusal:
        # it is refused to print these over hidden denominators, and nothing else
        if "divides by" not in refusal.rule or not {kind for _, kind, _ in figures} & {"difference", "standardised"}:
            raise
        return
    assert verdict.cells.height
    for row in verdict.cells.iter_rows(named=True):
        fits = values[cell_of(row, [["age"]], True)]
        assert (row["lowest"], row["highest"]) == (min(fits), max(fits))
        assert row["is_exact"] == (len(fits) == 1)
        assert row["is_small"] == (max(fits) < spec.rules.threshold)
    brief = attack_releases([with_figures(table, spec, figures, rounding)])
    for flag in ("is_exact", "is_small"):
        assert brief.cells[flag].equals(verdict.cells[flag])


def rows_of(**counts: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame([{"age": age, "gap": gap, "eligible": all_of} for age, (gap, all_of) in counts.items()])


def hide_measures(counts: pl.DataFrame, spec: Spec, hidden: set[tuple[str, str]]) -> pl.DataFrame:
    cells = all_cells(counts, spec)
    return hide(cells, pl.Series([row in hidden for row in cells.select("age", "measure").iter_rows()]))


def test_a_rate_with_its_denominator_gives_the_numerator() -> None:
    hidden = {("a", "gap"), ("a", "closed"), ("b", "gap"), ("b", "closed")}
    table = hide_measures(rows_of(a=(3, 40), b=(9, 30)), SPEC, hidden)
    assert attack(Release(table, public_rules(SPEC))).recovered_unsafe == 0
    naive = attack(with_figures(table, SPEC, [("a", "share", "7.5")], "half_up"))
    assert naive.recovered_unsafe == 1
    assert not naive.holds
    # a figure as coarse as this fits 2..5 of 40
    coarse = attack(with_figures(table, SPEC, [("a", "byar_upper", "22")], "half_up"))
    assert coarse.cells.filter(age="a", measure="gap").select("lowest", "highest").rows() == [(3, 3)]


def test_an_interval_tells_both_counts_that_it_hides() -> None:
    everything = {(age, measure) for age in "ab" for measure in ("gap", "closed", "eligible")}
    table = hide_measures(rows_of(a=(3, 17), b=(9, 30)), SPEC, everything)
    assert attack(Release(table, public_rules(SPEC))).recovered_unsafe == 0
    ends = [("a", f"wilson_{end}", str(Decimal(wilson(3, 17, sign) * 100).quantize(Decimal("0.01"))))
            for end, sign in (("lower", -1), ("upper", 1))]  # fmt: skip
    verdict = attack(with_figures(table, SPEC, ends, "half_up"))
    told = verdict.cells.filter("is_exact").filter(age="a").select("measure", "lowest")
    assert dict(told.iter_rows()) == {"gap": 3, "closed": 14, "eligible": 17}


def test_figures_bound_what_no_sum_bounds() -> None:
    """All totals are hidden too: a share alone leaves any multiple, a share and a ratio of numbers do not."""
    counts = rows_of(a=(3, 12), b=(4, 40))
    hidden = {(age, measure) for age in "ab*" for measure in ("gap", "closed", "eligible")} - {("b", "closed")}
    table = hide_measures(counts, SPEC, hidden)
    free = attack(with_figures(table, SPEC, [("a", "share", "25.0")], "half_up"))
    assert free.cells.filter(age="a")["highest"].to_list() == [None] * 3
    assert not free.cells.filter(age="a")["is_small"].any()
    bounded = attack(with_figures(table, SPEC, [("b", "share", "10.0")], "half_up"))
    # 36 closed are 90 % within half of the last decimal: 4 of 40 alone
    assert bounded.cells.filter(age="b", measure="gap").select("lowest", "highest").rows() == [(4, 4)]
    assert not bounded.holds


def test_a_standardised_rate_with_one_hidden_age_group_is_solved_for_it() -> None:
    counts = rows_of(a=(17, 30), b=(3, 30), c=(26, 40))
    hidden = {("b", "gap"), ("b", "closed"), ("c", "gap"), ("c", "closed")}
    table = hide_measures(counts, SPEC, hidden)
    truth = {cell_of(row, [["age"]], True): row["value"] for row in all_cells(counts, SPEC).to_dicts()}
    assert attack(Release(table, public_rules(SPEC))).holds
    figure = prints("standardised", "*", truth, "half_up", 2)
    assert figure is not None
    naive = attack(with_figures(table, SPEC, [("*", "standardised", figure)], "half_up"))
    assert naive.cells.filter(age="b", measure="gap").select("lowest", "is_exact").rows() == [(3, True)]
    assert not naive.holds


def test_what_has_no_exact_inequality_is_refused() -> None:
    counts = rows_of(a=(17, 30), b=(3, 13), c=(26, 40))
    two = {(age, measure) for age in "bc" for measure in ("gap", "closed", "eligible")}
    table = hide_measures(counts, SPEC, two)
    for kind in ("standardised", "other"):
        with pytest.raises(DisclosureRefused) as refusal:
            attack(with_figures(table, SPEC, [("*", kind, "51.40")], "half_up"))
        assert refusal.value.exit_code == 13
    # of published counts alone anything may be said
    assert attack(with_figures(table, SPEC, [("a", "other", "51.40")], "half_up")).holds
    unbounded = hide_measures(counts, SPEC, {(age, m) for age in "abc*" for m in ("gap", "closed", "eligible")})
    with pytest.raises(DisclosureRefused, match="may be anything"):
        attack(with_figures(unbounded, SPEC, [("a", "wilson_upper", "51.40")], "half_up"))


def test_a_difference_from_a_published_city_is_a_rate() -> None:
    hidden = {("a", "gap"), ("a", "closed"), ("b", "gap"), ("b", "closed")}
    table = hide_measures(rows_of(a=(3, 40), b=(9, 30)), SPEC, hidden)
    naive = attack(with_figures(table, SPEC, [("a", "difference", "-9.6")], "half_up"))
    assert naive.cells.filter(age="a", measure="gap")["lowest"].to_list() == [3]
    with pytest.raises(DisclosureRefused, match="no whole counts fit"):
        attack(with_figures(table, SPEC, [("a", "difference", "9.6")], "half_up"))


def dated(table: pl.DataFrame, spec: Spec, date: str, rows: list[tuple[str, str, str, str]] | None = None) -> Release:
    kinds = {"change": {"figure": "change"}, "points": {"figure": "share_change", "per": 100}}
    figures: Printed | None = None
    if rows is not None:
        frame = pl.DataFrame(rows, schema=["age", "kind", "figure", "since"], orient="row")
        figures = printed(frame, {"rounding": "half_up", "kinds": kinds}, ("age",))
    return Release(table, public_rules(spec), date, figures)


def test_a_printed_change_ties_two_dates() -> None:
    """Last month b hid the 9 beside a's 3; this month nothing is small, and the change is printed."""
    spec = make_spec([["age"]])
    before = hide(
        all_cells(pl.DataFrame({"age": ["a", "b", "c"], "gap": [3, 9, 8]}), spec), pl.Series([0, 1, 1, 0]) > 0
    )
    now = hide(all_cells(pl.DataFrame({"age": ["a", "b", "c"], "gap": [7, 9, 8]}), spec), pl.Series([0, 0, 0, 0]) > 0)
    first = dated(before, spec, "2026-09-30")
    apart = attack_releases([first, dated(now, spec, "2026-10-31")])
    assert apart.holds
    naive = attack_releases([first, dated(now, spec, "2026-10-31", [("a", "change", "4", "2026-09-30")])])
    assert naive.cells.filter(age="a")["lowest"].to_list() == [3]
    assert not naive.holds
    with pytest.raises(UsageRefused, match="not given"):
        attack_releases([dated(now, spec, "2026-10-31", [("a", "change", "4", "2026-09-30")])])


@pytest.mark.parametrize("hidden_at", [None, 0, 1])
def test_limits_of_a_change_may_be_printed_where_both_dates_are_published(hidden_at: int | None) -> None:
    """The auditor has no equation for them: whatever else they were over would be told."""
    inputs = ["gap", "eligible", "earlier.gap", "earlier.eligible"]
    frame = pl.DataFrame({"age": ["a"], "kind": ["limit"], "figure": ["-1.5"], "since": ["2025-10-31"]})
    figures = printed(frame, {"kinds": {"limit": {"figure": "other", "inputs": inputs}}}, ("age",))
    hidden = {(age, measure) for age in "ab" for measure in ("gap", "closed")}
    releases = [
        Release(
            hide_measures(rows_of(a=(9, 30), b=(13, 30), c=(26, 40)), SPEC, hidden if place == hidden_at else set()),
            public_rules(SPEC),
            day,
            figures if place else None,
        )
        for place, day in enumerate(["2025-10-31", "2026-10-31"])
    ]
    if hidden_at is None:
        assert attack_releases(releases).holds
    else:
        with pytest.raises(DisclosureRefused, match="cannot read"):
            attack_releases(releases)
    with pytest.raises(UsageRefused, match="not given"):
        attack_releases(releases[1:])


@st.composite
def two_dates(draw: st.DrawFn) -> tuple[list[pl.DataFrame], Spec, list[tuple[str, str, str, str]]]:
    spec = make_spec([["age"]], linked=True, zeros=draw(st.sampled_from(["publish", "protect"])))
    tables, truths = [], []
    for _ in range(2):
        rows = [
            {"age": age, "gap": (gap := draw(st.integers(0, 3))), "eligible": gap + draw(st.integers(0, 3))}
            for age in "ab"
        ]
        cells = all_cells(pl.DataFrame(rows), spec)
        may_hide = (cells["value"] > 0) | (spec.rules.zeros == "protect")
        wish = pl.Series(draw(st.lists(st.booleans(), min_size=cells.height, max_size=cells.height)))
        tables.append(hide(cells, may_hide & wish & ~((cells["age"] == "*") & (cells["measure"] == "eligible"))))
        truths.append({cell_of(row, [["age"]], True): row["value"] for row in cells.to_dicts()})
    figures = []
    for kind, name in draw(
        st.lists(st.tuples(st.sampled_from(["change", "points"]), st.sampled_from("ab*")), max_size=2, unique=True)
    ):
        if (figure := change(kind, name, *truths)) is not None:
            figures.append((name, kind, figure, "2026-09"))
    return tables, spec, figures


def change(kind: str, name: str, before: Table, now: Table) -> str | None:
    old, new = groups(before)[name], groups(now)[name]
    if kind == "change":
        return str(new[0] - old[0])
    if not old[1] or not new[1]:
        return None
    return rounded(Fraction(100 * new[0], new[1]) - Fraction(100 * old[0], old[1]), 1, "half_up")


@SLOW
@given(two_dates())
def test_two_dates_tell_what_all_pairs_with_their_changes_agree_on(
    case: tuple[list[pl.DataFrame], Spec, list[tuple[str, str, str, str]]],
) -> None:
    tables, spec, figures = case
    assume(any((table["status"] == "suppressed").any() for table in tables))
    all_tables = [list(agreeing(table.to_dicts(), [["age"]], True, asdict(spec.rules))) for table in tables]
    values: dict[tuple[int, Cell], set[int]] = {}
    for pair in product(*all_tables):
        if all(change(kind, name, *pair) == figure for name, kind, figure, _ in figures):
            for number, cells in enumerate(pair):
                for cell, value in cells.items():
                    values.setdefault((number, cell), set()).add(value)
    try:
        verdict = attack_releases(
            [dated(tables[0], spec, "2026-09-30"), dated(tables[1], spec, "2026-10-31", figures)], tight=True
        )
    except DisclosureRefused as refusal:
        if "divides by" not in refusal.rule:
            raise
        return
    for row in verdict.cells.iter_rows(named=True):
        fits = values[row["release"], cell_of(row, [["age"]], True)]
        assert (row["lowest"], row["highest"]) == (min(fits), max(fits))
        assert row["is_exact"] == (len(fits) == 1)


def write(folder: Path, release: Release, certificate: dict[str, Any]) -> None:
    folder.mkdir()
    release.table.write_csv(folder / "table.csv")
    rules = release.rules
    about = {
        "rules": {
            "threshold": 5,
            "zeros": "publish",
            "group_disclosure": False,
            "guarantee": rules.guarantee,
        },
        "by": list(rules.by),
        "dimensions": [list(levels) for levels in rules.dimensions],
        "linked": rules.linked,
    }
    (folder / "certificate.json").write_text(json.dumps(about | certificate))


def test_the_figures_of_a_folder_are_attacked_with_it(tmp_path: Path) -> None:
    hidden = {("a", "gap"), ("a", "closed"), ("b", "gap"), ("b", "closed")}
    release = Release(hide_measures(rows_of(a=(3, 40), b=(9, 30)), SPEC, hidden), public_rules(SPEC))
    kinds = {"rounding": "half_up", "kinds": {"percent": {"figure": "share", "per": 100}}}
    write(tmp_path / "naive", release, {"derived": kinds})
    (tmp_path / "naive" / "derived.csv").write_text("age,kind,figure\na,percent,7.5\nb,percent,\n")
    assert attack_directory(tmp_path / "naive").recovered_unsafe == 1
    (tmp_path / "naive" / "derived.csv").write_text("age,kind,figure\na,percent,\nb,percent,\n")
    assert attack_directory(tmp_path / "naive").holds


BAD_FIGURES = {
    "no description": ("age,kind,figure\na,percent,7.5\n", {}, "go together"),
    "another kind": ("age,kind,figure\na,rate,7.5\n", None, "does not describe"),
    "a word": ("age,kind,figure\na,percent,few\n", None, "not a decimal"),
    "no such cell": ("age,kind,figure\nz,percent,7.5\n", None, "no cell"),
    "a missing column": ("age,kind\na,percent\n", None, "column is missing"),
    "a change since nothing": ("age,kind,figure\na,change,1\n", None, "since when"),
}


@pytest.mark.parametrize(("text", "about", "words"), BAD_FIGURES.values(), ids=BAD_FIGURES.keys())
def test_figures_that_cannot_be_read_are_refused(
    tmp_path: Path, text: str, about: dict[str, Any] | None, words: str
) -> None:
    release = Release(hide_measures(rows_of(a=(3, 40), b=(9, 30)), SPEC, {("a", "gap")}), public_rules(SPEC))
    kinds = {"kinds": {"percent": {"figure": "share", "per": 100}, "change": {"figure": "change"}}}
    write(tmp_path / "naive", release, {"derived": kinds} if about is None else about)
    (tmp_path / "naive" / "derived.csv").write_text(text)
    with pytest.raises(Refusal, match=words):
        attack_directory(tmp_path / "naive")


def test_the_rounding_rule_decides_a_tie() -> None:
    """1 of 8 is 12.5 %: half up it prints 13, half to even 12."""
    hidden = {(age, measure) for age in "ab" for measure in ("gap", "closed")}
    table = hide_measures(rows_of(a=(1, 8), b=(9, 30)), SPEC, hidden)
    for rounding, text, ends in (("half_up", "13", (1, 1)), ("half_even", "12", (1, 1)), ("nearest", "12", (1, 1))):
        row = attack(with_figures(table, SPEC, [("a", "share", text)], rounding)).cells.filter(age="a", measure="gap")
        assert row.select("lowest", "highest").rows() == [ends]
    with pytest.raises(DisclosureRefused, match="no whole counts fit"):
        attack(with_figures(table, SPEC, [("a", "share", "12")], "half_up"))
    with pytest.raises(DisclosureRefused, match="no whole counts fit"):
        attack(with_figures(table, SPEC, [("a", "share", "13")], "half_even"))


def test_a_trend_is_tied_to_the_release_of_its_month() -> None:
    spec, trend = make_spec([["age"]]), make_spec([["age"]], by=("month",))
    counts = pl.DataFrame({"age": ["a", "b", "c"], "gap": [3, 9, 8]})
    month = hide(all_cells(counts, spec), pl.Series([False, True, True, False]))
    other = hide(all_cells(counts, spec), pl.Series([False, True, False, True]))
    of_trend = pl.concat([other.with_columns(month=pl.lit("2026-10")), other.with_columns(month=pl.lit("2026-09"))])
    released = Release(month, public_rules(spec), "2026-10-31")
    rules = replace(public_rules(trend), by=("month",))
    together = attack_releases([released, Release(of_trend, rules, "2026-11-30")])
    told = together.cells.filter("is_exact")
    assert {tuple(row) for row in told.select("release", "age", "lowest").iter_rows()} == {
        (0, "a", 3), (0, "b", 9), (1, "a", 3), (1, "c", 8)
    }  # fmt: skip
    assert told.filter(release=1)["month"].unique().to_list() == ["2026-10"]
    with pytest.raises(UsageRefused, match="date"):
        attack_releases([Release(month, public_rules(spec)), Release(of_trend, rules)])


def test_what_several_ranges_bound_together_has_an_end() -> None:
    """x - y is 0 to 3 and 2y - x is 0 to 4: y ends at 7, though neither says so; z - w alone leaves both open."""
    row, unknown = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 2, 3])
    factor = np.array([1.0, -1, -1, 2, 1, -1])
    sums = Sums(row, unknown, factor, np.zeros(3), np.array([3.0, 4, 1]), np.ones(3, bool), np.zeros(4))
    for tight in (True, False):
        bounds = prove(sums, threshold=20, tight=tight)
        assert np.isinf(bounds.seen_high).tolist() == [False, False, True, True]
        assert (bounds.high < 20).tolist() == [True, True, False, False]
    tightest = prove(sums, threshold=20, tight=True)
    assert (tightest.high.tolist(), tightest.low.tolist()) == ([10, 7, np.inf, np.inf], [0, 0, 0, 0])


def test_a_share_is_of_somebody() -> None:
    spec = make_spec([["age"]], linked=True, zeros="protect")
    hidden = {(age, measure) for age in "ab" for measure in ("gap", "closed", "eligible")}
    table = hide_measures(rows_of(a=(2, 4), b=(9, 30)), spec, hidden)
    rows = attack(with_figures(table, spec, [("a", "share", "50.0")], "nearest")).cells.filter(age="a")
    assert dict(rows.select("measure", "lowest").iter_rows()) == {"gap": 1, "closed": 1, "eligible": 2}
