"""Where source records come from; each kind of source is one file and yields the same tables.

A source is read once, in batches, and never written to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import polars as pl


@dataclass(frozen=True)
class Remark:
    """Something about a source that a steward should know and that does not stop the run; no value of a record."""

    table: str
    column: str | None
    rule: str
    count: int | None = None


class Source(Protocol):
    """One source of records.

    `kind` is its word in policy.toml. `identifier` tells what `person_id` holds. `generated` is true where nobody's
    data is in it.
    """

    kind: str
    identifier: str
    generated: bool

    def areas(self) -> pl.DataFrame | None:
        """The source's own geography (`schemas.areas.AREA_SCHEMA`), or None for the one given or the default."""

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Pairs of table name and rows, some 100,000 to 1,000,000 at a time.

        Identity links come first where there are any, then all persons, then the rest in any order.

        Columns carry the names of `schemas.tables`, optional ones may be absent; values may still be text as the
        source wrote it. Raises SourceRefused where the source cannot be what it should be.
        """

    def remarks(self) -> list[Remark]:
        """What was noticed while reading: missing files and columns, unknown codes. Complete once read to the end."""

    def rows_expected(self) -> int | None:
        """About how many rows there will be, for a progress bar; None where only reading would tell."""
