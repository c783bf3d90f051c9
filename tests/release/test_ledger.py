"""The ledger: what was public stays public, what was hidden stays hidden, and all releases of a date are one system."""

import stat
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from disclosure_cases import grid, make_spec, protect_or_nothing, tables
from disclosure_oracle import agreeing, cell_of, free_leaves
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.attack import attack_directory, attack_tables
from transforms.release.ledger import recall, record, remember
from transforms.release.protect import Protected, protect_counts, write_protected
from transforms.release.published import rules_of
from transforms.release.spec import Spec
from transforms.release.witnesses import verify_witnesses

SLOW = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
CITY = "city"
WHOLE = pl.DataFrame()
SPEC = make_spec([["row"], ["column"]])
COUNTS = grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80])
MANY = 40_000


def after(counts: pl.DataFrame, spec: Spec, *earlier: Protected) -> Protected:
    records = [record(f"{n}", CITY, each.certificate, each.decisions) for n, each in enumerate(earlier)]
    return protect_counts(counts, spec, earlier=records)


def enter(folder: Path, name: str, protected: Protected, population: str = CITY) -> Path:
    new = record(name, population, protected.certificate, protected.decisions)
    return remember(folder, new, protected.certificate["earlier_releases"])


def test_a_release_is_remembered_and_recalled(tmp_path: Path) -> None:
    first = protect_counts(COUNTS, SPEC)
    path = enter(tmp_path / "ledger", "2026-10-31-1", first)
    enter(tmp_path / "ledger", "2026-10-31-2", first, "another city")
    second = after(COUNTS, SPEC, first)
    enter(tmp_path / "ledger", "2026-10-31-3", second)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    records = recall(tmp_path / "ledger", CITY, WHOLE)
    assert [each.release_id for each in records] == ["2026-10-31-1", "2026-10-31-3"]
    assert records[0].table.equals(first.table.select(records[0].table.columns))
    assert records[0].rules == rules_of(first.certificate)
    assert recall(tmp_path / "none", CITY, WHOLE) == []


def test_only_tables_that_are_released_again_are_recalled(tmp_path: Path) -> None:
    spec = make_spec([["row"], ["column"]], by=("as_of",))
    september, october = (COUNTS.with_columns(as_of=pl.lit(day)) for day in ("2026-09-30", "2026-10-31"))
    first, other = protect_counts(pl.concat([september, october]), spec), protect_counts(october, spec)
    enter(tmp_path, "one", first)
    keys = pl.DataFrame({"as_of": ["2026-10-31", "2026-11-30"]})
    (found,) = recall(tmp_path, CITY, keys)
    assert set(found.cells["as_of"]) == {"2026-10-31"}
    assert recall(tmp_path, CITY, keys.tail(1)) == []
    with pytest.raises(DisclosureRefused, match="published since"):
        enter(tmp_path, "two", other)
    (apart,) = recall(tmp_path, CITY, pl.DataFrame({"month": ["2026-11"]}))
    with pytest.raises(DisclosureRefused, match="taken apart by other columns"):
        protect_counts(COUNTS, SPEC, earlier=[apart])


@pytest.mark.parametrize("order", ["areas first", "cut first"])
def test_a_date_that_is_told_once_by_area_alone_and_once_cut_is_one_system(tmp_path: Path, order: str) -> None:
    spec = make_spec([["row"], ["column"]], by=("as_of",))
    cut = COUNTS.with_columns(as_of=pl.lit("2025-10-31"))
    areas = cut.group_by("as_of", "row", maintain_order=True).agg(pl.col("gap").sum())
    areas = areas.with_columns(column=pl.lit("*")).select(cut.columns)
    one, other = (areas, cut) if order == "areas first" else (cut, areas)
    first = protect_counts(one, spec)
    second = after(other, spec, first)
    again = after(one, spec, first, second)
    for each, name in ((first, "1"), (second, "2"), (again, "3")):
        enter(tmp_path / "ledger", name, each)
        write_protected(each, tmp_path / name)
    assert [each.cells.height for each in recall(tmp_path / "ledger", CITY, cut.select("as_of").unique())] == (
        [4, 16, 4] if order == "areas first" else [16, 4, 16]
    )
    assert again.table.equals(first.table)
    assert attack_directory(*(tmp_path / name for name in "123")).holds
    both = first.table.join(second.table, on=["as_of", "row", "column"])
    assert both.height == 4
    assert both["status"].equals(both["status_right"])


