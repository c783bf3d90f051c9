"""From a source's batches to files for the lake: normalise, validate, pseudonymise, generalise, number, sort.

Persons come first and are numbered in the order of their pseudonyms, which says nothing of the order they came in.
Events carry that number. They are staged by buckets of persons, so that each bucket can be sorted in memory; rejected
rows are sealed. Rows in = rows kept + rows quarantined, per table, asserted at the end.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

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
from transforms.controller.normalise import normalise
from transforms.controller.pseudonymise import PseudonymKey, pseudonym_key, pseudonymise, to_series
from transforms.controller.quarantine import SUFFIX, quarantine_key, seal

BUCKET_PERSONS = 1 << 17
"""Persons whose events are sorted together: some 10 million events of five years, below 2 GB."""
ROW_GROUP = 1 << 16


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


@dataclass
class Tally:
    """Rows of one table: how many came, how many were kept, and the rest by reason. Duplicates are a reason too."""

    rows_in: int = 0
    kept: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)

    def duplicates(self, count: int) -> None:
        """Count exact duplicates; they hold nothing that the kept row does not, so nothing is sealed."""
        if count:
            self.quarantined[validate.DUPLICATE] += count

    def reconcile(self, table: str) -> None:
        """Raise AssertionError where a row has disappeared or come into being."""
        if self.rows_in != self.kept + self.quarantined.total():
            raise AssertionError(f"{table}: rows in are not rows kept and quarantined")


class Loader:
    """Takes batches of source rows and leaves files for the lake in `staging`, rejected rows in `quarantine`.

    Use: `add` each batch, identity links first and persons next, then `finish`. Both folders must exist, be empty and
    be the controller's.
    """

    def __init__(self, terms: Terms, staging: Path, quarantine: Path) -> None:
        """Derive the keys that the load needs."""
        self.tallies: dict[str, Tally] = {}
        self._terms, self._staging, self._quarantine = terms, staging, quarantine
        self._person_key = pseudonym_key(terms.keyring, terms.identifier, terms.domain)
        self._sealing_key = quarantine_key(terms.keyring)
        self._districts = district_of(terms.areas)
        self._links = Links()
        self._persons: list[pl.DataFrame] = []
        self._index: pl.DataFrame | None = None
        self._parts = 0

    def add(self, name: str, raw: pl.DataFrame) -> None:
        """Take one batch of a table. Raises SourceRefused where persons come after other tables."""
        table, tally = SOURCE_TABLES[name], self.tallies.setdefault(name, Tally())
        tally.rows_in += raw.height
        rows, unreadable = normalise(raw, table, self._terms.identifier)
        reason = validate.reasons(rows, table, self._terms.identifier, unreadable, self._terms.latest)
        if name == IDENTITY_LINK:
            self._link(raw, rows, reason)
            return
        former, rows = rows[PERSON_ID], rows.with_columns(self._links.current(rows[PERSON_ID]))
        if name == "person":
            if self._index is not None:
                raise SourceRefused("persons came after other rows", "Deliver all persons first", table="person")
            reason = _also(reason, rows["is_retracted"].fill_null(False), "is_retracted: the source took the row back")
            self._reject(name, raw, reason)
            rows = rows.with_columns(is_former=former.ne_missing(rows[PERSON_ID]))
            self._persons.append(self._person_rows(raw, rows, reason))
            return
        numbers = self._numbers(rows[PERSON_ID])
        reason = _also(reason, numbers.is_null(), f"{PERSON_ID}: {validate.UNKNOWN_PERSON}")
        self._reject(name, raw, reason)
        if reason.null_count() < rows.height:
            rows, numbers = rows.filter(reason.is_null()), numbers.filter(reason.is_null())
        self._stage(table, self._cross(table, rows, numbers))

    def finish(self) -> Iterator[tuple[str, list[Path]]]:
        """Sort, drop exact duplicates and write the files for the lake; pairs of table name and files.

        Raises SourceRefused where no person was kept.
        """
        self._number_persons()
        persons = self._staging / "person.parquet"
        yield "person", [persons]
        banned = self._security_banned()
        for name, table in TABLES.items():
            if name == "person":
                continue
            yield name, [self._finish_bucket(table, bucket, banned) for bucket in self._buckets(name)]
        for name, tally in self.tallies.items():
            tally.reconcile(name)

    # Persons

    def _link(self, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series) -> None:
        """Take identity links. Raises SourceRefused where persons came before them."""
        if self._persons or self._index is not None:
            raise SourceRefused("identity links came after persons", "Deliver them first", table=IDENTITY_LINK)
        usable = reason.is_null()
        disagree = self._links.add(rows.filter(usable))
        reason = reason.scatter(usable.arg_true(), disagree)
        self._reject(IDENTITY_LINK, raw, reason)
        self.tallies[IDENTITY_LINK].kept += reason.null_count()

    def _person_rows(self, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series) -> pl.DataFrame:
        """One row per valid row of a person batch: the platform's columns, the pseudonym as two words, the raw row."""
        valid = reason.is_null()
        rows, raw = rows.filter(valid), raw.filter(valid)
        words = _words(pseudonymise(rows[PERSON_ID], self._person_key))
        platform = rows.select(column.name for column in TABLES["person"].platform_columns).with_columns(
            generalise_birth(rows["birth_date"], self._terms.birth_date).alias("birth_date"),
            rows["sex"].fill_null("unknown").alias("sex"),
        )
        exact = rows["birth_date"].alias("exact_birth_date")
        return platform.with_columns(*words, raw.to_struct("raw"), exact, rows["is_former"])

    def _number_persons(self) -> None:
        """Merge rows of one person, quarantine persons whose rows contradict each other, number the rest."""
        if self._index is not None:
            return
        if not self._persons:
            raise SourceRefused("no person was read", "Check the source", table="person")
        rows = pl.concat(self._persons, how="vertical_relaxed")
        self._persons.clear()
        tally = self.tallies["person"]
        key = ["word_0", "word_1"]
        repeated = pl.struct(key).is_duplicated()
        if rows.select(repeated.any()).item():
            # What stands under a former identifier may have been wrong, and was corrected with it.
            said = ~pl.col("is_former") | pl.col("is_former").all()
            contradicts = pl.any_horizontal(
                pl.col(column).filter(said).n_unique() > 1 for column in ("exact_birth_date", "sex")
            )
            rows = rows.with_columns(contradicts=contradicts.over(key))
            conflict = rows.filter("contradicts")
            if conflict.height:
                reason = pl.Series("reason", [f"{PERSON_ID}: {validate.CONFLICT}"]).new_from_index(0, conflict.height)
                self._reject("person", conflict["raw"].struct.unnest(), reason)
            rows = rows.filter(~pl.col("contradicts")).drop("contradicts")
            before = rows.height
            # Rows of one person that agree are one person: the latest record wins, a known death is never lost.
            rows = (
                rows.sort(~pl.col("is_former"), "recorded_date", nulls_last=False, maintain_order=True)
                .with_columns(pl.col("death_date").drop_nulls().last().over(key))
                .unique(key, keep="last", maintain_order=True)
            )
            if before > rows.height:
                tally.quarantined[validate.MERGED] += before - rows.height
        if rows.height == 0:
            raise SourceRefused("no valid person was read", "See the quarantine for the reasons", table="person")
        rows = rows.drop("raw", "exact_birth_date", "is_former").sort(key).with_row_index(PERSON_NUMBER)
        rows = rows.with_columns(pl.col(PERSON_NUMBER).cast(pl.Int32))
        tally.kept = rows.height
        self._index = rows.select(*key, PERSON_NUMBER)
        pseudonym = rows.select(key).to_numpy(order="c").view(np.uint8).reshape(-1, 16)
        persons = rows.with_columns(to_series(pseudonym, "pseudonym")).select(*TABLES["person"].platform_schema)
        _write(persons, self._staging / "person.parquet")

    def _numbers(self, identifiers: pl.Series) -> pl.Series:
        """The person number of each identifier; null where there is no such person."""
        self._number_persons()
        index = self._index
        if index is None:
            raise AssertionError
        words = pl.DataFrame(_words(pseudonymise(identifiers, self._person_key)))
        return words.join(index, on=["word_0", "word_1"], how="left", maintain_order="left")[PERSON_NUMBER]

    # Events

    def _cross(self, table: Table, rows: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
        """Rows in the form in which they may cross the boundary: `table.platform_schema`."""
        columns = {PERSON_NUMBER: numbers}
        columns |= {column.name: rows[column.name] for column in table.platform_columns}
        if table.name == "residence":
            columns["area_code"] = generalise_area(rows["area_code"], self._districts)
        if RECORD_ID in table.names:
            columns["record_key"] = self._record_keys(table, rows[RECORD_ID])
        return pl.DataFrame(columns).select(*table.platform_schema)

    def _record_keys(self, table: Table, record_ids: pl.Series) -> pl.Series:
        if record_ids.null_count() == len(record_ids):
            return pl.Series([None], dtype=pl.Binary).new_from_index(0, len(record_ids))
        key: PseudonymKey = pseudonym_key(self._terms.keyring, f"record:{table.name}", self._terms.domain)
        return to_series(pseudonymise(record_ids, key), "record_key", record_ids.is_not_null())

    def _stage(self, table: Table, rows: pl.DataFrame) -> None:
        if rows.height == 0:
            return
        self._parts += 1
        for bucket, part in rows.group_by(pl.col(PERSON_NUMBER) // BUCKET_PERSONS, maintain_order=True):
            folder = self._staging / table.name / f"{bucket[0]:04d}"
            folder.mkdir(parents=True, exist_ok=True)
            part.write_parquet(folder / f"{self._parts:06d}.part", compression="lz4", statistics=False)

    def _buckets(self, name: str) -> list[Path]:
        folder = self._staging / name
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def _security_banned(self) -> pl.Series:
        """Numbers of the persons whose address is secret on the as-of date or later."""
        parts = [part for bucket in self._buckets("restriction") for part in bucket.iterdir()]
        if not parts:
            return pl.Series([], dtype=pl.Int32)
        return security_banned(pl.scan_parquet(parts), self._terms.as_of)

    def _finish_bucket(self, table: Table, bucket: Path, banned: pl.Series) -> Path:
        rows = pl.read_parquet(sorted(bucket.glob("*.part")))
        tally, before = self.tallies[table.name], rows.height
        if table.name == "residence" and len(banned):
            rows = without_whereabouts(rows, banned)
            tally.quarantined[WITHHELD] += before - rows.height
            before = rows.height
        rows = sort_distinct(rows, table.order)
        tally.duplicates(before - rows.height)
        if (resolution := self._terms.event_dates.get(table.name, "day")) != "day":
            rows = generalise_dates(rows, table, resolution).sort(table.order)
        tally.kept += rows.height
        path = bucket.with_suffix(".parquet")
        _write(rows, path)
        for part in bucket.iterdir():
            part.unlink()
        bucket.rmdir()
        return path

    def _reject(self, name: str, raw: pl.DataFrame, reason: pl.Series) -> None:
        """Seal the rows that have a reason, as the source had them, and count them."""
        bad = reason.is_not_null()
        if not bad.any():
            return
        rejected = raw.filter(bad).with_columns(reason.filter(bad).alias("reason"))
        counts = rejected["reason"].value_counts()
        self.tallies[name].quarantined.update(dict(zip(counts["reason"], counts["count"], strict=True)))
        self._parts += 1
        seal(rejected, self._quarantine / f"{name}-{self._parts:06d}{SUFFIX}", self._sealing_key)


def sort_distinct(rows: pl.DataFrame, order: tuple[str, ...]) -> pl.DataFrame:
    """Rows in `order`, exact duplicates once."""
    rows = rows.with_columns(rows.hash_rows(seed=1).alias("_hash")).sort(*order, "_hash")
    same = pl.all_horizontal(pl.exclude("_hash").eq_missing(pl.exclude("_hash").shift(1))) & (
        pl.int_range(pl.len()) > 0
    )
    if rows.select((pl.col("_hash") == pl.col("_hash").shift(1)).any()).item():
        rows = rows.filter(~same)
    return rows.drop("_hash")


def _also(reason: pl.Series, broken: pl.Series, text: str) -> pl.Series:
    if not broken.any():
        return reason
    return pl.select(
        pl.when(reason.is_null() & broken).then(pl.lit(text)).otherwise(reason).alias("reason")
    ).to_series()


def _words(pseudonyms: NDArray[np.uint8]) -> list[pl.Series]:
    """The two 8-byte words of each pseudonym, for joining."""
    words = np.ascontiguousarray(pseudonyms).view(np.uint64).reshape(-1, 2)
    return [pl.Series("word_0", words[:, 0]), pl.Series("word_1", words[:, 1])]


def _write(rows: pl.DataFrame, path: Path) -> None:
    rows.write_parquet(path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP, statistics=True)
