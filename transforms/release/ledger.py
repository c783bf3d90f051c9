"""What was released before: every cell of every release, so that a later release of the same cells does not undo it.

One Parquet file per release, with its public rules. A file is confidential: beside what was published it holds the
counts that were hidden, for a correction can only be made safe by who knows what it corrects.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from schemas.policy import Disclosure
from transforms.release.link import Earlier
from transforms.release.published import Rules, rules_of
from transforms.release.spec import MEASURE, STATUS, SUMMED, VALUE, Spec
from transforms.release.tables import CLOSED, GAP, build_blocks

PUBLIC_RULES = ("rules", "by", "dimensions", "linked", "populations", "nested", "parts")
COUNT, PEOPLE = "gap", "eligible"


@dataclass(frozen=True)
class Record:
    """One release: its id, its population, its public rules, and `cells`, one row per cell of its table.

    Only releases of one `population`, a name, are of the same people. `cells` has the labels, `value` (the count,
    hidden or not) and `status`.
    """

    release_id: str
    population: str
    certificate: Mapping[str, Any]
    cells: pl.DataFrame

    @property
    def rules(self) -> Rules:
        """The rules as the public reads them."""
        return rules_of(self.certificate)

    @property
    def table(self) -> pl.DataFrame:
        """The table as it was published."""
        return self.cells.with_columns(pl.when(pl.col(STATUS) == "published").then(VALUE).alias(VALUE))

    @property
    def spec(self) -> Spec:
        """The rules as a spec."""
        rules = dict(self.certificate["rules"])
        own = {name: rules.pop(name) for name in ("self_contribution", "public_eligible")}
        return Spec(
            count=COUNT,
            eligible=PEOPLE if self.certificate["linked"] else None,
            by=tuple(self.certificate["by"]),
            dimensions=tuple(tuple(levels) for levels in self.certificate["dimensions"]),
            rules=Disclosure(**rules),
            **own,
        )


def record(release_id: str, population: str, certificate: Mapping[str, Any], decisions: pl.DataFrame) -> Record:
    """A release as the ledger remembers it, from its certificate and its decisions."""
    is_published = pl.col("decision") == "published"
    status = pl.when(is_published).then(pl.lit("published")).otherwise(pl.lit("suppressed")).alias(STATUS)
    public = {name: certificate[name] for name in PUBLIC_RULES}
    return Record(release_id, population, public, decisions.with_columns(status).drop("decision", "unsafe_as"))


def remember(folder: Path, new: Record, earlier_releases: int) -> Path:
    """Write a release into the ledger, whole or not at all; call it before the release is in sight. Returns the file.

    `earlier_releases` is how many releases the new one was protected together with. Doing it again changes nothing.
    Raises DisclosureRefused where the ledger has others of the same cells, for nobody has looked at what they tell
    together; UsageRefused where another release of the id is there.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder):
        files = _files(folder)
        for path in files:
            if path.stem.split("_", 1)[1] == new.release_id:
                if not _read(path).cells.equals(new.cells):
                    raise UsageRefused("the ledger has another release of this id", "Give the release a new id")
                return path
        keys = new.cells.select(new.certificate["by"]).unique()
        if (known := len(recall(folder, new.population, keys))) != earlier_releases:
            raise DisclosureRefused(
                "another release of the same cells was published since this one was protected",
                "Protect the counts again",
                table="ledger",
                count=known,
            )
        number = 1 + max((int(path.stem.split("_", 1)[0]) for path in files), default=0)
        path = folder / f"{number:06d}_{new.release_id}.parquet"
        beside = folder / f".{path.name}.new"
        beside.unlink(missing_ok=True)
        about = {name: getattr(new, name) for name in ("release_id", "population")}
        about["certificate"] = json.dumps(new.certificate)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            new.cells.write_parquet(file, metadata=about)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    return path


def name_told(folder: Path, release_id: str, cells: pl.DataFrame) -> Path:
    """Write down which cells stopped a release: one row per cell, its labels only. Returns the file, of mode 0600."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"refused_{release_id}.csv"
    beside = folder / f".{path.name}.new"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        cells.write_csv(file)
    beside.rename(path)
    return path


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; a killed process gives the lock back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def recall(folder: Path, population: str, keys: pl.DataFrame) -> list[Record]:
    """The releases of a population that have any of the tables asked for, the earliest first, and only those tables.

    `keys` has the `by` columns and one row per table. A release that is taken apart by other columns comes whole:
    `earlier_tables` refuses it.
    """
    records = []
    for each in map(_read, _files(folder)):
        if each.population != population:
            continue
        cells = each.cells
        if list(each.certificate["by"]) == keys.columns and keys.columns:
            cells = cells.join(keys, on=keys.columns, how="semi", maintain_order="left")
        if not cells.is_empty():
            records.append(replace(each, cells=cells))
    return records


def earlier_tables(records: Sequence[Record], spec: Spec) -> list[Earlier]:
    """What was released before, as tables to protect together with new ones; the earliest first.

    Cells that go by the same name are linked; where dimensions do not nest, what the tables tell together is for the
    auditor to prove. Raises DisclosureRefused where an earlier release is taken apart by other columns.
    """
    found = []
    for each in records:
        if spec.by != each.spec.by:
            rule = "an earlier release of the same cells is taken apart by other columns"
            raise DisclosureRefused(rule, "Keep to its columns", table="spec")
        labels = list(each.spec.labels)
        inner = each.cells.filter(_is_inner(levels[-1], each.spec.by) for levels in each.spec.dimensions)
        if each.spec.eligible is not None:
            of = {
                name: inner.filter(pl.col(MEASURE) == name).select(*labels, pl.col(VALUE).alias(name))
                for name in (GAP, CLOSED)
            }
            inner = of[GAP].join(of[CLOSED], on=labels, validate="1:1")
            inner = inner.select(*labels, pl.col(GAP).alias(COUNT), (pl.col(GAP) + pl.col(CLOSED)).alias(PEOPLE))
        else:
            inner = inner.rename({VALUE: COUNT})
        names = labels + ([MEASURE] if each.spec.eligible is not None else [])
        for block in build_blocks(inner.select(*labels, *each.spec.counts), each.spec):
            status = block.labels(each.spec.by).join(each.cells, on=names, how="left", maintain_order="left")[STATUS]
            found.append(Earlier(block, each.spec, (status == "published").to_numpy()))
    return found


def _is_inner(level: str, by: tuple[str, ...]) -> pl.Expr:
    """Whether a cell is not summed over a dimension, by its finest level; a table without it has no other cells."""
    is_summed = pl.col(level) == SUMMED
    return ~is_summed | (is_summed.all().over(by) if by else is_summed.all())


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*_*.parquet")) if folder.is_dir() else []


def _read(path: Path) -> Record:
    about = pl.read_parquet_metadata(path)
    return Record(about["release_id"], about["population"], json.loads(about["certificate"]), pl.read_parquet(path))
