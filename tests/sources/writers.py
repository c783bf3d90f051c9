"""The invented population in every format, and what each format cannot carry of it."""

import csv
import gzip
import json
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from schemas.areas import load_areas
from schemas.tables import SOURCE_TABLES
from tests.sources.population import Rows

Record = dict[str, Any]
SYSTEMS = {
    "icd10": ("urn:oid:1.2.246.537.6.1.1999", "ICD10fi"),
    "icpc2": ("http://hl7.org/fhir/sid/icpc-2", "ICPC"),
    "snomed": ("http://snomed.info/sct", "SNOMED"),
    "loinc": ("http://loinc.org", "LOINC"),
    "kuntaliitto": ("urn:oid:1.2.246.537.6.3.2006", "Kuntaliitto"),
    "atc": ("http://www.whocc.no/atc", "ATC"),
    "rxnorm": ("http://www.nlm.nih.gov/research/umls/rxnorm", "RxNorm"),
    "cvx": ("http://hl7.org/fhir/sid/cvx", "CVX"),
}
"""URI in FHIR and vocabulary in OMOP of each code system."""


def _drop(table: str) -> Callable[[Rows], Rows]:
    return lambda rows: {**rows, table: []}


def _without(table: str, **values: Any) -> Callable[[Rows], Rows]:
    def reduce(rows: Rows) -> Rows:
        kept = [r for r in rows[table] if not all(r.get(name) in among for name, among in values.items())]
        return {**rows, table: kept}

    return reduce


def _blank(table: str, *columns: str, where: Callable[[Record], bool] = lambda _: True) -> Callable[[Rows], Rows]:
    def reduce(rows: Rows) -> Rows:
        return {**rows, table: [{**r, **dict.fromkeys(columns)} if where(r) else r for r in rows[table]]}

    return reduce


def _taken_back(rows: Rows) -> Rows:
    return {name: [r for r in records if not r.get("is_retracted")] for name, records in rows.items()}


_NOT_GIVEN = ["refused", "contraindicated"]
_NO_CLASS = "an automated message is no encounter"
LOST: dict[str, list[tuple[str, str, Callable[[Rows], Rows]]]] = {
    "feed": [],
    "postgresql": [],
    "synthea": [
        ("appointment", "Synthea books nothing", _drop("appointment")),
        ("contact_request", "Synthea has no call-backs", _drop("contact_request")),
        ("service_period", "Synthea has no social services", _drop("service_period")),
        ("restriction", "Synthea's persons restrict nothing", _drop("restriction")),
        ("residence", "Synthea does not tell since when", _blank("residence", "from_date", "to_date")),
        ("vaccination", "Synthea's vaccinations are all given", _blank("vaccination", "status")),
        ("contact", "Synthea tells neither profession nor service", _blank("contact", "profession", "service")),
        ("contact", _NO_CLASS, _without("contact", channel=["automated_message"])),
        ("diagnosis", "Synthea's diagnoses are SNOMED alone", _without("diagnosis", code_system=["icd10", "icpc2"])),
        ("measurement", "Synthea's observations are LOINC alone", _without("measurement", code_system=["kuntaliitto"])),
        ("medication", "Synthea's medicines are RxNorm alone", _without("medication", code_system=["atc"])),
        ("medication", "Synthea does not tell how long a medicine lasts", _blank("medication", "days_supplied")),
        ("vaccination", "Synthea's vaccines are CVX alone", _without("vaccination", code_system=["atc"])),
    ],
    "omop": [
        ("appointment", "OMOP has no table of appointments", _drop("appointment")),
        ("contact_request", "OMOP has no table of call-backs", _drop("contact_request")),
        ("service_period", "OMOP has no table of social services", _drop("service_period")),
        ("restriction", "OMOP has no table of restrictions", _drop("restriction")),
        ("vaccination", "a dose not given is no exposure", _without("vaccination", status=_NOT_GIVEN)),
        ("contact", _NO_CLASS, _without("contact", channel=["automated_message"])),
        ("every table", "an OMOP export leaves out what was taken back, which counts the same", _taken_back),
    ],
    "fhir": [
        ("contact_request", "a call-back is none of the resources that are read", _drop("contact_request")),
        ("service_period", "a lasting social service is no resource that is read", _drop("service_period")),
        ("restriction", "of restrictions FHIR has the security label", _without("restriction", kind=["objection"])),
        ("contact", _NO_CLASS, _without("contact", channel=["automated_message"])),
        (
            "appointment",
            "R4 does not tell on which day an appointment was cancelled",
            _blank("appointment", "status_date", where=lambda r: r["status"].startswith("cancelled")),
        ),
    ],
}  # fmt: skip
"""What a format cannot carry: the table, why, and the population without it."""
LOST["synthea stu3"] = LOST["synthea"]
LOST["omop parquet"] = LOST["omop"]


