"""The server: Prefect's API and pages on loopback, and a worker for each zone with an environment of its own.

The controller's worker has what leads to the source and the key; the platform's has neither, whatever the server was
started with. A part that dies is started again, and runs that were killed go on. Nothing is left running at the end.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient

from flows.guard import Failure, ZoneFailed
from flows.server.children import end, end_leftovers, environment, start
from flows.server.recovery import continue_killed, skip_missed
from flows.server.waiting import follow_decisions
from flows.settings import Layout
from schemas.errors import Busy, UsageRefused

ZONES = ("controller", "platform")
START_SECONDS, END_SECONDS, LOOK_SECONDS = 180, 40, 4
_MOST_DEATHS = 5
"""A part that dies so often within ten minutes is not started again: the server stops and says so."""
_MOST_TRIES = 20
"""Looks after which a worker is started though its killed runs could not be told to go on."""


@dataclass
class Part:
    """One process of the server, how it is started, and when it died."""

    name: str
    words: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
    tries: int = 0

    def start(self) -> None:
        """Start it anew."""
        self.process = start(self.words, self.environment)

    def has_died(self) -> bool:
        """Whether it has ended without being asked to; raises where it refuses to work or dies too often.

        Raises ZoneFailed with its exit code where it ended with a refusal, Failure where it died too often.
        """
        code = self.process.poll() if self.process else None
        if code is None:
            return False
        if 2 <= code <= 16:
            raise ZoneFailed(code)
        self.deaths = [when for when in self.deaths if when > time.monotonic() - 600] + [time.monotonic()]
        if len(self.deaths) >= _MOST_DEATHS:
            raise Failure(f"{self.name} died {len(self.deaths)} times in ten minutes, the last time with code {code}")
        return True


def serve(
    layout: Layout,
    port: int,
    schedules: Path,
    secrets: Mapping[str, str],
    database: str,
    say: Callable[[str], None],
) -> None:
    """Run the server until this process is asked to stop (SIGINT, SIGTERM).

    `secrets` reach the controller's processes and no other, `database` (a PostgreSQL address; empty is SQLite) the API
    alone. Raises Busy where another server is at work in the data folder, UsageRefused where the port is taken.
    """
    stopping: list[int] = []
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, lambda number, _: stopping.append(number))
    api = f"http://127.0.0.1:{port}/api"
    with _alone(layout, api):
        end_leftovers(layout)
        login = make_login(layout)
        server, workers = parts_of(layout, port, schedules, secrets, database, login)
        _must_be_free(port)
        try:
            server.start()
            _wait_for(server, api, stopping)
            if not stopping:
                say(f"Serving {layout.data} at http://127.0.0.1:{port} (log in with what {layout.login} holds)")
                with SyncPrefectClient(api, auth_string=login) as client:
                    _look_after(layout, client, server, workers, stopping, say)
        finally:
            for part in (*workers, server):
                if part.process:
                    end(part.process, END_SECONDS)
            end_leftovers(layout)


def parts_of(
    layout: Layout, port: int, schedules: Path, secrets: Mapping[str, str], database: str, login: str
) -> tuple[Part, list[Part]]:
    """The server's processes and what each finds in its environment."""
    api = f"http://127.0.0.1:{port}/api"
    own = {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
        "PREFECT_SERVER_UI_API_URL": api,
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # SQLite lets one write at a time; others wait for it
    }
    if database:
        own["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.replace("postgresql://", "postgresql+asyncpg://", 1)
    server = Part("server", ["server", str(port)], {**environment(layout, "server", api, login), **own})
    workers = [
        Part(
            zone,
            ["worker", zone, str(schedules.resolve())],
            {**environment(layout, zone, api, login), **(secrets if zone == "controller" else {})},
        )
        for zone in ZONES
    ]
    return server, workers


def make_login(layout: Layout) -> str:
    """Name and password of the pages and the API; made once, in a file that only its owner reads."""
    if not layout.login.exists():
        beside = layout.login.with_name(f".login.{os.getpid()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"caregap:{secrets.token_urlsafe(24)}\n")
        beside.replace(layout.login)
    if layout.login.stat().st_mode & 0o077:
        raise UsageRefused("the file with the login can be read by others", "chmod 600 it")
    login = layout.login.read_text("utf-8").strip()
    name, colon, password = login.partition(":")
    if not (name and colon and len(password) >= 12):
        raise UsageRefused("the login is not name:password of at least 12 characters", "Delete the file, or mend it")
    return login


def _look_after(
    layout: Layout,
    client: SyncPrefectClient,
    server: Part,
    workers: list[Part],
    stopping: list[int],
    say: Callable[[str], None],
) -> None:
    """Keep the parts at work, continue killed runs and follow the stewards' decisions, until asked to stop."""
    given_up: set[UUID] = set()
    while not stopping:
        if server.has_died():
            say("The API ended and is started again.")
            server.start()
            _wait_for(server, str(client.api_url).rstrip("/"), stopping)
        for part in workers:
            fresh = part.process is None
            if fresh:
                _quietly(partial(skip_missed, client, part.name))
            if fresh or part.has_died():
                if not fresh:
                    say(f"The worker of {part.name} ended and is started again.")
                _start_worker(layout, client, part, given_up)
        _tend(layout, client, given_up)
        for _ in range(LOOK_SECONDS * 5):
            if stopping or any(part.process and part.process.poll() is not None for part in (server, *workers)):
                break
            time.sleep(0.2)


def _start_worker(layout: Layout, client: SyncPrefectClient, part: Part, given_up: set[UUID]) -> None:
    """Start a worker, once nothing of the one before is left and what was killed with it is told to go on.

    Only now is it known that nothing of the zone is at work: where the API does not answer, the next look tries again.
    """
    end_leftovers(layout, part.name)
    try:
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


def _wait_for(server: Part, api: str, stopping: list[int]) -> None:
    """Wait until the API answers. Raises Failure where it does not."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and not stopping:
        if server.process is None or server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{api}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    if not stopping:
        raise Failure("Prefect's API did not start; with PostgreSQL, check its address and that it is up")


def _must_be_free(port: int) -> None:
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)) != 0:
            return
    raise UsageRefused(f"something else listens on port {port}", "Give --port N")


@contextlib.contextmanager
def _alone(layout: Layout, api: str) -> Iterator[None]:
    """Be the only server of a data folder; the file says where it is to the commands that are run beside it."""
    with layout.served.open("a+b") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            busy = True
        else:
            busy = False
        if busy:
            raise Busy("another server is at work in this data folder", "Stop it, or give --data DIR")
        file.truncate(0)
        file.write(api.encode())
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
