"""The figures of a profile agree with a slow count in plain Python, whatever the rows."""

import math
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import profile as profile_module
from expectations.profile import DUPLICATE, EARLIEST, MERGED, PAIRS, Intake, figure_names, profile
from schemas.table import PERSON_NUMBER, Kind, Table
from schemas.tables import TABLES
from transforms.controller import validate
from transforms.controller.load import Tally

AS_OF, LATEST = date(2024, 5, 10), date(2024, 5, 12)
Row = dict[str, object]
DATES = st.sampled_from(
    [EARLIEST - timedelta(days=1), EARLIEST, date(2024, 1, 1), AS_OF, LATEST, LATEST + timedelta(days=1), None]
)
VALUES: dict[Kind, Callable[..., st.SearchStrategy]] = {
    Kind.CODE: lambda column: st.sampled_from([*column.terms[:2], "it's no term", None]),
    Kind.DATE: lambda _: DATES,
    Kind.INTEGER: lambda _: st.sampled_from([-1, 0, 3660, 3661, None]),
    Kind.DECIMAL: lambda _: st.sampled_from([5.5, math.nan, math.inf, None]),
    Kind.FLAG: lambda _: st.sampled_from([True, False, None]),
}


def rows_of(table: Table) -> st.SearchStrategy[list[Row]]:
    columns = {column.name: VALUES[column.kind](column) for column in table.platform_columns}
    keys = {name: st.sampled_from([b"a", b"b", None]) for name in ("pseudonym", "record_key")}
    numbers = {PERSON_NUMBER: st.sampled_from([0, 1, 2, None])}
    parts = {name: (numbers | keys | columns)[name] for name in table.platform_schema}
    return st.lists(st.fixed_dictionaries(parts), max_size=8)


def counted(rows: list[Row], table: Table, persons: list[Row]) -> dict[str, float | None]:
    """The slow way: every figure that is a count, and the age of the newest event."""

    def count(holds: Callable[[Row], object]) -> int:
        return sum(bool(holds(row)) for row in rows)

    def has(row: Row, *names: str) -> bool:
        return all(row.get(name) is not None for name in names)

    figures: dict[str, float | None] = {"row_count": len(rows)}
    for name in table.platform_schema:
        figures[f"{name}.null_count"] = count(lambda row, name=name: row[name] is None)
    for column in table.platform_columns:
        given_values = [row[column.name] for row in rows if row[column.name] is not None]
        if column.terms:
            figures[f"{column.name}.not_a_term_count"] = sum(value not in column.terms for value in given_values)
        if column.name == "code_system":
            for term in column.terms:
                figures[f"code_system.{term}_count"] = given_values.count(term)
        if column.kind is Kind.INTEGER:
            figures[f"{column.name}.out_of_range_count"] = sum(not 0 <= value <= 3660 for value in given_values)
        if column.kind is Kind.DECIMAL:
            figures[f"{column.name}.not_finite_count"] = sum(not math.isfinite(value) for value in given_values)
        if column.kind is Kind.DATE:
            figures[f"{column.name}.before_1900_count"] = sum(value < EARLIEST for value in given_values)
            if not column.may_be_future:
                figures[f"{column.name}.in_future_count"] = sum(value > LATEST for value in given_values)
    for first, last in PAIRS:
        if {first, last} <= set(table.platform_schema) and (table.name, last) != ("appointment", "recorded_date"):
            figures[f"{last}.before_{first}_count"] = count(
                lambda row, first=first, last=last: has(row, first, last) and row[last] < row[first]
            )
    born: dict[object, list[date]] = {}
    died: dict[object, list[date]] = {}
    for person in persons:
        born.setdefault(person[PERSON_NUMBER], []).extend([person["birth_date"]] if has(person, "birth_date") else [])
        died.setdefault(person[PERSON_NUMBER], []).extend([person["death_date"]] if has(person, "death_date") else [])
    known = {number for number in born if number is not None}
    figures["retracted_count"] = count(lambda row: row["is_retracted"])
    figures["orphan_count"] = count(lambda row: row[PERSON_NUMBER] not in known)
    if "event_date" in table.names:
        ours = [row for row in rows if row[PERSON_NUMBER] in known and has(row, "event_date")]
        figures["event_date.after_death_count"] = sum(
            row["event_date"] > max(died[row[PERSON_NUMBER]], default=date.max) for row in ours
        )
        figures["event_date.before_birth_count"] = sum(
            row["event_date"] < min(born[row[PERSON_NUMBER]], default=date.min) for row in ours
        )
        past = [row["event_date"] for row in rows if has(row, "event_date") and row["event_date"] <= AS_OF]
        figures["days_since_latest_event"] = (AS_OF - max(past)).days if past else None
    if table.name == "measurement":
        figures["unit.missing_count"] = count(lambda row: row["value"] is not None and row["unit"] is None)
    in_sample = [row for row in rows if row[PERSON_NUMBER] is not None]
    keys = ["pseudonym", PERSON_NUMBER] if table.name == "person" else ["record_key"]
    facts = [
        str([value for name, value in row.items() if name not in ("pseudonym", "record_key")]) for row in in_sample
    ]
    figures["repeated_count"] = len(facts) - len(set(facts))
    for key in keys:
        present = [row[key] for row in rows if row[key] is not None]
        figures[f"{key}.repeated_count"] = len(present) - len(set(present))
    return figures


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_figures_agree_with_a_plain_count(data: st.DataObject) -> None:
    table = TABLES[data.draw(st.sampled_from(sorted(TABLES)))]
    persons = data.draw(rows_of(TABLES["person"]))
    rows = persons if table.name == "person" else data.draw(rows_of(table))
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, drawn in (("person", persons), (table.name, rows)):
            files[name] = [Path(folder) / f"{name}.parquet"]
            pl.DataFrame(drawn, schema=TABLES[name].platform_schema).write_parquet(files[name][0])
        figures = profile(files, AS_OF, latest=LATEST)[table.name]
    expected = counted(rows, table, persons)
    assert {name: figures[name] for name in expected} == expected
    shares = {
        name
        for name in figures
        if name.endswith("_share") and name.partition("_")[0] not in ("quarantined", "duplicate")
    }
    assert {f"{name.removesuffix('_share')}_count" for name in shares} == {
        name for name in expected if name.endswith("_count") and name != "row_count"
    }
    for name in shares:
        part = expected[name.removesuffix("_share") + "_count"]
        key = name.removesuffix("repeated_share").removesuffix(".") or PERSON_NUMBER
        whole = sum(row[key] is not None for row in rows) if name.endswith("repeated_share") else len(rows)
        assert figures[name] == (part / whole if whole else None)


