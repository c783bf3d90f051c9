"""Appointments: kept, missed, cancelled by either side, booked again or not."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from transforms.sources.synthetic.activity import activity, in_pandemic
from transforms.sources.synthetic.block import CLOSED, EXCLUDED, OPEN, Block, Course
from transforms.sources.synthetic.courses import QUIET_BEFORE_NO_SHOW
from transforms.sources.synthetic.draws import NEVER, Days, Flags, Places, arrivals, choose, whole, working_day
from transforms.sources.synthetic.rounds import Rounds
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import CAUSE, CONTACT, REASON, SPECIALTIES, SPECIALTY, STATUS

BOOKED_AHEAD_DAYS = 120
_NO_SHOW, _CANCELLED_BY_CLIENT, _CANCELLED_BY_PROVIDER, _PROVIDER_IN_PANDEMIC = 0.035, 0.07, 0.03, 0.5
"""Shares of appointments; the last is what a stop of all activity would add to the one before."""
_NOT_BOOKED_AGAIN, _HABIT = 0.36, 1.0
_CLIENT_REASONS = {"illness": 4.0, "client_request": 4, "need_ended": 2, "other": 1}
_PROVIDER_REASONS = {"capacity": 6.0, "illness": 2, "other": 1}
_PLANNED_CANCELLATIONS = (760, 85)
"""Days before the as-of date between which the services cancel for want of capacity only where it is planned."""
_SERVICE = SPECIALTY.frame["service"].rank("dense").to_numpy().astype(np.int32)
"""The service of a specialty, as a number."""


def appointments(block: Block) -> Rows:
    """Appointments on days of the window and up to four months ahead, and those booked instead of missed ones."""
    rng, age = block.rng("appointments"), block.age
    yearly = np.select([age < 16, age < 65, age < 75], [0.8, 1.0, 1.5], 1.8) * np.exp(0.05 * block.deprivation)
    until = np.where(block.is_resident, block.as_of + BOOKED_AHEAD_DAYS, block.last).astype(np.int32)
    person, day = arrivals(rng, yearly, block.first, until)
    lead = (rng.exponential(24, len(day)) + 1).astype(np.int32)
    booked = np.maximum(day - lead, block.first[person])
    known = booked <= block.as_of
    person, day, booked = person[known], working_day(day[known]), booked[known]
    specialty = choose(rng, {SPECIALTY[name]: place[2] for name, place in SPECIALTIES.items()}, len(person))
    first = _kept_or_not(block, rng, person, day, np.minimum(booked, day), specialty)
    drawn = _unplanned(block, joined([first, _booked_again(block, rng, first)]))
    return joined([drawn, *_planned(block, rng)])


def round_appointments(block: Block, rounds: Rounds) -> Rows:
    """The appointment of each round of follow-up: attended, or cancelled by the services for the pandemic."""
    rng, size = block.rng("round appointments"), len(rounds.day)
    day = working_day(rounds.day)
    booked = np.maximum(day - whole(rng, 5, 60, size), block.first[rounds.person])
    status = np.where(rounds.is_held, STATUS["attended"], STATUS["cancelled_by_provider"]).astype(np.int32)
    reason = np.where(rounds.is_held, REASON[""], REASON["illness"]).astype(np.int32)
    reason[~rounds.is_held & in_pandemic(day)] = REASON["pandemic"]
    rows = rows_of(
        rounds.person,
        day,
        booked_date=np.minimum(booked, day),
        status_date=day,
        status=status,
        reason=reason,
        specialty=SPECIALTY["nursing"],
    )
    return _unplanned(block, rows)


def follow_up_fails(block: Block) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whose missing follow-up has an appointment that the person missed, and one that was cancelled.

    Not where a course of missed or cancelled appointments is planned for the person anyway.
    """
    lacking = np.any([block.lacks[name] for name in ("hba1c", "blood_pressure", "ldl", "spirometry")], axis=0)
    lacking &= block.is_resident & ~block.is_out_of_touch & (block.people.first < block.as_of - 420)
    free = (block.courses["no_shows"].state == 0) & (block.courses["cancelled"].state == 0)
    cancels = np.isin(block.causes, [CAUSE["cancelled_by_client"], CAUSE["cancelled_by_provider"]])
    return lacking & free & (block.causes == CAUSE["no_show"]), lacking & free & cancels


