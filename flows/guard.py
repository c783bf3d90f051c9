"""Strips values from errors before an orchestrator or a terminal sees them.

The text of an exception of Polars, DuckDB or pyarrow may hold a value of a record, and Prefect stores exception text
in its logs, states, events and storage. So a task raises either a Refusal, whose text is ours, or a Failure, which
names the kind of error and the place in our code, and nothing else.
"""

import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from schemas.errors import Refusal

P = ParamSpec("P")
R = TypeVar("R")
_OURS = tuple(Path(__file__).parent.parent / package for package in ("flows", "transforms", "expectations", "schemas"))


class Failure(Exception):
    """Something broke that nobody foresaw: the kind of error and where, never its text."""

    exit_code = 1


class ZoneFailed(Failure):
    """A zone's process ended with an exit code other than 0; it has said why itself."""

    def __init__(self, exit_code: int) -> None:
        """Keep the code for the command line."""
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type, tuple[int]]:
        """Survive pickling with the code and nothing else."""
        return type(self), (self.exit_code,)


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Let only a Refusal or a Failure leave a function, without the exception that led to it."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Refusal as refusal:
            clean: Exception = type(refusal)(
                refusal.rule, refusal.next_step, refusal.table, refusal.column, refusal.count, refusal.of
            )
        except ZoneFailed as failed:
            clean = ZoneFailed(failed.exit_code)
        except Failure as failure:
            clean = Failure(str(failure))
        except (Exception, SystemExit) as error:
            clean = Failure(f"{type(error).__name__} at {_place(error)}")
        raise clean  # outside the handler, so that no context hangs on it

    return inner


def _place(error: BaseException) -> str:
    """The innermost line of our own code that the error went through."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if any(Path(frame.filename).is_relative_to(package) for package in _OURS) and frame.name != "inner"
    ]
    if not frames:
        return "an unknown place"
    return f"{Path(frames[-1].filename).stem}:{frames[-1].lineno} ({frames[-1].name})"
