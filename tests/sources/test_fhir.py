"""FHIR R4 exports of different servers; the resources here are invented."""

import gzip
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.errors import SourceRefused
from schemas.tables import TABLES
from tests.controller.people import identity_code
from tests.sources.counting import counts_of, totals
from transforms.controller.shapes import ill_shaped
from transforms.sources import Source, fhir_files
from transforms.sources.fhir import FhirSource

CANARY = "Zyxwv"
COLUMN = TABLES["appointment"].column("specialty")
CODE, FORMER = identity_code(date(2001, 2, 3)), identity_code(date(2001, 2, 3), 950)
OID = "urn:oid:1.2.246.21"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
Resource = dict[str, Any]
ANNA: Resource = {"resourceType": "Patient", "id": "anna", "gender": "female", "birthDate": "1950-02-03"}


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def write(folder: Path, *resources: Resource, **files: bytes) -> Path:
    """Each type in a file of its own, as servers name them; `files` are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    by_type: dict[str, list[str]] = {}
    for resource in resources:
        by_type.setdefault(resource["resourceType"], []).append(json.dumps(resource))
    for kind, lines in by_type.items():
        (folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n")
    for name, text in files.items():
        (folder / f"{name}.ndjson").write_bytes(text)
    return folder


def read(source: Source) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for table, rows in source.batches():
        frames.setdefault(table, []).append(rows)
    return {table: pl.concat(parts) for table, parts in frames.items()}


def table_of(tmp_path: Path, name: str, *resources: Resource) -> pl.DataFrame:
    """A table as it is read from resources about Anna."""
    frames = read(FhirSource(write(tmp_path / "export", ANNA, *resources)))
    assert set(frames[name].columns) <= set(TABLES[name].names)
    return frames[name]


def count(source: Source, table: str, word: str) -> int | None:
    found = [remark for remark in source.remarks() if remark.table == table and word in remark.rule]
    assert len(found) == 1, source.remarks()
    return found[0].count


def about(kind: str, **elements: Any) -> Resource:
    return {"resourceType": kind, "id": f"{kind}-1", "subject": {"reference": "Patient/anna"}, **elements}


# Persons


def test_a_patient_becomes_a_person_and_a_residence(tmp_path: Path) -> None:
    patient = ANNA | {
        "active": True,
        "name": [{"use": "official", "family": CANARY, "given": ["Aaa", "Bbb"]}, {"use": "maiden", "family": "Old"}],
        "telecom": [{"system": "email", "value": "a@b.fi"}, {"system": "phone", "value": "+358 1"}],
        "deceasedDateTime": "2020-01-01T23:59:00-05:00",
        "address": [
            {"use": "home", "line": ["Road 1", "A 2"], "district": "Kallio", "postalCode": "00500", "city": "Helsinki"},
            {"use": "temp", "district": "101"},
            {"use": "old", "district": "102"},
            {"use": "old", "district": "102", "period": {"start": "2001-05", "end": "2010-06"}},
        ],
        "multipleBirthBoolean": False,
        "photo": [{"data": "x" * 1000}],
    }
    frames = read(FhirSource(write(tmp_path, patient)))
    assert frames["person"].row(0, named=True) == {
        "person_id": "anna",
        "given_names": "Aaa Bbb",
        "family_name": CANARY,
        "phone": "+358 1",
        "email": "a@b.fi",
        "birth_date": "1950-02-03",
        "sex": "female",
        "death_date": "2020-01-01",
    }
    assert frames["residence"].select("area_code", "from_date", "to_date", "street_address", "postal_code").rows() == [
        ("301", None, None, "Road 1 A 2", "00500"),
        ("102", "2001-05-01", "2010-06-30", None, None),
    ]


def test_identity_codes_name_persons_and_earlier_ones_are_links(tmp_path: Path) -> None:
    ours = {"use": "official", "system": OID, "value": CODE}
    patient = ANNA | {
        "identifier": [{"system": "x", "value": "y"}, {"use": "old", "system": OID, "value": FORMER}, ours]
    }
    replaced = {**ANNA, "id": "double", "link": [{"other": {"reference": "Patient/anna"}, "type": "replaced-by"}]}
    other = {**ANNA, "id": "seen", "link": [{"other": {"reference": "Patient/anna"}, "type": "seealso"}]}
    visits = [
        about("Encounter", period={"start": "2020-01-01"}, subject=subject)
        for subject in (
            {"reference": "Patient/anna/_history/3"},
            {"reference": "https://ehr.example/r4/Patient/anna"},
            {"reference": "urn:uuid:anna"},
            {"identifier": {"system": "urn:oid:1.2.246.21", "value": CODE}},
            {"identifier": {"system": "other", "value": "1"}},
            {"reference": "Group/anna"},
        )
    ]
    source = FhirSource(write(tmp_path, patient, replaced, other, *visits))
    frames = read(source)
    assert source.identifier == "hetu"
    assert next(iter(frames)) == "identity_link"
    assert sorted(frames["identity_link"].select("former_id", "person_id").rows()) == [(FORMER, CODE), ("double", CODE)]
    assert frames["person"]["person_id"].to_list() == [CODE, "double", "seen"]
    assert frames["contact"]["person_id"].to_list() == [CODE] * 4 + [None] * 2


def test_patients_without_identity_codes_are_known_by_their_ids(tmp_path: Path) -> None:
    replaced = {**ANNA, "id": "double", "link": [{"other": {"reference": "Patient/anna"}, "type": "replaced-by"}]}
    source = FhirSource(write(tmp_path, ANNA, replaced))
    assert source.identifier == "opaque"
    assert read(source)["identity_link"].rows() == [("double", "anna")]


def test_a_secret_address_is_a_ban(tmp_path: Path) -> None:
    banned = {**ANNA, "meta": {"security": [{"system": "https://hl7.fi/x", "code": "Turvakielto"}]}}
    frames = read(FhirSource(write(tmp_path, banned, {**ANNA, "id": "bert", "meta": {"security": [{"code": "R"}]}})))
    assert frames["restriction"].select("person_id", "kind", "event_date").rows() == [
        ("anna", "security_ban", "1950-02-03")
    ]


@pytest.mark.parametrize(
    ("elements", "day"),
    [
        ({"deceasedBoolean": False}, None),
        ({"deceasedBoolean": True, "deceasedDateTime": "2019-05-05"}, "2019-05-05"),
        ({"deceasedBoolean": True, "meta": {"lastUpdated": "2020-03-04T22:30:00Z"}}, "2020-03-05"),
        ({"deceasedBoolean": True}, "unknown"),  # which the controller cannot read, and quarantines
    ],
)
def test_the_dead_are_not_alive_though_nothing_tells_when(tmp_path: Path, elements: Resource, day: str | None) -> None:
    assert read(FhirSource(write(tmp_path, ANNA | elements)))["person"]["death_date"].to_list() == [day]


# Data types


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2020-05-06", "2020-05-06"),
        ("2020-05-06T23:30:00+03:00", "2020-05-06"),
        ("2020-05-06T23:30:00-05:00", "2020-05-06"),
        ("2020-05-06T00:10:00+00:00", "2020-05-06"),
        ("2020-05-06T21:00:00+00:00", "2020-05-07"),  # many servers write UTC so
        ("2020-05-06T22:30:00.000-00:00", "2020-05-07"),
        ("2020-05-06T23:59:00+01:00", "2020-05-06"),
        ("2020-05-06T20:59:59Z", "2020-05-06"),
        ("2020-05-06T21:00:00Z", "2020-05-07"),  # summer: three hours
        ("2020-01-06T21:59:59.999Z", "2020-01-06"),
        ("2020-01-06T22:00:00.000Z", "2020-01-07"),  # winter: two
        ("2020-05", "2020-05-01"),
        ("2020", "2020-01-01"),
        ("2020-02-31", "2020-02-31"),
        (CANARY, CANARY),
        (None, None),
    ],
)
def test_the_day_is_the_one_in_the_city(tmp_path: Path, written: str | None, day: str | None) -> None:
    visit = about("Encounter", period={"start": written})
    assert table_of(tmp_path, "contact", visit)["event_date"].to_list() == [day]


@pytest.mark.parametrize(
    ("codings", "expected"),
    [
        ([("urn:oid:1.2.246.537.6.1.1999", "E11.9"), (SNOMED, "44054006")], ("icd10", "E11.9")),
        ([(SNOMED, "44054006"), ("urn:oid:1.2.246.537.6.1", "E11.9")], ("icd10", "E11.9")),
        ([("http://hl7.org/fhir/sid/icd-10-cm", "E11.65")], ("icd10", "E11.65")),
        ([("1.2.246.537.6.31.2007", "T90")], ("icpc2", "T90")),
        ([("http://hl7.org/fhir/sid/icpc-2", "T90")], ("icpc2", "T90")),
        ([("https://snomed.info/sct", "44054006")], ("snomed", "44054006")),
        ([(f"{SNOMED}/900000000000207008/version/20240101", "44054006")], ("snomed", "44054006")),
        ([("urn:oid:1.2.3", "X"), (None, "Y"), (SNOMED, "1")], ("snomed", "1")),
        ([(ICD10, "R73.9"), (SNOMED, "44054006")], ("snomed", "44054006")),
        ([(ICD10, "G63.2*"), (ICD10, "e114+")], ("icd10", "e114+")),
        ([(SNOMED, "73211008"), (SNOMED, "44054006")], ("snomed", "44054006")),
        ([(SNOMED, "1"), (ICD10, "R73.9"), (ICD10, "R73.0")], ("icd10", "R73.9")),
        ([("urn:oid:1.2.246.537.6.12.2002", "X"), (SNOMED, None)], None),
        ([], None),
    ],
)
def test_of_several_codings_one_of_a_code_list_counts_or_else_the_first_known_system(
    tmp_path: Path, codings: list[tuple[str | None, str | None]], expected: tuple[str, str] | None
) -> None:
    code = {"coding": [{"system": system, "code": code, "display": "x"} for system, code in codings], "text": "x"}
    known = about("Condition", code=concept(SNOMED, "9"), onsetDateTime="2020-01-01")
    found = table_of(tmp_path, "diagnosis", known, about("Condition", code=code, onsetDateTime="2020-01-01"))
    assert found.select("code_system", "code").rows()[1:] == ([expected] if expected else [])


def condition(**elements: Any) -> Resource:
    return about("Condition", **{"code": concept(SNOMED, "9"), "onsetDateTime": "2015-05-05", **elements})


@pytest.mark.parametrize(
    ("elements", "begun", "ended", "retracted"),
    [
        ({}, "2015-05-05", None, False),
        ({"abatementDateTime": "2016-01-01T00:00:00+02:00"}, "2015-05-05", "2016-01-01", False),
        ({"abatementDateTime": "2016"}, "2015-05-05", "2016-12-31", False),
        ({"abatementPeriod": {"end": "2016-02"}}, "2015-05-05", "2016-02-29", False),
        ({"clinicalStatus": concept("x", "active")}, "2015-05-05", None, False),
        ({"clinicalStatus": concept("x", "resolved")}, "2015-05-05", "2015-05-05", False),
        ({"clinicalStatus": concept("x", "inactive"), "recordedDate": "2017-01-01"}, "2015-05-05", "2017-01-01", False),
        ({"onsetDateTime": None, "onsetPeriod": {"start": "2014-01-01"}}, "2014-01-01", None, False),
        ({"onsetDateTime": None, "recordedDate": "2018-01-01"}, "2018-01-01", None, False),
        ({"onsetDateTime": None, "onsetString": "long ago"}, None, None, False),
        ({"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}, "2015-05-05", None, True),
        ({"verificationStatus": {"coding": [{"code": "refuted"}]}}, "2015-05-05", None, True),
        ({"verificationStatus": {"coding": [{"code": "confirmed"}]}}, "2015-05-05", None, False),
    ],
)  # fmt: skip
def test_a_condition_lasts_from_its_onset_to_its_abatement(
    tmp_path: Path, elements: Resource, begun: str | None, ended: str | None, retracted: bool
) -> None:
    row = table_of(tmp_path, "diagnosis", condition(**elements)).row(0, named=True)
    assert (row["event_date"], row["end_date"], row["is_retracted"]) == (begun, ended, retracted)


def observation(**elements: Any) -> Resource:
    made = {"status": "final", "code": concept(LOINC, "4548-4"), "effectiveDateTime": "2020-01-01"}
    return about("Observation", **{**made, **elements})


@pytest.mark.parametrize(
    ("elements", "value", "unit", "retracted"),
    [
        ({"valueQuantity": {"value": 48, "unit": "x", "system": UCUM, "code": "mmol/mol"}}, "48.0", "mmol/mol", False),
        ({"valueQuantity": {"value": 6.5, "unit": "percent", "system": UCUM, "code": "%"}}, "6.5", "%", False),
        ({"valueQuantity": {"value": 6.5, "unit": "%"}}, "6.5", "%", False),
        ({"valueQuantity": {"value": 6.5, "unit": "%", "system": "urn:local", "code": "77"}}, "6.5", "%", False),
        ({"valueQuantity": {"value": 5, "comparator": "<", "code": "mmol/L"}}, "5.0", "mmol/L", False),
        ({"valueInteger": 7}, "7.0", None, False),
        ({"valueString": "7,2"}, "7,2", None, False),
        ({"valueString": "9,9 %"}, "9,9", "%", False),
        ({"valueString": "> 130 mmol/mol"}, "> 130", "mmol/mol", False),
        ({"valueString": "3 of 4"}, None, None, False),
        ({"valueString": CANARY}, None, None, False),
        ({"valueCodeableConcept": concept(SNOMED, "1")}, None, None, False),
        ({"dataAbsentReason": concept("x", "not-performed")}, None, None, True),
        ({"status": "entered-in-error", "valueInteger": 1}, "1.0", None, True),
        ({"status": "cancelled"}, None, None, True),
        ({"status": "amended", "valueInteger": 1}, "1.0", None, False),
    ],
)  # fmt: skip
def test_an_observation_is_a_measurement(
    tmp_path: Path, elements: Resource, value: str | None, unit: str | None, retracted: bool
) -> None:
    row = table_of(tmp_path, "measurement", observation(**elements)).row(0, named=True)
    assert (row["value"], row["unit"], row["is_retracted"]) == (value, unit, retracted)


def test_the_components_of_a_panel_are_measurements_of_their_own(tmp_path: Path) -> None:
    parts = [
        {"code": concept(LOINC, "8480-6"), "valueQuantity": {"value": 140, "code": "mm[Hg]"}},
        {"code": concept("local", "pulse"), "valueQuantity": {"value": 60}},
        {"code": concept(LOINC, "8462-4"), "dataAbsentReason": concept("x", "error")},
    ]
    panel = observation(
        code=concept(LOINC, "85354-9"), component=parts, dataAbsentReason=concept("x", "not-applicable")
    )
    single = observation(id="other", effectiveDateTime=None, effectivePeriod={"start": "2020-02-02T08:00:00+02:00"})
    found = table_of(tmp_path, "measurement", panel, single).sort("record_id")
    assert found.select("record_id", "code", "event_date", "value", "is_retracted").rows() == [
        ("Observation-1", "85354-9", "2020-01-01", None, False),
        ("Observation-1-0", "8480-6", "2020-01-01", "140.0", False),
        ("Observation-1-2", "8462-4", "2020-01-01", None, True),
        ("other", "4548-4", "2020-02-02", None, False),
    ]


@pytest.mark.parametrize(
    ("elements", "channel", "retracted"),
    [
        ({"class": {"code": "AMB"}, "status": "finished"}, "visit", False),
        ({"class": {"code": "EMER"}, "status": "in-progress"}, "emergency", False),
        ({"class": {"code": "VR"}, "status": "unknown"}, "phone", False),
        ({"class": {"code": "HH"}, "status": "finished"}, "home", False),
        ({"class": {"code": "IMP"}, "status": "finished"}, "inpatient", False),
        ({"class": {"system": "urn:oid:1.2.840", "code": "13"}, "status": "finished"}, "other", False),
        ({"status": "finished"}, "other", False),
        ({"class": {"code": "AMB"}, "status": "planned"}, "visit", True),
        ({"class": {"code": "AMB"}, "status": "cancelled"}, "visit", True),
        ({"class": {"code": "AMB"}, "status": "entered-in-error"}, "visit", True),
    ],
)
def test_an_encounter_is_a_contact(tmp_path: Path, elements: Resource, channel: str, retracted: bool) -> None:
    row = table_of(tmp_path, "contact", about("Encounter", period={"start": "2020-01-01"}, **elements))
    assert row.select("channel", "is_retracted").rows() == [(channel, retracted)]


def test_who_was_met_where_and_what_was_done(tmp_path: Path) -> None:
    role = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/p"}}
    role |= {"code": [{"text": "ward"}, {"text": "Sairaanhoitaja"}]}
    visit = about("Encounter", period={"start": "2020-01-01"}, serviceType={"text": "Terveysasema"})
    visit |= {
        "type": [concept("x", "1"), concept("urn:oid:1.2.246.537.6.120", "SPAT1234"), concept(SNOMED, "185349003")]
    }
    visit |= {"participant": [{"individual": {"reference": f"Practitioner/{name}"}} for name in ("nobody", "p")]}
    row = table_of(tmp_path, "contact", role, visit).row(0, named=True)
    expected = {"profession": "nurse", "service": "health_centre", "code_system": "snomed", "code": "185349003"}
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("apart", [False, True])
def test_of_several_types_of_a_visit_the_listed_one_counts(tmp_path: Path, apart: bool) -> None:
    checkup, review = concept(SNOMED, "185349003"), concept(SNOMED, "170777000")
    types = [checkup, review] if apart else [{"coding": checkup["coding"] + review["coding"]}]
    visit = about("Encounter", period={"start": "2020-01-01"}, type=types)
    assert table_of(tmp_path, "contact", visit)["code"].to_list() == ["170777000"]


def appointment(**elements: Any) -> Resource:
    actors = [{"actor": {"reference": "Location/1"}}, {"actor": {"reference": "Patient/anna"}, "status": "accepted"}]
    made = {"resourceType": "Appointment", "id": "a", "start": "2020-05-05T09:00:00+03:00", "participant": actors}
    return made | elements


@pytest.mark.parametrize(
    ("status", "why", "expected"),
    [
        ("booked", None, ("booked", None)),
        ("fulfilled", None, ("attended", None)),
        ("arrived", None, ("attended", None)),
        ("noshow", None, ("no_show", None)),
        ("cancelled", concept("http://terminology.hl7.org/x", "pat-crs"), ("cancelled_by_client", "client_request")),
        ("cancelled", concept("x", "prov"), ("cancelled_by_provider", "capacity")),
        ("cancelled", concept("x", "prov-edu"), ("cancelled_by_provider", "other")),
        ("cancelled", {"text": "COVID-19"}, (None, "pandemic")),
        ("cancelled", {"text": "Pandemic"}, ("cancelled_by_provider", "pandemic")),
        ("cancelled", concept("local", "need_ended"), ("cancelled_by_client", "need_ended")),
        ("cancelled", concept("local", CANARY), (None, "other")),
        ("cancelled", None, (None, "other")),
        (CANARY, None, (None, None)),
    ],
)  # fmt: skip
def test_an_appointment_tells_who_cancelled_it(
    tmp_path: Path, status: str, why: Resource | None, expected: tuple[str | None, str | None]
) -> None:
    found = table_of(tmp_path, "appointment", appointment(status=status, cancelationReason=why))
    assert found.select("status", "reason").rows() == [expected]


def test_appointments_of_nobody_are_left_out_and_those_in_error_are_retracted(tmp_path: Path) -> None:
    export = write(
        tmp_path,
        ANNA,
        appointment(status="booked", participant=[{"actor": {"reference": "Practitioner/1"}}]),
        appointment(status="entered-in-error"),
        appointment(
            status="booked", start=None, requestedPeriod=[{"start": "2020-06-06"}], created="2020-01-01T10:00:00Z"
        ),
        appointment(status="fulfilled", specialty=[concept(SNOMED, "394594003")]),
        appointment(status="fulfilled", specialty=[concept("local", "12345")]),
    )
    source = FhirSource(export)
    rows = read(source)["appointment"].select(
        "status", "event_date", "booked_date", "status_date", "specialty", "is_retracted"
    )
    assert rows.rows() == [
        ("booked", "2020-05-05", None, None, None, True),
        ("booked", "2020-06-06", "2020-01-01", None, None, False),
        ("attended", "2020-05-05", None, "2020-05-05", "ophthalmology", False),
        ("attended", "2020-05-05", None, "2020-05-05", "unknown_attended", False),
    ]
    assert count(source, "appointment", "no patient") == 1


@pytest.mark.parametrize(
    ("concepts", "specialty"),
    [
        ([concept(SNOMED, "394801008")], "orthopaedics"),
        ([concept(SNOMED, "1"), concept(SNOMED, "394579002")], "cardiology"),
        ([concept("urn:oid:1.2.246.537.6.24.2003", "10E")], "code_10e"),
        ([concept("local", "Sleep_Clinic")], "sleep_clinic"),
        ([concept(SNOMED, "123456789")], "unknown_booked"),
        ([{"text": CANARY}], "unknown_booked"),
        ([{"text": None}], None),
        ([], None),
    ],
)
def test_a_specialty_is_named_or_kept_as_it_is(tmp_path: Path, concepts: list[Resource], specialty: str | None) -> None:
    found = table_of(tmp_path, "appointment", appointment(status="booked", specialty=concepts, serviceType=concepts))
    assert found["specialty"].to_list() == [specialty]
    assert found["service"].is_null().item() == (specialty is None)
    assert found.filter(ill_shaped(found["specialty"], TABLES["appointment"], COLUMN)).height == 0


@pytest.mark.parametrize(
    ("before", "after", "is_open"),
    [
        ("394801008", "408475000", 1),
        ("394801008", "394801008", 0),
        ("123456789", "987654321", 1),
        ("123456789", None, 1),
        (None, "987654321", 1),
    ],
)
def test_a_time_of_another_specialty_is_no_new_time(
    tmp_path: Path, before: str | None, after: str | None, is_open: int
) -> None:
    def told(code: str | None) -> list[Resource]:
        return [concept(SNOMED, code)] if code else []

    lost = appointment(
        status="cancelled",
        start="2026-03-01T10:00:00+02:00",
        cancelationReason=concept("x", "prov"),
        specialty=told(before),
    )
    kept = appointment(id="b", status="fulfilled", start="2026-05-01T10:00:00+03:00", specialty=told(after))
    source = FhirSource(write(tmp_path / "export", ANNA, lost, kept))
    found = totals(counts_of(source, [date(2026, 10, 31)], tmp_path / "counts"))["provider_cancelled_not_rebooked"]
    assert found[:3] == (1, is_open, 1 - is_open)


ATC = "http://www.whocc.no/atc"
HELD = [
    {"resourceType": "Medication", "id": "out", "code": concept(ATC, "X01")},
    {"resourceType": "Medication", "id": "in", "code": concept(ATC, "N02AA01")},
]


@pytest.mark.parametrize(
    ("elements", "code", "days", "retracted"),
    [
        ({"medicationCodeableConcept": concept(ATC, "A10BA02")}, "A10BA02", None, False),
        ({"medicationReference": {"reference": "Medication/m"}}, "C10AA05", None, False),
        ({"medicationReference": {"reference": "#in"}, "contained": HELD}, "N02AA01", None, False),
        ({"dispenseRequest": {"expectedSupplyDuration": {"value": 90, "unit": "days", "code": "d"}}}, "B01", 90, False),
        ({"dispenseRequest": {"expectedSupplyDuration": {"value": 2, "unit": "wk"}}}, "B01", 14, False),
        ({"dispenseRequest": {"expectedSupplyDuration": {"value": 2, "unit": "boxes"}}}, "B01", None, False),
        ({"dispenseRequest": {"expectedSupplyDuration": {"value": 99, "unit": "a", "code": "a"}}}, "B01", None, False),
        ({"status": "entered-in-error"}, "B01", None, True),
        ({"status": "stopped", "intent": "order"}, "B01", None, False),
        ({"intent": "proposal"}, "B01", None, True),
        ({"doNotPerform": True}, "B01", None, True),
    ],
)  # fmt: skip
def test_a_request_is_a_medication_wherever_its_medicine_stands(
    tmp_path: Path, elements: Resource, code: str, days: float | None, retracted: bool
) -> None:
    medicine = {"resourceType": "Medication", "id": "m", "code": concept(ATC, "C10AA05")}
    made = {"authoredOn": "2020-01-01", **elements}
    if "medicationReference" not in made:
        made.setdefault("medicationCodeableConcept", concept(ATC, "B01"))
    row = table_of(tmp_path, "medication", medicine, about("MedicationRequest", **made)).row(0, named=True)
    assert (row["code"], row["days_supplied"], row["is_retracted"]) == (code, days, retracted)


@pytest.mark.parametrize(
    ("elements", "status", "retracted"),
    [
        ({"status": "completed"}, "given", False),
        ({"status": "not-done", "statusReason": concept("v3-ActReason", "PATOBJ")}, "refused", False),
        ({"status": "not-done", "statusReason": concept("v3-ActReason", "MEDPREC")}, "contraindicated", False),
        ({"status": "not-done", "statusReason": concept("v3-ActReason", "OSTOCK")}, None, True),
        ({"status": "not-done"}, None, True),
        ({"status": "entered-in-error"}, "given", True),
    ],
)
def test_a_dose_is_given_refused_or_neither(tmp_path: Path, elements: Resource, status: str, retracted: bool) -> None:
    dose = {"resourceType": "Immunization", "id": "i", "patient": {"reference": "Patient/anna"}, **elements}
    dose |= {"vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "03"), "occurrenceDateTime": "2020-01-01"}
    row = table_of(tmp_path, "vaccination", dose)
    assert row.select("code_system", "code", "status", "is_retracted").rows() == [("cvx", "03", status, retracted)]


# Files


def as_numbered(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        path.rename(path.with_name(f"1.{path.name}"))


def as_nameless(folder: Path) -> None:
    for place, path in enumerate(sorted(folder.glob("*.ndjson"))):
        path.rename(path.with_name(f"{place:08x}.ndjson"))


def in_folders(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        (folder / path.stem).mkdir()
        path.rename(folder / path.stem / "part-0.ndjson")


def in_two_and_compressed(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        lines = path.read_text().splitlines()
        path.with_name(f"{path.stem}.000.ndjson").write_text("\n".join(lines[:1]))
        path.with_name(f"{path.stem}-1.ndjson.gz").write_bytes(gzip.compress("\n".join(lines[1:]).encode()))
        path.unlink()


def as_windows_writes(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))


def after_a_blank_line(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        path.write_bytes(b"\n \r\n" + path.read_bytes())


def after_an_outcome(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        path.write_text('{"resourceType": "OperationOutcome", "issue": []}\n' + path.read_text())


def in_capitals_and_compressed(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        path.with_name(f"{path.name.upper()}.GZ").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def with_elements_that_nobody_asked_for(folder: Path) -> None:
    for path in folder.glob("*.ndjson"):
        more = {"extension": [{"url": "x", "valueString": CANARY}], "text": {"div": "<b>"}, "_birthDate": {"id": "1"}}
        path.write_text(
            "".join(json.dumps({**more, **json.loads(line)}) + "\n" for line in path.read_text().splitlines())
        )


@pytest.mark.parametrize(
    "change",
    [
        as_numbered,
        as_nameless,
        in_folders,
        in_two_and_compressed,
        as_windows_writes,
        after_a_blank_line,
        after_an_outcome,
        in_capitals_and_compressed,
        with_elements_that_nobody_asked_for,
    ],
    ids=lambda change: change.__name__,
)
def test_every_way_of_laying_an_export_out_reads_the_same(tmp_path: Path, change: Callable[[Path], None]) -> None:
    resources = [ANNA, {**ANNA, "id": "bert"}, condition(), condition(id="2"), observation(), observation(id="2")]
    expected = read(FhirSource(write(tmp_path / "plain", *resources)))
    change(write(tmp_path / "other", *resources))
    found = read(FhirSource(tmp_path / "other"))
    assert found.keys() == expected.keys()
    for table, frame in found.items():
        assert sorted(frame.rows(), key=str) == sorted(expected[table].rows(), key=str), table


def test_blocks_of_a_few_lines_make_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = write(tmp_path, ANNA, *(condition(id=str(place)) for place in range(2000)))
    expected = read(FhirSource(export))["diagnosis"]
    monkeypatch.setattr(fhir_files, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(fhir_files, "_BATCH_ROWS", 300)
    source = FhirSource(export)
    sizes = [rows.height for table, rows in source.batches() if table == "diagnosis"]
    assert len(sizes) > 4
    assert read(source)["diagnosis"].equals(expected)


@pytest.mark.parametrize(
    ("metas", "expected"),
    [
        ([{"lastUpdated": "2026-02-01T00:00:00Z"}, {"lastUpdated": "2024-02-01T00:00:00.5Z"}], ["0"]),
        ([{"lastUpdated": "2026-02-01T01:00:00+02:00"}, {"lastUpdated": "2026-01-31T23:30:00Z"}], ["1"]),
        ([{"versionId": "10"}, {"versionId": "9"}], ["0"]),
        ([{"lastUpdated": "2026-02-01T00:00:00Z", "versionId": version} for version in ("2", "1")], ["0"]),
        ([{"versionId": "1"}, {"versionId": "2"}, {"versionId": "1"}], ["1"]),
        ([{"versionId": "1"}, {}], ["0"]),
        ([{}, {}], ["0", "1"]),  # nothing tells: the controller takes the last
        ([{"versionId": "1"}, {"versionId": "1"}], ["0", "1"]),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_of_several_versions_the_latest_is_read(
    tmp_path: Path, metas: list[Resource], expected: list[str], apart: bool
) -> None:
    versions = [observation(meta=meta, valueString=str(place)) for place, meta in enumerate(metas)]
    lines = [json.dumps(version).encode() + b"\n" for version in versions]
    parts = {f"Observation.{place}": line for place, line in enumerate(lines)} if apart else {"all": b"".join(lines)}
    source = FhirSource(write(tmp_path, ANNA, **parts))
    for _ in range(2):
        assert read(source)["measurement"]["value"].to_list() == expected
        if len(expected) < len(metas):
            assert count(source, "Observation", "later version") == len(metas) - len(expected)


def test_what_is_missing_or_of_another_type_is_said(tmp_path: Path) -> None:
    mixed = json.dumps(condition()) + "\n" + json.dumps({"resourceType": "Basic", "id": "x"}) + "\n"
    empty = dict.fromkeys(["Observation"], b"")
    source = FhirSource(write(tmp_path, ANNA, Condition=mixed.encode(), **empty))
    frames = read(source)
    assert frames["diagnosis"].height == 1
    assert count(source, "Condition", "another resource type") == 1
    assert count(source, "measurement", "no file") is None


def test_a_file_of_outcomes_alone_is_known_by_its_name_and_one_that_nothing_tells_of_is_counted(tmp_path: Path) -> None:
    outcome = b'{"resourceType": "OperationOutcome", "issue": []}\n'
    parts = {"Condition": (json.dumps(condition()) + "\n").encode(), "Condition.2": outcome, "Claim": b'{"id": "1"}'}
    source = FhirSource(write(tmp_path, ANNA, **parts))
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "Goal.ndjson").write_text('{"resourceType": "Goal"}\n')
    assert read(source)["diagnosis"].height == 1
    assert count(source, "Condition", "another resource type") == 1
    assert count(source, "fhir", "left out") == 1
    source = FhirSource(tmp_path)
    read(source)
    assert count(source, "fhir", "left out") == 3


GOOD = json.dumps(observation()).encode()


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        (GOOD + b"\n" + GOOD[:-9], None, "not valid JSON"),
        (GOOD + b"\n" + CANARY.encode() + b"\n" + GOOD, None, "not valid JSON"),
        (b"[" + GOOD + b"]", None, "not valid JSON"),
        (json.dumps(observation(valueQuantity={"value": CANARY})).encode(), "valueQuantity.value", "not of the type"),
        (json.dumps(observation(code=CANARY)).encode(), "code", "not of the type"),
        (json.dumps(observation(component={"x": CANARY})).encode(), "component", "not of the type"),
        (GOOD.replace(b"4548-4", b"\xff\xfe"), None, "UTF-8"),
        (json.dumps(observation(note=CANARY * 10_000)).encode() + b"\n" + GOOD, None, "longer than"),
        (json.dumps(observation(code=concept("local", CANARY))).encode(), "code", "no row has a code"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    tmp_path: Path, text: bytes, column: str | None, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir_files, "BLOCK_BYTES", 1 << 14)
    with pytest.raises(SourceRefused) as caught:
        read(FhirSource(write(tmp_path, ANNA, **{"Observation.000": text})))
    assert (caught.value.table, caught.value.column, caught.value.exit_code) == ("Observation", column, 10)
    assert word in caught.value.rule
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("kind", ["Patient", "Condition"])
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path: Path, kind: str) -> None:
    resources = {"Patient": ANNA, "Condition": condition()}
    export = write(tmp_path, *(resource for name, resource in resources.items() if name != kind))
    lines = "".join(json.dumps({**resources[kind], "id": f"{kind}{place}"}) + "\n" for place in range(5000))
    (export / f"{kind}.ndjson.gz").write_bytes(gzip.compress(lines.encode())[:-200])
    with pytest.raises(SourceRefused) as caught:
        read(FhirSource(export))
    assert (caught.value.table, caught.value.rule) == (kind, "the file cannot be read to its end")
    (export / f"{kind}.ndjson.gz").write_bytes(b"no gzip at all")
    with pytest.raises(SourceRefused, match="to its end"):
        read(FhirSource(export))


def test_without_patients_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="no such folder"):
        FhirSource(tmp_path / "nowhere")
    with pytest.raises(SourceRefused, match="no file of Patient"):
        FhirSource(write(tmp_path, condition()))
    with pytest.raises(SourceRefused, match="no file of Patient"):
        FhirSource(write(tmp_path, condition(), Patient=b""))
