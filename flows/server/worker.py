"""The worker of one zone: it runs the zone's own flows, as the installed code has them, and nothing else.

Whoever can write to Prefect's API can have an ordinary worker run any code in its own environment, the controller's
with the key in it. This one takes from the API which of its zone's flows is asked for, and the parameters.
"""

import asyncio
import contextlib
import os
import signal
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Failed
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from flows.process import bound, module
from flows.server.children import FLOW_RUN
from flows.server.deployments import flow_names
from flows.server.recovery import cancel, was_cancelled

_LOOK_SECONDS = 3
_END_SECONDS = 20


class ZoneWorker(ProcessWorker):
    """Starts `python -m flows.server.process flow ZONE NAME RUN` for each run, in this worker's own environment."""

    type = "process"

    async def run(
        self, flow_run: FlowRun, configuration: ProcessJobConfiguration, task_status: Any = None
    ) -> ProcessWorkerResult:
        """Run one flow to its end; of the configuration, which the API gives, nothing is used."""
        flow = await self.client.read_flow(flow_run.flow_id)
        if flow.name not in flow_names(self._work_pool_name):
            refused: State[None] = Failed(message="The zone has no such flow.")
            await self.client.set_flow_run_state(flow_run.id, refused, force=True)
            if task_status is not None:
                task_status.started(os.getpid())
            return ProcessWorkerResult(status_code=0, identifier="none")
        process = await asyncio.create_subprocess_exec(
            *module("flows.server.process", "flow", self._work_pool_name, flow.name, str(flow_run.id)),
            stdin=asyncio.subprocess.DEVNULL,
            # What a library prints could be a value of a record; a flow says what it has to say to Prefect.
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env=bound({**os.environ, FLOW_RUN: str(flow_run.id)}),
        )
        watch = asyncio.create_task(self._end_when_cancelled(flow_run.id, process))
        try:
            if task_status is not None:
                task_status.started(process.pid)
            code = await process.wait()
        except asyncio.CancelledError:
            await asyncio.shield(_end(process))
            raise
        finally:
            watch.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what the flow itself had started
        if code != 0 and await asyncio.to_thread(_cancelled, flow_run.id):
            code = 0  # else Prefect would let it count as crashed
        return ProcessWorkerResult(status_code=code, identifier=str(process.pid))

    async def _end_when_cancelled(self, flow_run_id: UUID, process: asyncio.subprocess.Process) -> None:
        """End the process when somebody cancels the run."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                flow_run = await self.client.read_flow_run(flow_run_id)
            except ObjectNotFound:
                await _end(process)
                return
            except Exception:  # noqa: S112 - the server is away; it comes back, or ends this worker
                continue
            if flow_run.state is not None and flow_run.state.is_cancelling():
                await _end(process)
                return


def _cancelled(flow_run_id: UUID) -> bool:
    """Whether a run that has ended was cancelled; it and its steps then count so. The server looks again if not."""
    with contextlib.suppress(Exception), get_client(sync_client=True) as client:
        if was_cancelled(client, flow_run_id):
            cancel(client, flow_run_id)
            return True
    return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
