"""Batches of a source into the loader, two at a time: one core reads and decodes while the other works."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import polars as pl

from schemas.tables import IDENTITY_LINK
from transforms.controller.canaries import Canaries
from transforms.controller.load import Loader

_WORKERS = 2
_AHEAD = 4
"""Batches that are read before the first of them is done: what is held in memory beside the persons."""


def add_all(
    loader: Loader,
    canaries: Canaries,
    batches: Iterable[tuple[str, pl.DataFrame, bool]],
    advance: Callable[[int], None],
) -> None:
    """Add every batch (table, rows, whether they come again): identity links one after the other, then all persons."""
    pending: deque[Future[None]] = deque()

    def add(part: int, name: str, rows: pl.DataFrame, again: bool) -> None:
        canaries.add(name, rows)
        loader.add(name, rows, part, again=again)

    def done_but(some: int) -> None:
        while len(pending) > some:
            pending.popleft().result()

    kind = None
    with ThreadPoolExecutor(_WORKERS) as pool:
        for part, (name, rows, again) in enumerate(batches):
            if kind != (kind := name if name in (IDENTITY_LINK, "person") else "event"):
                done_but(0)
            pending.append(pool.submit(add, part, name, rows, again))
            done_but(0 if name == IDENTITY_LINK else _AHEAD - 1)
            advance(rows.height)
        done_but(0)