def reduced(rows: Rows, form: str) -> Rows:
    """The population without what a format cannot carry."""
    for _, _, reduce in LOST[form]:
        rows = reduce(rows)
    return rows


def frame(name: str, records: Iterable[Record]) -> pl.DataFrame:
    """Rows of a table with the types that it declares."""
    schema = SOURCE_TABLES[name].source_schema
    return pl.DataFrame([{column: record.get(column) for column in schema} for record in records], schema=schema)


def write_feed(rows: Rows, folder: Path) -> Path:
    for name, records in rows.items():
        if not records:
            continue
        (folder / name).mkdir(parents=True)
        frame(name, records).write_parquet(folder / name / "part.parquet")
    (folder / "feed.toml").write_text('format = "caregap-feed/1"\nidentifier = "hetu"\n')
    return folder


def write_csv(path: Path, records: list[Record], columns: str) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns.split(","), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)


# Synthea


def write_synthea(rows: Rows, folder: Path, *, stu3: bool = False) -> Path:
    folder.mkdir(parents=True)
    zone = "+00:00" if stu3 else "Z"
    name_of = dict(load_areas().select("code", "name_fi").iter_rows())
    home = {r["person_id"]: name_of.get(r["area_code"]) for r in rows["residence"]}

    def at(day: date | None) -> str | None:
        return day and f"{day}T23:30:00{zone}"

    def status(r: Record) -> str:
        return "entered-in-error" if r["is_retracted"] else "finished"

    def event(r: Record) -> Record:
        return {"ID": r["record_id"], "Id": r["record_id"], "PATIENT": r["person_id"], "STATUS": status(r)} | {
            "CODE": r.get("code"),
            "START": at(r["event_date"]),
            "DATE": at(r["event_date"]),
        }

    patients = [
        {"Id": r["person_id"], "ID": r["person_id"], "BIRTHDATE": r["birth_date"], "DEATHDATE": r["death_date"]}
        | {"FIRST": r["given_names"], "GENDER": r["sex"][0].upper(), "CITY": home[r["person_id"]], "STATE": "X"}
        for r in rows["person"]
    ]
    key, start = ("ID", "DATE") if stu3 else ("Id", "START")
    write_csv(folder / "patients.csv", patients, f"{key},BIRTHDATE,DEATHDATE,FIRST,GENDER,CITY,STATE")
    classes = {"visit": "AMB" if stu3 else "ambulatory", "phone": "virtual", "home": "home"}
    encounters = [event(r) | {"ENCOUNTERCLASS": classes.get(r["channel"], r["channel"])} for r in rows["contact"]]
    write_csv(folder / "encounters.csv", encounters, f"{key},{start},PATIENT,ENCOUNTERCLASS,STATUS")
    conditions = [event(r) | {"STOP": at(r["end_date"])} for r in rows["diagnosis"]]
    write_csv(folder / "conditions.csv", conditions, f"{key},{start},STOP,PATIENT,CODE,STATUS")
    observations = [event(r) | {"VALUE": r["value"], "UNITS": r["unit"]} for r in rows["measurement"]]
    write_csv(folder / "observations.csv", observations, f"{key},DATE,PATIENT,CODE,VALUE,UNITS,STATUS")
    write_csv(folder / "medications.csv", [event(r) for r in rows["medication"]], f"{key},START,PATIENT,CODE,STATUS")
    vaccines = [event(r) for r in rows["vaccination"]]
    write_csv(folder / "immunizations.csv", vaccines, f"{key},DATE,PATIENT,CODE,STATUS")
    return folder


