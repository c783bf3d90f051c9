"""No exception takes a value out of a task, whatever raised it and whatever hangs on it."""

import pickle
import traceback
from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from flows import guard
from schemas.errors import BoundaryRefused
from tests.leaks.clean import CODE


def polars_cast() -> None:
    pl.Series([CODE]).cast(pl.Int64)


def duckdb_cast() -> None:
    duckdb.execute("SELECT CAST(? AS INTEGER)", [CODE]).fetchall()


def arrow_cast() -> None:
    pa.array([CODE]).cast("int64")


def own_text() -> None:
    raise ValueError(f"bad identity code {CODE}")


def missing_key() -> None:
    {}[CODE]


def with_a_cause() -> None:
    raise RuntimeError("x") from ValueError(CODE)


def with_a_context() -> None:
    try:
        raise ValueError(CODE)
    except ValueError:
        raise BoundaryRefused("a rule", "a step")  # noqa: B904


def with_a_note() -> None:
    error = ValueError("x")
    error.add_note(CODE)
    raise error


def in_a_group() -> None:
    raise ExceptionGroup("x", [ValueError(CODE), TypeError(CODE)])


def at_exit() -> None:
    raise SystemExit(CODE)


def with_an_attribute() -> None:
    refusal = BoundaryRefused("a rule", "a step")
    refusal.rows = [CODE]  # type: ignore[attr-defined]
    raise refusal


def undecodable() -> None:
    (CODE.encode() + b"\xff").decode()


RAISERS: list[Callable[[], None]] = [
    polars_cast, duckdb_cast, arrow_cast, own_text, missing_key, with_a_cause, with_a_context, with_a_note, in_a_group,
    at_exit, with_an_attribute, undecodable,
]  # fmt: skip


def everything_about(error: BaseException) -> str:
    """What a log, a database or a pickle of it would hold."""
    shown = "".join(traceback.format_exception(error))
    return shown + repr(error) + repr(vars(error)) + repr(pickle.dumps(error))


def caught(function: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as found:  # noqa: PT011
        function()
    return found.value


@pytest.mark.parametrize("raiser", RAISERS, ids=[raiser.__name__ for raiser in RAISERS])
def test_an_error_leaves_a_task_without_the_value(raiser: Callable[[], None]) -> None:
    error = caught(guard.guarded(raiser))
    assert isinstance(error, guard.Failure | BoundaryRefused)
    assert CODE not in everything_about(error)


def test_without_the_guard_every_one_of_them_shows_it() -> None:
    for raiser in RAISERS:
        error = caught(raiser)
        shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error) + repr(error.args)
        assert CODE in shown, raiser.__name__
