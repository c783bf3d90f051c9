"""The rows of a scan, told apart by their texts: in the table's order equal ones lie together, as runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.codelists import TREE_SYSTEMS, CodeList
from schemas.indicators import Events
from schemas.table import PERSON_NUMBER, Table
from transforms.analysis.days import Days
from transforms.analysis.masks import Numbers

CODE = ("code_system", "code")
Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.int64]
_Head: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Records:
    """One entry per row that a clause looks at: person number, day, and the other columns that it needs.

    A missing day is FAR_FUTURE, a missing number NaN; for a code stands a number.
    """

    persons: Numbers
    days: Days
    columns: Mapping[str, NDArray[Any]]

    def where(self, holds: Flags) -> "Records":
        """The rows for which it holds."""
        columns = {name: column[holds] for name, column in self.columns.items()}
        return Records(self.persons[holds], self.days[holds], columns)


@dataclass(frozen=True)
class _Coded:
    """Places of the rows with a code, the distinct codes, and which of them each of those rows has."""

    places: Places
    codes: Sequence[_Head]
    code_of_place: Places


@dataclass(frozen=True)
class Runs:
    """The rows of a scan, and the runs of equal texts in them: `starts` to before `ends`, with one of the `heads`.

    Whatever the order of the rows, what is told apart is right; in the table's own there are few runs. `coded` are the
    rows with a code where the heads do not tell it. `arrays` are the columns that are no texts.
    """

    read: pl.DataFrame
    arrays: Mapping[str, NDArray[Any]]
    starts: Places
    ends: Places
    head_of_run: Places
    heads: Sequence[_Head]
    coded: "_Coded | None"
    systems: Sequence[str]


def runs_of(read: pl.DataFrame, table: Table, in_order: Sequence[str]) -> Runs:
    """Find the runs of the columns `in_order`; without any, or without rows, there is at most one."""
    systems = table.column("code_system").terms if "code_system" in table.names else ()
    coded = _coded(read) if "code" in read.columns and "code" not in in_order else None
    arrays = {name: read[name].to_numpy() for name, kind in read.schema.items() if kind.is_numeric()}
    if not in_order:
        whole = np.zeros(min(read.height, 1), dtype=np.int64)
        return Runs(read, arrays, whole, whole + read.height, whole, [{}], coded, systems)
    changes = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in in_order)
    starts = read.select(changes.arg_true()).to_series().cast(pl.Int64).to_numpy()
    if read.height and not (starts.size and starts[0] == 0):  # an empty text is no change from what is before the first
        starts = np.insert(starts, 0, 0)
    heads, head_of_run = _distinct(read.select(in_order)[starts])
    return Runs(
        read, arrays, starts, np.append(starts, read.height)[1:], head_of_run, heads.rows(named=True), coded, systems
    )


def records_of(runs: Runs, rows: Events, columns: Sequence[str], codelists: Mapping[str, CodeList]) -> Records:
    """The rows of the codes and conditions, in the order in which they were read."""
    are_met = np.array(_are_met(runs.heads, rows, codelists, runs.systems), dtype=np.bool_)
    slices = _slices(runs, are_met[runs.head_of_run])
    flags = [_taken(flag, slices) for flag in _flags(runs, rows, codelists)]
    wanted = [name for name in (PERSON_NUMBER, "event_date", *columns) if name != "code"]
    taken = {name: _taken(runs.arrays[name], slices) for name in wanted}
    if "code" in columns:
        taken["code"] = _taken(_code_numbers(runs), slices)
    found = Records(taken.pop(PERSON_NUMBER), taken.pop("event_date"), taken)
    return found.where(np.logical_and.reduce(flags)) if flags else found


def _are_met(
    heads: Sequence[_Head], rows: Events, codelists: Mapping[str, CodeList], systems: Sequence[str]
) -> list[bool]:
    """Whether rows with these texts meet the conditions on them; an empty text meets no `where` and no code list."""
    head = heads[0] if heads else {}
    where = [condition for condition in rows.where if condition[0] in head]
    where_not = [condition for condition in rows.where_not if condition[0] in head]
    listed = _listed(heads, rows, codelists, systems) if rows.codes and "code" in head else [True] * len(heads)
    return [
        is_listed
        and all(head[column] in values for column, values in where)
        and not any(head[column] in values for column, values in where_not)
        for head, is_listed in zip(heads, listed, strict=True)
    ]


def _listed(
    codes: Sequence[_Head], rows: Events, codelists: Mapping[str, CodeList], systems: Sequence[str]
) -> list[bool]:
    """Whether each code is in one of the code lists."""
    known = {
        system: tuple(code for name in rows.codes for code in codelists[name].codes.get(system, ()))
        for system in systems
    }
    return [
        word is not None
        and system in known
        and (word.startswith(known[system]) if system in TREE_SYSTEMS else word in known[system])
        for system, word in ((code["code_system"], code["code"]) for code in codes)
    ]


def _slices(runs: Runs, are_met: Flags) -> list[slice]:
    """The rows of some of the runs; runs next to each other are one slice."""
    chosen = np.flatnonzero(are_met)
    breaks = np.flatnonzero(np.diff(chosen) > 1)
    firsts, lasts = np.append(chosen[:1], chosen[breaks + 1]), np.append(chosen[breaks], chosen[-1:])
    return [slice(*ends) for ends in zip(runs.starts[firsts], runs.ends[lasts], strict=True)]


def _taken(array: NDArray[Any], slices: Sequence[slice]) -> NDArray[Any]:
    if len(slices) == 1:
        return array[slices[0]]
    return np.concatenate([array[rows] for rows in slices]) if slices else array[:0]


def _flags(runs: Runs, rows: Events, codelists: Mapping[str, CodeList]) -> list[Flags]:
    """What the heads do not tell: by row, whether a condition holds."""
    head = runs.heads[0] if runs.heads else {}
    left = replace(
        rows,
        where=tuple(one for one in rows.where if one[0] not in head),
        where_not=tuple(one for one in rows.where_not if one[0] not in head),
    )
    flags = [runs.read.select(met.fill_null(value=False)).to_series().to_numpy() for met in conditions(left)]
    if rows.codes and runs.coded:
        listed = _listed(runs.coded.codes, rows, codelists, runs.systems)
        is_listed = np.zeros(runs.read.height, dtype=np.bool_)
        is_listed[runs.coded.places] = np.array(listed, dtype=np.bool_)[runs.coded.code_of_place]
        flags.append(is_listed)
    return flags


def conditions(rows: Events) -> list[pl.Expr]:
    """The conditions on columns: an empty value meets no `where` and fails no `where_not`."""
    met = [_is_one_of(column, values) for column, values in rows.where]
    return met + [~_is_one_of(column, values).fill_null(value=False) for column, values in rows.where_not]


def _is_one_of(column: str, values: Sequence[object]) -> pl.Expr:
    """Equal to one of a few values; on texts twice as fast as `is_in`."""
    return pl.any_horizontal([pl.col(column) == value for value in values])


def _code_numbers(runs: Runs) -> Numbers:
    """By row a number for its code; one for rows without."""
    if runs.coded is None:
        numbers: dict[tuple[Any, Any], int] = {}
        of_head = [numbers.setdefault((head["code_system"], head["code"]), len(numbers)) for head in runs.heads]
        return np.repeat(np.array(of_head, dtype=np.int32)[runs.head_of_run], runs.ends - runs.starts)
    found = np.full(runs.read.height, -1, dtype=np.int32)
    found[runs.coded.places] = runs.coded.code_of_place
    return found


def _coded(read: pl.DataFrame) -> _Coded:
    has_code = read.select(pl.col("code").is_not_null()).to_series()
    codes, code_of_place = _distinct(read.select(CODE).filter(has_code))
    return _Coded(np.flatnonzero(has_code.to_numpy()), codes.rows(named=True), code_of_place)


def _distinct(texts: pl.DataFrame) -> tuple[pl.DataFrame, Places]:
    """The distinct rows, and which of them each row is."""
    distinct = texts.unique(maintain_order=True)
    if distinct.height == texts.height:
        return distinct, np.arange(texts.height)
    numbered = distinct.with_row_index("number")
    found = texts.join(numbered, on=texts.columns, how="left", nulls_equal=True, maintain_order="left")
    return distinct, found["number"].cast(pl.Int64).to_numpy()
