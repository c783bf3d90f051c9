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
    choose,
    date_of,
    day_of,
    months_before,
    whole,
    working_day,
)
from transforms.sources.synthetic.vocabulary import REQUEST, SPECIALTIES, SPECIALTY

_HIGH, _HIGH_FOLLOWED = 0.03, 0.05
"""Shares of persons with diabetes whose last HbA1c is high: nothing followed, or a review did."""
_NO_SHOWS, _NO_SHOWS_REBOOKED = 0.004, 0.005
"""Shares of residents who twice within a year did not come: not booked again, or booked again."""
_CANCELLED, _CANCELLED_REBOOKED, _NEED_ENDED = 0.01, 0.022, 0.002
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
FOLLOW_UP_DUE = {"depression": 70, "substance_use": 100}
"""Days from a new illness after which follow-up that has not taken place is missing, whichever limit is used."""
SILENT_DAYS, _SILENT_LONGER, _SILENT_SHARE = 430, 250, 0.12
"""Days without a contact at least, and beyond that on average; share of the old of whom nothing else is planned."""
_NEEDS_CONTACTS = ("hba1c_high", "no_shows", "cancelled", "opioid")
LATE_ANSWERS = 0.036
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
    high = courses["hba1c_high"].state != NOTHING
    lapses = {
        name: (np.where(high & (last < NEVER), NEVER, first).astype(np.int32), last)
        for name, (first, last) in block.lapses.items()
    }
    return replace(block, courses=courses, lapses=lapses, silent=_silent(block, rng, courses))


def _silent(block: Block, rng: np.random.Generator, courses: Mapping[str, Course]) -> tuple[Days, Days]:
    """From when until when no professional met the old: now, or once within the years where nothing else is planned."""
    longer = SILENT_DAYS + rng.exponential(_SILENT_LONGER, block.size).astype(np.int32)
    span = block.as_of - block.start
    had = (block.age >= 75) & ~block.had_emergency & ~np.any(list(block.lacks.values()), axis=0)
    had &= ~block.has(*NEW_ILLNESS) & (block.periods["home_care"][0] == NEVER)
    had &= np.all([course.state == NOTHING for name, course in courses.items() if name in _NEEDS_CONTACTS], axis=0)
    had &= rng.random(block.size) < np.minimum(block.missed(_SILENT_SHARE) * span / (_SILENT_LONGER + 200), 0.9)
    # A round may be held some days early, on a working day.
    back = np.minimum(block.as_of - (rng.random(block.size) * span).astype(np.int32), block.newest - 7)
    now = block.is_out_of_touch
    first = np.where(
        now, block.as_of - np.where(block.had_emergency, SILENT_DAYS, longer), np.where(had, back - longer, NEVER)
    )
    return first.astype(np.int32), np.where(now, NEVER, back).astype(np.int32)


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
    state = _draw(rng, known, {OPEN: block.missed(_HIGH), CLOSED: _HIGH_FOLLOWED})
    lately = block.as_of - whole(rng, 215, 320, block.size)
    earlier = block.as_of - whole(rng, 425, 510, block.size)
    return _course(state, working_day(np.where(block.lacks["hba1c"], earlier, lately)))


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
