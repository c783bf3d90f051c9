"""The proof that came with a table, checked in one pass without a solver: other whole tables that fit what is public.

A witness is a change of the true table that leaves every published cell alone and keeps every sum. Witnesses are
confidential, for with the public table they tell the truth; the table and the certificate are public, and whoever has
no more attacks those. The check is the auditor's: it trusts neither the decisions nor the witnesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from schemas.errors import UsageRefused
from transforms.release.derived import ranges
from transforms.release.published import (
    Equations,
    Part,
    Release,
    Rules,
    checked,
    floors,
    none_of,
    read_release,
    refuse,
    unsafe,
)
from transforms.release.system import gather, tie, within
from transforms.release.unknowns import Marks, Numbers, Places

DECISIONS_FILE, WITNESSES_FILE = "confidential/decisions.parquet", "confidential/witnesses.parquet"
COLUMNS = {"witness": pl.UInt32(), "cell": pl.UInt32(), "change": pl.Int64()}
"""One row per witness and cell that it changes; `cell` is the row in the table, from 0."""
RELEASE = {"release": pl.UInt32()}
"""May be there too: in which of the releases given the cell is, from 0. Without it a witness is of its own release, and
changes in the others the cells that are the same count."""
NEAR = 1e-6


@dataclass(frozen=True)
class Proof:
    """What was checked: so many `witnesses` show other values for so many `unsafe` cells."""

    witnesses: int
    unsafe: int
    guarantee: str


@dataclass(frozen=True)
class Claim:
    """A release with what is confidential of it: the decisions with every count, and the witnesses."""

    release: Release
    decisions: pl.DataFrame
    witnesses: pl.DataFrame


def verify_directory(path: Path, *more: Path) -> Proof:
    """Check the witnesses in a folder as `caregap protect` wrote it, with its confidential part.

    Several folders are checked as one system, the earliest release first. Raises UsageRefused where a file is not
    there, DisclosureRefused where a witness, a decision or the table does not hold.
    """
    return verify_claims([_claim(folder) for folder in (path, *more)])


def verify_witnesses(table: pl.DataFrame, rules: Rules, decisions: pl.DataFrame, witnesses: pl.DataFrame) -> Proof:
    """Check that the decisions are the table's truth and that the witnesses protect every unsafe cell of it.

    Raises DisclosureRefused with the number of cells where they do not.
    """
    return verify_claims([Claim(Release(table, rules), decisions, witnesses)])


def verify_claims(claims: Sequence[Claim]) -> Proof:
    """Check that the witnesses of all releases together protect every unsafe cell of each from what all of them tell.

    The witnesses of the last release must all hold. One of an earlier release may have been undone by a later one, and
    then it shows nothing any more; where a witness does not say what it changes in the other releases, it changes the
    cells that are the same count, and no others.
    """
    truths = [_truth(claim) for claim in claims]
    releases = [replace(claim.release, table=checked(claim.release.table, claim.release.rules)) for claim in claims]
    offset = np.cumsum([0, *(truth.height for truth in truths)])
    cells = pl.concat(
        truth.select("value", "#hidden", low=_least(truth, each.rules), safe_from=_safe_from(each.rules))
        for truth, each in zip(truths, releases, strict=True)
    ).with_row_index("cell")
    none_of(cells["#hidden"] & (cells["value"] < cells["low"]), "a count is below what can be", "value")
    must_hide = pl.concat(unsafe(truth, each.rules) for truth, each in zip(truths, releases, strict=True))
    none_of(must_hide & ~cells["#hidden"], "an unsafe cell is published", "status")

    given = pl.concat(_changes(claim, number, offset) for number, claim in enumerate(claims))
    groups = [_Group.of(parts, offset, cells["value"].to_numpy().astype(float)) for parts in gather(releases)]
    if len(claims) > 1:
        given = _extended(given, groups)
    changed = given.join(cells, on="cell", how="left").with_columns(other=pl.col("value") + pl.col("change"))
    own = pl.col("of") == len(claims) - 1
    bad = pl.DataFrame(schema={"of": pl.Int64, "witness": pl.UInt32})
    for wrong, rule, column in (
        (~pl.col("#hidden"), "a witness changes a published cell", "cell"),
        (pl.col("other") < pl.col("low"), "a witness has a count below what can be", "change"),
    ):
        none_of(changed.select(own & wrong)[:, 0], rule, column)
        bad = pl.concat([bad, changed.filter(wrong).select("of", "witness")])
    for group in groups:
        none_of(pl.Series(group.fails(cells["value"])), "the decisions do not add up", "value")
        failing = group.failing(given, cells["value"])
        none_of(failing["of"] == len(claims) - 1, "a witness does not add up", "change")
        bad = pl.concat([bad, failing])
    far = pl.when(pl.col("safe_from") > 0).then(pl.col("other") >= pl.col("safe_from")).otherwise(pl.col("change") != 0)
    seen = np.zeros(cells.height, bool)
    holding = changed.join(bad.unique(), on=["of", "witness"], how="anti")
    seen[holding.filter(far)["cell"].to_numpy()] = True
    none_of(must_hide & ~pl.Series(seen), "an unsafe cell has no witness", "cell")
    guarantees = {each.rules.guarantee for each in releases}
    return Proof(
        holding.select("of", "witness").n_unique(),
        int(must_hide.sum()),
        "not_small" if guarantees == {"not_small"} else "not_exact",
    )


def describe(proof: Proof) -> str:
    """The proof in a line, for a terminal."""
    return (
        f"{proof.witnesses:,} other tables fit all that is published and show that {proof.guarantee} holds for each of "
        f"{proof.unsafe:,} unsafe cells."
    )


def _claim(path: Path) -> Claim:
    release = read_release(path)
    decisions, witnesses = _read(path / DECISIONS_FILE), _read(path / WITNESSES_FILE)
    if decisions is None or witnesses is None:
        raise UsageRefused("the confidential files cannot be read", "Give the folder as caregap protect wrote it")
    return Claim(release, decisions, witnesses)


def _read(path: Path) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        return None


def _truth(claim: Claim) -> pl.DataFrame:
    """The checked table with every count; the decisions must be those of it."""
    rules, decisions = claim.release.rules, claim.decisions
    table = checked(claim.release.table, rules)
    if "value" not in decisions.columns or not {*rules.labels} <= {*decisions.columns}:
        refuse("a column is missing", None, None, "decisions.parquet")
    if not decisions.select(pl.col(rules.labels).cast(pl.String)).equals(table.select(rules.labels)):
        refuse("the decisions are not those of the table", None, None, "decisions.parquet")
    truth = table.with_columns(decisions["value"].cast(pl.Int64, strict=False))
    none_of(truth["value"].is_null(), "the count is missing", "value")
    shown = (table["value"] != truth["value"]).fill_null(False)
    none_of(shown, "the decision is not what was published", "value")
    return truth


def _changes(claim: Claim, number: int, offset: Places) -> pl.DataFrame:
    """One row per witness (`of` a release) and cell of all releases that it says it changes."""
    witnesses = claim.witnesses
    if dict(witnesses.schema) == COLUMNS:
        witnesses = witnesses.with_columns(release=pl.lit(number, pl.UInt32))
    elif dict(witnesses.schema) != COLUMNS | RELEASE:
        refuse("the columns are not those of witnesses", None, None, "witnesses.parquet")
    sizes = pl.Series(np.diff(offset))
    wrong = witnesses["release"] >= len(sizes)
    size = sizes.gather(witnesses["release"].clip(0, len(sizes) - 1))
    wrong |= (witnesses["cell"] >= size) | witnesses.select(pl.struct("witness", "release", "cell").is_duplicated())[
        :, 0
    ]
    none_of(wrong | witnesses["change"].is_null(), "a change is of no cell, or stands twice", "cell")
    start = pl.Series(offset[:-1]).gather(witnesses["release"])
    return witnesses.select(
        pl.lit(number, pl.Int64).alias("of"),
        "witness",
        cell=(witnesses["cell"] + start).cast(pl.UInt32),
        change="change",
    )


def _least(truth: pl.DataFrame, rules: Rules) -> pl.Series:
    """What each hidden cell must count at least in a witness: for one's own contribution, also him who is there."""
    low = floors(truth, rules)
    if rules.self_contribution:
        low = np.where(truth["value"].to_numpy() >= 1, np.maximum(low, 1), low)
    return pl.Series(low)


