"""The processes that a server consists of: what each finds in its environment, and how each is started and ended."""

import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

from flows.process import bound, module
from flows.settings import PREFECT_DATABASE, QUIET, SECRETS, SERVED, Layout
from schemas import policy

ORDINARY = (
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "PATH",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
)
ORDINARY_STARTS = ("LC_", "MALLOC_", "OMP_", "POLARS_")
"""What a process may have of the environment that the server was started in, beside the passwords of notices."""
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""Environment variable that tells a run's processes which one it is."""


def channel_variables() -> set[str]:
    """Variables that the policy's channels name for the passwords of notices; never what leads to the key."""
    channels = tomllib.loads(policy.POLICY_FILE.read_text("utf-8")).get("channel", {}).values()
    named = {str(value) for terms in channels for word, value in terms.items() if word.endswith("_env")}
    return named - {*SECRETS, PREFECT_DATABASE}


def environment(layout: Layout, part: str, api: str, login: str) -> dict[str, str]:
    """What every process of a server has. No key, no source, no steward's key, no database's password."""
    home = layout.prefect.resolve()
    allowed = {*ORDINARY, *channel_variables()}
    ordinary = {name: value for name, value in os.environ.items() if name in allowed}
    ordinary |= {name: value for name, value in os.environ.items() if name.startswith(ORDINARY_STARTS)}
    return {
        **ordinary,
        **QUIET,
        "CAREGAP_DATA": str(layout.data.resolve()),
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_API_URL": api,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",  # Prefect would start a second API, over another database
        "PREFECT_CLIENT_MAX_RETRIES": "7",  # about four minutes: longer than a server takes to come back
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        SERVED: _mark(layout, part),
    }


def start(words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `python -m flows.server.process WORDS` in a session of its own: a Ctrl-C is the server's alone."""
    return subprocess.Popen(  # noqa: S603 - our own program
        module("flows.server.process", *words),
        env=bound(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask a process to end, and make it after so many seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_leftovers(layout: Layout, part: str = "") -> int:
    """End what a killed server, or one `part` of it, left running; returns how many processes that were.

    To be called while no such part is meant to run. What it was at is continued by the next start.
    """
    mark, ended = f"{SERVED}={_mark(layout, part)}".encode(), 0
    for _ in range(100):
        found = [pid for pid in _marked(mark, whole=bool(part)) if pid != os.getpid()]
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            ended += 1
        if not found:
            break
        time.sleep(0.05)
    return ended


def is_at_work(flow_run_id: UUID) -> bool:
    """Whether a process of this machine is there for a run."""
    return any(_marked(f"{FLOW_RUN}={flow_run_id}".encode(), whole=True))


def _mark(layout: Layout, part: str) -> str:
    return f"{layout.data.resolve()}|{part}"


def _marked(mark: bytes, *, whole: bool) -> Iterator[int]:
    """Processes that carry a mark, those that have ended and wait to be collected left out."""
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:  # it has ended, or is another account's
            continue
        if any(word == mark if whole else word.startswith(mark) for word in words):
            yield int(entry.parent.name)
