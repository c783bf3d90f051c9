"""The conditions that persons have: how common, at what age, how much more so where people are worse off.

Orders of magnitude are those of Finnish public registers; no figure is exact, and none is needed: what the pipeline
must meet is the shape.
"""

from dataclasses import dataclass

import numpy as np

from transforms.sources.synthetic.draws import DAYS_A_YEAR, NEVER, Days, Floats, between
from transforms.sources.synthetic.population import Population


@dataclass(frozen=True)
class Condition:
    """A lasting condition.

    `codes` are weighted; those beginning with "icpc2:" or "snomed:" are of that system, the rest ICD-10. Prevalence
    rises with age as a logistic curve: `peak` at the end, half of it at `middle` years. `male` is men's prevalence over
    women's, `deprivation` the effect of one standard score on a log scale. A condition begins at the age at which the
    curve reaches the person, so that it is as common at each age on every earlier date as on the as-of date. What
    comes and goes has begun on any day of the last `years` instead, as often in each of them.
    """

    codes: dict[str, float]
    peak: float
    middle: float
    spread: float
    years: float | None = None
    youngest: int = 18
    oldest: int = 120
    male: float = 1.0
    deprivation: float = 0.0


CONDITIONS = {
    "type_1_diabetes": Condition({"E10.9": 8, "E10.3": 1, "icpc2:T89": 1}, 0.006, 8, 3, youngest=2),
    "type_2_diabetes": Condition(
        {"E11.9": 14, "E11.2": 1, "E11.4": 1, "icpc2:T90": 2}, 0.24, 66, 9, youngest=25, male=1.3, deprivation=0.3
    ),
    "hypertension": Condition(
        {"I10": 16, "I11.9": 1, "icpc2:K86": 2, "icpc2:K87": 1}, 0.55, 60, 9, youngest=25, deprivation=0.12
    ),
    "arterial_disease": Condition(
        {"I20.9": 2, "I25.1": 4, "I25.9": 2, "I21.9": 2, "I63.9": 3, "I70.2": 2, "G45.9": 1, "icpc2:K76": 1},
        0.42,
        77,
        8,
        youngest=35,
        male=1.5,
        deprivation=0.2,
    ),
    "copd": Condition({"J44.9": 8, "J44.8": 1, "icpc2:R95": 1}, 0.09, 66, 8, youngest=40, deprivation=0.5),
    "psychosis": Condition(
        {"F20.0": 4, "F20.9": 3, "F25.9": 2, "F29": 2, "F31.9": 4, "icpc2:P72": 1}, 0.025, 25, 4, deprivation=0.45
    ),
    "dementia": Condition({"G30.1": 5, "F00.1": 3, "F01.9": 2, "F03": 1, "icpc2:P70": 1}, 0.45, 87, 4.5, youngest=60),
    "depression": Condition(
        {"F32.1": 5, "F32.9": 4, "F33.1": 2, "F33.9": 1, "icpc2:P76": 2}, 0.075, 19, 3, 4, 13, male=0.6, deprivation=0.2
    ),
    "substance_use": Condition(
        {"F10.2": 5, "F10.1": 2, "F10.0": 2, "F11.2": 1, "F19.2": 2, "icpc2:P15": 1}, 0.03, 22, 3, 5, 16, 85, 2.0, 0.5
    ),
    "chronic_pain": Condition({"M54.5": 4, "M54.4": 1, "M17.9": 4, "R52.2": 2}, 0.12, 55, 10, deprivation=0.25),
    "cancer": Condition({"C50.9": 3, "C61": 3, "C18.9": 2, "C34.9": 1, "C83.3": 1}, 0.12, 75, 9),
    "asthma": Condition({"J45.9": 5, "J45.1": 2, "icpc2:R96": 1}, 0.08, 12, 5, youngest=4, deprivation=0.1),
    "hypothyroidism": Condition({"E03.9": 6, "icpc2:T86": 1}, 0.11, 55, 10, youngest=20, male=0.25),
    "atrial_fibrillation": Condition({"I48.9": 5, "I48.0": 2, "icpc2:K78": 1}, 0.28, 82, 6, youngest=40, male=1.3),
    "heart_failure": Condition({"I50.9": 6, "I50.1": 1, "icpc2:K77": 1}, 0.22, 85, 6, youngest=45, deprivation=0.15),
    "kidney_disease": Condition({"N18.3": 6, "N18.4": 1}, 0.2, 83, 6, youngest=40),
    "gestational_diabetes": Condition({"O24.4": 1}, 0.035, 28, 2, 5, youngest=22, oldest=46, male=0.0),
}

