"""Random small populations that sit on the edges of the definitions: days just in and just out of every window."""

import random
from datetime import date, timedelta
from typing import Any

from tests.analysis.lakes import Rows
from tests.analysis.oracle import back

AS_OFS = (
    date(2020, 2, 29), date(2020, 3, 31), date(2021, 2, 28), date(2021, 8, 31), date(2022, 6, 30), date(2022, 12, 31),
    date(2023, 1, 15), date(2024, 2, 29),
)  # fmt: skip

DIAGNOSES = (
    ("icd10", "E11.9"), ("icd10", "E10"), ("icpc2", "T90"), ("snomed", "44054006"), ("icd10", "E15"), ("icd10", "I10"),
    ("icpc2", "K86"), ("icd10", "K86"), ("snomed", "38341003"), ("icd10", "I25.1"), ("icd10", "G45.9"),
    ("icpc2", "K92"), ("icd10", "I26"), ("snomed", "53741008"), ("icd10", "I50"), ("icd10", "J44.1"), ("icpc2", "P70"),
    ("icd10", "N18.3"), ("icd10", "O24.4"), ("icpc2", "W85"), ("snomed", "703136005"), ("icd10", "Z51.5"),
)  # fmt: skip
MEASUREMENTS = (
    ("loinc", "4548-4"), ("loinc", "59261-8"), ("kuntaliitto", "6128"), ("loinc", "8480-6"), ("loinc", "8462-4"),
    ("loinc", "18262-6"), ("loinc", "2089-1"), ("loinc", "6128"),
)  # fmt: skip
VACCINES = (("atc", "J07BD52"), ("atc", "J07BD"), ("cvx", "03"), ("cvx", "94"), ("cvx", "21"), ("atc", "J07CA09"))


def population(seed: int, person_count: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table; the same for the same seed."""
    draw = random.Random(seed)
    rows: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in (
            "person", "residence", "restriction", "diagnosis", "measurement", "vaccination", "contact", "medication",
            "service_period", "appointment",
        )
    }  # fmt: skip
    for number in range(person_count):
        born = _near(draw, draw.choice((24, 30, 36, 16 * 12, 18 * 12, 45 * 12, 75 * 12, 80 * 12, 86 * 12)))
        rows["person"].append(
            {
                "person_number": number,
                "birth_date": born,
                "sex": draw.choice(("female", "male", "unknown", None)),
                "death_date": _near(draw) if draw.random() < 0.1 else None,
            }
        )
        for table, make in _RECORDS.items():
            for _ in range(draw.choice(_HOW_MANY.get(table, (0, 1, 1, 2, 4)))):
                retracted = draw.choice((None, None, False, False, False, True))
                rows[table].append({"person_number": number, "is_retracted": retracted, **make(draw, born)})
    return rows


def of_person(rows: Rows, number: int) -> dict[str, list[Any]]:
    """The rows of one person by table."""
    return {name: [row for row in records if row["person_number"] == number] for name, records in rows.items()}


def _near(draw: random.Random, months: int | None = None) -> date:
    """A day about so many months before an as-of date."""
    length = draw.choice((0, 0, 1, 3, 6, 9, 12, 12, 24)) if months is None else months
    return back(draw.choice(AS_OFS), length) + timedelta(days=draw.choice((-40, -2, -1, 0, 0, 1, 2, 25)))


def _maybe(draw: random.Random, share: float) -> date | None:
    return _near(draw) if draw.random() < share else None


def _residence(draw: random.Random, born: date) -> dict[str, Any]:
    start = _maybe(draw, 0.6)
    follows = start and draw.random() < 0.3
    end = start + timedelta(days=draw.choice((-1, 0, 200, 400))) if follows and start else _maybe(draw, 0.4)
    return {"area_code": draw.choice(("101", "102", "103", "1", "999", None)), "from_date": start, "to_date": end}


def _restriction(draw: random.Random, born: date) -> dict[str, Any]:
    kind = draw.choice(("objection", "processing_restriction", "security_ban", "contact_ban"))
    return {"kind": kind, "event_date": _near(draw), "end_date": _maybe(draw, 0.6)}


def _diagnosis(draw: random.Random, born: date) -> dict[str, Any]:
    system, code = draw.choice(DIAGNOSES)
    return {"code_system": system, "code": code, "event_date": _near(draw), "end_date": _maybe(draw, 0.3)}


def _measurement(draw: random.Random, born: date) -> dict[str, Any]:
    system, code = draw.choice(MEASUREMENTS)
    return {"code_system": system, "code": code, "event_date": _near(draw)}


def _vaccination(draw: random.Random, born: date) -> dict[str, Any]:
    system, code = draw.choice(VACCINES)
    given = born + timedelta(days=draw.choice((300, 334, 335, 336, 337, 365, 500)))
    status = draw.choice(("given", "given", None, "refused", "contraindicated"))
    return {"code_system": system, "code": code, "event_date": given, "status": status}


def _contact(draw: random.Random, born: date) -> dict[str, Any]:
    channel = draw.choice(("visit", "phone", "emergency", "automated_message"))
    return {"channel": channel, "event_date": _near(draw)}


def _medication(draw: random.Random, born: date) -> dict[str, Any]:
    system, code = draw.choice((("atc", f"C{draw.randrange(12):02d}AA01"), ("rxnorm", "2001")))
    return {"code_system": system, "code": code, "event_date": _near(draw)}


def _service_period(draw: random.Random, born: date) -> dict[str, Any]:
    service = draw.choice(("home_care", "home_care", "round_the_clock_care", "palliative_care", "specialist_care"))
    return {"service": service, "event_date": _near(draw), "end_date": _maybe(draw, 0.5)}


def _appointment(draw: random.Random, born: date) -> dict[str, Any]:
    status = draw.choice(
        ("cancelled_by_provider", "cancelled_by_provider", "attended", "booked", "no_show", "cancelled_by_client")
    )
    return {
        "status": status,
        "reason": draw.choice(("pandemic", "pandemic", "capacity", "need_ended", "illness", None)),
        "specialty": draw.choice(("eyes", "eyes", "heart", None)),
        "event_date": _near(draw),
        "booked_date": _maybe(draw, 0.7),
        "status_date": _maybe(draw, 0.7),
    }


_RECORDS = {
    "residence": _residence, "restriction": _restriction, "diagnosis": _diagnosis, "measurement": _measurement,
    "vaccination": _vaccination, "contact": _contact, "medication": _medication, "service_period": _service_period,
    "appointment": _appointment,
}  # fmt: skip
_HOW_MANY = {
    "residence": (0, 0, 1, 1, 2, 3), "restriction": (0, 0, 0, 0, 0, 1), "medication": (0, 0, 3, 20, 30),
    "service_period": (0, 0, 1, 2), "contact": (0, 0, 1, 2),
}  # fmt: skip
