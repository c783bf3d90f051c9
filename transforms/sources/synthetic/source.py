"""The source `synthetic:N`."""

from collections.abc import Iterator
from datetime import date

import polars as pl

from schemas.areas import load_areas
from schemas.errors import UsageRefused
from schemas.table import PERSON_ID, RECORD_ID
from schemas.tables import IDENTITY_LINK
from transforms.sources import Remark
from transforms.sources.synthetic.block import BLOCK_PERSONS
from transforms.sources.synthetic.draws import day_of
from transforms.sources.synthetic.planning import plan
from transforms.sources.synthetic.population import Codes, Population, codes_of, populate
from transforms.sources.synthetic.profile import profile_of
from transforms.sources.synthetic.register import identity_links, persons
from transforms.sources.synthetic.tables import FAULT_SCHEMA, LATE_SCHEMA, tables_of
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
        dirt: bool = True,
        blocks_together: int = 3,
    ) -> None:
        """Ask for so many persons, and their events of so many years up to the as-of date.

        `areas` is another geography than Helsinki's. Without `dirt` every row is as it should be and recorded the same
        day. Raises UsageRefused where an argument is out of range.
        """
        if persons < 1 or not 1 <= years <= 30 or seed < 0 or blocks_together < 1:
            raise UsageRefused("persons, years or seed is out of range", "Give persons >= 1, years 1-30, seed >= 0")
        if not _FIRST_YEAR <= as_of.year <= _LAST_YEAR:
            raise UsageRefused("the as-of date is out of range", f"Give a year from {_FIRST_YEAR} to {_LAST_YEAR}")
        self.persons, self.years, self.as_of, self.seed, self.dirt = persons, years, as_of, seed, dirt
        self._areas, self._blocks_together = areas, blocks_together
        self._gaps: list[pl.DataFrame] = []
        self._faults: list[pl.DataFrame] = []
        self._late: list[pl.DataFrame] = []

    def areas(self) -> pl.DataFrame | None:
        """The geography that was given, or None for the default."""
        return self._areas

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Identity links where codes have changed, all persons, then the other tables, some blocks at a time."""
        self._gaps, self._faults, self._late = [], [], []
        as_of = day_of(self.as_of)
        profile = profile_of(load_areas() if self._areas is None else self._areas, self.seed)
        people = populate(self.persons, self.years, as_of, self.seed, profile, is_dirty=self.dirt)
        starts = range(0, self.persons, BLOCK_PERSONS)
        codes = codes_of(people, len(starts), self.seed)
        if self.dirt:
            links = identity_links(codes)
            self._faults.append(_faults(IDENTITY_LINK, "changed_code", links[PERSON_ID]))
            if links.height:
                yield IDENTITY_LINK, links
        blocks: list[tuple[int, Population, Codes]] = []
        for number, start in enumerate(starts):
            stop = start + BLOCK_PERSONS
            blocks.append((number, people.part(start, stop), codes.of_block(number, start, stop)))
        batches = [
            blocks[first : first + self._blocks_together] for first in range(0, len(blocks), self._blocks_together)
        ]
        for batch in batches:
            frames = []
            for number, part, own in batch:
                frame, faults = persons(part, own, as_of, self.seed, number, is_dirty=self.dirt)
                frames.append(frame)
                self._faults += [_faults("person", kind, found) for kind, found in faults.items()]
            yield "person", pl.concat(frames)
        for batch in batches:
            drawn = []
            for number, part, own in batch:
                block = plan(number, part, profile, self.years, as_of, self.seed, is_dirty=self.dirt)
                tables = tables_of(block, own, profile.codes)
                self._gaps.append(tables.gaps)
                self._faults += tables.faults
                self._late += tables.late
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

        `gaps`: one row per person and indicator, `truth.GAP_SCHEMA`. `faults`: one row per fault of a row,
        `tables.FAULT_SCHEMA`. `late`: one row per event recorded too late, `tables.LATE_SCHEMA`. `dirt`: one row per
        table and kind of fault, with the number of rows that have it.
        """
        faults = pl.concat([pl.DataFrame(schema=FAULT_SCHEMA), *self._faults])
        return {
            "gaps": pl.concat([pl.DataFrame(schema=GAP_SCHEMA), *self._gaps]),
            "faults": faults,
            "late": pl.concat([pl.DataFrame(schema=LATE_SCHEMA), *self._late]),
            "dirt": faults.group_by("table", "kind").agg(pl.len().cast(pl.Int64).alias("count")).sort("table", "kind"),
        }


def _faults(table: str, kind: str, codes: pl.Series) -> pl.DataFrame:
    """Faults of rows that have no key of their own."""
    return (
        codes.alias(PERSON_ID)
        .to_frame()
        .select(
            pl.lit(table).alias("table"),
            pl.lit(kind).alias("kind"),
            PERSON_ID,
            pl.lit(None, pl.String).alias(RECORD_ID),
        )
    )
