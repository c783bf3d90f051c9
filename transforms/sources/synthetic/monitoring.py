"""Follow-up of lasting conditions: rounds of measurements, and the contacts that go with them."""

from dataclasses import dataclass, fields

import numpy as np

from transforms.sources.synthetic.activity import activity
from transforms.sources.synthetic.block import CLOSED, OPEN, Block
from transforms.sources.synthetic.draws import NEVER, Days, Flags, Floats, Places, arrivals, choose, whole, working_day
from transforms.sources.synthetic.planning import CARES
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import CONTACT, MEASUREMENT, NO_VALUE, tenths, whole_numbers

FOLLOWED = {
    "hypertension": "nurse_visit",
    "diabetes": "diabetes_review",
    "arterial_disease": "doctor_visit",
    "copd": "nurse_visit",
    "psychosis": "mental_health_visit",
    "dementia": "memory_visit",
}
"""Conditions that are followed up once or twice a year, and the contact that it takes."""

NEEDS: dict[str, dict[str, float]] = {
    "hba1c": {"diabetes": 0.97, "psychosis": 0.25},
    "blood_pressure": {"hypertension": 0.95, "diabetes": 0.95, "arterial_disease": 0.75, "psychosis": 0.9},
    "ldl": {"arterial_disease": 0.92, "diabetes": 0.9, "hypertension": 0.35, "psychosis": 0.9},
    "egfr": {"diabetes": 0.92, "hypertension": 0.45, "arterial_disease": 0.4},
    "albumin_creatinine": {"diabetes": 0.92},
    "glucose": {"psychosis": 0.92, "hypertension": 0.3, "diabetes": 0.15},
    "creatinine": {"diabetes": 0.5, "hypertension": 0.4, "arterial_disease": 0.4},
    "bmi": {"psychosis": 0.92, "diabetes": 0.85, "hypertension": 0.3},
    "smoking": {"diabetes": 0.4, "copd": 0.6, "arterial_disease": 0.3, "psychosis": 0.3},
    "spirometry": {"copd": 0.85},
    "mmse": {"dementia": 0.6},
    "haemoglobin": {"arterial_disease": 0.4, "dementia": 0.3, "diabetes": 0.3, "hypertension": 0.25},
    "potassium": {"hypertension": 0.4, "diabetes": 0.4, "arterial_disease": 0.4},
}
"""How often a round for a condition has which measurement."""
_SCREENED = {
    "blood_pressure": 0.5,
    "haemoglobin": 0.6,
    "crp": 0.5,
    "potassium": 0.35,
    "creatinine": 0.3,
    "glucose": 0.3,
    "ldl": 0.25,
    "bmi": 0.2,
}
"""What is measured of persons at random, and in which share."""
_LEVELS = {"mmse": (21, 4), "haemoglobin": (138, 12), "creatinine": (78, 18), "crp": (12, 9)}
"""Middle and spread of what is written without decimals."""
HIGH_HBA1C, _CHECKED_AGAIN = 75.0, 0.7
"""mmol/mol from which another is due within half a year, and the share in which it is taken."""
_PLANNED_HIGH_DAYS = 620
"""Days before the as-of date in which HbA1c is high only where that is planned."""
_CARE_OF = {
    "hba1c": "hba1c", "blood_pressure": "blood_pressure", "ldl": "ldl", "egfr": "kidneys",
    "albumin_creatinine": "kidneys", "bmi": "weight", "smoking": "weight", "glucose": "glucose",
    "spirometry": "spirometry", "mmse": "memory_review",
}  # fmt: skip
"""Care that a measurement belongs to."""
_UNCERTAIN = ("mmse",)
"""Measurements that do not come for certain: something else may close the gap."""


@dataclass(frozen=True)
class Rounds:
    """One row per round of follow-up that was due.

    `is_certain` marks the one that closes what is not missed, `is_held` those that took place: the others the services
    put off for good.
    """

    person: Places
    day: Days
    is_certain: Flags
    is_held: Flags

    def take(self, places: Flags) -> "Rounds":
        """The rounds where the flag is set."""
        return Rounds(*(getattr(self, column.name)[places] for column in fields(self)))


