"""Named SELECTs: what a definition asks of sequences of events that no clause describes."""

from collections.abc import Sequence
from datetime import date
from importlib.resources import files

import duckdb
import numpy as np
import polars as pl

from schemas.errors import UsageRefused
from schemas.indicators import Deadline, Leaf, Period, Selected
from schemas.table import PERSON_NUMBER
from transforms.analysis.days import Masks, day_numbers, days_before, due_days
from transforms.analysis.lake import Lake, own_connection
from transforms.analysis.masks import scatter
from transforms.analysis.reading import person_numbers

DEADLINES_REACH = Period(120, "months")
"""How long before the first as-of date the table `deadline` begins."""


def select_masks(
    lake: Lake, leaves: Sequence[Selected], as_ofs: Sequence[date], person_count: int
) -> dict[Leaf, Masks]:
    """One mask per person number for every leaf that reads a named SELECT; each SELECT runs once.

    A SELECT sees a view of every table of the lake, a table `as_of` (columns `as_of` and `bit`) and, where the
    definition has deadlines, a table `deadline` (columns `asked_date` and `due_date`, a row for every day). Raises
    UsageRefused where the SELECT is missing or does not give the columns that a definition names.
    """
    results: dict[Selected, pl.DataFrame] = {}
    masks: dict[Leaf, Masks] = {}
    as_of_table = pl.DataFrame({"as_of": as_ofs}).with_row_index("bit")
    whole = list(dict.fromkeys(Selected(leaf.name, deadlines=leaf.deadlines) for leaf in leaves))
    for one, rows in zip(whole, select_rows(lake, whole, as_of_table), strict=True):
        results[one] = rows.join(as_of_table, on="as_of")
    for leaf in leaves:
        found = results[Selected(leaf.name, deadlines=leaf.deadlines)]
        for column, values in leaf.where:
            if column not in found.columns:
                raise UsageRefused(
                    f"the SELECT {leaf.name} has no such column", "Correct the where", column=f"where.{column}"
                )
            found = found.filter(pl.col(column).is_in(list(values)))
        bits = np.left_shift(np.uint32(1), found["bit"].cast(pl.UInt32).to_numpy())
        masks[leaf] = scatter(person_numbers(found[PERSON_NUMBER], leaf.name, person_count), bits, person_count)
    return masks


def select_text(name: str) -> str:
    """The text of a named SELECT; UsageRefused where there is none."""
    path = files(__package__).joinpath("sql", f"{name}.sql")
    if not path.is_file():
        raise UsageRefused(f"there is no SELECT {name}", f"Correct the name or add sql/{name}.sql", column="select")
    return path.read_text("utf-8")


def select_rows(lake: Lake, selects: Sequence[Selected], as_of_table: pl.DataFrame) -> list[pl.DataFrame]:
    """Every row that each SELECT gives for the as-of dates, whatever its columns. Raises as `select_masks` does."""
    if not selects:
        return []
    with own_connection() as connection:
        lake.views(connection, " ".join(select_text(one.name) for one in selects))
        connection.register("as_of", as_of_table)
        return [_select(connection, one, as_of_table) for one in selects]


def _select(connection: duckdb.DuckDBPyConnection, select: Selected, as_of_table: pl.DataFrame) -> pl.DataFrame:
    text = select_text(select.name)
    found: pl.DataFrame | None = None
    if select.deadlines:
        connection.register("deadline", _due(select.deadlines, as_of_table["as_of"].to_list()))
    try:
        found = connection.sql(text).pl()
    except duckdb.Error:
        found = None
    if select.deadlines:
        connection.unregister("deadline")
    if found is None or not {PERSON_NUMBER, "as_of"} <= set(found.columns):
        mend = f"Let sql/{select.name}.sql run, and give {PERSON_NUMBER} and as_of"
        raise UsageRefused(f"the SELECT {select.name} cannot be used in a definition", mend, column="select")
    return found


def _due(deadlines: Sequence[Deadline], as_ofs: Sequence[date]) -> pl.DataFrame:
    days = day_numbers(sorted(as_ofs))
    asked = np.arange(days_before(days[:1], DEADLINES_REACH)[0], days[-1] + 1, dtype=np.int32)
    columns = {"asked_date": asked, "due_date": due_days(asked, deadlines)}
    return pl.DataFrame(columns).cast(pl.Date)
