"""The source `synthetic:N`."""

from collections.abc import Iterator
from datetime import date

import polars as pl

from schemas.areas import load_areas
from schemas.errors import UsageRefused
from transforms.sources import Remark
from transforms.sources.synthetic.block import BLOCK_PERSONS, plan
from transforms.sources.synthetic.draws import day_of
from transforms.sources.synthetic.population import STRANGERS, codes_of, populate
from transforms.sources.synthetic.profile import profile_of
from transforms.sources.synthetic.register import persons
from transforms.sources.synthetic.tables import tables_of
from transforms.sources.synthetic.truth import GAP_SCHEMA

_ROWS_A_PERSON, _ROWS_A_PERSON_AND_YEAR = 4, 13
"""About how many rows there are: for progress only."""
_FIRST_YEAR, _LAST_YEAR = 1980, 2090
"""Years of the as-of date for which birth dates have a century sign."""


class SyntheticSource:
    """A city that does not exist, drawn from a seed: the same arguments, the same rows.

    Rows do not depend on `blocks_together`, how many blocks of persons go into one batch; memory does.
    """

    kind = "synthetic"
    identifier = "hetu"
    generated = True

    def __init__(
        self,
        persons: int,
        years: int,
        as_of: date,
        seed: int,
        areas: pl.DataFrame | None = None,
        *,
        blocks_together: int = 3,
    ) -> None:
        """Ask for so many persons, and their events of so many years up to the as-of date.

        `areas` is another geography than Helsinki's. Raises UsageRefused where an argument is out of range.
        """
        if persons < 1 or not 1 <= years <= 30 or seed < 0 or blocks_together < 1:
            raise UsageRefused("persons, years or seed is out of range", "Give persons >= 1, years 1-30, seed >= 0")
        if not _FIRST_YEAR <= as_of.year <= _LAST_YEAR:
            raise UsageRefused("the as-of date is out of range", f"Give a year from {_FIRST_YEAR} to {_LAST_YEAR}")
        self.persons, self.years, self.as_of, self.seed = persons, years, as_of, seed
        self._areas, self._blocks_together = areas, blocks_together
        self._gaps: list[pl.DataFrame] = []
        self._dirt: dict[tuple[str, str], int] = {}

    def areas(self) -> pl.DataFrame | None:
        """The geography that was given, or None for the default."""
        return self._areas

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """All persons, then the other tables, some blocks of persons at a time."""
        self._gaps, self._dirt = [], {}
        as_of = day_of(self.as_of)
        profile = profile_of(load_areas() if self._areas is None else self._areas, self.seed)
        people = populate(self.persons, self.years, as_of, self.seed, profile)
        starts = range(0, self.persons, BLOCK_PERSONS)
        codes, strangers = codes_of(people, len(starts), self.seed)
        blocks = [
            (
                number,
                people.part(start, start + BLOCK_PERSONS),
                codes[start : start + BLOCK_PERSONS],
                strangers[number * STRANGERS : (number + 1) * STRANGERS],
            )
            for number, start in enumerate(starts)
        ]
        batches = [
            blocks[first : first + self._blocks_together] for first in range(0, len(blocks), self._blocks_together)
        ]
        for batch in batches:
            frames = []
            for number, part, own, nobodys in batch:
                frame, dirt = persons(part, own, nobodys, as_of, self.seed, number)
                frames.append(frame)
                self._count({("person", kind): count for kind, count in dirt.items()})
            yield "person", pl.concat(frames)
        for batch in batches:
            drawn = []
            for number, part, own, nobodys in batch:
                block = plan(number, part, profile, self.years, as_of, self.seed)
                tables = tables_of(block, own, nobodys, profile.codes)
                self._gaps.append(tables.gaps)
                self._count(tables.dirt)
                drawn.append(tables.frames)
            for table in list(drawn[0]):
                yield table, pl.concat([frames.pop(table) for frames in drawn])

    def remarks(self) -> list[Remark]:
        """Nothing: what is wrong with the rows is in `truth`."""
        return []

    def rows_expected(self) -> int | None:
        """About how many rows there will be."""
        return self.persons * (_ROWS_A_PERSON + _ROWS_A_PERSON_AND_YEAR * self.years)

    def truth(self) -> dict[str, pl.DataFrame]:
        """What was planned, by name; complete once all batches have been read.

        `gaps`: one row per person and indicator, `truth.GAP_SCHEMA`. `dirt`: one row per table and kind of fault, with
        the number of rows that have it.
        """
        dirt = sorted((table, kind, count) for (table, kind), count in self._dirt.items())
        return {
            "gaps": pl.concat([pl.DataFrame(schema=GAP_SCHEMA), *self._gaps]),
            "dirt": pl.DataFrame(dirt, schema={"table": pl.String, "kind": pl.String, "count": pl.Int64}, orient="row"),
        }

    def _count(self, dirt: dict[tuple[str, str], int]) -> None:
        for key, count in dirt.items():
            self._dirt[key] = self._dirt.get(key, 0) + count
