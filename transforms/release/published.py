"""Published tables as anybody reads them: the rules they were made by, their cells, and the sums that tie them.

The auditor's reading. It takes nothing from what made the tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.printed import Printed, read_printed

TABLE_FILE, CERTIFICATE_FILE = "table.csv", "certificate.json"
CORRESPONDENCE_FILE, MANIFEST_FILE = "correspondence.csv", "manifest.json"
SUMMED = "*"
DATE_COLUMNS = ("as_of", "month")


@dataclass(frozen=True)
class Rules:
    """What a certificate says of a table: its shape, and by which rules cells were hidden.

    `populations` lists `by` values that count the same eligible people, `nested` pairs of which everybody eligible in
    the first is so in the second, `parts` a `by` value, those that add up to it, and in which measures they do.
    """

    by: tuple[str, ...]
    dimensions: tuple[tuple[str, ...], ...]
    linked: bool
    threshold: int
    zeros_published: bool
    group_disclosure: bool
    guarantee: str
    self_contribution: bool = False
    public_eligible: bool = False
    populations: tuple[tuple[tuple[str, ...], ...], ...] = ()
    nested: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    parts: tuple[tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]], ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that name a cell."""
        levels = tuple(level for levels in self.dimensions for level in levels)
        return (*self.by, *levels, *(("measure",) if self.linked else ()))

    @property
    def date_column(self) -> str | None:
        """The `by` column that says which date, or month, a count is of."""
        return next((name for name in DATE_COLUMNS if name in self.by), None)

    @property
    def safe_from(self) -> int:
        """The least safe count: who is counted himself subtracts one and must still face the threshold."""
        return self.threshold + self.self_contribution


@dataclass(frozen=True)
class Equations:
    """Sums as entries: in each row, `factor` times the value of `cell` add up to nothing.

    The rows marked `basis` imply all the others.
    """

    row: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int64]
    factor: npt.NDArray[np.float64]
    basis: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """The table of one `by` value in one release; `release` is its place among the releases given.

    `count` is the `by` value without its date, and `date` that date, or the release's: parts with both alike count the
    same people.
    """

    release: int
    key: tuple[str, ...]
    count: tuple[str, ...]
    date: str
    table: pl.DataFrame
    rules: Rules
    equations: Equations
    printed: Printed | None
    correspondence: pl.DataFrame | None


@dataclass(frozen=True)
class Release:
    """What is public of a release: its table, the date that it is of (as it is written) and its derived figures.

    `correspondence` has one row per smallest group that two cuts of the same people have in common, with the level
    columns of both.
    """

    table: pl.DataFrame
    rules: Rules
    date: str | None = None
    printed: Printed | None = None
    correspondence: pl.DataFrame | None = None


def same_date(one: str, other: str) -> bool:
    """Whether two dates are the same, or one is the month of the other."""
    return one == other or (len(min(one, other, key=len)) == 7 and one[:7] == other[:7])


def read_release(path: Path) -> Release:
    """Read all that a release's folder tells. Raises UsageRefused where it cannot be read."""
    table, rules, certificate = read_published(path)
    correspondence = None
    try:
        if (path / CORRESPONDENCE_FILE).exists():
            correspondence = pl.read_csv(path / CORRESPONDENCE_FILE, infer_schema=False)
        manifest = path / MANIFEST_FILE
        about = certificate | (json.loads(manifest.read_text("utf-8")) if manifest.exists() else {})
    except (OSError, ValueError, TypeError, pl.exceptions.PolarsError):
        about = None
    if about is None:
        raise UsageRefused("the release cannot be read", "Give the folder as it was published", table=path.name)
    day = about.get("as_of")
    labels = tuple(name for name in rules.labels if name != "measure" or not rules.linked)
    return Release(table, rules, day and str(day), read_printed(path, certificate, labels), correspondence)


def read_published(path: Path) -> tuple[pl.DataFrame, Rules, dict[str, Any]]:
    """Read a folder: the table, the rules and the whole certificate. Raises UsageRefused where they are not there."""
    try:
        certificate = json.loads((path / CERTIFICATE_FILE).read_text("utf-8"))
        table = pl.read_csv(path / TABLE_FILE, infer_schema=False)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        certificate, table = None, pl.DataFrame()
    if certificate is None:
        raise UsageRefused("table.csv and certificate.json cannot be read", "Give the folder of a protected table")
    return table, rules_of(certificate), certificate


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
            self_contribution=bool(rules.get("self_contribution", False)),
            public_eligible=bool(rules.get("public_eligible", False)),
            populations=tuple(
                tuple(tuple(str(word) for word in key) for key in same) for same in certificate.get("populations", ())
            ),
            nested=tuple(
                (tuple(map(str, part)), tuple(map(str, whole))) for part, whole in certificate.get("nested", ())
            ),
            parts=tuple(
                (
                    tuple(map(str, one["whole"])),
                    tuple(tuple(map(str, key)) for key in one["parts"]),
                    tuple(map(str, one["measures"])),
                )
                for one in certificate.get("parts", ())
            ),
        )
    except (KeyError, TypeError, ValueError):
        found = None
    if found is None:
        raise UsageRefused("the certificate does not hold the rules", "Give the certificate that came with the table")
    return found