def appointment_contacts(booked: Rows) -> Rows:
    """The contact that each attended appointment is."""
    contact = np.zeros(len(SPECIALTY.place), dtype=np.int32)
    for name, (_, word, _) in SPECIALTIES.items():
        contact[SPECIALTY[name]] = CONTACT[word]
    attended = booked.take(booked.words["status"] == STATUS["attended"])
    return rows_of(attended.person, attended.days["event_date"], contact=contact[attended.words["specialty"]])


def _unplanned(block: Block, rows: Rows) -> Rows:
    """The rows, less whatever would change how a planned course ends."""
    status, reason = rows.words["status"].copy(), rows.words["reason"].copy()
    day, person = rows.days["event_date"], rows.person
    # A person misses one appointment a year at most where nothing else is planned.
    missed_follow_up, cancelled_follow_up = follow_up_fails(block)
    lately = np.flatnonzero((status == STATUS["no_show"]) & (day > block.as_of - QUIET_BEFORE_NO_SHOW))
    _, one = np.unique(person[lately], return_index=True)
    extra = np.ones(len(lately), dtype=np.bool_)
    extra[one] = (block.courses["no_shows"].state[person[lately[one]]] > 0) | missed_follow_up[person[lately[one]]]
    status[lately[extra]], reason[lately[extra]] = STATUS["cancelled_by_client"], REASON["illness"]
    early, late = (block.as_of - days for days in _PLANNED_CANCELLATIONS)
    when = rows.days["status_date"]
    planned = (status == STATUS["cancelled_by_provider"]) & (when > early) & (when < late)
    reason[planned & np.isin(reason, [REASON["capacity"], REASON["pandemic"]])] = REASON["illness"]
    rows = rows.with_words(status=status, reason=reason)
    specialty = rows.words["specialty"]
    cancelled, no_shows = block.courses["cancelled"], block.courses["no_shows"]
    in_the_way = (specialty == cancelled.kind[person]) & (day >= cancelled.day[person])
    same_service = _SERVICE[specialty] == _SERVICE[no_shows.kind[person]]
    in_the_way |= same_service & (day >= no_shows.day[person] - 70)
    nursing = specialty == SPECIALTY["nursing"]
    in_the_way |= nursing & cancelled_follow_up[person] & (day >= block.due[person] - 40)
    return rows.take(~in_the_way)


def _planned(block: Block, rng: np.random.Generator) -> list[Rows]:
    """The appointments of planned courses."""
    cancelled, no_shows = block.courses["cancelled"], block.courses["no_shows"]
    parts = []
    for course, status, reason in ((cancelled, "cancelled_by_provider", "capacity"), (no_shows, "no_show", "")):
        person = course.of(OPEN, CLOSED, EXCLUDED)
        again, ended = course.of(CLOSED), course.of(EXCLUDED)
        is_no_show = status == "no_show"
        ahead = np.zeros(len(person), dtype=np.int32) if is_no_show else whole(rng, 0, 20, len(person))
        parts.append(_row(course, person, -whole(rng, 10, 60, len(person)), ahead, status, reason))
        parts.append(_row(course, again, whole(rng, 0, 4, len(again)), whole(rng, 8, 48, len(again)), "attended", ""))
        parts.append(_row(course, ended, whole(rng, 1, 9, len(ended)), 30, "cancelled_by_client", "need_ended"))
        if is_no_show:
            earlier = Course(course.state, course.day - whole(rng, 20, 50, block.size), course.kind)
            parts.append(_row(earlier, person, -whole(rng, 5, 40, len(person)), 0, status, reason))
    missed, called_off = follow_up_fails(block)
    nursing = np.full(block.size, SPECIALTY["nursing"], dtype=np.int32)
    due = Course(missed.astype(np.int32), working_day(block.due), nursing)
    parts.append(_row(due, due.of(1), -whole(rng, 10, 60, int(missed.sum())), 0, "no_show", ""))
    for by, reason in (("client", "illness"), ("provider", "capacity")):
        person = np.flatnonzero(called_off & (block.causes == CAUSE[f"cancelled_by_{by}"])).astype(np.int32)
        day = whole(rng, 0, 10, len(person))
        parts.append(_row(due, person, -whole(rng, 10, 60, len(person)), day, f"cancelled_by_{by}", reason))
    return parts


