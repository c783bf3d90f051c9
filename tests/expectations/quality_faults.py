"""Invented files of every table, as the controller leaves them: clean, or with one fault planted everywhere."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from expectations.profile import DUPLICATE, PAIRS, Figures, Intake, profile
from schemas.table import PERSON_NUMBER, Kind, Table
from schemas.tables import TABLES

AS_OF = date(2024, 5, 10)
ROWS = 60
"""More than any rule tolerates."""
CANARY = "Zyxwv"
_DAYS = {
    "birth_date": date(1950, 1, 1),
    "death_date": AS_OF,
    "booked_date": date(2024, 4, 1),
    "event_date": date(2024, 5, 1),
    "from_date": date(2000, 1, 1),
}

Frames = dict[str, pl.DataFrame]
Intakes = dict[str, Intake]


def clean_frames() -> Frames:
    """One row per person in every table, every column filled, nothing wrong."""
    return {name: _clean(table) for name, table in TABLES.items()}


def _clean(table: Table) -> pl.DataFrame:
    columns: dict[str, list[object]] = {}
    for name, dtype in table.platform_schema.items():
        if name == PERSON_NUMBER:
            columns[name] = list(range(ROWS))
        elif dtype == pl.Binary:
            columns[name] = [f"{number:016d}".encode() for number in range(ROWS)]
        else:
            column = table.column(name)
            columns[name] = [
                {
                    Kind.CODE: column.terms[0] if column.terms else CANARY,
                    Kind.DATE: _DAYS.get(name, date(2024, 5, 2)),
                    Kind.INTEGER: 30,
                    Kind.DECIMAL: 5.5,
                    Kind.FLAG: False,
                }[column.kind]
            ] * ROWS
    return pl.DataFrame(columns, schema=table.platform_schema)


def clean_intakes(frames: Frames) -> Intakes:
    return {name: Intake(rows_in=frame.height, kept=frame.height, quarantined={}) for name, frame in frames.items()}


def profiles_of(frames: Frames, intakes: Intakes, folder: Path) -> dict[str, Figures]:
    """Profiles of the frames, each written as two files."""
    folder.mkdir()
    files = {name: [folder / f"{name}-{part}.parquet" for part in range(2)] for name in frames}
    for name, frame in frames.items():
        for part, path in enumerate(files[name]):
            frame.gather_every(2, part).write_parquet(path)
    return profile(files, AS_OF, intakes)


def profiles_with(figure: str, folder: Path) -> dict[str, Figures]:
    """Profiles of frames into which the fault has been planted that the figure should show."""
    frames, ((name, fault),) = clean_frames(), [item for item in FAULTS.items() if re.fullmatch(item[0], figure)]
    folder = folder / str(list(FAULTS).index(name))
    frames = {table: fault(frame, TABLES[table]) for table, frame in frames.items()}
    intakes = {table: _INTAKE_FAULTS.get(name, dict)(intake) for table, intake in clean_intakes(frames).items()}
    return profiles_of(frames, intakes, folder)


def _set(fits: Callable[[str, Table], bool], value: object) -> Callable[[pl.DataFrame, Table], pl.DataFrame]:
    """Every column of its own that fits gets the value."""

    def plant(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
        names = [name for name in frame.columns if name in table.names and fits(name, table)]
        return frame.with_columns(pl.lit(value, frame.schema[name]).alias(name) for name in names)

    return plant


def _kind(kind: Kind) -> Callable[[str, Table], bool]:
    return lambda name, table: table.column(name).kind is kind


def _named(*places: str) -> Callable[[str, Table], bool]:
    return lambda name, table: name in places or f"{table.name}.{name}" in places


def _in_wrong_order(first: str, last: str) -> Callable[[pl.DataFrame, Table], pl.DataFrame]:
    def plant(frame: pl.DataFrame, _: Table) -> pl.DataFrame:
        early = (pl.col(first) - timedelta(days=1)).alias(last)
        return frame.with_columns(early) if {first, last} <= set(frame.columns) else frame

    return plant


def _like_the_first(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return frame.with_columns(pl.col(name).first() for name in names if name in frame.columns)


_KEYS = ["pseudonym", "record_key"]
FAULTS: dict[str, Callable[[pl.DataFrame, Table], pl.DataFrame]] = {
    r".*\.null_(count|share)": lambda frame, _: frame.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in frame.schema.items()
    ),
    r".*\.not_a_term_count": _set(_kind(Kind.CODE), CANARY),
    r".*\.out_of_range_count": _set(_kind(Kind.INTEGER), 1_000_000),
    r".*\.not_finite_count": _set(_kind(Kind.DECIMAL), float("nan")),
    r".*\.in_future_count": _set(_kind(Kind.DATE), AS_OF + timedelta(days=1)),
    r".*\.before_1900_share": _set(_kind(Kind.DATE), date(1899, 12, 31)),
    **{rf"{last}\.before_{first}_(count|share)": _in_wrong_order(first, last) for first, last in PAIRS},
    r"row_count": lambda frame, _: frame.clear(),
    r"retracted_share": _set(_named("is_retracted"), True),
    r"repeated_share": lambda frame, _: _like_the_first(frame, [name for name in frame.columns if name not in _KEYS]),
    r".*\.repeated_(count|share)": lambda frame, table: _like_the_first(
        frame, [*_KEYS, *([PERSON_NUMBER] if table.name == "person" else [])]
    ),
    r"orphan_count": lambda frame, table: (
        frame if table.name == "person" else frame.with_columns(pl.col(PERSON_NUMBER) + ROWS)
    ),
    r"event_date\.after_death_share": _set(_named("person.death_date"), date(2024, 4, 30)),
    r"event_date\.before_birth_share": _set(_named("person.birth_date"), date(2024, 5, 2)),
    r"days_since_latest_event": _set(_named("event_date"), AS_OF - timedelta(days=32)),
    r"unit\.missing_share": _set(_named("unit"), None),
    r"lost_count": lambda frame, _: frame,
    r"quarantined_share": lambda frame, _: frame,
    r"duplicate_share": lambda frame, _: frame,
}
"""The fault that each figure of a check should show."""
_INTAKE_FAULTS: dict[str, Callable[[Intake], Intake]] = {
    r"lost_count": lambda intake: Intake(rows_in=ROWS + 1, kept=ROWS, quarantined={}),
    r"quarantined_share": lambda intake: Intake(rows_in=ROWS + 21, kept=ROWS, quarantined={"code: is missing": 21}),
    r"duplicate_share": lambda intake: Intake(rows_in=ROWS + 21, kept=ROWS, quarantined={DUPLICATE: 21}),
}
