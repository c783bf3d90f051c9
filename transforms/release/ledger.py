"""What was released before: every cell of every release, so that a later release of the date does not undo it.

One Parquet file per release, with its public rules. A file is confidential: beside what was published it holds the
counts that were hidden, for a correction can only be made safe by who knows what it corrects.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from schemas.policy import Disclosure
from transforms.release.link import Earlier
from transforms.release.published import Rules, rules_of
from transforms.release.spec import MEASURE, STATUS, SUMMED, VALUE, Spec
from transforms.release.tables import CLOSED, GAP, build_blocks

PUBLIC_RULES = ("rules", "by", "dimensions", "linked", "populations", "parts")
COUNT, PEOPLE = "gap", "eligible"


@dataclass(frozen=True)
class Record:
    """One release: its id and date, its public rules, and `cells`, one row per cell of its table.

    `cells` has the labels, `value` (the count, hidden or not) and `status`.
    """

    release_id: str
    as_of: date
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


def record(release_id: str, as_of: date, certificate: Mapping[str, Any], decisions: pl.DataFrame) -> Record:
    """A release as the ledger remembers it, from its certificate and its decisions."""
    is_published = pl.col("decision") == "published"
    status = pl.when(is_published).then(pl.lit("published")).otherwise(pl.lit("suppressed")).alias(STATUS)
    public = {name: certificate[name] for name in PUBLIC_RULES}
    return Record(release_id, as_of, public, decisions.with_columns(status).drop("decision", "unsafe_as"))


def remember(
    folder: Path, release_id: str, as_of: date, certificate: Mapping[str, Any], decisions: pl.DataFrame
) -> Path:
    """Write a release into the ledger, whole or not at all; call it before the release is in sight. Returns the file.

    Doing it again changes nothing. Raises DisclosureRefused where the ledger has a release of the date that this one
    does not know of, for nobody has looked at what the two tell together; UsageRefused where another release of the id
    is there.
    """
    new = record(release_id, as_of, certificate, decisions)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder):
        files = _files(folder)
        known = [each for each in map(_read, files) if each.as_of == as_of and each.release_id != release_id]
        for path in files:
            if path.stem.split("_", 1)[1] == release_id:
                if not _read(path).cells.equals(new.cells):
                    raise UsageRefused("the ledger has another release of this id", "Give the release a new id")
                return path
        if len(known) != certificate["earlier_releases"]:
            raise DisclosureRefused(
                "another release of this date was published since this one was protected",
                "Protect the counts again",
                table="ledger",
                count=len(known),
            )
        number = 1 + max((int(path.stem.split("_", 1)[0]) for path in files), default=0)
        path = folder / f"{number:06d}_{release_id}.parquet"
        beside = folder / f".{path.name}.new"
        beside.unlink(missing_ok=True)
        about = {"release_id": release_id, "as_of": as_of.isoformat(), "certificate": json.dumps(new.certificate)}
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            new.cells.write_parquet(file, metadata=about)
            file.flush()
            os.fsync(file.fileno())
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


def recall(folder: Path, as_of: date) -> list[Record]:
    """The releases of a date, the earliest first."""
    records = [_read(path) for path in _files(folder)]
    return [each for each in records if each.as_of == as_of]


def earlier_tables(records: Sequence[Record], spec: Spec) -> list[Earlier]:
    """What was released before, as tables to protect together with new ones; the earliest first.

    Raises DisclosureRefused where a table cannot be compared with the new ones, so that nobody can say what the two
    tell together.
    """
    found = []
    for each in records:
        _must_compare(spec, each.spec)
        last = [levels[-1] for levels in each.spec.dimensions]
        inner = each.cells.filter(pl.col(name) != SUMMED for name in last)
        labels = list(each.spec.labels)
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


def _must_compare(spec: Spec, before: Spec) -> None:
    """Two tables can be compared where, in each dimension that both have, the inner cells of one are in the other."""
    if spec.by != before.by:
        _refuse("an earlier release of this date is taken apart by other columns")
    alone = [len(spec.dimensions), len(before.dimensions)]
    for new in spec.dimensions:
        for old in before.dimensions:
            if set(new) & set(old):
                alone = [left - 1 for left in alone]
                if new[-1] not in old and old[-1] not in new:
                    _refuse("a dimension does not nest in that of an earlier release of this date")
    if min(alone) > 0:
        _refuse("a dimension of an earlier release of this date has no level in common with the new one")


def _refuse(rule: str) -> None:
    raise DisclosureRefused(rule, "Keep to its levels, or publish down to a level that both have", table="spec")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*_*.parquet")) if folder.is_dir() else []


def _read(path: Path) -> Record:
    about = pl.read_parquet_metadata(path)
    cells = pl.read_parquet(path)
    certificate = json.loads(about["certificate"])
    return Record(about["release_id"], date.fromisoformat(about["as_of"]), certificate, cells)