def _safe_from(rules: Rules) -> pl.Expr:
    """The count that a witness must reach; 0 where any other will do."""
    return pl.lit(rules.safe_from if rules.guarantee == "not_small" else 0, pl.Int64)


@dataclass(frozen=True)
class _Group:
    """Tables that hang together: their sums over the cells of all releases, and the cells that are the same count."""

    entries: pl.DataFrame
    least: Numbers
    most: Numbers
    same: pl.DataFrame

    @classmethod
    def of(cls, parts: list[Part], offset: Places, truth: Numbers) -> "_Group":
        place = np.concatenate([part.table["#place"].to_numpy() + offset[part.release] for part in parts])
        together, more = tie(parts, "any", truth[place])
        if more:
            refuse("witnesses do not tell of the groups that different cuts have in common; attack the tables", None, 0)
        row, cell, factor = together.row, together.cell, together.factor
        start = np.cumsum([0, *(part.table.height for part in parts)])
        beyond = within(parts, start[:-1])
        row, cell = np.append(row, beyond[0] + len(together.basis)), np.append(cell, beyond[1])
        factor = np.append(factor, beyond[2])
        nested = len(np.unique(beyond[0]))
        least = np.zeros(len(together.basis) + nested)
        most = np.append(np.zeros(len(together.basis)), np.full(nested, np.inf))
        if any(part.printed is not None for part in parts):
            hidden = np.concatenate([part.table["#hidden"].to_numpy() for part in parts])
            value = np.where(hidden, 0.0, truth[place])
            # an interval over a hidden denominator is refused: that takes a solver
            told = ranges(
                parts, start[:-1], value, hidden, lambda: (value, np.where(hidden, np.inf, value)), len(value)
            )
            row, cell = np.append(row, told.row + len(least)), np.append(cell, told.cell)
            factor = np.append(factor, told.factor)
            least, most = np.append(least, told.least), np.append(most, told.most)
        entries = pl.DataFrame({"row": row, "cell": place[cell].astype(np.uint32), "factor": factor})
        return cls(entries, least, most, _same(parts, together, place))

    def fails(self, value: pl.Series) -> Marks:
        """The sums that the true counts do not satisfy."""
        total = self._total(value)
        return np.asarray((total < self.least - NEAR) | (total > self.most + NEAR))

    def failing(self, changes: pl.DataFrame, value: pl.Series) -> pl.DataFrame:
        """The witnesses that break a sum."""
        parts = changes.join(self.entries, on="cell").group_by("of", "witness", "row")
        moved = parts.agg(by=(pl.col("change") * pl.col("factor")).sum())
        row = moved["row"].to_numpy()
        reached = self._total(value)[row] + moved["by"].to_numpy()
        wrong = (reached < self.least[row] - NEAR) | (reached > self.most[row] + NEAR)
        return moved.filter(pl.Series(wrong, dtype=pl.Boolean)).select("of", "witness")

    def _total(self, value: pl.Series) -> Numbers:
        weights = value.to_numpy()[self.entries["cell"].to_numpy()] * self.entries["factor"].to_numpy()
        return np.bincount(self.entries["row"].to_numpy(), weights=weights, minlength=len(self.least)).astype(float)


