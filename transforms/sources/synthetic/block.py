"""A block of persons, and what is planned for it before any row is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from transforms.sources.synthetic.draws import DAYS_A_YEAR, NEVER, Days, Flags, Floats, Places, months_before, stream
from transforms.sources.synthetic.population import Population

BLOCK_PERSONS = 10_000
"""Persons drawn together. Part of what the seed means: another size would draw other rows."""
DEPRIVATION_EFFECT = 0.25
"""What one standard score of deprivation adds to the logarithm of a missed share."""
NOTHING, OPEN, CLOSED, EXCLUDED, DECLINED = 0, 1, 2, 3, 4
"""States of a planned course of events on the as-of date."""


@dataclass(frozen=True)
class Course:
    """A planned course of events, one entry per person: how it stands on the as-of date and the day it began.

    `kind` is a place in a vocabulary, where the course has one.
    """

    state: Places
    day: Days
    kind: Places

    def of(self, *states: int) -> Places:
        """Who has a course in one of these states."""
        return np.flatnonzero(np.isin(self.state, states)).astype(np.int32)


@dataclass(frozen=True)
class Block:
    """Some persons and what is planned for them; one entry per person in every array.

    `onset` holds first days by condition, `periods` first and last days by lasting service and by restriction, `lacks`
    who misses which care now, `lapses` from when until when none was given, `silent` from when until when no
    professional met the person (the latest spell first, of those whom it has not left until after the as-of date; one
    row per spell in these), `newest` the day of the last round of follow-up, `causes` why it is missing, as places in
    `vocabulary.CAUSES`, `due` when it should have been given, and `courses` what is planned event by event. Rows are
    drawn from `start` to `as_of`; `is_dirty` says whether with faults.
    """

    number: int
    seed: int
    start: int
    as_of: int
    people: Population
    deprivation: Floats
    strain: Floats
    onset: dict[str, Days]
    is_dirty: bool = True
    periods: Mapping[str, tuple[Days, Days]] = field(default_factory=dict)
    lacks: Mapping[str, Flags] = field(default_factory=dict)
    lapses: Mapping[str, tuple[Days, Days]] = field(default_factory=dict)
    courses: Mapping[str, Course] = field(default_factory=dict)
    causes: Places = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    newest: Days = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    due: Days = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    silent: tuple[Days, Days] = field(
        default_factory=lambda: (np.zeros((0, 0), dtype=np.int32), np.zeros((0, 0), dtype=np.int32))
    )
    is_out_of_touch: Flags = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    had_emergency: Flags = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    @property
    def size(self) -> int:
        """Number of persons."""
        return len(self.people.birth)

    @property
    def first(self) -> Days:
        """First day on which care is drawn for each."""
        return np.maximum(self.people.first, self.start).astype(np.int32)

    @property
    def last(self) -> Days:
        """Last day on which care is drawn for each."""
        return self.people.last

    @property
    def is_resident(self) -> Flags:
        """Who lives, and lives here, after the as-of date as far as is known."""
        resident: Flags = (self.people.death == NEVER) & (self.people.left == NEVER)
        return resident

    @property
    def age(self) -> Floats:
        """Years of age on the as-of date or at death."""
        years: Floats = (np.minimum(self.people.death, self.as_of) - self.people.birth) / DAYS_A_YEAR
        return years

    def rng(self, part: str) -> np.random.Generator:
        """The random numbers of one part of the block."""
        return stream(self.seed, part, self.number)

    def has(self, *conditions: str) -> Flags:
        """Who has one of the conditions by the as-of date."""
        found: Flags = np.min([self.onset[name] for name in conditions], axis=0) <= self.as_of
        return found

    def is_lapsed(self, care: str, person: Places, day: Days) -> Flags:
        """Whether care on that day falls into what the person is to miss, or once missed."""
        return _within(self.lapses[care], person, day)

    def is_silent(self, person: Places, day: Days) -> Flags:
        """Whether no professional met the person on that day, nor about then."""
        return _within(self.silent, person, day)

    def is_in(self, period: str) -> Flags:
        """Whose period includes the as-of date."""
        first, last = self.periods[period]
        return (first <= self.as_of) & (last >= self.as_of)

    def is_aged(self, from_months: int, below_months: int | None = None) -> Flags:
        """Who is of such an age, in completed months, on the as-of date; the dead as if they lived."""
        aged: Flags = self.people.birth <= months_before(self.as_of, from_months)
        if below_months is not None:
            aged &= self.people.birth > months_before(self.as_of, below_months)
        return aged

    def is_settled(self, months: int = 12) -> Flags:
        """Who lives here on the as-of date and has done so for so many months."""
        arrived = np.where(self.people.arrived == NEVER, self.people.birth, self.people.arrived)
        since_birth = self.people.arrived == NEVER
        settled: Flags = self.is_here & (since_birth | (arrived <= months_before(self.as_of, months)))
        return settled

    @property
    def is_here(self) -> Flags:
        """Who is alive and lives here on the as-of date; the day of death or leaving is the last."""
        here: Flags = np.minimum(self.people.death, self.people.left) >= self.as_of
        return here

    def missed(self, share: float, effect: float = 1.0) -> Floats:
        """Each person's chance to miss care that `share` miss where deprivation and strain are average."""
        return np.minimum(share * np.exp(effect * (DEPRIVATION_EFFECT * self.deprivation + self.strain)), 0.9)


def _within(spells: tuple[Days, Days], person: Places, day: Days) -> Flags:
    """Whether the day lies within one of the person's spells; their first and last days do not."""
    found = np.zeros(len(person), dtype=np.bool_)
    for first, last in zip(*spells, strict=True):
        found |= (day > first[person]) & (day < last[person])
    return found
