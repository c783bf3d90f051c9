"""From a definition to the SELECT that gives everybody of the population one status per as-of date.

A column of `person_mask` is a leaf, its bits are the as-of dates, so that `&`, `|` and `~` are and, or and not for all
the dates at once.
"""

from collections.abc import Sequence
from itertools import combinations

from schemas.errors import UsageRefused
from schemas.indicators import AllOf, AnyOf, AtLeast, Clause, Indicator, Leaf, Not, age_reach

COUNTED = "counted"
"""Column of person_mask: the person is known, born, and has not objected."""
_LINE = 100
_FEW = 6
"""Clauses of which each combination is still written out."""


def quoted(name: str) -> str:
    """A column name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def expression(clause: Clause, indent: int = 8) -> str:
    """A clause as bits; what does not fit on a line is broken at its operators."""
    if isinstance(clause, AtLeast) and clause.count > 1 and len(clause.clauses) > _FEW:
        return _counted(clause, indent)
    if isinstance(clause, AtLeast):
        together = combinations(clause.clauses, clause.count)
        return expression(AnyOf(tuple(AllOf(parts) for parts in together)), indent)
    if isinstance(clause, Not):
        return f"~{expression(clause.clause, indent)}"
    if not isinstance(clause, AllOf | AnyOf):
        return quoted(str(clause))
    if len(clause.clauses) == 1:
        return expression(clause.clauses[0], indent)
    word, inner = "&" if isinstance(clause, AllOf) else "|", indent + 4
    parts = [expression(part, inner) for part in clause.clauses]
    flat = f"({f' {word} '.join(parts)})"
    if len(flat) + indent <= _LINE and "\n" not in flat:
        return flat
    return "(\n" + " " * inner + f"\n{' ' * inner}{word} ".join(parts) + f"\n{' ' * indent})"


def _counted(clause: AtLeast, indent: int) -> str:
    """At least so many of many clauses: so many of the first half, so many of the others, or some of each."""
    half = len(clause.clauses) // 2
    first, others = clause.clauses[:half], clause.clauses[half:]
    ways: list[Clause] = []
    for count in range(clause.count + 1):
        wanted = [(count, first), (clause.count - count, others)]
        if all(least <= len(parts) for least, parts in wanted):
            ways.append(AllOf(tuple(AtLeast(least, parts) for least, parts in wanted if least)))
    return expression(AnyOf(tuple(ways)), indent)


def excluded_column(reason: str) -> str:
    """Column of the result for one reason of leaving a person out."""
    return f"excluded_{reason}"


def lacking_column(part: str) -> str:
    """Column of the result for persons of the denominator who lack a part."""
    return f"lacking_{part}"


def compile_indicator(indicator: Indicator) -> str:
    """One row per person of the population: masks `open`, `closed`, `declined`, `excluded`, one per reason and part.

    No two of the first four share a bit, nor do two reasons; together they are the population. The mask of a part is
    of the open and closed without it. The SELECT says in words that a reader knows what `statuses` counts with arrays.
    """
    reasons = [exclusion.reason for exclusion in indicator.exclusions]
    clauses = [f"{quoted(COUNTED)} & {expression(indicator.population)} AS population"]
    clauses += [f"{expression(found.when)} AS {quoted(_reason(found.reason))}" for found in indicator.exclusions]
    clauses.append(f"{expression(indicator.closed)} AS gap_closed")
    if indicator.declined:
        clauses.append(f"{expression(indicator.declined)} AS gap_declined")
    clauses += [f"{expression(part.done)} AS {quoted(f'part_{part.name}')}" for part in indicator.parts]
    columns, left = ["person_number"], "population"
    for reason in reasons:
        columns.append(f"{left} & {quoted(_reason(reason))} AS {quoted(excluded_column(reason))}")
        columns.append(f"{left} & ~{quoted(_reason(reason))} AS {quoted(f'left_{reason}')}")
        left = quoted(f"left_{reason}")
    columns += [
        f"population & ~{left} AS excluded",
        f"{left} & gap_closed AS closed",
        f"{left} & ~gap_closed & gap_declined AS declined" if indicator.declined else "0::UINTEGER AS declined",
        f"{left} & ~gap_closed & ~declined AS open",
    ]
    columns += [
        f"(open | closed) & ~{quoted(f'part_{part.name}')} AS {quoted(lacking_column(part.name))}"
        for part in indicator.parts
    ]
    return (
        f"-- {indicator.id}, version {indicator.version}\n"
        f"WITH clause AS (\n    SELECT\n        {_lines(['person_number', *clauses], 8)}\n    FROM person_mask\n)\n\n"
        f"SELECT\n    {_lines(columns, 4)}\nFROM clause\nWHERE population <> 0"
    )


def leaves_of(indicators: Sequence[Indicator]) -> dict[Leaf, tuple[int, int | None]]:
    """Every leaf that the indicators name, once, with the ages in months that their populations can reach."""
    found: dict[Leaf, tuple[int, int | None]] = {}
    for indicator in indicators:
        low, high = age_reach(indicator.population)
        for leaf in indicator.leaves:
            lowest, highest = found.get(leaf, (low, high))
            found[leaf] = min(low, lowest), None if high is None or highest is None else max(high, highest)
    names = [str(leaf).casefold() for leaf in found]
    if len(set(names)) < len(names):  # SQL does not tell columns apart by capitals
        raise UsageRefused("two conditions differ in capitals alone", "Write the value as the source does, once")
    return found


def _reason(reason: str) -> str:
    return f"reason_{reason}"


def _lines(items: list[str], indent: int) -> str:
    return f",\n{' ' * indent}".join(items)
