"""Residences that the lake must not show, kept apart, and those that come and go between it and what is remembered.

A person under a security ban has one residence row in the lake that tells nothing; the others are remembered under the
controller's key. They are looked at again where the ban begins or ends, where the person's number changes, and where
the delta has something to say of them.
"""

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from schemas.table import PERSON_NUMBER
from transforms.controller.key_index import KEY


@dataclass(frozen=True)
class Whereabouts:
    """`withheld` are the remembered rows, under the numbers before; `banned` the persons to be hidden, by number now.

    `changes` as in Numbering, `delta` the rows that came.
    """

    withheld: pl.DataFrame
    banned: pl.Series
    changes: pl.DataFrame
    delta: pl.DataFrame

    @cached_property
    def persons(self) -> pl.Series:
        """Numbers of the persons whose residences are looked at as a whole."""
        if not (self.withheld.height or len(self.banned)):
            return pl.Series([], dtype=pl.Int32)
        hidden, banned = set(renumbered(self.withheld, self.changes)[PERSON_NUMBER]), set(self.banned)
        concerned = {*self.delta[PERSON_NUMBER], *self.changes["now"].drop_nulls()}
        corrected = self.withheld.join(self.delta.drop_nulls(KEY), on=KEY, how="semi")[PERSON_NUMBER]
        persons = (hidden ^ banned) | ((hidden | banned) & concerned) | set(corrected)
        return pl.Series(sorted(persons), dtype=pl.Int32)

    @property
    def taken(self) -> pl.DataFrame:
        """Remembered rows that are merged anew."""
        return self.withheld.filter(self._looked_at)

    @property
    def stay(self) -> pl.DataFrame:
        """Remembered rows that stay as they are."""
        return self.withheld.filter(~self._looked_at)

    def without_blanks(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of the lake without those that stand for what is remembered and is merged anew."""
        return rows.filter(~pl.col(PERSON_NUMBER).is_in(self.taken[PERSON_NUMBER].implode()))

    def to_withhold(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Of merged rows those to be remembered in place of the lake's."""
        number = pl.col(PERSON_NUMBER)
        return rows.filter(number.is_in(self.banned.implode()) & number.is_in(self.persons.implode()))

    @property
    def _looked_at(self) -> pl.Expr:
        looked_at = pl.concat([self.persons, self.changes["before"]])
        return pl.col(PERSON_NUMBER).is_in(looked_at.implode())


def renumbered(rows: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Rows under the numbers that their persons have now; rows of persons who are gone are left out."""
    if not changes.height:
        return rows
    numbers = pl.col(PERSON_NUMBER)
    changed = numbers.replace_strict(changes["before"], changes["now"], default=numbers, return_dtype=pl.Int32)
    return rows.with_columns(changed).filter(numbers.is_not_null())
