"""The independent auditor: what can be worked back from a protected table and its public certificate alone.

It reads what anybody may read and shares no code with what made the table. Its verdicts are proven: a cell that it
calls exactly recoverable has one possible value, and a cell that it does not has two.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused

TABLE_FILE, CERTIFICATE_FILE = "table.csv", "certificate.json"
SUMMED = "*"


@dataclass(frozen=True)
class Rules:
    """What a certificate says of a table: its shape, and by which rules cells were hidden."""

    by: tuple[str, ...]
    dimensions: tuple[tuple[str, ...], ...]
    linked: bool
    threshold: int
    zeros_published: bool
    group_disclosure: bool
    guarantee: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that name a cell."""
        levels = tuple(level for levels in self.dimensions for level in levels)
        return (*self.by, *levels, *(("measure",) if self.linked else ()))


@dataclass(frozen=True)
class Verdict:
    """What an attacker learns.

    `cells` has one row per suppressed cell: its labels, `lowest` and `highest` (proven bounds, null where there is no
    upper one), `is_exact`, `is_small` (proven below the threshold) and `is_unsafe_if_exact`. `published_unsafe` counts
    published cells that the rules say should be hidden.
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
    def holds(self) -> bool:
        """Whether the table keeps what its certificate guarantees."""
        small = self.provably_small if self.guarantee == "not_small" else 0
        return not (self.recovered_unsafe or self.published_unsafe or small)


def attack_directory(path: Path, *, tight: bool = False, processes: int = 1) -> Verdict:
    """Attack a published table from its folder: table.csv and certificate.json.

    Raises UsageRefused where they are not there or not readable, DisclosureRefused where they contradict themselves.
    """
    try:
        certificate = json.loads((path / CERTIFICATE_FILE).read_text("utf-8"))
        table = pl.read_csv(path / TABLE_FILE, infer_schema=False)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        certificate, table = None, pl.DataFrame()
    if certificate is None:
        raise UsageRefused("table.csv and certificate.json cannot be read", "Give the folder of a protected table")
    return attack_table(table, rules_of(certificate), tight=tight, processes=processes)


def rules_of(certificate: Mapping[str, Any]) -> Rules:
    """Read the rules from a certificate. Raises UsageRefused where they are not there."""
    try:
        rules = certificate["rules"]
        found = Rules(
            by=tuple(certificate["by"]),
            dimensions=tuple(tuple(levels) for levels in certificate["dimensions"]),
            linked=bool(certificate["linked"]),
            threshold=int(rules["threshold"]),
            zeros_published={"publish": True, "protect": False}[rules["zeros"]],
            group_disclosure=bool(rules["group_disclosure"]),
            guarantee={"not_exact": "not_exact", "not_small": "not_small"}[rules["guarantee"]],
        )
    except (KeyError, TypeError, ValueError):
        found = None
    if found is None:
        raise UsageRefused("the certificate does not hold the rules", "Give the certificate that came with the table")
    return found


def attack_table(table: pl.DataFrame, rules: Rules, *, tight: bool = False, processes: int = 1) -> Verdict:
    """Attack a protected table; with `tight` every bound is the tightest there is, which takes longer.

    Raises DisclosureRefused where the table is not whole or no counts fit it.
    """
    table = _checked(table, rules)
    groups = [rules.labels[len(rules.by) :]]
    parts = list(table.partition_by(rules.by, maintain_order=True)) if rules.by else [table]
    work = partial(_attack_part, rules=rules, tight=tight)
    order = sorted(range(len(parts)), key=lambda place: -parts[place]["value"].null_count())
    if processes > 1 and len(parts) > 1:
        with ProcessPoolExecutor(min(processes, len(parts)), mp_context=get_context("spawn")) as pool:
            answers = dict(zip(order, pool.map(work, [parts[place] for place in order]), strict=True))
    else:
        answers = {place: work(parts[place]) for place in order}
    del groups
    found = [answers[place] for place in range(len(parts))]
    if any(cells is None for cells, _ in found):
        bad = sum(cells is None for cells, _ in found)
        raise DisclosureRefused(
            "no whole counts fit the published ones: the table was changed or its rules are not these",
            "Publish it anew from its counts",
            table="table.csv",
            count=bad,
        )
    return Verdict(
        cells=pl.concat(cells for cells, _ in found if cells is not None),
        published=int((table["status"] == "published").sum()),
        published_unsafe=sum(unsafe for _, unsafe in found),
        guarantee=rules.guarantee,
    )
