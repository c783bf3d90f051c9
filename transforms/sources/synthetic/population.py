"""Who lives where: birth, death, moves."""

from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from transforms.sources.synthetic.draws import DAYS_A_YEAR, NEVER, Days, Flags, Floats, Places, between, stream
from transforms.sources.synthetic.identity import identity_codes
from transforms.sources.synthetic.profile import OLDEST, Profile

AREA_UNKNOWN_SHARE = 0.03
"""Residents whose district the register does not know: care of addresses, no fixed abode."""
STRANGERS = 16
"""Valid codes a block of persons that belong to nobody, for rows of unknown persons."""

_AGES = np.arange(OLDEST + 1)
_MORTALITY = 1.2e-5 * np.exp(0.103 * _AGES)
"""Deaths per person and year by age: Gompertz, near Finland's."""
_MALE_MORTALITY, _FEMALE_MORTALITY = 1.25, 0.85
_LEAVING = np.select([_AGES < 18, _AGES < 40, _AGES < 65], [0.02, 0.04, 0.015], 0.006)
_ARRIVING = np.select([_AGES < 18, _AGES < 30, _AGES < 40], [0.02, 0.09, 0.05], 0.015)
_MOVING = np.select([_AGES < 18, _AGES < 40, _AGES < 65], [0.06, 0.12, 0.05], 0.02)
"""Moves per person and year by age: out of the city, into it, between its districts."""


@dataclass(frozen=True)
class Population:
    """One entry per person. Days are `NEVER` where it did not happen.

    `area` and `previous_area` are places in the profile; `moved` is the first day in `area` of one who came there from
    `previous_area`. `first` and `last` bound the days on which the person lived in the city, up to the as-of date.
    """

    birth: Days
    is_male: Flags
    death: Days
    area: Places
    previous_area: Places
    is_area_unknown: Flags
    arrived: Days
    moved: Days
    left: Days
    first: Days
    last: Days

    def part(self, start: int, stop: int) -> "Population":
        """The persons from `start` up to, not including, `stop`."""
        return Population(*(getattr(self, field.name)[start:stop] for field in fields(self)))


def populate(persons: int, years: int, as_of: int, seed: int, profile: Profile) -> Population:
    """Draw a population whose residents on the as-of date fit the profile by district, sex and age."""
    rng = stream(seed, "population")
    area, is_male, age = _cells(rng, persons, years, profile)
    window = int(as_of - years * DAYS_A_YEAR)
    birth = (as_of - np.ceil((age + rng.random(persons)) * DAYS_A_YEAR) + 1).astype(np.int32)
    start, end = np.full(persons, window, np.int32), np.full(persons, as_of, np.int32)

    def happens(yearly: Floats) -> Flags:
        return rng.random(persons) < -np.expm1(-yearly * years)

    dies = happens(_mortality(age, is_male) * np.exp(0.12 * profile.deprivation[area]))
    death = np.where(dies, between(rng, np.maximum(birth, start), end), NEVER)
    born_here = np.maximum(birth, start) + 30
    arrived = np.where(happens(_ARRIVING[age]), between(rng, born_here, end - 7), NEVER)
    arrived = np.where((arrived > as_of) | (arrived > death - 30), NEVER, arrived)
    first = np.where(arrived == NEVER, birth, arrived)
    left = np.where(happens(_LEAVING[age]) & ~dies, between(rng, np.maximum(first, start) + 30, end), NEVER)
    left = np.where(left > as_of, NEVER, left)
    last = np.minimum(np.minimum(death, left), as_of)
    room = last - np.maximum(first, start) > 120
    moved = between(rng, np.maximum(first, start) + 60, last - 30)
    moved = np.where(room & happens(_MOVING[age]), moved, NEVER)
    other = rng.choice(len(profile.codes), persons, p=profile.weight).astype(np.int32)
    moved = np.where(other == area, NEVER, moved)
    return Population(
        birth=birth,
        is_male=is_male,
        death=death.astype(np.int32),
        area=area,
        previous_area=other,
        is_area_unknown=rng.random(persons) < AREA_UNKNOWN_SHARE,
        arrived=arrived.astype(np.int32),
        moved=moved.astype(np.int32),
        left=left.astype(np.int32),
        first=first.astype(np.int32),
        last=last.astype(np.int32),
    )


def codes_of(population: Population, blocks: int, seed: int) -> tuple[pl.Series, pl.Series]:
    """Identity codes of the persons, and as many for each block that are nobody's."""
    rng = stream(seed, "strangers")
    model = rng.integers(0, len(population.birth), blocks * STRANGERS)
    codes = identity_codes(
        np.concatenate([population.birth, population.birth[model]]),
        np.concatenate([population.is_male, population.is_male[model]]),
    )
    return codes.head(len(population.birth)), codes.tail(len(model))


def _cells(rng: np.random.Generator, persons: int, years: int, profile: Profile) -> tuple[Places, Flags, Places]:
    """District, sex and age of each: every cell gets its share to within one person.

    Cells are made larger by what death and moving away will take from them.
    """
    male = np.where(_AGES < 20, 0.51, np.where(_AGES < 65, 0.48, np.where(_AGES < 80, 0.42, 0.32)))
    sexes = np.stack([1 - male, male])
    gone = -np.expm1(-years * np.stack([_mortality(_AGES, np.full(OLDEST + 1, sex)) for sex in (False, True)]))
    staying = (1 - gone) * np.exp(-years * _LEAVING)
    share = profile.weight[:, None, None] * profile.age_share[:, None, :] * sexes / np.maximum(staying, 0.02)
    upto = np.cumsum(share.ravel())
    edges = np.floor(upto / upto[-1] * persons + rng.random()).astype(np.int64)
    cell = rng.permutation(np.repeat(np.arange(len(edges)), np.diff(edges, prepend=0)))
    area, is_male, age = np.unravel_index(cell, share.shape)
    return area.astype(np.int32), is_male == 1, age.astype(np.int32)


def _mortality(age: NDArray[np.integer], is_male: Flags) -> Floats:
    rate: Floats = _MORTALITY[age] * np.where(is_male, _MALE_MORTALITY, _FEMALE_MORTALITY)
    return rate
