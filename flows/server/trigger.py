"""Asking the server for a run from the command line."""

import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.guard import ZoneFailed
from flows.server.deployments import DEPLOYMENT, reason_of
from flows.server.recovery import has_ended
from schemas.errors import UsageRefused

START_SECONDS = 60
"""How long a flow is waited for that the server does not have yet."""


def trigger(flow: str, parameters: Mapping[str, Any], *, wait: bool, say: Callable[[str], None]) -> None:
    """Ask for a run of a flow and say what came of it.

    Raises UsageRefused where the server refuses the parameters, ZoneFailed where the run was waited for and did not
    succeed.
    """
    given = {name: value.isoformat() if isinstance(value, date) else value for name, value in parameters.items()}
    with get_client(sync_client=True) as client:
        asked = _ask(client, flow, given)
        page = f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{asked.id}"
        if not wait:
            say(f"Asked for {flow}\n{page}")
            return
        try:
            while not (has_ended(client, asked) or (asked.state is not None and asked.state.is_paused())):
                time.sleep(1)
                asked = client.read_flow_run(asked.id)
        except KeyboardInterrupt:
            say(f"No longer waited for; the run goes on\n{page}")
            raise ZoneFailed(130) from None
    state = asked.state
    assert state is not None  # noqa: S101 - for the type checker
    say(f"{flow}: {state.name}. {state.message or ''}".rstrip() + f"\n{page}")
    if not state.is_completed():
        raise ZoneFailed(1)


def _ask(client: SyncPrefectClient, flow: str, given: Mapping[str, Any]) -> FlowRun:
    until = time.monotonic() + START_SECONDS
    try:
        while True:
            try:
                deployment = client.read_deployment_by_name(f"{flow}/{DEPLOYMENT}")
                _must_be_known(flow, given, deployment.parameter_openapi_schema or {})
                return client.create_flow_run_from_deployment(deployment.id, parameters=dict(given))
            except (ObjectNotFound, httpx.ConnectError):  # a server that is starting, and its flows
                if time.monotonic() > until:
                    raise
                time.sleep(1)
    except ObjectNotFound:
        reason = "the server does not have this flow"
    except PrefectHTTPStatusError as error:
        reason = reason_of(error)
    except httpx.HTTPError:
        reason = "the server does not answer"
    raise UsageRefused(f"the run was not started: {reason}", "caregap trigger --help tells the parameters")


def _must_be_known(flow: str, given: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Refuse in the words of the command line what the server would refuse in those of a schema."""
    known = {name: f"--{name.replace('_', '-')}" for name in schema.get("properties", given)}
    if strangers := [name for name in given if name not in known]:
        word = f"--{strangers[0].replace('_', '-')}"
        raise UsageRefused(f"{flow} does not take {word}", f"It takes {', '.join(known.values())}")
    if lacking := [known[name] for name in schema.get("required", ()) if name not in given]:
        raise UsageRefused(f"{flow} needs {lacking[0]}", "caregap trigger --help tells the parameters")
