"""Requests to be called back: answered in time, late or not at all.

The time to answer was the third working day until August 2023 and has been the same day since.
"""

from datetime import date

import numpy as np

from transforms.sources.synthetic.block import OPEN, Block
from transforms.sources.synthetic.courses import ASKED_WITHIN
from transforms.sources.synthetic.draws import NEVER, arrivals, choose, day_of, whole, working_day
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import OUTCOME, REQUEST

SAME_DAY_SINCE = day_of(date(2023, 9, 1))
"""The guarantee of access to care as amended: a contact on the day of the request."""
_WITHDRAWN, _DUPLICATE, _LATE, _NOT_REACHED = 0.025, 0.02, 0.045, 0.02
_ANSWERED_AFTER = {0: 45.0, 1: 30, 2: 15, 3: 10}
"""Calendar days until a request that is not late was answered under the rule of three working days."""


def contact_requests(block: Block) -> Rows:
    """Requests on working days; those of the last year as planned."""
    rng = block.rng("requests")
    yearly = np.where(block.age < 65, 0.4, 0.65) * np.exp(0.1 * block.deprivation)
    person, day = arrivals(rng, yearly, block.first, block.last)
    day, size = working_day(day), len(person)
    kind = choose(rng, {place: 30.0 if place < 3 else 4.0 for place in REQUEST.place.values()}, size)
    planned = day > block.as_of - ASKED_WITHIN
    wait = choose(rng, _ANSWERED_AFTER, size)
    # A weekend lies between for the third working day, too: two days of it count for nothing.
    wait += np.where((day + wait) % 7 == 2, 2, np.where((day + wait) % 7 == 3, 1, 0)).astype(np.int32)
    wait[day >= SAME_DAY_SINCE] = 0
    late = ~planned & (rng.random(size) < block.missed(_LATE)[person])
    wait[late] = whole(rng, 7, 30, int(late.sum()))
    chance = rng.random(size)
    outcome = np.full(size, OUTCOME["answered"], dtype=np.int32)
    outcome[chance < _WITHDRAWN + _DUPLICATE] = OUTCOME["duplicate"]
    outcome[chance < _WITHDRAWN] = OUTCOME["withdrawn"]
    outcome[~planned & (chance > 1 - _NOT_REACHED)] = OUTCOME["not_reached"]
    answered = working_day(day + wait)
    answered = np.where(late | (answered < day), day + wait, answered).astype(np.int32)
    is_open = (answered > block.last[person]) & (outcome == OUTCOME["answered"])
    outcome[is_open] = OUTCOME[""]
    answered[outcome != OUTCOME["answered"]] = NEVER
    usual = rows_of(person, day, answered_date=answered, request=kind, outcome=outcome)
    # Requests of one day to one service are one request, so that the late one must stand alone.
    alone = day != block.courses["late_answer"].day[person]
    return joined([usual.take(alone), _late(block, rng)])


def _late(block: Block, rng: np.random.Generator) -> Rows:
    """The planned ones: two in three answered after a week or more, the others not reached or open."""
    course = block.courses["late_answer"]
    person = course.of(OPEN)
    day = course.day[person]
    answered = day + whole(rng, 8, 17, len(person))
    outcome = choose(rng, {OUTCOME["answered"]: 4.0, OUTCOME["not_reached"]: 1, OUTCOME[""]: 1}, len(person))
    answered[outcome != OUTCOME["answered"]] = NEVER
    return rows_of(person, day, answered_date=answered, request=course.kind[person], outcome=outcome)
