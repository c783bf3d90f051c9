"""What is told of an open gap, against cases done by hand and against the records themselves."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.codelists import TREE_SYSTEMS, load_codelists
from schemas.indicators import AllOf, Events, Not, Period, load_indicators
from schemas.table import PERSON_NUMBER
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, of_person, population
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate
from transforms.analysis.evidence import EVIDENCE_SCHEMA, evidence

INDICATORS = load_indicators()
CODELISTS = load_codelists()
AREAS = load_areas()
DAY = date(2023, 6, 30)
HBA1C = {"code_system": "loinc", "code": "4548-4", "unit": "mmol/mol"}


def run(files: Any, indicator: str, as_of: date = DAY, *, for_outreach: bool = False) -> pl.DataFrame:
    return evidence(files, INDICATORS[indicator], as_of, AREAS, for_outreach=for_outreach)


def diabetic(folder: Path, *measured: dict[str, Any], **tables: list[dict[str, Any]]) -> dict[str, Any]:
    """One person with diabetes and these measurements; the person's row of the evidence."""
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1958, 7, 1), "sex": "male"}],
        "diagnosis": [
            {"person_number": 0, "code_system": "icd10", "code": "E11.9", "event_date": date(2015, 1, 1)},
        ],
        "measurement": [{"person_number": 0, **HBA1C, **row} for row in measured],
        **tables,
    }
    found = run(write_lake(folder, rows), "diabetes_hba1c_missing")
    assert found.height == 1
    return found.row(0, named=True)


def test_an_open_gap_tells_the_last_value_and_when_the_next_was_due(tmp_path: Path) -> None:
    row = diabetic(
        tmp_path,
        {"event_date": date(2021, 3, 31), "value": 50.0},
        {"event_date": date(2022, 1, 31), "value": 61.5},
        {"event_date": date(2022, 5, 1), "value": 40.0, "is_retracted": True},
        {"event_date": date(2022, 5, 2), "value": 41.0, "code": "18262-6"},
        {"event_date": date(2023, 7, 1), "value": 42.0},
    )
    assert (row["status"], row["indicator"], row["as_of"]) == ("open", "diabetes_hba1c_missing", DAY)
    assert row["evidence"] == [
        {
            "clause": "measurement hba1c, within 12 months",
            "holds": False,
            "last_date": date(2022, 1, 31),
            "last_code": "4548-4",
            "last_value": 61.5,
            "last_unit": "mmol/mol",
            "expected_by": date(2023, 2, 28),  # 12 months later, and a month of grace: too short for the 31st
            "selected": None,
        }
    ]


def test_of_two_values_of_a_day_the_same_one_is_told_each_time(tmp_path: Path) -> None:
    rows = [{"event_date": date(2022, 1, 31), "value": value} for value in (61.5, 70.0, 43.0)]
    for number, order in enumerate((rows, rows[::-1], rows[1:] + rows[:1])):
        assert diabetic(tmp_path / str(number), *order)["evidence"][0]["last_value"] == 70.0


def test_who_was_never_measured_has_nothing_to_tell(tmp_path: Path) -> None:
    (item,) = diabetic(tmp_path)["evidence"]
    assert item.pop("clause")
    assert item.pop("holds") is False
    assert set(item.values()) == {None}


@pytest.mark.parametrize("tested", [date(2022, 7, 1), DAY])
def test_a_closed_gap_needs_no_evidence(tmp_path: Path, tested: date) -> None:
    row = diabetic(tmp_path, {"event_date": tested, "value": 50.0})
    assert (row["status"], row["evidence"]) == ("closed", [])


@pytest.mark.parametrize(
    ("moved_in", "tested", "told"),
    [
        (date(2022, 6, 30), None, ("open", None, 1)),
        (date(2022, 7, 1), None, ("excluded", "open", 1)),
        (date(2022, 7, 1), date(2023, 1, 1), ("excluded", "closed", 0)),
        (date(2023, 7, 1), None, ("excluded", None, 0)),
    ],
)
def test_newcomers_are_told_as_a_stratum_of_their_own(
    tmp_path: Path, moved_in: date, tested: date | None, told: tuple[str, str | None, int]
) -> None:
    home = {"person_number": 0, "area_code": "101", "from_date": moved_in}
    row = diabetic(tmp_path, *([{"event_date": tested}] if tested else []), residence=[home])
    assert (row["status"], row["newcomer_status"], len(row["evidence"])) == told


def test_what_is_due_at_an_age_is_expected_from_then(tmp_path: Path) -> None:
    early = {"person_number": 0, "code_system": "atc", "code": "J07BD52", "event_date": date(2021, 4, 1)}
    rows = {"person": [{"person_number": 0, "birth_date": date(2020, 12, 1), "sex": "female"}], "vaccination": [early]}
    (item,) = run(write_lake(tmp_path, rows), "mmr_missing_at_two").row(0, named=True)["evidence"]
    assert (item["last_date"], item["expected_by"]) == (date(2021, 4, 1), date(2021, 11, 1))
    rows["vaccination"] = []
    (item,) = run(write_lake(tmp_path / "none", rows), "mmr_missing_at_two").row(0, named=True)["evidence"]
    assert (item["last_date"], item["expected_by"]) == (None, date(2021, 11, 1))


