"""The words of the feed: what rows point at by place while they are drawn, in the terms of `schemas.tables`.

A vocabulary has one row per word, and the columns of a table that go together: code system, code and unit of a
measurement, say.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from transforms.sources.synthetic.conditions import ACUTE_CODES, CONDITIONS, CONSEQUENCE_CODES
from transforms.sources.synthetic.draws import Flags, Floats, Places
from transforms.sources.synthetic.identity import addresses


@dataclass(frozen=True)
class Vocabulary:
    """Words and their places; `frame` has one row per word."""

    frame: pl.DataFrame
    place: dict[str, int]

    def __getitem__(self, word: str) -> int:
        """The place of a word."""
        return self.place[word]


def _vocabulary(columns: tuple[str, ...], words: dict[str, tuple[str | None, ...]]) -> Vocabulary:
    frame = pl.DataFrame(list(words.values()), schema=dict.fromkeys(columns, pl.String), orient="row")
    return Vocabulary(frame, {word: place for place, word in enumerate(words)})


def _plain(column: str, *words: str) -> Vocabulary:
    """One column; the empty word is null."""
    return _vocabulary((column,), {word: (word or None,) for word in words})


_SNOMED_FOOT, _SNOMED_EYE, _SNOMED_REVIEW, _SNOMED_DIABETES = "401191002", "134395001", "182836005", "170777000"
"""SNOMED CT: diabetic foot examination, diabetic retinopathy screening, review of medication, annual diabetic review"""

CONTACT = _vocabulary(
    ("channel", "profession", "service", "code_system", "code"),
    {
        "doctor_visit": ("visit", "doctor", "health_centre", None, None),
        "nurse_visit": ("visit", "nurse", "health_centre", None, None),
        "nurse_phone": ("phone", "nurse", "health_centre", None, None),
        "doctor_phone": ("phone", "doctor", "health_centre", None, None),
        "nurse_chat": ("chat", "nurse", "health_centre", None, None),
        "dentist_visit": ("visit", "dentist", "dental_care", None, None),
        "emergency": ("emergency", "doctor", "emergency_services", None, None),
        "inpatient": ("inpatient", "doctor", "hospital", None, None),
        "hospital_visit": ("visit", "doctor", "hospital", None, None),
        "hospital_phone": ("phone", "nurse", "hospital", None, None),
        "physiotherapy": ("visit", "therapist", "health_centre", None, None),
        "school_health": ("visit", "public_health_nurse", "school_health", None, None),
        "child_clinic": ("visit", "public_health_nurse", "child_clinic", None, None),
        "child_clinic_doctor": ("visit", "doctor", "child_clinic", None, None),
        "social_visit": ("visit", "social_worker", "social_services", None, None),
        "social_phone": ("phone", "social_worker", "social_services", None, None),
        "mental_health_visit": ("visit", "nurse", "mental_health", None, None),
        "mental_health_phone": ("phone", "nurse", "mental_health", None, None),
        "therapy_chat": ("chat", "therapist", "mental_health", None, None),
        "substance_visit": ("visit", "nurse", "substance_services", None, None),
        "substance_social": ("visit", "social_worker", "substance_services", None, None),
        "memory_visit": ("visit", "nurse", "memory_clinic", None, None),
        "memory_doctor": ("visit", "doctor", "memory_clinic", None, None),
        "home_care": ("home", "nurse", "home_care", None, None),
        "home_doctor": ("home", "doctor", "home_care", None, None),
        "diabetes_review": ("visit", "nurse", "health_centre", "snomed", _SNOMED_DIABETES),
        "foot_check": ("visit", "nurse", "health_centre", "snomed", _SNOMED_FOOT),
        "eye_screening": ("visit", "nurse", "hospital", "snomed", _SNOMED_EYE),
        "medication_review": ("visit", "doctor", "health_centre", "snomed", _SNOMED_REVIEW),
        "medication_review_phone": ("phone", "doctor", "health_centre", "snomed", _SNOMED_REVIEW),
        "automated_message": ("automated_message", None, "health_centre", None, None),
        "letter": ("other", "other", "health_centre", None, None),
    },
)
MEASUREMENT = _vocabulary(
    ("code_system", "code", "unit"),
    {
        "hba1c": ("loinc", "4548-4", "mmol/mol"),
        "hba1c_local": ("kuntaliitto", "6128", "mmol/mol"),
        "hba1c_percent": ("loinc", "4548-4", "%"),
        "hba1c_local_percent": ("kuntaliitto", "6128", "%"),
        "ldl": ("loinc", "18262-6", "mmol/L"),
        "ldl_calculated": ("loinc", "2089-1", "mmol/L"),
        "systolic": ("loinc", "8480-6", "mm[Hg]"),
        "diastolic": ("loinc", "8462-4", "mm[Hg]"),
        "egfr": ("loinc", "62238-1", "mL/min/{1.73_m2}"),
        "egfr_mdrd": ("loinc", "33914-3", "mL/min/{1.73_m2}"),
        "albumin_creatinine": ("loinc", "32294-1", "mg/mmol"),
        "glucose": ("loinc", "14771-0", "mmol/L"),
        "creatinine": ("loinc", "14682-9", "umol/L"),
        "haemoglobin": ("loinc", "718-7", "g/L"),
        "crp": ("loinc", "1988-5", "mg/L"),
        "potassium": ("loinc", "2823-3", "mmol/L"),
        "bmi": ("loinc", "39156-5", "kg/m2"),
        "smoking": ("loinc", "72166-2", None),
        "spirometry": ("loinc", "20150-9", "L"),
        "mmse": ("loinc", "72106-8", "{score}"),
    },
)
MEDICATION_CODES = (
    "A10BA02", "A10BK03", "A10AE04", "A10AB05", "C09AA05", "C08CA01", "C03AA03", "C07AB02", "C10AA05", "C10AA07",
    "C10AX09", "B01AC06", "B01AF02", "R03BB04", "R03AK07", "N05AH04", "N05AX08", "N06DA02", "N06DX01", "N06AB10",
    "N06AX16", "N02AA05", "N02AX02", "N02AJ06", "H03AA01", "J01CA04", "J01CA08", "N02BE01", "M01AE01", "R06AX27",
)  # fmt: skip
MEDICATION = _vocabulary(("code_system", "code"), {code: ("atc", code) for code in MEDICATION_CODES})
VACCINE = _vocabulary(
    ("code_system", "code"), {code: ("atc", code) for code in ("J07BD52", "J07BB02", "J07CA06", "J07AL02", "J07BH01")}
)
VACCINATION_STATUS = _plain("status", "", "given", "refused", "contraindicated")
SERVICE = _plain("service", "home_care", "round_the_clock_care", "palliative_care", "specialist_care")
RESTRICTION = _plain("kind", "contact_ban", "security_ban", "objection", "processing_restriction")
REQUEST = _vocabulary(
    ("channel", "service"),
    {f"{channel} {service}": (channel, service)
     for service in ("health_centre", "dental_care", "mental_health", "child_clinic", "social_services")
     for channel in ("callback", "chat", "form")},
)  # fmt: skip
OUTCOME = _plain("outcome", "", "answered", "not_reached", "withdrawn", "duplicate")
CAUSE = _plain(
    "cause", "", "never_invited", "no_show", "cancelled_by_client", "cancelled_by_provider", "moved", "recorded_late",
    "refused", "answered_late", "not_reached",
)  # fmt: skip
"""Why a gap is open."""
STATUS = _plain("status", "booked", "attended", "no_show", "cancelled_by_client", "cancelled_by_provider")
REASON = _plain("reason", "", "pandemic", "capacity", "illness", "need_ended", "client_request", "other")
SPECIALTIES = {
    "general_practice": ("health_centre", "doctor_visit", 40.0), "nursing": ("health_centre", "nurse_visit", 20.0),
    "dentistry": ("dental_care", "dentist_visit", 14.0), "physiotherapy": ("health_centre", "physiotherapy", 5.0),
    "ophthalmology": ("hospital", "hospital_visit", 5.0), "orthopaedics": ("hospital", "hospital_visit", 4.0),
    "cardiology": ("hospital", "hospital_visit", 3.0), "internal_medicine": ("hospital", "hospital_visit", 4.0),
    "psychiatry": ("mental_health", "mental_health_visit", 4.0), "neurology": ("hospital", "hospital_visit", 1.0),
    "social_work": ("social_services", "social_visit", 3.0),
}  # fmt: skip
"""Specialty of an appointment: its service, the contact that keeping it makes, and how common it is."""
SPECIALTY = _vocabulary(("service", "specialty"), {name: (place[0], name) for name, place in SPECIALTIES.items()})
ADDRESS = Vocabulary(addresses(), {})

_DIAGNOSES = sorted(
    {code for condition in CONDITIONS.values() for code in condition.codes}
    | set(ACUTE_CODES)
    | set(CONSEQUENCE_CODES.values())
)
UNDOTTED = len(_DIAGNOSES)
"""Add it to the place of an ICD-10 code for the same code without its dot."""


def _diagnosis(code: str, *, dotted: bool) -> tuple[str, str]:
    system, colon, other = code.partition(":")
    return (system, other) if colon else ("icd10", code if dotted else code.replace(".", ""))


DIAGNOSIS = _vocabulary(
    ("code_system", "code"),
    {
        code if dotted else f"undotted {code}": _diagnosis(code, dotted=dotted)
        for dotted in (True, False)
        for code in _DIAGNOSES
    },
)
HAS_DOT: Flags = np.array(["." in code for code in _DIAGNOSES] + [False] * UNDOTTED)

NO_VALUE = 0
_TENTHS, _WHOLE, _COMMA = 1, 4001, 4502
_UNREADABLE = ("?", "ks. lausunto", "7;2", "virhe")
VALUE = Vocabulary(
    pl.DataFrame(
        {
            "value": [
                None,
                *(f"{tenths // 10}.{tenths % 10}" for tenths in range(4000)),
                *(str(number) for number in range(501)),
                *(f"{tenths // 10},{tenths % 10}" for tenths in range(4000)),
                "<5",
                *_UNREADABLE,
            ]
        }
    ),
    {},
)
"""Values as the laboratory wrote them: none, tenths, whole numbers, with a decimal comma, "<5", and unreadable."""
UNREADABLE = range(VALUE.frame.height - len(_UNREADABLE), VALUE.frame.height)
CENSORED = UNREADABLE.start - 1


def tenths(values: Floats) -> Places:
    """Places of values written to one decimal."""
    return (np.rint(np.clip(values, 0, 399.9) * 10) + _TENTHS).astype(np.int32)


def whole_numbers(values: Floats) -> Places:
    """Places of values written without decimals."""
    return (np.rint(np.clip(values, 0, 500)) + _WHOLE).astype(np.int32)


def is_tenths(place: Places) -> Flags:
    """Whether a value is written to one decimal, with a point."""
    return (place >= _TENTHS) & (place < _WHOLE)


def is_whole(place: Places) -> Flags:
    """Whether a value is written without decimals."""
    return (place >= _WHOLE) & (place < _COMMA)


def with_comma(place: Places) -> Places:
    """Places of the same tenths, with a decimal comma."""
    return place + np.int32(_COMMA - _TENTHS)


def number_of(place: Places) -> Floats:
    """The number that a place without decimals stands for."""
    return (place - _WHOLE).astype(np.float64)
