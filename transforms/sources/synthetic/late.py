"""Care that was given just before the as-of date and is recorded only after it: a gap that is none."""

import numpy as np

from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.draws import Flags, whole
from transforms.sources.synthetic.rows import Rows, joined, rows_of
from transforms.sources.synthetic.vocabulary import CAUSE, MEASUREMENT, NO_VALUE

_MEASURES = {"hba1c": "hba1c", "blood_pressure": "systolic", "ldl": "ldl", "spirometry": "spirometry"}
"""Care that may be recorded late, and the measurement that tells of it."""
_UNTIL_DAYS = 9


def recorded_late(block: Block, care: str) -> Flags:
    """Who has had the care that seems to be missing."""
    if care not in _MEASURES:
        return np.zeros(block.size, dtype=np.bool_)
    late: Flags = block.lacks[care] & (block.causes == CAUSE["recorded_late"]) & block.is_resident
    late &= block.people.first < block.as_of - _UNTIL_DAYS
    return late


def late_care(block: Block) -> Rows:
    """The measurements in question, with the day on which they will be recorded."""
    rng = block.rng("late care")
    parts = []
    for care, word in _MEASURES.items():
        person = np.flatnonzero(recorded_late(block, care)).astype(np.int32)
        day = block.as_of - whole(rng, 0, _UNTIL_DAYS, len(person))
        learnt = block.as_of + whole(rng, 1, 30, len(person))
        rows = rows_of(person, day, recorded_date=learnt, measurement=MEASUREMENT[word], value=NO_VALUE)
        parts.append(rows)
    return joined(parts)
