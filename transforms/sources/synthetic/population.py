"""Who lives where: birth, death, moves."""

from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from transforms.sources.synthetic.draws import (
    DAYS_A_YEAR,
    NEVER,
    Days,
    Flags,
    Floats,
    Places,
    between,
    months_before,
    stream,
)
from transforms.sources.synthetic.fitting import whole_persons
from transforms.sources.synthetic.identity import identity_codes
from transforms.sources.synthetic.profile import OLDEST, Profile

AREA_UNKNOWN_SHARE = 0.03
"""Residents whose district the register does not know: care of addresses, no fixed abode."""
CODE_CHANGED_SHARE = 0.003
"""Persons who got another identity code within the years: a temporary one became permanent, or a correction."""
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
_DEPRIVED_DIE = 0.12
"""What one standard score of deprivation adds to the logarithm of mortality."""
_STAYS, _LEAVES, _DIES = 0, 1, 2


@dataclass(frozen=True)
class Population:
    """One entry per person. Days are `NEVER` where it did not happen.

    `area` and `previous_area` are places in the profile; `moved` is the first day in `area` of one who came there from
    `previous_area`. `first` and `last` bound the days on which the person lived in the city, up to the as-of date.
    `code_changed` is the day on which the person got another identity code.
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
    code_changed: Days

    def part(self, start: int, stop: int) -> "Population":
        """The persons from `start` up to, not including, `stop`."""
        return Population(*(getattr(self, field.name)[start:stop] for field in fields(self)))


def populate(persons: int, years: int, as_of: int, seed: int, profile: Profile, *, is_dirty: bool = True) -> Population:
    """Draw a population whose residents on the as-of date fit the profile by district, sex and age.

    Beside them stand those who have died or left within the years.
    """
    rng = stream(seed, "population")
    area, is_male, age, fate = _cells(rng, persons, years, profile)
    window = int(as_of - years * DAYS_A_YEAR)
    birth = _births(rng, age, as_of)
    start, end = np.full(persons, window, np.int32), np.full(persons, as_of, np.int32)
    mobility = profile.mobility[area]

    def happens(yearly: Floats) -> Flags:
        return rng.random(persons) < -np.expm1(-yearly * years)

    gone = between(rng, np.maximum(birth, start), end - 1)
    death = np.where(fate == _DIES, gone, NEVER)
    left = np.where(fate == _LEAVES, gone, NEVER)
    last = np.where(fate == _STAYS, as_of, gone)
    born_here = np.maximum(birth + 30, start)
    arrived = np.where(happens(_ARRIVING[age] * mobility), between(rng, born_here, end), NEVER)
    arrived = np.where(arrived >= last, NEVER, arrived)
    first = np.where(arrived == NEVER, birth, arrived)
    room = last - np.maximum(first, start) > 10
    moved = between(rng, np.maximum(first, start) + 2, last)
    moved = np.where(room & happens(_MOVING[age] * mobility), moved, NEVER)
    other = rng.choice(len(profile.codes), persons, p=profile.weight).astype(np.int32)
    moved = np.where(other == area, NEVER, moved)
    changed = between(rng, np.maximum(first, start), last)
    return Population(
        birth=birth,
        is_male=is_male,
        death=death.astype(np.int32),
        area=area,
        previous_area=other,
        is_area_unknown=_unknown_areas(rng, area, is_male, age, fate == _STAYS),
        arrived=arrived.astype(np.int32),
        moved=moved.astype(np.int32),
        left=left.astype(np.int32),
        first=first.astype(np.int32),
        last=last.astype(np.int32),
        code_changed=np.where(rng.random(persons) < CODE_CHANGED_SHARE * is_dirty, changed, NEVER).astype(np.int32),
    )


@dataclass(frozen=True)
class Codes:
    """Identity codes: each person's own, the former one of those whose code changed (else null), and nobody's."""

    own: pl.Series
    former: pl.Series
    nobodys: pl.Series

    def of_block(self, number: int, start: int, stop: int) -> "Codes":
        """The codes of one block's persons, and those of nobody that are set aside for it."""
        strangers = self.nobodys[number * STRANGERS : (number + 1) * STRANGERS]
        return Codes(self.own[start:stop], self.former[start:stop], strangers)


def codes_of(population: Population, blocks: int, seed: int) -> Codes:
    """Identity codes, no two alike."""
    rng = stream(seed, "strangers")
    model = rng.integers(0, len(population.birth), blocks * STRANGERS)
    changed = np.flatnonzero(population.code_changed < NEVER)
    who = np.concatenate([np.arange(len(population.birth)), model, changed])
    codes = identity_codes(population.birth[who], population.is_male[who])
    own, nobodys = codes.head(len(population.birth)), codes.slice(len(population.birth), len(model))
    former = pl.Series("former_id", [None], dtype=pl.String).new_from_index(0, len(own))
    return Codes(own, former.scatter(changed, codes.tail(len(changed))) if len(changed) else former, nobodys)


def _cells(
    rng: np.random.Generator, persons: int, years: int, profile: Profile
) -> tuple[Places, Flags, Places, NDArray[np.int8]]:
    """District, sex, age on the as-of date and fate of each.

    Every run of cells of residents gets its share to within one person. Those who are gone are as many more as the
    rates of death and leaving take from cells of their kind.
    """
    mobility, deprivation = profile.mobility[:, None, None], profile.deprivation[:, None, None]
    dying = np.stack([_mortality(_AGES, np.full(OLDEST + 1, sex)) for sex in (False, True)]) * np.exp(
        _DEPRIVED_DIE * deprivation
    )
    leaving = _LEAVING * mobility
    gone = profile.share * np.expm1(np.minimum(years * (dying + leaving), 3.0))
    both = np.stack([gone * leaving / (dying + leaving), gone * dying / (dying + leaving)], axis=-1)
    residents = round(persons / (1 + float(gone.sum())))
    stays = whole_persons(profile.share, residents, rng.random())
    departed, fate = np.divmod(whole_persons(both, persons - residents, rng.random()), 2)
    order = rng.permutation(persons)
    cell = np.concatenate([stays, departed])[order]
    fates = np.concatenate([np.full(residents, _STAYS), fate + 1])[order].astype(np.int8)
    area, sex, age = np.unravel_index(cell, profile.share.shape)
    return area.astype(np.int32), sex == 1, age.astype(np.int32), fates


def _births(rng: np.random.Generator, age: Places, as_of: int) -> Days:
    """A date of birth for each age in completed years."""
    birthdays = np.array([months_before(as_of, 12 * years) for years in range(OLDEST + 2)], dtype=np.int32)
    return between(rng, birthdays[age + 1] + 1, birthdays[age])


def _unknown_areas(rng: np.random.Generator, area: Places, is_male: Flags, age: Places, stays: Flags) -> Flags:
    """Whose district is not known: evenly over districts, sexes and ages, so that the margins of the rest stay."""
    order = np.lexsort((rng.random(len(area)), age, is_male, area, stays))
    chosen = np.floor((np.arange(len(area)) + rng.random()) * AREA_UNKNOWN_SHARE)
    unknown = np.zeros(len(area), dtype=np.bool_)
    unknown[order] = np.diff(chosen, prepend=chosen[0] if len(chosen) else 0) > 0
    return unknown


def _mortality(age: NDArray[np.integer], is_male: Flags) -> Floats:
    rate: Floats = _MORTALITY[age] * np.where(is_male, _MALE_MORTALITY, _FEMALE_MORTALITY)
    return rate
