"""What the clauses of the definitions read from the records: one mask per person and leaf.

A leaf is computed once however many indicators name it, and rows that several leaves share are read once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TypeAlias

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.codelists import TREE_SYSTEMS, CodeList
from schemas.errors import QualityGateFailed, UsageRefused
from schemas.indicators import Events, Leaf, Selected
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.analysis.days import (
    FAR_FUTURE,
    FAR_PAST,
    Days,
    Masks,
    Reach,
    age_masks,
    column_days,
    days_before,
    masks_between,
)
from transforms.analysis.lake import Lake

CodeLists: TypeAlias = Mapping[str, CodeList]
Numbers: TypeAlias = NDArray[np.int32]


def event_masks(
    lake: Lake, leaves: Mapping[Events, Reach], codelists: CodeLists, as_ofs: Days, births: Days
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that counts rows of a table.

    `leaves` gives, for each, the ages in months outside which nobody asks: what is costly is not computed there.
    `births` gives the day of birth by person number. Raises QualityGateFailed where rows belong to nobody.
    """
    by_rows: dict[Events, list[Events]] = {}
    for leaf in leaves:
        rows = Events(leaf.table, leaf.codes, leaf.where, leaf.where_not)
        by_rows.setdefault(rows, []).append(leaf)
    masks: dict[Leaf, Masks] = {}
    for rows, wanted in by_rows.items():
        records = _read(lake, rows, wanted, codelists, as_ofs)
        persons = person_numbers(records, rows.table, len(births))
        for leaf in wanted:
            masks[leaf] = _mask(leaf, records, persons, as_ofs, births, leaves[leaf])
    return masks


