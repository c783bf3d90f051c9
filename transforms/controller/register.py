"""The persons of a load and of those before it: one row each from all that was ever said of them.

Rows of one person are merged. The latest word counts: a row that the source took back withdraws what it said of the
person up to then, and one recorded later may correct the sex or the date of birth. Rows that contradict each other are
no person. What is said under a former identifier may have been wrong, and was corrected with it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.table import PERSON_ID, PERSON_NUMBER
from transforms.controller import validate
from transforms.controller.links import Links
from transforms.controller.pseudonymise import PseudonymKey, pseudonymise
from transforms.controller.sorting import repeated_words, within

SAID: dict[str, pl.DataType] = {
    PERSON_ID: pl.String(),
    "birth_date": pl.Date(),
    "sex": pl.String(),
    "death_date": pl.Date(),
    "recorded_date": pl.Date(),
    "is_retracted": pl.Boolean(),
}
"""What is kept of a source's row of a person, the identifier and the day of birth as they are."""
KEY = ("word_0", "word_1")
"""A pseudonym as two numbers, for joining and sorting."""
Words: TypeAlias = NDArray[np.uint64]
TAKEN_BACK = "is_retracted: the source took the row back"
_KNOWN_SEX = pl.col("sex").replace("unknown", None)


@dataclass(frozen=True)
class Resolved:
    """Who the persons are. `persons` has KEY and the columns of SAID, in the order of KEY, and `arrival`.

    `lost` has the rows that stand for nobody (`arrival`, `reason`); the other rows of a person are merged with that
    one. `arrival` is the place of a row among all that were ever said.
    """

    persons: pl.DataFrame
    lost: pl.DataFrame


def resolve(said: pl.DataFrame, links: Links, key: PseudonymKey) -> Resolved:
    """One row a person from rows of SAID, in the order in which they came."""
    current = links.current(said[PERSON_ID])
    rows = said.with_row_index("arrival").with_columns(
        *words(pseudonymise(current, key)), is_former=current.ne_missing(said[PERSON_ID])
    )
    lost = []
    if said["is_retracted"].any():
        rows, taken_back = _without_taken_back(rows)
        lost.append(_losing(taken_back, TAKEN_BACK))
    # Of nearly all pseudonyms the first word is nobody else's: only the others are compared as a whole.
    first = rows[KEY[0]].to_numpy()
    shared = pl.Series(within(first, repeated_words(first)), dtype=pl.Boolean)
    together, repeated = rows.filter(shared), pl.struct(KEY).is_duplicated()
    several, single = together.filter(repeated), pl.concat([rows.filter(~shared), together.filter(~repeated)])
    if several.height:
        several = several.sort(~pl.col("is_former"), "recorded_date", nulls_last=False, maintain_order=True)
        truth = several.filter((~pl.col("is_former") | pl.col("is_former").all()).over(KEY))
        contradicting = _contradicting(truth)
        lost.append(_losing(several.join(contradicting, on=KEY, how="semi"), f"{PERSON_ID}: {validate.CONFLICT}"))
        # The other rows of a person are one person: the latest record wins, a known sex or death is never lost.
        known_sex = truth.group_by(KEY).agg(known_sex=_KNOWN_SEX.drop_nulls().last())
        merged = (
            several.join(contradicting, on=KEY, how="anti", maintain_order="left")
            .with_columns(pl.col("death_date").drop_nulls().last().over(KEY))
            .unique(KEY, keep="last", maintain_order=True)
            .join(known_sex, on=KEY, how="left", maintain_order="left")
            .with_columns(sex=pl.coalesce("known_sex", "sex"))
            .drop("known_sex")
        )
        single = pl.concat([single, merged])
    empty = pl.DataFrame(schema={"arrival": pl.UInt32, "reason": pl.String})
    return Resolved(single.drop("is_former").sort(KEY), pl.concat([empty, *lost]))


def words(pseudonyms: NDArray[np.uint8]) -> list[pl.Series]:
    """The two 8-byte words of each pseudonym."""
    pairs = np.ascontiguousarray(pseudonyms).view(np.uint64).reshape(-1, 2)
    return [pl.Series(name, pairs[:, place]) for place, name in enumerate(KEY)]


@dataclass(frozen=True)
class Numbering:
    """Whose number is whose: `index` has KEY and the person's number, in the order of the persons they are for.

    `changes` gives the numbers that mean another person now or nobody: number before to number now, null for nobody.
    """

    index: pl.DataFrame
    changes: pl.DataFrame

    def number_of(self, pseudonyms: NDArray[np.uint8]) -> pl.Series:
        """The number of the person of each pseudonym, a (rows, 16) array; null where there is no such person.

        Pseudonyms are spread evenly, so that the first bits of one tell where it stands among the sorted ones, to
        within a few places.
        """
        pairs = np.ascontiguousarray(pseudonyms).view(np.uint64).reshape(-1, 2)
        first, second, starts, shift, steps = self._places
        at = starts[(pairs[:, 0] >> shift).astype(np.intp)]
        found = np.full(len(pairs), -1, dtype=np.int64)
        left = np.arange(len(pairs))
        for step in range(steps):
            place = np.minimum(at[left] + step, len(first) - 1)
            same = (first[place] == pairs[left, 0]) & (second[place] == pairs[left, 1])
            found[left[same]] = place[same]
            left = left[~same & (first[place] <= pairs[left, 0])]
            if not len(left):
                break
        known = self.index[PERSON_NUMBER].gather(np.maximum(found, 0))
        if (found >= 0).all():
            return known
        return known.to_frame().select(pl.when(pl.Series(found >= 0)).then(pl.first())).to_series()

    @cached_property
    def _places(self) -> tuple[Words, Words, NDArray[np.int64], np.uint64, int]:
        """Both words in order, the first place of each beginning of a word, how long it is, most places of one."""
        first, second = (self.index[name].to_numpy() for name in KEY)
        bits = max(len(first).bit_length(), 1)
        starts = np.searchsorted(first, np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits))
        runs = np.diff(np.append(starts, len(first)))
        return first, second, starts, np.uint64(64 - bits), int(runs.max()) + 1


