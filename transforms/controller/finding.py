"""Where in a table's files the rows lie that a delta is about: those of some records, and those of some persons."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.table import PERSON_NUMBER, Table
from transforms.controller.pseudonymise import from_series
from transforms.controller.sorting import within

KEY = "record_key"
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


def find(files: Sequence[str], table: Table, wanted: Wanted) -> pl.DataFrame:
    """The wanted rows of some files, with FILE and PLACE. One row per row of a file.

    A few rows of other records may be among them: keys are told apart by their first half.
    """
    schema = {**table.platform_schema, FILE: pl.UInt32(), PLACE: pl.UInt32()}
    if wanted.is_nothing or not files:
        return pl.DataFrame(schema=schema)
    words = np.unique(from_series(wanted.keys.drop_nulls())[0].view(np.uint64)[:, 0])
    persons, keyless = _flags(wanted.persons), _flags(wanted.keyless)
    has_keys = KEY in table.platform_schema

    def of_file(number: int) -> pl.DataFrame:
        file = pq.ParquetFile(files[number], memory_map=True)
        columns = [KEY] if has_keys and (len(words) or len(keyless)) else []
        columns += [PERSON_NUMBER] if len(persons) or len(keyless) else []
        read = file.read(columns=columns, use_threads=False)
        found = np.zeros(read.num_rows, dtype=np.bool_)
        numbers = read[PERSON_NUMBER].to_numpy() if PERSON_NUMBER in columns else None
        if numbers is not None and len(persons):
            found |= _is_of(numbers, persons)
        if KEY in columns:
            first, present = first_words(read[KEY])
            found |= within(first, words) & present
            if numbers is not None and len(keyless):
                found |= _is_of(numbers, keyless) & ~present
        elif numbers is not None and len(keyless):
            found |= _is_of(numbers, keyless)
        places = pl.Series(PLACE, np.flatnonzero(found), pl.UInt32)
        if not len(places):
            return pl.DataFrame(schema=schema)
        rows = pl.read_parquet(files[number])[places]
        return rows.select(pl.lit(number, pl.UInt32).alias(FILE), places, *table.platform_schema).select(*schema)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return pl.concat(pool.map(of_file, range(len(files))))


def first_words(keys: pa.ChunkedArray) -> tuple[NDArray[np.uint64], Flags]:
    """The first half of each key, and whether there is one."""
    words, present = np.zeros(len(keys), dtype=np.uint64), np.ones(len(keys), dtype=np.bool_)
    start = 0
    for chunk in keys.cast(pa.large_binary()).chunks:
        end = start + len(chunk)
        _, offsets, data = chunk.buffers()
        if chunk.null_count:
            present[start:end] = chunk.is_valid().to_numpy(zero_copy_only=False)
        if chunk.null_count < len(chunk):
            ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            halves = np.frombuffer(data, dtype=np.uint64)[ends[0] // 8 : ends[-1] // 8]
            words[start:end][present[start:end]] = halves[::2]
        start = end
    return words, present


def _flags(numbers: pl.Series) -> Flags:
    """For each person number whether it is among some."""
    some = numbers.drop_nulls().to_numpy()
    flags = np.zeros(int(some.max()) + 1 if len(some) else 0, dtype=np.bool_)
    flags[some] = True
    return flags


def _is_of(numbers: NDArray[np.int32], flags: Flags) -> Flags:
    known = numbers < len(flags)
    return known & flags[np.where(known, numbers, 0)]
