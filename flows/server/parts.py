"""What a server consists of: the API, and a worker for each zone with an environment of its own."""

import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from flows.guard import Failure, ZoneFailed
from flows.server.children import environment, start
from flows.settings import Layout
from schemas.errors import UsageRefused

ZONES = ("controller", "platform")
START_SECONDS = 180
_MOST_DEATHS = 5
"""A part that dies so often within ten minutes is not started again: the server stops and says so."""


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


def wait_for(server: Part, api: str, stopping: list[int]) -> None:
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
