"""A block of persons, and what is planned for it before any row is drawn: conditions, lasting services, missed care."""

from dataclasses import dataclass, replace

import numpy as np

from transforms.sources.synthetic.conditions import onsets
from transforms.sources.synthetic.draws import DAYS_A_YEAR, NEVER, Days, Flags, Floats, stream, whole
from transforms.sources.synthetic.population import Population
from transforms.sources.synthetic.profile import Profile

BLOCK_PERSONS = 10_000
"""Persons drawn together. Part of what the seed means: another size would draw other rows."""


@dataclass(frozen=True)
class Gap:
    """Care that some persons with a condition miss.

    `share` of them where deprivation and strain are average; for them nothing of the kind is drawn within the last
    `days` before the as-of date. Those who do not miss it get it once for certain, well within the look-back.
    """

    condition: str
    share: float
    days: int


GAPS = {
    "hba1c": Gap("diabetes", 0.17, 410),
    "blood_pressure": Gap("hypertension", 0.19, 410),
    "ldl": Gap("arterial_disease", 0.26, 410),
    "statin": Gap("arterial_disease", 0.30, 220),
    "spirometry": Gap("copd", 0.33, 780),
    "influenza": Gap("copd", 0.38, 365),
    "bmi": Gap("psychosis", 0.28, 470),
    "memory_review": Gap("dementia", 0.25, 470),
    "opioid_review": Gap("chronic_pain", 0.35, 220),
}
CERTAIN_WITHIN = 330
"""Days before the as-of date within which care that is not missed is given for certain."""
MMR_MISSED = 0.055
OUT_OF_TOUCH, OUT_OF_TOUCH_AGE, OUT_OF_TOUCH_DAYS = 0.05, 75, 430
"""Share of those aged 75 or more, not in a lasting service, whom no professional has met for so many days."""
DEPRIVATION_EFFECT = 0.25
"""What one standard score of deprivation adds to the logarithm of a missed share."""


@dataclass(frozen=True)
class Block:
    """Some persons and what is planned for them; one entry per person in every array.

    `onset` holds first days by condition, `services` first and last days by lasting service, `lacks` who misses which
    care. Rows are drawn from `start` to `as_of`.
    """

    number: int
    seed: int
    start: int
    as_of: int
    people: Population
    deprivation: Floats
    strain: Floats
    onset: dict[str, Days]
    services: dict[str, tuple[Days, Days]]
    lacks: dict[str, Flags]
    is_out_of_touch: Flags

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

    def has(self, condition: str) -> Flags:
        """Who has the condition by the as-of date."""
        return self.onset[condition] <= self.as_of

    def missed(self, share: float, effect: float = 1.0) -> Floats:
        """Each person's chance to miss care that `share` miss where deprivation and strain are average."""
        return np.minimum(share * np.exp(effect * (DEPRIVATION_EFFECT * self.deprivation + self.strain)), 0.9)


def plan(number: int, people: Population, profile: Profile, years: int, as_of: int, seed: int) -> Block:
    """Decide for one block of persons who has what and who misses what."""
    deprivation = profile.deprivation[people.area]
    onset = onsets(stream(seed, "conditions", number), people, deprivation, as_of)
    block = Block(
        number=number,
        seed=seed,
        start=int(as_of - years * DAYS_A_YEAR),
        as_of=as_of,
        people=people,
        deprivation=deprivation,
        strain=profile.strain[people.area],
        onset=onset,
        services={},
        lacks={},
        is_out_of_touch=np.zeros(len(people.birth), dtype=np.bool_),
    )
    block = replace(block, services=_services(block))
    rng = block.rng("gaps")
    unserved = np.all([first == NEVER for first, _ in block.services.values()], axis=0)
    old = block.age >= OUT_OF_TOUCH_AGE
    out_of_touch = old & unserved & (rng.random(block.size) < block.missed(OUT_OF_TOUCH))
    lacks = {
        name: block.has(gap.condition) & (out_of_touch | (rng.random(block.size) < block.missed(gap.share)))
        for name, gap in GAPS.items()
    }
    lacks["mmr"] = rng.random(block.size) < block.missed(MMR_MISSED, 1.5)
    return replace(block, lacks=lacks, is_out_of_touch=out_of_touch)


def _services(block: Block) -> dict[str, tuple[Days, Days]]:
    """First and last days of lasting services; they end with the person's last day at the latest."""
    rng, age, people, size = block.rng("services"), block.age, block.people, block.size
    never = np.full(size, NEVER, dtype=np.int32)
    gone = np.where(people.last < block.as_of, people.last, never)

    def lasting(has: Flags, longest: int, ended: float) -> tuple[Days, Days]:
        first = np.maximum(people.last - whole(rng, 20, longest, size), people.first)
        over = np.where(rng.random(size) < ended, first + whole(rng, 15, longest, size), never)
        last = np.where(over <= people.last, over, gone)
        return np.where(has, first, never), np.where(has, last, never)

    frailty = 1 / (1 + np.exp((86 - age) / 4)) * np.where(block.has("dementia"), 1.6, 0.8)
    institution = rng.random(size) < 0.16 * frailty * (age >= 65)
    dying = (people.death < NEVER) & (age >= 40) & (rng.random(size) < 0.25)
    treated = block.has("psychosis") | block.has("depression") | block.has("cancer")
    return {
        "home_care": lasting((rng.random(size) < 0.38 * frailty) & (age >= 65) & ~institution, 1500, 0.2),
        "round_the_clock_care": lasting(institution, 900, 0.0),
        "palliative_care": lasting(dying | (block.has("cancer") & (rng.random(size) < 0.02)), 160, 0.0),
        "specialist_care": lasting(treated & (rng.random(size) < 0.1), 600, 0.5),
    }
