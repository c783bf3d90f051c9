"""A delta merged into the lake: what reading everything again would give, for the price of what changed.

The rows of the last quarter, and all residences and restrictions, are few: they are merged and written anew. The other
files are searched for the records that come again and for persons whose number changes; only files from which a row
must go are written anew, without it. Everything else stays as it is.

A record of the delta replaces that of the lake unless the lake's was recorded on a later day; a row that the lake has
already changes nothing. Rows before + rows in = rows after + rows left out, per table, asserted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from schemas.errors import SourceRefused
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.controller import validate
from transforms.controller.generalise import WITHHELD, generalise_dates, security_banned, without_whereabouts
from transforms.controller.load import RECENT, WHOLE_TABLES, Before, Loader, write_run
from transforms.controller.sorting import in_order
from transforms.controller.supersede import ARRIVAL, SUPERSEDED, distinct

WITHDRAWN = "the person is no longer there"
"""Why rows leave the lake though nothing replaces them: the person's own row was taken back, or contradicts another."""
_FILE = "_file"
_KEY = "record_key"


@dataclass(frozen=True)
class Merged:
    """What becomes of one table: files written, those of them to be judged anew, files of the lake that stay.

    `rows_before` are those of the lake that were merged, `rows_after` those of the `judged` files, `left_out` what was
    left out of both and why.
    """

    written: tuple[Path, ...]
    judged: tuple[Path, ...]
    kept: tuple[str, ...]
    rows_before: int = 0
    rows_after: int = 0
    left_out: Mapping[str, int] | None = None


def merge(
    loader: Loader, before: Before, lake: Mapping[str, Sequence[str]], staging: Path
) -> Iterator[tuple[str, Merged]]:
    """Merge what was added to the loader into the files of the lake; pairs of table name and what becomes of it.

    Raises SourceRefused where a table's dates are coarser than days and rows have no key to be known by.
    """
    changes = loader.number_persons().changes
    persons = loader.number_persons().index.height
    yield "person", Merged((staging / "person.parquet",), (staging / "person.parquet",), (), persons, persons, {})
    banned = pl.Series([], dtype=pl.Int32)
    # Restrictions come first: they say whose residences must not show.
    for name in sorted((name for name in TABLES if name != "person"), key=lambda name: name != "restriction"):
        table = TABLES[name]
        withheld = before.memory.withheld if name == "residence" else None
        merging = _Merging(loader, table, list(lake.get(name, ())), changes, withheld, staging / name)
        if merging.is_idle:
            yield name, merging.unchanged()
            continue
        merging.take()
        if name == "restriction":
            banned = security_banned(merging.rows.lazy(), loader.terms.as_of)
        if name == "residence":
            loader.withheld = merging.rows.filter(pl.col(PERSON_NUMBER).is_in(banned.implode()))
            merging.withhold(banned)
        yield name, merging.write()
    for name, tally in loader.tallies.items():
        tally.reconcile(name)


