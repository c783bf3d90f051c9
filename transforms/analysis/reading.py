"""The rows that the clauses look at, read from the lake: each table's rows with codes in one scan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl

from schemas.codelists import TREE_SYSTEMS, CodeList
from schemas.errors import QualityGateFailed
from schemas.indicators import Events
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.analysis.days import FAR_PAST, Days, days_before, season_days
from transforms.analysis.lake import Lake
from transforms.analysis.masks import Numbers

CodeLists: TypeAlias = Mapping[str, CodeList]
_CODE = ("code_system", "code")


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


def read_rows(
    lake: Lake, leaves: Iterable[Events], codelists: CodeLists, as_ofs: Days, person_count: int
) -> dict[Events, pl.DataFrame]:
    """The rows that the leaves look at, by table, codes and conditions; a few more days of them than each needs.

    Raises QualityGateFailed where rows belong to nobody.
    """
    wanted: dict[Events, list[Events]] = {}
    for leaf in leaves:
        for rows in (leaf.rows, *(leaf.follow.rows if leaf.follow else ())):
            wanted.setdefault(rows, []).append(leaf)
    scans: dict[tuple[str, Events | None], list[_Asked]] = {}
    for rows, asking in wanted.items():
        # Rows without codes are each a scan of their own: the order of the table lets it skip what the conditions do.
        scans.setdefault((rows.table, None if rows.codes else rows), []).append(_asked(rows, asking, as_ofs))
    found: dict[Events, pl.DataFrame] = {}
    for (table, alone), asked in scans.items():
        found |= _read_coded(lake, table, asked, codelists) if alone is None else {alone: _read(lake, asked[0])}
    for rows, records in found.items():
        person_numbers(records, rows.table, person_count)
    return found


def _asked(rows: Events, leaves: Sequence[Events], as_ofs: Days) -> _Asked:
    reached = [_reached(leaf, rows, as_ofs) for leaf in leaves]
    own = [leaf for leaf in leaves if leaf.rows == rows]
    columns = [PERSON_NUMBER, "event_date"]
    columns += ["end_date"] if any(leaf.active for leaf in own) else []
    columns += ["value"] if any(leaf.value for leaf in own) else []
    columns += sorted({leaf.total[0] for leaf in own if leaf.total})
    columns += _CODE if any(leaf.distinct == "code" for leaf in own) else ()
    return _Asked(rows, min(a for a, _ in reached), max(u for _, u in reached), tuple(columns))


def _read(lake: Lake, asked: _Asked) -> pl.DataFrame:
    conditions = [*_dated(asked.after, asked.until), *_met(asked.rows)]
    return lake.scan(TABLES[asked.rows.table]).filter(conditions).select(asked.columns).collect(engine="streaming")


def _read_coded(lake: Lake, table: str, asked: Sequence[_Asked], codelists: CodeLists) -> dict[Events, pl.DataFrame]:
    """Read the rows of all the code lists at once, then tell them apart by the runs of equal codes."""
    systems = TABLES[table].column("code_system").terms
    lists = [codelists[name] for name in sorted({name for one in asked for name in one.rows.codes})]
    columns = {column for one in asked for column in one.columns}
    columns |= {column for one in asked for column, _ in (*one.rows.where, *one.rows.where_not)}
    days = _dated(min(one.after for one in asked), max(one.until for one in asked))
    rows = lake.scan(TABLES[table]).filter([*days, _coded(lists, systems)])
    read = rows.select(*_CODE, *sorted(columns - set(_CODE))).collect(engine="streaming")
    changes = [pl.col(column) != pl.col(column).shift(1) for column in _CODE]
    starts = read.select(pl.any_horizontal(changes).fill_null(value=True).arg_true()).to_series()
    runs = read.select(_CODE)[starts]
    lengths = np.diff(np.append(starts.to_numpy(), read.height))
    found = {}
    for one in asked:
        holds = runs.select(_coded([codelists[name] for name in one.rows.codes], systems)).to_series().to_numpy()
        own = read.filter(pl.Series(np.repeat(holds, lengths)))
        found[one.rows] = own.filter(pl.lit(value=True), *_met(one.rows)).select(one.columns)
    return found


def _dated(after: int, until: int) -> list[pl.Expr]:
    event_date = pl.col("event_date")
    conditions = [event_date <= pl.lit(until, pl.Int32).cast(pl.Date)]
    return conditions + ([event_date > pl.lit(after, pl.Int32).cast(pl.Date)] if after > FAR_PAST else [])


def _met(rows: Events) -> list[pl.Expr]:
    met = [pl.col(column).is_in(list(values)) for column, values in rows.where]
    return met + [~pl.col(column).is_in(list(values)).fill_null(value=False) for column, values in rows.where_not]


def _coded(codelists: Sequence[CodeList], systems: tuple[str, ...]) -> pl.Expr:
    """Rows whose code is in one of the lists. Ranges instead of prefixes let a scan skip what the order rules out."""
    code, found = pl.col("code"), []
    for system in systems:
        codes = sorted({code for codelist in codelists for code in codelist.codes.get(system, ())})
        if not codes:
            continue
        if system in TREE_SYSTEMS:
            within = [(code >= start) & (code < end) for start, end in _ranges(codes)]
            found.append((pl.col("code_system") == system) & pl.any_horizontal(within))
        else:
            found.append((pl.col("code_system") == system) & code.is_in(codes))
    return pl.any_horizontal(found)


def _ranges(codes: list[str]) -> list[tuple[str, str]]:
    """Codes in their order and all below them as ranges, from and before; neighbours such as I20 to I25 as one."""
    ranges: list[tuple[str, str]] = []
    for start in codes:
        end = start[:-1] + chr(ord(start[-1]) + 1)
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        else:
            ranges.append((start, end))
    return ranges


def person_numbers(records: pl.DataFrame, table: str, person_count: int) -> Numbers:
    """The person numbers of rows; QualityGateFailed where a row is of nobody in the person table."""
    column = records[PERSON_NUMBER]
    strangers = (column.is_null() | (column < 0) | (column >= person_count)).fill_null(value=True)
    if strangers.any():
        raise QualityGateFailed(
            "rows belong to a person who is not in the person table",
            "Load the lake again from the source",
            table=table,
            column=PERSON_NUMBER,
            count=int(strangers.sum()),
        )
    return column.to_numpy()