def rounds_of(block: Block) -> Rounds:
    """Rounds backwards from the as-of date, every half year or year, of each person with a followed condition."""
    rng = block.rng("rounds")
    onset = np.min([block.onset[name] for name in FOLLOWED], axis=0)
    person = np.flatnonzero(onset <= block.as_of).astype(np.int32)
    high, newest = block.courses["hba1c_high"], block.newest[person]
    lacks_hba1c, has_high = block.lacks["hba1c"][person], high.state[person] > 0
    newest = np.where(has_high & ~lacks_hba1c, high.day[person], newest)
    newest = np.where(has_high & lacks_hba1c, block.as_of - (rng.random(len(person)) * 190).astype(np.int32), newest)
    every = np.where(rng.random(len(person)) < 0.5, 182, 365).astype(np.int32)
    steps = np.arange((block.as_of - block.start) // 182 + 1, dtype=np.int32)
    day = newest[:, None] - steps * every[:, None]
    day[:, 1:] += whole(rng, -35, 35, day[:, 1:].size).reshape(day[:, 1:].shape)
    is_certain = np.broadcast_to(steps == 0, day.shape).ravel()
    owner, day = np.repeat(person, len(steps)), day.ravel()
    held = is_certain | (rng.random(len(day)) < activity(day))
    within = (day >= block.first[owner]) & (day <= block.last[owner]) & (day >= onset[owner])
    after_high = (high.state[owner] > 0) & (day > high.day[owner]) & (day < high.day[owner] + 215) & ~is_certain
    return Rounds(owner, day, is_certain, held).take(within & ~after_high)


def round_contacts(block: Block, rounds: Rounds) -> Rows:
    """The visit of each round, foot and eye checks, and reviews after a high HbA1c."""
    rng, rounds = block.rng("round contacts"), rounds.take(rounds.is_held)
    kind = np.full(block.size, CONTACT["nurse_visit"], dtype=np.int32)
    for name, contact in FOLLOWED.items():
        kind[block.has(name)] = CONTACT[contact]
    visits = rows_of(rounds.person, working_day(rounds.day), contact=kind[rounds.person])
    diabetes, parts = _has_by(block, "diabetes", rounds), [visits]
    for name, care, share in (("foot_check", "feet", 0.85), ("eye_screening", "eyes", 0.6)):
        chosen = diabetes & (rounds.is_certain | (rng.random(len(rounds.day)) < share))
        chosen &= ~block.is_lapsed(care, rounds.person, rounds.day)
        parts.append(rows_of(rounds.person[chosen], rounds.day[chosen], contact=CONTACT[name]))
    followed = block.courses["hba1c_high"].of(CLOSED)
    day = block.courses["hba1c_high"].day[followed] + whole(rng, 40, 150, len(followed))
    parts.append(rows_of(followed, working_day(day), contact=CONTACT["diabetes_review"]))
    return joined(parts)


def measurements(block: Block, rounds: Rounds) -> Rows:
    """Measurements of the rounds, of high values checked again, and of persons screened without a condition."""
    rng, rounds = block.rng("measurements"), rounds.take(rounds.is_held)
    level = rng.normal(size=block.size)
    parts: list[Rows] = []
    for measure, needs in NEEDS.items():
        chance = np.zeros(len(rounds.day))
        for condition, share in needs.items():
            chance = np.maximum(chance, share * _has_by(block, condition, rounds))
        if measure in _CARE_OF and measure not in _UNCERTAIN:
            conditions = CARES[_CARE_OF[measure]].conditions
            chance[rounds.is_certain & block.has(*conditions)[rounds.person]] = 1.0
        chosen = rng.random(len(rounds.day)) < chance
        parts += _measured(block, rng, measure, rounds.person[chosen], rounds.day[chosen], level)
        if measure == "hba1c":
            parts = [_as_planned(block, rng, joined([*parts, *_checked_again(block, rng, joined(parts), level)]))]
    rate = np.where(block.age >= 18, 0.75, 0.12) * np.exp(0.1 * (block.age > 60))
    person, day = arrivals(rng, rate, block.first, block.last)
    for measure, share in _SCREENED.items():
        chosen = rng.random(len(person)) < share
        parts += _measured(block, rng, measure, person[chosen], day[chosen], level)
    return joined(parts)


def _as_planned(block: Block, rng: np.random.Generator, hba1c: Rows) -> Rows:
    """HbA1c of the last year and a half: high where that is planned, and then nothing after it."""
    high, kind = block.courses["hba1c_high"], hba1c.words["measurement"]
    lately = hba1c.days["event_date"] > block.as_of - _PLANNED_HIGH_DAYS
    below = whole_numbers(np.array([HIGH_HBA1C - 1]))[0]
    value = np.where(lately, np.minimum(hba1c.words["value"], below), hba1c.words["value"])
    kept = hba1c.days["event_date"] < high.day[hba1c.person] - 20
    person = high.of(OPEN, CLOSED)
    values = whole_numbers(rng.integers(int(HIGH_HBA1C), 115, len(person)).astype(np.float64))
    word = choose(rng, {MEASUREMENT["hba1c"]: 0.7, MEASUREMENT["hba1c_local"]: 0.3}, len(person))
    return joined(
        [
            hba1c.with_words(measurement=kind, value=value.astype(np.int32)).take(kept),
            rows_of(person, high.day[person], measurement=word, value=values),
        ]
    )


def _checked_again(block: Block, rng: np.random.Generator, hba1c: Rows, level: Floats) -> list[Rows]:
    high = hba1c.words["value"] >= whole_numbers(np.array([HIGH_HBA1C]))[0]
    person, day = hba1c.person[high], hba1c.days["event_date"][high] + whole(rng, 60, 150, int(high.sum()))
    chosen = (day <= block.last[person]) & (rng.random(len(day)) < _CHECKED_AGAIN)
    return _measured(block, rng, "hba1c", person[chosen], day[chosen], level)


def _measured(
    block: Block, rng: np.random.Generator, measure: str, person: Places, day: Days, level: Floats
) -> list[Rows]:
    """Rows of one measure, less what these persons are to miss. `level` is how high a person's values tend to be."""
    missing = np.zeros(len(person), dtype=np.bool_)
    if measure in _CARE_OF:
        missing |= block.is_lapsed(_CARE_OF[measure], person, day)
    if measure == "hba1c":  # it is a test of glucose, too
        missing |= block.is_lapsed("glucose", person, day)
    person, day = person[~missing], day[~missing]
    day, noise = working_day(day), rng.normal(size=len(person))
    level = level[person]
    size = len(person)
    age = ((day - block.people.birth[person]) / 365.25).clip(0)

    def has(condition: str) -> Flags:
        return block.onset[condition][person] <= day

    def rows(word: int | Places, value: Places | int) -> Rows:
        return rows_of(person, day, measurement=word, value=value)

    def either(usual: str, other: str, share: float) -> Places:
        return choose(rng, {MEASUREMENT[usual]: 1 - share, MEASUREMENT[other]: share}, size)

    match measure:
        case "hba1c":
            value = np.where(has("diabetes"), 51 * np.exp(0.2 * level + 0.09 * noise), 36 + 2 * level + 1.5 * noise)
            return [rows(either("hba1c", "hba1c_local", 0.3), whole_numbers(value.clip(22, 150)))]
        case "blood_pressure":
            systolic = 118 + 0.25 * age + 6 * has("hypertension") + 8 * level + 9 * noise
            diastolic = 76 + 3 * has("hypertension") + 5 * level + 6 * rng.normal(size=size)
            pair = zip(("systolic", "diastolic"), (systolic.clip(75, 230), diastolic.clip(40, 130)), strict=True)
            return [rows(MEASUREMENT[word], whole_numbers(value)) for word, value in pair]
        case "ldl":
            value = 3.0 - 0.8 * has("arterial_disease") - 0.4 * has("diabetes") + 0.5 * level + 0.4 * noise
            return [rows(either("ldl", "ldl_calculated", 0.25), tenths(value.clip(0.4, 8)))]
        case "egfr":
            value = 108 - 0.75 * (age - 30).clip(0) - 20 * has("kidney_disease") - 4 * level + 7 * noise
            return [rows(either("egfr", "egfr_mdrd", 0.2), whole_numbers(value.clip(6, 130)))]
        case "albumin_creatinine":
            return [rows(MEASUREMENT[measure], tenths((1.5 * np.exp(0.8 * level + 0.5 * noise)).clip(0.1, 300)))]
        case "potassium":
            return [rows(MEASUREMENT[measure], tenths((4.1 + 0.3 * noise).clip(2.4, 7)))]
        case "glucose":
            value = np.where(has("diabetes"), 8.0, 5.4) + 0.5 * level + 0.5 * noise
            return [rows(MEASUREMENT[measure], tenths(value.clip(2.5, 25)))]
        case "bmi":
            return [rows(MEASUREMENT[measure], tenths((26.5 + 4 * level + 0.8 * noise).clip(14, 60)))]
        case "spirometry":
            return [rows(MEASUREMENT[measure], tenths((2.0 + 0.5 * level + 0.2 * noise).clip(0.5, 5)))]
        case "smoking":
            return [rows(MEASUREMENT[measure], NO_VALUE)]
        case _:
            middle, spread = _LEVELS[measure]
            top = 30 if measure == "mmse" else 400
            return [rows(MEASUREMENT[measure], whole_numbers((middle + spread * (level + noise) / 1.4).clip(5, top)))]


def _has_by(block: Block, condition: str, rounds: Rounds) -> Flags:
    has: Flags = block.onset[condition][rounds.person] <= rounds.day
    return has & (rounds.day < NEVER)
