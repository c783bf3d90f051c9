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
from typing import Any, NoReturn

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.bounds import ContradictionError, Sums, prove

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
    parts = table.partition_by(rules.by, maintain_order=True) if rules.by else [table]
    work = partial(_attack_part, rules=rules, tight=tight)
    order = sorted(range(len(parts)), key=lambda place: -parts[place]["value"].null_count())
    if processes > 1 and len(parts) > 1:
        with ProcessPoolExecutor(min(processes, len(parts)), mp_context=get_context("spawn")) as pool:
            answers = dict(zip(order, pool.map(work, [parts[place] for place in order]), strict=True))
    else:
        answers = {place: work(parts[place]) for place in order}
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


def describe(verdict: Verdict) -> str:
    """The verdict in a few lines, for a terminal."""
    small = " (the guarantee forbids it)" if verdict.guarantee == "not_small" else ""
    return "\n".join(
        [
            f"cells              {verdict.published + verdict.cells.height:>10,}",
            f"suppressed         {verdict.cells.height:>10,}",
            f"recovered, unsafe  {verdict.recovered_unsafe:>10,}",
            f"recovered, safe    {verdict.recovered_safe:>10,}",
            f"provably small     {verdict.provably_small:>10,}{small}",
            f"published, unsafe  {verdict.published_unsafe:>10,}",
            f"The guarantee {verdict.guarantee} {'holds' if verdict.holds else 'does not hold'}.",
        ]
    )


