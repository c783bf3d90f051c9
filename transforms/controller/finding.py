"""Where in a table's files the rows lie that a delta is about: those of some records, and those of some persons."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.table import PERSON_NUMBER, Table
from transforms.controller.key_index import KEY, KeyIndex, Marks, first_words
from transforms.controller.pseudonymise import from_series
from transforms.controller.sorting import within

FILE, PLACE = "_file", "_place"
"""Which of the files a row lies in, and where."""
_WORKERS = 2
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Wanted:
    """Rows to be found: of records with a key, of persons by number, and of persons those without a key alone."""

    keys: pl.Series
    persons: pl.Series
    keyless: pl.Series

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to look for."""
        return not (len(self.keys) or len(self.persons) or len(self.keyless))


def find(files: Sequence[str], table: Table, wanted: Wanted, index: KeyIndex | None = None) -> pl.DataFrame:
    """The wanted rows of some files, with FILE and PLACE. One row per row of a file.

    A few rows of other records may be among them: of a key the beginning is compared. With an `index` the files of
    which no row is wanted are not read, unless persons are looked for.
    """
    schema = {**table.platform_schema, FILE: pl.UInt32(), PLACE: pl.UInt32()}
    if wanted.is_nothing or not files:
        return pl.DataFrame(schema=schema)
    words = np.unique(from_series(wanted.keys.drop_nulls())[0].view(np.uint64)[:, 0])
    by_key = index if KEY in table.platform_schema and not (len(wanted.persons) or len(wanted.keyless)) else None
    marks, persons, keyless = Marks(words), _flags(wanted.persons), _flags(wanted.keyless)

    def of_file(number: int) -> pl.DataFrame:
        file = files[number]
        found = by_key.places(file, marks) if by_key else _places(file, words, persons, keyless)
        if not len(found):
            return pl.DataFrame(schema=schema)
        places = pl.Series(PLACE, found, pl.UInt32)
        rows = pl.read_parquet(file)[places]
        return rows.select(*table.platform_schema, pl.lit(number, pl.UInt32).alias(FILE), places)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return pl.concat(pool.map(of_file, range(len(files))))


def _places(file: str, words: NDArray[np.uint64], persons: Flags, keyless: Flags) -> NDArray[np.intp]:
    """The rows of a file with one of some keys, of some persons, or of others if they have no key."""
    opened = pq.ParquetFile(file, memory_map=True)
    columns = [KEY] if KEY in opened.schema_arrow.names and (len(words) or len(keyless)) else []
    columns += [PERSON_NUMBER] if len(persons) or len(keyless) else []
    read = opened.read(columns=columns, use_threads=False)
    found = np.zeros(opened.metadata.num_rows, dtype=np.bool_)
    is_keyless = np.ones(len(found), dtype=np.bool_)
    if KEY in columns:
        first, present = first_words(read[KEY])
        found |= within(first, words) & present
        is_keyless = ~present
    if PERSON_NUMBER in columns:
        numbers = read[PERSON_NUMBER].to_numpy()
        found |= _is_of(numbers, persons) | (_is_of(numbers, keyless) & is_keyless)
    return np.flatnonzero(found)


def _flags(numbers: pl.Series) -> Flags:
    """For each person number whether it is among some."""
    some = numbers.drop_nulls().to_numpy()
    flags = np.zeros(int(some.max()) + 1 if len(some) else 0, dtype=np.bool_)
    flags[some] = True
    return flags


def _is_of(numbers: NDArray[np.int32], flags: Flags) -> Flags:
    if not len(flags):
        return np.zeros(len(numbers), dtype=np.bool_)
    known = numbers < len(flags)
    found: Flags = known & flags[np.where(known, numbers, 0)]
    return found
