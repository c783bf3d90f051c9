"""From a definition and what its clauses read to one status per person and as-of date.

`compiling` writes the same as SQL, which is what `caregap indicators explain` shows; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from schemas.indicators import AllOf, AnyOf, AtLeast, Clause, Indicator, Leaf, Not
from transforms.analysis.days import Masks
from transforms.analysis.masks import Numbers

_ALWAYS = np.uint32(2**32 - 1)


@dataclass(frozen=True)
class Status:
    """One entry per person who is of an indicator's population on any as-of date; bit m is the m-th as-of date.

    No two of `open`, `closed`, `declined` and `excluded` share a bit; together they are the population. `reasons`
    divides `excluded` by the first exclusion that holds. `lacking` has, by part, the open and closed without it.
    `newcomers` are those among the excluded whom nothing but a too short residence leaves out, by the status that they
    would have: open, closed or declined.
    """

    persons: Numbers
    open: Masks
    closed: Masks
    declined: Masks
    excluded: Masks
    reasons: Mapping[str, Masks]
    lacking: Mapping[str, Masks]
    newcomers: Mapping[str, Masks]


def status_of(indicator: Indicator, masks: Mapping[Leaf, Masks], counted: Masks) -> Status:
    """The status of everybody of the population, by `masks` and `counted`, the known, with an entry per person number.

    A dead person, or one who has left, is excluded for that and is in no stratum of newcomers.
    """
    everybody = counted & holds(indicator.population, masks)
    persons = np.flatnonzero(everybody)
    own = {leaf: masks[leaf][persons] for leaf in indicator.leaves}
    left = population = everybody[persons]
    others, reasons = np.zeros_like(population), {}
    newly = np.zeros_like(population)
    for exclusion in indicator.exclusions:
        found = holds(exclusion.when, own)
        reasons[exclusion.reason] = left & found
        left = left & ~found
        if exclusion.is_of_newcomers:
            newly = newly | found
        else:
            others = others | found
    closed = holds(indicator.closed, own)
    declined = ~closed & holds(indicator.declined, own) if indicator.declined else np.zeros_like(left)
    neither = ~closed & ~declined
    newcomer = population & newly & ~others
    eligible = left & ~declined
    return Status(
        persons=persons.astype(np.int32),
        open=left & neither,
        closed=left & closed,
        declined=left & declined,
        excluded=population & ~left,
        reasons=reasons,
        lacking={part.name: eligible & ~holds(part.done, own) for part in indicator.parts},
        newcomers={"open": newcomer & neither, "closed": newcomer & closed, "declined": newcomer & declined},
    )


def holds(clause: Clause, masks: Mapping[Leaf, Masks]) -> Masks:
    """The as-of dates on which a clause holds for each person."""
    if isinstance(clause, Not):
        return ~holds(clause.clause, masks)
    if isinstance(clause, AllOf):
        return reduce(np.bitwise_and, (holds(part, masks) for part in clause.clauses))
    if isinstance(clause, AnyOf):
        return reduce(np.bitwise_or, (holds(part, masks) for part in clause.clauses))
    if isinstance(clause, AtLeast):
        return _at_least(clause, masks)
    return masks[clause]


def _at_least(clause: AtLeast, masks: Mapping[Leaf, Masks]) -> Masks:
    # enough[k] tells on which dates at least k of the clauses seen so far hold.
    parts = [holds(part, masks) for part in clause.clauses]
    enough = [np.full_like(parts[0], _ALWAYS), *(np.zeros_like(parts[0]) for _ in range(clause.count))]
    for found in parts:
        for count in range(clause.count, 0, -1):
            enough[count] |= enough[count - 1] & found
    return enough[-1]
