"""The platform's flows as a server runs them: no key, no source, and no import path to either."""

import json
import os
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

from prefect import runtime
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Completed
from pydantic import Field

from flows import outcome
from flows.analysis import MOST_MONTHS, run_analyse
from flows.counted import read_counts
from flows.guard import Failure
from flows.release import run_release
from flows.room.acts import publish_approved, publish_generated
from flows.room.candidates import last_release, read_manifest, same_candidate
from flows.server.days import Day, last_month_end, today
from flows.server.recovery import has_ended
from flows.settings import Layout
from flows.words import QUARTER, YEAR_AND_DATE
from flows.zone import zone_flow, zone_task
from schemas.errors import ApprovalMissing
from transforms.release.published import CERTIFICATE_FILE

AGAIN_AFTER = (60,)
WAITS = "WaitingForDecision"
"""Name of the state of a run whose candidate stewards must decide on: done, and no process is held."""
Months = Annotated[int, Field(ge=1, le=MOST_MONTHS)]
Every = Annotated[int, Field(ge=1, le=MOST_MONTHS)]
Candidate = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}-\d{1,4}$")]


@zone_task("count", again_after=AGAIN_AFTER)
def count(data: str, as_of: str, months: int) -> int:
    """Count the care gaps; returns the number of counts."""
    return run_analyse(Layout(Path(data)), date.fromisoformat(as_of), months)


@zone_flow("analyse")
def analyse(as_of: Day = None, months: Months = YEAR_AND_DATE) -> None:
    """Analysis zone: count the care gaps from the lake, district by district. The counts are not yet protected.

    Args:
        as_of: The date asked for; empty is the last month-end.
        months: How many dates: this one and the month-ends before it, 1 to 32.
    """
    layout, day = _layout(), as_of or last_month_end(today())
    before = _last_analysis(layout)
    rows = count(str(layout.data), day.isoformat(), months)
    _, _, about = read_counts(layout, day)
    outcome.show("analyse-result", "What was counted", *outcome.analysis_parts(about, rows, before))


@zone_task("build a candidate", again_after=AGAIN_AFTER)
def build(data: str, as_of: str, months: int, every: int) -> str:
    """Build a candidate; returns its name."""
    return run_release(Layout(Path(data)), date.fromisoformat(as_of), months, every)[0].name


@zone_flow("release")
def release(as_of: Day = None, months: Months = YEAR_AND_DATE, every: Every = QUARTER) -> State[None]:
    """Release zone: hide small counts, attack the result, build a candidate for the stewards to decide on.

    Counts whose candidate is there already, undecided or published, get no second one. A release of generated data is
    published at once, as policy says.

    Args:
        as_of: The date asked for; empty is the last month-end. It must have been counted.
        months: How many dates: this one and the month-ends before it that were never released, 1 to 32.
        every: Only every so many of them, back from the date: 3 is every quarter.
    """
    layout, day = _layout(), as_of or last_month_end(today())
    candidate = same_candidate(layout, day, months, every)
    again = "" if candidate is None else "These counts have a candidate already; no second one was built."
    if candidate is None:
        candidate = build(str(layout.data), day.isoformat(), months, every)
    folder = layout.candidates / candidate
    parts = [again, *outcome.release_parts(_certificate(folder / "public"), _certificate(last_release(layout)))]
    state, words = None, f"Candidate `{candidate}` is published."
    if not (layout.published / candidate).exists():
        try:
            publish_generated(layout, candidate)
        except ApprovalMissing as refusal:
            state, words = WAITS, f"{refusal.rule[:1].upper()}{refusal.rule[1:]}: `caregap candidate show {candidate}`"
    outcome.show("release-result", f"Candidate {candidate}", words, *parts)
    return Completed(name=state, message=f"Candidate {candidate}")


@zone_flow("publish")
def publish(candidate: Candidate) -> None:
    """Publish a candidate that the stewards have approved as policy asks. Asked for by the server when they have.

    While a candidate waits for a decision, so does the run that will publish it, without holding a process.

    Args:
        candidate: Which one, such as 2026-10-31-1.
    """
    layout = _layout()
    published = publish_approved(layout, candidate)
    files = len(read_manifest(published)["sha256"])
    parts = [f"{files} files, as approved.", *outcome.release_parts(_certificate(published) or {}, None)]
    outcome.show("publish-result", f"Release {candidate} is published", *parts)


@zone_flow("run")
def run(
    as_of: Day = None,
    months: Months = YEAR_AND_DATE,
    every: Every = QUARTER,
    increment: bool = False,
    dry_run: bool = False,
) -> State[None] | None:
    """The whole way: ingest, analyse, release. Ends when the release is published, or waits for the stewards.

    A run whose process was killed goes on with the step that it was at.

    Args:
        as_of: The date asked for; empty is the last month-end.
        months: How many dates: this one and the month-ends before it, 1 to 32.
        every: Only every so many of them are released, back from the date: 3 is every quarter.
        increment: The source is a feed of what is new, corrected or withdrawn since the last load.
        dry_run: Only tell what would be read, how much, and under which policy.
    """
    day = (as_of or last_month_end(_asked_on())).isoformat()
    shown = cast("UUID", create_progress_artifact(progress=0.0, key="run-progress", description="Loading"))
    step("ingest", {"as_of": day, "increment": increment, "dry_run": dry_run})
    if dry_run:
        return None
    update_progress_artifact(shown, progress=60.0, description="Loaded; counting")
    step("analyse", {"as_of": day, "months": months})
    update_progress_artifact(shown, progress=70.0, description="Counted; protecting and attacking")
    ended = step("release", {"as_of": day, "months": months, "every": every})
    update_progress_artifact(shown, progress=100.0, description=ended.state_name)
    return Completed(name=ended.state_name, message=ended.state.message if ended.state else None)


def step(name: str, parameters: Mapping[str, Any]) -> FlowRun:
    """Have a step run, or go on waiting for the one that this run has asked for already; raises where it failed."""
    began, number = time.time(), 0
    while True:
        number += 1
        key = f"{runtime.flow_run.get_id()} {name} {number}"
        asked = cast(
            "FlowRun",
            run_deployment(
                f"{name}/caregap",
                parameters=dict(parameters),
                timeout=0,
                idempotency_key=key,
                flow_run_name=f"{name} {parameters['as_of']}",
            ),
        )
        ended = _ended(asked)
        if ended.state is not None and ended.state.is_completed():
            return ended
        # A step that had failed before this run was started once more is asked for once more.
        if asked.created is None or asked.created.timestamp() >= began:
            raise Failure(f"the step {name} did not succeed; its own run says why")


def _ended(asked: FlowRun) -> FlowRun:
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_flow_run(asked.id)
            if has_ended(client, found):
                return found
            time.sleep(2)


def _asked_on() -> date:
    """The day for which this run was scheduled: a run that starts late, or goes on later, keeps its date."""
    return today(runtime.flow_run.get_scheduled_start_time())


def _layout() -> Layout:
    return Layout(Path(os.environ["CAREGAP_DATA"]))


def _last_analysis(layout: Layout) -> dict[str, Any] | None:
    found = sorted(layout.counts.glob("[0-9]*/counts.json"), key=lambda path: path.stat().st_mtime)
    return dict(json.loads(found[-1].read_text("utf-8"))) if found else None


def _certificate(folder: Path | None) -> Any:
    return json.loads((folder / CERTIFICATE_FILE).read_text("utf-8")) if folder is not None else None


FLOWS = {"analyse": analyse, "release": release, "publish": publish, "run": run}
