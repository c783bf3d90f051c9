"""Diagnoses, medicines, vaccinations, lasting services and restrictions."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from transforms.sources.synthetic.block import GAPS, Block
from transforms.sources.synthetic.conditions import ACUTE_CODES, CONDITIONS
from transforms.sources.synthetic.draws import (
    DAYS_A_YEAR,
    NEVER,
    Flags,
    Places,
    arrivals,
    choose,
    date_of,
    day_of,
    spaced,
    whole,
    working_day,
)
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import (
    DIAGNOSIS,
    MEDICATION,
    RESTRICTION,
    SERVICE,
    VACCINATION_STATUS,
    VACCINE,
)


@dataclass(frozen=True)
class Therapy:
    """A lasting medicine: the share of those with the condition who take it, and how many days a dispensing lasts."""

    condition: str
    share: float
    codes: dict[str, float]
    days: int = 95
    lack: str | None = None


THERAPIES = (
    Therapy("type_2_diabetes", 0.72, {"A10BA02": 4, "A10BK03": 1}),
    Therapy("type_2_diabetes", 0.15, {"A10AE04": 1}),
    Therapy("type_1_diabetes", 1.0, {"A10AE04": 1}),
    Therapy("type_1_diabetes", 1.0, {"A10AB05": 1}),
    Therapy("hypertension", 0.8, {"C09AA05": 4, "C08CA01": 3, "C03AA03": 1, "C07AB02": 2}),
    Therapy("arterial_disease", 1.0, {"C10AA05": 3, "C10AA07": 2}, lack="statin"),
    Therapy("arterial_disease", 0.05, {"C10AX09": 1}),
    Therapy("arterial_disease", 0.55, {"B01AC06": 1}),
    Therapy("atrial_fibrillation", 0.8, {"B01AF02": 1}),
    Therapy("copd", 0.75, {"R03BB04": 1}),
    Therapy("asthma", 0.6, {"R03AK07": 1}),
    Therapy("psychosis", 0.85, {"N05AH04": 1, "N05AX08": 1}, days=60),
    Therapy("dementia", 0.65, {"N06DA02": 2, "N06DX01": 1}),
    Therapy("depression", 0.6, {"N06AB10": 2, "N06AX16": 1}),
    Therapy("hypothyroidism", 0.9, {"H03AA01": 1}),
    Therapy("chronic_pain", 0.07, {"N02AX02": 3, "N02AA05": 1, "N02AJ06": 2}, days=30),
)
_ACUTE_MEDICINES = {"J01CA04": 3.0, "J01CA08": 1, "N02BE01": 4, "M01AE01": 3, "R06AX27": 1, "N02AJ06": 0.4}

_MMR_DAYS = (368, 500)
_CHILD_VACCINES = {"J07BH01": (61, 91, 152), "J07CA06": (91, 152, 365), "J07AL02": (91, 152, 365)}
_MMR_REFUSED, _MMR_CONTRAINDICATED = 0.15, 0.02
"""Of those without MMR: refused, or must not have it. For the rest nothing is recorded."""
_SEASON_STARTS, _SEASON_DAYS = (10, 1), 95
_FLU_SHARES = ((7, 0.3), (18, 0.05), (65, 0.1), (200, 0.55))
"""Upper age and share vaccinated against influenza in a season."""


def diagnoses(block: Block) -> Rows:
    """The first diagnosis of each condition, later ones at visits, and short complaints that ended."""
    rng = block.rng("diagnoses")
    parts = []
    for name, condition in CONDITIONS.items():
        onset = block.onset[name]
        person = np.flatnonzero(onset <= block.as_of).astype(np.int32)
        again, day = arrivals(
            rng, np.full(len(person), 0.55), np.maximum(onset, block.first)[person], block.last[person]
        )
        weights = {DIAGNOSIS[code]: weight for code, weight in condition.codes.items()}
        ends = np.full(len(person), NEVER, dtype=np.int32)
        if name in ("depression", "gestational_diabetes"):
            ends = onset[person] + whole(rng, 120, 900, len(person))
            ends = np.where((ends > block.last[person]) | (rng.random(len(ends)) < 0.4), NEVER, ends).astype(np.int32)
        code = choose(rng, weights, len(person))
        parts.append(rows_of(person, onset[person], end_date=ends, diagnosis=code))
        later = day <= ends[again]
        parts.append(rows_of(person[again], day, end_date=NEVER, diagnosis=code[again]).take(later))
    yearly = np.where(block.age < 16, 0.8, 0.6) * np.exp(0.05 * block.deprivation)
    person, day = arrivals(rng, yearly, block.first, block.last)
    code = choose(rng, {DIAGNOSIS[code]: weight for code, weight in ACUTE_CODES.items()}, len(person))
    ends = np.minimum(day + whole(rng, 2, 30, len(day)), block.last[person])
    parts.append(rows_of(person, day, end_date=ends, diagnosis=code))
    return joined(parts)


def medicines(block: Block) -> Rows:
    """Dispensings: lasting therapies refilled about when they run out, and short courses."""
    rng = block.rng("medicines")
    parts = []
    for therapy in THERAPIES:
        takes = block.has(therapy.condition) & (rng.random(block.size) < therapy.share)
        person = np.flatnonzero(takes).astype(np.int32)
        begins = np.maximum(block.onset[therapy.condition], block.first)[person] + whole(rng, 0, 60, len(person))
        place, day = spaced(rng, begins, block.last[person], therapy.days)
        code = choose(rng, {MEDICATION[name]: weight for name, weight in therapy.codes.items()}, len(person))[place]
        refills = rows_of(person[place], day, days_supplied=therapy.days, medication=code)
        if therapy.lack is not None:
            refills = refills.take(
                ~(block.lacks[therapy.lack][refills.person] & (day > block.as_of - _stopped(therapy)))
            )
        parts.append(refills)
    person, day = arrivals(rng, np.full(block.size, 1.05), block.first, block.last)
    code = choose(rng, {MEDICATION[name]: weight for name, weight in _ACUTE_MEDICINES.items()}, len(person))
    supplied = choose(rng, {7: 3.0, 10: 4, 14: 1, 30: 2}, len(person))
    parts.append(rows_of(person, day, days_supplied=supplied, medication=code))
    return joined(parts)


def vaccinations(block: Block) -> Rows:
    """Childhood vaccines by age, and influenza by season; some refused."""
    rng, people = block.rng("vaccinations"), block.people
    young = np.flatnonzero(people.birth > min(block.start, block.as_of - 1100) - 2 * 366).astype(np.int32)
    lacks = block.lacks["mmr"][young]
    chance = rng.random(len(young))
    status = np.full(len(young), VACCINATION_STATUS["given"], dtype=np.int32)
    status[lacks & (chance < _MMR_REFUSED)] = VACCINATION_STATUS["refused"]
    status[lacks & (chance > 1 - _MMR_CONTRAINDICATED)] = VACCINATION_STATUS["contraindicated"]
    status[~lacks & (chance < 0.1)] = VACCINATION_STATUS[""]
    day = working_day(people.birth[young] + whole(rng, *_MMR_DAYS, len(young)))
    mmr = rows_of(young, day, vaccine=VACCINE["J07BD52"], vaccination_status=status)
    parts = [mmr.take(~lacks | (status != VACCINATION_STATUS["given"]))]
    for code, ages in _CHILD_VACCINES.items():
        for age in ages:
            person = young[rng.random(len(young)) < 0.93]
            day = working_day(people.birth[person] + age + whole(rng, 0, 21, len(person)))
            parts.append(_doses(person, day, VACCINE[code]))
    for year in range(date_of(block.start).year, date_of(block.as_of).year + 1):
        parts.append(_influenza(block, rng, year))
    return joined(parts)


def service_periods(block: Block) -> Rows:
    """Periods of lasting services, as planned."""
    parts = []
    for name, (first, last) in block.services.items():
        person = np.flatnonzero(first <= block.as_of).astype(np.int32)
        parts.append(rows_of(person, first[person], end_date=last[person], service=SERVICE[name]))
    return joined(parts)


def restrictions(block: Block) -> Rows:
    """Bans and objections of a few; some have ended."""
    rng, people = block.rng("restrictions"), block.people
    parts = []
    for name, share in (
        ("contact_ban", 0.004),
        ("security_ban", 0.003),
        ("objection", 0.001),
        ("processing_restriction", 0.0005),
    ):
        person = np.flatnonzero(rng.random(block.size) < share).astype(np.int32)
        first = np.maximum(people.last[person] - whole(rng, 10, 1500, len(person)), people.first[person])
        ends = first + whole(rng, 180, 900, len(person))
        ends = np.where((rng.random(len(person)) < 0.3) & (ends <= people.last[person]), ends, NEVER)
        parts.append(rows_of(person, first, end_date=ends.astype(np.int32), restriction=RESTRICTION[name]))
    return joined(parts)


def _stopped(therapy: Therapy) -> int:
    """Days before the as-of date from which nothing may be dispensed: the look-back and what a package lasts."""
    return GAPS[therapy.lack or ""].days + therapy.days


def _doses(person: Places, day: np.ndarray, code: int) -> Rows:
    return rows_of(person, day, vaccine=code, vaccination_status=VACCINATION_STATUS["given"])


def _influenza(block: Block, rng: np.random.Generator, year: int) -> Rows:
    starts = day_of(date(year, *_SEASON_STARTS))
    age = (starts - block.people.birth) / DAYS_A_YEAR
    share = np.select([age < upper for upper, _ in _FLU_SHARES], [share for _, share in _FLU_SHARES], 0.0)
    share = np.where(block.has("copd") & (age >= 18), 0.75, share) * (age > 0.5)
    day = starts + (rng.beta(1.5, 3, block.size) * _SEASON_DAYS).astype(np.int32)
    chance = rng.random(block.size)
    # The current season is the one of the last twelve months.
    missed: Flags = block.lacks["influenza"] & (day > block.as_of - GAPS["influenza"].days)
    given = (chance < share) & ~missed
    refused = missed & (chance < 0.06)
    return joined(
        [
            _doses(np.flatnonzero(given).astype(np.int32), day[given], VACCINE["J07BB02"]),
            rows_of(
                np.flatnonzero(refused).astype(np.int32),
                day[refused],
                vaccine=VACCINE["J07BB02"],
                vaccination_status=VACCINATION_STATUS["refused"],
            ),
        ]
    )
