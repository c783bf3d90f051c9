"""A server as an analyst starts it, in a process of its own, and what can be asked of it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.flows.conftest import ROOT, clean_environment

DEADLY = '''"""Ends or holds a process where a test wants it: once at each place that the file beside this one names."""
import importlib.machinery, json, os, signal, sys, time
from pathlib import Path

FILE = Path(__file__).with_name("deadly.json")

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        places = [place for place in json.loads(FILE.read_text()) if place[0] == name]
        spec = super().find_spec(name, path, target) if places or name == "schemas.policy" else None
        if spec is not None:
            execute = spec.loader.exec_module
            def exec_module(module):
                execute(module)
                if name == "schemas.policy":
                    module.POLICY_FILE = Path(POLICY) if POLICY else module.POLICY_FILE
                for _, function in places:
                    setattr(module, function, dying(name, function, getattr(module, function)))
            spec.loader.exec_module = exec_module
        return spec

def dying(name, function, real):
    def call(*arguments, **named):
        places = json.loads(FILE.read_text())
        if [name, function] in places and "flow" in sys.argv:
            places.remove([name, function])
            FILE.write_text(json.dumps(places))
            while HELD:
                time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call

sys.meta_path.insert(0, Finder)
'''


def interfere(
    folder: Path, policy: Path | None = None, places: list[tuple[str, str]] | None = None, *, held: bool = False
) -> str:
    """A folder for PYTHONPATH with which a server's processes read another policy and die, or stay, at places."""
    folder.mkdir(exist_ok=True)
    (folder / "deadly.json").write_text(json.dumps(places or []))
    (folder / "sitecustomize.py").write_text(f"POLICY, HELD = {str(policy) if policy else ''!r}, {held}\n{DEADLY}")
    return f"{folder}{os.pathsep}{ROOT}"


@dataclass
class Running:
    """A server at work."""

    data: Path
    port: int
    process: subprocess.Popen[str]

    @property
    def login(self) -> str:
        return (self.data / "prefect" / "login").read_text().strip()

    def ask(self, path: str, body: Any = None, method: str = "POST") -> httpx.Response:
        """An answer of the API. A server that has too much to do asks to be asked again, as Prefect's client does."""
        name, _, password = self.login.partition(":")
        address, end = f"http://127.0.0.1:{self.port}/api/{path}", time.monotonic() + 60
        while True:
            answer = httpx.request(
                method, address, json=body if body is not None else {}, auth=(name, password), timeout=30
            )
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                return answer
            time.sleep(1)

    def order(self, flow: str, **parameters: Any) -> httpx.Response:
        found = self.ask(f"deployments/name/{flow}/caregap", method="GET").json()
        return self.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """Runs of a deployed flow that were asked for, the earliest first."""
        body = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"deployment_id": {"is_null_": False}}}
        found = self.ask("flow_runs/filter", body).json()
        return sorted((one for one in found if not one["auto_scheduled"]), key=lambda one: one["created"])

    def scheduled(self, state: str) -> int:
        """How many runs of a schedule are in a state."""
        found = self.ask("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": [state]}}}}).json()
        return sum(one["auto_scheduled"] for one in found)

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.ask(f"flow_runs/{run_id}", method="GET").json())

    def wait(self, run_id: str, seconds: int = 600) -> dict[str, Any]:
        """Wait until a run has ended for good; a killed one goes on."""
        until(lambda: self.run(run_id)["state_type"] in ("COMPLETED", "FAILED", "CANCELLED"), seconds)
        return self.run(run_id)

    def cancel(self, run_id: str) -> None:
        """As the pages do. A run without a process is cancelled at once, which the API calls a rejection."""
        answer = self.ask(f"flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        assert answer.json()["state"]["type"] in ("CANCELLING", "CANCELLED"), answer.text

    def artifacts(self, key: str) -> list[str]:
        found = self.ask("artifacts/filter", {"sort": "CREATED_DESC"}).json()
        return [str(one["data"]) for one in found if one["key"] == key]

    def processes(self, *words: str) -> list[int]:
        """The server's processes whose command has all these words."""
        return [pid for pid, command in served(self.data) if all(word in command for word in words)]

    def stop(self, sent: int = signal.SIGINT) -> int:
        self.process.send_signal(sent)
        return self.process.wait(60)


def served(data: Path) -> list[tuple[int, list[str]]]:
    """Processes of a data folder's server, those of earlier ones too, and their commands."""
    mark, found = f"CAREGAP_SERVED={data.resolve()}|".encode(), []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if any(word.startswith(mark) for word in entry.read_bytes().split(b"\0")):
                command = entry.with_name("cmdline").read_bytes().decode().split("\0")
                found.append((int(entry.parent.name), command))
    return found


def environment_of(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def until(holds: Callable[[], object], seconds: int = 480) -> None:
    """Wait until something holds; an API that is killed or has much to do may leave a question without an answer."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if holds():
                return
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.3)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(data: Path, *words: object, port: int = 0, **environment: str) -> Iterator[Running]:
    """Start a server and wait until it takes orders; it is stopped at the end if it still runs."""
    port = port or free_port()
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", str(port), *map(str, words), "--data", str(data)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**clean_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        running = Running(data, port, process)
        try:
            said = process.stdout.readline()
            assert "Serving" in said, said + process.stdout.read()
            until(lambda: ready(running))
            yield running
        finally:
            if process.poll() is None:
                running.stop()


def ready(running: Running) -> bool:
    pools = running.ask("work_pools/filter").json()
    return sum(pool["status"] == "READY" for pool in pools) == 2