def test_remembering_again_changes_nothing_and_another_release_of_the_id_is_refused(tmp_path: Path) -> None:
    first, other = protect_counts(COUNTS, SPEC), protect_counts(COUNTS.with_columns(pl.col("gap") + 1), SPEC)
    for _ in range(2):
        enter(tmp_path, "one", first)
    assert len(recall(tmp_path, CITY, WHOLE)) == 1
    with pytest.raises(UsageRefused, match="another release"):
        enter(tmp_path, "one", other)


def test_a_release_that_does_not_know_of_an_earlier_one_is_not_remembered(tmp_path: Path) -> None:
    """Two candidates of the same cells were protected side by side, and one is published: the other must look again."""
    one, other = protect_counts(COUNTS, SPEC), protect_counts(COUNTS.with_columns(pl.col("gap") + 1), SPEC)
    enter(tmp_path, "one", one)
    with pytest.raises(DisclosureRefused, match="published since"):
        enter(tmp_path, "other", other)
    again = protect_counts(COUNTS.with_columns(pl.col("gap") + 1), SPEC, earlier=recall(tmp_path, CITY, WHOLE))
    enter(tmp_path, "other", again)
    assert [each.release_id for each in recall(tmp_path, CITY, WHOLE)] == ["one", "other"]


def test_a_half_written_record_is_no_record(tmp_path: Path) -> None:
    first = protect_counts(COUNTS, SPEC)
    (tmp_path / ".000001_one.parquet.new").write_bytes(b"half")
    assert recall(tmp_path, CITY, WHOLE) == []
    enter(tmp_path, "one", first)
    assert [path.name for path in tmp_path.iterdir()] == ["000001_one.parquet"]


@settings(SLOW, max_examples=30)
@given(tables(largest=9))
def test_a_release_of_the_same_counts_shows_and_hides_the_same(case: tuple[pl.DataFrame, Spec]) -> None:
    first = protect_or_nothing(*case)
    if first is not None:
        assert after(*case, first).table.equals(first.table)


@st.composite
def corrections(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, Spec, int]:
    """Inner cells of a flat table, the same with one of them corrected, and which."""
    values = draw(st.lists(st.integers(0, 6), min_size=6, max_size=6))
    place = draw(st.integers(0, 5))
    now = [value + (draw(st.sampled_from([-1, 1, 2])) if at == place else 0) for at, value in enumerate(values)]
    rules = {name: draw(st.sampled_from(words)) for name, words in (("zeros", ["publish", "protect"]),)}
    spec = make_spec([["row"], ["column"]], threshold=draw(st.integers(2, 4)), **rules)
    return grid(2, 3, values), grid(2, 3, [max(value, 0) for value in now]), spec, place


def told_together(tables: list[pl.DataFrame], spec: Spec, place: int) -> set[tuple[int, Any]]:
    """Hidden cells with one value below the threshold, for who knows that one inner cell and no other was corrected."""
    rules, dimensions = asdict(spec.rules), [list(levels) for levels in spec.dimensions]
    rows = [table.to_dicts() for table in tables]
    assume(not any(free_leaves(each, dimensions, False) for each in rows))
    leaf = ((f"r{place // 3}",), (f"c{place % 3}",))
    by_rest: dict[Any, tuple[list[Any], list[Any]]] = {}
    steps = 0
    for number, each in enumerate(rows):
        for cells in agreeing(each, dimensions, False, rules):
            assume((steps := steps + 1) < MANY)
            rest = tuple(sorted((cell, value) for cell, value in cells.items() if all(cell) and cell != leaf))
            by_rest.setdefault(rest, ([], []))[number].append(cells)
    values: dict[tuple[int, Any], set[int]] = {}
    for both in by_rest.values():
        if all(both):
            for number, fits in enumerate(both):
                for row in rows[number]:
                    if row["status"] == "suppressed":
                        cell = cell_of(row, dimensions, False)
                        values.setdefault((number, cell), set()).update(cells[cell] for cells in fits)
    return {cell for cell, of in values.items() if len(of) == 1 and max(of) < spec.rules.threshold}


@SLOW
@given(corrections())
def test_a_correction_tells_no_unsafe_count_of_either_release(
    case: tuple[pl.DataFrame, pl.DataFrame, Spec, int],
) -> None:
    counts, corrected, spec, place = case
    first = protect_or_nothing(counts, spec)
    if first is None:
        return
    try:
        second = after(corrected, spec, first)
    except DisclosureRefused:
        return
    assert told_together([first.table, second.table], spec, place) == set()
    verdict = attack_tables([(each.table, rules_of(each.certificate)) for each in (first, second)])
    assert verdict.holds