def _same(parts: list[Part], together: Equations, place: Places) -> pl.DataFrame:
    """One row per cell that is the same count as a cell of another release, with `count`, a number they share."""
    release = np.concatenate([np.full(part.table.height, part.release) for part in parts])
    rows = len(together.basis)
    is_pair = np.bincount(together.row, minlength=rows) == 2
    first = np.searchsorted(together.row, np.flatnonzero(is_pair))
    one, other = together.cell[first], together.cell[first + 1]
    between = (release[one] != release[other]) & (together.factor[first] == -together.factor[first + 1])
    one, other = one[between], other[between]
    label = np.arange(len(release))
    while (label[one] != label[other]).any():
        least = np.minimum(label[one], label[other])
        np.minimum.at(label, label[one], least)
        np.minimum.at(label, label[other], least)
        label = label[label]
    tied = np.unique(np.concatenate([one, other]))
    return pl.DataFrame({"cell": place[tied].astype(np.uint32), "count": place[label[tied]].astype(np.uint32)})


def _extended(given: pl.DataFrame, groups: Sequence[_Group]) -> pl.DataFrame:
    """The changes, and in the other releases those of the same counts, where a witness does not say."""
    same = pl.concat(group.same for group in groups)
    moved = given.join(same, on="cell").unique(["of", "witness", "count"], maintain_order=True)
    spread = moved.drop("cell").join(same, on="count").select(given.columns)
    return pl.concat([given, spread.join(given, on=["of", "witness", "cell"], how="anti")])
