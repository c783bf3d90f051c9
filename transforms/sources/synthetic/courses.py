"""Courses of events that end well or in a gap: high HbA1c, missed and cancelled appointments, calls, new illness.

Each is decided person by person before a row is drawn, far enough from the edges of every window for the calendar not
to matter. What else is drawn for the person leaves room for it (`bookings`, `contacts`, `monitoring`).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from transforms.sources.synthetic.block import CLOSED, DECLINED, EXCLUDED, NOTHING, OPEN, Block, Course
from transforms.sources.synthetic.draws import (
    NEVER,
    Days,
    Flags,
    Floats,
    Places,
    between,
    choose,
    date_of,
    day_of,
    months_before,
    whole,
    working_day,
)
from transforms.sources.synthetic.spells import spells
from transforms.sources.synthetic.vocabulary import CAUSE, REQUEST, SPECIALTIES, SPECIALTY

_HIGH, _HIGH_LONG_AGO, _HIGH_FOLLOWED = 0.013, 0.05, 0.06
"""Shares of persons with diabetes whose last HbA1c is high: nothing followed, of those who have had one within the year
and of those who have had none since, or a review did."""
_HIGH_BEFORE, CAME_BACK = 0.45, 1
"""Share of those who have come back lately whose HbA1c was high when they stayed away; the kind of such a course."""
_NO_SHOWS, _NO_SHOWS_REBOOKED = 0.003, 0.002
"""Shares of residents who twice within a year did not come: not booked again, or booked again."""
_CANCELLED, _CANCELLED_REBOOKED, _NEED_ENDED = 0.012, 0.022, 0.002
"""Shares of residents whose appointment was called off by the services within two years, by what came of it."""
FOLLOWED_CONDITIONS = ("hypertension", "diabetes", "arterial_disease", "copd", "psychosis", "dementia")
"""Conditions that are followed up once or twice a year."""
CHILD_CHECKS = {"four_months": (3, 5), "eighteen_months": (15, 21), "four_years": (45, 54)}
"""Ages in completed months between which the extensive health examinations take place (Government Decree 338/2011)."""
_CHILD_DAYS = {"four_months": (105, 135), "eighteen_months": (500, 600), "four_years": (1400, 1600)}
_CHILD_MISSED = 0.09
_MMR_MISSED, _MMR_DAYS = 0.055, (368, 500)
"""Share of children without the first dose of MMR, and the age in days at which the others get it."""
_NO_FOLLOW_UP = {"depression": 0.28, "substance_use": 0.38}
NEW_ILLNESS = tuple(_NO_FOLLOW_UP)
FOLLOW_UP_DUE = {"depression": 60, "substance_use": 35}
"""Days from a new illness after which follow-up that has not taken place is missing, whichever limit is used."""
_SILENT_WINDOW, _SILENT_SHARE, MET_AGAIN = 366, 0.15, 7
"""The look-back in days; share of the old whom nobody has met, of those of whom nothing else is planned; days until a
round after that."""
EMERGENCY_DAYS = 440, 700
"""Days before the as-of date between which the old have been to an emergency department."""
_BY_APPOINTMENT = [CAUSE[name] for name in ("no_show", "cancelled_by_client", "cancelled_by_provider")]
_NEEDS_CONTACTS = ("hba1c_high", "no_shows", "cancelled", "opioid")
LATE_ANSWERS = 0.0335
"""Share of residents who wait too long for a call within the year."""
_NOT_VACCINATED, _REFUSED = 0.25, 0.03
"""Shares of persons with COPD who go without influenza vaccination in a season, and who decline it."""
SEASON_DAYS = 95
OPIOID_SHARE = 0.12
"""Of persons with chronic pain who are dispensed opioids month after month."""
ASKED_WITHIN, QUIET_BEFORE_NO_SHOW = 430, 430
"""Days before the as-of date: planned requests; no-shows that are planned one by one."""


def courses_of(block: Block) -> Block:
    """The block with its courses."""
    rng = block.rng("courses")
    long_here = block.is_resident & (block.people.first < block.as_of - 800)
    cancelled = _cancelled(block, rng, long_here)
    courses = {
        "hba1c_high": _high(block, rng, long_here),
        "cancelled": cancelled,
        # A time that is kept after a no-show would be the new one for what was cancelled, too.
        "no_shows": _no_shows(block, rng, long_here & (cancelled.state == NOTHING)),
        "late_answer": _late_answers(block, rng),
        "opioid": _opioids(block, rng),
        "mmr": _mmr(block, rng),
        "influenza": _influenza(block, rng),
    }
    for name in _NO_FOLLOW_UP:
        courses[name] = _new_illness(block, rng, name, courses["opioid"])
    courses |= {name: _child_check(block, rng, name) for name in CHILD_CHECKS}
    # Where the last rounds follow a high HbA1c there is no room for an earlier lapse.
    high = (courses["hba1c_high"].state != NOTHING) & (courses["hba1c_high"].kind != CAME_BACK)
    lapses = {
        name: (np.where(high & (last < NEVER), NEVER, first).astype(np.int32), last)
        for name, (first, last) in block.lapses.items()
    }
    silent = _silent(block, rng, courses)
    # A round may be held some days early, on a working day.
    met_again = np.where(silent[1] < NEVER, silent[1] + MET_AGAIN, -NEVER).max(axis=0)
    late = np.maximum(between(rng, met_again, np.full(block.size, block.as_of, np.int32)), block.newest)
    newest = np.where(met_again > block.newest, late, block.newest).astype(np.int32)
    return replace(block, courses=courses, lapses=lapses, silent=silent, newest=newest)


def _silent(block: Block, rng: np.random.Generator, courses: Mapping[str, Course]) -> tuple[Days, Days]:
    """Spells in which no professional met the old: now, and earlier where nothing else is planned."""
    first, last = spells(
        rng, block.missed(_SILENT_SHARE), block.is_out_of_touch, _SILENT_WINDOW, block.as_of - 2 * MET_AGAIN, 2
    )
    had = (block.age >= 75) & ~block.had_emergency & (block.periods["home_care"][0] == NEVER)
    had &= ~np.isin(block.causes, _BY_APPOINTMENT) | ~np.any(list(block.lacks.values()), axis=0)
    had &= ~block.has(*NEW_ILLNESS)
    had &= np.all([course.state == NOTHING for name, course in courses.items() if name in _NEEDS_CONTACTS], axis=0)
    now = block.is_out_of_touch & (last == NEVER)
    # Nobody met them since the emergency, which was within two years.
    after = block.as_of - whole(rng, _SILENT_WINDOW + 2 * MET_AGAIN, EMERGENCY_DAYS[1] - 40, block.size)
    first = np.where(now & block.had_emergency, np.maximum(first, after), first)
    kept = now | (had & (last < NEVER))
    return np.where(kept, first, NEVER).astype(np.int32), np.where(kept, last, NEVER).astype(np.int32)


def _draw(rng: np.random.Generator, who: Flags, shares: Mapping[int, Floats | float]) -> Places:
    """One of the states for each of `who`, with these chances."""
    state = np.full(len(who), NOTHING, dtype=np.int32)
    chance, below = rng.random(len(who)), np.zeros(len(who))
    for name, share in shares.items():
        chosen = who & (chance >= below) & (chance < below + share)
        state[chosen] = name
        below = below + share
    return state


def _course(state: Places, day: Days, kind: Places | int = 0) -> Course:
    never = np.where(state == NOTHING, NEVER, day).astype(np.int32)
    return Course(state, never, np.broadcast_to(np.asarray(kind, dtype=np.int32), state.shape))


def _high(block: Block, rng: np.random.Generator, long_here: Flags) -> Course:
    known = long_here & block.has("diabetes") & ~block.is_out_of_touch
    for name in FOLLOWED_CONDITIONS:  # a new illness would bring a visit of its own
        known &= (block.onset[name] < block.as_of - 800) | (block.onset[name] == NEVER)
    lacks = block.lacks["hba1c"]
    unseen = np.where(lacks, block.missed(_HIGH_LONG_AGO), block.missed(_HIGH))
    state = _draw(rng, known, {OPEN: unseen, CLOSED: _HIGH_FOLLOWED})
    lately, earlier = whole(rng, 195, 345, block.size), whole(rng, 375, 530, block.size)
    day = np.where(lacks, earlier, lately)
    # Others came back within half a year, more than a year after a high one.
    begun, back = (block.as_of - days[0] for days in block.lapses["hba1c"])
    came = known & (state == NOTHING) & (begun >= 375) & (begun <= 530) & (back >= 10) & (back <= 175)
    came &= rng.random(block.size) < _HIGH_BEFORE
    state[came] = CLOSED
    return _course(state, working_day(block.as_of - np.where(came, begun, day)), came.astype(np.int32) * CAME_BACK)


def _no_shows(block: Block, rng: np.random.Generator, long_here: Flags) -> Course:
    prone = np.exp(1.1 * block.has("substance_use") + 0.7 * block.has("psychosis"))
    who = long_here & ~block.is_out_of_touch
    state = _draw(rng, who, {OPEN: block.missed(_NO_SHOWS) * prone, CLOSED: block.missed(_NO_SHOWS_REBOOKED) * prone})
    day = working_day(block.as_of - whole(rng, 75, 300, block.size))
    return _course(state, day, _specialties(rng, block.size))


def _cancelled(block: Block, rng: np.random.Generator, long_here: Flags) -> Course:
    who = long_here & ~block.is_out_of_touch
    shares: dict[int, Floats | float] = {
        OPEN: block.missed(_CANCELLED),
        CLOSED: _CANCELLED_REBOOKED,
        EXCLUDED: _NEED_ENDED,
    }
    day = block.as_of - whole(rng, 100, 715, block.size)
    return _course(_draw(rng, who, shares), day, _specialties(rng, block.size))


def _specialties(rng: np.random.Generator, size: int) -> Places:
    """Specialties but nursing, which is where follow-up is booked."""
    return choose(rng, {SPECIALTY[name]: weight for name, (_, _, weight) in SPECIALTIES.items() if name != "nursing"},
                  size)  # fmt: skip


def _late_answers(block: Block, rng: np.random.Generator) -> Course:
    state = _draw(rng, block.is_resident & ~block.is_out_of_touch, {OPEN: block.missed(LATE_ANSWERS)})
    room = np.clip(block.as_of - 20 - block.first, 0, ASKED_WITHIN - 20)
    state[room < 30] = NOTHING
    day = block.as_of - 20 - (rng.random(block.size) * room).astype(np.int32)
    kind = rng.integers(0, len(REQUEST.place), block.size, dtype=np.int32)
    return _course(state, np.maximum(working_day(day), block.first), kind)


def _opioids(block: Block, rng: np.random.Generator) -> Course:
    """Open where no review is planned; the day is that of the first dispensing."""
    begins = np.maximum(block.onset["chronic_pain"], block.first) + whole(rng, 0, 60, block.size)
    long = block.has("chronic_pain") & (begins < block.as_of - 210)
    state = _draw(rng, long, {OPEN: OPIOID_SHARE})
    return _course(np.where((state == OPEN) & ~block.lacks["opioid_review"], CLOSED, state), begins)


def _mmr(block: Block, rng: np.random.Generator) -> Course:
    """The first dose: given, refused, contraindicated, or nothing recorded (open)."""
    missed = block.missed(_MMR_MISSED, 1.5)
    shares: dict[int, Floats | float] = {
        OPEN: missed * 0.83,
        DECLINED: missed * 0.15,
        EXCLUDED: missed * 0.02,
        CLOSED: 1.0,
    }
    state = _draw(rng, np.ones(block.size, dtype=np.bool_), shares)
    return _course(state, working_day(block.people.birth + whole(rng, *_MMR_DAYS, block.size)))


def _influenza(block: Block, rng: np.random.Generator) -> Course:
    """The vaccination of persons with COPD in the season that runs, or that was the last: not yet given is open."""
    day = season_start(block.as_of) + (rng.beta(1.5, 3, block.size) * SEASON_DAYS).astype(np.int32)
    missed = block.missed(_NOT_VACCINATED)
    state = _draw(rng, block.has("copd") & block.is_resident, {OPEN: missed, DECLINED: _REFUSED, CLOSED: 1.0})
    came = (day <= block.as_of) & (day >= block.first)
    return _course(np.where(came | (state == NOTHING), state, OPEN).astype(np.int32), day)


def season_start(as_of: int) -> int:
    """The first day of the influenza season that runs on the day, or that was the last before it: a 1 October."""
    year = date_of(as_of).year
    return max(start for start in (day_of(date(year - 1, 10, 1)), day_of(date(year, 10, 1))) if start <= as_of)


def _new_illness(block: Block, rng: np.random.Generator, name: str, opioid: Course) -> Course:
    """A condition and whether its beginning was followed up. Those who need other contacts are followed up."""
    onset = block.onset[name]
    new = onset <= block.as_of
    busy = (block.age >= 74) | block.has("diabetes", "dementia") | (opioid.state != NOTHING) | (block.age < 13)
    one, other = (block.onset[illness] for illness in NEW_ILLNESS)
    busy |= block.has(*NEW_ILLNESS) & (np.abs(one - other) < 200)
    due = onset < block.as_of - FOLLOW_UP_DUE[name]
    state = np.where(new, CLOSED, NOTHING).astype(np.int32)
    state[new & due & ~busy & (rng.random(block.size) < block.missed(_NO_FOLLOW_UP[name]))] = OPEN
    return _course(state, onset)


def _child_check(block: Block, rng: np.random.Generator, name: str) -> Course:
    low, high = _CHILD_DAYS[name]
    _, ends = CHILD_CHECKS[name]
    day = working_day(block.people.birth + whole(rng, low, high, block.size))
    # Who came to the city within the window is seen soon after.
    day = np.maximum(day, block.first)
    drawn = (block.people.birth > block.start - 6 * 366) & (day < block.people.birth + ends * 30)
    state = _draw(rng, drawn, {OPEN: block.missed(_CHILD_MISSED)})
    return _course(np.where(drawn & (state == NOTHING), CLOSED, state).astype(np.int32), day)


def closed_within(block: Block, name: str) -> Flags:
    """Children whose window for an examination has closed within the last twelve months."""
    _, ends = CHILD_CHECKS[name]
    birth = block.people.birth
    return (birth <= months_before(block.as_of, ends)) & (birth > months_before(block.as_of, ends + 12))
