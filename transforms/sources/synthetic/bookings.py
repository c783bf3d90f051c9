"""Appointments and requests to be called back: kept, missed, cancelled, booked again or not."""

from itertools import pairwise

import numpy as np

from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.draws import NEVER, Days, Flags, Places, arrivals, choose, whole, working_day
from transforms.sources.synthetic.monitoring import in_pandemic
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import CONTACT, OUTCOME, REASON, REQUEST, SPECIALTIES, SPECIALTY, STATUS

BOOKED_AHEAD_DAYS = 120
_NO_SHOW, _CANCELLED_BY_CLIENT, _CANCELLED_BY_PROVIDER, _PROVIDER_IN_PANDEMIC = 0.035, 0.07, 0.03, 0.2
_NOT_BOOKED_AGAIN = 0.33
_CLIENT_REASONS = {"illness": 4.0, "client_request": 4, "need_ended": 2, "other": 1}
_PROVIDER_REASONS = {"capacity": 6.0, "illness": 2, "other": 1}
_WITHDRAWN, _DUPLICATE, _LATE, _NOT_REACHED = 0.025, 0.02, 0.1, 0.04
_ANSWERED_AFTER = {0: 45.0, 1: 30, 2: 15, 3: 10}
"""Calendar days until a request that is not late is answered."""


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
    return joined([first, _booked_again(block, rng, first)])


def appointment_contacts(booked: Rows) -> Rows:
    """The contact that each attended appointment is."""
    contact = np.zeros(len(SPECIALTY.place), dtype=np.int32)
    for name, (_, word, _) in SPECIALTIES.items():
        contact[SPECIALTY[name]] = CONTACT[word]
    attended = booked.take(booked.words["status"] == STATUS["attended"])
    return rows_of(attended.person, attended.days["event_date"], contact=contact[attended.words["specialty"]])


def contact_requests(block: Block) -> Rows:
    """Requests to be called back, answered within three days, later or not at all."""
    rng = block.rng("requests")
    yearly = np.where(block.age < 65, 0.4, 0.65) * np.exp(0.1 * block.deprivation)
    person, day = arrivals(rng, yearly, block.first, block.last)
    day = working_day(day)
    size = len(person)
    kind = choose(rng, {place: 30.0 if place < 3 else 4.0 for place in REQUEST.place.values()}, size)
    wait = choose(rng, _ANSWERED_AFTER, size)
    late = rng.random(size) < block.missed(_LATE)[person]
    wait[late] = whole(rng, 6, 30, int(late.sum()))
    outcome = np.full(size, OUTCOME["answered"], dtype=np.int32)
    edges = np.cumsum([_WITHDRAWN, _DUPLICATE, _NOT_REACHED])
    for name, chosen in zip(
        ("withdrawn", "duplicate", "not_reached"), _split(rng.random(size), edges.tolist()), strict=True
    ):
        outcome[chosen] = OUTCOME[name]
    answered = day + wait
    # Answers fall on working days; one due on a weekend is given on the Monday.
    answered += np.array([0, 0, 2, 1, 0, 0, 0], dtype=np.int32)[answered % 7]
    is_open = (answered > block.last[person]) & (outcome == OUTCOME["answered"])
    outcome[is_open] = OUTCOME[""]
    answered[outcome != OUTCOME["answered"]] = NEVER
    return rows_of(person, day, answered_date=answered, request=kind, outcome=outcome)


def _kept_or_not(
    block: Block, rng: np.random.Generator, person: Places, day: Days, booked: Days, specialty: Places
) -> Rows:
    size, chance = len(person), rng.random(len(person))
    prone = np.exp(1.3 * block.has("substance_use") + 0.8 * block.has("psychosis") + 0.5 * (block.age < 40))
    no_show = np.minimum(block.missed(_NO_SHOW) * prone, 0.5)[person]
    by_provider = np.where(in_pandemic(day), _PROVIDER_IN_PANDEMIC, _CANCELLED_BY_PROVIDER)
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
