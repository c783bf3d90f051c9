"""Figures about the rows of each table, computed in one pass over its files; no row and no value leaves this file.

A figure of a table is named by what it counts ("row_count"), one of a column by both ("unit.null_share"). A share is
of the table's rows unless it says otherwise, lies between 0 and 1, has the count it is made of beside it under the
same name with `_count`, and is None where there is nothing to divide by.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypedDict

import duckdb

from schemas.table import PERSON_NUMBER, Kind, Table
from schemas.tables import TABLES

Figures = dict[str, float | None]

EARLIEST = date(1900, 1, 1)
"""Nobody whose care is still looked after was born earlier."""
PAIRS = (
    ("birth_date", "death_date"),
    ("event_date", "end_date"),
    ("from_date", "to_date"),
    ("event_date", "recorded_date"),
    ("event_date", "answered_date"),
    ("booked_date", "event_date"),
    ("booked_date", "status_date"),
)
"""Columns of which the second must not be the earlier day."""
DUPLICATE = "exact duplicate"
"""The controller's reason for a row that it left out because it has it already: no fault of the row."""
MERGED = "merged with another row of the person"
"""The controller's reason for a row of a person who has another; it is a duplicate too."""
REPLACED = "record_id: a later row replaces it"
"""The controller's reason for an earlier version of a record: no fault of the row either."""
WITHOUT_FAULT = (DUPLICATE, MERGED, REPLACED)
_INTAKE = (
    "rows_in",
    "kept",
    "quarantined_count",
    "quarantined_share",
    "duplicate_count",
    "duplicate_share",
    "lost_count",
)
SAMPLED_ROWS = 2_000_000
"""Repeated rows are counted among the rows of one person in so many that about as many rows as this are looked at."""


class Intake(TypedDict):
    """What the controller did with one table: rows in, rows kept, and the others by reason."""

    rows_in: int
    kept: int
    quarantined: Mapping[str, int]


