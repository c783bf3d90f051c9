"""What becomes of runs whose process was killed: they go on, a few times, and nothing stays "running" for ever.

Every flow is made to be run again: a load replaces the lake as a whole, counts with a candidate get no second one, and
a candidate is published once.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed, Scheduled

from flows.server.children import is_at_work

MOST_STARTS = 5
"""A run that was killed so often is not started once more: something is wrong with the machine or the run."""
CANCELLED = "Somebody cancelled it. What it had not finished is as it was before."
_KILLED = "Its process was killed. What it had not finished is as it was before."
_AT_WORK = (StateType.RUNNING, StateType.PENDING)
PENDING_SECONDS = 60
"""A run that was taken up so long ago, and has no process, was lost on the way to one."""


def starts(client: SyncPrefectClient, flow_run_id: UUID) -> int:
    """How often a worker took a run up: also a process that ended before the run counted as running was started."""
    return sum(state.name == "Pending" for state in client.read_flow_run_states(flow_run_id))


def has_ended(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether a run has ended for good: one that was killed is started again, a few times."""
    state = run.state
    return state is not None and state.is_final() and not (state.is_crashed() and starts(client, run.id) < MOST_STARTS)


def was_cancelled(client: SyncPrefectClient, flow_run_id: UUID) -> bool:
    """Whether somebody cancelled a run since it was last taken up: a process that is ended may still report a crash."""
    told = [state.name if state.name == "Pending" else state.type for state in client.read_flow_run_states(flow_run_id)]
    return StateType.CANCELLING in told[len(told) - told[::-1].index("Pending") :] if "Pending" in told else False


def cancel(client: SyncPrefectClient, flow_run_id: UUID) -> None:
    """Let a run whose process has ended count as cancelled, and cancel the steps that it had asked for."""
    _end_parts(client, flow_run_id)
    for step in _within(client, flow_run_id, is_deployed=True):
        # One that no worker has taken up is cancelled at once, any other one when its worker has ended it.
        client.set_flow_run_state(step.id, State(type=StateType.CANCELLING))
    client.set_flow_run_state(flow_run_id, Cancelled(message=CANCELLED), force=True)


def continue_killed(client: SyncPrefectClient, zone: str, given_up: set[UUID], *, none_at_work: bool) -> int:
    """Have a zone's killed runs started again; returns how many.

    `none_at_work`: no process of the zone is there, so what counts as running was killed with its worker. A run that
    was started too often is put into `given_up` and left as crashed.
    """
    kinds = (StateType.CRASHED, StateType.CANCELLING, StateType.PENDING, *(_AT_WORK if none_at_work else ()))
    again = 0
    for run in _runs_of(client, zone, kinds):
        assert run.state is not None  # noqa: S101 - for the type checker
        if run.id in given_up or (run.state.type == StateType.CANCELLING and is_at_work(run.id)):
            continue
        if run.state.type == StateType.PENDING and not (none_at_work or _is_lost(run)):
            continue
        if run.state.type == StateType.CANCELLING or was_cancelled(client, run.id):
            cancel(client, run.id)
            continue
        if run.state.type != StateType.CRASHED:
            client.set_flow_run_state(run.id, Crashed(message=_KILLED))
        _end_parts(client, run.id)
        if starts(client, run.id) >= MOST_STARTS:
            given_up.add(run.id)
            continue
        client.set_flow_run_state(run.id, Scheduled(name="AwaitingRetry", message="It goes on after it was killed."))
        again += 1
    return again


def _is_lost(run: FlowRun) -> bool:
    """Whether a run that was taken up has come to no process, or to one that ended without a word."""
    since = run.state.timestamp if run.state is not None else datetime.now(UTC)
    return datetime.now(UTC) - since > timedelta(seconds=PENDING_SECONDS) and not is_at_work(run.id)


def skip_missed(client: SyncPrefectClient, zone: str) -> int:
    """Of each flow's scheduled runs that fell due while no server was up, keep the last; returns how many are skipped.

    A load or a count at a later date does what the missed ones would have done.
    """
    due = [
        run
        for run in _runs_of(client, zone, (StateType.SCHEDULED,))
        if run.auto_scheduled and run.expected_start_time and run.expected_start_time < datetime.now(UTC)
    ]
    last: dict[UUID | None, FlowRun] = {}
    for run in sorted(due, key=lambda run: str(run.expected_start_time)):
        if missed := last.get(run.deployment_id):
            client.set_flow_run_state(missed.id, Cancelled(message="Missed; a later run stands in for it."), force=True)
        last[run.deployment_id] = run
    return len(due) - len(last)


def _runs_of(client: SyncPrefectClient, zone: str, kinds: tuple[StateType, ...]) -> list[FlowRun]:
    """Runs of a zone's deployments in a state of some kinds."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(kinds))),
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[zone])),
    )


def _end_parts(client: SyncPrefectClient, flow_run_id: UUID) -> None:
    """Let the flows within a killed one count as crashed too; steps that are runs of their own live on."""
    for run in _within(client, flow_run_id, is_deployed=False):
        client.set_flow_run_state(run.id, Crashed(message=_KILLED))


def _within(client: SyncPrefectClient, flow_run_id: UUID, *, is_deployed: bool) -> list[FlowRun]:
    """Runs that a run started and that have not ended: flows in its own process, or steps that a worker runs."""
    kinds = [StateType.RUNNING, StateType.PENDING, *([StateType.SCHEDULED] if is_deployed else [])]
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds)),
            deployment_id=FlowRunFilterDeploymentId(is_null_=not is_deployed),
        )
    )