CONSEQUENCES = {
    "diabetes_in_remission": ("type_2_diabetes", 0.03, 700),
    "statin_intolerance": ("arterial_disease", 0.04, 100),
    "intractable_pain": ("chronic_pain", 0.03, 200),
}
"""What may follow a condition: in which share, and after how many days."""
CONSEQUENCE_CODES = {
    "diabetes_in_remission": "snomed:703136005",
    "statin_intolerance": "Y52.6",
    "intractable_pain": "R52.1",
}
_AT_FIRST, _NEVER_REACHED = 4.0, 150.0
"""Years from the youngest age within which it begins for those whom it has reached by then; an age nobody reaches."""
_SETTLED_DAYS = 35
"""Nothing lasting begins in the last so many days: what it calls for could not have been given yet."""

ACUTE_CODES = {
    "J06.9": 10, "J20.9": 3, "J03.9": 2, "H66.9": 2, "N30.0": 4, "A09": 3, "L20.9": 2, "S93.4": 3, "S61.0": 2,
    "M54.5": 5, "M75.1": 2, "R10.4": 4, "R51": 3, "R05": 2, "K21.9": 2, "K59.0": 1, "H10.9": 2, "L03.1": 1,
    "G47.0": 2, "F41.9": 2, "Z00.0": 2, "T78.4": 1, "icpc2:A97": 3, "icpc2:R74": 5, "icpc2:U71": 2, "icpc2:L03": 3,
}  # fmt: skip
"""Codes of short complaints, weighted."""


def onsets(rng: np.random.Generator, people: Population, deprivation: Floats, as_of: int) -> dict[str, Days]:
    """When each condition began, by its name; `NEVER` for those without it.

    The prevalence is that of the as-of date; the beginning lies back in time, before death or moving away.
    Nothing begins in the last days before them.
    """
    age = (np.minimum(people.death, as_of) - people.birth) / DAYS_A_YEAR
    found = {}
    for name, condition in CONDITIONS.items():
        balance = 2 / (1 + condition.male)
        peak = condition.peak * np.where(people.is_male, condition.male * balance, balance)
        peak *= np.exp(condition.deprivation * deprivation)
        drawn = rng.random(len(age))
        chance = np.minimum(peak / (1 + np.exp((condition.middle - age) / condition.spread)), 0.9)
        has = (drawn < chance) & (age >= condition.youngest) & (age < condition.oldest)
        latest = people.last - _SETTLED_DAYS
        if condition.years is None:
            # Whoever is reached before the youngest age falls ill within a few years of it.
            since = np.maximum(
                _age_reached(condition, peak, drawn), condition.youngest + _AT_FIRST * rng.random(len(age))
            )
            day = people.birth + (since * DAYS_A_YEAR).astype(np.int32)
        else:
            day = latest - (rng.random(len(age)) * condition.years * DAYS_A_YEAR).astype(np.int32)
            youngest = people.birth + int(condition.youngest * DAYS_A_YEAR)
            day = np.where(day < youngest, between(rng, youngest, latest), day)
        found[name] = np.where(has & (day <= latest), day, NEVER).astype(np.int32)
    found["type_2_diabetes"] = np.where(found["type_1_diabetes"] < NEVER, NEVER, found["type_2_diabetes"])
    found["diabetes"] = np.minimum(found["type_1_diabetes"], found["type_2_diabetes"])
    found["gestational_diabetes"] = np.where(found["diabetes"] < NEVER, NEVER, found["gestational_diabetes"])
    for name, (cause, share, after) in CONSEQUENCES.items():
        day = np.where(found[cause] < NEVER, found[cause] + after, NEVER)
        follows = (rng.random(len(age)) < share) & (day < people.last - _SETTLED_DAYS)
        found[name] = np.where(follows, day, NEVER).astype(np.int32)
    return found


def _age_reached(condition: Condition, peak: Floats, drawn: Floats) -> Floats:
    """The age at which the prevalence curve reaches what was drawn for each person; far off where it never does."""
    room = np.maximum(peak / np.maximum(drawn, 1e-9) - 1, 1e-9)
    return np.clip(condition.middle - condition.spread * np.log(room), 0, _NEVER_REACHED)
