"""When persons with lasting conditions are followed up, and on which days care that was missed came last and again."""

from dataclasses import dataclass, fields

import numpy as np

from transforms.sources.synthetic.activity import activity
from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.courses import CAME_BACK, MET_AGAIN
from transforms.sources.synthetic.draws import Days, Flags, Places, whole
from transforms.sources.synthetic.planning import CARES, ONCE_A_YEAR

FOLLOWED = {
    "hypertension": "nurse_visit",
    "diabetes": "diabetes_review",
    "arterial_disease": "doctor_visit",
    "copd": "nurse_visit",
    "psychosis": "mental_health_visit",
    "dementia": "memory_visit",
}
"""Conditions that are followed up once or twice a year, and the contact that it takes."""

_EVERY_DAYS, _JITTER_DAYS = (165, 330), 10
"""Days from round to round for those with two and those with one a year, and by how much a round is early or late. No
round is more than a year after the one before, so that care is missing only where that is planned or was put off."""
_UNSEEN_DAYS = 215
"""Days after a high HbA1c of which it is planned what came of it."""


@dataclass(frozen=True)
class Rounds:
    """One row per round of follow-up that was due.

    `is_certain` marks those that take place whatever happens: the newest, and the one at which a condition was found.
    `is_held` marks those that took place: the others the services put off for good.
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
    lacks_hba1c, has_high = block.lacks["hba1c"][person], (high.state > 0)[person] & (high.kind != CAME_BACK)[person]
    newest = np.where(has_high & ~lacks_hba1c, high.day[person], newest)
    newest = np.where(has_high & lacks_hba1c, block.as_of - (rng.random(len(person)) * 150).astype(np.int32), newest)
    every = np.array(_EVERY_DAYS, dtype=np.int32)[(rng.random(len(person)) < ONCE_A_YEAR).astype(np.int32)]
    steps = np.arange((block.as_of - block.start) // _EVERY_DAYS[0] + 1, dtype=np.int32)
    day = newest[:, None] - steps * every[:, None]
    day[:, 1:] += whole(rng, -_JITTER_DAYS, _JITTER_DAYS, day[:, 1:].size).reshape(day[:, 1:].shape)
    is_newest = np.broadcast_to(steps == 0, day.shape).ravel()
    owner, day = np.repeat(person, len(steps)), day.ravel()
    held = is_newest | (rng.random(len(day)) < activity(day))
    within = (day >= block.first[owner]) & (day <= block.last[owner]) & (day >= onset[owner])
    kept = within & (is_newest | ~follows_high(block, owner, day))
    return _and_first_ones(block, Rounds(owner, day, is_newest, held).take(kept))


def earliest(block: Block, window: int) -> Days:
    """First day of the measurements of each person: where the look-back is longer than a year, earlier by the rest.

    Otherwise everybody's would be missing in the first of the months that are counted.
    """
    return np.maximum(block.people.first, block.start - max(window - 366, 0)).astype(np.int32)


def follows_high(block: Block, person: Places, day: Days) -> Flags:
    """Whether a day is one of those on which nothing was done about a high HbA1c, but what is planned."""
    since = day - block.courses["hba1c_high"].day[person]
    unseen: Flags = (since > 0) & (since < _UNSEEN_DAYS)
    return unseen


def _and_first_ones(block: Block, rounds: Rounds) -> Rounds:
    """The rounds, and those at which conditions were found, or after which nobody met the person, or met again."""
    owner, day = [rounds.person], [rounds.day]
    for name in FOLLOWED:
        found = (block.onset[name] >= block.first) & (block.onset[name] <= block.last)
        owner.append(np.flatnonzero(found).astype(np.int32))
        day.append(block.onset[name][found])
    ill = np.min([block.onset[name] for name in FOLLOWED], axis=0)
    for bounds in (block.silent[0], block.silent[1] + MET_AGAIN):
        _, person = met = np.nonzero((bounds >= np.maximum(ill, block.first)) & (bounds <= block.last))
        owner.append(person.astype(np.int32))
        day.append(bounds[met])
    more = np.ones(sum(len(days) for days in day[1:]), dtype=np.bool_)
    certain, held = (np.concatenate([flags, more]) for flags in (rounds.is_certain, rounds.is_held))
    return Rounds(np.concatenate(owner), np.concatenate(day), certain, held)


def bounds_of_lapses(block: Block, care: str) -> tuple[Places, Days]:
    """Who was given the care last before it was missing, or first after it, and when."""
    day = np.concatenate([*block.lapses[care]], axis=None)
    person = np.tile(np.arange(block.size, dtype=np.int32), len(day) // max(block.size, 1))
    begun = np.min([block.onset[name] for name in CARES[care].conditions], axis=0)
    first = earliest(block, CARES[care].window)
    kept = (day > begun[person]) & (day >= first[person]) & (day <= block.last[person])
    return person[kept], day[kept]
