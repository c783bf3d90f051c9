"""A lake evaluated in ranges of persons: the same figures and evidence, and nobody's rows found, whatever the range."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.errors import QualityGateFailed
from schemas.indicators import load_indicators
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from tests.analysis.lakes import RECORDS, write_lake
from tests.analysis.populations import AS_OFS, population
from transforms.analysis.blocks import Counted, count_lake
from transforms.analysis.counts import counts, details, residents
from transforms.analysis.coverage import coverage
from transforms.analysis.evaluation import evaluate
from transforms.analysis.evidence import evidence
from transforms.analysis.lake import Lake

INDICATORS = load_indicators()
EVERY = list(INDICATORS.values())
SOME = [
    INDICATORS[name]
    for name in ("diabetes_annual_checks_incomplete", "callback_late", "mmr_missing_at_two", "multiple_gaps")
]
AREAS = load_areas()
BANDS = (0, 18, 65)
PERSONS = 40
_READING = {
    "diagnosis": "hypertension_bp_missing",
    "residence": "hypertension_bp_missing",
    "appointment": "provider_cancelled_not_rebooked",
}


def counted(files: Mapping[str, Sequence[str]], persons_at_once: int) -> Counted:
    return count_lake(files, SOME, AS_OFS, BANDS, AREAS, persons_at_once)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), parts=st.integers(1, 3), persons_at_once=st.integers(6, PERSONS))
def test_counts_details_and_coverage_do_not_depend_on_the_range(
    seed: int, parts: int, persons_at_once: int, tmp_path: Path
) -> None:
    files = write_lake(tmp_path / f"{seed}-{parts}", population(seed, PERSONS), parts=parts)
    statuses = evaluate(files, SOME, AS_OFS, BANDS, AREAS)
    found = counted(files, persons_at_once)
    assert found.counts.equals(counts(statuses))
    assert found.details.equals(details(statuses))
    assert found.residents.equals(residents(statuses))
    whole, in_ranges = (coverage(files, EVERY, AS_OFS[0], AREAS, size) for size in (PERSONS, persons_at_once))
    assert in_ranges.equals(whole)


@pytest.mark.parametrize("name", ["diabetes_hba1c_missing", "no_show_not_rebooked", "mmr_missing_at_two"])
def test_evidence_does_not_depend_on_the_range(name: str, tmp_path: Path) -> None:
    files = write_lake(tmp_path, population(5, 400), parts=2)
    whole, *in_ranges = (
        evidence(files, INDICATORS[name], AS_OFS[0], AREAS, persons_at_once=size, for_outreach=False)
        for size in (400, 150, 399)
    )
    assert (whole["status"] == "open").any()
    assert all(found.equals(whole) for found in in_ranges)


def test_a_range_opens_only_the_files_that_can_have_its_rows(tmp_path: Path) -> None:
    rows, files = population(4, PERSONS), {}
    for start in range(0, PERSONS, 10):
        some = {
            name: [row for row in table if start <= row[PERSON_NUMBER] < start + 10] for name, table in rows.items()
        }
        for name, paths in write_lake(tmp_path / str(start), some).items():
            files.setdefault(name, []).extend(paths)
    blocks = list(Lake(files).blocks(10))
    assert [(block.first, block.last) for block in blocks] == [(None, 10), (10, 20), (20, 30), (30, None)]
    assert [block.files["person"] for block in blocks] == [[path] for path in files["person"]]
    assert counted(files, 10).counts.equals(counted(files, PERSONS).counts)


def test_each_sex_is_counted_though_a_range_knows_fewer(tmp_path: Path) -> None:
    people = [
        {"person_number": number, "birth_date": date(1960, 1, 1), "sex": sex}
        for number, sex in enumerate(("male", "male", "female", None))
    ]
    files = write_lake(tmp_path, {"person": people})
    found, whole = counted(files, 2), counted(files, 4)
    assert set(found.residents["sex"]) == {"female", "male", "unknown"}
    assert found.residents.equals(whole.residents)
    assert found.counts.equals(whole.counts)


def test_a_number_that_nobody_has_is_nobodys_in_every_range(tmp_path: Path) -> None:
    rows = population(6, 10)
    rows = {name: [row for row in table if name != "person" or row[PERSON_NUMBER] != 4] for name, table in rows.items()}
    files = write_lake(tmp_path, rows)
    assert counted(files, 5).counts.equals(counted(files, 10).counts)


@pytest.mark.parametrize("number", [-1, None, 4, 2**31 - 1])
@pytest.mark.parametrize("table", RECORDS)
def test_rows_of_nobody_are_refused_in_ranges_too(table: str, number: int | None, tmp_path: Path) -> None:
    rows = {
        "person": [{"person_number": one, "birth_date": date(1950, 1, 1)} for one in range(4)],
        table: [{"person_number": one, **RECORDS[table]} for one in (0, number)],
    }
    files = write_lake(tmp_path, rows)
    with pytest.raises(QualityGateFailed, match="not in the person table"):
        count_lake(files, [INDICATORS[_READING[table]]], AS_OFS[:1], BANDS, AREAS, persons_at_once=2)


def test_a_file_that_does_not_say_whose_rows_it_has_is_read_in_every_range(tmp_path: Path) -> None:
    files = write_lake(tmp_path, population(6, 8))
    whole = counted(files, 8)
    for paths in files.values():
        for path in paths:
            pl.read_parquet(path).write_parquet(path, statistics=False)
    assert all(block.files == files for block in Lake(files).blocks(3))
    assert counted(files, 3).counts.equals(whole.counts)


def test_an_empty_lake_is_one_range() -> None:
    assert list(Lake({}).blocks(1)) == [Lake({})]
    assert counted({}, 1).residents["residents"].sum() == 0
    assert replace(Lake({}), first=3).scan(TABLES["person"]).collect().is_empty()
