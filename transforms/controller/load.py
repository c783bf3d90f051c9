"""From a source's batches to files for the lake: normalise, validate, pseudonymise, generalise, number, sort.

Persons come first and are numbered in the order of their pseudonyms, which says nothing of the order they came in.
Events carry that number. They are staged by buckets of persons, so that each bucket can be sorted in memory; rejected
rows are sealed. Rows in = rows kept + rows quarantined, per table, asserted at the end.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from threading import RLock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.errors import SourceRefused
from schemas.policy import EventResolution, Resolution
from schemas.table import PERSON_ID, PERSON_NUMBER, RECORD_ID, Table
from schemas.tables import IDENTITY_LINK, SOURCE_TABLES, TABLES
from transforms.controller import validate
from transforms.controller.generalise import (
    WITHHELD,
    district_of,
    generalise_area,
    generalise_birth,
    generalise_dates,
    security_banned,
    without_whereabouts,
)
from transforms.controller.keys import Keyring
from transforms.controller.links import Links
from transforms.controller.memory import WAITS, Memory
from transforms.controller.normalise import normalise
from transforms.controller.pseudonymise import PseudonymKey, pseudonym_key, pseudonymise, to_series
from transforms.controller.quarantine import SUFFIX, quarantine_key, seal
from transforms.controller.register import KEY, SAID, TAKEN_BACK, Numbering, number_all, number_more, resolve, words
from transforms.controller.sorting import in_order, within
from transforms.controller.supersede import ARRIVAL, SUPERSEDED, append_entries, distinct, losers

BUCKET_PERSONS = 1 << 17
"""Persons whose events are sorted together: some 10 million events of five years, below 2 GB."""
ROW_GROUP = 1 << 16
FILE_ROWS = 1 << 17
"""Rows of a file, all of which are written anew where one of them must go."""
RECENT_DAYS = 92
"""Rows recorded in the last quarter lie in files of their own: what the next days correct is nearly all among them."""
RECENT = "recent-"
"""How the names of those files begin."""
WHOLE_TABLES = ("person", "residence", "restriction")
"""Tables that are small enough to be written whole each time."""
_WORKERS = 2
_PART = 1 << 32
"""Rows that a batch has at most."""


@dataclass(frozen=True)
class Terms:
    """What a load needs to know beside the rows: keys, policy and geography."""

    keyring: Keyring
    domain: str
    identifier: str
    birth_date: Resolution
    areas: pl.DataFrame
    as_of: date
    latest: date
    event_dates: Mapping[str, EventResolution] = field(default_factory=dict)

    def resolution(self, table: str) -> EventResolution:
        """How exact the dates of a table's events are in the lake."""
        return self.event_dates.get(table, "day")


@dataclass
class Tally:
    """Rows of one table: how many came, how many were kept, and the rest by reason. Duplicates are a reason too."""

    rows_in: int = 0
    kept: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)

    def duplicates(self, count: int) -> None:
        """Count exact duplicates; they hold nothing that the kept row does not, so nothing is sealed."""
        self.left_out(validate.DUPLICATE, count)

    def left_out(self, reason: str, count: int) -> None:
        """Count rows that are not kept."""
        if count:
            self.quarantined[reason] += count

    def reconcile(self, table: str) -> None:
        """Raise AssertionError where a row has disappeared or come into being."""
        if self.rows_in != self.kept + self.quarantined.total():
            raise AssertionError(f"{table}: rows in are not rows kept and quarantined")


@dataclass(frozen=True)
class Before:
    """What an increment adds to: what is remembered of the loads before it, and the lake's persons (KEY, number)."""

    memory: Memory
    persons: pl.DataFrame