def write_area_map(path: Path) -> Path:
    areas = load_areas().filter(pl.col("level") == "district")
    areas.select(city="name_fi", area_code="code").write_csv(path)
    return path


# OMOP


def omop_tables(rows: Rows) -> dict[str, list[Record]]:
    """CDM tables, each row with the columns that matter and one that does not."""
    number = {r["person_id"]: place + 1 for place, r in enumerate(rows["person"])}
    codes = sorted(
        {
            (r["code_system"], r["code"])
            for n in ("diagnosis", "measurement", "medication", "vaccination")
            for r in rows[n]
        }
    )
    concept = {code: 2_000_000_001 + place for place, code in enumerate(codes)}
    area = sorted({r["area_code"] or "" for r in rows["residence"]})
    home = {r["person_id"]: r for r in rows["residence"]}
    latest = max([*(r["to_date"] for r in rows["residence"] if r["to_date"]), date(2026, 10, 31)])
    visits = {"visit": 9202, "phone": 5083, "home": 581476, "emergency": 9203, "inpatient": 9201}
    providers = {"doctor": (1, "General Practice"), "nurse": (2, "Sairaanhoitaja")}
    sites = {"health_centre": (1, "Terveysasema"), "child_clinic": (2, "Lastenneuvola")}

    def event(r: Record, prefix: str, date_prefix: str | None = None) -> Record:
        day = f"{date_prefix or prefix}_date"
        coded = {}
        if "code" in r:
            coded = {f"{prefix}_source_concept_id": concept[r["code_system"], r["code"]]}
            coded |= {f"{prefix}_concept_id": 0, f"{prefix}_source_value": r["code"]}
        return {"person_id": number[r["person_id"]], day: r["event_date"], "provider_id": None, **coded}

    def key(r: Record) -> int:
        return int(r["record_id"].split("-")[1]) + 1

    drugs = [("medication", r) for r in rows["medication"]] + [("vaccination", r) for r in rows["vaccination"]]
    return {
        "person": [
            {
                "person_id": number[r["person_id"]],
                "person_source_value": r["person_id"],
                "gender_concept_id": 8532 if r["sex"] == "female" else 8507,
                "gender_source_value": r["sex"],
                "year_of_birth": r["birth_date"].year,
                "month_of_birth": r["birth_date"].month,
                "day_of_birth": r["birth_date"].day,
                "location_id": area.index(home[r["person_id"]]["area_code"] or "") + 1,
                "race_concept_id": 0,
            }
            for r in rows["person"]
        ],
        "death": [
            {"person_id": number[r["person_id"]], "death_date": r["death_date"]}
            for r in rows["person"]
            if r["death_date"]
        ],
        "location": [{"location_id": place + 1, "location_source_value": code} for place, code in enumerate(area)],
        "observation_period": [
            {
                "person_id": number[r["person_id"]],
                "observation_period_start_date": r["from_date"] or date(1900, 1, 1),
                "observation_period_end_date": r["to_date"] or latest,
                "period_type_concept_id": 32813,
            }
            for r in rows["residence"]
        ],
        "provider": [{"provider_id": n, "specialty_source_value": word} for n, word in providers.values()],
        "care_site": [{"care_site_id": n, "care_site_source_value": word} for n, word in sites.values()],
        "visit_occurrence": [
            event(r, "visit", "visit_start")
            | {"visit_occurrence_id": key(r), "visit_concept_id": visits[r["channel"]]}
            | {"provider_id": providers[r["profession"]][0] if r["profession"] else None}
            | {"care_site_id": sites[r["service"]][0] if r["service"] else None}
            for r in rows["contact"]
        ],
        "condition_occurrence": [
            event(r, "condition", "condition_start")
            | {"condition_occurrence_id": key(r), "condition_end_date": r["end_date"]}
            for r in rows["diagnosis"]
        ],
        "measurement": [
            event(r, "measurement")
            | {"measurement_id": key(r), "value_as_number": r["value"], "unit_source_value": r["unit"]}
            for r in rows["measurement"]
        ],
        "drug_exposure": [
            event(r, "drug", "drug_exposure_start")
            | {"drug_exposure_id": key(r) + 10_000 * (table == "vaccination"), "days_supply": r.get("days_supplied")}
            for table, r in drugs
        ],
        "concept": [
            {"concept_id": number, "vocabulary_id": SYSTEMS[system][1], "concept_code": code, "domain_id": "x"}
            for (system, code), number in concept.items()
        ],
    }


