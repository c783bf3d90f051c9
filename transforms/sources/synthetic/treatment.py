"""Diagnoses, medicines, vaccinations, lasting services and restrictions."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from transforms.sources.synthetic.block import CLOSED, DECLINED, EXCLUDED, OPEN, Block
from transforms.sources.synthetic.conditions import ACUTE_CODES, CONDITIONS, CONSEQUENCE_CODES, CONSEQUENCES
from transforms.sources.synthetic.courses import NEW_ILLNESS, SEASON_DAYS, season_start
from transforms.sources.synthetic.draws import (
    DAYS_A_YEAR,
    NEVER,
    Days,
    Places,
    arrivals,
    choose,
    date_of,
    day_of,
    spaced,
    whole,
    working_day,
)
from transforms.sources.synthetic.planning import RESTRICTIONS, SERVICES
from transforms.sources.synthetic.rounds import bounds_of_lapses
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
    Therapy("arterial_disease", 0.05, {"C10AX09": 1}, lack="statin"),
    Therapy("arterial_disease", 0.55, {"B01AC06": 1}),
    Therapy("atrial_fibrillation", 0.8, {"B01AF02": 1}),
    Therapy("copd", 0.75, {"R03BB04": 1}),
    Therapy("asthma", 0.6, {"R03AK07": 1}),
    Therapy("psychosis", 0.85, {"N05AH04": 1, "N05AX08": 1}, days=60),
    Therapy("dementia", 0.65, {"N06DA02": 2, "N06DX01": 1}),
    Therapy("depression", 0.6, {"N06AB10": 2, "N06AX16": 1}),
    Therapy("hypothyroidism", 0.9, {"H03AA01": 1}),
)
_OPIOIDS, _OPIOID_DAYS = {"N02AX02": 3.0, "N02AA05": 1, "N02AJ06": 2}, 30
_ACUTE_MEDICINES = {"J01CA04": 3.0, "J01CA08": 1, "N02BE01": 4, "M01AE01": 3, "R06AX27": 1, "N02AJ06": 0.4}

_CHILD_VACCINES = {"J07BH01": (61, 91, 152), "J07CA06": (91, 152, 365), "J07AL02": (91, 152, 365)}
_FEW_MEDICINES, _PLANNED_DAYS = 3, 400
"""Lasting medicines beside which short courses cannot add up to ten; days in which that is planned."""
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
        # Each diagnosis of these is looked at as a new beginning, which is planned once.
        later = (day <= ends[again]) & (name not in NEW_ILLNESS)
        parts.append(rows_of(person[again], day, end_date=NEVER, diagnosis=code[again]).take(later))
    for name in CONSEQUENCES:
        person = np.flatnonzero(block.has(name)).astype(np.int32)
        parts.append(rows_of(person, block.onset[name][person], end_date=NEVER, diagnosis=_code_of(name)))
    yearly = np.where(block.age < 16, 0.8, 0.6) * np.exp(0.05 * block.deprivation)
    person, day = arrivals(rng, yearly, block.first, block.last)
    code = choose(rng, {DIAGNOSIS[code]: weight for code, weight in ACUTE_CODES.items()}, len(person))
    ends, last = day + whole(rng, 2, 30, len(day)), block.last[person]
    # A complaint that lasts on the as-of date has no end yet; otherwise all of them would end on that one day.
    cut = np.where(last < block.as_of, last, NEVER).astype(np.int32)
    parts.append(rows_of(person, day, end_date=np.where(ends <= last, ends, cut), diagnosis=code))
    return joined(parts)


def medicines(block: Block) -> Rows:
    """Dispensings: lasting therapies refilled about when they run out, and short courses."""
    rng = block.rng("medicines")
    parts = []
    lasting = np.zeros(block.size, dtype=np.int32)
    for therapy in THERAPIES:
        takes = block.has(therapy.condition) & (rng.random(block.size) < therapy.share)
        lasting += takes
        person = np.flatnonzero(takes).astype(np.int32)
        begins = np.maximum(block.onset[therapy.condition], block.first)[person]
        # A new depression and its medicine are one beginning; new care is there at once, so that it is not missed.
        settled = (begins < block.as_of - 100) & (therapy.condition not in NEW_ILLNESS)
        begins = begins + np.where(settled, whole(rng, 0, 60, len(person)), 0).astype(np.int32)
        refills = _dispensed(block, rng, person, begins, therapy.codes, therapy.days)
        if therapy.lack is not None:
            refills = refills.take(~block.is_lapsed(therapy.lack, refills.person, refills.days["event_date"]))
            person, day = bounds_of_lapses(block, therapy.lack)
            code = choose(rng, {MEDICATION[name]: weight for name, weight in therapy.codes.items()}, len(person))
            bounds = rows_of(person, day, days_supplied=therapy.days, medication=code)
            refills = joined([refills, bounds.take(takes[person])])
        parts.append(refills)
    opioid = block.courses["opioid"]
    person = opioid.of(OPEN, CLOSED)
    parts.append(_dispensed(block, rng, person, opioid.day[person], _OPIOIDS, _OPIOID_DAYS))
    person, day = arrivals(rng, np.full(block.size, 1.05), block.first, block.last)
    code = choose(rng, {MEDICATION[name]: weight for name, weight in _ACUTE_MEDICINES.items()}, len(person))
    supplied = choose(rng, {7: 3.0, 10: 4, 14: 3}, len(person))
    # Ten medicines make somebody old a risk client, which is planned and not left to chance.
    many = (block.age >= 74) & (lasting > _FEW_MEDICINES)
    kept = ~(many[person] & (day > block.as_of - _PLANNED_DAYS))
    parts.append(rows_of(person, day, days_supplied=supplied, medication=code).take(kept))
    return joined(parts)


def _dispensed(
    block: Block, rng: np.random.Generator, person: Places, begins: Days, codes: dict[str, float], days: int
) -> Rows:
    place, day = spaced(rng, begins, block.last[person], days)
    code = choose(rng, {MEDICATION[name]: weight for name, weight in codes.items()}, len(person))[place]
    return rows_of(person[place], day, days_supplied=days, medication=code)


def vaccinations(block: Block) -> Rows:
    """Childhood vaccines by age, and influenza by season; some refused."""
    rng, people = block.rng("vaccinations"), block.people
    young = np.flatnonzero(people.birth > min(block.start, block.as_of - 1100) - 2 * 366).astype(np.int32)
    course = block.courses["mmr"]
    state = course.state[young]
    status = np.full(len(young), VACCINATION_STATUS["given"], dtype=np.int32)
    status[state == DECLINED] = VACCINATION_STATUS["refused"]
    status[state == EXCLUDED] = VACCINATION_STATUS["contraindicated"]
    status[(state == CLOSED) & (rng.random(len(young)) < 0.1)] = VACCINATION_STATUS[""]
    mmr = rows_of(young, course.day[young], vaccine=VACCINE["J07BD52"], vaccination_status=status)
    parts = [mmr.take(state != OPEN)]
    for code, ages in _CHILD_VACCINES.items():
        for age in ages:
            person = young[rng.random(len(young)) < 0.93]
            day = working_day(people.birth[person] + age + whole(rng, 0, 21, len(person)))
            parts.append(_doses(person, day, VACCINE[code]))
    for year in range(date_of(block.start).year - 1, date_of(block.as_of).year + 1):
        parts.append(_influenza(block, rng, year))
    return joined(parts)


def service_periods(block: Block) -> Rows:
    """Periods of lasting services, as planned."""
    return _periods(block, "service", {name: SERVICE[name] for name in SERVICES})


def restrictions(block: Block) -> Rows:
    """Bans and objections, as planned."""
    return _periods(block, "restriction", {name: RESTRICTION[name] for name in RESTRICTIONS})


def _periods(block: Block, word: str, places: dict[str, int]) -> Rows:
    parts = []
    for name, place in places.items():
        first, last = block.periods[name]
        person = np.flatnonzero(first <= block.as_of).astype(np.int32)
        columns: dict[str, Days | Places | int] = {"end_date": last[person], word: place}
        parts.append(rows_of(person, first[person], **columns))
    return joined(parts)


def _code_of(consequence: str) -> int:
    return DIAGNOSIS[CONSEQUENCE_CODES[consequence]]


def _doses(person: Places, day: np.ndarray, code: int) -> Rows:
    return rows_of(person, day, vaccine=code, vaccination_status=VACCINATION_STATUS["given"])


def _influenza(block: Block, rng: np.random.Generator, year: int) -> Rows:
    starts = day_of(date(year, 10, 1))
    age = (starts - block.people.birth) / DAYS_A_YEAR
    share = np.select([age < upper for upper, _ in _FLU_SHARES], [share for _, share in _FLU_SHARES], 0.0)
    share = np.where(block.has("copd") & (age >= 18), 0.72, share) * (age > 0.5)
    day = starts + (rng.beta(1.5, 3, block.size) * SEASON_DAYS).astype(np.int32)
    given = rng.random(block.size) < share
    refused = np.zeros(block.size, dtype=np.bool_)
    if starts == season_start(block.as_of):
        course = block.courses["influenza"]
        given = np.where(course.state > 0, course.state == CLOSED, given)
        refused = course.state == DECLINED
        day = np.where(course.state > 0, course.day, day)
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
