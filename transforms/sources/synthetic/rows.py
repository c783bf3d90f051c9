"""Rows while they are numbers, and as frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.table import PERSON_ID, RECORD_ID
from schemas.tables import TABLES
from transforms.sources.synthetic.draws import NEVER, Days, Places
from transforms.sources.synthetic.identity import fixed_width
from transforms.sources.synthetic.vocabulary import Vocabulary

_SERIAL_BITS = 24
"""Room for rows of one table in one block; 2**20 blocks fit before it in a record_id of 11 hexadecimal digits."""
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)


@dataclass(frozen=True)
class Rows:
    """Rows of one table in one block.

    `person` is a place in the block's codes. `days` are dates by column, `words` places by vocabulary, `numbers`
    whole numbers by column. All have the same length.
    """

    person: Places
    days: dict[str, Days]
    words: dict[str, Places]
    numbers: dict[str, Places]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.person)

    def take(self, places: NDArray[np.bool_] | NDArray[np.integer]) -> "Rows":
        """The rows at these places, or where the flag is set."""
        return Rows(
            self.person[places],
            {name: values[places] for name, values in self.days.items()},
            {name: values[places] for name, values in self.words.items()},
            {name: values[places] for name, values in self.numbers.items()},
        )

    def with_words(self, **words: Places) -> "Rows":
        """The same rows with other words."""
        return replace(self, words=self.words | words)


def rows_of(person: Places, event_date: Days, **columns: Days | Places | int) -> Rows:
    """Rows of an event table; a single number stands for a whole column.

    Columns that end with `_date` are dates, `days_supplied` is a number, the rest are places in vocabularies.
    """
    full = {
        name: np.full(len(person), values, dtype=np.int32) if isinstance(values, int) else values
        for name, values in columns.items()
    }
    days = {name: values for name, values in full.items() if name.endswith("_date")}
    numbers = {name: values for name, values in full.items() if name == "days_supplied"}
    words = {name: values for name, values in full.items() if name not in days and name not in numbers}
    return Rows(person.astype(np.int32), {"event_date": event_date.astype(np.int32)} | days, words, numbers)


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of parts that have the same columns."""
    first = parts[0]
    return Rows(
        np.concatenate([part.person for part in parts]),
        {name: np.concatenate([part.days[name] for part in parts]) for name in first.days},
        {name: np.concatenate([part.words[name] for part in parts]) for name in first.words},
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
    )


def frame_of(rows: Rows, table: str, codes: pl.Series, vocabularies: dict[str, Vocabulary], block: int) -> pl.DataFrame:
    """Rows as the source would hand them over, in the column order of the table."""
    columns: dict[str, pl.Series] = {PERSON_ID: codes.gather(rows.person)}
    columns |= {name: dates(days) for name, days in rows.days.items()}
    columns |= {name: pl.Series(values) for name, values in rows.numbers.items()}
    for name, places in rows.words.items():
        if name == "is_retracted":
            columns[name] = pl.Series(places.astype(np.bool_))
        else:
            for column in vocabularies[name].frame.iter_columns():
                columns[column.name] = column.gather(places)
    columns[RECORD_ID] = record_ids(block, len(rows))
    return pl.DataFrame({name: columns[name] for name in TABLES[table].names if name in columns})


def dates(days: Days) -> pl.Series:
    """Days as dates, null where there is none."""
    series = pl.Series("day", days)
    if len(days) and int(days.max()) >= NEVER:
        series = series.set(series >= NEVER, None)
    return series.cast(pl.Date)


def record_ids(block: int, count: int) -> pl.Series:
    """Keys of the first so many rows of a block, no two of a table alike."""
    serial = (np.int64(block) << _SERIAL_BITS) + np.arange(count, dtype=np.int64)
    digits = _HEX[serial.astype(">i8").view(np.uint8).reshape(count, 8)].view(np.uint8).reshape(count, 16)
    return fixed_width(digits[:, 5:])
