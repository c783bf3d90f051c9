"""Who has which gap, known from what was planned and not from the rows.

Truth is given for the indicators whose care is planted person by person. It says nothing (null) where the state hangs
on a boundary day or on a choice of the indicator: a birthday or a diagnosis about the limit, a recent arrival, a
refusal, a restriction, an institution.
"""

import numpy as np
import polars as pl

from transforms.sources.synthetic.block import GAPS, Block
from transforms.sources.synthetic.draws import DAYS_A_YEAR, NEVER, Flags, Places
from transforms.sources.synthetic.rows import Rows
from transforms.sources.synthetic.vocabulary import VACCINATION_STATUS, VACCINE

GAP_SCHEMA = {
    "person_id": pl.String(),
    "indicator": pl.String(),
    "is_eligible": pl.Boolean(),
    "is_open": pl.Boolean(),
}
"""One row per person and indicator whose condition or age makes the person a candidate."""
_INDICATORS = {
    "diabetes_hba1c_missing": ("hba1c", 16),
    "hypertension_blood_pressure_missing": ("blood_pressure", 18),
}
"""Indicator: the planted gap, and the age from which it counts."""
_SLACK, _MONTH = 5, 36
"""Days about a boundary for which nothing is said: months differ in length, and a date of birth may be cut to the first
of its month, which makes a person older."""
_SETTLED = 400
"""Days after arrival from which care that is missing is missed, not given elsewhere."""


def gap_truth(block: Block, codes: pl.Series, restrictions: Rows, vaccinations: Rows) -> pl.DataFrame:
    """What was planned for the candidates of a block."""
    people = block.people
    unclear = np.zeros(block.size, dtype=np.bool_)
    unclear[restrictions.person] = True
    for name in ("round_the_clock_care", "palliative_care"):
        unclear |= block.services[name][0] < NEVER
    resident = (people.death == NEVER) & (people.left == NEVER)
    born_here = people.arrived == NEVER
    frames = []
    for indicator, (lack, adult) in _INDICATORS.items():
        onset = block.onset[GAPS[lack].condition]
        since = block.as_of - people.birth - adult * DAYS_A_YEAR
        old_enough, known = since > _SLACK, onset < block.as_of - 365 - _SLACK
        settled = born_here | (people.arrived < block.as_of - _SETTLED)
        surely = resident & ~unclear & settled & old_enough & known
        never = ~resident | (since < -_MONTH) | (onset > block.as_of - 365 + _SLACK)
        frames.append(_frame(codes, indicator, onset <= block.as_of, surely, never, block.lacks[lack]))
    unclear[_without_mmr_by_choice(vaccinations)] = True
    age = block.as_of - people.birth
    two, three = 2 * DAYS_A_YEAR, 3 * DAYS_A_YEAR
    inside = (age > two + _SLACK) & (age < three - _MONTH)
    outside = (age < two - _MONTH) | (age > three + _SLACK)
    settled = born_here | (people.arrived < block.as_of - 200)
    passing = ~born_here & (people.arrived > block.as_of - 170)
    candidate = (age > two - 60) & (age < three + 60)
    surely, never = resident & ~unclear & inside & settled, ~resident | outside | passing
    frames.append(_frame(codes, "mmr_missing_at_two", candidate, surely, never, block.lacks["mmr"]))
    return pl.concat(frames)


def _without_mmr_by_choice(vaccinations: Rows) -> Places:
    decided = [VACCINATION_STATUS["refused"], VACCINATION_STATUS["contraindicated"]]
    chosen = np.isin(vaccinations.words["vaccination_status"], decided)
    return vaccinations.person[chosen & (vaccinations.words["vaccine"] == VACCINE["J07BD52"])]


def _frame(
    codes: pl.Series, indicator: str, candidate: Flags, surely: Flags, never: Flags, lacks: Flags
) -> pl.DataFrame:
    place = np.flatnonzero(candidate)
    eligible = pl.Series(surely[place])
    return pl.DataFrame({"person_id": codes.gather(place), "indicator": indicator}).select(
        "person_id",
        "indicator",
        is_eligible=pl.when(eligible).then(True).when(pl.Series(never[place])).then(False),
        is_open=pl.when(eligible).then(pl.Series(lacks[place])),
    )
