"""One small invented population, its records as rows of the source tables, to be written in every format."""

import random
from datetime import date, timedelta
from typing import Any

from tests.controller.people import identity_code

Rows = dict[str, list[dict[str, Any]]]
AS_OF = date(2026, 10, 31)
DISTRICTS = ("101", "102", "103", "201", "205", None)
CONDITIONS = {
    "snomed": ("44054006", "38341003", "53741008", "84114007", "13645005"),
    "icd10": ("E11.9", "I10", "I25.1", "O24.4", "Z51.5", "F00.1"),
    "icpc2": ("T90", "K86", "K74"),
}
TESTS = {"loinc": ("4548-4", "8480-6", "8462-4", "18262-6"), "kuntaliitto": ("6128",)}
MEDICINES = {"rxnorm": ("314076", "860975"), "atc": ("C10AA05", "N06DA02", "N02AA01")}
VACCINES = {"cvx": ("03", "94", "141"), "atc": ("J07BD52", "J07BB02")}
CHANNELS = ("visit", "phone", "home", "emergency", "inpatient", "automated_message")


def invented(count: int = 300, seed: int = 5) -> Rows:
    """Persons of every age with records on both sides of what indicators ask for; the same for the same seed."""
    rng = random.Random(seed)
    rows: Rows = {
        name: []
        for name in (
            *("person", "residence", "contact", "appointment", "contact_request", "diagnosis", "measurement"),
            *("medication", "vaccination", "service_period", "restriction"),
        )
    }
    for number in range(count):
        months = rng.choice([rng.randint(20, 40), rng.randint(16 * 12, 74 * 12), rng.randint(75 * 12, 95 * 12)])
        born = AS_OF - timedelta(days=int(months * 30.44) + number % 28)
        person = {
            "person_id": identity_code(born, 900 + number % 100, "A" if born.year >= 2000 else "-"),
            "given_names": f"Aanu{number}",
            "birth_date": born,
            "sex": rng.choice(["female", "male"]),
            "death_date": _ago(rng, 0, 900) if rng.random() < 0.05 else None,
        }
        if any(person["person_id"] == other["person_id"] for other in rows["person"]):
            continue
        rows["person"].append(person)
        _records(rng, rows, person["person_id"], born)
    for name, records in rows.items():
        for place, record in enumerate(records):
            if name != "person":
                record["record_id"] = f"{name}-{place}"
                record["is_retracted"] = rng.random() < 0.03 and name not in ("residence", "restriction")
    return rows


def _records(rng: random.Random, rows: Rows, person_id: str, born: date) -> None:
    def add(table: str, **values: Any) -> None:
        rows[table].append({"person_id": person_id, **values})

    moved = rng.random() < 0.1
    add(
        "residence",
        area_code=rng.choice(DISTRICTS),
        from_date=_ago(rng, 30, 700) if rng.random() < 0.1 else None,
        to_date=_ago(rng, 1, 20) if moved else None,
    )
    for _ in range(rng.randint(0, 3)):
        system = rng.choice(sorted(CONDITIONS))
        begun = _ago(rng, 20, 2500)
        ended = begun + timedelta(days=rng.randint(0, 900))
        end = ended if rng.random() < 0.2 and ended < AS_OF else None
        add("diagnosis", code_system=system, code=rng.choice(CONDITIONS[system]), event_date=begun, end_date=end)
    for _ in range(rng.randint(0, 7)):
        system = rng.choice(sorted(TESTS))
        value = round(rng.uniform(40, 160), 1)
        unit = {"4548-4": "mmol/mol", "6128": "mmol/mol", "18262-6": "mmol/L"}
        code = rng.choice(TESTS[system])
        day = _ago(rng, 0, 800)
        add("measurement", code_system=system, code=code, event_date=day, value=value, unit=unit.get(code, "mm[Hg]"))
    for _ in range(rng.randint(0, 2)):
        system = rng.choice(sorted(MEDICINES))
        code = rng.choice(MEDICINES[system])
        add(
            "medication",
            code_system=system,
            code=code,
            event_date=_ago(rng, 0, 400),
            days_supplied=rng.choice([30, 90]),
        )
    if born > date(2022, 1, 1):
        for _ in range(rng.randint(0, 1)):
            system = rng.choice(sorted(VACCINES))
            status = rng.choice(["given", "given", "given", "refused", "contraindicated"])
            day = born + timedelta(days=rng.randint(250, 600))
            add("vaccination", code_system=system, code=rng.choice(VACCINES[system]), event_date=day, status=status)
    for _ in range(rng.choice([0, 0, 1, 3])):
        add(
            "contact",
            event_date=_ago(rng, 0, 900),
            channel=rng.choice(CHANNELS),
            profession=rng.choice(["doctor", "nurse", None]),
            service=rng.choice(["health_centre", "child_clinic", None]),
        )
    for _ in range(rng.choice([0, 0, 1, 2])):
        _appointment(rng, add)
    if rng.random() < 0.1:
        add("service_period", service=rng.choice(["home_care", "palliative_care"]), event_date=_ago(rng, 30, 900))
    if rng.random() < 0.1:
        add("contact_request", event_date=_ago(rng, 0, 100), channel="callback", service="health_centre")
    if rng.random() < 0.03:
        add("restriction", kind="security_ban", event_date=born)
    if rng.random() < 0.03:
        add("restriction", kind="objection", event_date=_ago(rng, 10, 100))


def _appointment(rng: random.Random, add: Any) -> None:
    status = rng.choice(
        ["attended", "no_show", "cancelled_by_client", "cancelled_by_provider", "cancelled_by_provider"]
    )
    day, reason, status_date = _ago(rng, 0, 700), None, None
    if status == "cancelled_by_provider":
        reason = rng.choice(["pandemic", "capacity"])
    elif status == "cancelled_by_client":
        reason = rng.choice(["need_ended", "illness", "client_request"])
    if status.startswith("cancelled"):
        status_date = day - timedelta(days=rng.randint(0, 30))
    if rng.random() < 0.1:
        status, reason, status_date, day = "booked", None, None, AS_OF + timedelta(days=rng.randint(1, 60))
    add(
        "appointment",
        event_date=day,
        booked_date=day - timedelta(days=60),
        status=status,
        status_date=status_date or (day if status in ("attended", "no_show") else None),
        reason=reason,
        service="health_centre",
        specialty=rng.choice(["general_practice", "ophthalmology"]),
    )


def _ago(rng: random.Random, least: int, most: int) -> date:
    return AS_OF - timedelta(days=rng.randint(least, most))
