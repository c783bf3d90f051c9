"""Who has which gap, known from what was planned and not from the rows.

Truth is given for those indicators of `schemas.indicators` whose care is planted person by person. It says nothing
(null) where the state hangs on a boundary day or on a choice of the indicator: a birthday or a diagnosis about the
limit, a recent arrival, a refusal, a restriction, an institution.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Planted:
    """An indicator of a lasting condition: the care it asks for, the ages it is for, and how long after diagnosis."""

    lack: str
    from_age: int
    below_age: int
    waits_days: int


_PLANTED = {
    "diabetes_hba1c_missing": _Planted("hba1c", 16, 200, 365),
    "hypertension_bp_missing": _Planted("blood_pressure", 18, 200, 0),
    "cvd_ldl_missing": _Planted("ldl", 18, 86, 0),
}
_MMR = "mmr_missing_at_two"
_SLACK, _MONTH = 5, 36
"""Days about a boundary for which nothing is said: months differ in length, and a date of birth may be cut to the first
of its month, which makes a person older."""
_SETTLED = 400
"""Days after arrival or diagnosis from which care that is missing is missed, not given elsewhere or not yet due."""


def gap_truth(block: Block, codes: pl.Series, restrictions: Rows, vaccinations: Rows) -> pl.DataFrame:
    """What was planned for the candidates of a block."""
    people = block.people
    unclear = np.zeros(block.size, dtype=np.bool_)
    unclear[restrictions.person] = True
    for name in ("round_the_clock_care", "palliative_care"):
        unclear |= block.services[name][0] < NEVER
    resident = block.is_resident
    born_here = people.arrived == NEVER
    frames = []
    age = block.as_of - people.birth
    for indicator, planted in _PLANTED.items():
        onset = block.onset[GAPS[planted.lack].condition]
        youngest, oldest = planted.from_age * DAYS_A_YEAR, planted.below_age * DAYS_A_YEAR
        inside = (age > youngest + _SLACK) & (age < oldest - _MONTH)
        outside = (age < youngest - _MONTH) | (age > oldest + _SLACK)
        settled = born_here | (people.arrived < block.as_of - _SETTLED)
        known = onset < block.as_of - _SETTLED
        surely = resident & ~unclear & inside & settled & known
        never = ~resident | outside | (onset > block.as_of - planted.waits_days + _SLACK)
        frames.append(_frame(codes, indicator, onset <= block.as_of, surely, never, block.lacks[planted.lack]))
    unclear[_without_mmr_by_choice(vaccinations)] = True
    two, three = 2 * DAYS_A_YEAR, 3 * DAYS_A_YEAR
    inside = (age > two + _SLACK) & (age < three - _MONTH)
    outside = (age < two - _MONTH) | (age > three + _SLACK)
    settled = born_here | (people.arrived < block.as_of - 200)
    passing = ~born_here & (people.arrived > block.as_of - 170)
    candidate = (age > two - 60) & (age < three + 60)
    surely, never = resident & ~unclear & inside & settled, ~resident | outside | passing
    frames.append(_frame(codes, _MMR, candidate, surely, never, block.lacks["mmr"]))
    return pl.concat(frames)


def _without_mmr_by_choice(vaccinations: Rows) -> Places:
    decided = [VACCINATION_STATUS["refused"], VACCINATION_STATUS["contraindicated"]]
    chosen = np.isin(vaccinations.words["vaccination_status"], decided)
    person: Places = vaccinations.person[chosen & (vaccinations.words["vaccine"] == VACCINE["J07BD52"])]
    return person


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