class _Merging:
    """One table on its way: the lake's rows that are merged, then with the delta's among them."""

    def __init__(
        self,
        loader: Loader,
        table: Table,
        files: list[str],
        changes: pl.DataFrame,
        withheld: pl.DataFrame | None,
        folder: Path,
    ) -> None:
        self._loader, self._table, self._folder, self._changes = loader, table, folder, changes
        whole = table.name in WHOLE_TABLES
        self._settled = [] if whole else [file for file in files if f"-{RECENT}" not in Path(file).name]
        self._merged = [file for file in files if file not in set(self._settled)]
        self._left_out: Counter[str] = Counter()
        self._replaced = pl.Series([], dtype=pl.Binary)
        self._delta = self._arrived()
        self.is_idle = not (whole or changes.height or self._delta.height)
        self._none = pl.DataFrame(schema=table.platform_schema)
        held = pl.read_parquet(self._merged) if self._merged and not self.is_idle else self._none
        if withheld is not None:  # in the place of the blank rows that stand for them
            held = pl.concat([held.filter(~pl.col(PERSON_NUMBER).is_in(withheld[PERSON_NUMBER].implode())), withheld])
        self._moved = self._settled_rows(self._is_moving()) if changes.height else self._none
        self._before = held.height + self._moved.height
        self.rows = _renumbered(pl.concat([held, self._moved]), changes)
        self._leave_out(WITHDRAWN, self._before - self.rows.height)
        if changes.height:
            self._unite()

    def unchanged(self) -> Merged:
        """What becomes of a table to which nothing comes: it stays."""
        rows = sum(pq.read_metadata(file).num_rows for file in self._merged)
        judged = tuple(Path(file) for file in self._merged)
        return Merged((), judged, (*self._settled, *self._merged), rows, rows, {})

    def _arrived(self) -> pl.DataFrame:
        table = self._table
        rows = self._loader.staged(table.name)
        resolution = self._loader.terms.resolution(table.name)
        if resolution != "day" and _KEY in rows.columns and rows[_KEY].null_count():
            raise SourceRefused(
                "rows of an increment have no record_id, and the table's dates are not kept to the day",
                "Load the source in full",
                table.name,
                "record_id",
                rows[_KEY].null_count(),
            )
        return generalise_dates(rows, table, resolution).drop(ARRIVAL)

    def withhold(self, banned: pl.Series) -> None:
        """Leave of each banned person one row that tells nothing."""
        before = self.rows.height
        self.rows = without_whereabouts(self.rows, banned)
        self._leave_out(WITHHELD, before - self.rows.height)

    def take(self) -> None:
        """Merge the delta's rows with the lake's."""
        delta, tally = self._delta, self._loader.tallies.get(self._table.name)
        if tally is None or not delta.height:
            return
        rows_in = delta.height
        settled = self._settled_alike(delta)
        known = pl.concat([self.rows, settled])
        again = delta.join(known, on=delta.columns, how="semi", nulls_equal=True, maintain_order="left").height
        delta = delta.join(known, on=delta.columns, how="anti", nulls_equal=True, maintain_order="left")
        tally.duplicates(again)
        self._leave_out(validate.DUPLICATE, again)
        if _KEY in delta.columns:
            older = _older_than(delta, known)
            tally.left_out(SUPERSEDED, len(older.arg_true()))
            self._leave_out(SUPERSEDED, len(older.arg_true()))
            delta = delta.filter(~older)
            replaced = pl.col(_KEY).is_in(delta[_KEY].drop_nulls().implode()).fill_null(False)
            stay = self.rows.filter(~replaced)
            self._leave_out(SUPERSEDED, self.rows.height - stay.height)
            self.rows = stay
            self._replaced = settled.join(delta, on=_KEY, how="semi")[_KEY]
        tally.kept += delta.height
        self._before += rows_in
        self.rows = pl.concat([self.rows, delta])

    def write(self) -> Merged:
        """Write the merged rows in their order, and anew the settled files from which rows must go."""
        rows = in_order(self.rows, self._table.order)
        if self._before != rows.height + self._left_out.total():
            raise AssertionError(f"{self._table.name}: rows before and in are not rows after and left out")
        self._folder.mkdir(exist_ok=True)
        for leftover in self._folder.rglob("*.part"):
            leftover.unlink()
        prefix = "" if self._table.name in WHOLE_TABLES else RECENT
        judged = [
            path.rename(self._folder / f"{prefix}{place:04d}.parquet")
            for place, path in enumerate(write_run(rows, self._folder / "merged"))
        ]
        touched = self._touched()
        rewritten: list[Path] = []
        gone = 0
        for file in touched:
            settled = pl.read_parquet(file)
            left = settled.filter(~self._goes())
            gone += settled.height - left.height
            rewritten += [
                path.rename(self._folder / f"{len(rewritten):04d}.parquet")
                for path in write_run(left, self._folder / "settled")
            ]
        if gone != self._moved.height + len(self._replaced):
            raise AssertionError(f"{self._table.name}: rows have gone that nothing moved or replaced")
        kept = tuple(file for file in self._settled if file not in set(touched))
        left_out = {reason: count for reason, count in self._left_out.items() if count}
        if len(self._replaced):
            left_out[SUPERSEDED] = left_out.get(SUPERSEDED, 0) + len(self._replaced)
        return Merged((*judged, *rewritten), tuple(judged), kept, self._before, rows.height, left_out)

    def _leave_out(self, reason: str, count: int) -> None:
        self._left_out[reason] += count

    def _is_moving(self) -> pl.Expr:
        return pl.col(PERSON_NUMBER).is_in(self._changes["before"].implode())

    def _goes(self) -> pl.Expr:
        """Whether a row of a settled file must go from it."""
        goes = self._is_moving() if self._changes.height else pl.lit(False)
        if len(self._replaced):
            goes |= pl.col(_KEY).is_in(self._replaced.implode()).fill_null(False)
        return goes

    def _touched(self) -> list[str]:
        if not self._settled or not (self._changes.height or len(self._replaced)):
            return []
        found = pl.scan_parquet(self._settled, include_file_paths=_FILE).filter(self._goes()).select(_FILE).unique()
        names = set(found.collect(engine="streaming")[_FILE])
        return [file for file in self._settled if file in names]

    def _settled_rows(self, which: pl.Expr) -> pl.DataFrame:
        if not self._settled:
            return self._none
        rows = pl.scan_parquet(self._settled).filter(which)
        return rows.select(*self._table.platform_schema).collect(engine="streaming")

    def _settled_alike(self, delta: pl.DataFrame) -> pl.DataFrame:
        """Rows of settled files that have a key of the delta's, or may be one of its rows without a key."""
        which = pl.lit(False)
        keyless = delta
        if _KEY in delta.columns:
            keyless = delta.filter(pl.col(_KEY).is_null())
            which |= pl.col(_KEY).is_in(delta[_KEY].drop_nulls().implode()).fill_null(False)
        if keyless.height:
            which |= pl.col(PERSON_NUMBER).is_in(keyless[PERSON_NUMBER].unique().implode())
        alike = self._settled_rows(which)
        return alike.filter(~self._is_moving()) if self._changes.height else alike

    def _unite(self) -> None:
        """Of two persons that are one now, keep each row without a key once."""
        if _KEY not in self.rows.columns or not self.rows[_KEY].null_count():
            return
        has_key, before = pl.col(_KEY).is_not_null(), self.rows.height
        keyless = distinct(self.rows.filter(~has_key))
        others = self._settled_rows(pl.col(PERSON_NUMBER).is_in(self._changes["now"].drop_nulls().implode()))
        others = others.filter(~self._is_moving())
        keyless = keyless.join(others, on=keyless.columns, how="anti", nulls_equal=True, maintain_order="left")
        self.rows = pl.concat([self.rows.filter(has_key), keyless])
        self._leave_out(validate.DUPLICATE, before - self.rows.height)


def _renumbered(rows: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Rows under the numbers that their persons have now; rows of persons who are gone are left out."""
    if not changes.height:
        return rows
    numbers = pl.col(PERSON_NUMBER)
    changed = numbers.replace_strict(changes["before"], changes["now"], default=numbers, return_dtype=pl.Int32)
    return rows.with_columns(changed).filter(numbers.is_not_null())


def _older_than(delta: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """Whether the lake has a row of the same record that was recorded on a later day. One flag a row of the delta."""
    lake = known.filter(pl.col(_KEY).is_not_null()).select(_KEY, lake_date="recorded_date", is_known=True)
    lake = lake.join(delta.select(_KEY), on=_KEY, how="semi").unique(_KEY)
    both = delta.select(_KEY, "recorded_date").join(lake, on=_KEY, how="left", maintain_order="left")
    older = pl.col("lake_date").is_not_null() & (
        pl.col("recorded_date").is_null() | (pl.col("recorded_date") < pl.col("lake_date"))
    )
    return both.select(older.fill_null(False)).to_series()
