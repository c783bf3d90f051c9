"""The rows that the clauses look at, read from the lake in a few scans and told apart by the order of the tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import polars as pl

from schemas.codelists import CodeList
from schemas.errors import QualityGateFailed
from schemas.indicators import Events
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.analysis.coding import among, coded
from transforms.analysis.days import FAR_FUTURE, FAR_PAST, Days, days_before, season_days
from transforms.analysis.lake import Lake
from transforms.analysis.masks import Numbers
from transforms.analysis.runs import CODE, Flags, Records, conditions, records_of, runs_of

CodeLists: TypeAlias = Mapping[str, CodeList]
_FEW = 1_000_000
"""Rows of a table up to which reading them once costs less than skipping what nobody asks for, scan by scan."""


@dataclass(frozen=True)
class Window:
    """The days on which a row counts for each as-of date: after < event date <= until."""

    after: Days
    until: Days


def window_of(leaf: Events, as_ofs: Days) -> Window:
    """The days on which a row counts by its date."""
    after = np.full(len(as_ofs), FAR_PAST, dtype=np.int32)
    until = as_ofs
    if leaf.within:
        after = days_before(as_ofs, leaf.within)
    if leaf.begun_at_least:
        until = days_before(as_ofs, leaf.begun_at_least)
    if leaf.season:
        before_season, season_end = season_days(leaf.season, as_ofs)
        after, until = np.maximum(after, before_season), np.minimum(until, season_end)
    return Window(after, until)


def _reached(leaf: Events, rows: Events, as_ofs: Days) -> tuple[int, int]:
    """The days between which a leaf can need rows: after the first, until the second."""
    window = window_of(leaf, as_ofs)
    after, until = window.after, window.until
    if leaf.follow and rows in leaf.follow.rows:
        until = np.maximum(until, as_ofs)
    if leaf.without_before and rows == leaf.rows:
        after = days_before(after, leaf.without_before) if int(after.min()) > FAR_PAST else after
    return int(after.min()), int(until.max())


@dataclass(frozen=True)
class _Asked:
    """Rows that are looked at, for which days after and until, and the columns needed of them."""

    rows: Events
    after: int
    until: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """What is asked of some scans of a table: the texts `in_order` tell rows apart, `beside` is what they do not tell.

    `known_as` is the one thing asked, where the scan itself sees to its conditions.
    """

    table: Table
    asked: Sequence[_Asked]
    scans: Sequence[pl.LazyFrame]
    in_order: Sequence[str]
    beside: Mapping[Events, Events]
    known_as: Events | None


def read_rows(
    lake: Lake, leaves: Iterable[Events], codelists: CodeLists, as_ofs: Days, person_count: int
) -> dict[Events, Records]:
    """The rows that the leaves look at, by table, codes and conditions; a few more days of them than each needs.

    Raises QualityGateFailed where they belong to nobody.
    """
    wanted: dict[Events, list[Events]] = {}
    for leaf in leaves:
        for rows in dict.fromkeys((leaf.rows, *(leaf.follow.rows if leaf.follow else ()))):
            wanted.setdefault(rows, []).append(leaf)
    tables: dict[str, list[_Asked]] = {}
    for rows, asking in wanted.items():
        tables.setdefault(rows.table, []).append(_asked(rows, asking, as_ofs))
    found: dict[Events, Records] = {}
    small, large = _readings(lake, tables, codelists)
    # What is small is read together, which starts the threads once; of what is large one reading is held at a time.
    for together in [small, *([reading] for reading in large)]:
        frames = iter(pl.collect_all([scan for one in together for scan in one.scans], engine="streaming"))
        for reading in together:
            read = pl.concat([next(frames) for _ in reading.scans])
            found |= _found(read, reading, codelists)
    for rows, records in found.items():
        person_numbers(records.persons, rows.table, person_count)
    return found


def _asked(rows: Events, leaves: Sequence[Events], as_ofs: Days) -> _Asked:
    reached = [_reached(leaf, rows, as_ofs) for leaf in leaves]
    own = [leaf for leaf in leaves if leaf.rows == rows]
    columns = ["end_date"] if any(leaf.active for leaf in own) else []
    columns += ["value"] if any(leaf.value for leaf in own) else []
    columns += sorted({leaf.total[0] for leaf in own if leaf.total})
    columns += ["code"] if any(leaf.distinct == "code" for leaf in own) else []
    return _Asked(rows, min(a for a, _ in reached), max(u for _, u in reached), tuple(columns))


def _readings(
    lake: Lake, tables: Mapping[str, Sequence[_Asked]], codelists: CodeLists
) -> tuple[list[_Reading], list[_Reading]]:
    """Small tables, to be read once; of the others what is asked, in as few scans as their order favours."""
    small: list[_Reading] = []
    large: list[_Reading] = []
    for name, asked in tables.items():
        table = TABLES[name]
        every, row_count = lake.counting(table)
        if row_count <= _FEW:
            small.append(_reading(table, asked, [every]))
            continue
        scans: dict[tuple[object, ...], list[_Asked]] = {}
        for one in asked:
            scans.setdefault(_scan_of(one), []).append(one)
        for together in scans.values():
            rows = _dated(every, together)
            if together[0].rows.codes:
                large.append(_reading(table, together, _coded(rows, table, together, codelists)))
            elif len(together) == 1:  # the scan itself sees to its conditions
                (one,) = together
                rows = rows.filter(pl.lit(value=True), *conditions(one.rows))
                large.append(_reading(table, [replace(one, rows=Events(name))], [rows], one.rows))
            else:
                first = [_of_column(one.rows, table.order[0]) for one in together]
                rows = rows.filter(pl.any_horizontal([pl.all_horizontal(True, *conditions(one)) for one in first]))
                large.append(_reading(table, together, [rows], by_texts=False))
    return small, large


def _scan_of(asked: _Asked) -> tuple[object, ...]:
    """What may be read in one scan has the same key.

    The order of a table lets a scan skip what it does not ask for. So rows without codes are each a scan of their own
    where the second column tells them, and share one with those of the same days where it does not. Where the table is
    in the order of codes, rows of other days or columns are scans of their own; elsewhere codes share a scan.
    """
    order = TABLES[asked.rows.table].order
    if not asked.rows.codes:
        named = {name for name, _ in (*asked.rows.where, *asked.rows.where_not)}
        return (asked.rows,) if order[1] in named else (asked.rows.table, asked.after)
    in_order = order[:2] == CODE
    return (asked.rows.table, asked.after, asked.columns) if in_order else (asked.rows.table,)


def _reading(
    table: Table,
    asked: Sequence[_Asked],
    scans: Sequence[pl.LazyFrame],
    known_as: Events | None = None,
    *,
    by_texts: bool = True,
) -> _Reading:
    """What is asked of some scans of a table.

    The first columns of the table's order are read as they are, and tell the rows apart by their runs, unless not
    `by_texts`. Conditions on other columns are worked out by the scan itself, so that their texts are not kept.
    """
    named = {name for one in asked for name, _ in (*one.rows.where, *one.rows.where_not)}
    named |= {name for one in asked if one.rows.codes or "code" in one.columns for name in CODE}
    in_order = [name for name in table.order[:2] if name in named and by_texts]
    beside = {one.rows: _beside(one.rows, in_order) for one in asked}
    others = {name for one in asked for name in one.columns if name not in in_order}
    texts = {*in_order, *(CODE if "code" in others or any(rows.codes for rows in beside.values()) else ())}
    columns = {name: _array(name, table) for name in (PERSON_NUMBER, "event_date", *sorted(others - texts))}
    columns |= {str(rows): _meets(rows) for rows in beside.values() if rows.where or rows.where_not}
    return _Reading(
        table, asked, [rows.select(*sorted(texts), **columns) for rows in scans], in_order, beside, known_as
    )


def _found(read: pl.DataFrame, reading: _Reading, codelists: CodeLists) -> dict[Events, Records]:
    """What is asked, found in the rows of a reading."""
    beside = reading.beside
    flags = _flags(read, dict.fromkeys(beside.values()), reading.table, codelists)
    if any("code" in one.columns for one in reading.asked) and "code" not in reading.in_order:
        code = pl.concat_str(pl.col("code_system").fill_null(""), "code", separator=" ")
        read = read.with_columns(code=code.rank("dense").cast(pl.Int32).fill_null(0))
    runs = runs_of(read, reading.in_order)
    return {
        reading.known_as or one.rows: records_of(runs, one.rows, one.columns, codelists, flags.get(beside[one.rows]))
        for one in reading.asked
    }


def _of_column(rows: Events, column: str) -> Events:
    """What is asked of rows in one column."""
    where, where_not = (tuple(one for one in found if one[0] == column) for found in (rows.where, rows.where_not))
    return replace(rows, where=where, where_not=where_not)


def _beside(rows: Events, in_order: Sequence[str]) -> Events:
    """What is asked of rows beside the texts that the order tells."""
    return replace(
        rows,
        codes=() if "code" in in_order else rows.codes,
        where=tuple(one for one in rows.where if one[0] not in in_order),
        where_not=tuple(one for one in rows.where_not if one[0] not in in_order),
    )


def _meets(rows: Events) -> pl.Expr:
    return pl.all_horizontal(conditions(rows)).fill_null(value=False)


def _flags(read: pl.DataFrame, asked: Collection[Events], table: Table, codelists: CodeLists) -> dict[Events, Flags]:
    """What is asked beside the order: by row, whether it meets that. What asks nothing has no flags."""
    found = {rows: read[str(rows)].to_numpy() for rows in asked if str(rows) in read.columns}
    listed = [rows for rows in asked if rows.codes]
    if not listed:
        return found
    # Most rows of a table in another order have no code; the lists are looked up for the others.
    coded_rows = read.select(CODE).with_row_index("place").filter(pl.col("code").is_not_null())
    systems = table.column("code_system").terms
    are_of = coded_rows.select(
        "place", **{str(rows): coded([codelists[name] for name in rows.codes], systems) for rows in listed}
    )
    for rows in listed:
        is_coded = np.zeros(read.height, dtype=np.bool_)
        is_coded[are_of["place"].filter(are_of[str(rows)]).to_numpy()] = True
        found[rows] = is_coded & found[rows] if rows in found else is_coded
    return found


def _array(name: str, table: Table) -> pl.Expr:
    """A column without empty values; -1 is nobody's number."""
    kind = table.platform_schema[name]
    if name == PERSON_NUMBER:
        return pl.col(name).fill_null(-1)
    if kind == pl.Date:
        return pl.col(name).to_physical().fill_null(FAR_FUTURE)
    return pl.col(name).cast(pl.Float64).fill_null(float("nan"))


