"""Third-party records of OMOP and FHIR: the counts that a plain script over the raw files finds.

The script reads the files by itself, with DuckDB and in no way that a source does. Records are of generated persons and
are not part of the project: CAREGAP_TEST_DATA names their folder.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from schemas.codelists import load_codelists
from tests.conftest import THIRD_PARTY
from tests.sources.counting import counts_of, load
from transforms.sources import Source
from transforms.sources.fhir import FhirSource
from transforms.sources.omop import OmopSource

OMOP, FHIR = THIRD_PARTY / "omop_synthea27", THIRD_PARTY / "fhir_bulk_ndjson_10"
LISTS = load_codelists()
CHRONIC = ("arterial_disease", "copd", "dementia", "diabetes", "heart_failure", "hypertension", "kidney_disease")

OMOP_SCRIPT = f"""
CREATE VIEW person AS
    SELECT p.person_id::VARCHAR AS id, make_date(year_of_birth, month_of_birth, day_of_birth) AS born,
        death_date AS died
    FROM read_csv('{OMOP}/PERSON.csv') AS p LEFT JOIN read_csv('{OMOP}/DEATH.csv') AS d USING (person_id);
CREATE VIEW condition AS
    SELECT person_id::VARCHAR AS id, condition_source_value::VARCHAR AS code, condition_start_date AS begun,
        condition_end_date AS ended
    FROM read_csv('{OMOP}/CONDITION_OCCURRENCE.csv');
CREATE VIEW test AS
    SELECT person_id::VARCHAR AS id, measurement_source_value::VARCHAR AS code, measurement_date AS day
    FROM read_csv('{OMOP}/MEASUREMENT.csv');
CREATE VIEW medicine AS
    SELECT person_id::VARCHAR AS id, drug_source_value::VARCHAR AS code, drug_exposure_start_date AS day
    FROM read_csv('{OMOP}/DRUG_EXPOSURE.csv');
CREATE VIEW visit AS
    SELECT person_id::VARCHAR AS id, visit_concept_id = 9203 AS is_emergency, visit_start_date AS day
    FROM read_csv('{OMOP}/VISIT_OCCURRENCE.csv');
CREATE VIEW dose AS SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS code, NULL::DATE AS day WHERE false;
"""


def lines(kind: str) -> str:
    return f"read_json_objects('{FHIR}/{kind}.*.ndjson', format = 'newline_delimited')"


def day(path: str) -> str:
    return f"left(json ->> '{path}', 10)::DATE"


FHIR_SCRIPT = f"""
CREATE VIEW person AS
    SELECT json ->> '$.id' AS id, {day("$.birthDate")} AS born, {day("$.deceasedDateTime")} AS died
    FROM {lines("Patient")};
CREATE VIEW condition AS
    SELECT split_part(json ->> '$.subject.reference', '/', 2) AS id, json ->> '$.code.coding[0].code' AS code,
        {day("$.onsetDateTime")} AS begun, {day("$.abatementDateTime")} AS ended FROM {lines("Condition")};
CREATE VIEW test AS SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS code, NULL::DATE AS day WHERE false;
CREATE VIEW medicine AS
    SELECT split_part(json ->> '$.subject.reference', '/', 2) AS id, {day("$.authoredOn")} AS day,
        json ->> '$.medicationCodeableConcept.coding[0].code' AS code FROM {lines("MedicationRequest")};
CREATE VIEW visit AS
    SELECT split_part(json ->> '$.subject.reference', '/', 2) AS id, json ->> '$.class.code' = 'EMER' AS is_emergency,
        {day("$.period.start")} AS day FROM {lines("Encounter")};
CREATE VIEW dose AS
    SELECT split_part(json ->> '$.patient.reference', '/', 2) AS id, {day("$.occurrenceDateTime")} AS day,
        json ->> '$.vaccineCode.coding[0].code' AS code FROM {lines("Immunization")};
