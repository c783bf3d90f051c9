"""Contacts: everyday ones, follow-up of what began lately, child clinics and home care."""

from collections.abc import Mapping

import numpy as np

from transforms.sources.synthetic.block import GAPS, Block
from transforms.sources.synthetic.draws import Days, Flags, Places, arrivals, choose, spaced, whole, working_day
from transforms.sources.synthetic.monitoring import in_pandemic
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import CONTACT

_CHILD = {
    "doctor_visit": 22, "nurse_visit": 12, "nurse_phone": 22, "nurse_chat": 4, "dentist_visit": 14, "emergency": 8,
    "inpatient": 1, "hospital_visit": 5, "school_health": 8, "automated_message": 4,
}  # fmt: skip
_ADULT = {
    "doctor_visit": 20, "nurse_visit": 12, "nurse_phone": 18, "doctor_phone": 7, "nurse_chat": 9, "dentist_visit": 11,
    "emergency": 6, "inpatient": 1, "hospital_visit": 7, "hospital_phone": 2, "physiotherapy": 2, "social_visit": 2,
    "social_phone": 2, "mental_health_visit": 2, "mental_health_phone": 1, "therapy_chat": 1, "substance_visit": 0.5,
    "automated_message": 7, "letter": 2,
}  # fmt: skip
_OLD = {
    "doctor_visit": 16, "nurse_visit": 17, "nurse_phone": 21, "doctor_phone": 9, "nurse_chat": 2, "dentist_visit": 7,
    "emergency": 6, "inpatient": 3, "hospital_visit": 9, "hospital_phone": 3, "physiotherapy": 2, "social_visit": 2,
    "social_phone": 2, "home_doctor": 1, "automated_message": 5, "letter": 2,
}  # fmt: skip
"""Everyday contacts, weighted, of those under 16, of 16 to 64 and of 65 or more years."""
_MEETING = ("visit", "home", "other")
_PUT_OFF_MEETING, _PUT_OFF_EMERGENCY, _BY_PHONE = 0.4, 0.2, 0.35
"""Shares in the pandemic: meetings and emergencies that do not take place, and such meetings held by phone."""

CHILD_VISITS = {"four_months": (105, 135), "eighteen_months": (500, 600), "four_years": (1400, 1600)}
"""Ages in days between which the extensive health examinations of the child clinic take place."""
_CHILD_CLINIC_BASICS = (14, 42, 61, 91, 152, 182, 243, 365, 730, 1095)
_CHILD_VISIT_MISSED = 0.09
_NO_FOLLOW_UP = {"depression": 0.28, "substance_use": 0.38}


def everyday_contacts(block: Block) -> Rows:
    """Contacts of no particular reason, by age and deprivation; fewer meetings and more calls in the pandemic."""
    rng, age = block.rng("everyday contacts"), block.age
    yearly = np.select([age < 2, age < 16, age < 65, age < 75, age < 85], [1.6, 2.9, 3.2, 4.3, 5.6], 7.0)
    person, day = arrivals(rng, yearly * np.exp(0.1 * block.deprivation), block.first, block.last)
    kind = np.zeros(len(person), dtype=np.int32)
    for weights, has in ((_CHILD, age < 16), (_ADULT, (age >= 16) & (age < 65)), (_OLD, age >= 65)):
        of_age = has[person]
        kind[of_age] = choose(rng, {CONTACT[name]: weight for name, weight in weights.items()}, int(of_age.sum()))
    channel = CONTACT.frame["channel"]
    meets, is_emergency = (channel.is_in(_MEETING)).to_numpy()[kind], (channel == "emergency").to_numpy()[kind]
    pandemic, chance = in_pandemic(day), rng.random(len(day))
    off = pandemic & ((meets & (chance < _PUT_OFF_MEETING)) | (is_emergency & (chance < _PUT_OFF_EMERGENCY)))
    by_phone = off & meets & (rng.random(len(day)) < _BY_PHONE)
    kind[by_phone] = CONTACT["nurse_phone"]
    day = np.where(is_emergency, day, working_day(day))
    return rows_of(person, day, contact=kind).take(~off | by_phone)


def follow_up_contacts(block: Block) -> Rows:
    """Contacts that should follow a new depression, a substance disorder, a memory disorder, opioids; some do not."""
    rng = block.rng("follow-up contacts")
    parts = []
    for condition, after, contacts in (
        ("depression", (10, 56), {"mental_health_visit": 3, "mental_health_phone": 2, "therapy_chat": 1}),
        ("substance_use", (1, 30), {"substance_visit": 3, "substance_social": 1}),
    ):
        person = _where(block.has(condition) & (rng.random(block.size) > block.missed(_NO_FOLLOW_UP[condition])))
        for later in (0, 30, 75):
            day = block.onset[condition][person] + whole(rng, *after, len(person)) + later
            parts.append(_contacts(rng, person, day, contacts))
    seeing, day = arrivals(rng, np.where(block.has("substance_use"), 0.9, 0.0), block.first, block.last)
    parts.append(_contacts(rng, seeing, day, {"substance_visit": 3, "emergency": 2, "substance_social": 1}))
    for lack, condition, contacts, yearly in (
        ("memory_review", "dementia", {"memory_visit": 2, "memory_doctor": 1}, 1.0),
        ("opioid_review", "chronic_pain", {"medication_review": 3, "medication_review_phone": 1}, 2.6),
    ):
        person, day = arrivals(rng, np.where(block.has(condition), yearly, 0.0), block.first, block.last)
        kept = ~(block.lacks[lack][person] & (day > block.as_of - GAPS[lack].days))
        parts.append(_contacts(rng, person[kept], day[kept], contacts))
    return joined(parts)


def child_clinic_contacts(block: Block) -> Rows:
    """Visits to the child clinic by age in days; the extensive examinations more reliably than the rest."""
    rng = block.rng("child clinic")
    young = _where((block.people.birth > block.start - 6 * 366) & ~block.people.is_area_unknown)
    birth, parts = block.people.birth[young], []
    for low, high in CHILD_VISITS.values():
        goes = rng.random(len(young)) > block.missed(_CHILD_VISIT_MISSED)[young]
        day = working_day(birth + whole(rng, low, high, len(young)))
        parts.append(_contacts(rng, young[goes], day[goes], {"child_clinic": 2, "child_clinic_doctor": 1}))
    for age in _CHILD_CLINIC_BASICS:
        goes = rng.random(len(young)) < 0.8
        parts.append(
            _contacts(rng, young[goes], working_day(birth[goes] + age + whole(rng, 0, 14, int(goes.sum()))),
                      {"child_clinic": 1})
        )  # fmt: skip
    return joined(parts)


def home_care_contacts(block: Block) -> Rows:
    """Home visits of persons in home care, one a month: the feed has the summary, not each visit."""
    first, last = block.services["home_care"]
    rng, person = block.rng("home care"), _where(first <= block.as_of)
    begins, ends = np.maximum(first, block.first)[person], np.minimum(last, block.last)[person]
    place, day = spaced(rng, begins, ends, 30)
    return rows_of(person[place], day, contact=CONTACT["home_care"])


def _contacts(rng: np.random.Generator, person: Places, day: Days, weights: Mapping[str, float]) -> Rows:
    kind = choose(rng, {CONTACT[name]: weight for name, weight in weights.items()}, len(person))
    return rows_of(person, day, contact=kind)


def _where(flags: Flags) -> Places:
    return np.flatnonzero(flags).astype(np.int32)
