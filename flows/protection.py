"""Disclosure control for anybody's count table: `caregap protect` and `caregap attack`."""

import os
from pathlib import Path

from schemas.errors import DisclosureRefused
from transforms.release import attack, witnesses
from transforms.release.protect import describe, protect_counts, write_protected
from transforms.release.spec import load_spec
from transforms.release.tables import read_counts


def protect_file(counts: Path, spec_file: Path, out: Path) -> str:
    """Protect the counts of a CSV file as a spec says, into a folder; returns the figures for a terminal."""
    spec = load_spec(spec_file)
    protected = protect_counts(read_counts(counts, spec), spec, processes=os.cpu_count() or 1)
    write_protected(protected, out)
    return f"{describe(protected.figures)}\nwritten to           {out}"


def attack_release(*directories: Path) -> attack.Verdict:
    """What an attacker proves from the public files in folders, the earliest release first."""
    return attack.attack_directory(*directories, processes=os.cpu_count() or 1)


def describe_attack(verdict: attack.Verdict) -> str:
    """The verdict in a few lines, for a terminal."""
    return attack.describe(verdict)


def must_hold(verdict: attack.Verdict) -> None:
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
    return witnesses.describe(witnesses.verify_directory(*directories))