def _dated(rows: pl.LazyFrame, asked: Sequence[_Asked]) -> pl.LazyFrame:
    """Rows of the days that are asked for, and maybe of others."""
    event_date = pl.col("event_date")
    after, until = min(one.after for one in asked), max(one.until for one in asked)
    rows = rows.filter(event_date <= pl.lit(until, pl.Int32).cast(pl.Date))
    return rows.filter(event_date > pl.lit(after, pl.Int32).cast(pl.Date)) if after > FAR_PAST else rows


def _coded(rows: pl.LazyFrame, table: Table, asked: Sequence[_Asked], codelists: CodeLists) -> list[pl.LazyFrame]:
    """Rows of all the code lists, and others where no order helps to skip them.

    A table in the order of codes has a scan per code system in use: each skips the rows of the others.
    """
    lists = [codelists[name] for name in sorted({name for one in asked for name in one.rows.codes})]
    systems = [name for name in table.column("code_system").terms if any(name in one.codes for one in lists)]
    if table.order[:2] != CODE:
        return [rows.filter(pl.any_horizontal([among(lists, system) for system in systems]))]
    return [rows.filter(coded(lists, (system,))) for system in systems]


def person_numbers(numbers: pl.Series | Numbers, table: str, person_count: int) -> Numbers:
    """The person numbers of rows; QualityGateFailed where a row is of nobody in the person table."""
    found = numbers.fill_null(-1).to_numpy() if isinstance(numbers, pl.Series) else numbers
    if found.size and (found.min() < 0 or found.max() >= person_count):
        raise QualityGateFailed(
            "rows belong to a person who is not in the person table",
            "Load the lake again from the source",
            table=table,
            column=PERSON_NUMBER,
            count=int(((found < 0) | (found >= person_count)).sum()),
        )
    return found
