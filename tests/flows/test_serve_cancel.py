"""A run that somebody cancels in the middle of a zone: it ends at once, leaves nothing half, and the next one works."""

import json
from pathlib import Path

import pytest

from flows import audit
from flows.server.status import status
from flows.settings import Layout
from flows.storage import has_snapshot
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.server import Running, interfere, serving, until
from tests.flows.test_serve_kills import nothing_runs_for_ever, published_once, source_of

HELD = [("flows.controller", "commit"), ("flows.analysis", "replace_folder"), ("flows.room.acts", "publish")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cancelled_run_leaves_nothing_half_and_the_next_one_works(
    feed: Path, tmp_path: Path, caregap: Caregap
) -> None:
    data, layout, places = tmp_path / "data", Layout(tmp_path / "data"), tmp_path / "meddled" / "deadly.json"
    with serving(data, *source_of(feed), PYTHONPATH=interfere(places.parent, None, HELD, held=True)) as server:

        def cancelled_in_the_middle(flow: str, left: int) -> None:
            run = server.order(flow, as_of=AS_OF).json()["id"]
            until(lambda: len(json.loads(places.read_text())) == left)
            server.cancel(run)
            ended = server.wait(run, 60)
            assert ended["state_type"] == "CANCELLED"
            assert ended["state"]["message"].startswith("Somebody cancelled it")
            until(lambda: nothing_runs_for_ever(server), 30)
            until(lambda: not server.processes("flow"), 30)

        cancelled_in_the_middle("run", 2)  # the whole way: with it the load, a run of its own
        # Its process was ended and may tell of a crash before the server has told why.
        until(lambda: [one["state_type"] for one in server.runs("ingest")] == ["CANCELLED"], 60)
        assert not has_snapshot(layout)
        assert "At work" not in status(layout)
        completes(server, "ingest")
        cancelled_in_the_middle("analyse", 1)
        assert not list(layout.counts.glob("[!.]*"))
        completes(server, "analyse")
        cancelled_in_the_middle("release", 0)
        assert not list(layout.published.glob("[!.]*"))
        completes(server, "release")
        assert len(server.runs("ingest")) == 2
        # One that waits to be started again: nobody is there to end it, and yet it does not stay "cancelling".
        later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2030-01-01T00:00Z"}}
        deployed = server.ask("deployments/name/analyse/caregap", method="GET").json()["id"]
        waiting = server.ask(f"deployments/{deployed}/create_flow_run", {"parameters": {}, "state": later}).json()["id"]
        server.ask(f"flow_runs/{waiting}", {"infrastructure_pid": "1"}, method="PATCH")
        server.cancel(waiting)
        assert server.wait(waiting, 60)["state_type"] == "CANCELLED"
        # One that was taken up and never came to a process is taken up again.
        asked = {"parameters": {"as_of": AS_OF}, "state": later}
        lost = server.ask(f"deployments/{deployed}/create_flow_run", asked).json()["id"]
        server.ask(f"flow_runs/{lost}/set_state", {"state": {"type": "PENDING"}, "force": True})
        assert server.wait(lost, 240)["state_type"] == "COMPLETED"
        assert server.stop() == 0
    assert [one["outcome"] for one in audit.entries(layout.audit, "ingest")] == ["stopped", "done"]
    assert [one["outcome"] for one in audit.entries(layout.audit, "analyse")] == ["stopped", "done", "done"]
    published_once(data, caregap)


def completes(server: Running, flow: str) -> None:
    ended = server.wait(server.order(flow, as_of=AS_OF).json()["id"])
    assert ended["state_type"] == "COMPLETED", ended["state"]
