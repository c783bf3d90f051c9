"""Figures about the rows of each table, file by file and each once; no row and no value leaves this file.

A figure of a table is named by what it counts ("row_count"), one of a column by both ("unit.null_share"). A share is
of the table's rows unless it says otherwise, lies between 0 and 1, has the count it is made of beside it under the
same name with `_count`, and is None where there is nothing to divide by.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypedDict

import polars as pl

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
"""What is there twice is looked for among so many rows of a table at most: all rows of one person in so many, and for
a key all rows of one key in so many, whosever they are."""
_BEYOND = 1 << 20
"""Person numbers that lie so far beyond the number of persons are nobody's; those of a lake are dense."""
_DAYS = "days_since_latest_event"


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
    threads: int = 2,
) -> dict[str, Figures]:
    """One row of figures per table of `schemas.tables`; a table without files is an empty one.

    `files` are Parquet files with the columns of `Table.platform_schema`. A day after `latest` (`as_of` where it is
    not given) lies in the future. Figures of `intake` are None where there is none; a table that it lacks had no rows.
    """
    persons = _persons(files.get("person", ()))
    profiles = {}
    with ThreadPoolExecutor(threads) as pool:
        measured = {}
        for name, table in TABLES.items():
            paths = files.get(name, ())
            height = pl.scan_parquet(list(paths)).select(pl.len()).collect().item() if paths else 0
            measure = partial(
                _measured, table=table, persons=persons, sums=dict(_sums(table, as_of, latest or as_of)),
                one_in=max(1, height // SAMPLED_ROWS),
            )  # fmt: skip
            measured[name] = [pool.submit(measure, path) for path in paths or (None,)]
        for name, parts in measured.items():
            figures = _put_together([part.result() for part in parts])
            profiles[name] = figures | _intake_figures(figures["row_count"] or 0, name, intake)
    return profiles


def figure_names(table: Table) -> list[str]:
    """Names of the figures that a profile of the table always has."""
    sums = [*dict(_sums(table, EARLIEST, EARLIEST)), *(_repeated(name) for name in ("", *_keys(table)))]
    return [*sums, *(_share(name) for name in sums if _has_share(name)), *_INTAKE]


@dataclass(frozen=True)
class _Part:
    """Of one file: its sums, one row, and by key ("" for everything but the keys) a hash of each sampled row's."""

    sums: pl.DataFrame
    sampled: Mapping[str, pl.Series]


def _persons(files: Sequence[Path]) -> pl.DataFrame:
    """One row per person number, 0 and up: `born` and `died`, and whether it `is_known`: somebody's."""
    needed = [PERSON_NUMBER, "birth_date", "death_date"]
    schema = {name: TABLES["person"].platform_schema[name] for name in needed}
    persons = pl.read_parquet(list(files), columns=needed) if files else pl.DataFrame(schema=schema)
    known = persons.group_by(PERSON_NUMBER).agg(
        born=pl.col("birth_date").min(), died=pl.col("death_date").max(), is_known=pl.lit(True)
    )
    highest = known[PERSON_NUMBER].max()
    end = min(highest + 1, persons.height + _BEYOND) if isinstance(highest, int) else 0
    return pl.select(pl.int_range(end, dtype=pl.Int32).alias(PERSON_NUMBER)).join(
        known, on=PERSON_NUMBER, how="left", maintain_order="left"
    )


def _measured(
    path: Path | None, table: Table, persons: pl.DataFrame, sums: Mapping[str, pl.Expr], one_in: int
) -> _Part:
    """What one file adds to a table's figures; no file is an empty one."""
    rows = pl.read_parquet(path) if path else pl.DataFrame(schema=table.platform_schema)
    number, keys = pl.col(PERSON_NUMBER), _keys(table)
    place = rows.select(pl.when(number.is_between(0, persons.height - 1)).then(number)).to_series()
    beside = [persons[name].gather(place) for name in ("born", "died", "is_known")]
    sampled = {"": rows.filter(number % one_in == 0).drop(set(keys) - {PERSON_NUMBER}).hash_rows()}
    for key in keys:
        hashes = rows[key].drop_nulls().hash()
        sampled[key] = hashes.filter(hashes % one_in == 0)
    return _Part(rows.with_columns(beside).select(**sums), sampled)


def _put_together(parts: Sequence[_Part]) -> Figures:
    """The figures of a table from those of its files."""
    sums = pl.concat([part.sums for part in parts])
    figures: Figures = sums.select(pl.exclude(_DAYS).sum(), pl.col(f"^{_DAYS}$").min()).row(0, named=True)
    figures = {name: figures[name] for name in sums.columns}
    sampled = {key: pl.concat([part.sampled[key] for part in parts]) for key in parts[0].sampled}
    figures |= {_repeated(key): len(hashes) - hashes.n_unique() for key, hashes in sampled.items()}
    wholes = {_repeated(key): len(hashes) for key, hashes in sampled.items()}
    shares: Figures = {}
    for name, count in figures.items():
        if _has_share(name):
            whole = wholes.get(name, figures["row_count"])
            shares[_share(name)] = count / whole if whole and count is not None else None
    return figures | shares


def _sums(table: Table, as_of: date, latest: date) -> Iterator[tuple[str, pl.Expr]]:
    """Name of each sum over a table's rows, and how it is reckoned from rows and the person each belongs to."""
    yield "row_count", pl.len()
    for name in table.platform_schema:
        yield f"{name}.null_count", pl.col(name).null_count()
    for column in table.platform_columns:
        value = pl.col(column.name)
        if column.terms:
            yield f"{column.name}.not_a_term_count", (~value.is_in(list(column.terms))).sum()
        if column.name == "code_system":
            for term in column.terms:
                yield f"{column.name}.{term}_count", (value == term).sum()
        if column.minimum is not None or column.maximum is not None:
            below = value < column.minimum if column.minimum is not None else pl.lit(False)
            above = value > column.maximum if column.maximum is not None else pl.lit(False)
            yield f"{column.name}.out_of_range_count", (below | above).sum()
        if column.kind is Kind.DECIMAL:
            yield f"{column.name}.not_finite_count", (~value.is_finite()).sum()
        if column.kind is Kind.DATE:
            yield f"{column.name}.before_1900_count", (value < EARLIEST).sum()
            if not column.may_be_future:
                yield f"{column.name}.in_future_count", (value > latest).sum()
    for first, last in PAIRS:
        # Of what is planned ahead the day of recording is naturally the earlier one.
        is_planned = last == "recorded_date" and table.name == "appointment"
        if {first, last} <= set(table.platform_schema) and not is_planned:
            yield f"{last}.before_{first}_count", (pl.col(last) < pl.col(first)).sum()
    yield "retracted_count", pl.col("is_retracted").sum()
    yield "orphan_count", pl.col("is_known").is_null().sum()
    if "event_date" in table.platform_schema:
        day = pl.col("event_date")
        yield "event_date.after_death_count", (day > pl.col("died")).sum()
        yield "event_date.before_birth_count", (day < pl.col("born")).sum()
        yield _DAYS, (as_of - day.filter(day <= as_of).max()).dt.total_days()
    if table.name == "measurement":
        yield "unit.missing_count", (pl.col("value").is_not_null() & pl.col("unit").is_null()).sum()


def _keys(table: Table) -> list[str]:
    """Columns of which no two rows of a table may have the same value."""
    return ["pseudonym", PERSON_NUMBER] if table.name == "person" else ["record_key"]


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


def _repeated(key: str) -> str:
    return f"{key}.repeated_count" if key else "repeated_count"
