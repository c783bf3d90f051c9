"""Contacts: everyday ones, follow-up of what began lately, child clinics and home care."""

from collections.abc import Mapping

import numpy as np

from transforms.sources.synthetic.activity import HIGHEST, activity
from transforms.sources.synthetic.block import CLOSED, OPEN, Block
from transforms.sources.synthetic.courses import CHILD_CHECKS, EMERGENCY_DAYS, FOLLOW_UP_DUE
from transforms.sources.synthetic.draws import (
    NEVER,
    Days,
    Flags,
    Places,
    arrivals,
    between,
    choose,
    spaced,
    whole,
    working_day,
)
from transforms.sources.synthetic.rounds import bounds_of_lapses
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
_BY_PHONE = 0.35
"""Share of meetings put off in the pandemic that are held by phone."""
_CHILD_CLINIC_BASICS = (14, 42, 61, 182, 243, 365, 730, 1095)
"""Ages in days of the child clinic's ordinary visits."""
_REVIEWED_EVERY = 120
"""Days from one review of opioids to the next."""
_EMERGENCIES_PLANNED_DAYS = 760
"""Days before the as-of date in which the old go to an emergency department only where that is planned."""


def everyday_contacts(block: Block) -> Rows:
    """Contacts of no particular reason, by age and deprivation; fewer meetings and more calls in the pandemic."""
    rng, age = block.rng("everyday contacts"), block.age
    yearly = np.select([age < 2, age < 16, age < 65, age < 75, age < 85], [1.6, 2.9, 3.2, 4.3, 5.6], 7.0)
    person, day = arrivals(rng, HIGHEST * yearly * np.exp(0.1 * block.deprivation), block.first, block.last)
    kind = np.zeros(len(person), dtype=np.int32)
    for weights, has in ((_CHILD, age < 16), (_ADULT, (age >= 16) & (age < 65)), (_OLD, age >= 65)):
        of_age = has[person]
        kind[of_age] = choose(rng, {CONTACT[name]: weight for name, weight in weights.items()}, int(of_age.sum()))
    channel = CONTACT.frame["channel"]
    meets, is_emergency = (channel.is_in(_MEETING)).to_numpy()[kind], (channel == "emergency").to_numpy()[kind]
    level, chance = activity(day), rng.random(len(day))
    kept = np.where(meets, level, np.minimum(np.where(is_emergency, (1 + level) / 2, 1.0), 1.0)) / HIGHEST
    off = chance >= kept
    by_phone = off & meets & (level < 1) & (rng.random(len(day)) < _BY_PHONE)
    kind[by_phone] = CONTACT["nurse_phone"]
    day = np.where(is_emergency, day, working_day(day))
    return rows_of(person, day, contact=kind).take(~off | by_phone)


def follow_up_contacts(block: Block) -> Rows:
    """Contacts that should follow a new depression, a substance disorder, a memory disorder, opioids; some do not."""
    rng = block.rng("follow-up contacts")
    parts = []
    for condition, after, contacts in (
        ("depression", (14, 45), {"mental_health_visit": 3, "mental_health_phone": 2, "therapy_chat": 1}),
        ("substance_use", (2, 25), {"substance_visit": 3, "substance_social": 1}),
    ):
        person = _where(block.has(condition))
        for later in (0, 30, 75):
            day = block.onset[condition][person] + whole(rng, *after, len(person)) + later
            parts.append(_contacts(rng, person, day, contacts))
    seeing, day = arrivals(rng, np.where(block.has("substance_use"), 0.6, 0.0), block.first, block.last)
    parts.append(_contacts(rng, seeing, day, {"substance_visit": 3, "substance_social": 1}))
    person, day = arrivals(rng, np.where(block.has("dementia"), 1.0, 0.0), block.first, block.last)
    ill = _where(block.has("dementia"))
    person, day = np.concatenate([person, ill]), np.concatenate([day, block.newest[ill]])
    parts.append(_contacts(rng, person, day, {"memory_visit": 2, "memory_doctor": 1}))
    return joined([*parts, _opioid_reviews(block, rng)])


def _opioid_reviews(block: Block, rng: np.random.Generator) -> Rows:
    """Reviews of those who are on opioids: every few months, at both ends of a lapse, and lately."""
    opioid = block.courses["opioid"]
    on_opioids = _where(opioid.state > 0)
    place, day = spaced(rng, np.maximum(opioid.day, block.first)[on_opioids], block.last[on_opioids], _REVIEWED_EVERY)
    owner, bound = bounds_of_lapses(block, "opioid_review")
    treated = bound >= opioid.day[owner]
    parts = [
        (on_opioids[place], day),
        (owner[treated], bound[treated]),
        (on_opioids, _lately(block, rng, on_opioids, 165)),
    ]
    person, days = (np.concatenate(part) for part in zip(*parts, strict=True))
    reviews = _contacts(rng, person, days, {"medication_review": 3, "medication_review_phone": 1})
    # A doctor who meets somebody with dementia reviews the memory, too: what is missing there stays so.
    by_phone = np.where(block.has("dementia")[person], CONTACT["medication_review_phone"], reviews.words["contact"])
    return reviews.with_words(contact=by_phone.astype(np.int32))


