"""The server: Prefect's API and pages on loopback, and a worker for each zone with an environment of its own.

The controller's worker has what leads to the source and the key; the platform's has neither, whatever the server was
started with. A part that dies is started again, and runs that were killed go on. Nothing is left running at the end.
"""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from flows.server.children import end, end_leftovers
from flows.server.parts import make_login, parts_of, wait_for
from flows.settings import Layout
from schemas.errors import Busy, UsageRefused

SCHEDULES = Path(__file__).parent / "schedules.toml"
END_SECONDS = 40


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
            # Prefect takes seconds to import: while the API does so too, on another core.
            from flows.server.care import look_after
            from flows.server.deployments import read_schedules

            read_schedules(schedules)
            wait_for(server, api, stopping)
            if not stopping:
                say(f"Serving {layout.data} at http://127.0.0.1:{port} (log in with what {layout.login} holds)")
                look_after(layout, api, login, server, workers, stopping, say)
        finally:
            for part in (*workers, server):
                if part.process:
                    end(part.process, END_SECONDS)
            end_leftovers(layout)


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
