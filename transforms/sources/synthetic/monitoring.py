"""Follow-up of lasting conditions: rounds of measurements, and the contacts that go with them."""

import numpy as np

from transforms.sources.synthetic.block import CLOSED, OPEN, Block
from transforms.sources.synthetic.courses import CAME_BACK
from transforms.sources.synthetic.draws import NEVER, Days, Flags, Floats, Places, arrivals, choose, whole, working_day
from transforms.sources.synthetic.rounds import FOLLOWED, Rounds, bounds_of_lapses, follows_high
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import CONTACT, MEASUREMENT, NO_VALUE, tenths, whole_numbers

ALWAYS = 1.0
"""Care is part of each round of those who need it; where it is missing is planned (`planning.CARES`)."""
NEEDS: dict[str, dict[str, float]] = {
    "hba1c": {"diabetes": ALWAYS, "psychosis": 0.25},
    "blood_pressure": {"hypertension": ALWAYS, "diabetes": ALWAYS, "psychosis": ALWAYS, "arterial_disease": 0.75},
    "ldl": {"arterial_disease": ALWAYS, "diabetes": ALWAYS, "psychosis": ALWAYS, "hypertension": 0.35},
    "egfr": {"diabetes": ALWAYS, "hypertension": 0.45, "arterial_disease": 0.4},
    "albumin_creatinine": {"diabetes": ALWAYS},
    "glucose": {"psychosis": ALWAYS, "hypertension": 0.3, "diabetes": 0.15},
    "creatinine": {"diabetes": 0.5, "hypertension": 0.4, "arterial_disease": 0.4},
    "bmi": {"diabetes": ALWAYS, "psychosis": ALWAYS, "hypertension": 0.3},
    "smoking": {"diabetes": 0.4, "copd": 0.6, "arterial_disease": 0.3, "psychosis": 0.3},
    "spirometry": {"copd": ALWAYS},
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
HIGH_HBA1C = 75.0
"""mmol/mol from which a review is due within half a year."""
_HIGH, _HIGH_LAST = 0.08, 0.9
"""Shares of HbA1c that are high: of those after which the next one came in time, and so did a review, and of those
after which nothing came for over a year. As often as planned for the as-of date."""
_SINCE_LAST_DAYS, _PLANNED_HIGH_DAYS, _NEXT_KNOWN_DAYS = 366, 560, 195
"""Days: from one HbA1c to the next where it is missing; before the as-of date in which a last HbA1c is high only where
that is planned; before it by which the next one has come where it is not the last."""
_CARE_OF = {
    "hba1c": "hba1c", "blood_pressure": "blood_pressure", "ldl": "ldl", "egfr": "kidneys",
    "albumin_creatinine": "kidneys", "bmi": "weight", "smoking": "weight", "glucose": "glucose",
    "spirometry": "spirometry", "mmse": "memory_review",
}  # fmt: skip
"""Care that a measurement belongs to."""


def round_contacts(block: Block, rounds: Rounds) -> Rows:
    """The visit of each round, foot and eye checks, and reviews after a high HbA1c."""
    rng, rounds = block.rng("round contacts"), rounds.take(rounds.is_held)
    kind = np.full(block.size, CONTACT["nurse_visit"], dtype=np.int32)
    for name, contact in FOLLOWED.items():
        kind[block.has(name)] = CONTACT[contact]
    visits = rows_of(rounds.person, working_day(rounds.day), contact=kind[rounds.person])
    diabetes, parts = _has_by(block, "diabetes", rounds), [visits]
    came_back = block.courses["hba1c_high"].kind == CAME_BACK
    for name, care, share in (("foot_check", "feet", ALWAYS), ("eye_screening", "eyes", 0.8)):
        chosen = diabetes & (rounds.is_certain | (rng.random(len(rounds.day)) < share))
        chosen &= ~block.is_lapsed(care, rounds.person, rounds.day)
        parts.append(rows_of(rounds.person[chosen], rounds.day[chosen], contact=CONTACT[name]))
        person, day = bounds_of_lapses(block, care)
        kept = came_back[person] | ~follows_high(block, person, day)
        parts.append(rows_of(person[kept], day[kept], contact=CONTACT[name]))
    parts.append(rows_of(*bounds_of_lapses(block, "memory_review"), contact=CONTACT["memory_visit"]))
    followed = block.courses["hba1c_high"].of(CLOSED)
    followed = followed[~came_back[followed]]
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
        chosen = rng.random(len(rounds.day)) < chance
        person, day = rounds.person[chosen], rounds.day[chosen]
        if ALWAYS in needs.values():
            person, day = map(
                np.concatenate, zip((person, day), bounds_of_lapses(block, _CARE_OF[measure]), strict=True)
            )
        parts += _measured(block, rng, measure, person, day, level)
        if measure == "hba1c":
            parts = [_as_planned(block, rng, rounds, joined(parts))]
    rate = np.where(block.age >= 18, 0.75, 0.12) * np.exp(0.1 * (block.age > 60))
    person, day = arrivals(rng, rate, block.first, block.last)
    for measure, share in _SCREENED.items():
        chosen = rng.random(len(person)) < share
        parts += _measured(block, rng, measure, person[chosen], day[chosen], level)
    return joined(parts)


def _as_planned(block: Block, rng: np.random.Generator, rounds: Rounds, hba1c: Rows) -> Rows:
    """HbA1c: on the as-of date the latest is high where that is planned, and about as often on other dates."""
    high = block.courses["hba1c_high"]
    since = hba1c.days["event_date"] - high.day[hba1c.person]
    hba1c = hba1c.take((since < -20) | ((high.kind == CAME_BACK)[hba1c.person] & (since > 20)))
    hba1c = hba1c.take(~block.is_silent(hba1c.person, hba1c.days["event_date"]))
    hba1c = hba1c.take(np.lexsort((hba1c.days["event_date"], hba1c.person)))
    day = hba1c.days["event_date"]
    following = np.append(np.where(hba1c.person[1:] == hba1c.person[:-1], day[1:], NEVER), np.int32(NEVER))[: len(day)]
    alone = following > day
    hba1c, day, following = hba1c.take(alone), day[alone], following[alone]
    is_last = following - day > _SINCE_LAST_DAYS
    told = (day < block.as_of - _PLANNED_HIGH_DAYS) | (following < block.as_of - _NEXT_KNOWN_DAYS)
    share = np.where(is_last, _HIGH_LAST * ~_followed(rounds, hba1c.person, day), _HIGH)
    is_high = told & (block.onset["diabetes"][hba1c.person] <= day) & (rng.random(len(day)) < share)
    value = np.minimum(hba1c.words["value"], whole_numbers(np.array([HIGH_HBA1C - 1]))[0])
    value = np.where(is_high, _high_values(rng, len(day)), value)
    person = high.of(OPEN, CLOSED)
    word = choose(rng, {MEASUREMENT["hba1c"]: 0.7, MEASUREMENT["hba1c_local"]: 0.3}, len(person))
    planned = rows_of(person, high.day[person], measurement=word, value=_high_values(rng, len(person)))
    return joined([hba1c.with_words(value=value.astype(np.int32)), planned])


def _high_values(rng: np.random.Generator, size: int) -> Places:
    return whole_numbers(rng.integers(int(HIGH_HBA1C), 115, size).astype(np.float64))


def _followed(rounds: Rounds, person: Places, day: Days) -> Flags:
    """Whether a round took place within half a year after each day."""
    at = np.sort(rounds.person.astype(np.int64) * NEVER + rounds.day)
    key = person.astype(np.int64) * NEVER + day
    followed: Flags = np.searchsorted(at, key + 200, "right") > np.searchsorted(at, key + 7, "right")
    return followed


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