@SLOW
@given(corrections())
def test_a_cell_that_did_not_change_stays_public_or_hidden(case: tuple[pl.DataFrame, pl.DataFrame, Spec, int]) -> None:
    counts, corrected, spec, place = case
    first = protect_or_nothing(counts, spec)
    if first is None:
        return
    try:
        second = after(corrected, spec, first)
    except DisclosureRefused:
        return
    row, column = f"r{place // 3}", f"c{place % 3}"
    both = first.table.join(second.table, on=["row", "column"])
    same = both.filter(~(pl.col("row").is_in(["*", row]) & pl.col("column").is_in(["*", column])))
    if not counts.equals(corrected):
        assert same.height == both.height - 4
    assert same["status"].equals(same["status_right"])
    assert same["value"].equals(same["value_right"])


def test_what_was_published_and_is_unsafe_by_new_rules_blocks_the_release_and_says_how_much() -> None:
    counts = COUNTS.with_columns(pl.lit("late").alias("indicator"))
    specs = [make_spec([["row"], ["column"]], by=("indicator",), threshold=threshold) for threshold in (3, 5)]
    first = protect_counts(counts, specs[0])
    with pytest.raises(DisclosureRefused, match="indicator late") as refusal:
        after(counts, specs[1], first)
    assert refusal.value.count == 1
    assert refusal.value.exit_code == 13


NOT_NESTING = {
    "other leaves under the same top": [["major", "postcode"]],
    "another geography": [["hospital"]],
}


@pytest.mark.parametrize("levels", NOT_NESTING.values(), ids=NOT_NESTING.keys())
def test_a_second_geography_that_nothing_ties_to_the_first_is_refused(levels: list[list[str]]) -> None:
    counts = pl.DataFrame({"major": ["A", "A", "B"], "district": ["1", "2", "3"], "gap": [7, 8, 9]})
    other = counts.with_columns(postcode=pl.col("district"), hospital=pl.lit("H")).drop("district")
    first = protect_counts(counts, make_spec([["major", "district"]]))
    wanted = other.select(*levels[0], "gap").group_by(levels[0]).agg(pl.col("gap").sum())
    with pytest.raises(DisclosureRefused, match="correspondence") as refusal:
        after(wanted, make_spec(levels), first)
    assert refusal.value.exit_code == 13


def by_age(bands: str, counts: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"age_band": bands.split(), "gap": counts})


def test_a_second_banding_that_does_not_nest_is_released_where_the_auditor_proves_it_safe() -> None:
    spec = make_spec([["age_band"]])
    first = protect_counts(by_age("0-17 18-64 65-", [30, 60, 50]), spec)
    second = after(by_age("0-24 25-64 65-", [42, 48, 50]), spec, first)
    assert (second.table["status"] == "published").all()
    with pytest.raises(DisclosureRefused) as refusal:  # 42 - 40 of them are 18 to 24
        after(
            by_age("0-24 25-64 65-", [42, 48, 50]), spec, protect_counts(by_age("0-17 18-64 65-", [40, 50, 50]), spec)
        )
    assert refusal.value.exit_code == 13


def test_the_auditor_takes_several_folders(tmp_path: Path) -> None:
    first = protect_counts(COUNTS, SPEC)
    naive = first.table.with_columns(
        value=pl.when(pl.col("row") == "r0").then(first.decisions["value"]).otherwise("value"),
        status=pl.when(pl.col("row") == "r0").then(pl.lit("published")).otherwise("status"),
    )
    second = after(COUNTS, SPEC, first)
    for name, protected in (("1", first), ("2", second), ("3", replace(first, table=naive))):
        write_protected(protected, tmp_path / name)
    assert attack_directory(tmp_path / "1", tmp_path / "2").holds
    broken = attack_directory(tmp_path / "1", tmp_path / "3")
    assert set(broken.cells.filter("is_exact")["release"]) == {0, 1}
    assert broken.recovered_unsafe == 1


def test_three_releases_of_a_date_are_one_system() -> None:
    fine = pl.DataFrame({"half": list("1122"), "age": list("abcd"), "sex": ["F"] * 4, "gap": [6, 3, 9, 7]})
    fine = pl.concat([fine, fine.with_columns(sex=pl.lit("M"), gap=pl.Series([9, 8, 7, 6]))])
    specs = [make_spec(levels) for levels in ([["half"]], [["half", "age"]], [["half", "age"], ["sex"]])]
    released: list[Protected] = []
    for spec in specs:
        counts = fine.group_by(spec.labels).agg(pl.col("gap").sum()).sort(spec.labels)
        released.append(after(counts, spec, *released))
    verdict = attack_tables([(each.table, rules_of(each.certificate)) for each in released])
    assert verdict.holds
    assert released[-1].certificate["earlier_releases"] == 2
    last = released[-1]
    assert verify_witnesses(last.table, rules_of(last.certificate), last.decisions, last.witnesses).unsafe > 0
