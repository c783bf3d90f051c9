"""The words of fhir.toml and omop.toml lead to everything that an indicator asks of a contact."""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.sources.test_fhir import about, read, write
from tests.sources.test_fhir import count as told
from tests.sources.test_omop import folder
from transforms.sources.fhir import FhirSource
from transforms.sources.omop import OmopSource

VISITS = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,care_site_id\n"


def services_asked(part: Any) -> Iterator[str]:
    """Services of contacts in any clause of a definition, however deep."""
    if isinstance(part, dict):
        if part.get("table") == "contact":
            for conditions in (part.get("where", {}), part.get("where_not", {})):
                services = conditions.get("service", [])
                yield from [services] if isinstance(services, str) else services
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from services_asked(inner)


# Of lasting services neither format has a table.
TEXTS = [path.read_text("utf-8") for path in files("schemas.indicators").iterdir() if path.name.endswith(".toml")]
ASKED = sorted({service for text in TEXTS for service in services_asked(tomllib.loads(text))})


def test_the_indicators_ask_for_services() -> None:
    assert {"child_clinic", "diabetes_clinic", "substance_services"} <= set(ASKED)


@pytest.mark.parametrize("service", ASKED)
def test_every_service_that_an_indicator_asks_for_is_reached(service: str, tmp_path: Path) -> None:
    visit = about("Encounter", period={"start": "2020-01-01"}, serviceType={"text": service})
    patient = {"resourceType": "Patient", "id": "anna", "birthDate": "1950-02-03"}
    assert read(FhirSource(write(tmp_path / "fhir", patient, visit)))["contact"]["service"].to_list() == [service]
    changes: dict[str, str | bytes | None] = {
        "VISIT_OCCURRENCE": VISITS + "1,1,9202,2020-01-01,7\n",
        "CARE_SITE": f"care_site_id,care_site_source_value\n7,{service}\n",
    }
    assert read(OmopSource(folder(tmp_path / "omop", changes)))["contact"]["service"].to_list() == [service]


def test_a_service_that_is_not_named_is_empty_and_counted(tmp_path: Path) -> None:
    patient = {"resourceType": "Patient", "id": "anna", "birthDate": "1950-02-03"}
    kinds = [{"coding": [{"system": "urn:oid:1.2.246.537.6.49", "code": "T26"}]}, {"text": "laundry"}, None]
    visits = [
        about("Encounter", period={"start": "2020-01-01"}, serviceType=kind) | {"id": str(place)}
        for place, kind in enumerate(kinds)
    ]
    fhir = FhirSource(write(tmp_path / "fhir", patient, *visits))
    assert read(fhir)["contact"]["service"].to_list() == ["child_clinic", None, None]
    assert told(fhir, "contact", "service is not named") == 1
    changes: dict[str, str | bytes | None] = {
        "VISIT_OCCURRENCE": VISITS + "1,1,9202,2020-01-01,7\n2,1,9202,2020-01-02,8\n3,1,9202,2020-01-03,\n",
        "CARE_SITE": "care_site_id,care_site_source_value\n7,T26\n8,laundry\n",
    }
    omop = OmopSource(folder(tmp_path / "omop", changes))
    assert read(omop)["contact"]["service"].to_list() == ["child_clinic", None, None]
    assert told(omop, "contact", "care site is not named") == 1
