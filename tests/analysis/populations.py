"""Random small populations that sit on the edges of the definitions: days just in and just out of every window."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from tests.analysis.lakes import Rows
from tests.analysis.oracle import back

AS_OFS = (
    date(2020, 2, 29), date(2020, 3, 31), date(2021, 2, 28), date(2021, 8, 31), date(2022, 6, 30), date(2022, 12, 31),
    date(2023, 1, 15), date(2024, 2, 29),
)  # fmt: skip

COMMON_DIAGNOSES = (
    ("icd10", "E11.9"), ("icd10", "E10"), ("icpc2", "T90"), ("snomed", "44054006"), ("icd10", "E15"), ("icd10", "I10"),
    ("icpc2", "K86"), ("icd10", "K86"), ("snomed", "38341003"), ("icd10", "I25.1"), ("icd10", "G45.9"),
    ("icpc2", "K92"), ("icd10", "I26"), ("snomed", "53741008"), ("icd10", "I50"), ("icd10", "J44.1"), ("icpc2", "P70"),
    ("icd10", "N18.3"), ("icd10", "O24.4"), ("icpc2", "W85"), ("snomed", "703136005"), ("icd10", "Z51.5"),
    ("icd10", "Y52.6"), ("icd10", "C50.9"), ("icd10", "R52.1"), ("icd10", "F17.2"), ("icd10", "F41.1"),
)  # fmt: skip
DIABETES_TESTS = (("loinc", "4548-4"), ("loinc", "59261-8"), ("kuntaliitto", "6128"))
CHECKS = (
    ("loinc", "8480-6"), ("loinc", "8462-4"), ("loinc", "18262-6"), ("loinc", "2089-1"), ("loinc", "62238-1"),
    ("loinc", "33914-3"), ("loinc", "32294-1"), ("loinc", "9318-7"), ("loinc", "39156-5"), ("loinc", "72166-2"),
    ("loinc", "8280-0"), ("loinc", "14771-0"), ("loinc", "2085-9"), ("loinc", "6128"), ("loinc", "20150-9"),
    ("loinc", "19926-5"), ("loinc", "72106-8"), *DIABETES_TESTS,
)  # fmt: skip
MEDICINES = (
    *(("atc", f"C{number:02d}AA01") for number in range(12)), ("rxnorm", "2001"), ("atc", "C10AX09"),
    ("atc", "N06DA02"), ("atc", "N06AB10"), ("atc", "N06AX16"), ("atc", "N02AA05"), ("atc", "N02AX02"),
    ("rxnorm", "1049625"),
    ("atc", "R05DA04"), ("rxnorm", "312961"),
)  # fmt: skip
VACCINES = (
    ("atc", "J07BD52"), ("atc", "J07BD"), ("cvx", "03"), ("cvx", "94"), ("cvx", "21"), ("atc", "J07CA09"),
)  # fmt: skip
CONTACT_CODES = (
    None, None, "401191002", "182836005", "134388005", "134395001", "170777000", "182836005", "182836005", "56876005",
)  # fmt: skip
SERVICES = (
    None, "health_centre", "diabetes_clinic", "memory_clinic", "substance_services", "child_clinic",
    "private_child_clinic",
)  # fmt: skip
PROFESSIONS = ("doctor", "doctor", "nurse", "social_worker", None)


@dataclass(frozen=True)
class Theme:
    """What the records of one person are mostly about, so that each gap is met often."""

    ages: tuple[int, ...] = (16 * 12, 18 * 12, 35 * 12, 45 * 12, 60 * 12, 75 * 12, 80 * 12, 86 * 12)
    diagnoses: tuple[tuple[str, str], ...] = COMMON_DIAGNOSES
    measurements: tuple[tuple[str, str], ...] = CHECKS
    medicines: tuple[tuple[str, str], ...] = MEDICINES
    vaccines: tuple[tuple[str, str], ...] = (("atc", "J07BB02"), ("cvx", "140"), ("atc", "J07BD52"))
    services: tuple[str | None, ...] = SERVICES
    often: tuple[str, ...] = ()


THEMES = (
    Theme(),
    Theme(
        diagnoses=(("icd10", "E11.9"), ("icpc2", "T90"), ("icd10", "O24.4"), ("snomed", "703136005")),
        measurements=DIABETES_TESTS,
        often=("diagnosis", "measurement"),
    ),
    Theme(
        diagnoses=(("icd10", "E11.9"),),
        measurements=DIABETES_TESTS,
        services=("diabetes_clinic", "health_centre"),
        often=("diagnosis", "measurement", "contact"),
    ),
    Theme(diagnoses=(("icd10", "I10"), ("icpc2", "K86")), measurements=CHECKS[:2]),
    Theme(
        diagnoses=(("icd10", "E10"), ("snomed", "44054006")), measurements=(*CHECKS[:3], *CHECKS[4:7], *DIABETES_TESTS)
    ),
    Theme(diagnoses=(("icd10", "I25.1"), ("icd10", "Y52.6")), medicines=(("atc", "C10AA05"), ("atc", "C10AB05"))),
    Theme(
        diagnoses=(("icd10", "J44.1"), ("icpc2", "R95"), ("icd10", "J45.9")),
        measurements=(("loinc", "20150-9"), ("loinc", "19868-9")),
        often=("diagnosis", "vaccination"),
    ),
    Theme(
        diagnoses=(("icd10", "F20.0"), ("icpc2", "P73"), ("icd10", "F20.9")),
        measurements=(*CHECKS[:2], *CHECKS[8:9], *CHECKS[10:13]),
        often=("diagnosis", "measurement"),
    ),
    Theme(ages=(3, 5, 15, 17, 21, 33, 45, 54, 66), vaccines=VACCINES, services=("child_clinic",), often=("contact",)),
    Theme(ages=(24, 30, 36), vaccines=VACCINES[:4], often=("vaccination",)),
    Theme(ages=(5, 17, 54), services=("child_clinic", "private_child_clinic", "health_centre")),
    Theme(diagnoses=(("icd10", "G30.1"), ("icpc2", "P70")), medicines=(("atc", "N06DA02"), ("atc", "N06DX01"))),
    Theme(
        diagnoses=(("icd10", "F32.1"), ("icpc2", "P76"), ("snomed", "35489007")),
        medicines=(("atc", "N06AB10"), ("atc", "N06AX16")),
    ),
    Theme(
        diagnoses=(("icd10", "F10.2"), ("icpc2", "P19"), ("icd10", "F17.2"), ("snomed", "66590003")),
        services=("substance_services", "substance_services", "health_centre"),
        often=("diagnosis", "contact"),
    ),
    Theme(
        diagnoses=(("icd10", "C50.9"), ("icd10", "R52.1"), ("icd10", "M54"), ("icpc2", "X76")),
        medicines=(("atc", "N02AA05"), ("rxnorm", "857005"), ("atc", "N07BC02")),
        often=("medication", "contact"),
    ),
)


class Draw(random.Random):
    """Random choices; days fall near the as-of dates of `around`."""

    around: Sequence[date] = AS_OFS


def population(seed: int, person_count: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table; the same for the same seed."""
    draw = Draw(seed)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("person", *_RECORDS)}
    for number in range(person_count):
        theme = draw.choice(THEMES)
        draw.around = draw.choices(AS_OFS, k=2)
        born = _near(draw, draw.choice(theme.ages))
        rows["person"].append(
            {
                "person_number": number,
                "birth_date": born,
                "sex": draw.choice(("female", "male", "unknown", None)),
                "death_date": _near(draw) if draw.random() < 0.1 else None,
            }
        )
        known: list[date] = []
        for table, make in _RECORDS.items():
            how_many = _HOW_MANY.get(table, (0, 1, 1, 2, 4))
            for _ in range(draw.choice(how_many[-2:] if table in theme.often else how_many)):
                retracted = draw.choice((None, None, False, False, False, True))
                made = make(draw, born, theme)
                if known and table in _FOLLOWING and draw.random() < 0.4:
                    made["event_date"] = draw.choice(known) + timedelta(days=draw.choice(_LATER))
                if table in ("measurement", "contact") and draw.random() < 0.5:
                    made["event_date"] = draw.around[0] - timedelta(days=draw.randrange(300))
                known += [made["event_date"]] if "event_date" in made else []
                rows[table].append({"person_number": number, "is_retracted": retracted, **made})
    return rows