def _checked(table: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    for name in (*rules.labels, "value", "status"):
        if name not in table.columns:
            raise UsageRefused("the column is missing", "Give the whole table", table="table.csv", column=name)
    number = table["value"].cast(pl.Int64, strict=False)
    hidden = table["status"] == "suppressed"
    _none(~table["status"].is_in(["published", "suppressed"]), "the status is not one of ours", "status")
    fraction = (number != table["value"].cast(pl.Float64, strict=False)).fill_null(False)
    _none(fraction | (number.is_null() & table["value"].is_not_null()), "the value is not a whole number", "value")
    _none(number.is_null() != hidden, "the value and the status contradict each other", "value")
    _none((number < 0).fill_null(False), "the value is negative", "value")
    labels = table.select(pl.col(rules.labels).cast(pl.String))
    _none(labels.select(pl.any_horizontal(pl.all().is_null())).to_series(), "a label is missing", None)
    _none(labels.is_duplicated(), "a cell stands more than once", None)
    return labels.with_columns(number, hidden.alias("is_hidden"), status=table["status"])


def _attack_part(table: pl.DataFrame, rules: Rules, *, tight: bool) -> tuple[pl.DataFrame | None, int]:
    """Attack one independent table; None instead of its cells where no counts fit."""
    sums = _sums(table, rules)
    labels = table.filter("is_hidden").select(rules.labels)
    try:
        bounds = prove(sums, rules.threshold, tight=tight)
    except ContradictionError:
        return None, 0
    endless = np.isinf(bounds.high)
    highest = pl.Series("highest", np.where(endless, 0, bounds.high), dtype=pl.Int64)
    cells = labels.with_columns(
        lowest=pl.Series(bounds.low, dtype=pl.Int64),
        highest=pl.select(pl.when(~pl.Series(endless, dtype=pl.Boolean)).then(highest)).to_series(),
        is_exact=pl.Series(bounds.low == bounds.high, dtype=pl.Boolean),
        is_small=pl.Series(bounds.high < rules.threshold, dtype=pl.Boolean),
        is_unsafe_if_exact=pl.Series(bounds.low < rules.threshold, dtype=pl.Boolean),
    )
    return cells, _published_unsafe(table, rules)


def _sums(table: pl.DataFrame, rules: Rules) -> Sums:
    """Every cell that has parts is their sum, along each dimension; published cells are known numbers."""
    columns = list(rules.labels)
    cells = table.with_row_index("cell")
    families: list[pl.DataFrame] = []
    for levels in [*rules.dimensions, *([("measure",)] if rules.linked else [])]:
        total = "eligible" if levels == ("measure",) else SUMMED
        above = []
        for place, level in enumerate(levels):
            is_last = pl.col(levels[place + 1]) == SUMMED if place + 1 < len(levels) else pl.lit(True)
            _none(
                cells.select((pl.col(level) == total) & ~is_last).to_series(),
                "a level under a sum is not summed",
                level,
            )
            above.append(pl.when(is_last).then(pl.lit(total)).otherwise(level).alias(level))
        child = cells.filter(pl.col(levels[0]) != total).with_columns(above)
        family = child.join(cells.select(*columns, pl.col("cell").alias("parent")), on=columns, how="left")
        _none(family["parent"].is_null(), "a sum has no row of its own", levels[0])
        families.append(family.select("parent", "cell", pl.lit(len(families)).alias("axis")))
    shape = [cells.select(levels).n_unique() for levels in rules.dimensions]
    missing = int(np.prod(shape)) * (3 if rules.linked else 1) - cells.height
    if missing or (rules.linked and set(cells["measure"]) != {"eligible", "gap", "closed"}):
        _refuse("the table is not whole", None, abs(missing))

    pairs = pl.concat(families)
    rows = pairs.select("axis", "parent").unique(maintain_order=True).with_row_index("row")
    child = pairs.join(rows, on=["axis", "parent"], maintain_order="left").select("row", "cell", factor=-1.0)
    entries = pl.concat([rows.select("row", cell="parent", factor=1.0), child]).sort("row", maintain_order=True)
    row, cell = entries["row"].to_numpy().astype(np.int64), entries["cell"].to_numpy().astype(np.int64)
    factor, hidden = entries["factor"].to_numpy(), table["is_hidden"].to_numpy()
    value = table["value"].fill_null(0).to_numpy().astype(float)
    open_entry = hidden[cell]
    # a cell is the sum of its inner cells along whichever dimension it is taken apart, so one sum a cell implies all
    width = np.bincount(row[open_entry], minlength=rows.height)
    parent = rows["parent"].to_numpy()
    first = np.lexsort((width, parent))
    basis = np.zeros(rows.height, bool)
    basis[first[np.unique(parent[first], return_index=True)[1]]] = True
    low = np.full(cells.height, 1.0 if rules.zeros_published else 0.0)
    if rules.linked and rules.group_disclosure:
        low[(table["measure"] == "closed").to_numpy()] = 0
    return Sums(
        row=row[open_entry],
        unknown=(np.cumsum(hidden) - 1)[cell[open_entry]],
        factor=factor[open_entry],
        right=-np.bincount(row, weights=factor * value[cell], minlength=rows.height).astype(float),
        basis=basis,
        low=low[hidden],
    )


def _published_unsafe(table: pl.DataFrame, rules: Rules) -> int:
    unsafe = pl.col("value").is_between(1, rules.threshold - 1)
    if not rules.zeros_published:
        unsafe = unsafe | (pl.col("value") == 0)
    found = table.filter(unsafe).height
    if rules.linked and rules.group_disclosure and rules.zeros_published:
        same = [name for name in rules.labels if name != "measure"]
        eligible = table.filter(pl.col("measure") == "eligible").select(*same, eligible="value")
        closed = table.filter((pl.col("measure") == "closed") & (pl.col("value") == 0))
        found += closed.join(eligible, on=same).filter(pl.col("eligible").fill_null(1) >= 1).height
    return found


def _none(wrong: pl.Series, rule: str, column: str | None) -> None:
    if wrong.any():
        _refuse(rule, column, int(wrong.sum()))


def _refuse(rule: str, column: str | None, bad: int) -> NoReturn:
    raise DisclosureRefused(rule, "Publish the table anew from its counts", table="table.csv", column=column, count=bad)
