"""The rows of a scan, told apart by their texts: in the table's order equal ones lie together, as runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.codelists import TREE_SYSTEMS, CodeList
from schemas.indicators import Events
from schemas.table import PERSON_NUMBER
from transforms.analysis.days import Days
from transforms.analysis.masks import Numbers

CODE = ("code_system", "code")
Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.int64]


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
        places = np.flatnonzero(holds)  # to take by places costs a quarter of taking by flags
        columns = {name: column[places] for name, column in self.columns.items()}
        return Records(self.persons[places], self.days[places], columns)


@dataclass(frozen=True)
class Runs:
    """The rows of a scan, and the runs of equal texts in them: `starts` to before `ends`, with one of the heads.

    Whatever the order of the rows, what is told apart is right; in the table's own there are few runs. `heads` are the
    distinct texts by column, `arrays` the columns that are no texts.
    """

    arrays: Mapping[str, NDArray[Any]]
    starts: Places
    ends: Places
    head_of_run: Places
    heads: Mapping[str, Sequence[str | None]]
    head_count: int


def runs_of(read: pl.DataFrame, in_order: Sequence[str]) -> Runs:
    """Find the runs of the columns `in_order`; without any, or without rows, there is at most one."""
    arrays = {name: read[name].to_numpy() for name, kind in read.schema.items() if kind != pl.String}
    if not in_order:
        whole = np.zeros(min(read.height, 1), dtype=np.int64)
        return Runs(arrays, whole, whole + read.height, whole, {}, 1)
    texts = [read[name] for name in in_order]  # a frame of them would copy them where their chunks differ
    starts = np.flatnonzero(np.logical_or.reduce([_may_change(text) for text in texts]))
    heads = pl.DataFrame([text.gather(starts) for text in texts])
    changes = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in in_order)
    # An empty text is no change from what is before the first.
    is_start = heads.select(changes | (pl.int_range(pl.len()) == 0)).to_series()
    starts = starts[is_start.to_numpy()]
    heads, head_of_run = _distinct(heads.filter(is_start))
    return Runs(
        arrays, starts, np.append(starts, read.height)[1:], head_of_run, heads.to_dict(as_series=False), heads.height
    )


def _may_change(texts: pl.Series) -> Flags:
    """Rows whose text may be another than the one before: all whose text is, the first, and maybe others.

    Texts of up to 12 bytes lie in the sixteen bytes that stand for them, and longer ones have their place there: where
    those bytes are equal so are the texts. To compare them costs a quarter of comparing texts.
    """
    changes = np.ones(len(texts), dtype=np.bool_)
    start = 0
    for chunk in texts.get_chunks():
        views = chunk.to_arrow(compat_level=pl.CompatLevel.newest())
        words = np.frombuffer(views.buffers()[1], dtype=np.uint64)[2 * views.offset :][: 2 * len(chunk)]
        are_others = words[2:] != words[:-2]
        changes[start + 1 : start + len(chunk)] = are_others.view(np.uint16) != 0  # two flags a text, in one number
        start += len(chunk)
    if texts.null_count():
        empty = texts.is_null().to_numpy()
        changes[1:] |= empty[1:] != empty[:-1]
    return changes


def records_of(
    runs: Runs, rows: Events, columns: Sequence[str], codelists: Mapping[str, CodeList], flags: Flags | None
) -> Records:
    """The rows of the codes and conditions, in the order in which they were read; `flags` tell what the runs do not."""
    slices = _slices(runs, _are_met(runs, rows, codelists)[runs.head_of_run])
    wanted = [name for name in (PERSON_NUMBER, "event_date", *columns) if name not in runs.heads]
    taken = {name: _taken(runs.arrays[name], slices) for name in wanted}
    if "code" in columns and "code" in runs.heads:
        numbers = np.repeat(runs.head_of_run.astype(np.int32), runs.ends - runs.starts)
        taken["code"] = _taken(numbers, slices)
    found = Records(taken.pop(PERSON_NUMBER), taken.pop("event_date"), taken)
    return found if flags is None else found.where(_taken(flags, slices))


def _are_met(runs: Runs, rows: Events, codelists: Mapping[str, CodeList]) -> Flags:
    """By head whether its texts meet the conditions on them; an empty text meets no `where` and no code list."""
    held = [[text in values for text in runs.heads[column]] for column, values in rows.where if column in runs.heads]
    held += [
        [text not in values for text in runs.heads[column]] for column, values in rows.where_not if column in runs.heads
    ]
    if rows.codes and "code" in runs.heads:
        held.append(_are_listed(runs, [codelists[name] for name in rows.codes]))
    met = np.ones((1 + len(held), runs.head_count), dtype=np.bool_)
    met[1:] = held or met[1:]
    all_met: Flags = np.logical_and.reduce(met)
    return all_met


def _are_listed(runs: Runs, codelists: Sequence[CodeList]) -> list[bool]:
    """By head whether its code is in one of the code lists."""
    known = {
        system: tuple(code for one in codelists for code in one.codes.get(system, ()))
        for system in set(runs.heads["code_system"])
        if system is not None
    }
    return [
        system is not None
        and code is not None
        and (code.startswith(known[system]) if system in TREE_SYSTEMS else code in known[system])
        for system, code in zip(runs.heads["code_system"], runs.heads["code"], strict=True)
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


def conditions(rows: Events) -> list[pl.Expr]:
    """The conditions on columns: an empty value meets no `where` and fails no `where_not`."""
    met = [_is_one_of(column, values) for column, values in rows.where]
    return met + [~_is_one_of(column, values).fill_null(value=False) for column, values in rows.where_not]


def _is_one_of(column: str, values: Sequence[object]) -> pl.Expr:
    """Equal to one of a few values; on texts twice as fast as `is_in`."""
    return pl.any_horizontal([pl.col(column) == value for value in values])


def _distinct(texts: pl.DataFrame) -> tuple[pl.DataFrame, Places]:
    """The distinct rows, and which of them each row is."""
    distinct = texts.unique(maintain_order=True)
    if distinct.height == texts.height:
        return distinct, np.arange(texts.height)
    numbered = distinct.with_row_index("number")
    found = texts.join(numbered, on=texts.columns, how="left", nulls_equal=True, maintain_order="left")
    return distinct, found["number"].cast(pl.Int64).to_numpy()