def profile(
    files: Mapping[str, Sequence[Path]],
    as_of: date,
    intake: Mapping[str, Intake] | None = None,
    *,
    latest: date | None = None,
    memory_limit: str = "2GB",
    threads: int = 2,
) -> dict[str, Figures]:
    """One row of figures per table of `schemas.tables`; a table without files is an empty one.

    `files` are Parquet files with the columns of `Table.platform_schema`. A day after `latest` (`as_of` where it is
    not given) lies in the future. Figures of `intake` are None where there is none; a table that it lacks had no rows.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": "",  # rows are never spilled to a disk that nobody thinks of
        "memory_limit": memory_limit,
        "threads": threads,
    }
    with duckdb.connect(config=config) as connection:
        rows = {name: _rows(connection, table, files.get(name, ())) for name, table in TABLES.items()}
        persons = rows["person"].aggregate(
            f"{PERSON_NUMBER}, min(birth_date) AS born, max(death_date) AS died", PERSON_NUMBER
        )
        persons.create("persons")
        profiles = {}
        for name, table in TABLES.items():
            figures = _measure(rows[name], connection.table("persons"), table, as_of, latest or as_of)
            profiles[name] = figures | _intake_figures(figures["row_count"] or 0, name, intake)
    return profiles


def figure_names(table: Table) -> list[str]:
    """Names of the figures that a profile of the table always has."""
    sums = [name for name, _ in _sums(table, EARLIEST, EARLIEST, 1) if name != "sampled"]
    return [*sums, *(_share(name) for name in sums if _has_share(name)), *_INTAKE]


def _rows(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> duckdb.DuckDBPyRelation:
    if files:
        return connection.read_parquet([str(path) for path in files])
    return connection.from_arrow(table.platform_arrow_schema.empty_table())


def _measure(
    rows: duckdb.DuckDBPyRelation, persons: duckdb.DuckDBPyRelation, table: Table, as_of: date, latest: date
) -> Figures:
    """Every figure that the rows alone give. The sums are one query: a column is read once."""
    height = rows.aggregate("count(*)").fetchall()[0][0]
    one_in = max(1, height // SAMPLED_ROWS)
    sums = dict(_sums(table, as_of, latest, one_in))
    joined = rows.set_alias("r").join(persons.set_alias("p"), f"r.{PERSON_NUMBER} = p.{PERSON_NUMBER}", how="left")
    text = ", ".join(f'{expression} AS "{name}"' for name, expression in sums.items())
    figures: Figures = dict(zip(sums, joined.aggregate(text).fetchall()[0], strict=True))
    sampled = figures.pop("sampled")
    shares: Figures = {}
    for name, count in figures.items():
        if _has_share(name):
            whole = sampled if name.endswith("repeated_count") else figures["row_count"]
            shares[_share(name)] = count / whole if whole and count is not None else None
    return figures | shares


def _sums(table: Table, as_of: date, latest: date, one_in: int) -> Iterator[tuple[str, str]]:
    """Name and SQL of each sum over `r`, the table's rows, beside `p`, the person each belongs to."""
    yield "row_count", "count(*)"
    for name in table.platform_schema:
        yield f"{name}.null_count", f"count(*) - count(r.{name})"
    for column in table.platform_columns:
        value = f"r.{column.name}"
        if column.terms:
            terms = ", ".join(_text(term) for term in column.terms)
            yield f"{column.name}.not_a_term_count", _count(f"{value} NOT IN ({terms})")
        if column.name == "code_system":
            for term in column.terms:
                yield f"{column.name}.{term}_count", _count(f"{value} = {_text(term)}")
        if column.minimum is not None or column.maximum is not None:
            bounds = [f"{value} < {column.minimum}" if column.minimum is not None else "false"]
            bounds += [f"{value} > {column.maximum}" if column.maximum is not None else "false"]
            yield f"{column.name}.out_of_range_count", _count(" OR ".join(bounds))
        if column.kind is Kind.DECIMAL:
            yield f"{column.name}.not_finite_count", _count(f"NOT isfinite({value})")
        if column.kind is Kind.DATE:
            yield f"{column.name}.before_1900_count", _count(f"{value} < {_day(EARLIEST)}")
            if not column.may_be_future:
                yield f"{column.name}.in_future_count", _count(f"{value} > {_day(latest)}")
    for first, last in PAIRS:
        # Of what is planned ahead the day of recording is naturally the earlier one.
        is_planned = last == "recorded_date" and table.name == "appointment"
        if {first, last} <= set(table.platform_schema) and not is_planned:
            yield f"{last}.before_{first}_count", _count(f"r.{last} < r.{first}")
    yield "retracted_count", _count("r.is_retracted")
    yield "orphan_count", _count(f"p.{PERSON_NUMBER} IS NULL")
    if "event_date" in table.platform_schema:
        yield "event_date.after_death_count", _count("r.event_date > p.died")
        yield "event_date.before_birth_count", _count("r.event_date < p.born")
        yield (
            "days_since_latest_event",
            f"{_day(as_of)} - max(r.event_date) FILTER (WHERE r.event_date <= {_day(as_of)})",
        )
    if table.name == "measurement":
        yield "unit.missing_count", _count("r.value IS NOT NULL AND r.unit IS NULL")
    in_sample = f"r.{PERSON_NUMBER} % {one_in} = 0"
    yield "sampled", _count(in_sample)
    keys = ["pseudonym"] if table.name == "person" else ["record_key"]
    facts = ", ".join(f"r.{name}" for name in table.platform_schema if name not in keys)
    yield "repeated_count", f"{_count(in_sample)} - count(DISTINCT CASE WHEN {in_sample} THEN hash({facts}) END)"
    for key in keys if table.name != "person" else [*keys, PERSON_NUMBER]:
        given = f"{in_sample} AND r.{key} IS NOT NULL"
        yield f"{key}.repeated_count", f"{_count(given)} - count(DISTINCT CASE WHEN {given} THEN r.{key} END)"


def _intake_figures(row_count: float, table: str, intakes: Mapping[str, Intake] | None) -> Figures:
    """What the controller says of a table; `lost_count` is what its figures do not account for."""
    if intakes is None:
        return dict.fromkeys(_INTAKE)
    intake = intakes.get(table) or Intake(rows_in=0, kept=0, quarantined={})
    rows_in, kept = intake["rows_in"], intake["kept"]
    duplicates = sum(intake["quarantined"].get(reason, 0) for reason in WITHOUT_FAULT)
    quarantined = sum(intake["quarantined"].values()) - duplicates
    return {
        "rows_in": rows_in,
        "kept": kept,
        "quarantined_count": quarantined,
        "quarantined_share": quarantined / rows_in if rows_in else None,
        "duplicate_count": duplicates,
        "duplicate_share": duplicates / rows_in if rows_in else None,
        "lost_count": abs(rows_in - kept - quarantined - duplicates) + abs(kept - row_count),
        **{f"quarantined.{reason}_count": count for reason, count in sorted(intake["quarantined"].items())},
    }


def _has_share(name: str) -> bool:
    return name.endswith("_count") and name != "row_count"


def _share(name: str) -> str:
    return name.removesuffix("_count") + "_share"


def _count(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _day(day: date) -> str:
    return f"DATE '{day.isoformat()}'"
