"""From a definition to the SELECT that gives everybody of the population one status per as-of date.

A column of `person_mask` is a leaf, its bits are the as-of dates, so that `&`, `|` and `~` are and, or and not for all
the dates at once.
"""

from collections.abc import Sequence

from schemas.indicators import AllOf, AnyOf, AtLeast, Clause, Indicator, Leaf, Not, age_reach

COUNTED = "counted"
"""Column of person_mask: the person is known, born, and has not objected."""


def quoted(name: str) -> str:
    """A column name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def expression(clause: Clause) -> str:
    """A clause as bits."""
    if isinstance(clause, Not):
        return f"~{expression(clause.clause)}"
    if isinstance(clause, AllOf):
        return _joined(" & ", [expression(part) for part in clause.clauses])
    if isinstance(clause, AnyOf):
        return _joined(" | ", [expression(part) for part in clause.clauses])
    if isinstance(clause, AtLeast):
        return _at_least(clause.count, [expression(part) for part in clause.clauses])
    return quoted(str(clause))


def excluded_column(reason: str) -> str:
    """Column of the result for one reason of leaving a person out."""
    return f"excluded_{reason}"


def compile_indicator(indicator: Indicator) -> str:
    """One row per person of the population: masks `open`, `closed`, `declined`, `excluded` and one per reason.

    No two of the first four share a bit, nor do two reasons; together they are the population.
    """
    reasons = [(exclusion.reason, expression(exclusion.when)) for exclusion in indicator.exclusions]
    clauses = [f"{quoted(COUNTED)} & {expression(indicator.population)} AS population"]
    names = [quoted(f"reason_{reason}") for reason, _ in reasons]
    clauses += [f"{bits} AS {name}" for name, (_, bits) in zip(names, reasons, strict=True)]
    clauses.append(f"{expression(indicator.closed)} AS gap_closed")
    if indicator.declined:
        clauses.append(f"{expression(indicator.declined)} AS gap_declined")
    excluded = _joined(" | ", names) if names else "0::UINTEGER"
    declined = "gap_declined" if indicator.declined else "0::UINTEGER"
    columns = ["person_number"]
    for position, (reason, _) in enumerate(reasons):
        earlier = f" & ~{_joined(' | ', names[:position])}" if position else ""
        columns.append(f"population & {names[position]}{earlier} AS {quoted(excluded_column(reason))}")
    columns += [
        f"population & {excluded} AS excluded",
        f"population & ~{excluded} & gap_closed AS closed",
        f"population & ~{excluded} & ~gap_closed & {declined} AS declined",
        f"population & ~{excluded} & ~gap_closed & ~{declined} AS open",
    ]
    return (
        f"-- {indicator.id}, version {indicator.version}\n"
        f"WITH clause AS (\n    SELECT\n        person_number,\n        {_lines(clauses)}\n    FROM person_mask\n)\n\n"
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
    return found


def _joined(word: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({word.join(parts)})"


def _at_least(count: int, parts: list[str]) -> str:
    """At least `count` of the parts: either the first and one fewer of the rest, or as many of the rest."""
    if count == 1:
        return _joined(" | ", parts)
    if count == len(parts):
        return _joined(" & ", parts)
    return f"(({parts[0]} & {_at_least(count - 1, parts[1:])}) | {_at_least(count, parts[1:])})"


def _lines(items: list[str], indent: int = 8) -> str:
    return f",\n{' ' * indent}".join(items)