class Loader:
    """Takes batches of source rows and leaves files for the lake in `staging`, rejected rows in `quarantine`.

    Use: `add` each batch, identity links first and persons next, then `finish`. Both folders must exist, be empty and
    be the controller's. Batches of events may be added by several threads at once once the first has been; `part`
    gives their order then. With a `before`, the rows are those of an increment: `transforms.controller.increment`.
    """

    def __init__(self, terms: Terms, staging: Path, quarantine: Path, before: Before | None = None) -> None:
        """Derive the keys that the load needs."""
        self.tallies: dict[str, Tally] = {}
        self.withheld: pl.DataFrame | None = None
        self.numbering: Numbering | None = None
        self.terms = terms
        self._staging, self._quarantine = staging, quarantine
        self._before = before
        self._person_key = pseudonym_key(terms.keyring, terms.identifier, terms.domain)
        self._sealing_key = quarantine_key(terms.keyring)
        self._districts = district_of(terms.areas)
        self._links = before.memory.known_links() if before else Links()
        self._said: list[pl.DataFrame] = [before.memory.persons] if before else []
        self._raw: list[pl.DataFrame] = []
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._parts = 0
        self._lock = RLock()

    def add(self, name: str, raw: pl.DataFrame, part: int | None = None, *, again: bool = False) -> None:
        """Take one batch of a table. Raises SourceRefused where persons come after other tables.

        Rows that were rejected before come `again`: those that are still rejected go on waiting and are not counted.
        """
        table = SOURCE_TABLES[name]
        rows, unreadable = normalise(raw, table, self.terms.identifier)
        reason = validate.reasons(rows, table, self.terms.identifier, unreadable, self.terms.latest)
        if name == IDENTITY_LINK:
            self._count_in(name, raw)
            self._link(raw, rows, reason)
            return
        if name == "person":
            if self.numbering is not None:
                raise SourceRefused("persons came after other rows", "Deliver all persons first", table="person")
            if again:
                raw, rows, reason = self._still_waiting(name, raw, rows, reason)
            self._count_in(name, raw)
            self._person_rows(raw, rows, reason)
            return
        rows = rows.with_columns(self._links.current(rows[PERSON_ID]))
        numbers = self._numbers(rows[PERSON_ID])
        reason = _also(reason, numbers.is_null(), f"{PERSON_ID}: {validate.UNKNOWN_PERSON}")
        rows = rows.with_columns(numbers.alias(PERSON_NUMBER))
        if again:
            raw, rows, reason = self._still_waiting(name, raw, rows, reason)
        part = self._count_in(name, raw, part)
        self._reject(name, raw, reason)
        if reason.null_count() < rows.height:
            rows = rows.filter(reason.is_null())
        self._stage(table, self._cross(table, rows), part)

    def finish(self) -> Iterator[tuple[str, list[Path]]]:
        """Sort, drop what is there twice or replaced, write the files for the lake; pairs of table name and files.

        Raises SourceRefused where no person was kept.
        """
        self.number_persons()
        yield "person", [self._staging / "person.parquet"]
        banned = self.security_banned()
        for name, table in TABLES.items():
            if name != "person":
                yield name, self._finish_table(table, banned)
        for name, tally in self.tallies.items():
            tally.reconcile(name)

    def memory(self) -> Memory:
        """What later increments need to know of this load."""
        if self._said:
            raise AssertionError("persons have not been numbered")
        none = pl.DataFrame(schema=TABLES["residence"].platform_schema)
        waiting = {name: pl.concat(parts, how="diagonal") for name, parts in self._waiting.items()}
        withheld = none if self.withheld is None else self.withheld
        return Memory(self._remembered, self._links.said, waiting, withheld, self.terms.event_dates)

    # Persons

    def _link(self, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series) -> None:
        """Take identity links. Raises SourceRefused where persons came before them."""
        if self._raw or self.numbering is not None:
            raise SourceRefused("identity links came after persons", "Deliver them first", table=IDENTITY_LINK)
        usable = reason.is_null()
        disagree = self._links.add(rows.filter(usable))
        reason = reason.scatter(usable.arg_true(), disagree)
        self._reject(IDENTITY_LINK, raw, reason)
        self.tallies[IDENTITY_LINK].kept += reason.null_count()

    def _person_rows(self, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series) -> None:
        """Keep what the valid rows of a person batch say, and the rows themselves until the persons are numbered."""
        self._reject("person", raw, reason)
        valid = reason.is_null()
        said = rows.filter(valid).select(*SAID).with_columns(pl.col("is_retracted").fill_null(False))
        self._said.append(said)
        self._raw.append(raw.filter(valid))

    def number_persons(self) -> Numbering:
        """Merge rows of one person, quarantine persons whose rows contradict each other, number and write the rest."""
        with self._lock:
            if self.numbering is None:
                self.numbering = self._number_persons()
            return self.numbering

    def _number_persons(self) -> Numbering:
        if not self._said:
            raise SourceRefused("no person was read", "Check the source", table="person")
        said = pl.concat(self._said)
        earlier = said.height - sum(rows.height for rows in self._raw)
        found = resolve(said, self._links, self._person_key)
        if found.persons.height == 0:
            # The rows are sealed, so that the reasons can be looked at.
            self._lose_persons(found.lost, earlier)
            raise SourceRefused("no valid person was read", "See the quarantine for the reasons", table="person")
        if self._raw:
            tally = self.tallies["person"]
            kept = found.persons.filter(pl.col("arrival") >= earlier).height
            lost = self._lose_persons(found.lost, earlier)
            tally.kept = kept
            tally.left_out(validate.MERGED, said.height - earlier - kept - lost)
        # Of a person whose row was taken back nothing is remembered but that.
        taken_back = found.lost.filter(pl.col("reason") == TAKEN_BACK)["arrival"]
        places = pl.int_range(pl.len(), dtype=pl.UInt32)
        self._remembered = said.filter(pl.col("is_retracted") | ~places.is_in(taken_back.implode()))
        self._said, self._raw = [], []
        numbering = self._numbered(found.persons, said[:earlier])
        self._write_persons(found.persons, numbering)
        return numbering

    def _numbered(self, persons: pl.DataFrame, earlier: pl.DataFrame) -> Numbering:
        if self._before is None:
            return number_all(persons)
        said = ["former_id", "person_id"]
        undone = self._before.memory.known_links().pairs.join(self._links.pairs, on=said, how="anti")
        if undone.height:
            raise SourceRefused(
                "identity links contradict those of earlier loads, whose persons are one in the lake",
                "Load the source in full",
                IDENTITY_LINK,
                "former_id",
                undone.height,
            )
        was, now = (
            self._before.memory.known_links().current(earlier[PERSON_ID]),
            self._links.current(earlier[PERSON_ID]),
        )
        changed = was.ne_missing(now)
        became = pl.DataFrame(words(pseudonymise(was.filter(changed), self._person_key)))
        after = pl.DataFrame(words(pseudonymise(now.filter(changed), self._person_key))).rename(
            dict(zip(KEY, ("now_0", "now_1"), strict=True))
        )
        return number_more(persons, self._before.persons, pl.concat([became, after], how="horizontal").unique(KEY))

    def _write_persons(self, persons: pl.DataFrame, numbering: Numbering) -> None:
        pseudonym = persons.select(*KEY).to_numpy(order="c").view(np.uint8).reshape(-1, 16)
        rows = persons.with_columns(
            numbering.index[PERSON_NUMBER],
            generalise_birth(persons["birth_date"], self.terms.birth_date).alias("birth_date"),
            persons["sex"].fill_null("unknown").alias("sex"),
            to_series(pseudonym, "pseudonym"),
        )
        table = TABLES["person"]
        write(rows.select(*table.platform_schema).sort(PERSON_NUMBER), self._staging / "person.parquet")

    def _lose_persons(self, lost: pl.DataFrame, earlier: int) -> int:
        """Seal the rows of this load that stand for nobody; returns how many."""
        lost = lost.filter(pl.col("arrival") >= earlier)
        if not lost.height:
            return 0
        raw = pl.concat(self._raw, how="diagonal_relaxed").with_row_index("arrival", earlier)
        rejected = raw.join(lost, on="arrival", how="inner", maintain_order="left")
        self._reject("person", rejected.drop("arrival", "reason"), rejected["reason"])
        return lost.height

    def _numbers(self, identifiers: pl.Series) -> pl.Series:
        """The person number of each identifier; null where there is no such person."""
        numbering = self.numbering or self.number_persons()
        return numbering.number_of(pseudonymise(identifiers, self._person_key))

    # Events

    def _cross(self, table: Table, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows in the form in which they may cross the boundary: `table.platform_schema`."""
        columns = {PERSON_NUMBER: rows[PERSON_NUMBER]}
        columns |= {column.name: rows[column.name] for column in table.platform_columns}
        if table.name == "residence":
            columns["area_code"] = generalise_area(rows["area_code"], self._districts)
        if RECORD_ID in table.names:
            columns["record_key"] = self._record_keys(table, rows[RECORD_ID])
        return pl.DataFrame(columns).select(*table.platform_schema)

    def _record_keys(self, table: Table, record_ids: pl.Series) -> pl.Series:
        if record_ids.null_count() == len(record_ids):
            return pl.Series([None], dtype=pl.Binary).new_from_index(0, len(record_ids))
        key: PseudonymKey = pseudonym_key(self.terms.keyring, f"record:{table.name}", self.terms.domain)
        return to_series(pseudonymise(record_ids, key), "record_key", record_ids.is_not_null())

    def _stage(self, table: Table, rows: pl.DataFrame, part: int) -> None:
        if rows.height == 0:
            return
        rows = rows.with_columns((pl.int_range(pl.len()) + part * _PART).alias(ARRIVAL))
        if "record_key" in rows.columns:
            crossing = generalise_dates(rows, table, self.terms.resolution(table.name))
            with self._lock:
                append_entries(self._staging / f"{table.name}.keys", crossing)
        buckets = rows.with_columns(_bucket=_bucket_of(table, self.terms.as_of))
        for (bucket,), some in buckets.partition_by("_bucket", as_dict=True, include_key=False).items():
            folder = self._staging / table.name / (RECENT if bucket < 0 else f"{bucket:04d}")
            folder.mkdir(parents=True, exist_ok=True)
            some.write_ipc(folder / f"{part:08d}.part", compression="lz4")

    def staged(self, name: str, tally: Tally | None = None) -> pl.DataFrame:
        """The staged rows of a table in the order in which they came, each record once, with ARRIVAL.

        What is left out is counted in the table's tally, or in one that is given.
        """
        parts = [part for bucket in self._buckets(name) for part in bucket.iterdir()]
        none = pl.DataFrame(schema={**TABLES[name].platform_schema, ARRIVAL: pl.Int64})
        if not parts:
            return none
        rows = pl.concat([pl.read_ipc(part) for part in parts]).sort(ARRIVAL)
        return self._without_repeated(tally or self.tallies[name], rows, *losers(self._staging / f"{name}.keys"))

    def _buckets(self, name: str) -> list[Path]:
        folder = self._staging / name
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def security_banned(self) -> pl.Series:
        """Numbers of the persons whose address is secret on the as-of date or later."""
        return security_banned(self.staged("restriction", Tally()).lazy(), self.terms.as_of)

    def _finish_table(self, table: Table, banned: pl.Series) -> list[Path]:
        """Finish the buckets, two at a time, and put their files in a row."""
        buckets = self._buckets(table.name)
        lost, shared = losers(self._staging / f"{table.name}.keys")
        with ThreadPoolExecutor(_WORKERS) as pool:
            made = list(pool.map(lambda bucket: self._finish_bucket(table, bucket, banned, lost, shared), buckets))
        files: list[Path] = []
        for paths in made:
            for path in paths:
                name = f"{RECENT if path.name.startswith(RECENT) else ''}{len(files):04d}.parquet"
                files.append(path.rename(self._staging / table.name / name))
        return files

    def _finish_bucket(
        self, table: Table, bucket: Path, banned: pl.Series, lost: NDArray[np.int64], shared: NDArray[np.int64]
    ) -> list[Path]:
        rows = pl.concat([pl.read_ipc(part) for part in sorted(bucket.iterdir())])
        shutil.rmtree(bucket)
        rows = self._without_repeated(self.tallies[table.name], rows, lost, shared).drop(ARRIVAL)
        before = rows.height
        if table.name == "residence" and len(banned):
            self.withheld = rows.filter(pl.col(PERSON_NUMBER).is_in(banned.implode()))
            rows = without_whereabouts(rows, banned)
        rows = in_order(generalise_dates(rows, table, self.terms.resolution(table.name)), table.order)
        with self._lock:
            self.tallies[table.name].left_out(WITHHELD, before - rows.height)
            self.tallies[table.name].kept += rows.height
        return write_run(rows, bucket)

    def _without_repeated(
        self, tally: Tally, rows: pl.DataFrame, lost: NDArray[np.int64], shared: NDArray[np.int64]
    ) -> pl.DataFrame:
        """Rows of records that no later row replaces, and of the rows without a key each distinct one."""
        replaced = duplicates = 0
        if len(shared):
            arrival = rows[ARRIVAL].to_numpy()
            several = rows.filter(pl.Series(within(arrival, shared)))
            goes = within(arrival, lost)
            gone = int(goes.sum())
            rows = rows.filter(pl.Series(~goes)) if gone else rows
            duplicates = min(gone, several.height - several.drop(ARRIVAL).n_unique())
            replaced = gone - duplicates
        before = rows.height
        if "record_key" not in rows.columns:
            rows = distinct(rows)
        elif rows["record_key"].null_count():
            has_key = pl.col("record_key").is_not_null()
            keyless = distinct(rows.filter(~has_key))
            rows = keyless if keyless.height == before else pl.concat([rows.filter(has_key), keyless])
        with self._lock:
            tally.duplicates(duplicates + before - rows.height)
            tally.left_out(SUPERSEDED, replaced)
        return rows

    # Rows in, and rows that are left out

    def _count_in(self, name: str, raw: pl.DataFrame, part: int | None = None) -> int:
        with self._lock:
            self.tallies.setdefault(name, Tally()).rows_in += raw.height
            self._parts += 1
            return self._parts if part is None else part

    def _reject(self, name: str, raw: pl.DataFrame, reason: pl.Series) -> None:
        """Seal the rows that have a reason, as the source had them, and count them."""
        bad = reason.is_not_null()
        if not bad.any():
            return
        # Appointments have a reason of their own.
        why, own = reason.filter(bad).alias("reason"), {"reason": "reason_in_source"}
        rejected = raw.filter(bad)
        counts, waits = why.value_counts(), why.str.contains(WAITS)
        with self._lock:
            self.tallies[name].quarantined.update(dict(zip(counts["reason"], counts["count"], strict=True)))
            self._parts += 1
            sealed = self._quarantine / f"{name}-{self._parts:06d}{SUFFIX}"
            if waits.any():
                self._wait(name, rejected.filter(waits))
        rejected = rejected.rename(own, strict=False).with_columns(why)
        seal(rejected, sealed, self._sealing_key)

    def _wait(self, name: str, raw: pl.DataFrame) -> None:
        since = pl.lit(self.terms.latest).alias("_since")
        texts = raw.with_columns(pl.all().exclude("_since").cast(pl.String, strict=False))
        self._waiting.setdefault(name, []).append(texts if "_since" in raw.columns else texts.with_columns(since))

    def _still_waiting(
        self, name: str, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series
    ) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
        """Of rows that were rejected before, those that are valid now; the others go on waiting."""
        valid = reason.is_null()
        if not valid.all():
            with self._lock:
                self._wait(name, raw.filter(~valid))
        return raw.filter(valid).drop("_since"), rows.filter(valid), reason.filter(valid)


def write_run(rows: pl.DataFrame, stem: Path) -> list[Path]:
    """Write rows in their order as files of FILE_ROWS, named after `stem`; none where there are no rows."""
    paths = []
    for start in range(0, rows.height, FILE_ROWS):
        paths.append(stem.with_name(f"{stem.name}-{start // FILE_ROWS:06d}.parquet"))
        write(rows[start : start + FILE_ROWS], paths[-1])
    return paths


def write(rows: pl.DataFrame, path: Path) -> None:
    """Write a file for the lake."""
    rows.write_parquet(path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP, statistics=True)


def is_recent(table: Table, as_of: date) -> pl.Expr:
    """Whether a row lies in the files of what was recorded lately; where that is not known, of what happened lately."""
    if table.name in WHOLE_TABLES:
        return pl.lit(False)
    days = [name for name in ("recorded_date", "event_date") if name in table.platform_schema]
    return (pl.coalesce(days) > as_of - timedelta(days=RECENT_DAYS)).fill_null(False)


def _bucket_of(table: Table, as_of: date) -> pl.Expr:
    if table.name in WHOLE_TABLES:
        return pl.lit(0, pl.Int32)
    return pl.when(is_recent(table, as_of)).then(-1).otherwise(pl.col(PERSON_NUMBER) // BUCKET_PERSONS).cast(pl.Int32)


def _also(reason: pl.Series, broken: pl.Series, text: str) -> pl.Series:
    if not broken.any():
        return reason
    return pl.select(
        pl.when(reason.is_null() & broken).then(pl.lit(text)).otherwise(reason).alias("reason")
    ).to_series()