def write_omop(rows: Rows, folder: Path, *, parquet: bool = False) -> Path:
    """Upper-case CSV with dates as days, or lower-case Parquet with dates as timestamps."""
    folder.mkdir(parents=True)
    for name, records in omop_tables(rows).items():
        if not records:
            continue
        table = pl.DataFrame(records, infer_schema_length=None)
        if parquet:
            table.cast({pl.Date: pl.Datetime("us")}).write_parquet(folder / f"{name}.parquet")
        else:
            table.rename(str.upper).write_csv(folder / f"{name.upper()}.csv")
    return folder


# FHIR


def concept_of(system: str, code: str) -> Record:
    """A CodeableConcept with a coding that nobody reads before the one that counts."""
    other = {"system": "urn:oid:1.2.3.4.5", "code": "LOCAL-1", "userSelected": False}
    return {"coding": [other, {"system": SYSTEMS[system][0], "code": code, "display": "x"}], "text": "x"}


def fhir_resources(rows: Rows) -> dict[str, list[Record]]:
    """Resources by type, written as several exporters write them."""
    identifier = {r["person_id"]: f"p-{place}" for place, r in enumerate(rows["person"])}
    home = {r["person_id"]: r for r in rows["residence"]}
    banned = {r["person_id"] for r in rows.get("restriction", []) if r["kind"] == "security_ban"}

    def start(r: Record, kind: str, subject: str = "subject") -> Record:
        reference = f"Patient/{identifier[r['person_id']]}"
        base = "https://ehr.example/fhir/" if r["record_id"].endswith("1") else ""
        return {"resourceType": kind, "id": r["record_id"], subject: {"reference": base + reference}}

    def period(r: Record) -> Record:
        return {name: str(r[f"{word}_date"]) for name, word in (("start", "from"), ("end", "to")) if r[f"{word}_date"]}

    def patient(r: Record) -> Record:
        place = home[r["person_id"]]
        made: Record = {
            "resourceType": "Patient",
            "id": identifier[r["person_id"]],
            "meta": {"security": [{"code": "TURVAKIELTO"}]} if r["person_id"] in banned else {},
            "identifier": [
                {"system": "urn:oid:1.2.3", "value": "another"},
                {"use": "official", "system": "urn:oid:1.2.246.21", "value": r["person_id"]},
            ],
            "name": [{"use": "official", "given": [r["given_names"]]}],
            "gender": r["sex"],
            "birthDate": str(r["birth_date"]),
            "address": [{"use": "home", "district": place["area_code"], "period": period(place)}],
        }
        return made | ({"deceasedDateTime": f"{r['death_date']}T12:00:00+02:00"} if r["death_date"] else {})

    def encounter(r: Record) -> Record:
        classes = {"visit": "AMB", "phone": "VR", "home": "HH", "emergency": "EMER", "inpatient": "IMP"}
        made = start(r, "Encounter") | {
            "status": "entered-in-error" if r["is_retracted"] else "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": classes[r["channel"]]},
            # Half past midnight in Helsinki, as a server writes it that keeps UTC.
            "period": {"start": f"{date.fromordinal(r['event_date'].toordinal() - 1)}T22:30:00Z"},
        }
        if r["profession"]:
            made["participant"] = [{"individual": {"reference": f"PractitionerRole/{r['profession']}"}}]
        return made | ({"serviceType": {"text": r["service"]}} if r["service"] else {})

    def appointment(r: Record) -> Record:
        status = {"attended": "fulfilled", "no_show": "noshow", "booked": "booked"}.get(r["status"], "cancelled")
        made = {"resourceType": "Appointment", "id": r["record_id"], "created": str(r["booked_date"])} | {
            "status": "entered-in-error" if r["is_retracted"] else status,
            "start": f"{r['event_date']}T08:00:00.000+03:00",
            "participant": [
                {"actor": {"reference": "Practitioner/1"}, "status": "accepted"},
                {"actor": {"reference": f"Patient/{identifier[r['person_id']]}"}, "status": "accepted"},
            ],
            "serviceType": [{"text": r["service"]}],
            "specialty": [{"coding": [{"system": "urn:city", "code": r["specialty"]}]}],
        }
        return made | ({"cancelationReason": {"coding": [{"code": r["reason"]}]}} if r["reason"] else {})

    def condition(r: Record) -> Record:
        made = start(r, "Condition") | {
            "clinicalStatus": {"coding": [{"code": "resolved" if r["end_date"] else "active"}]},
            "verificationStatus": {"coding": [{"code": "entered-in-error" if r["is_retracted"] else "confirmed"}]},
            "code": concept_of(r["code_system"], r["code"]),
            "onsetDateTime": str(r["event_date"]),
        }
        return made | ({"abatementDateTime": f"{r['end_date']}T01:00:00+03:00"} if r["end_date"] else {})

    def observation(r: Record) -> Record:
        quantity = {"value": r["value"], "unit": "x", "system": "http://unitsofmeasure.org", "code": r["unit"]}
        made = start(r, "Observation") | {
            "status": "entered-in-error" if r["is_retracted"] else "final",
            "effectiveDateTime": f"{r['event_date']}T23:59:59+02:00",
        }
        if r["unit"] != "mm[Hg]":
            return made | {"code": concept_of(r["code_system"], r["code"]), "valueQuantity": quantity}
        panel = {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}
        part = {"code": concept_of(r["code_system"], r["code"]), "valueQuantity": quantity}
        return made | {"code": panel, "component": [part]}

    def request(r: Record) -> Record:
        made = start(r, "MedicationRequest") | {
            "status": "entered-in-error" if r["is_retracted"] else "completed",
            "intent": "order",
            "authoredOn": str(r["event_date"]),
            "dispenseRequest": {"expectedSupplyDuration": {"value": r["days_supplied"], "code": "d"}},
        }
        if r["record_id"].endswith("2"):
            held = {"resourceType": "Medication", "id": "m", "code": concept_of(r["code_system"], r["code"])}
            return made | {"contained": [held], "medicationReference": {"reference": "#m"}}
        if r["record_id"].endswith("3"):
            return made | {"medicationReference": {"reference": f"Medication/{r['code_system']}.{r['code']}"}}
        return made | {"medicationCodeableConcept": concept_of(r["code_system"], r["code"])}

    def immunization(r: Record) -> Record:
        made = start(r, "Immunization", "patient") | {
            "vaccineCode": concept_of(r["code_system"], r["code"]),
            "occurrenceDateTime": str(r["event_date"]),
        }
        if r["is_retracted"]:
            return made | {"status": "entered-in-error"}
        why = {"refused": "PATOBJ", "contraindicated": "MEDPREC"}.get(r["status"])
        return made | (
            {"status": "not-done", "statusReason": {"coding": [{"code": why}]}} if why else {"status": "completed"}
        )

    medicines = sorted({(r["code_system"], r["code"]) for r in rows["medication"]})
    return {
        "Patient": [patient(r) for r in rows["person"]],
        "PractitionerRole": [
            {"resourceType": "PractitionerRole", "id": word, "code": [{"coding": [{"code": word}]}]}
            for word in ("doctor", "nurse")
        ],
        "Medication": [
            {"resourceType": "Medication", "id": f"{system}.{code}", "code": concept_of(system, code)}
            for system, code in medicines
        ],
        "Encounter": [encounter(r) for r in rows["contact"]],
        "Appointment": [appointment(r) for r in rows["appointment"]],
        "Condition": [condition(r) for r in rows["diagnosis"]],
        "Observation": [observation(r) for r in rows["measurement"]],
        "MedicationRequest": [request(r) for r in rows["medication"]],
        "Immunization": [immunization(r) for r in rows["vaccination"]],
    }


def write_fhir(rows: Rows, folder: Path) -> Path:
    """Each type in two files, the second one compressed."""
    folder.mkdir(parents=True)
    for kind, found in fhir_resources(rows).items():
        if not found:
            continue
        lines = [json.dumps(resource) for resource in found]
        half = len(lines) // 2
        (folder / f"{kind}.000.ndjson").write_text("\n".join(lines[:half]) + "\n")
        (folder / f"{kind}-1.ndjson.gz").write_bytes(gzip.compress("\n".join(lines[half:]).encode()))
    return folder
