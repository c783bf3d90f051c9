"""From a lake under one epoch's keys to files for a lake under another's, from its pseudonyms alone.

Persons are renumbered in the order of their new pseudonyms, as a load numbers them, and events follow: numbers link
the epochs no more than pseudonyms do. The rows are those that a load of the same source gives there.
Memory holds one bucket of persons at a time; the table of old and new numbers takes 4 bytes a person.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.errors import KeyUnavailable
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.controller.keys import Keyring
from transforms.controller.lake_files import write, write_run
from transforms.controller.load import BUCKET_PERSONS
from transforms.controller.pseudonymise import (
    PseudonymKey,
    from_series,
    permute,
    pseudonym_key,
    rekey,
    to_series,
)
from transforms.controller.sorting import in_order

BATCH_ROWS = 1 << 20
_CODE_BYTES = 11
"""Length of a Finnish personal identity code."""


@dataclass(frozen=True)
class Rotation:
    """Whose pseudonyms are carried from which epoch to which."""

    keyring: Keyring
    domain: str
    old: str
    new: str
    identifier: str = "hetu"

    def column(self, pseudonyms: pl.Series, identifier: str) -> pl.Series:
        """A column of pseudonyms of an identifier type under the new epoch; nulls stay null."""
        rows, present = from_series(pseudonyms)
        return to_series(rekey(rows, *self._keys(identifier)), pseudonyms.name, present)

    def _keys(self, identifier: str) -> tuple[PseudonymKey, PseudonymKey]:
        return (
            pseudonym_key(self.keyring, identifier, self.domain, self.old),
            pseudonym_key(self.keyring, identifier, self.domain, self.new),
        )


def rekey_lake(
    files: Mapping[str, Sequence[Path]], rotation: Rotation, staging: Path
) -> Iterator[tuple[str, list[Path]]]:
    """Write the lake's tables anew into `staging`; pairs of table name and files, as a load gives them.

    `files` are the Parquet files of every table with persons in it. Raises KeyUnavailable where the lake's pseudonyms
    are not of the old epoch's key, AssertionError where a row has disappeared.
    """
    persons = pl.concat([pl.read_parquet(path) for path in files["person"]])
    _check_key(persons["pseudonym"], rotation)
    persons = persons.with_columns(rotation.column(persons["pseudonym"], rotation.identifier))
    words = from_series(persons["pseudonym"])[0].view(np.uint64)
    order = np.lexsort((words[:, 1], words[:, 0]))
    renumbered = np.empty(len(order), dtype=np.int32)
    renumbered[persons[PERSON_NUMBER].to_numpy()[order]] = np.arange(len(order), dtype=np.int32)
    persons = persons[order].with_columns(pl.Series(PERSON_NUMBER, np.arange(len(order), dtype=np.int32)))
    path = staging / "person.parquet"
    write(persons, path)
    yield "person", [path]
    del persons, words, order
    for name in files:
        if name != "person":
            yield name, _rekey_events(TABLES[name], files[name], renumbered, rotation, staging / name)


def _rekey_events(
    table: Table, files: Sequence[Path], renumbered: NDArray[np.int32], rotation: Rotation, folder: Path
) -> list[Path]:
    """Spread a table's rows over the buckets of the new numbers, then sort each."""
    rows_in = rows_out = parts = 0
    for file in files:
        for rows in _batches(file):
            rows_in, parts = rows_in + rows.height, parts + 1
            numbers = pl.Series(PERSON_NUMBER, renumbered[rows[PERSON_NUMBER].to_numpy()])
            changed = rows.with_columns(numbers)
            if "record_key" in rows.columns:
                changed = changed.with_columns(rotation.column(rows["record_key"], f"record:{table.name}"))
            for bucket, part in changed.group_by(pl.col(PERSON_NUMBER) // BUCKET_PERSONS, maintain_order=True):
                (folder / f"{bucket[0]:04d}").mkdir(parents=True, exist_ok=True)
                part.write_parquet(
                    folder / f"{bucket[0]:04d}" / f"{parts:06d}.part", compression="lz4", statistics=False
                )
    written: list[Path] = []
    for bucket_folder in sorted(folder.iterdir()) if folder.is_dir() else []:
        # Rows that generalisation made alike are several events still, so that nothing is dropped here.
        rows = in_order(pl.read_parquet(sorted(bucket_folder.glob("*.part"))), table.order)
        rows_out += rows.height
        for path in write_run(rows, bucket_folder):
            written.append(path.rename(folder / f"{len(written):04d}.parquet"))
        for leftover in bucket_folder.iterdir():
            leftover.unlink()
        bucket_folder.rmdir()
    if rows_in != rows_out:
        raise AssertionError(f"{table.name}: rows in are not rows re-keyed")
    return written


def _check_key(pseudonyms: pl.Series, rotation: Rotation) -> None:
    """Raise KeyUnavailable where pseudonyms of identity codes do not come from codes' blocks: then the key is another.

    Under another key a pseudonym comes from a block like a code's with a chance of 2^-40. Other identifiers cannot be
    told from chance.
    """
    if rotation.identifier != "hetu":
        return
    key = pseudonym_key(rotation.keyring, "hetu", rotation.domain, rotation.old)
    plain = permute(from_series(pseudonyms)[0], key.permutation, inverse=True)
    lengths = np.ascontiguousarray(plain[:, :4]).view(np.uint32).reshape(-1)
    codes = int(((lengths == _CODE_BYTES) & (plain[:, 4 + _CODE_BYTES :] == 0).all(axis=1)).sum())
    plain[:] = 0
    if codes < len(pseudonyms):
        raise KeyUnavailable(
            "the pseudonyms in the lake are not of this key", "Restore the lake's keyring", "person", "pseudonym"
        )


def _batches(file: Path) -> Iterator[pl.DataFrame]:
    """The rows of a file, a bounded number at a time."""
    rows = pl.scan_parquet(file)
    height = int(rows.select(pl.len()).collect().item())
    for start in range(0, height, BATCH_ROWS):
        yield rows.slice(start, BATCH_ROWS).collect()
