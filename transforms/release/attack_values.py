"""The independent auditor of tables whose counts were changed: what can be proven of the true counts.

It reads what anybody may read, the table and its certificate, and shares no code with what changed the counts. The true
counts are whole, at most `reach` from the published ones, and add up: that is all an attacker knows. Its verdicts are
proven: a count that it calls exact has one possible value, and one that it does not has two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.published import Rules, checked, equations, read_published, split
from transforms.release.published import rules_of as plain_rules
from transforms.release.value_search import Marks, Places, Search, System, moves, propagate, push

CONTRADICTION = "no true counts fit the published ones: the table was changed or its rules are not these"


@dataclass(frozen=True)
class ValueRules:
    """What a certificate says of a table of changed counts: its shape, and by how much each may differ.

    `noise` has the least and the greatest change of a count of 0, 1, ...; the last row is that of all above. With a
    `base` the published counts are multiples of it.
    """

    shape: Rules
    noise: tuple[tuple[int, int], ...]
    base: int | None

    def box(self, published: Places) -> Places:
        """The least and the greatest count that each published one may stand for."""
        least, most = np.array(self.noise).T
        low, high = np.full(len(published), np.iinfo(np.int64).max), np.full(len(published), -1)
        for change in range(int(least.min()), int(most.max()) + 1):
            count = published - change
            row = np.clip(count, 0, len(least) - 1)
            fits = (count >= 0) & (least[row] <= change) & (change <= most[row])
            low, high = np.where(fits, np.minimum(low, count), low), np.where(fits, np.maximum(high, count), high)
        if (low > high).any():
            _refuse("a published count stands for none", int((low > high).sum()))
        return np.stack([low, high])


@dataclass(frozen=True)
class Verdict:
    """What an attacker learns.

    `cells` has one row per cell: its labels, `published`, `lowest` and `highest` (proven bounds), `is_exact`,
    `is_small` (proven to be below what is safe, and not proven to be 0 where zeros are safe) and `is_unsafe_if_exact`.
    """

    cells: pl.DataFrame
    guarantee: str

    @property
    def recovered_unsafe(self) -> int:
        """Cells with an unsafe count that can be told exactly."""
        return self.cells.filter(pl.col("is_exact") & pl.col("is_unsafe_if_exact")).height

    @property
    def recovered_safe(self) -> int:
        """Cells with a safe count that can be told exactly."""
        return self.cells.filter(pl.col("is_exact") & ~pl.col("is_unsafe_if_exact")).height

    @property
    def provably_small(self) -> int:
        """Cells that can be proven to be below the threshold; some of them may be 0."""
        return self.cells.filter(pl.col("is_small")).height

    @property
    def broken(self) -> int:
        """Cells for which the guarantee does not hold."""
        return self.provably_small if self.guarantee == "not_small" else self.recovered_unsafe

    @property
    def holds(self) -> bool:
        """Whether the table keeps what its certificate guarantees."""
        return self.broken == 0


def has_changed_counts(path: Path) -> bool:
    """Whether a folder holds a table of changed counts, and none with suppressed ones."""
    return "method" in read_published(path)[2]


def rules_of(certificate: Mapping[str, Any]) -> ValueRules:
    """Read the rules from a certificate. Raises UsageRefused where they are not there."""
    try:
        how = certificate["method"]
        base = how.get("base")
        noise = tuple((int(least), int(most)) for least, most in how["noise"])
        found = ValueRules(plain_rules(certificate), noise, None if base is None else int(base))
    except (KeyError, TypeError, ValueError, AttributeError):
        found = None
    if found is None or not found.noise or (found.base is not None and found.base < 2):
        raise UsageRefused("the certificate does not hold the rules", "Give the certificate that came with the table")
    return found


def attack_directory(path: Path) -> Verdict:
    """Attack a table of changed counts from its folder."""
    table, _, certificate = read_published(path)
    return attack_table(table, rules_of(certificate))


def attack_table(table: pl.DataFrame, rules: ValueRules) -> Verdict:
    """Attack a table of changed counts. Raises DisclosureRefused where no true counts fit it."""
    table = checked(table, rules.shape)
    if table["#hidden"].any():
        _refuse("a count is suppressed in a table of changed counts", int(table["#hidden"].sum()))
    value = table["value"].to_numpy().astype(np.int64)
    if rules.base is not None and (value % rules.base).any():
        _refuse("a count is not a multiple of the base", int((value % rules.base > 0).sum()))
    bounds = rules.box(value)
    told = np.zeros((2, len(value)), bool)
    for part in _systems(table, rules.shape):
        _attack(part, value, bounds, told, rules.shape)
    low, high = bounds
    exact, small = told
    unsafe = low < rules.shape.safe_from
    if rules.shape.zeros_published:
        everybody = _everybody(table, rules.shape, low)
        unsafe &= (low >= 1) | everybody | (low < high)
        small &= (high >= 1) | everybody
    cells = table.select(rules.shape.labels).with_columns(
        published=pl.Series(value),
        lowest=pl.Series(low),
        highest=pl.Series(high),
        is_exact=pl.Series(exact),
        is_small=pl.Series(small),
        is_unsafe_if_exact=pl.Series(unsafe),
    )
    return Verdict(cells, rules.shape.guarantee)


def describe(verdict: Verdict) -> str:
    """The verdict in a few lines, for a terminal."""
    small = " (the guarantee forbids it)" if verdict.guarantee == "not_small" else ""
    return "\n".join(
        [
            f"cells, all changed {verdict.cells.height:>10,}",
            f"recovered, unsafe  {verdict.recovered_unsafe:>10,}",
            f"recovered, safe    {verdict.recovered_safe:>10,}",
            f"provably small     {verdict.provably_small:>10,}{small}",
            f"The guarantee {verdict.guarantee} {'holds' if verdict.holds else 'does not hold'}.",
        ]
    )


def _systems(table: pl.DataFrame, rules: Rules) -> list[System]:
    """The sums of each `by` value's table, and of tables that count the same people as one."""
    parts = split(table, rules)
    top = {key: key for key in parts}
    for same in rules.populations:
        there = [key for key in same if key in parts]
        for key in there[1:]:
            top[key] = there[0]
    systems = []
    for first in dict.fromkeys(top.values()):
        keys = [key for key in parts if top[key] == first]
        rows, found, basis = 0, list[tuple[Places, Places, Places]](), list[Marks]()
        for key in keys:
            place = parts[key]["#place"].to_numpy().astype(np.int64)
            own = equations(parts[key].drop("#place"), rules)
            found.append((own.row + rows, place[own.cell], np.rint(own.factor).astype(np.int64)))
            basis.append(own.basis)
            rows += len(own.basis)
        for key in keys[1:]:
            old, new = _shared(parts[keys[0]], parts[key], rules)
            row = np.repeat(np.arange(len(old)), 2) + rows
            found.append((row, np.stack([old, new], axis=1).ravel(), np.tile([1, -1], len(old))))
            basis.append(np.ones(len(old), bool))
            rows += len(old)
        row, cell, factor = (np.concatenate(column) for column in zip(*found, strict=True))
        cells = np.concatenate([parts[key]["#place"].to_numpy() for key in keys]).astype(np.int64)
        systems.append(System(cells, row, cell, factor, np.concatenate(basis), np.isin(np.arange(table.height), cells)))
    return systems


