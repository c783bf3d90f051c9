"""Whatever part of a server is killed, at whatever step: nothing is lost, and nothing is published twice or half."""

import os
import signal
import time
from pathlib import Path

import pytest

from flows import audit
from flows.settings import Layout
from tests.flows.conftest import AS_OF, Caregap, start
from tests.flows.server import Running, interfere, served, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def published_once(data: Path, caregap: Caregap) -> None:
    """One release of the date, whole, and in the audit log once; nothing left over that anything reads."""
    layout = Layout(data)
    releases = [path for path in layout.published.iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(releases) == 1, releases
    assert caregap("verify", releases[0], data=data).code == 0
    published = audit.entries(layout.audit, "publish")
    assert [one["release"] for one in published] == [releases[0].name]
    assert caregap("audit", "verify", data=data).code == 0
    assert not list(layout.staging.iterdir())


def source_of(feed: Path) -> tuple[str, str]:
    return "--source", f"feed:{feed}"


PLACES = {
    "load and count": [
        ("flows.controller", "commit"),
        ("flows.controller", "tidy"),
        ("flows.analysis", "replace_folder"),
    ],
    "release": [
        ("flows.release", "build_candidate"),
        ("flows.release", "manifest_digest"),
        ("flows.room.acts", "publish"),
    ],
    "after publishing": [("flows.room.acts", "approved_table"), ("flows.server.platform_flows", "Completed")],
}


@pytest.mark.parametrize("places", PLACES)
def test_flows_killed_at_their_steps_go_on(places: str, feed: Path, tmp_path: Path, caregap: Caregap) -> None:
    data, meddled = tmp_path / "data", interfere(tmp_path / "meddled", None, PLACES[places])
    with serving(data, *source_of(feed), PYTHONPATH=meddled) as server:
        ended = server.wait(server.order("run", as_of=AS_OF).json()["id"])
        assert ended["state_type"] == "COMPLETED", ended["state"]
        assert (tmp_path / "meddled" / "deadly.json").read_text() == "[]"  # it did die at each
        assert len(server.runs("release")) == 1
        until(lambda: nothing_runs_for_ever(server), 120)
    published_once(data, caregap)


def test_a_killed_api_worker_or_server_is_made_good_and_the_run_goes_on(
    feed: Path, tmp_path: Path, caregap: Caregap
) -> None:
    data = tmp_path / "data"
    with serving(data, *source_of(feed)) as server:
        run = server.order("run", as_of=AS_OF).json()["id"]
        until(lambda: [one["state_type"] for one in server.runs("ingest")] == ["RUNNING"])
        kill(server.processes("worker", "controller"))
        until(lambda: server.runs("ingest")[0]["run_count"] == 2)
        kill(server.processes("server"))
        until(lambda: answers(server))
        until(lambda: server.runs("ingest")[0]["state_type"] == "COMPLETED")
        kill(server.processes("worker", "platform"))
        until(lambda: server.run(run)["run_count"] == 2)
        until(lambda: server.processes("flow", "analyse") or server.processes("flow", "release"))
        # The whole server, without a chance to stop anything; a second one takes over.
        server.process.kill()
        server.process.wait()
        until(lambda: not served(data), 30)
    status = start(["-m", "flows.cli"], "status", data=data)
    assert "not running" in status.out
    with serving(data, *source_of(feed), port=server.port) as server:
        ended = server.wait(run)
        assert ended["state_type"] == "COMPLETED", ended["state"]
        until(lambda: nothing_runs_for_ever(server), 120)
        assert server.stop(signal.SIGTERM) == 0
    assert served(data) == []
    published_once(data, caregap)


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}/environ").exists() and alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def answers(server: Running) -> bool:
    try:
        return server.ask("health", method="GET").status_code == 200
    except Exception:
        time.sleep(0.2)
        return False


def nothing_runs_for_ever(server: Running) -> bool:
    body = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    return not server.ask("flow_runs/filter", body).json()
