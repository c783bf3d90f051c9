"""Named SELECTs: what a definition asks of sequences of events that no clause describes."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any, TypeVar

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.errors import UsageRefused
from schemas.indicators import Deadline, Leaf, Period, Selected
from schemas.table import PERSON_NUMBER
from transforms.analysis.days import FAR_PAST, Days, Masks, day_numbers, days_before, due_days, masks_between
from transforms.analysis.lake import Lake, own_connection
from transforms.analysis.masks import scatter
from transforms.analysis.reading import person_numbers

Found = TypeVar("Found", pl.DataFrame, Mapping[str, NDArray[Any]])
_KINDS: Mapping[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float), "O": (str,)}
"""What a `where` can compare a column of a SELECT with, by the kind of its array."""
DEADLINES_REACH = Period(120, "months")
"""How long before the first as-of date the table `deadline` begins."""


def select_masks(
    lake: Lake, leaves: Sequence[Selected], as_ofs: Sequence[date], person_count: int
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that reads a named SELECT; each SELECT runs once.

    A SELECT sees a view of every table of the lake, a table `as_of` (columns `as_of` and `bit`) and, where the
    definition has deadlines, a table `deadline` (columns `asked_date` and `due_date`, a row for every day). It gives
    `person_number`, `as_of` and what conditions name. What else it gives is told as evidence: `event_date` is the day
    of what is followed up, `due_date` the day by which that was expected. Raises UsageRefused where the SELECT is
    missing or does not give the columns that a definition names.
    """
    whole = list(dict.fromkeys(replace(leaf, where=()) for leaf in leaves))
    as_of_table = pl.DataFrame({"as_of": as_ofs}).with_row_index("bit")
    needed = tuple(sorted({PERSON_NUMBER, "as_of", *(column for leaf in leaves for column, _ in leaf.where)}))
    results = dict(zip(whole, _results(lake, whole, as_of_table, partial(_arrays, needed)), strict=True))
    return {leaf: _mask(leaf, results[replace(leaf, where=())], day_numbers(as_ofs), person_count) for leaf in leaves}


def _mask(leaf: Selected, found: Mapping[str, NDArray[Any]], as_ofs: Days, person_count: int) -> Masks:
    """The as-of dates on which a person has a row that meets the conditions."""
    days = np.ma.filled(found["as_of"].astype("datetime64[D]").astype(np.int64), FAR_PAST)
    masks = masks_between(days.astype(np.int32), as_ofs - 1, as_ofs)
    for column, values in leaf.where:
        if column not in found or not all(isinstance(one, _KINDS[found[column].dtype.kind]) for one in values):
            rule = f"the SELECT {leaf.name} has no such column or values"
            raise UsageRefused(rule, "Correct the where", column=f"where.{column}")
        is_met = np.isin(np.ma.getdata(found[column]), list(values)) & ~np.ma.getmaskarray(found[column])
        masks = np.where(is_met, masks, np.uint32(0))
    persons = person_numbers(np.ma.filled(found[PERSON_NUMBER], -1), leaf.name, person_count)
    return scatter(persons, masks, person_count)


def select_text(name: str) -> str:
    """The text of a named SELECT; UsageRefused where there is none."""
    path = files(__package__).joinpath("sql", f"{name}.sql")
    if not path.is_file():
        raise UsageRefused(f"there is no SELECT {name}", f"Correct the name or add sql/{name}.sql", column="select")
    return path.read_text("utf-8")


@lru_cache(maxsize=64)
def _statement(text: str, needed: tuple[str, ...] = ()) -> duckdb.Statement:
    """A SELECT as DuckDB reads it, which of few persons is a tenth of its cost. Anything else raises duckdb.Error.

    Where columns are `needed`, those of them that it has and no others.
    """
    statements = duckdb.extract_statements(text)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise duckdb.InvalidInputException("it is not one SELECT")
    if needed:
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in needed)
        inner = text.rstrip("; \n")
        return duckdb.extract_statements(f"FROM ({inner}\n) SELECT COLUMNS(lambda name: name IN ({listed}))")[0]
    return statements[0]


def select_rows(lake: Lake, select: Selected, as_of: date) -> pl.DataFrame:
    """Every row that a SELECT gives for an as-of date, whatever its columns. Raises as `select_masks` does."""
    (found,) = _results(lake, [select], pl.DataFrame({"as_of": [as_of], "bit": [0]}), _frame)
    return found


def _arrays(needed: tuple[str, ...], connection: duckdb.DuckDBPyConnection, text: str) -> Mapping[str, NDArray[Any]]:
    """The columns that are needed as arrays, masked where empty; half the cost of a frame where rows are few."""
    return connection.execute(_statement(text, needed)).fetchnumpy()


def _frame(connection: duckdb.DuckDBPyConnection, text: str) -> pl.DataFrame:
    rows: pl.DataFrame = connection.sql(_statement(text)).pl()
    return rows


def _results(
    lake: Lake,
    selects: Sequence[Selected],
    as_of_table: pl.DataFrame,
    fetch: Callable[[duckdb.DuckDBPyConnection, str], Found],
) -> list[Found]:
    if not selects:
        return []
    with own_connection() as connection:
        lake.views(connection, " ".join(select_text(one.name) for one in selects))
        connection.register("as_of", as_of_table.to_arrow())  # half the cost of scanning a frame of Polars
        return [_result(connection, one, as_of_table["as_of"].to_list(), fetch) for one in selects]


def _result(
    connection: duckdb.DuckDBPyConnection,
    select: Selected,
    as_ofs: Sequence[date],
    fetch: Callable[[duckdb.DuckDBPyConnection, str], Found],
) -> Found:
    text = select_text(select.name)
    found: Found | None = None
    if select.deadlines:
        connection.register("deadline", _due(select.deadlines, min(as_ofs), max(as_ofs)).to_arrow())
    with contextlib.suppress(duckdb.Error):
        found = fetch(connection, text)
    if select.deadlines:
        connection.unregister("deadline")
    if found is None or PERSON_NUMBER not in found or "as_of" not in found:
        mend = f"Let sql/{select.name}.sql run, and give {PERSON_NUMBER} and as_of"
        raise UsageRefused(f"the SELECT {select.name} cannot be used in a definition", mend, column="select")
    return found


@lru_cache(maxsize=8)
def _due(deadlines: tuple[Deadline, ...], first: date, last: date) -> pl.DataFrame:
    start, end = day_numbers([first, last])
    asked = np.arange(days_before(np.array([start]), DEADLINES_REACH)[0], end + 1, dtype=np.int32)
    columns = {"asked_date": asked, "due_date": due_days(asked, deadlines)}
    return pl.DataFrame(columns).cast(pl.Date)
