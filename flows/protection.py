"""Disclosure control for anybody's count table: `caregap protect` and `caregap attack`."""

import os
from pathlib import Path

from transforms.release import attack
from transforms.release.protect import describe, protect_counts, write_protected
from transforms.release.spec import load_spec
from transforms.release.tables import read_counts


def protect_file(counts: Path, spec_file: Path, out: Path) -> str:
    """Protect the counts of a CSV file as a spec says, into a folder; returns the figures for a terminal."""
    spec = load_spec(spec_file)
    protected = protect_counts(read_counts(counts, spec), spec, processes=os.cpu_count() or 1)
    write_protected(protected, out)
    return f"{describe(protected.certificate)}\nwritten to           {out}"


def attack_release(directory: Path) -> str:
    """What an attacker proves from the public files in a folder; returns the verdict for a terminal."""
    verdict = attack.attack_directory(directory, processes=os.cpu_count() or 1)
    return attack.describe(verdict)