def select_masks(
    connection: duckdb.DuckDBPyConnection, leaves: Iterable[Selected], as_of_table: pl.DataFrame, person_count: int
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that reads a named SELECT; each SELECT runs once.

    The connection has a view of every table of the lake and a table `as_of` (columns `as_of` and `bit`). Raises
    UsageRefused where the SELECT is missing or does not give the columns that a definition names.
    """
    results: dict[str, pl.DataFrame] = {}
    masks: dict[Leaf, Masks] = {}
    for leaf in leaves:
        if leaf.name not in results:
            results[leaf.name] = _select(connection, leaf.name).join(as_of_table, on="as_of")
        found = results[leaf.name]
        for column, values in leaf.where:
            if column not in found.columns:
                raise UsageRefused(
                    f"the SELECT {leaf.name} has no such column", "Correct the where", column=f"where.{column}"
                )
            found = found.filter(pl.col(column).is_in(list(values)))
        bits = np.left_shift(np.uint32(1), found["bit"].cast(pl.UInt32).to_numpy())
        masks[leaf] = scatter(person_numbers(found, leaf.name, person_count), bits, person_count)
    return masks


def scatter(persons: Numbers, masks: Masks, person_count: int) -> Masks:
    """For each person number all the bits of its rows."""
    result = np.zeros(person_count, dtype=np.uint32)
    np.bitwise_or.at(result, persons, masks)
    return result


def merged(groups: Numbers, persons: Numbers, masks: Masks, person_count: int) -> tuple[Numbers, Numbers, Masks]:
    """One row per group and person with the bits of all its rows, in that order: groups, persons, masks."""
    keys = groups.astype(np.int64) * person_count + persons
    order = np.argsort(keys, kind="stable")  # the lake's order makes this a pass over what is sorted already
    in_order = keys[order]
    firsts = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1])) if in_order.size else order
    found = order[firsts]
    return groups[found], persons[found], np.bitwise_or.reduceat(masks[order], firsts) if firsts.size else masks


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


def select_text(name: str) -> str:
    """The text of a named SELECT; UsageRefused where there is none."""
    path = files(__package__).joinpath("sql", f"{name}.sql")
    if not path.is_file():
        raise UsageRefused(f"there is no SELECT {name}", f"Correct the name or add sql/{name}.sql", column="select")
    return path.read_text("utf-8")


@dataclass(frozen=True)
class _Window:
    """The days on which a row counts for each as-of date: after < event date <= until."""

    after: Days
    until: Days


def _window(leaf: Events, as_ofs: Days) -> _Window:
    none = np.full(len(as_ofs), FAR_PAST, dtype=np.int32)
    return _Window(
        after=days_before(as_ofs, leaf.within) if leaf.within else none,
        until=days_before(as_ofs, leaf.begun_at_least) if leaf.begun_at_least else as_ofs,
    )


def _read(lake: Lake, rows: Events, wanted: list[Events], codelists: CodeLists, as_ofs: Days) -> pl.DataFrame:
    windows = [_window(leaf, as_ofs) for leaf in wanted]
    first, last = min(int(w.after.min()) for w in windows), max(int(w.until.max()) for w in windows)
    event_date = pl.col("event_date")
    conditions = [event_date <= pl.lit(last, pl.Int32).cast(pl.Date)]
    if first > FAR_PAST:
        conditions.append(event_date > pl.lit(first, pl.Int32).cast(pl.Date))
    if rows.codes:
        conditions.append(
            _coded([codelists[name] for name in rows.codes], TABLES[rows.table].column("code_system").terms)
        )
    conditions += [pl.col(column).is_in(list(values)) for column, values in rows.where]
    conditions += [~pl.col(column).is_in(list(values)).fill_null(value=False) for column, values in rows.where_not]
    columns = [PERSON_NUMBER, "event_date"]
    columns += ["end_date"] if any(leaf.active for leaf in wanted) else []
    columns += ["code_system", "code"] if any(leaf.distinct == "code" for leaf in wanted) else []
    return lake.scan(TABLES[rows.table]).filter(conditions).select(columns).collect(engine="streaming")


def _coded(codelists: list[CodeList], systems: tuple[str, ...]) -> pl.Expr:
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


def _mask(leaf: Events, records: pl.DataFrame, persons: Numbers, as_ofs: Days, births: Days, reach: Reach) -> Masks:
    window, events = _window(leaf, as_ofs), column_days(records["event_date"], FAR_FUTURE)
    masks = masks_between(events, window.after, window.until)
    if leaf.active:
        masks &= masks_between(column_days(records["end_date"], FAR_FUTURE), as_ofs - 1, FAR_FUTURE)
    if leaf.from_age:
        masks *= births[persons] <= days_before(events, leaf.from_age)
    if leaf.at_least == 1:
        return scatter(persons, masks, len(births))
    masks &= age_masks(births, reach, as_ofs)[persons]
    counts = masks > 0
    persons, masks = persons[counts], masks[counts]
    if leaf.distinct:
        groups = _groups(leaf.distinct, records.filter(counts))
        _, persons, masks = merged(groups, persons, masks, len(births))
    return _at_least(leaf.at_least, persons, masks, len(births), len(as_ofs))


def _groups(distinct: str, records: pl.DataFrame) -> Numbers:
    """A number for what is to be told apart in each row."""
    if distinct == "event_date":
        return column_days(records["event_date"], FAR_FUTURE)
    # The lake lies in the order of the codes, so that there are about as many runs as codes.
    code = pl.struct("code_system", "code")
    runs = records.select("code_system", "code", run=code.rle_id())
    first = runs.filter((pl.col("run") != pl.col("run").shift(1)).fill_null(value=True))
    ranks = first.select(code.rank("dense").cast(pl.Int32)).to_series()
    return ranks.gather(runs["run"]).to_numpy()


def _at_least(least: int, persons: Numbers, masks: Masks, person_count: int, date_count: int) -> Masks:
    candidates = (np.bincount(persons, minlength=person_count) >= least)[persons]
    persons, masks = persons[candidates], masks[candidates]
    result = np.zeros(person_count, dtype=np.uint32)
    for bit in range(date_count):
        holds = np.bincount(persons[(masks >> np.uint32(bit)) & 1 == 1], minlength=person_count) >= least
        result |= holds.astype(np.uint32) << np.uint32(bit)
    return result


def _select(connection: duckdb.DuckDBPyConnection, name: str) -> pl.DataFrame:
    text = select_text(name)
    found: pl.DataFrame | None = None
    try:
        found = connection.sql(text).pl()
    except duckdb.Error:
        found = None
    if found is None or not {PERSON_NUMBER, "as_of"} <= set(found.columns):
        mend = f"Let sql/{name}.sql run, and give {PERSON_NUMBER} and as_of"
        raise UsageRefused(f"the SELECT {name} cannot be used in a definition", mend, column="select")
    return found