_NO_CHANGES = {"before": pl.Int32(), "now": pl.Int32()}


def number_all(persons: pl.DataFrame) -> Numbering:
    """Number persons in the order of their pseudonyms, which says nothing of the order in which they came."""
    index = persons.select(*KEY).with_row_index(PERSON_NUMBER).with_columns(pl.col(PERSON_NUMBER).cast(pl.Int32))
    return Numbering(index, pl.DataFrame(schema=_NO_CHANGES))


def number_more(persons: pl.DataFrame, before: pl.DataFrame, became: pl.DataFrame) -> Numbering:
    """Number persons so that those known `before` (KEY and number) keep theirs, and the numbers stay dense.

    `became` has the pseudonym that a person had (KEY) and the one the person has (`now_0`, `now_1`). The person with
    the lowest of several numbers keeps that. New persons take the numbers that have become free and those after the
    last, in the order of their pseudonyms; where more are free, the last persons move there.
    """
    held = lowest = before
    if became.height:
        held = now_known_as(before, became)
        lowest = held.group_by(KEY).agg(pl.col(PERSON_NUMBER).min())
    index = persons.select(*KEY).join(lowest, on=KEY, how="left", maintain_order="left")
    taken = index[PERSON_NUMBER].drop_nulls().to_numpy()
    largest = max(int(before[PERSON_NUMBER].max() or 0) + 1 if before.height else 0, index.height)  # type: ignore[arg-type]
    is_free = np.ones(largest, dtype=np.bool_)
    is_free[taken] = False
    free = np.flatnonzero(is_free[: index.height]).astype(np.int32)
    numbers = index[PERSON_NUMBER].to_numpy(writable=True).astype(np.float64)
    new = np.flatnonzero(np.isnan(numbers))
    beyond = np.flatnonzero(numbers >= index.height)
    numbers[np.concatenate([new, beyond])] = free
    index = index.with_columns(pl.Series(PERSON_NUMBER, numbers.astype(np.int32)))
    now = held.join(index, on=KEY, how="left", maintain_order="left", suffix="_now")
    changes = now.select(before=PERSON_NUMBER, now=f"{PERSON_NUMBER}_now").filter(
        pl.col("before").ne_missing(pl.col("now"))
    )
    return Numbering(index, changes)


def now_known_as(before: pl.DataFrame, became: pl.DataFrame) -> pl.DataFrame:
    """Rows with a KEY, under the pseudonyms that the persons have now; `became` as in `number_more`."""
    return before.join(became, on=KEY, how="left", maintain_order="left").with_columns(
        pl.coalesce(now, key).alias(key) for now, key in zip(("now_0", "now_1"), KEY, strict=True)
    )


def _without_taken_back(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that still hold, and the others: those of an identifier up to the last that was taken back."""
    ordered = rows.filter(pl.col(PERSON_ID).is_in(rows.filter("is_retracted")[PERSON_ID].implode())).sort(
        "recorded_date", "arrival", nulls_last=False
    )
    ends = pl.int_range(pl.len()).filter("is_retracted").max().over(PERSON_ID)
    gone = ordered.filter(pl.int_range(pl.len()).over(PERSON_ID) <= ends)
    return rows.filter(~pl.col("arrival").is_in(gone["arrival"].implode())), gone


def _contradicting(truth: pl.DataFrame) -> pl.DataFrame:
    """The KEY of persons whose rows are two persons', from rows in the order in which they were recorded.

    An unknown sex contradicts nothing. A row recorded on a later day may correct the date of birth or the sex, not both
    at once; rows recorded on the same day, or on no known day, may not differ.
    """
    days = truth.group_by(*KEY, "recorded_date", maintain_order=True).agg(
        pl.col("birth_date").first(),
        sex=_KNOWN_SEX.drop_nulls().first(),
        differs=(pl.col("birth_date").n_unique() > 1) | (_KNOWN_SEX.drop_nulls().n_unique() > 1),
    )
    sex = pl.col("sex").forward_fill().over(KEY)
    changed = [value.ne(value.shift().over(KEY)).fill_null(False) for value in (pl.col("birth_date"), sex)]
    return days.filter(pl.col("differs") | pl.all_horizontal(changed)).select(KEY)


def _losing(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.select("arrival", reason=pl.lit(reason))
