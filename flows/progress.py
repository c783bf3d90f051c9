"""How far long work is: a bar on a terminal, an artifact on the server's pages, and nothing in a pipe."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from flows.settings import SERVED

_SECONDS = 2.0
"""Between two words to the server; work that is done sooner has nothing to say."""


@contextlib.contextmanager
def progress(what: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how far a long piece of work is; yields a function that takes the steps done since the last call."""
    if SERVED in os.environ and total:
        yield _to_server(what, total, unit)
        return
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, advance=done)
        bar.update(task, total=bar.tasks[0].completed or total)


def _to_server(what: str, total: int, unit: str, seconds: float = _SECONDS) -> Callable[[int], None]:
    """Tell the server at most every so many seconds; that it cannot be told never holds the work up."""
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    done, told, artifact = 0, time.monotonic(), None

    def advance(more: int) -> None:
        nonlocal done, told, artifact
        done += more
        if time.monotonic() - told < seconds:
            return
        told, share, words = time.monotonic(), min(100.0 * done / total, 100.0), f"{what}: {done:,} of {total:,} {unit}"
        with contextlib.suppress(Exception):
            if artifact is None:
                artifact = create_progress_artifact(progress=share, key="progress", description=words)
            else:
                update_progress_artifact(artifact_id=artifact, progress=share, description=words)

    return advance