def _row(course: Course, person: Places, booked: Days, ahead: Days | int, status: str, reason: str) -> Rows:
    """One appointment for each person, booked and held so many days after the course's day.

    A cancellation happens on the course's day, the rest on the day of the appointment.
    """
    begin = course.day[person]
    day = working_day(begin + ahead + 6) if status != "no_show" else begin + ahead
    settled = begin if status == "cancelled_by_provider" or status == "cancelled_by_client" else day
    if reason == "need_ended":
        settled = begin + 12
    reasons = np.full(len(person), REASON[reason], dtype=np.int32)
    reasons[in_pandemic(settled) & (reason == "capacity")] = REASON["pandemic"]
    return rows_of(
        person,
        day,
        booked_date=begin + booked,
        status_date=settled.astype(np.int32),
        status=STATUS[status],
        reason=reasons,
        specialty=course.kind[person],
    )


def _kept_or_not(
    block: Block, rng: np.random.Generator, person: Places, day: Days, booked: Days, specialty: Places
) -> Rows:
    size, chance = len(person), rng.random(len(person))
    prone = 1.3 * block.has("substance_use") + 0.8 * block.has("psychosis") + 0.5 * (block.age < 40)
    # Some forget again and again: the spread of a person's own habit, with the mean left as it is.
    prone = np.exp(prone + _HABIT * block.rng("habit").normal(size=block.size) - _HABIT**2 / 2)
    no_show = np.minimum(block.missed(_NO_SHOW) * prone, 0.5)[person]
    by_provider = _CANCELLED_BY_PROVIDER + _PROVIDER_IN_PANDEMIC * np.maximum(1 - activity(day), 0)
    missed, by_client, cancelled = _split(
        chance, [no_show, no_show + _CANCELLED_BY_CLIENT, no_show + _CANCELLED_BY_CLIENT + by_provider]
    )
    ahead = day > block.as_of
    status = np.full(size, STATUS["attended"], dtype=np.int32)
    reason = np.full(size, REASON[""], dtype=np.int32)
    status_date = day.copy()
    status[missed] = STATUS["no_show"]
    for chosen, name, reasons in (
        (by_client, "cancelled_by_client", _CLIENT_REASONS),
        (cancelled, "cancelled_by_provider", _PROVIDER_REASONS),
    ):
        status[chosen] = STATUS[name]
        weights = {REASON[word]: weight for word, weight in reasons.items()}
        reason[chosen] = choose(rng, weights, int(chosen.sum()))
        days_left = (day - booked)[chosen]
        status_date[chosen] = day[chosen] - (rng.random(int(chosen.sum())) * (days_left + 1)).astype(np.int32)
    pandemic = cancelled & in_pandemic(status_date) & (rng.random(size) < 0.8)
    reason[pandemic] = REASON["pandemic"]
    waiting = ahead & ((status_date > block.as_of) | missed)
    status[waiting], reason[waiting], status_date[waiting] = STATUS["booked"], REASON[""], NEVER
    return rows_of(
        person, day, booked_date=booked, status_date=status_date, status=status, reason=reason, specialty=specialty
    )


def _booked_again(block: Block, rng: np.random.Generator, rows: Rows) -> Rows:
    """New appointments in the same specialty, within two months, for most of those that did not take place."""
    status = rows.words["status"]
    fell_through = (status != STATUS["attended"]) & (status != STATUS["booked"])
    ended = rows.words["reason"] == REASON["need_ended"]
    again = fell_through & ~ended & (rng.random(len(rows)) > block.missed(_NOT_BOOKED_AGAIN)[rows.person])
    missed = rows.take(again)
    booked = missed.days["status_date"] + whole(rng, 0, 10, len(missed))
    day = working_day(np.maximum(booked, missed.days["event_date"]) + whole(rng, 7, 45, len(missed)))
    known = (booked <= block.as_of) & ((day <= block.last[missed.person]) | block.is_resident[missed.person])
    return _kept_or_not(block, rng, missed.person[known], day[known], booked[known], missed.words["specialty"][known])


def _split(chance: np.ndarray, edges: list[np.ndarray] | list[float]) -> list[Flags]:
    """Which draws fall below each edge and not below the one before."""
    below = [chance < edge for edge in edges]
    return [below[0], *(after & ~before for before, after in pairwise(below))]
