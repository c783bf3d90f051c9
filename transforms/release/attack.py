"""The independent auditor: what can be worked back from protected tables and their public certificates alone.

It reads what anybody may read and shares no code with what made the tables. Its verdicts are proven: a cell that it
calls exactly recoverable has one possible value, and a cell that it does not has two.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused
from transforms.release.bounds import Bounds, ContradictionError, Marks, Places, Sums, prove
from transforms.release.published import Rules, checked, read_published, unsafe
from transforms.release.system import ASSUMPTIONS, Part, gather, join


@dataclass(frozen=True)
class Verdict:
    """What an attacker learns.

    `cells` has one row per suppressed cell: its labels, `release` (its place among several), `lowest` and `highest`
    (proven bounds, null where there is no upper one), `is_exact`, `is_small` (proven to be below what is safe),
    `is_unsafe_if_exact`, and `is_told_to_member`: told, exactly or as too small for the guarantee, to somebody who is
    counted himself. `published_unsafe` counts published cells that the rules say should be hidden.
    """

    cells: pl.DataFrame
    published: int
    published_unsafe: int
    guarantee: str

    @property
    def recovered_unsafe(self) -> int:
        """Suppressed cells with an unsafe value that can be told exactly."""
        return self.cells.filter(pl.col("is_exact") & pl.col("is_unsafe_if_exact")).height

    @property
    def recovered_safe(self) -> int:
        """Suppressed cells that can be told exactly and did not need to be suppressed."""
        return self.cells.filter(pl.col("is_exact") & ~pl.col("is_unsafe_if_exact")).height

    @property
    def provably_small(self) -> int:
        """Suppressed cells that can be proven to be below the threshold."""
        return self.cells.filter(pl.col("is_small")).height

    @property
    def told_to_members(self) -> int:
        """Suppressed cells that somebody who is counted himself could tell, if there is such a person.

        The public does not know whether there is, so this breaks no guarantee here; the witnesses, which know, must
        allow for everybody who is.
        """
        return self.cells.filter(pl.col("is_told_to_member") & ~pl.col("is_exact")).height

    @property
    def broken(self) -> int:
        """Cells for which the guarantee does not hold."""
        small = self.provably_small if self.guarantee == "not_small" else 0
        return self.recovered_unsafe + self.published_unsafe + small

    @property
    def holds(self) -> bool:
        """Whether the tables keep what their certificates guarantee."""
        return self.broken == 0


def attack_directory(path: Path, *more: Path, tight: bool = False, processes: int = 1) -> Verdict:
    """Attack a published table from its folder, or several of one date as one system, the earliest release first.

    Raises UsageRefused where table.csv or certificate.json cannot be read, DisclosureRefused where they contradict
    themselves.
    """
    tables = [read_published(folder)[:2] for folder in (path, *more)]
    return attack_tables(tables, tight=tight, processes=processes)


def attack_table(table: pl.DataFrame, rules: Rules, *, tight: bool = False, processes: int = 1) -> Verdict:
    """Attack one protected table; with `tight` every bound is the tightest there is, which takes longer.

    Raises DisclosureRefused where the table is not whole or no counts fit it.
    """
    return attack_tables([(table, rules)], tight=tight, processes=processes)


def attack_tables(tables: list[tuple[pl.DataFrame, Rules]], *, tight: bool = False, processes: int = 1) -> Verdict:
    """Attack several protected tables of one date as one system, the earliest release first."""
    tables = [(checked(table, rules), rules) for table, rules in tables]
    groups = gather(tables)
    work = partial(_attack, tight=tight)
    order = sorted(range(len(groups)), key=lambda at: -sum(part.table["value"].null_count() for part in groups[at]))
    if processes > 1 and len(groups) > 1:
        with ProcessPoolExecutor(min(processes, len(groups)), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(work, [groups[place] for place in order]))
    else:
        found = [work(groups[place]) for place in order]
    if bad := sum(cells is None for cells in found):
        raise DisclosureRefused(
            "no whole counts fit the published ones: the table was changed or its rules are not these",
            "Publish it anew from its counts",
            table="table.csv",
            count=bad,
        )
    guarantees = {rules.guarantee for _, rules in tables}
    return Verdict(
        cells=pl.concat([cells for cells in found if cells is not None], how="diagonal").sort("release", "#place"),
        published=sum(int((table["status"] == "published").sum()) for table, _ in tables),
        published_unsafe=sum(int(unsafe(table, rules).sum()) for table, rules in tables),
        guarantee="not_small" if guarantees == {"not_small"} else "not_exact",
    )


def describe(verdict: Verdict) -> str:
    """The verdict in a few lines, for a terminal."""
    small = " (the guarantee forbids it)" if verdict.guarantee == "not_small" else ""
    return "\n".join(
        [
            f"cells              {verdict.published + verdict.cells.height:>10,}",
            f"suppressed         {verdict.cells.height:>10,}",
            f"recovered, unsafe  {verdict.recovered_unsafe:>10,}",
            f"recovered, safe    {verdict.recovered_safe:>10,}",
            f"told to members    {verdict.told_to_members:>10,}",
            f"provably small     {verdict.provably_small:>10,}{small}",
            f"published, unsafe  {verdict.published_unsafe:>10,}",
            f"The guarantee {verdict.guarantee} {'holds' if verdict.holds else 'does not hold'}.",
        ]
    )


def _attack(parts: list[Part], *, tight: bool) -> pl.DataFrame | None:
    """Attack tables that hang together; one row per hidden cell, None where no counts fit.

    Where releases of one date differ, the attacker takes the boldest view of what was corrected that can be.
    """
    is_member = any(part.rules.self_contribution for part in parts)
    safe_from = np.concatenate([np.full(part.table["value"].null_count(), part.rules.safe_from) for part in parts])
    must_not_be_small = np.concatenate(
        [np.full(part.table["value"].null_count(), part.rules.guarantee == "not_small") for part in parts]
    )
    for assume in ASSUMPTIONS if len({part.release for part in parts}) > 1 else ASSUMPTIONS[:1]:
        sums, places = join(parts, assume)
        try:
            bounds = prove(sums, safe_from.astype(float), tight=tight, keep=is_member)
        except ContradictionError:
            continue
        told = np.zeros(len(sums.low), bool)
        if is_member:
            told = _told_to_members(sums, bounds, safe_from, must_not_be_small)
        cells = [_found(part, bounds, told, place) for part, place in zip(parts, places, strict=True)]
        return pl.concat(cells, how="diagonal")
    return None


def _found(part: Part, bounds: Bounds, told: Marks, place: slice) -> pl.DataFrame:
    low, high, rules = bounds.low[place], bounds.high[place], part.rules
    endless = np.isinf(high)
    highest = pl.Series("highest", np.where(endless, 0, high), dtype=pl.Int64)
    hidden = part.table.filter("#hidden").select("#place", *rules.labels)
    return hidden.with_columns(
        release=pl.lit(part.release),
        lowest=pl.Series(low, dtype=pl.Int64),
        highest=pl.select(pl.when(~pl.Series(endless, dtype=pl.Boolean)).then(highest)).to_series(),
        is_exact=pl.Series(low == high, dtype=pl.Boolean),
        is_small=pl.Series(high < rules.safe_from, dtype=pl.Boolean),
        is_unsafe_if_exact=pl.Series(low < rules.safe_from, dtype=pl.Boolean),
        is_told_to_member=pl.Series(told[place], dtype=pl.Boolean),
    )


def _told_to_members(sums: Sums, bounds: Bounds, safe_from: Places, must_not_be_small: Marks) -> Marks:
    """Which unsafe cells somebody can tell who is counted in a hidden cell, and so knows that it is not empty.

    Solutions that were seen settle nearly all pairs of such a cell and an unsafe one; the others are proven.
    """
    told = np.zeros(len(sums.low), bool)
    may_be_unsafe = (bounds.low < safe_from) & (bounds.low < bounds.high) & ~np.isinf(bounds.high)
    is_asked = must_not_be_small & (bounds.high >= safe_from)
    for place in np.flatnonzero((bounds.low == 0) & (bounds.high >= 1)).tolist():
        seen = bounds.seen[bounds.seen[:, place] >= 1]
        low = np.min(seen, axis=0, initial=np.inf, where=~np.isnan(seen))
        high = np.max(seen, axis=0, initial=-np.inf, where=~np.isnan(seen))
        if not (may_be_unsafe & ~told & ((low >= high) | (is_asked & (high < safe_from)))).any():
            continue
        floor = sums.low.copy()
        floor[place] = 1
        known = prove(replace(sums, low=floor), safe_from.astype(float), tight=False)
        is_told = (known.low == known.high) & (known.low < safe_from) | is_asked & (known.high < safe_from)
        told |= is_told & may_be_unsafe
    return told
