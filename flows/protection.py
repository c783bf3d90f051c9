"""Disclosure control for anybody's count table: `caregap protect` and `caregap attack`."""

import os
from itertools import takewhile
from pathlib import Path

import polars as pl

from schemas.errors import DisclosureRefused, KeyUnavailable, UsageRefused
from transforms.release import attack, attack_values, witnesses
from transforms.release.ledger import Record, name_told, recall, record, remember
from transforms.release.methods import CellKey
from transforms.release.protect import Protected, ToldRefused, describe, protect_counts, write_protected
from transforms.release.spec import Spec, load_spec
from transforms.release.tables import read_counts

POPULATION = "counts"
"""Everything in a ledger that is named on the command line is of one population."""


def protect_file(counts: Path, spec_file: Path, out: Path, ledger: Path | None = None) -> str:
    """Protect the counts of a CSV file as a spec says, into a folder; returns the figures for a terminal.

    With a `ledger`, a folder, the table is protected together with all those of the same cells that went into it
    before, and goes into it itself under the name of its folder.
    """
    spec = load_spec(spec_file)
    table, processes = read_counts(counts, spec), os.cpu_count() or 1
    if ledger is None:
        secret = _cell_key() if isinstance(spec.method, CellKey) else None
        protected = protect_counts(table, spec, processes, secret=secret)
    else:
        if spec.method is not None:
            raise UsageRefused("a ledger is for tables with suppressed cells", "Leave --ledger or the method out")
        known = recall(ledger, POPULATION, table.select(spec.by).unique())
        earlier = list(takewhile(lambda each: each.release_id != out.name, known))
        protected = protect_with(ledger, out.name, table, spec, earlier)
        new = record(out.name, POPULATION, protected.certificate, protected.decisions)
        remember(ledger, new, len(earlier))
    write_protected(protected, out)
    return f"{describe(protected.figures)}\nwritten to           {out}"


def protect_with(ledger: Path, release_id: str, counts: pl.DataFrame, spec: Spec, earlier: list[Record]) -> Protected:
    """Protect counts together with earlier releases. Where these tell unsafe cells, the ledger's folder names them."""
    try:
        return protect_counts(counts, spec, processes=os.cpu_count() or 1, earlier=earlier)
    except ToldRefused as told:
        refused = told
    path = name_told(ledger, release_id, refused.cells)
    next_step = f"{refused.next_step}. Which cells they are stands in {path}; it is as confidential as the counts"
    raise DisclosureRefused(refused.rule, next_step, refused.table, refused.column, refused.count)


def _cell_key() -> bytes:
    """The secret of the cell keys. Raises KeyUnavailable where the file is not there or others may read it."""
    name = os.environ.get("CAREGAP_CELL_KEY_FILE")
    if name is None:
        next_step = "Name a file of mode 0600 that holds it in CAREGAP_CELL_KEY_FILE, the same for every release"
        raise KeyUnavailable("cell keys need a secret", next_step)
    try:
        with Path(name).open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyUnavailable("others may read the file with the secret of the cell keys", "chmod 600 it")
            return file.read().strip()
    except OSError:
        failed = KeyUnavailable("the file with the secret of the cell keys cannot be read", "Correct its name")
    raise failed


def attack_release(*directories: Path) -> attack.Verdict | attack_values.Verdict:
    """What an attacker proves from the public files in folders, the earliest release first."""
    if any(attack_values.has_changed_counts(directory) for directory in directories):
        if len(directories) > 1:
            raise UsageRefused("tables of changed counts are attacked one by one", "Give one folder")
        return attack_values.attack_directory(*directories)
    return attack.attack_directory(*directories, processes=os.cpu_count() or 1)


def describe_attack(verdict: attack.Verdict | attack_values.Verdict) -> str:
    """The verdict in a few lines, for a terminal."""
    if isinstance(verdict, attack_values.Verdict):
        return attack_values.describe(verdict)
    return attack.describe(verdict)


def must_hold(verdict: attack.Verdict | attack_values.Verdict) -> None:
    """Raise DisclosureRefused where a guarantee does not hold."""
    if not verdict.holds:
        raise DisclosureRefused(
            f"the guarantee {verdict.guarantee} does not hold",
            "Do not publish, or withdraw what is published",
            table="table.csv",
            count=verdict.broken,
        )


def verify_witnesses(*directories: Path) -> str:
    """Check the proof that came with tables, without a solver; returns what it shows for a terminal."""
    if any(attack_values.has_changed_counts(directory) for directory in directories):
        raise UsageRefused("a table of changed counts has no witnesses", "Attack it instead: caregap attack DIR")
    return witnesses.describe(witnesses.verify_directory(*directories))