def by_person(rows: Rows) -> list[dict[str, list[Any]]]:
    """The rows of everybody by table, in the order of the persons."""
    found: list[dict[str, list[Any]]] = [{name: [] for name in rows} for _ in rows["person"]]
    for name, records in rows.items():
        for row in records:
            found[row["person_number"]][name].append(row)
    return found


def _near(draw: Draw, months: int | None = None) -> date:
    """A day about so many months before an as-of date."""
    length = draw.choice((0, 0, 1, 3, 6, 9, 12, 12, 24)) if months is None else months
    return back(draw.choice(draw.around), length) + timedelta(days=draw.choice((-40, -2, -1, 0, 0, 1, 2, 25)))


def _maybe(draw: Draw, share: float) -> date | None:
    return _near(draw) if draw.random() < share else None


def _residence(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    start = born + timedelta(days=draw.choice((0, 0, 12, 40))) if draw.random() < 0.3 else _maybe(draw, 0.6)
    follows = start and draw.random() < 0.3
    end = start + timedelta(days=draw.choice((-1, 0, 200, 400))) if follows and start else _maybe(draw, 0.4)
    return {"area_code": draw.choice(("101", "102", "103", "1", "999", None)), "from_date": start, "to_date": end}


def _restriction(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    kind = draw.choice(("objection", "processing_restriction", "security_ban", "contact_ban"))
    return {"kind": kind, "event_date": _near(draw), "end_date": _maybe(draw, 0.6)}


def _diagnosis(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    system, code = draw.choice(draw.choice((theme.diagnoses, theme.diagnoses, COMMON_DIAGNOSES)))
    return {"code_system": system, "code": code, "event_date": _near(draw), "end_date": _maybe(draw, 0.2)}


def _measurement(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    system, code = draw.choice(draw.choice((theme.measurements, theme.measurements, CHECKS)))
    value = draw.choice((None, 48.0, 74.9, 75.0, 90.0, 90.0))
    return {"code_system": system, "code": code, "event_date": _near(draw), "value": value}


def _vaccination(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    system, code = draw.choice(theme.vaccines)
    given = born + timedelta(days=draw.choice((300, 334, 335, 336, 337, 365, 500)))
    if theme.vaccines is not VACCINES:
        autumn = draw.choice(draw.around).year - draw.choice((0, 1, 1, 2))
        edge = draw.choice((date(autumn, 10, 1), date(autumn, 11, 15), date(autumn + 1, 3, 31)))
        given = edge + timedelta(days=draw.choice((-1, 0, 0, 1)))
    status = draw.choice(("given", "given", None, "refused", "contraindicated"))
    return {"code_system": system, "code": code, "event_date": given, "status": status}


def _contact(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    code = draw.choice(CONTACT_CODES)
    day = _near(draw)
    if born > date(2012, 1, 1) and draw.random() < 0.8:
        months = draw.choice((3, 4, 5, 15, 18, 21, 45, 50, 54))
        day = back(born, -months) + timedelta(days=draw.choice((-1, 0, 0, 1)))
    return {
        "channel": draw.choice(("visit", "visit", "home", "phone", "emergency", "automated_message")),
        "event_date": day,
        "profession": draw.choice(PROFESSIONS),
        "service": draw.choice(theme.services),
        "code_system": code and "snomed",
        "code": code,
    }


def _medication(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    system, code = draw.choice(draw.choice((theme.medicines, theme.medicines, MEDICINES)))
    supplied = draw.choice((None, 28, 30, 45, 60, 90))
    return {"code_system": system, "code": code, "event_date": _near(draw), "days_supplied": supplied}


def _service_period(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    service = draw.choice(
        ("home_care", "home_care", "round_the_clock_care", "palliative_care", "palliative_care", "specialist_care")
    )
    return {"service": service, "event_date": _near(draw), "end_date": _maybe(draw, 0.5)}


def _appointment(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    status = draw.choice(
        (
            *("cancelled_by_provider", "cancelled_by_provider", "attended", "booked", "cancelled_by_client"),
            *("no_show", "no_show", "no_show", "no_show", "no_show"),
        )
    )
    return {
        "status": status,
        "reason": draw.choice(("pandemic", "pandemic", "capacity", "need_ended", "illness", None)),
        "service": draw.choice(("health_centre", "health_centre", "dental_care", None)),
        "specialty": draw.choice(("eyes", "eyes", "heart", None)),
        "event_date": _near(draw),
        "booked_date": _maybe(draw, 0.7),
        "status_date": _maybe(draw, 0.7),
    }


def _contact_request(draw: Draw, born: date, theme: Theme) -> dict[str, Any]:
    asked = draw.choice((_near(draw), date(2023, 8, 31), date(2023, 9, 1), date(2022, 6, 22), date(2022, 12, 23)))
    answered = asked + timedelta(days=draw.choice((0, 1, 2, 3, 4, 5, 6, 7))) if draw.random() < 0.7 else None
    return {
        "channel": "callback",
        "service": draw.choice(("health_centre", "dental_care", None)),
        "event_date": asked,
        "answered_date": answered,
        "outcome": draw.choice(("answered", "answered", None, "not_reached", "withdrawn", "duplicate")),
    }


_RECORDS = {
    "residence": _residence, "restriction": _restriction, "diagnosis": _diagnosis, "measurement": _measurement,
    "vaccination": _vaccination, "medication": _medication, "service_period": _service_period, "contact": _contact,
    "appointment": _appointment, "contact_request": _contact_request,
}  # fmt: skip
_FOLLOWING = ("contact", "appointment", "measurement", "medication")
_LATER = (0, 0, 1, 9, 10, 11, 29, 30, 31, 55, 56, 57, 59, 60, 61, 89, 90, 91, 181, 184, 365)
"""Days that the definitions count from another event, and those beside them."""
_HOW_MANY = {
    "residence": (0, 0, 1, 1, 2, 3), "restriction": (0, 0, 0, 0, 0, 1), "medication": (0, 0, 3, 6, 20, 30),
    "service_period": (0, 0, 1, 2), "contact": (0, 0, 1, 2, 4, 8), "measurement": (0, 1, 3, 8, 25),
    "contact_request": (0, 0, 0, 1, 2), "diagnosis": (0, 1, 2, 3, 5), "appointment": (0, 0, 2, 4, 8),
}  # fmt: skip