def test_a_sequence_tells_all_that_its_select_gives(tmp_path: Path) -> None:
    cancelled = {"person_number": 0, "status": "cancelled_by_provider", "reason": "capacity"}
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1970, 1, 1), "sex": "female"}],
        "appointment": [
            {**cancelled, "event_date": date(2022, 9, 1), "specialty": "eyes"},
            {**cancelled, "event_date": date(2022, 10, 1), "specialty": "heart"},
            {"person_number": 0, "status": "attended", "event_date": date(2022, 11, 1), "specialty": "heart"},
        ],
    }
    row = run(write_lake(tmp_path, rows), "provider_cancelled_not_rebooked").row(0, named=True)
    assert row["status"] == "open"
    (item,) = row["evidence"]
    told = json.loads(item["selected"])
    assert sorted(one["is_rebooked"] for one in told) == [False, True]
    assert item["holds"] is True  # some cancellation still waits; the gap is closed where none does


def test_each_part_of_what_closes_a_gap_says_whether_it_holds(tmp_path: Path) -> None:
    tested = Events("measurement", ("hba1c",), within=Period(12, "months"))
    pressed = Events("measurement", ("systolic_pressure",), within=Period(6, "months"))
    both = replace(INDICATORS["diabetes_hba1c_missing"], closed=AllOf((tested, Not(pressed))), grace=None)
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1958, 7, 1), "sex": "male"}],
        "diagnosis": [{"person_number": 0, "code_system": "icd10", "code": "E10", "event_date": date(2015, 1, 1)}],
        "measurement": [
            {"person_number": 0, **HBA1C, "event_date": date(2023, 5, 31)},
            {"person_number": 0, "code_system": "loinc", "code": "8480-6", "event_date": date(2023, 2, 1)},
        ],
    }
    found = evidence(write_lake(tmp_path, rows), both, DAY, AREAS, for_outreach=False).row(0, named=True)
    assert [(item["holds"], item["expected_by"]) for item in found["evidence"]] == [
        (True, date(2024, 5, 31)),
        (True, date(2023, 8, 1)),
    ]


def test_bans_and_objections_are_honoured(tmp_path: Path) -> None:
    kinds = (None, "contact_ban", "objection", "processing_restriction", "security_ban")
    rows = {
        "person": [{"person_number": n, "birth_date": date(1958, 7, 1), "sex": "male"} for n in range(len(kinds))],
        "diagnosis": [
            {"person_number": n, "code_system": "icd10", "code": "E11", "event_date": date(2015, 1, 1)}
            for n in range(len(kinds))
        ],
        "measurement": [{"person_number": n, **HBA1C, "event_date": date(2020, 1, 1)} for n in range(len(kinds))],
        "restriction": [
            {"person_number": n, "kind": kind, "event_date": date(2023, 1, 1)} for n, kind in enumerate(kinds) if kind
        ],
    }
    files = write_lake(tmp_path, rows)
    told = {
        outreach: {
            kinds[row[PERSON_NUMBER]]: bool(row["evidence"])
            for row in run(files, "diabetes_hba1c_missing", for_outreach=outreach).iter_rows(named=True)
        }
        for outreach in (True, False)
    }
    assert told[True] == {None: True, "security_ban": True}
    assert told[False] == {
        None: True, "security_ban": True, "contact_ban": True, "objection": False, "processing_restriction": False,
    }  # fmt: skip
    with pytest.raises(TypeError):
        evidence(files, INDICATORS["diabetes_hba1c_missing"], DAY, AREAS)  # type: ignore[call-arg]


def matches(part: Events, row: dict[str, Any]) -> bool:
    """Whether a row is of the kind that a part counts, whenever it was."""
    if row.get("is_retracted"):
        return False
    of_codes = not part.codes
    for name in part.codes:
        codes = CODELISTS[name].codes.get(row.get("code_system"), ())
        tree = row.get("code_system") in TREE_SYSTEMS
        of_codes |= row["code"].startswith(tuple(codes)) if tree and codes else row["code"] in codes
    return (
        of_codes
        and all(row.get(column) in values for column, values in part.where)
        and not any(row.get(column) in values for column, values in part.where_not)
    )


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), name=st.sampled_from(list(INDICATORS)))
def test_the_evidence_is_the_latest_row_that_the_records_hold(seed: int, name: str, tmp_path: Path) -> None:
    rows, as_of = population(seed, 60), AS_OFS[seed % len(AS_OFS)]
    files, indicator = write_lake(tmp_path / str(seed), rows), INDICATORS[name]
    found = run(files, name, as_of)
    assert dict(found.schema) == EVIDENCE_SCHEMA
    statuses = evaluate(files, [indicator], [as_of], (0,), AREAS)
    for outreach in (False, True):
        expected = statuses_at(statuses, name, as_of, for_outreach=outreach)
        assert run(files, name, as_of, for_outreach=outreach).select(expected.columns).equals(expected)
    for row in found.iter_rows(named=True):
        assert ("open" in (row["status"], row["newcomer_status"])) == bool(row["evidence"])
        records = of_person(rows, row[PERSON_NUMBER])
        for item in row["evidence"]:
            if not isinstance(indicator.closed, Events):
                continue
            assert not item["holds"]
            days = [
                record["event_date"]
                for record in records[indicator.closed.table]
                if record["event_date"] <= as_of and matches(indicator.closed, record)
            ]
            assert item["last_date"] == max(days, default=None)
            if item["last_date"] and indicator.closed.within and indicator.grace is None:
                assert item["expected_by"] <= as_of