def old_age_contacts(block: Block) -> Rows:
    """Those of 75 and over are called at least once a year, and some have been to an emergency department."""
    rng = block.rng("old age")
    old = _where(block.age >= 74)
    hurt = _where(block.had_emergency)
    latest, earliest = (np.full(len(hurt), block.as_of - days, np.int32) for days in EMERGENCY_DAYS)
    day = between(rng, earliest, np.minimum(latest, block.silent[0][0][hurt]))
    bounds = np.concatenate([*block.silent], axis=None)
    met = np.tile(np.arange(block.size, dtype=np.int32), len(bounds) // max(block.size, 1))[bounds < NEVER]
    return joined(
        [
            _contacts(rng, old, block.newest[old], {"nurse_phone": 1}),
            _contacts(rng, met, bounds[bounds < NEVER], {"nurse_phone": 1}),
            rows_of(hurt, day, contact=CONTACT["emergency"]),
        ]
    )


def child_clinic_contacts(block: Block) -> Rows:
    """Visits to the child clinic by age in days; the extensive examinations as planned."""
    rng = block.rng("child clinic")
    parts = []
    for name in CHILD_CHECKS:
        goes = block.courses[name].of(CLOSED)
        day = block.courses[name].day[goes]
        parts.append(_contacts(rng, goes, day, {"child_clinic": 2, "child_clinic_doctor": 1}))
    young = _where(block.people.birth > block.start - 6 * 366)
    for age in _CHILD_CLINIC_BASICS:
        goes = young[rng.random(len(young)) < 0.8]
        day = working_day(block.people.birth[goes] + age + whole(rng, 0, 14, len(goes)))
        parts.append(_contacts(rng, goes, day, {"child_clinic": 1}))
    return joined(parts)


def as_planned(block: Block, rows: Rows) -> Rows:
    """The contacts, less those that would close what is planned to stay open or make somebody a risk client."""
    person, day, kind = rows.person, rows.days["event_date"], rows.words["contact"]
    dropped = _EMERGENCY[kind] & (block.age[person] >= 74) & ~block.had_emergency[person]
    dropped &= day > block.as_of - _EMERGENCIES_PLANNED_DAYS
    for name, days in FOLLOW_UP_DUE.items():
        course = block.courses[name]
        begins = course.day[person]
        dropped |= (course.state[person] == OPEN) & (day >= begins) & (day <= begins + days)
    dropped |= _MEETS_MEMORY[kind] & block.has("dementia")[person] & block.is_lapsed("memory_review", person, day)
    dropped |= _REVIEWS[kind] & block.is_lapsed("opioid_review", person, day)
    at_clinic = _AT_CHILD_CLINIC[kind]
    for name, (low, high) in CHILD_CHECKS.items():
        age = day - block.people.birth[person]
        missed = (block.courses[name].state == OPEN)[person]
        dropped |= at_clinic & missed & (age > low * 30 - 5) & (age < high * 30.5 + 10)
    return rows.take(~dropped)


def home_care_contacts(block: Block) -> Rows:
    """Home visits of persons in home care, one a month: the feed has the summary, not each visit."""
    first, last = block.periods["home_care"]
    rng, person = block.rng("home care"), _where(first <= block.as_of)
    begins, ends = np.maximum(first, block.first)[person], np.minimum(last, block.last)[person]
    place, day = spaced(rng, begins, ends, 30)
    return rows_of(person[place], day, contact=CONTACT["home_care"])


def _contacts(rng: np.random.Generator, person: Places, day: Days, weights: Mapping[str, float]) -> Rows:
    kind = choose(rng, {CONTACT[name]: weight for name, weight in weights.items()}, len(person))
    return rows_of(person, day, contact=kind)


def _lately(block: Block, rng: np.random.Generator, person: Places, days: int) -> Days:
    """A working day within so many days before the as-of date, or since the person came."""
    room = np.clip(block.as_of - block.first[person], 0, days - 7)
    return working_day(block.as_of - (rng.random(len(person)) * room).astype(np.int32))


def _is(column: str, *values: str) -> Flags:
    """Which words for contacts have one of the values in a column."""
    found: Flags = CONTACT.frame[column].is_in(values).fill_null(value=False).to_numpy()
    return found


_MEETS_MEMORY = _is("channel", "visit", "home") & (_is("profession", "doctor") | _is("service", "memory_clinic"))
_REVIEWS = _is("code", CONTACT.frame["code"][CONTACT["medication_review"]])
_AT_CHILD_CLINIC = _is("service", "child_clinic")
_EMERGENCY = _is("channel", "emergency")


def _where(flags: Flags) -> Places:
    return np.flatnonzero(flags).astype(np.int32)
