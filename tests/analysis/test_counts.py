"""Counts, residents and margins against the statuses and the oracle."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.areas import DISTRICT, MAJOR, UNKNOWN_AREA, load_areas
from schemas.errors import UsageRefused
from schemas.indicators import load_indicators
from tests.analysis import oracle
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, by_person, population
from transforms.analysis.counts import (
    COUNT_SCHEMA,
    DIMENSIONS,
    RESIDENT_SCHEMA,
    TOTAL,
    counts,
    margins,
    residents,
    statuses_at,
)
from transforms.analysis.evaluation import Statuses, evaluate

INDICATORS = load_indicators()
AREAS = load_areas()
DISTRICTS = AREAS.filter(pl.col("level") == DISTRICT)["code"].to_list()
BANDS = (0, 18, 45, 65, 75)
LABELS = ("0-17", "18-44", "45-64", "65-74", "75-")
DAY = date(2023, 6, 30)
OLD = date(2015, 1, 1)


def run(files: Any, as_ofs: tuple[date, ...] = (DAY,), ids: tuple[str, ...] = tuple(INDICATORS)) -> Statuses:
    return evaluate(files, [INDICATORS[name] for name in ids], as_ofs, BANDS, AREAS)


def band(person: Any, as_of: date) -> str:
    age = oracle.age_years(person, as_of)
    return LABELS[sum(age >= start for start in BANDS) - 1]


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_counts_and_residents_are_those_of_the_oracle(seed: int, tmp_path: Path) -> None:
    rows = population(seed, 50)
    statuses = run(write_lake(tmp_path / str(seed), rows), AS_OFS)
    expected: Counter[tuple[Any, ...]] = Counter()
    expected_residents: Counter[tuple[Any, ...]] = Counter()
    for person, records in zip(rows["person"], by_person(rows), strict=True):
        for as_of in AS_OFS:
            area = oracle.area_of(records, DISTRICTS, as_of)
            cell = (as_of, area, person["sex"] or "unknown", band(person, as_of))
            counts_here = oracle.is_counted(person, records, as_of)
            expected_residents[cell] += counts_here and oracle.is_resident(person, records, as_of)
            for indicator, word in oracle.statuses(person, records, as_of).items():
                expected[(indicator, *cell, word.split(":")[0])] += 1
    for row in counts(statuses).iter_rows(named=True):
        cell = (row["indicator"], row["as_of"], row["area_code"], row["sex"], row["age_band"])
        for word in ("open", "closed", "declined", "excluded"):
            assert row[word] == expected.pop((*cell, word), 0), (cell, word)
        assert row["eligible"] == row["open"] + row["closed"]
    assert {key[-1] for key, count in expected.items() if count} <= {"not_applicable"}
    for row in residents(statuses).iter_rows():
        assert row[-1] == expected_residents.pop(row[:-1], 0)
    assert not any(expected_residents.values())


def test_counts_reconcile_with_statuses(tmp_path: Path) -> None:
    statuses = run(write_lake(tmp_path, population(3, 200)), AS_OFS)
    totals = counts(statuses).group_by("indicator", "as_of").agg(pl.col(pl.Int64).sum())
    for row in totals.iter_rows(named=True):
        found = Counter(statuses_at(statuses, row["indicator"], row["as_of"], for_outreach=False)["status"])
        assert {word: row[word] for word in ("open", "closed", "declined", "excluded")} == {
            word: found[word] for word in ("open", "closed", "declined", "excluded")
        }


def test_every_combination_appears_once_and_zeros_are_zeros(tmp_path: Path) -> None:
    rows = {
        "person": [
            {"person_number": 0, "birth_date": date(1970, 1, 1), "sex": "female"},
            {"person_number": 1, "birth_date": date(1970, 1, 1), "sex": "male"},
        ]
    }
    found = counts(run(write_lake(tmp_path, rows), (DAY, OLD)))
    assert dict(found.schema) == COUNT_SCHEMA
    assert found.null_count().sum_horizontal().item() == 0
    assert found.select(pl.col(pl.Int64).sum()).sum_horizontal().item() == 0
    keys = ["indicator", "as_of", *DIMENSIONS]
    assert found.select(keys).is_duplicated().sum() == 0
    reached = {
        "diabetes_hba1c_missing": 5,
        "hypertension_bp_missing": 4,
        "cvd_ldl_missing": 4,
        "mmr_missing_at_two": 1,
        "frail_no_contact": 1,
        "provider_cancelled_not_rebooked": 5,
    }
    sizes = dict(found.group_by("indicator").len().iter_rows())
    assert sizes.keys() == INDICATORS.keys()
    assert {name: sizes[name] for name in reached} == {
        name: bands * 2 * 2 * (len(DISTRICTS) + 1) for name, bands in reached.items()
    }
    assert set(found.filter(indicator="mmr_missing_at_two")["age_band"]) == {"0-17"}
    assert set(found.filter(indicator="frail_no_contact")["age_band"]) == {"75-"}
    assert set(found["area_code"]) == {*DISTRICTS, UNKNOWN_AREA}


def at_home(tmp_path: Path, residence: list[dict[str, Any]], **tables: list[dict[str, Any]]) -> tuple[str, str]:
    """Area and age band in which the one person with hypertension is counted."""
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1958, 7, 1), "sex": "male"}],
        "diagnosis": [{"person_number": 0, "code_system": "icd10", "code": "I10", "event_date": OLD}],
        "residence": [{"person_number": 0, **row} for row in residence],
        **{name: [{"person_number": 0, **row} for row in records] for name, records in tables.items()},
    }
    found = counts(run(write_lake(tmp_path, rows), ids=("hypertension_bp_missing",))).filter(
        pl.col("open") + pl.col("excluded") > 0
    )
    assert found.height == 1
    return found["area_code"].item(), found["age_band"].item()


@pytest.mark.parametrize(
    ("residence", "area"),
    [
        ([], UNKNOWN_AREA),
        ([{"area_code": "101"}], "101"),
        ([{"area_code": None}], UNKNOWN_AREA),
        ([{"area_code": "no such area"}], UNKNOWN_AREA),
        ([{"area_code": "1"}], UNKNOWN_AREA),
        ([{"area_code": "101", "to_date": DAY}], "101"),
        ([{"area_code": "101"}, {"area_code": "102", "from_date": DAY}], "102"),
        ([{"area_code": "102", "from_date": DAY}, {"area_code": "101", "from_date": OLD}], "102"),
        ([{"area_code": "101"}, {"area_code": "102", "from_date": date(2023, 7, 1)}], "101"),
    ],
)
def test_a_person_counts_in_the_district_of_the_latest_residence(
    residence: list[dict[str, Any]], area: str, tmp_path: Path
) -> None:
    assert at_home(tmp_path, residence) == (area, "45-64")


def test_a_security_ban_hides_the_district_and_not_the_person(tmp_path: Path) -> None:
    ban = {"kind": "security_ban", "event_date": DAY}
    assert at_home(tmp_path, [{"area_code": "101"}], restriction=[ban])[0] == UNKNOWN_AREA


def test_a_ban_on_contacting_changes_nothing(tmp_path: Path) -> None:
    ban = {"kind": "contact_ban", "event_date": OLD}
    assert at_home(tmp_path, [{"area_code": "101"}], restriction=[ban])[0] == "101"


def test_a_birthday_moves_a_person_to_the_next_age_band(tmp_path: Path) -> None:
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1958, 7, 1), "sex": "male"}],
        "diagnosis": [{"person_number": 0, "code_system": "icd10", "code": "I10", "event_date": OLD}],
    }
    found = counts(
        run(write_lake(tmp_path, rows), (date(2023, 6, 30), date(2023, 7, 1)), ("hypertension_bp_missing",))
    ).filter(open=1)
    assert found.select("as_of", "age_band").rows() == [(date(2023, 6, 30), "45-64"), (date(2023, 7, 1), "65-74")]


def test_margins_hold_every_sum(tmp_path: Path) -> None:
    found = counts(run(write_lake(tmp_path, population(4, 300)), AS_OFS[:2]))
    summed = margins(found, AREAS)
    assert summed.schema == found.schema
    assert summed.select("indicator", "as_of", *DIMENSIONS).is_duplicated().sum() == 0
    parents = dict(AREAS.select("code", "parent").iter_rows())
    majors = AREAS.filter(pl.col("level") == MAJOR)["code"].to_list()
    expected: Counter[tuple[Any, ...]] = Counter()
    for row in found.iter_rows(named=True):
        for area in {row["area_code"], parents.get(row["area_code"], row["area_code"]), TOTAL}:
            for sex in (row["sex"], TOTAL):
                for age_band in (row["age_band"], TOTAL):
                    expected[(row["indicator"], row["as_of"], area, sex, age_band)] += row["eligible"]
    keys = ("indicator", "as_of", *DIMENSIONS)
    assert {tuple(r[k] for k in keys): r["eligible"] for r in summed.iter_rows(named=True)} == dict(expected)
    assert set(summed["area_code"]) == {*DISTRICTS, *majors, UNKNOWN_AREA, TOTAL}


def test_residents_have_every_age_band_and_leave_out_the_dead_and_the_gone(tmp_path: Path) -> None:
    rows = {
        "person": [
            {"person_number": n, "birth_date": date(1970, 1, 1), "sex": "female", "death_date": died}
            for n, died in enumerate((None, DAY, OLD, None, None))
        ],
        "residence": [
            {"person_number": 3, "area_code": "101", "to_date": OLD},
            {"person_number": 4, "area_code": "102"},
        ],
    }
    found = residents(run(write_lake(tmp_path, rows)))
    assert dict(found.schema) == RESIDENT_SCHEMA
    assert found.height == len(LABELS) * (len(DISTRICTS) + 1)
    some = found.filter(pl.col("residents") > 0).drop("as_of", "sex")
    assert some.rows() == [(UNKNOWN_AREA, "45-64", 2), ("102", "45-64", 1)]


@pytest.mark.parametrize(("indicator", "day"), [("diabetes_hba1c_missing", OLD), ("no_such_indicator", DAY)])
def test_statuses_that_were_not_evaluated_are_refused(indicator: str, day: date) -> None:
    with pytest.raises(UsageRefused, match="not evaluated"):
        statuses_at(run({}), indicator, day, for_outreach=False)