def checked(table: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """The labels as text, `value`, `#hidden` and `status`; one row per cell, in the table's order."""
    for name in (*rules.labels, "value", "status"):
        if name not in table.columns:
            raise UsageRefused("the column is missing", "Give the whole table", table="table.csv", column=name)
    number = table["value"].cast(pl.Int64, strict=False)
    hidden = table["status"] == "suppressed"
    none_of(~table["status"].is_in(["published", "suppressed"]), "the status is not one of ours", "status")
    fraction = (number != table["value"].cast(pl.Float64, strict=False)).fill_null(False)
    none_of(fraction | (number.is_null() & table["value"].is_not_null()), "the value is not a whole number", "value")
    none_of(number.is_null() != hidden, "the value and the status contradict each other", "value")
    none_of((number < 0).fill_null(False), "the value is negative", "value")
    labels = table.select(pl.col(rules.labels).cast(pl.String))
    none_of(labels.select(pl.any_horizontal(pl.all().is_null())).to_series(), "a label is missing", None)
    none_of(labels.is_duplicated(), "a cell stands more than once", None)
    return labels.with_columns(number, hidden.alias("#hidden"), status=table["status"])


def split(table: pl.DataFrame, rules: Rules) -> dict[tuple[str, ...], pl.DataFrame]:
    """The checked table of each `by` value, with `#place`, the row in the whole table."""
    table = table.with_row_index("#place")
    if not rules.by:
        return {(): table}
    parts = table.partition_by(rules.by, as_dict=True, maintain_order=True)
    return {tuple(str(word) for word in key): part for key, part in parts.items()}


def equations(table: pl.DataFrame, rules: Rules) -> Equations:
    """Every cell that has parts is their sum, along each dimension; for the table of one `by` value.

    Raises DisclosureRefused where the table is not whole.
    """
    columns = list(rules.labels)
    cells = table.with_row_index("#cell")
    families: list[pl.DataFrame] = []
    for levels in [*rules.dimensions, *([("measure",)] if rules.linked else [])]:
        total = "eligible" if levels == ("measure",) else SUMMED
        above = []
        for place, level in enumerate(levels):
            is_last = pl.col(levels[place + 1]) == SUMMED if place + 1 < len(levels) else pl.lit(True)
            wrong = cells.select((pl.col(level) == total) & ~is_last).to_series()
            none_of(wrong, "a level under a sum is not summed", level)
            above.append(pl.when(is_last).then(pl.lit(total)).otherwise(level).alias(level))
        child = cells.filter(pl.col(levels[0]) != total).with_columns(above)
        family = child.join(cells.select(*columns, pl.col("#cell").alias("#parent")), on=columns, how="left")
        none_of(family["#parent"].is_null(), "a sum has no row of its own", levels[0])
        families.append(
            family.select(
                pl.col("#parent").alias("parent"), pl.col("#cell").alias("cell"), pl.lit(len(families)).alias("axis")
            )
        )
    shape = [cells.select(levels).n_unique() for levels in rules.dimensions]
    missing = int(np.prod(shape)) * (3 if rules.linked else 1) - cells.height
    if missing or (rules.linked and set(cells["measure"]) != {"eligible", "gap", "closed"}):
        refuse("the table is not whole", None, abs(missing))
    pairs = pl.concat(families)
    rows = pairs.select("axis", "parent").unique(maintain_order=True).with_row_index("row")
    child = pairs.join(rows, on=["axis", "parent"], maintain_order="left").select("row", "cell", factor=-1.0)
    entries = pl.concat([rows.select("row", cell="parent", factor=1.0), child]).sort("row", maintain_order=True)
    row, cell = entries["row"].to_numpy().astype(np.int64), entries["cell"].to_numpy().astype(np.int64)
    # a cell is the sum of its inner cells along whichever dimension it is taken apart, so one sum a cell implies all
    width = np.bincount(row[table["#hidden"].to_numpy()[cell]], minlength=rows.height)
    parent = rows["parent"].to_numpy()
    first = np.lexsort((width, parent))
    basis = np.zeros(rows.height, bool)
    basis[first[np.unique(parent[first], return_index=True)[1]]] = True
    return Equations(row, cell, entries["factor"].to_numpy(), basis)


def floors(table: pl.DataFrame, rules: Rules) -> npt.NDArray[np.int64]:
    """The least that each cell counts if it is hidden, as far as the rules tell; one entry per row."""
    low = np.full(table.height, int(rules.zeros_published))
    if rules.linked and rules.group_disclosure:
        low[(table["measure"] == "closed").to_numpy()] = 0
    return low


def unsafe(table: pl.DataFrame, rules: Rules) -> pl.Series:
    """Which cells the rules say must be hidden, as far as the values in the table tell."""
    value = table["value"]
    small = value.is_between(1, rules.safe_from - 1)
    if not rules.zeros_published:
        small = small | (value == 0)
    if rules.linked and rules.group_disclosure and rules.zeros_published:
        closed = (table["measure"] == "closed") & (value == 0)
        small = small | (closed & (_beside(table, rules, "eligible").fill_null(1) >= 1))
    if rules.linked and rules.public_eligible:
        small = small & (table["measure"] != "eligible") & (_beside(table, rules, "eligible") != 0)
    return small.fill_null(False)


def _beside(table: pl.DataFrame, rules: Rules, measure: str) -> pl.Series:
    """The value of another measure of the same group, for every row; null where it is hidden."""
    same = [name for name in rules.labels if name != "measure"]
    other = table.filter(pl.col("measure") == measure).select(*same, other="value")
    return table.select(same).join(other, on=same, how="left", maintain_order="left")["other"]


def none_of(wrong: pl.Series, rule: str, column: str | None) -> None:
    """Raise DisclosureRefused where a row is wrong."""
    if wrong.any():
        refuse(rule, column, int(wrong.sum()))


def refuse(rule: str, column: str | None, bad: int | None, table: str = "table.csv") -> NoReturn:
    """Raise DisclosureRefused for a published table."""
    raise DisclosureRefused(rule, "Publish the table anew from its counts", table=table, column=column, count=bad)
