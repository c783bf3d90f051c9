"""From a source's batches to files for the lake: normalise, validate, pseudonymise, generalise, number, sort.

Persons come first and are numbered; events carry that number. They are staged by buckets of persons, so that each
bucket can be sorted in memory; rejected rows are sealed. Rows in = rows kept + rows quarantined, per table, asserted at
the end.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import RLock

import polars as pl

from schemas.errors import SourceRefused
from schemas.table import PERSON_ID, PERSON_NUMBER, RECORD_ID, Table
from schemas.tables import IDENTITY_LINK, SOURCE_TABLES, TABLES
from transforms.controller import validate
from transforms.controller.generalise import (
    WITHHELD,
    district_of,
    generalise_area,
    generalise_dates,
    security_banned,
    since_birth,
    without_whereabouts,
)
from transforms.controller.identifiers import short_enough
from transforms.controller.lake_files import RECENT, RECORD_KEY, ROW_GROUP, WHOLE_TABLES, as_bytes, write_run
from transforms.controller.memory import MOVED, WAITS, Memory
from transforms.controller.normalise import normalise
from transforms.controller.people import People
from transforms.controller.pseudonymise import pseudonym_key, pseudonymise, to_series
from transforms.controller.quarantine import SUFFIX, quarantine_key, seal
from transforms.controller.register import KEY, Numbering
from transforms.controller.sorting import in_order, within
from transforms.controller.staging import Staging, as_lake_rows, key_words, staged_schema
from transforms.controller.supersede import ARRIVAL, SUPERSEDED, Repeated, distinct
from transforms.controller.terms import Before, Tally, Terms

__all__ = ["BUCKET_PERSONS", "RECENT", "ROW_GROUP", "WHOLE_TABLES", "Before", "Loader", "Tally", "Terms", "write_run"]

BUCKET_PERSONS = 1 << 17
"""Persons whose events are sorted together: some 10 million events of five years, below 1 GB."""
_WORKERS = 2


class Loader:
    """Takes batches of source rows and leaves files for the lake in `staging`, rejected rows in `quarantine`.

    Use: `add` each batch, identity links first and persons next, then `finish`. Both folders must exist, be empty and
    be the controller's. Batches of persons may be added by several threads at once, and so may those of events once
    all persons have been; `part` gives their order then. With a `before`, the rows are those of an increment:
    `transforms.controller.increment`.
    """

    def __init__(self, terms: Terms, staging: Path, quarantine: Path, before: Before | None = None) -> None:
        """Derive the keys that the load needs."""
        self.tallies: dict[str, Tally] = {}
        self.withheld: pl.DataFrame | None = None
        self.terms = terms
        self._quarantine, self._folder = quarantine, staging
        self._staging = Staging(staging, terms, BUCKET_PERSONS)
        self._people = People(terms, staging / "person.parquet", self._reject, before)
        self._sealing_key = quarantine_key(terms.keyring)
        self._districts = district_of(terms.areas)
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._moved: dict[str, pl.DataFrame] = {}
        self._moved_before = before.memory.moved if before else pl.DataFrame(schema=MOVED)
        self._parts = 0
        self._lock = RLock()

    def add(self, name: str, raw: pl.DataFrame, part: int | None = None, *, again: bool = False) -> None:
        """Take one batch of a table. Raises SourceRefused where persons come after other tables.

        Rows that were rejected before come `again`: those that are still rejected go on waiting and are not counted.
        """
        if name in (IDENTITY_LINK, "person"):
            self._add_people(name, raw, part, again=again)
            return
        table = SOURCE_TABLES[name]
        rows, reason = self._judged(table, raw)
        if again:
            raw, rows, reason = self._still_waiting(name, raw, rows, reason)
        part = self._count_in(name, raw, part)
        self._reject(name, raw, reason)
        if reason.null_count() < rows.height:
            rows = rows.filter(reason.is_null())
        self._staging.put(table, self._cross(table, rows), part)

    def _add_people(self, name: str, raw: pl.DataFrame, part: int | None, *, again: bool) -> None:
        table, identifier = SOURCE_TABLES[name], self.terms.identifier
        rows, unreadable = normalise(raw, table, identifier)
        reason = validate.reasons(rows, table, identifier, unreadable, self.terms.latest)
        if name == IDENTITY_LINK:
            self._count_in(name, raw, part)
            self._people.add_links(raw, rows, reason, self.tallies[name])
            return
        if self._people.numbering is not None:
            raise SourceRefused("persons came after other rows", "Deliver all persons first", table="person")
        if again:
            raw, rows, reason = self._still_waiting(name, raw, rows, reason)
        part = self._count_in(name, raw, part)
        self._people.add(raw, rows, reason, part)

    def _judged(self, table: Table, raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Rows of events in normal form with their persons' numbers, and why each is invalid.

        Persons' identifiers are valid and in normal spelling: what is found among them as it stands is so too.
        """
        identifier, people = self.terms.identifier, self._of_persons()
        numbers = self._people.numbers_of(short_enough(raw[PERSON_ID].cast(pl.String), identifier), people)
        known = numbers.is_not_null()
        rows, unreadable = normalise(raw, table, identifier, known)
        reason = validate.reasons(rows, table, identifier, unreadable, self.terms.latest, known)
        others = (~known).arg_true()
        if len(others):
            numbers = numbers.clone().scatter(others, self._people.numbers_of(rows[PERSON_ID].gather(others), people))
            reason = _also(reason, numbers.is_null(), f"{PERSON_ID}: {validate.UNKNOWN_PERSON}")
        return rows.with_columns(numbers.alias(PERSON_NUMBER)), reason

    def finish(self) -> Iterator[tuple[str, list[Path]]]:
        """Sort, drop what is there twice or replaced, write the files for the lake; pairs of table name and files.

        Raises SourceRefused where no person was kept.
        """
        self.number_persons()
        yield "person", [self._people.file]
        banned = self.security_banned()
        with ThreadPoolExecutor(_WORKERS) as pool:
            started = {name: self._start(table, banned, pool) for name, table in TABLES.items() if name != "person"}
            for name, buckets in started.items():
                yield name, self._in_a_row(name, [path for bucket in buckets for path in bucket.result()])
        for name, tally in self.tallies.items():
            tally.reconcile(name)

    def number_persons(self) -> Numbering:
        """Merge rows of one person, quarantine persons whose rows contradict each other, number and write the rest."""
        return self._people.number(self._of_persons())

    def memory(self) -> Memory:
        """What later increments need to know of this load."""
        none = pl.DataFrame(schema=TABLES["residence"].platform_schema)
        waiting = {name: pl.concat(parts, how="diagonal") for name, parts in self._waiting.items()}
        withheld = none if self.withheld is None else self.withheld
        people = self._people
        moved = pl.concat([self._moved_before, *self._moved.values()]).unique()
        return Memory(
            people.remembered(), people.links.said, waiting, withheld, moved, people.withdrawn, self.terms.event_dates
        )

    def staged(self, name: str, tally: Tally | None = None) -> pl.DataFrame:
        """The staged rows of a table in the order in which they came, each record once, with ARRIVAL.

        What is left out is counted in the table's tally, or in one that is given.
        """
        table = TABLES[name]
        rows = self._staging.rows(table, self._staging.buckets(table)).sort(ARRIVAL)
        if rows.height:
            rows = self._without_repeated(tally or self.tallies[name], rows, self._repeated(table))
        return as_lake_rows(rows, table).with_columns(rows[ARRIVAL])

    def security_banned(self) -> pl.Series:
        """Numbers of the persons whose address is secret on the as-of date or later."""
        return security_banned(self.staged("restriction", Tally()).lazy(), self.terms.as_of)

    def _cross(self, table: Table, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with what may cross the boundary of them, and nothing else."""
        columns = {PERSON_NUMBER: rows[PERSON_NUMBER]}
        columns |= {column.name: rows[column.name] for column in table.platform_columns}
        if table.name == "residence":
            columns["area_code"] = generalise_area(rows["area_code"], self._districts)
        if RECORD_ID in table.names:
            record_ids = rows[RECORD_ID]
            key = pseudonym_key(self.terms.keyring, f"record:{table.name}", self.terms.domain)
            words = key_words(pseudonymise(record_ids, key), record_ids.is_not_null())
            columns |= dict(zip(KEY, words, strict=True))
        crossing = pl.DataFrame(columns).select(*staged_schema(table))
        if table.name == "residence":
            births = self._people.birth_dates.gather(crossing[PERSON_NUMBER])
            crossing = since_birth(crossing, births, self.terms.birth_date)
        return crossing

    def _start(self, table: Table, banned: pl.Series, pool: ThreadPoolExecutor) -> list[Future[list[Path]]]:
        """Have the buckets of a table finished, two at a time."""
        repeated = self._repeated(table)
        return [
            pool.submit(self._finish_bucket, table, bucket, banned, repeated) for bucket in self._staging.buckets(table)
        ]

    def _repeated(self, table: Table) -> Repeated:
        found = self._staging.repeated(table)
        self.remember_moved(table.name, to_series(as_bytes(found.moved), RECORD_KEY))
        return found

    def remember_moved(self, table: str, keys: pl.Series) -> None:
        """Remember records of a table that were said of more than one person, by their keys in the lake."""
        some = pl.DataFrame({"table": pl.repeat(table, len(keys), eager=True), RECORD_KEY: keys}, schema=MOVED)
        self._moved[table] = pl.concat([*([self._moved[table]] if table in self._moved else []), some])

    def moved_before(self, table: str) -> pl.Series:
        """Keys of a table's records that were said of more than one person in the loads before."""
        return self._moved_before.filter(pl.col("table") == table)[RECORD_KEY]

    def _finish_bucket(self, table: Table, bucket: Path, banned: pl.Series, repeated: Repeated) -> list[Path]:
        rows = self._staging.take(table, bucket)
        rows = self._without_repeated(self.tallies[table.name], rows, repeated).drop(ARRIVAL)
        before = rows.height
        if table.name == "residence" and len(banned):
            self.withheld = as_lake_rows(rows.filter(pl.col(PERSON_NUMBER).is_in(banned.implode())), table)
            rows = without_whereabouts(rows, banned)
        rows = in_order(generalise_dates(rows, table, self.terms.resolution(table.name)), table.order)
        with self._lock:
            self.tallies[table.name].left_out(WITHHELD, before - rows.height)
            self.tallies[table.name].kept += rows.height
        return write_run(rows, bucket)

    def _in_a_row(self, name: str, paths: list[Path]) -> list[Path]:
        """The files of a table's buckets under the names that they cross with."""
        files: list[Path] = []
        for path in paths:
            prefix = RECENT if path.name.startswith(RECENT) else ""
            files.append(path.rename(self._folder / name / f"{prefix}{len(files):04d}.parquet"))
        return files

    def _without_repeated(self, tally: Tally, rows: pl.DataFrame, repeated: Repeated) -> pl.DataFrame:
        """Rows of records that no later row replaces, and of the rows without a key each distinct one."""
        replaced = duplicates = 0
        if len(repeated.shared):
            arrival = rows[ARRIVAL].to_numpy()
            several = rows.filter(pl.Series(within(arrival, repeated.shared)))
            goes = within(arrival, repeated.lost)
            gone = int(goes.sum())
            rows = rows.filter(pl.Series(~goes)) if gone else rows
            duplicates = min(gone, several.height - several.drop(ARRIVAL).n_unique())
            replaced = gone - duplicates
        before = rows.height
        if KEY[0] not in rows.columns:
            rows = distinct(rows)
        elif rows[KEY[0]].null_count():
            has_key = pl.col(KEY[0]).is_not_null()
            keyless = distinct(rows.filter(~has_key))
            rows = keyless if keyless.height == before else pl.concat([rows.filter(has_key), keyless])
        with self._lock:
            tally.duplicates(duplicates + before - rows.height)
            tally.left_out(SUPERSEDED, replaced)
        return rows

    # Rows in, and rows that are left out

    def _of_persons(self) -> Tally:
        return self.tallies.get("person") or Tally()

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


def _also(reason: pl.Series, broken: pl.Series, text: str) -> pl.Series:
    if not broken.any():
        return reason
    return pl.select(
        pl.when(reason.is_null() & broken).then(pl.lit(text)).otherwise(reason).alias("reason")
    ).to_series()
