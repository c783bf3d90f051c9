"""What is planned for a block before rows are drawn: conditions, lasting services, missed care and its cause.

Shares are planned for the as-of date, and stay about the same on every date before it: conditions begin at the age at
which they do (`conditions`), care is missing in spells (`spells`), and courses of events begin on any day (`courses`).
Beyond that the city grows by a percent or two a year, and three things move the shares:

- The pandemic (`activity`). From March 2020 rounds of follow-up are put off; a year later HbA1c and blood pressure are
  missing for some 6 to 10 in 100 more than before, and by the end of 2022 for as many as before. Appointments that were
  cancelled then are counted for two years.
- The season of the influenza vaccine: on 1 October nobody has been vaccinated.
- Chance: who stays away and who comes back differs from month to month.

On the first dates of a feed what a look-back needs is cut off, as in any extract; of measurements with a look-back of
two years the year before the feed is there, too.
"""

from dataclasses import dataclass, replace

import numpy as np

from transforms.sources.synthetic.activity import activity
from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.conditions import onsets
from transforms.sources.synthetic.courses import FOLLOWED_CONDITIONS, courses_of
from transforms.sources.synthetic.draws import DAYS_A_YEAR, NEVER, Days, Flags, Floats, Places, choose, stream, whole
from transforms.sources.synthetic.population import Population
from transforms.sources.synthetic.profile import Profile
from transforms.sources.synthetic.spells import CLEAR_DAYS, spells
from transforms.sources.synthetic.vocabulary import CAUSE


@dataclass(frozen=True)
class Care:
    """Care that persons with any of the conditions need at regular times.

    `share` of them miss it where deprivation and strain are average, on any day: nothing of the kind was given within
    the last `window` days. On the as-of date it is planned who they are; on other days others miss it, as many
    (`spells`).
    """

    conditions: tuple[str, ...]
    share: float
    window: int


_YEAR, _TWO_YEARS, _HALF_A_YEAR = 366, 731, 184
"""The look-backs of the indicators in days, at their longest."""
CARES = {
    "hba1c": Care(("diabetes",), 0.17, _YEAR),
    "blood_pressure": Care(("hypertension", "diabetes", "psychosis"), 0.18, _YEAR),
    "ldl": Care(("arterial_disease", "diabetes", "psychosis"), 0.26, _YEAR),
    "kidneys": Care(("diabetes",), 0.3, _YEAR),
    "feet": Care(("diabetes",), 0.4, _YEAR),
    "weight": Care(("diabetes", "psychosis"), 0.28, _YEAR),
    "eyes": Care(("diabetes",), 0.25, _TWO_YEARS),
    "glucose": Care(("psychosis",), 0.25, _YEAR),
    "statin": Care(("arterial_disease",), 0.30, _HALF_A_YEAR),
    "spirometry": Care(("copd",), 0.33, _TWO_YEARS),
    "memory_review": Care(("dementia",), 0.25, _YEAR),
    "opioid_review": Care(("chronic_pain",), 0.35, _HALF_A_YEAR),
}
LONGEST_LOOK_BACK = max(care.window for care in CARES.values())
_SPELLS = 4
"""Spells without care that are drawn for each: enough for more than five years."""
NEWEST_WITHIN = 330
"""Days before the as-of date within which the last round of follow-up took place."""
ONCE_A_YEAR = 0.5
"""Share of persons who are followed up once a year, the others twice."""
_LAPSED, _LAPSED_LACKS = 0.08, 0.85
"""Share of persons who have dropped out of follow-up as a whole, and of their care that is then missing."""
OUT_OF_TOUCH, OUT_OF_TOUCH_AGE = 0.05, 75
"""Share of those aged 75 or more, not in a lasting service, whom no professional has met for more than a year."""
EMERGENCY_SHARE = 0.32
"""Of those aged 75 or more who have been to an emergency department within two years."""
_CAUSES = {"never_invited": 34.0, "no_show": 20, "cancelled_by_client": 12, "cancelled_by_provider": 2,
           "recorded_late": 4}  # fmt: skip
"""Why follow-up is missing, weighted; those who moved within the last two years are missed for that reason."""


def plan(
    number: int, people: Population, profile: Profile, years: int, as_of: int, seed: int, *, is_dirty: bool = True
) -> Block:
    """Decide for one block of persons who has what, who misses what and why."""
    deprivation = profile.deprivation[people.area]
    block = Block(
        number=number,
        seed=seed,
        start=int(as_of - years * DAYS_A_YEAR),
        as_of=as_of,
        people=people,
        deprivation=deprivation,
        strain=profile.strain[people.area],
        onset=onsets(stream(seed, "conditions", number), people, deprivation, as_of),
        is_dirty=is_dirty,
    )
    block = replace(block, periods=_services(block) | _restrictions(block))
    block = _with_missed_care(block)
    return courses_of(block)


