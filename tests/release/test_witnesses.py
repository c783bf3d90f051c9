"""Witnesses: the proof that comes with a table is checked without a solver, and no forgery passes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from disclosure_cases import grid, make_spec, protect_or_nothing, tables
from hypothesis import HealthCheck, given, settings

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.ledger import record
from transforms.release.printed import printed
from transforms.release.protect import Protected, protect_counts, write_protected
from transforms.release.published import Release, rules_of
from transforms.release.spec import Spec
from transforms.release.witnesses import Claim, describe, verify_claims, verify_directory, verify_witnesses

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
COUNTS = grid(3, 3, [3, 10, 20, 30, 40, 50, 60, 70, 80])
SPEC = make_spec([["row"], ["column"]])


@SLOW
@given(tables(largest=9))
def test_the_witnesses_of_every_table_prove_it(case: tuple[pl.DataFrame, Spec]) -> None:
    counts, spec = case
    protected = protect_or_nothing(counts, spec)
    if protected is None:
        return
    rules = rules_of(protected.certificate)
    proof = verify_witnesses(protected.table, rules, protected.decisions, protected.witnesses)
    assert proof.unsafe == (protected.decisions["decision"] == "primary").sum()
    # each witness is a whole table that anybody could have had: it is protected by the same sums
    for witness in protected.witnesses.partition_by("witness"):
        other = protected.decisions["value"].to_list()
        for cell, change in witness.select("cell", "change").iter_rows():
            other[cell] += change
        shown = protected.table["value"]
        assert all(value >= 0 for value in other)
        assert all(public in (None, value) for public, value in zip(shown, other, strict=True))


def test_a_folder_is_checked_with_its_confidential_part(tmp_path: Path) -> None:
    write_protected(protect_counts(COUNTS, SPEC), tmp_path / "out")
    proof = verify_directory(tmp_path / "out")
    assert (proof.unsafe, proof.guarantee) == (1, "not_exact")
    assert "1 unsafe" in describe(proof)
    (tmp_path / "out" / "confidential" / "witnesses.parquet").unlink()
    with pytest.raises(UsageRefused, match="confidential"):
        verify_directory(tmp_path / "out")


def test_witnesses_are_few_and_hold_only_what_changes() -> None:
    witnesses = protect_counts(COUNTS, SPEC).witnesses
    assert witnesses["witness"].n_unique() == 1
    assert witnesses.height == 4
    assert (witnesses["change"].abs() == 1).all()


Forgery = Callable[[Protected], tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]]


def of(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Forgery:
    def forge(protected: Protected) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        frames = {"table": protected.table, "decisions": protected.decisions, "witnesses": protected.witnesses}
        frames[name] = change(frames[name])
        return frames["table"], frames["decisions"], frames["witnesses"]

    return forge


def first(name: str, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.row_index() == 0).then(value).otherwise(name).alias(name)


def hidden(value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("decision") == "secondary").then(value).otherwise("value").alias("value")


def show_unsafe(protected: Protected) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    value, is_unsafe = protected.decisions["value"], protected.decisions["decision"] == "primary"
    table = protected.table.with_columns(
        value=pl.when(is_unsafe).then(value).otherwise("value"),
        status=pl.when(is_unsafe).then(pl.lit("published")).otherwise("status"),
    )
    return table, protected.decisions, protected.witnesses.clear()


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "no witness": (of("witnesses", lambda w: w.clear()), "no witness"),
    "a change of nothing": (of("witnesses", lambda w: w.with_columns(change=pl.lit(0, pl.Int64))), "no witness"),
    "a published cell moves": (of("witnesses", lambda w: w.with_columns(cell=pl.lit(0, pl.UInt32)).head(1)), "publish"),
    "a cell beyond the table": (of("witnesses", lambda w: w.with_columns(pl.col("cell") + 99)), "no cell"),
    "a cell twice": (of("witnesses", lambda w: pl.concat([w, w.head(1)])), "twice"),
    "sums do not hold": (
        of("witnesses", lambda w: w.with_columns(first("change", pl.col("change") * 2))),
        "does not add up",
    ),
    "a part is missing": (of("witnesses", lambda w: w.head(3)), "does not add up"),
    "below what can be": (of("witnesses", lambda w: w.with_columns(pl.col("change") * -90)), "below what can be"),
    "fractions": (of("witnesses", lambda w: w.with_columns(pl.col("change") * 0.5)), "columns"),
    "another truth": (of("decisions", lambda d: d.with_columns(hidden(pl.col("value") + 1))), "do not add up"),
    "a truth below the floor": (of("decisions", lambda d: d.with_columns(hidden(pl.lit(0)))), "below what can be"),
    "a published truth of another value": (
        of("decisions", lambda d: d.with_columns(first("value", pl.col("value") + 1))),
        "not what was published",
    ),
    "a truth without a count": (of("decisions", lambda d: d.with_columns(hidden(pl.lit(None)))), "missing"),
    "decisions of other cells": (of("decisions", lambda d: d.reverse()), "not those of the table"),
    "an unsafe cell is shown": (show_unsafe, "unsafe cell is published"),
}


@pytest.mark.parametrize(("forge", "words"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_is_refused(forge: Forgery, words: str) -> None:
    protected = protect_counts(COUNTS, SPEC)
    table, decisions, witnesses = forge(protected)
    with pytest.raises(DisclosureRefused, match=words) as refusal:
        verify_witnesses(table, rules_of(protected.certificate), decisions, witnesses)
    assert refusal.value.exit_code == 13


def test_a_witness_that_moves_a_cell_by_1_does_not_prove_not_small() -> None:
    protected = protect_counts(COUNTS, SPEC)
    certificate = protected.certificate | {"rules": protected.certificate["rules"] | {"guarantee": "not_small"}}
    with pytest.raises(DisclosureRefused, match="no witness"):
        verify_witnesses(protected.table, rules_of(certificate), protected.decisions, protected.witnesses)


def claim(protected: Protected) -> Claim:
    rules = rules_of(protected.certificate)
    return Claim(Release(protected.table, rules), protected.decisions, protected.witnesses)


def after(first: Protected, counts: pl.DataFrame, spec: Spec) -> Protected:
    before = record("2026-10-31-1", date(2026, 10, 31), first.certificate, first.decisions)
    return protect_counts(counts, spec, earlier=[before])


AREAS = pl.DataFrame(
    {"major": list("AABBCC"), "district": list("123456"), "gap": [3, 9, 7, 8, 12, 20], "sex": list("FMFMFM")}
)


def test_witnesses_of_several_releases_hold_together() -> None:
    coarse, fine = make_spec([["major"]]), make_spec([["major", "district"]])
    first = protect_counts(AREAS.group_by("major").agg(pl.col("gap").sum()), coarse)
    second = after(first, AREAS, fine)
    proof = verify_claims([claim(first), claim(second)])
    assert proof.unsafe == 1
    # the other way round the coarse table comes last and its cells are told by the fine one
    assert verify_claims([claim(second), claim(first)]).unsafe == 1


def hiding(first: Protected, rows: list[str], columns: list[str]) -> Claim:
    """The same table with these rows and columns hidden where they meet, and the one witness that there is."""
    hidden = pl.col("row").is_in(rows) & pl.col("column").is_in(columns)
    table = first.decisions.select(
        "row",
        "column",
        value=pl.when(~hidden).then("value"),
        status=pl.when(hidden).then(pl.lit("suppressed")).otherwise(pl.lit("published")),
    )
    sign = pl.when((pl.col("row") == rows[0]) == (pl.col("column") == columns[0])).then(1).otherwise(-1)
    changes = first.decisions.with_row_index("cell").filter(hidden)
    witness = changes.select(witness=pl.lit(0, pl.UInt32), cell="cell", change=sign.cast(pl.Int64))
    return Claim(Release(table, rules_of(first.certificate)), first.decisions, witness)


def test_a_witness_that_an_earlier_release_undoes_is_none() -> None:
    first = protect_counts(COUNTS, SPEC)
    one, other = hiding(first, ["r0", "r1"], ["c0", "c1"]), hiding(first, ["r0", "r2"], ["c0", "c2"])
    assert [verify_claims([each]).unsafe for each in (one, other)] == [1, 1]
    assert verify_claims([one, one]).unsafe == 2
    with pytest.raises(DisclosureRefused, match="published cell"):
        verify_claims([one, other])


def test_a_witness_may_say_what_it_changes_in_the_other_release() -> None:
    fine, coarse = make_spec([["major", "district"]]), make_spec([["major"]])
    first = protect_counts(AREAS, fine)
    last = claim(protect_counts(AREAS.group_by("major").agg(pl.col("gap").sum()), coarse))
    given = first.witnesses.with_columns(release=pl.lit(0, pl.UInt32))
    assert verify_claims([claim(first), replace(last, witnesses=given)]).unsafe == 1
    for wrong, words in (
        (given.with_columns(change=pl.col("change") * 2).head(1), "add up"),
        (given.with_columns(release=pl.lit(2, pl.UInt32)), "no cell"),
        (given.with_columns(cell=pl.col("cell") * 0).head(1), "published cell"),
    ):
        with pytest.raises(DisclosureRefused, match=words):
            verify_claims([claim(first), replace(last, witnesses=wrong)])


def test_an_unsafe_cell_of_an_earlier_release_needs_a_witness_too() -> None:
    fine, coarse = make_spec([["major", "district"]]), make_spec([["major"]])
    first = protect_counts(AREAS, fine)
    last = claim(protect_counts(AREAS.group_by("major").agg(pl.col("gap").sum()), coarse))
    bare = replace(claim(first), witnesses=first.witnesses.clear())
    with pytest.raises(DisclosureRefused, match="no witness"):
        verify_claims([bare, last])


def test_a_witness_must_print_the_same_figures() -> None:
    counts = AREAS.select("district", "gap", eligible=pl.col("gap") + 30)
    spec = make_spec([["district"]], linked=True)
    protected = protect_counts(counts, spec)
    rules = rules_of(protected.certificate)
    assert verify_witnesses(protected.table, rules, protected.decisions, protected.witnesses).unsafe == 1
    description = {"rounding": "half_up", "kinds": {"percent": {"figure": "share", "per": 100}}}
    figures = printed(
        pl.DataFrame({"district": ["1"], "kind": ["percent"], "figure": ["9.1"]}), description, ("district",)
    )
    with pytest.raises(DisclosureRefused, match="add up"):
        verify_claims(
            [Claim(Release(protected.table, rules, printed=figures), protected.decisions, protected.witnesses)]
        )
    # 3, 4 or 5 in 33 to 35 print 10 % where people print whole tens
    tens = {"rounding": "half_up", "kinds": {"percent": {"figure": "share", "per": 10}}}
    figures = printed(pl.DataFrame({"district": ["1"], "kind": ["percent"], "figure": ["1"]}), tens, ("district",))
    release = Release(protected.table, rules, printed=figures)
    assert verify_claims([Claim(release, protected.decisions, protected.witnesses)]).unsafe == 1


def test_folders_are_checked_together(tmp_path: Path) -> None:
    coarse, fine = make_spec([["major"]]), make_spec([["major", "district"]])
    first = protect_counts(AREAS.group_by("major").agg(pl.col("gap").sum()), coarse)
    write_protected(first, tmp_path / "first")
    write_protected(after(first, AREAS, fine), tmp_path / "second")
    assert verify_directory(tmp_path / "first", tmp_path / "second").unsafe == 1