def test_a_profile_has_every_table_and_the_figures_that_it_says() -> None:
    profiles = profile({}, AS_OF)
    assert set(profiles) == set(TABLES)
    for name, figures in profiles.items():
        assert list(figures) == figure_names(TABLES[name])
        assert figures["row_count"] == 0
        assert all(value in (0, None) for value in figures.values())


def test_what_the_controller_did_adds_up() -> None:
    intake = Intake(
        rows_in=100, kept=80, quarantined={"code: is missing": 7, "x: is in the future": 3, DUPLICATE: 8, MERGED: 1}
    )
    figures = profile({}, AS_OF, {"contact": intake})["contact"]
    assert figures["quarantined_count"] == 10
    assert figures["quarantined_share"] == 0.1
    assert figures["duplicate_share"] == 0.09
    assert figures["lost_count"] == 1 + 80
    assert figures["quarantined.code: is missing_count"] == 7


def test_the_controllers_tally_and_word_for_duplicates_are_understood() -> None:
    tally = Tally(rows_in=3, kept=1)
    tally.quarantined.update({validate.DUPLICATE: 1, validate.MERGED: 1})
    intake = Intake(rows_in=tally.rows_in, kept=tally.kept, quarantined=tally.quarantined)
    figures = profile({}, AS_OF, {"contact": intake})["contact"]
    assert (figures["duplicate_count"], figures["quarantined_count"]) == (2, 0)


def test_repeated_rows_of_long_tables_are_counted_in_a_sample_of_persons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "SAMPLED_ROWS", 500)
    table = TABLES["contact"]
    numbers = [number for number in range(1000) for _ in range(2)]
    frame = pl.DataFrame({PERSON_NUMBER: numbers}).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in table.platform_schema.items() if name != PERSON_NUMBER
    )
    frame.cast({PERSON_NUMBER: pl.Int32}).select(*table.platform_schema).write_parquet(tmp_path / "contact.parquet")
    figures = profile({"contact": [tmp_path / "contact.parquet"]}, AS_OF)["contact"]
    assert figures["repeated_count"] == 250
    assert figures["repeated_share"] == 0.5


def test_a_key_that_two_persons_share_is_noticed_in_a_sample_of_a_long_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "SAMPLED_ROWS", 100)
    table, files = TABLES["contact"], [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    keys = pl.Series("record_key", [f"{number:016d}".encode() for number in range(1000)])
    for part, path in enumerate(files):
        numbers = pl.int_range(1000, dtype=pl.Int32, eager=True).alias(PERSON_NUMBER) + 1000 * part
        frame = pl.DataFrame([numbers, keys])
        rest = set(table.platform_schema) - set(frame.columns)
        frame = frame.with_columns(pl.lit(None, table.platform_schema[name]).alias(name) for name in rest)
        frame.select(*table.platform_schema).write_parquet(path)
    figures = profile({"contact": files}, AS_OF)["contact"]
    assert 0 < figures["record_key.repeated_count"] < 500
    assert figures["record_key.repeated_share"] == 0.5