def _with_missed_care(block: Block) -> Block:
    rng, size, people = block.rng("gaps"), block.size, block.people
    unserved = np.all([block.periods[name][0] == NEVER for name in SERVICES], axis=0)
    old = block.age >= OUT_OF_TOUCH_AGE
    out_of_touch = old & unserved & (rng.random(size) < block.missed(OUT_OF_TOUCH))
    lapsed = rng.random(size) < block.missed(_LAPSED)
    shares = {name: np.where(lapsed, _LAPSED_LACKS, block.missed(_otherwise(care))) for name, care in CARES.items()}
    newest = _newest(block, rng)
    # Where the pandemic put the last round off, the one before is soon too long ago for those with one a year.
    put_off = rng.random(size) < ONCE_A_YEAR * (1 - activity(newest))
    put_off &= newest < block.as_of - (_YEAR - NEWEST_WITHIN)
    lacks: dict[str, Flags] = {}
    for name, care in CARES.items():
        # What was done when the condition was found is in time for as long as the look-back.
        long_ill = _begun(block, care) + care.window + CLEAR_DAYS <= block.as_of
        missed = long_ill & ((rng.random(size) < shares[name]) | (put_off & (care.window == _YEAR)))
        lacks[name] = block.has(*care.conditions) & (out_of_touch | missed)
    # HbA1c is a test of glucose: who has both diseases misses both or none.
    lacks["glucose"] = np.where(block.has("diabetes"), lacks["hba1c"], lacks["glucose"]) & block.has("psychosis")
    lapses = {name: _lapses(block, rng, name, lacking, shares[name]) for name, lacking in lacks.items()}
    both = block.has("diabetes") & block.has("psychosis")
    first, last = (np.where(both, *days) for days in zip(lapses["hba1c"], lapses["glucose"], strict=True))
    lapses["glucose"] = first, last
    there = (people.first < block.as_of - 720) & (people.last > block.as_of - 440)
    causes, due = _causes(block, rng, out_of_touch)
    return replace(
        block,
        lacks=lacks,
        lapses=lapses,
        newest=newest,
        causes=causes,
        due=due,
        is_out_of_touch=out_of_touch,
        had_emergency=old & there & (rng.random(size) < EMERGENCY_SHARE),
    )


def _newest(block: Block, rng: np.random.Generator) -> Days:
    """The last round of follow-up: since every condition that is followed up has begun."""
    begun = np.stack([block.onset[name] for name in FOLLOWED_CONDITIONS])
    latest = np.where(begun <= block.as_of, begun, -NEVER).max(axis=0)
    room = np.clip(block.as_of - block.first, 1, NEWEST_WITHIN)
    newest: Days = np.maximum(block.as_of - (rng.random(block.size) * room).astype(np.int32), latest)
    return newest.astype(np.int32)


def _otherwise(care: Care) -> float:
    """The share that miss it of those who have not dropped out as a whole."""
    return (care.share - _LAPSED * _LAPSED_LACKS) / (1 - _LAPSED)


def _begun(block: Block, care: Care) -> Days:
    """Since when each person needs the care."""
    begun: Days = np.min([block.onset[name] for name in care.conditions], axis=0)
    return begun


def _lapses(block: Block, rng: np.random.Generator, name: str, lacking: Flags, share: Floats) -> tuple[Days, Days]:
    care = CARES[name]
    first, last = spells(rng, share, lacking, care.window, block.as_of, _SPELLS)
    ill = block.has(*care.conditions)
    begun = _begun(block, care)
    for since, has_care in ((begun, begun > first), (block.people.first, block.people.first < first + care.window)):
        # Care was given when its need was found, and to newcomers who had it in time; not to whoever misses it now.
        had = has_care & ((last < NEVER) | (since + care.window + CLEAR_DAYS <= block.as_of))
        first = np.where(had, np.maximum(first, since), first)
    ill = ill & (last > begun)
    return np.where(ill, first, NEVER), np.where(ill, last, NEVER)


def _causes(block: Block, rng: np.random.Generator, out_of_touch: Flags) -> tuple[Places, Days]:
    """Why each person's follow-up is missing, should it be, and the day on which it was due."""
    weights = {CAUSE[name]: weight for name, weight in _CAUSES.items()}
    cause = choose(rng, weights, block.size)
    newcomer = np.where(block.people.arrived < NEVER, block.people.arrived, -NEVER)
    moved = np.where(block.people.moved < NEVER, block.people.moved, newcomer)
    cause[(moved > block.as_of - 730) & (rng.random(block.size) < 0.7)] = CAUSE["moved"]
    cause[out_of_touch] = CAUSE["never_invited"]
    return cause, (block.as_of - whole(rng, 110, NEWEST_WITHIN, block.size)).astype(np.int32)


SERVICES = ("home_care", "round_the_clock_care", "palliative_care", "specialist_care")
RESTRICTIONS = {"contact_ban": 0.004, "security_ban": 0.003, "objection": 0.001, "processing_restriction": 0.0005}
"""Share of persons under each restriction."""


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
    treated = block.has("psychosis", "depression", "cancer")
    return {
        "home_care": lasting((rng.random(size) < 0.38 * frailty) & (age >= 65) & ~institution, 1500, 0.2),
        "round_the_clock_care": lasting(institution, 900, 0.0),
        "palliative_care": lasting(dying | (block.has("cancer") & (rng.random(size) < 0.02)), 160, 0.0),
        "specialist_care": lasting(treated & (rng.random(size) < 0.1), 600, 0.5),
    }


def _restrictions(block: Block) -> dict[str, tuple[Days, Days]]:
    """First and last days of bans and objections of a few; some have ended.

    Security bans are given to those alone whose earlier residences change no count: of a person under one the register
    tells no residence at all.
    """
    rng, people, size = block.rng("restrictions"), block.people, block.size
    found = {}
    for name, share in RESTRICTIONS.items():
        has = rng.random(size) < share
        if name == "security_ban":
            has &= block.is_resident & block.is_settled()
        first = np.maximum(people.last - whole(rng, 10, 1500, size), people.first)
        ends = first + whole(rng, 180, 900, size)
        ends = np.where((rng.random(size) < 0.3) & (ends <= people.last), ends, NEVER)
        found[name] = (
            np.where(has, first, NEVER).astype(np.int32),
            np.where(has, ends, NEVER).astype(np.int32),
        )
    return found
