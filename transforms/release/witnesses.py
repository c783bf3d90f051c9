"""The proof that came with a table, checked in one pass without a solver: other whole tables that fit what is public.

A witness is a change of the true table that leaves every published cell alone and keeps every sum. Witnesses are
confidential, for with the public table they tell the truth; the table and the certificate are public, and whoever has
no more attacks those. The check is the auditor's: it trusts neither the decisions nor the witnesses.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from schemas.errors import UsageRefused
from transforms.release.published import Release, Rules, checked, floors, none_of, read_published, refuse, unsafe
from transforms.release.system import gather, tie

DECISIONS_FILE, WITNESSES_FILE = "confidential/decisions.parquet", "confidential/witnesses.parquet"
COLUMNS = {"witness": pl.UInt32(), "cell": pl.UInt32(), "change": pl.Int64()}
"""One row per witness and cell that it changes; `cell` is the row in the table, from 0."""


@dataclass(frozen=True)
class Proof:
    """What was checked: so many `witnesses` show other values for so many `unsafe` cells."""

    witnesses: int
    unsafe: int
    guarantee: str


def verify_directory(path: Path) -> Proof:
    """Check the witnesses in a folder as `caregap protect` wrote it, with its confidential part.

    Raises UsageRefused where a file is not there, DisclosureRefused where a witness, a decision or the table does not
    hold.
    """
    table, rules, _ = read_published(path)
    decisions, witnesses = _read(path / DECISIONS_FILE), _read(path / WITNESSES_FILE)
    if decisions is None or witnesses is None:
        raise UsageRefused("the confidential files cannot be read", "Give the folder as caregap protect wrote it")
    return verify_witnesses(table, rules, decisions, witnesses)


def _read(path: Path) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        return None


def verify_witnesses(table: pl.DataFrame, rules: Rules, decisions: pl.DataFrame, witnesses: pl.DataFrame) -> Proof:
    """Check that the decisions are the table's truth and that the witnesses protect every unsafe cell of it.

    Raises DisclosureRefused with the number of cells where they do not.
    """
    table = checked(table, rules)
    if "value" not in decisions.columns or not {*rules.labels} <= {*decisions.columns}:
        refuse("a column is missing", None, None, "decisions.parquet")
    if not decisions.select(pl.col(rules.labels).cast(pl.String)).equals(table.select(rules.labels)):
        refuse("the decisions are not those of the table", None, None, "decisions.parquet")
    truth = table.with_columns(decisions["value"].cast(pl.Int64, strict=False))
    none_of(truth["value"].is_null(), "the count is missing", "value")
    shown = (table["value"] != truth["value"]).fill_null(False)
    none_of(shown, "the decision is not what was published", "value")
    if dict(witnesses.schema) != COLUMNS:
        refuse("the columns are not those of witnesses", None, None, "witnesses.parquet")
    wrong = (witnesses["cell"] >= table.height) | witnesses.select(pl.struct("witness", "cell").is_duplicated())[:, 0]
    none_of(wrong | witnesses["change"].is_null(), "a change is of no cell, or stands twice", "cell")

    low = _least(table, truth, rules)
    of_truth = truth.select(pl.row_index("cell").cast(pl.UInt32), "value", "#hidden", low=low)
    none_of(of_truth["#hidden"] & (of_truth["value"] < of_truth["low"]), "a count is below what can be", "value")
    must_hide = unsafe(truth, rules)
    none_of(must_hide & ~table["#hidden"], "an unsafe cell is published", "status")

    changed = witnesses.join(of_truth, on="cell", how="left").with_columns(other=pl.col("value") + pl.col("change"))
    none_of(~changed["#hidden"], "a witness changes a published cell", "cell")
    none_of(changed["other"] < changed["low"], "a witness has a count below what can be", "change")
    _must_add_up(table, rules, truth, witnesses)
    far = pl.col("other") >= rules.safe_from if rules.guarantee == "not_small" else pl.col("change") != 0
    seen = np.zeros(table.height, bool)
    seen[changed.filter(far)["cell"].to_numpy()] = True
    none_of(must_hide & ~pl.Series(seen), "an unsafe cell has no witness", "cell")
    return Proof(witnesses["witness"].n_unique(), int(must_hide.sum()), rules.guarantee)


def describe(proof: Proof) -> str:
    """The proof in a line, for a terminal."""
    return (
        f"{proof.witnesses:,} other tables fit all that is published and show that {proof.guarantee} holds for each of "
        f"{proof.unsafe:,} unsafe cells."
    )


def _least(table: pl.DataFrame, truth: pl.DataFrame, rules: Rules) -> pl.Series:
    """What each hidden cell must count at least in a witness: for one's own contribution, also him who is there."""
    low = floors(table, rules)
    if rules.self_contribution:
        low = np.where(truth["value"].to_numpy() >= 1, np.maximum(low, 1), low)
    return pl.Series(low)


def _must_add_up(table: pl.DataFrame, rules: Rules, truth: pl.DataFrame, witnesses: pl.DataFrame) -> None:
    """The truth and every witness satisfy every sum of the table."""
    for parts in gather([Release(table, rules)]):
        together, _ = tie(parts, "any")
        place = np.concatenate([part.table["#place"].to_numpy() for part in parts]).astype(np.uint32)
        entries = pl.DataFrame(
            {"row": together.row, "cell": place[together.cell], "factor": together.factor.astype(np.int64)}
        )
        total = np.bincount(together.row, weights=truth["value"].to_numpy()[entries["cell"]] * together.factor)
        none_of(pl.Series(total != 0), "the decisions do not add up", "value")
        moved = witnesses.join(entries, on="cell").group_by("witness", "row")
        none_of(
            moved.agg((pl.col("change") * pl.col("factor")).sum())["change"] != 0, "a witness does not add up", "change"
        )
