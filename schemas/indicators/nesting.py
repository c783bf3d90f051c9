"""Which indicators count people of others alone, by their definitions: nobody needs the records to know that."""

from collections.abc import Iterable
from itertools import permutations

from schemas.indicators import Indicator
from schemas.indicators.clauses import AllOf, Clause


def nested(indicators: Iterable[Indicator]) -> list[tuple[str, str]]:
    """Pairs of ids: whoever is eligible for the first is eligible for the second, and not always the other way round.

    Told from the clauses: the first asks for all that the second asks for, and leaves out whom the second leaves out;
    or the second is a composite that counts whoever the first counts.
    """
    pairs = list(permutations(indicators, 2))
    within = {(part.id, whole.id) for part, whole in pairs if part in whole.components or _is_within(part, whole)}
    return [(part.id, whole.id) for part, whole in pairs if (part.id, whole.id) in within - {(b, a) for a, b in within}]


def _is_within(part: Indicator, whole: Indicator) -> bool:
    if part.components or whole.components:
        return False
    left_out = {reason.when for reason in whole.exclusions} <= {reason.when for reason in part.exclusions}
    # who declined is not counted, unless the care came all the same
    declined = whole.declined is None or (whole.declined, whole.closed) == (part.declined, part.closed)
    return left_out and declined and _all_of(whole.population) <= _all_of(part.population)


def _all_of(clause: Clause) -> set[Clause]:
    return set(clause.clauses) if isinstance(clause, AllOf) else {clause}
