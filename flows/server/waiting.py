"""Decisions that a run waits for: a waiting run holds no process, survives a restart, and goes on when it is made.

Stewards decide by signing (flows/room), never here. For each candidate that waits, the server keeps one paused run of
`publish`; it is started when the signatures are there, and cancelled when the candidate is rejected or returned.
"""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType
from prefect.states import Cancelled, Paused, Scheduled

from flows.room.candidates import built, read_decisions, state_of
from flows.settings import Layout
from schemas.errors import Refusal

WAITS = "WaitingForDecision"


def follow_decisions(client: SyncPrefectClient, layout: Layout) -> None:
    """Bring the waiting runs in line with the candidates; doing it twice changes nothing."""
    runs = _runs(client)
    for name in built(layout):
        run = next((one for one in runs if one.parameters.get("candidate") == name), None)
        if run is not None and run.state is not None and run.state.is_completed():
            continue
        state = _state(layout, name)
        paused = run is not None and run.state is not None and run.state.type == StateType.PAUSED
        if state.startswith("waits"):
            if run is None or (run.state is not None and run.state.is_final()):
                _ask(client, name, _waiting(f"Candidate {name} {state}"))
        elif run is not None and paused:
            if state in ("published", "ready to publish"):
                client.set_flow_run_state(run.id, Scheduled(message="The decision is made."), force=True)
            else:
                client.set_flow_run_state(run.id, Cancelled(message=f"The candidate is {state}."), force=True)
        elif run is None and state == "ready to publish":
            _ask(client, name, Scheduled())


def _waiting(message: str) -> State[None]:
    # Whoever cancels it is told that it has no process: without that, Prefect would wait for one to end.
    details = StateDetails(pause_reschedule=True)
    state: State[None] = Paused(message=message, state_details=details)
    return state.model_copy(update={"name": WAITS})


def _state(layout: Layout, name: str) -> str:
    """Where the decision on a candidate stands. One of nobody's data waits too, until somebody wants it published."""
    folder = layout.candidates / name
    try:
        state = state_of(layout, folder)
    except (Refusal, OSError, ValueError):
        return "waits for decisions that can be read"
    return "waits for a decision" if state == "ready to publish" and not read_decisions(folder) else state


def _runs(client: SyncPrefectClient) -> list[FlowRun]:
    """Runs of `publish`, the newest first."""
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["publish"])),
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["caregap"])),
        limit=200,
    )
    return sorted(found, key=lambda run: run.created.timestamp() if run.created else 0.0, reverse=True)


def _ask(client: SyncPrefectClient, candidate: str, state: State[None]) -> None:
    deployment = client.read_deployment_by_name("publish/caregap")
    client.create_flow_run_from_deployment(
        deployment.id, parameters={"candidate": candidate}, state=state, name=f"publish-{candidate}"
    )
