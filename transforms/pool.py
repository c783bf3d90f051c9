"""Processes to share work among."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeAlias

Spread: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Does a piece of work on each of some jobs; the answers in the order of the jobs."""


def in_turn(work: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
    """Do one job after the other in this process."""
    return [work(job) for job in jobs]


@contextmanager
def pool(processes: int) -> Iterator[Spread]:
    """Spread jobs over so many processes, the first job first; they are kept for the jobs that follow.

    They are started when there is more than one job, and end with this process: Python's own would wait for work for
    ever where it is killed.
    """
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent) as workers:

        def spread(work: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
            return list(workers.map(work, jobs)) if processes > 1 and len(jobs) > 1 else in_turn(work, jobs)

        yield spread


def _end_with_parent() -> None:
    Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
