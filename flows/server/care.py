"""What a server does while it is up: keep its parts at work, continue killed runs, follow the stewards' decisions."""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient

from flows.server.children import end_leftovers
from flows.server.parts import ZONES, Part, wait_for
from flows.server.recovery import continue_killed, skip_missed
from flows.server.waiting import follow_decisions
from flows.settings import Layout

LOOK_SECONDS = 4
_MOST_TRIES = 20
"""Looks after which a worker is started though its killed runs could not be told to go on."""


def look_after(
    layout: Layout,
    api: str,
    login: str,
    server: Part,
    workers: list[Part],
    stopping: list[int],
    say: Callable[[str], None],
) -> None:
    """Keep the parts at work, continue killed runs and follow the stewards' decisions, until asked to stop."""
    given_up: set[UUID] = set()
    with SyncPrefectClient(api, auth_string=login) as client:
        while not stopping:
            if server.has_died():
                say("The API ended and is started again.")
                server.start()
                wait_for(server, api, stopping)
            for part in workers:
                if part.process is None or part.has_died():
                    if part.process is not None:
                        say(f"The worker of {part.name} ended and is started again.")
                    _start_worker(layout, client, part, given_up)
            _tend(layout, client, given_up)
            for _ in range(LOOK_SECONDS * 5):
                if stopping or any(part.process and part.process.poll() is not None for part in (server, *workers)):
                    break
                time.sleep(0.2)


def _start_worker(layout: Layout, client: SyncPrefectClient, part: Part, given_up: set[UUID]) -> None:
    """Start a worker, once nothing of the one before is left and what was killed with it is told to go on; the first of
    a server, once of what fell due before there was one only the last is left.

    Only now is it known that nothing of the zone is at work: where the API does not answer, the next look tries again.
    """
    end_leftovers(layout, part.name)
    try:
        if part.process is None:
            skip_missed(client, part.name)
        continue_killed(client, part.name, given_up, none_at_work=True)
    except Exception:
        part.tries += 1
        if part.tries < _MOST_TRIES:
            part.process = None
            return
    part.tries = 0
    part.start()


def _tend(layout: Layout, client: SyncPrefectClient, given_up: set[UUID]) -> None:
    for zone in ZONES:
        _quietly(partial(continue_killed, client, zone, given_up, none_at_work=False))
    _quietly(partial(follow_decisions, client, layout))


def _quietly(work: Callable[[], object]) -> None:
    """Let the next look do what cannot be done while the API or a deployment is not there yet."""
    with contextlib.suppress(Exception):
        work()
