"""What every zone's flow and task has in common, and the processes that zones run in.

A task takes and returns references and counts, never a frame, a record or free text: Prefect stores flow parameters,
names, printed output and exception text.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.server.api.server import SubprocessASGIServer

from flows.guard import guarded

P = ParamSpec("P")
R = TypeVar("R")


class ZoneFailed(Exception):
    """A zone's process ended with an exit code other than 0; it has said why itself."""

    def __init__(self, exit_code: int) -> None:
        """Keep the code for the command line."""
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


def zone_flow(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a Prefect flow that stores no result and lets no value out in an error."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        made = flow(name=name, persist_result=False, log_prints=False)(guarded(function))
        return cast("Callable[P, R]", made)

    return decorate


def zone_task(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a Prefect task that stores and caches nothing and lets no value out in an error."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        made = task(name=name, persist_result=False, cache_policy=NO_CACHE, log_prints=False)(guarded(function))
        return cast("Callable[P, R]", made)

    return decorate


@contextlib.contextmanager
def shared_api() -> Iterator[str]:
    """One Prefect API for this process and the zones that it starts: the one configured, or one on loopback."""
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        yield configured
        return
    with SubprocessASGIServer() as server:
        yield server.api_url


def run_zone(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run `caregap ARGUMENTS` in a process of its own; raises ZoneFailed with its exit code."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    code = subprocess.run(command, env=dict(environment), check=False).returncode  # noqa: S603 - our own program
    if code != 0:
        raise ZoneFailed(code)
