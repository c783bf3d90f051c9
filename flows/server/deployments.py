"""What a server offers: the zones' flows as deployments, each zone's pool, and when flows run by themselves."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from flows.version import code_version
from schemas.errors import UsageRefused

DEPLOYMENT = "caregap"
"""Every flow's one deployment: `prefect deployment run ingest/caregap`."""
_MODULES = {"controller": "flows.server.controller_flows", "platform": "flows.server.platform_flows"}
_ABOUT = {
    "controller": "The controller's own environment: its processes have the source and what leads to the key.",
    "platform": "The platform: no key, no source.",
}
_QUEUES = {"run": "runs"}
_STEPS = "steps"
"""The whole way waits for its steps, so it has a queue of its own: one that it shared with them would stand still."""


@dataclass(frozen=True)
class Timetable:
    """One schedule: a flow, a cron line read in a time zone, and the parameters of its runs."""

    flow: str
    cron: str
    timezone: str
    name: str
    active: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)


def flows_of(zone: str) -> dict[str, Flow[..., Any]]:
    """The flows that may run in a zone, by name."""
    if zone not in _MODULES:
        raise UsageRefused("there is no such zone", f"There are {', '.join(_MODULES)}")
    return dict(import_module(_MODULES[zone]).FLOWS)


def deploy(zone: str, flows: Mapping[str, Flow[..., Any]], schedules: Path) -> None:
    """Register a zone's pool, its flows and their schedules. Raises UsageRefused where the schedules are not right."""
    timetables = read_schedules(schedules)
    with get_client(sync_client=True) as client:
        _make_pool(client, zone)
        for name, flow in flows.items():
            _deploy(client, zone, name, flow, [one for one in timetables if one.flow == name])


def read_schedules(path: Path) -> list[Timetable]:
    """Schedules from their file. Raises UsageRefused with what is wrong and where."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError:
        given, wrong = {}, "cannot be read"
    except tomllib.TOMLDecodeError:
        given, wrong = {}, "is not TOML"
    else:
        wrong = ""
    if wrong:
        raise UsageRefused(f"the file of schedules {wrong}", "Give --schedules FILE", table=path.name)
    if strangers := set(given) - {"timezone", "schedule"}:
        raise UsageRefused(f"there is no {min(strangers)}", "Write timezone and [[schedule]]", table=path.name)
    timezone = given.get("timezone", "Europe/Helsinki")
    return [_timetable(one, timezone, f"{path.name}: schedule {number}") for number, one in _numbered(given, path)]


def _numbered(given: Mapping[str, Any], path: Path) -> list[tuple[int, dict[str, Any]]]:
    listed = given.get("schedule", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UsageRefused("a schedule is not a table", "Write [[schedule]]", table=path.name)
    return list(enumerate(listed, start=1))


def _timetable(given: dict[str, Any], timezone: str, place: str) -> Timetable:
    kinds = {"flow": str, "cron": str, "name": str, "active": bool, "parameters": dict}
    for word in ("flow", "cron", "name"):
        if word not in given:
            raise UsageRefused(f"{word} is missing", "Every schedule has name, flow and cron", table=place)
    for word, value in given.items():
        if word not in kinds or not isinstance(value, kinds[word]):
            raise UsageRefused(f"{word} is not known, or not of its kind", f"Write {', '.join(kinds)}", table=place)
    if given["flow"] not in {name for zone in _MODULES for name in flow_names(zone)}:
        raise UsageRefused("there is no such flow", "caregap trigger --help names them", table=place)
    try:
        ZoneInfo(timezone)
        CronSchedule(cron=given["cron"], timezone=timezone)
    except (ZoneInfoNotFoundError, ValueError, ValidationError):
        wrong = True
    else:
        wrong = False
    if wrong:
        raise UsageRefused("cron or timezone is not one", 'Write cron = "30 1 * * *": minute, hour, ...', table=place)
    return Timetable(timezone=timezone, **given)


def flow_names(zone: str) -> tuple[str, ...]:
    """Names of a zone's flows, without importing its code."""
    return {"controller": ("ingest",), "platform": ("analyse", "release", "publish", "run")}[zone]


def _make_pool(client: SyncPrefectClient, zone: str) -> None:
    try:
        client.read_work_pool(zone)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=zone, type="process"))
    # One controller flow at a time: never two loads.
    client.update_work_pool(
        zone, WorkPoolUpdate(description=_ABOUT[zone], concurrency_limit=1 if zone == "controller" else None)
    )
    for name in {_QUEUES.get(flow, _STEPS) for flow in flow_names(zone)}:
        try:
            queue = client.read_work_queue_by_name(name, work_pool_name=zone)
        except ObjectNotFound:
            queue = client.create_work_queue(name, work_pool_name=zone)
        client.update_work_queue(queue.id, concurrency_limit=1)


def _deploy(client: SyncPrefectClient, zone: str, name: str, flow: Flow[..., Any], given: list[Timetable]) -> None:
    schedules = [
        DeploymentScheduleCreate(
            schedule=CronSchedule(cron=one.cron, timezone=one.timezone),
            active=one.active,
            parameters=dict(one.parameters),
            slug=one.name,
        )
        for one in given
    ]
    reason = ""
    try:
        client.create_deployment(
            client.create_flow_from_name(name),
            DEPLOYMENT,
            version=code_version(),
            schedules=schedules,
            description=flow.description,
            work_pool_name=zone,
            work_queue_name=_QUEUES.get(name, _STEPS),
            tags=[zone],
            entrypoint=f"{_MODULES[zone]}.{name}",
            parameter_openapi_schema={**parameter_schema(flow).model_dump(), "additionalProperties": False},
            enforce_parameter_schema=True,
        )
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in (409, 422):
            raise
        reason = reason_of(error)
    if reason:
        raise UsageRefused(f"the schedule of {name} is refused: {reason}", "Mend the file of schedules")


def reason_of(error: PrefectHTTPStatusError) -> str:
    """Why Prefect refused a request, in its words."""
    try:
        told = error.response.json()
    except ValueError:
        return f"status {error.response.status_code}"
    detail = told.get("detail") or told.get("exception_detail") or told.get("exception_message") or ""
    if isinstance(detail, list):
        detail = "; ".join(str(one.get("msg", "")) for one in detail if isinstance(one, dict))
    return str(detail).removeprefix("Error creating flow run: ").rstrip(".") or f"status {error.response.status_code}"
