"""A delta merged into the lake: what reading everything again would give, for the price of what changed.

The rows of a delta go into files of their own. Files in which a record lies that comes again, or a person whose number
changes, are written anew without those rows; everything else stays as it is. Small files of earlier nights are put
together now and then. Restrictions are few, and are written whole.

A record of the delta replaces that of the lake unless the lake's was recorded on a later day; a row that the lake has
already changes nothing. Rows before + rows in = rows after + rows left out, per table, asserted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from schemas.errors import SourceRefused
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.controller import validate
from transforms.controller.finding import FILE, PLACE, Wanted, find
from transforms.controller.generalise import WITHHELD, generalise_dates, security_banned, without_whereabouts
from transforms.controller.key_index import KEY, KeyIndex
from transforms.controller.lake_files import FILE_ROWS, RECENT, write_run
from transforms.controller.load import Before, Loader
from transforms.controller.sorting import in_order
from transforms.controller.supersede import ARRIVAL, SUPERSEDED, distinct
from transforms.controller.whereabouts import Whereabouts, renumbered
from transforms.retracted import retracted_in

WITHDRAWN = "the person is no longer there"
"""Why rows leave the lake though nothing replaces them: the person's own row was taken back, or contradicts another."""
MOST_SMALL = 8
"""Small files of earlier nights that a table has at most of one kind, before they are put together."""
SMALL_ROWS = FILE_ROWS // 4
_ALWAYS_WHOLE = "restriction"
_NOBODY = pl.Series([], dtype=pl.Int32)
_WORKERS = 2


@dataclass(frozen=True)
class Merged:
    """What becomes of one table: files written, those of them to be judged, files of the lake that stay.

    `rows_before` are rows of the lake that were merged with the delta's, `rows_after` those of the `judged` files,
    `left_out` what was left out of both and why.
    """

    written: tuple[Path, ...]
    judged: tuple[Path, ...]
    kept: tuple[str, ...]
    rows_before: int = 0
    rows_after: int = 0
    left_out: Mapping[str, int] | None = None