"""


def codes(system: str, *lists: str) -> str:
    found = [code for name in lists for code in LISTS[name].codes.get(system, ())]
    return "(" + ", ".join(f"'{code}'" for code in found) + ")"


def has(conditions: str, since: str = "$d") -> str:
    """Whether somebody has a condition that began by `since` and has not ended before the date."""
    return (
        f"EXISTS (FROM condition c WHERE c.id = p.id AND c.code IN {conditions} AND c.begun <= {since}"
        " AND (c.ended IS NULL OR c.ended >= $d))"
    )


def within(table: str, months: int, and_where: str = "true") -> str:
    return f"FROM {table} e WHERE e.id = p.id AND e.day > $d - INTERVAL {months} MONTH AND e.day <= $d AND {and_where}"


def aged(least: int, most: int = 200) -> str:
    return f"p.born + INTERVAL {least} YEAR <= $d AND p.born + INTERVAL {most + 1} YEAR > $d"


MANY = " + ".join(f"{has(codes('snomed', name))}::INTEGER" for name in CHRONIC)
INDICATORS: dict[str, tuple[str, str]] = {
    "diabetes_hba1c_missing": (
        f"{aged(16)} AND {has(codes('snomed', 'diabetes'), '$d - INTERVAL 12 MONTH')}",
        f"EXISTS ({within('test', 12, 'e.code IN ' + codes('loinc', 'hba1c'))})",
    ),
    "hypertension_bp_missing": (
        f"{aged(18)} AND {has(codes('snomed', 'hypertension'))}",
        f"EXISTS ({within('test', 12, 'e.code IN ' + codes('loinc', 'systolic_pressure'))})",
    ),
    "cvd_ldl_missing": (
        f"{aged(18, 85)} AND {has(codes('snomed', 'arterial_disease'))}",
        f"EXISTS ({within('test', 12, 'e.code IN ' + codes('loinc', 'ldl'))})",
    ),
    "mmr_missing_at_two": (
        "p.born + INTERVAL 24 MONTH <= $d AND p.born + INTERVAL 36 MONTH > $d",
        f"EXISTS (FROM dose e WHERE e.id = p.id AND e.code IN {codes('cvx', 'mmr')}"
        " AND e.day >= p.born + INTERVAL 11 MONTH AND e.day <= $d)",
    ),
    "frail_no_contact": (
        f"{aged(75)} AND ({MANY} >= 2 OR EXISTS ({within('visit', 24, 'e.is_emergency')})"
        f" OR (SELECT count(DISTINCT e.code) {within('medicine', 12)}) >= 10)",
        f"EXISTS ({within('visit', 12)})",
    ),
}


def plain_counts(script: str, as_ofs: list[date]) -> dict[tuple[str, date], tuple[int, int]]:
    """Population and open gaps by indicator and date."""
    found = {}
    with duckdb.connect() as connection:
        connection.execute(script)
        for indicator, (population, closed) in INDICATORS.items():
            for as_of in as_ofs:
                row = connection.execute(
                    f"SELECT count(*), count(*) FILTER (WHERE NOT {closed}) FROM person p"
                    f" WHERE p.born <= $d AND (p.died IS NULL OR p.died >= $d) AND {population}",
                    {"d": as_of},
                ).fetchone()
                assert row is not None
                found[indicator, as_of] = row
    return found


def year_ends(first: int, last: int) -> list[date]:
    """Month-ends, where months of birth give the ages that days of birth do; every other one in May."""
    return [date(year, 12, 31) if year % 2 else date(year, 5, 31) for year in range(first, last + 1)]


CASES = [
    pytest.param(
        lambda: OmopSource(OMOP),
        OMOP_SCRIPT,
        year_ends(1994, 2022),
        marks=pytest.mark.skipif(not OMOP.is_dir(), reason="no third-party OMOP records; CAREGAP_TEST_DATA names them"),
        id="omop",
    ),
    pytest.param(
        lambda: FhirSource(FHIR),
        FHIR_SCRIPT,
        year_ends(1980, 2008) + year_ends(2021, 2023),
        marks=pytest.mark.skipif(not FHIR.is_dir(), reason="no third-party FHIR records; CAREGAP_TEST_DATA names them"),
        id="fhir",
    ),
]


@pytest.mark.parametrize(("source", "script", "as_ofs"), CASES)
def test_counts_are_those_of_a_plain_script(
    source: Callable[[], Source], script: str, as_ofs: list[date], tmp_path: Path
) -> None:
    expected = plain_counts(script, as_ofs)
    counted = counts_of(source(), as_ofs, tmp_path)
    totals = counted.group_by("indicator", "as_of").agg(pl.col("eligible", "open").sum())
    found = {(row[0], row[1]): row[2:] for row in totals.iter_rows() if row[0] in INDICATORS}
    assert found == expected
    assert len({indicator for (indicator, _), (population, _) in expected.items() if population}) >= 3


@pytest.mark.parametrize(("source", "script", "as_ofs"), CASES)
def test_no_row_is_lost(source: Callable[[], Source], script: str, as_ofs: list[date], tmp_path: Path) -> None:
    _, tallies = load(source(), date(2024, 12, 31), tmp_path)
    names = {"person": "person", "condition": "diagnosis", "visit": "contact", "medicine": "medication"}
    with duckdb.connect() as connection:
        connection.execute(script)
        for view, table in names.items():
            row = connection.execute(f"SELECT count(*) FROM {view}").fetchone()
            assert row is not None
            assert tallies[table].rows_in == row[0], table
            assert set(tallies[table].quarantined) <= {"exact duplicate"}
