"""How much care the services give in a month, against a usual one: the pandemic's dip and what followed."""

from datetime import date

import numpy as np

from transforms.sources.synthetic.draws import Days, Flags, Floats, day_of

_SINCE = (2020, 3)
_SHARES = (
    0.70, 0.50, 0.55, 0.70, 0.75, 0.80, 0.82, 0.80, 0.75, 0.72,
    0.70, 0.72, 0.65, 0.70, 0.75, 0.80, 0.82, 0.80, 0.82, 0.84, 0.80, 0.75,
    0.65, 0.80, 0.92, 0.97, 1.00, 1.03, 1.05, 1.05, 1.05, 1.05, 1.05, 1.05,
    1.04, 1.04, 1.04, 1.04, 1.04, 1.04, 1.03, 1.03, 1.02, 1.02, 1.01, 1.01,
)  # fmt: skip
"""By month from March 2020 on; 1 before and after. The shape of Finnish outpatient statistics: a fall to half in spring
2020, waves until early 2022, then care that had been put off on top of the usual."""
HIGHEST = max(_SHARES)
PUT_OFF_BELOW = 0.9
"""Below this share of activity the services themselves call off what can wait."""


_EMERGENCY_POWERS = day_of(date(2020, 3, 16))


def _months_from(first: tuple[int, int], count: int) -> list[int]:
    year, month = first
    return [day_of(date(year + (month - 1 + step) // 12, (month - 1 + step) % 12 + 1, 1)) for step in range(count)]


_STARTS = np.array(_months_from(_SINCE, len(_SHARES) + 1))
_LEVELS = np.array([1.0, *_SHARES, 1.0])


def activity(day: Days) -> Floats:
    """The share of usual care that is given in the month of each day."""
    # A table over the days of those months: faster than a search for each day.
    level: Floats = _TABLE[np.clip(day, _STARTS[0] - 1, _STARTS[-1]) - (_STARTS[0] - 1)]
    return level


_TABLE = _LEVELS[np.searchsorted(_STARTS, np.arange(_STARTS[0] - 1, _STARTS[-1] + 1), side="right")]


def in_pandemic(day: Days) -> Flags:
    """Whether services are disturbed so much that they call off appointments for that reason."""
    return (activity(day) < PUT_OFF_BELOW) & (day >= _EMERGENCY_POWERS)
