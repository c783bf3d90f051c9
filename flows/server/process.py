"""What processes of a server, and a command's own API, run: `python -m flows.server.process ...`. Not for people."""

import contextlib
import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from flows.process import end_with_parent


def main() -> NoReturn:
    """Run what the words ask for; the exit code is that of a refusal, or 1."""
    from schemas.errors import Refusal

    what, *words = sys.argv[1:]
    code = 0
    try:
        if what == "server":
            end_with_parent(signal.SIGTERM)
            run_server(*words)
        elif what == "worker":
            end_with_parent(signal.SIGTERM)
            run_worker(*words)
        elif what == "flow":
            end_with_parent(signal.SIGKILL)
            run_flow(*words)
        elif what == "api":
            end_with_parent(signal.SIGTERM)
            run_api(int(words[0]))
        else:
            code = 2
    except Refusal as refusal:
        sys.stderr.write(f"caregap: {refusal}\n")
        code = refusal.exit_code
    sys.exit(code)


def run_server(port: str) -> None:
    """Prefect's API and pages, on loopback alone."""
    import uvicorn

    uvicorn.run(
        "flows.server.pages:make_app",
        factory=True,
        host="127.0.0.1",
        port=int(port),
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=3,
    )


def run_api(listening: int) -> None:
    """Prefect's API for one command: on a socket that it listens on already, without pages and schedules."""
    os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    import uvicorn

    config = uvicorn.Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listening)])


def run_worker(zone: str, schedules: str) -> None:
    """Tell the server which flows the zone has, and run them as they are asked for, one at a time or few."""
    import asyncio

    from flows.server.deployments import deploy, flows_of

    deploy(zone, flows_of(zone), Path(schedules))
    warnings.filterwarnings("ignore", "Type 'ZoneWorker'", UserWarning)  # it takes the place of Prefect's own, as meant
    from flows.server.worker import ZoneWorker

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        for sent in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sent, task.cancel)
        worker = ZoneWorker(work_pool_name=zone, name=zone, create_pool_if_not_found=False)
        with contextlib.suppress(asyncio.CancelledError):
            await worker.start(printer=lambda *_: None)

    asyncio.run(work())


def run_flow(zone: str, name: str, flow_run_id: str) -> None:
    """Run one of the zone's own flows, with the parameters of the flow run, and end with what came of it."""
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State
    from prefect.engine import handle_engine_signals
    from prefect.flow_engine import load_flow_run
    from prefect.flow_engine import run_flow as run
    from prefect.states import Failed

    from flows.server.deployments import flows_of
    from schemas.errors import UsageRefused

    flows = flows_of(zone)
    if name not in flows:
        raise UsageRefused("the zone has no such flow", f"It has {', '.join(flows)}")
    with handle_engine_signals(UUID(flow_run_id)):
        flow_run = load_flow_run(UUID(flow_run_id))
        if wrong := wrong_parameters(flows[name], flow_run.parameters):
            with get_client(sync_client=True) as client:
                failed: State[None] = Failed(message=f"A parameter is not valid: {wrong}")
                client.set_flow_run_state(flow_run.id, failed, force=True)
            return
        run(flows[name], flow_run=flow_run)


def wrong_parameters(flow: Any, parameters: dict[str, Any]) -> str:
    """Names of the parameters that a flow cannot take, each looked at alone; empty where it takes them all."""
    from prefect.exceptions import PrefectException

    wrong = []
    for name, value in parameters.items():
        try:
            flow.validate_parameters({name: value})
        except PrefectException:  # its message holds the value
            wrong.append(name)
    return ", ".join(wrong)


if __name__ == "__main__":
    main()
