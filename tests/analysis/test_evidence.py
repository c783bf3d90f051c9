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
from schemas.indicators import AllOf, Events, Leaf, Not, Period, Selected, leaves, load_indicators
from schemas.table import PERSON_NUMBER
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, of_person, population
from transforms.analysis.cases import Case, read_cases
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate
from transforms.analysis.evidence import EVIDENCE_SCHEMA, evidence

INDICATORS = load_indicators()
CODELISTS = load_codelists()
AREAS = load_areas()
CASES = Path(__file__).parents[1] / "indicators"
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
            "expected_by": date(2023, 1, 31),  # from then on the gap is open, whatever the grace
            "selected": None,
        }
    ]


def test_of_two_values_of_a_day_the_same_one_is_told_each_time(tmp_path: Path) -> None:
    rows = [{"event_date": date(2022, 1, 31), "value": value} for value in (61.5, 70.0, 43.0)]
    for number, order in enumerate((rows, rows[::-1], rows[1:] + rows[:1])):
        assert diabetic(tmp_path / str(number), *order)["evidence"][0]["last_value"] == 70.0


def test_of_who_was_never_measured_a_measurement_is_expected_by_the_as_of_date(tmp_path: Path) -> None:
    (item,) = diabetic(tmp_path)["evidence"]
    assert item.pop("clause")
    assert item.pop("holds") is False
    assert item.pop("expected_by") == DAY
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
    assert told[-1] == {
        "specialty": "eyes", "event_date": "2022-09-01", "due_date": "2022-11-30", "is_rebooked": False,
        "is_need_ended": False,
    }  # fmt: skip
    assert [one["is_rebooked"] for one in told] == [True, False]
    assert item["holds"] is True  # some cancellation still waits; the gap is closed where none does
    assert (item["last_date"], item["expected_by"]) == (date(2022, 9, 1), date(2022, 11, 30))


def test_of_several_starts_the_one_that_nothing_followed_is_told(tmp_path: Path) -> None:
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1970, 1, 1), "sex": "female"}],
        "diagnosis": [
            {"person_number": 0, "code_system": "icd10", "code": "F32.1", "event_date": day}
            for day in (date(2022, 9, 10), date(2023, 6, 20))  # the second is no new one
        ],
        "medication": [{"person_number": 0, "code_system": "atc", "code": "N06AB10", "event_date": date(2023, 1, 2)}],
        "contact": [{"person_number": 0, "channel": "visit", "event_date": date(2023, 2, 1)}],
    }
    row = run(write_lake(tmp_path, rows), "depression_no_followup").row(0, named=True)
    assert row["status"] == "open"
    assert [(item["holds"], item["last_date"], item["last_code"], item["expected_by"]) for item in row["evidence"]] == [
        (True, date(2022, 9, 10), "F32.1", date(2022, 11, 5)),
        (False, date(2023, 1, 2), "N06AB10", date(2023, 2, 27)),
    ]


def cases_and_lake(name: str, folder: Path) -> tuple[list[Case], dict[str, list[str]]]:
    path = CASES / f"{name}.toml"
    cases = read_cases(path.name, path.read_text("utf-8"))
    rows: dict[str, list[dict[str, Any]]] = {"person": []}
    for number, case in enumerate(cases):
        rows["person"].append({PERSON_NUMBER: number, **case.person})
        for table, records in case.records.items():
            rows.setdefault(table, []).extend({PERSON_NUMBER: number, **record} for record in records)
    return cases, write_lake(folder, rows)


def due(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What is told of a person and was expected by the as-of date."""
    return [item for item in row["evidence"] if item["expected_by"] and item["expected_by"] <= row["as_of"]]


@pytest.mark.parametrize("name", INDICATORS)
def test_every_open_case_tells_what_was_due_and_since_when(name: str, tmp_path: Path) -> None:
    cases, files = cases_and_lake(name, tmp_path)
    follows = [leaf for leaf in leaves(INDICATORS[name].closed) if isinstance(leaf, Selected) or has_follow(leaf)]
    told = 0
    for as_of in {case.as_of for case in cases}:
        for row in run(files, name, as_of).filter(pl.col("status") == "open").iter_rows(named=True):
            case = cases[row[PERSON_NUMBER]]
            assert due(row), case.name
            days = {day for rows in case.records.values() for one in rows for day in one.values()}
            last = {item["last_date"] for item in due(row)} - {None}
            assert last <= days, case.name
            assert last or not follows, case.name
            told += case.as_of == as_of
    assert told == sum(case.expect == "open" for case in cases)


def has_follow(leaf: Leaf) -> bool:
    return isinstance(leaf, Events) and leaf.follow is not None


BY_HAND = {
    "callback_late": ("over Christmas, a day late", (2021, 12, 22), (2021, 12, 28)),
    "child_health_check_missed": ("four-month window closed, no visit", None, (2023, 1, 15)),
    "copd_influenza_vaccine_missing": ("the day before the last season", (2022, 9, 30), (2023, 3, 31)),
    "copd_spirometry_missing": ("on the last day before the window", (2021, 6, 30), (2023, 6, 30)),
    "cvd_ldl_missing": ("LDL on the last day before the window", (2022, 6, 30), (2023, 6, 30)),
    "cvd_statin_missing": ("a statin on the last day before the window", (2022, 12, 30), (2023, 6, 30)),
    "dementia_medicine_no_review": ("doctor on the last day before the window", (2022, 6, 30), (2023, 6, 30)),
    "depression_no_followup": ("no contact", (2023, 2, 1), (2023, 3, 29)),
    "diabetes_annual_checks_incomplete": ("none", None, (2023, 6, 30)),
    "diabetes_hba1c_missing": ("no measurement at all", None, (2023, 3, 31)),
    "frail_no_contact": ("a visit on the last day before the window", (2022, 6, 30), (2023, 6, 30)),
    "hba1c_high_no_followup": ("high, and nothing since", (2022, 10, 10), (2023, 4, 10)),
    "hypertension_bp_missing": ("read on the last day before the window", (2022, 6, 30), (2023, 6, 30)),
    "mmr_missing_at_two": ("a dose the day before 11 months", (2022, 1, 31), (2022, 2, 1)),
    "multiple_gaps": ("hypertension and COPD, nothing done", None, (2023, 3, 31)),
    "no_show_not_rebooked": ("two no-shows and nothing since", (2023, 3, 1), (2023, 4, 30)),
    "opioid_no_review": ("90 days' supply", None, (2023, 6, 30)),
    "provider_cancelled_not_rebooked": ("cancelled and nothing since", (2023, 1, 10), (2023, 4, 10)),
    "psychosis_metabolic_check_missing": ("nothing", None, (2023, 6, 30)),
    "substance_use_no_followup": ("no contact", (2023, 2, 1), (2023, 3, 3)),
}
"""By indicator a case, its last day and the day by which something was expected, the earliest of its parts'."""


@pytest.mark.parametrize("name", INDICATORS)
def test_what_was_expected_by_when_is_that_of_a_case_done_by_hand(name: str, tmp_path: Path) -> None:
    cases, files = cases_and_lake(name, tmp_path)
    what, last, expected = BY_HAND[name]
    (number,) = (number for number, case in enumerate(cases) if case.name == what)
    row = run(files, name, cases[number].as_of).row(number, named=True)
    first = min(due(row), key=lambda item: (item["last_date"] is None, item["expected_by"]))
    assert (first["last_date"], first["expected_by"]) == (last and date(*last), date(*expected))


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
        assert ("open" in (row["status"], row["newcomer_status"])) == bool(row["evidence"]) == bool(due(row))
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
            assert item["expected_by"] <= as_of
