"""What every zone's flow and task has in common, and the processes that zones run in.

A task takes and returns references and counts, never a frame, a record or free text: Prefect stores flow parameters,
names, printed output and exception text. Nor does a zone load what Prefect stored: see `refuse_stored_results`.
"""

import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from prefect import Flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.results import ResultStore

from flows import api
from flows.guard import Failure, ZoneFailed, guarded
from flows.process import bound, module
from flows.settings import CITY
from schemas.errors import Busy, Refusal, SourceRefused

P = ParamSpec("P")
R = TypeVar("R")


def refuse_stored_results() -> None:
    """Have every load of a stored result in this process raise Failure.

    A stored result is pickled: whoever loads it runs what it says. Where it lies is told by the API, in the state that
    a run is given, so that whoever holds the API could otherwise run code beside the key. No result of ours is stored.
    """
    ResultStore.read = ResultStore.aread = _refuse_stored_result  # type: ignore[method-assign]


def _refuse_stored_result(*_: object, **__: object) -> NoReturn:
    raise Failure("Prefect's API names a stored result; a zone loads none")


refuse_stored_results()


def zone_flow(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a Prefect flow that stores no result and lets no value out in an error."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        made = _ZoneFlow(guarded(function), name=name, flow_run_name=run_name, persist_result=False, log_prints=False)
        return cast("Callable[P, R]", made)

    return decorate


def run_name() -> str:
    """What a run is called on the server's pages: its flow, and the date or candidate asked for, or when it is due."""
    given, due = runtime.flow_run.get_parameters(), runtime.flow_run.get_scheduled_start_time()
    what = given.get("candidate") or given.get("as_of") or f"{due.astimezone(CITY):%Y-%m-%d %H:%M}"
    return f"{runtime.flow_run.get_flow_name()} {what}"


class _Plainly(logging.Filter):
    """A refusal or failure is said in its own words; where it came through Prefect helps nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it stays."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Refusal | Failure):
            record.msg, record.args, record.exc_info, record.exc_text = str(error), (), None, None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_Plainly())


class _ZoneFlow(Flow[..., Any]):
    """A flow that waits for the API when it is called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow."""
        api.ready()
        return super().__call__(*args, **kwargs)


def zone_task(
    name: str, again_after: Sequence[float] = (), *, source_may_be_away: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a Prefect task that stores and caches nothing and lets no value out in an error.

    `again_after`: the seconds to wait before each new try where a lock is busy, a disk or network fails, or a source
    is refused that `source_may_be_away`. Any other refusal is final.
    """
    may_pass = (Busy, Failure, *((SourceRefused,) if source_may_be_away else ()))

    def condition(task: Any, task_run: Any, state: Any) -> bool:
        return isinstance(state.result(raise_on_failure=False), may_pass)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        made = task(
            name=name,
            persist_result=False,
            cache_policy=NO_CACHE,
            log_prints=False,
            retries=len(again_after),
            retry_delay_seconds=list(again_after) or 0,
            retry_condition_fn=condition,
        )(guarded(function))
        return cast("Callable[P, R]", made)

    return decorate


def run_zone(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run `caregap ARGUMENTS` in a process of its own; raises ZoneFailed with its exit code."""
    done = subprocess.run(module("flows.cli", *arguments), env=bound(environment), check=False)  # noqa: S603 - our own program
    code = done.returncode
    if code != 0:
        raise ZoneFailed(code)