def _shared(one: pl.DataFrame, other: pl.DataFrame, rules: Rules) -> tuple[Places, Places]:
    """The eligible cells that two tables of one population have in common."""
    names = [name for name in rules.labels if name not in rules.by]
    eligible = one.filter(pl.col("measure") == "eligible").select(*names, "#place")
    both = eligible.join(other.select(*names, pl.col("#place").alias("#other")), on=names)
    return both["#place"].to_numpy().astype(np.int64), both["#other"].to_numpy().astype(np.int64)


def _attack(system: System, value: Places, bounds: Places, told: Marks, rules: Rules) -> None:
    """Bound the true counts of a system, and mark in `told` what is exact and what is small."""
    if not propagate(system, bounds):
        _refuse(CONTRADICTION, None)
    low, high = bounds
    search = Search(system, value)
    truth, _ = search.find(low, high)
    if truth is None:
        _refuse(CONTRADICTION, None)
    seen = np.stack([truth, truth])
    changes = moves(system)

    def note(found: Places) -> None:
        np.minimum(seen[0], found, out=seen[0], where=system.has)
        np.maximum(seen[1], found, out=seen[1], where=system.has)
        for change in changes:
            push(change, found, bounds, seen)

    note(truth)
    for cell in np.flatnonzero(system.has & (low < high)).tolist():
        for least, most in ((seen[1, cell] + 1, high[cell]), (low[cell], seen[0, cell] - 1)):
            if seen[0, cell] == seen[1, cell] and least <= most:
                found, is_proven = search.find(low, high, cell, least, most)
                if found is not None:
                    note(found)
                elif is_proven:
                    low[cell], high[cell] = (low[cell], least - 1) if least > truth[cell] else (most + 1, high[cell])
        # that a cell is small is only asked where the guarantee forbids it; else what the sums say at once is told
        if rules.guarantee == "not_small" and seen[1, cell] < rules.safe_from <= high[cell]:
            found, _ = search.find(low, high, cell, rules.safe_from, high[cell])
            if found is not None:
                note(found)
    at_most = seen[1] if rules.guarantee == "not_small" else high
    told[0, system.cells] = (seen[0] == seen[1])[system.cells]
    told[1, system.cells] = (at_most < rules.safe_from)[system.cells]


def _everybody(table: pl.DataFrame, rules: Rules, low: Places) -> Marks:
    """Closed counts of groups in which there is somebody: 0 of them would say that all have the gap."""
    if not (rules.linked and rules.group_disclosure):
        return np.zeros(table.height, bool)
    same = [name for name in rules.labels if name != "measure"]
    cells = table.with_columns(low=pl.Series(low))
    other = cells.filter(pl.col("measure") == "eligible").select(*same, eligible="low")
    beside = table.select(*same, "measure").join(other, on=same, how="left", maintain_order="left")
    is_closed = (beside["measure"] == "closed") & (beside["eligible"] >= 1)
    return np.asarray(is_closed.to_numpy(), bool)


def _refuse(rule: str, count: int | None) -> NoReturn:
    raise DisclosureRefused(rule, "Publish the table anew from its counts", table="table.csv", count=count)