def merge(
    loader: Loader,
    before: Before,
    lake: Mapping[str, Sequence[str]],
    staging: Path,
    index: Mapping[str, KeyIndex] | None = None,
) -> Iterator[tuple[str, Merged]]:
    """Merge what was added to the loader into the files of the lake; pairs of table name and what becomes of it.

    `index` is that of each table's record keys; without it every file is read. Raises SourceRefused where a table's
    dates are coarser than days and rows have no key to be known by.
    """
    changes = loader.number_persons().changes
    persons = loader.number_persons().index.height
    yield "person", Merged((staging / "person.parquet",), (staging / "person.parquet",), (), persons, persons, {})

    def of_table(name: str, banned: pl.Series) -> tuple[Merged, pl.DataFrame]:
        table = TABLES[name]
        delta, withheld = _arrived(loader, table), before.memory.withheld
        if name == "residence":
            hidden = Whereabouts(withheld, banned, changes, delta)
        else:
            hidden = Whereabouts(pl.DataFrame(schema=table.platform_schema), _NOBODY, changes, delta)
        merging = _Merging(
            loader, table, list(lake.get(name, ())), changes, delta, hidden, staging / name, (index or {}).get(name)
        )
        if name == "residence":
            loader.withheld = hidden.stay
        if not merging.is_idle:
            merging.take()
        if name == "residence" and not merging.is_idle:
            loader.withheld = pl.concat([hidden.stay, hidden.to_withhold(merging.rows)])
            merging.withhold(banned)
        return merging.write(), merging.rows

    # Restrictions come first: they say whose residences must not show. The others are merged two at a time.
    merged, restrictions = of_table(_ALWAYS_WHOLE, _NOBODY)
    yield _ALWAYS_WHOLE, merged
    banned = security_banned(restrictions.lazy(), loader.terms.as_of)
    others = [name for name in TABLES if name not in ("person", _ALWAYS_WHOLE)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        for name, (merged, _) in zip(others, pool.map(lambda name: of_table(name, banned), others), strict=True):
            yield name, merged
    for name, tally in loader.tallies.items():
        tally.reconcile(name)


def _arrived(loader: Loader, table: Table) -> pl.DataFrame:
    """The delta's rows of a table as they cross."""
    rows = loader.staged(table.name)
    resolution = loader.terms.resolution(table.name)
    if resolution != "day" and KEY in rows.columns and rows[KEY].null_count():
        raise SourceRefused(
            "rows of an increment have no record_id, and the table's dates are not kept to the day",
            "Load the source in full",
            table.name,
            "record_id",
            rows[KEY].null_count(),
        )
    return generalise_dates(rows, table, resolution).drop(ARRIVAL)


class _Merging:
    """One table on its way: rows that are taken out of the lake's files, then with the delta's among them."""

    def __init__(
        self,
        loader: Loader,
        table: Table,
        files: list[str],
        changes: pl.DataFrame,
        delta: pl.DataFrame,
        hidden: Whereabouts,
        folder: Path,
        index: KeyIndex | None,
    ) -> None:
        self._loader, self._table, self._folder, self._changes = loader, table, folder, changes
        self._files, self._delta = files, delta
        self._left_out: Counter[str] = Counter()
        self._replaced = pl.Series([], dtype=pl.Binary)
        whole = table.name == _ALWAYS_WHOLE
        self.is_idle = not (whole or changes.height or delta.height or len(hidden.persons))
        self._taken_up = [] if self.is_idle else files if whole else _too_many_small(files)
        self._searched = [file for file in files if file not in set(self._taken_up)]
        goes = pl.concat([changes["before"], hidden.persons])
        self._found = find(self._searched, table, self._wanted(goes), index)
        self._is_going = pl.col(PERSON_NUMBER).is_in(goes.implode())
        held = [pl.read_parquet(file) for file in self._taken_up]
        moved = self._found.filter(self._is_going).select(*table.platform_schema)
        rows = pl.concat([hidden.without_blanks(pl.concat([moved, *held])), hidden.taken])
        self._before = rows.height
        self._nothing_comes_back(rows)
        self.rows = renumbered(rows, changes)
        self._leave_out(WITHDRAWN, self._before - self.rows.height)
        if changes.height:
            self._unite()

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
        alike = self._alike()
        known = pl.concat([self.rows, alike])
        if KEY in delta.columns:
            others = delta.join(known.select(KEY, other=PERSON_NUMBER), on=KEY)
            self._loader.remember_moved(self._table.name, others.filter(pl.col("other") != pl.col(PERSON_NUMBER))[KEY])
        again = delta.join(known, on=delta.columns, how="semi", nulls_equal=True, maintain_order="left").height
        delta = delta.join(known, on=delta.columns, how="anti", nulls_equal=True, maintain_order="left")
        tally.duplicates(again)
        self._leave_out(validate.DUPLICATE, again)
        if KEY in delta.columns:
            older = _older_than(delta, known)
            tally.left_out(SUPERSEDED, len(older.arg_true()))
            self._leave_out(SUPERSEDED, len(older.arg_true()))
            delta = delta.filter(~older)
            replaced = pl.col(KEY).is_in(delta[KEY].drop_nulls().implode()).fill_null(False)
            stay = self.rows.filter(~replaced)
            self._leave_out(SUPERSEDED, self.rows.height - stay.height)
            self.rows = stay
            self._replaced = alike.join(delta, on=KEY, how="semi")[KEY]
        tally.kept += delta.height
        self._before += rows_in
        self.rows = pl.concat([self.rows, delta])

    def write(self) -> Merged:
        """Write the merged rows in their order, and anew the files from which rows must go."""
        if self.is_idle:
            return Merged((), (), tuple(self._files), left_out={})
        rows = in_order(self.rows, self._table.order)
        if self._before != rows.height + self._left_out.total():
            raise AssertionError(f"{self._table.name}: rows before and in are not rows after and left out")
        self._folder.mkdir(exist_ok=True)
        for leftover in self._folder.rglob("*.part"):
            leftover.unlink()
        judged = [
            path.rename(self._folder / f"{RECENT}{place:04d}.parquet")
            for place, path in enumerate(write_run(rows, self._folder / "merged"))
        ]
        rewritten, touched = self._without_gone(len(judged))
        kept = tuple(file for file in self._searched if file not in touched)
        left_out = {reason: count for reason, count in self._left_out.items() if count}
        if len(self._replaced):
            left_out[SUPERSEDED] = left_out.get(SUPERSEDED, 0) + len(self._replaced)
        return Merged((*judged, *rewritten), tuple(judged), kept, self._before, rows.height, left_out)

    def _without_gone(self, number: int) -> tuple[list[Path], set[str]]:
        """Files written anew without the rows that go, numbered from `number`, and those in whose place they are."""
        goes = self._is_going
        if len(self._replaced):
            goes |= pl.col(KEY).is_in(self._replaced.implode()).fill_null(False)
        gone = self._found.filter(goes)
        places = {file: rows[PLACE] for (file,), rows in gone.partition_by(FILE, as_dict=True).items()}

        def rewrite(file: int) -> tuple[int, list[Path]]:
            rows = pl.read_parquet(self._searched[file])
            stay = pl.repeat(True, rows.height, eager=True).scatter(places[file], False)
            return rows.height - int(stay.sum()), write_run(rows.filter(stay), self._folder / f"settled-{file:06d}")

        with ThreadPoolExecutor(_WORKERS) as pool:
            done = dict(zip(places, pool.map(rewrite, places), strict=True))
        moved = self._found.filter(self._is_going).height
        if sum(count for count, _ in done.values()) != moved + len(self._replaced):
            raise AssertionError(f"{self._table.name}: rows have gone that nothing moved or replaced")
        rewritten: list[Path] = []
        for file, (_, paths) in done.items():
            prefix = RECENT if _is_recent(self._searched[file]) else ""
            for path in paths:
                rewritten.append(path.rename(self._folder / f"{prefix}{number + len(rewritten):04d}.parquet"))
        return rewritten, {self._searched[file] for file in done}

    def _nothing_comes_back(self, rows: pl.DataFrame) -> None:
        """Raise SourceRefused where a record goes with its person that was another person's before: it is theirs again,
        and the lake no longer knows how.
        """
        gone = self._changes.filter(pl.col("now").is_null())["before"]
        if not len(gone) or KEY not in rows.columns:
            return
        moved = self._loader.moved_before(self._table.name)
        if back := rows.filter(pl.col(PERSON_NUMBER).is_in(gone.implode()) & pl.col(KEY).is_in(moved.implode())).height:
            raise SourceRefused(
                "records of persons who are no longer there were another person's before",
                "Load the source in full",
                self._table.name,
                "record_id",
                back,
            )

    def _leave_out(self, reason: str, count: int) -> None:
        self._left_out[reason] += count

    def _wanted(self, goes: pl.Series) -> Wanted:
        """Rows of persons who go, with a key of the delta's, and those that may be one of its rows without a key."""
        delta, united = self._delta, self._changes["now"].drop_nulls()
        if KEY not in self._table.platform_schema:
            return Wanted(pl.Series([], dtype=pl.Binary), goes, pl.concat([delta[PERSON_NUMBER], united]))
        keyless = delta.filter(pl.col(KEY).is_null())[PERSON_NUMBER]
        return Wanted(delta[KEY].drop_nulls(), goes, pl.concat([keyless, united]))

    def _alike(self) -> pl.DataFrame:
        """Rows that stay in their files unless a row of the delta replaces them."""
        return self._found.filter(~self._is_going).select(*self._table.platform_schema)

    def _unite(self) -> None:
        """Of two persons that are one now, keep each row without a key once."""
        if KEY not in self.rows.columns or not self.rows[KEY].null_count():
            return
        has_key, before = pl.col(KEY).is_not_null(), self.rows.height
        keyless = distinct(self.rows.filter(~has_key))
        keyless = keyless.join(self._alike(), on=keyless.columns, how="anti", nulls_equal=True, maintain_order="left")
        self.rows = pl.concat([self.rows.filter(has_key), keyless])
        self._leave_out(validate.DUPLICATE, before - self.rows.height)


def _is_recent(file: str) -> bool:
    return f"-{RECENT}" in Path(file).name


def _too_many_small(files: Sequence[str]) -> list[str]:
    """The small files of the last nights, where there are so many that they are put together: of retracted rows apart.

    A night leaves one of each kind.
    """
    small: dict[bool, list[str]] = {False: [], True: []}
    for file in filter(_is_recent, files):
        about = pq.read_metadata(file)
        if about.num_rows < SMALL_ROWS:
            small[retracted_in(about) == "only"].append(file)
    return [file for some in small.values() if len(some) >= MOST_SMALL for file in some]


def _older_than(delta: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """Whether the lake has a row of the same record that was recorded on a later day. One flag a row of the delta."""
    lake = known.filter(pl.col(KEY).is_not_null()).select(KEY, lake_date="recorded_date", is_known=True)
    lake = lake.join(delta.select(KEY), on=KEY, how="semi").unique(KEY)
    both = delta.select(KEY, "recorded_date").join(lake, on=KEY, how="left", maintain_order="left")
    older = pl.col("lake_date").is_not_null() & (
        pl.col("recorded_date").is_null() | (pl.col("recorded_date") < pl.col("lake_date"))
    )
    return both.select(older.fill_null(False)).to_series()
