"""The independent auditor: what can be worked back from protected tables and their public certificates alone.

It reads what anybody may read and shares no code with what made the tables. Its verdicts are proven: a cell that it
calls exactly recoverable has one possible value, and a cell that it does not has two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused
from transforms.pool import Spread, in_turn, pool
from transforms.release.bounds import prove
from transforms.release.members import told_to_members
from transforms.release.published import Part, Release, Rules, checked, read_release, unsafe
from transforms.release.system import ASSUMPTIONS, gather, join
from transforms.release.unknowns import Bounds, ContradictionError, Marks


@dataclass(frozen=True)
class Verdict:
    """What an attacker learns.

    `cells` has one row per suppressed cell: its labels, `release` (its place among several), `lowest` and `highest`
    (proven bounds, null where there is no upper one), `is_exact`, `is_small` (proven to be below what is safe),
    `is_unsafe_if_exact`, and `is_told_to_member`: told, exactly or as too small for the guarantee, to somebody who is
    counted himself. `published_unsafe` counts published cells that the rules say should be hidden; `told_groups`
    groups in no table that tables which cut the same people differently give away.
    """

    cells: pl.DataFrame
    published: int
    published_unsafe: int
    guarantee: str
    told_groups: int = 0
    members_known: bool = False

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

        The public does not know whether there is, so this breaks the guarantee only where it was said who is there
        (`members_known`); the witnesses, which know, must allow for everybody who is.
        """
        return self.cells.filter(pl.col("is_told_to_member") & ~pl.col("is_exact")).height

    @property
    def broken(self) -> int:
        """Cells for which the guarantee does not hold."""
        small = self.provably_small if self.guarantee == "not_small" else 0
        told = self.told_to_members if self.members_known else 0
        return self.recovered_unsafe + self.published_unsafe + small + self.told_groups + told

    @property
    def holds(self) -> bool:
        """Whether the tables keep what their certificates guarantee."""
        return self.broken == 0


def attack_directory(path: Path, *more: Path, tight: bool = False, processes: int = 1) -> Verdict:
    """Attack a published table from its folder, or several as one system, the earliest release first.

    Releases without a date are taken to be of one date. Raises UsageRefused where a file cannot be read,
    DisclosureRefused where the files contradict themselves or print over hidden counts what cannot be read exactly.
    """
    with pool(processes) as spread:
        return attack_releases([read_release(folder) for folder in (path, *more)], tight=tight, spread=spread)


def attack_table(table: pl.DataFrame, rules: Rules, *, tight: bool = False) -> Verdict:
    """Attack one protected table; with `tight` every bound is the tightest there is, which takes longer.

    Raises DisclosureRefused where the table is not whole or no counts fit it.
    """
    return attack_tables([(table, rules)], tight=tight)


def attack_tables(
    tables: list[tuple[pl.DataFrame, Rules]],
    *,
    correspondence: pl.DataFrame | None = None,
    present: Sequence[pl.Series] | None = None,
    tight: bool = False,
    spread: Spread = in_turn,
) -> Verdict:
    """Attack several protected tables of one date as one system, the earliest release first.

    `present`, which is confidential, says for each table and row whether the cell truly counts anybody, who then must
    not tell more than the public where the rules have it so.

    Tables that cut the same people in ways that do not nest need a `correspondence`, unless both cut by age: one row
    per smallest group with the level columns of both. Raises DisclosureRefused where nothing says how they overlap.
    """
    releases = [Release(table, rules, correspondence=correspondence) for table, rules in tables]
    return attack_releases(releases, present=present, tight=tight, spread=spread)


def attack_releases(
    releases: list[Release],
    *,
    present: Sequence[pl.Series] | None = None,
    tight: bool = False,
    spread: Spread = in_turn,
) -> Verdict:
    """Attack several releases of any dates as one system, the earliest release first."""
    releases = [replace(each, table=checked(each.table, each.rules)) for each in releases]
    groups = gather(releases)
    work = partial(_attack, tight=tight, present=present)
    order = sorted(range(len(groups)), key=lambda at: -sum(part.table["value"].null_count() for part in groups[at]))
    found = spread(work, [groups[place] for place in order])
    if bad := sum(each is None for each in found):
        raise DisclosureRefused(
            "no whole counts fit the published ones: the table was changed or its rules are not these",
            "Publish it anew from its counts",
            table="table.csv",
            count=bad,
        )
    guarantees = {each.rules.guarantee for each in releases}
    return Verdict(
        cells=pl.concat([each[0] for each in found if each], how="diagonal").sort("release", "#place"),
        published=sum(int((each.table["status"] == "published").sum()) for each in releases),
        published_unsafe=sum(int(unsafe(each.table, each.rules).sum()) for each in releases),
        guarantee="not_small" if guarantees == {"not_small"} else "not_exact",
        told_groups=sum(each[1] for each in found if each),
        members_known=present is not None,
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
            f"groups told        {verdict.told_groups:>10,}",
            f"The guarantee {verdict.guarantee} {'holds' if verdict.holds else 'does not hold'}.",
        ]
    )


def _attack(parts: list[Part], *, tight: bool, present: Sequence[pl.Series] | None) -> tuple[pl.DataFrame, int] | None:
    """Attack tables that hang together; one row per hidden cell, and how many groups are told. None where none fit.

    Where releases of one date differ, the attacker takes the boldest view of what was corrected that can be.
    """
    is_member = any(part.rules.self_contribution for part in parts)
    is_of_several = len({part.release for part in parts}) > 1
    for assume in ASSUMPTIONS if is_of_several else ASSUMPTIONS[:1]:
        sums, places, groups = join(parts, assume)
        asked = np.arange(len(sums.low)) < groups.stop
        safe_from, must_not_be_small = np.zeros(len(asked)), np.zeros(len(asked), bool)
        safe_from[groups] = min(part.rules.safe_from for part in parts)
        for part, place in zip(parts, places, strict=True):
            safe_from[place] = part.rules.safe_from
            must_not_be_small[place] = part.rules.guarantee == "not_small"
        try:
            bounds = prove(sums, safe_from, tight=tight, keep=is_member, asked=asked)
        except ContradictionError:
            continue
        told = np.zeros(len(sums.low), bool)
        if is_member:
            people = np.zeros(len(asked), bool)
            for part, place in zip(parts, places, strict=True):
                people[place] = part.rules.self_contribution & _present(part, present)
            told = told_to_members(sums, bounds, safe_from, must_not_be_small, people=people)
        cells = [_found(part, bounds, told, place) for part, place in zip(parts, places, strict=True)]
        return pl.concat(cells, how="diagonal"), _told_groups(parts, bounds, groups)
    return None


def _present(part: Part, present: Sequence[pl.Series] | None) -> Marks:
    """Which hidden cells of a part may count somebody who looks; all where nobody says."""
    rows = part.table.filter("#hidden")["#place"].to_numpy()
    return np.ones(len(rows), bool) if present is None else present[part.release].to_numpy()[rows]


def _told_groups(parts: list[Part], bounds: Bounds, groups: slice) -> int:
    """Groups that the rules would hide if they were cells and that the tables tell, as those must not be told."""
    low, high, rules = bounds.low[groups], bounds.high[groups], [part.rules for part in parts]
    least = 1 if all(each.zeros_published for each in rules) else 0
    is_small = (high < min(each.safe_from for each in rules)) & (high >= least)
    if any(each.guarantee == "not_exact" for each in rules):
        is_small &= low == high
    return int(is_small.sum())


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
