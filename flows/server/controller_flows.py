"""The controller zone's flow as a server runs it, in the controller's own environment."""

import os
from datetime import date
from pathlib import Path

from flows import outcome
from flows.controller import run_ingest
from flows.plan import plan
from flows.server.days import Day, today
from flows.server.source_text import source_from_text
from flows.settings import SOURCE, Layout, take_secrets
from flows.zone import zone_flow, zone_task

AGAIN_AFTER = (15, 120, 600)
"""Seconds: another load may be at work, or the source be away for a while."""


@zone_task("load", again_after=AGAIN_AFTER, source_may_be_away=True)
def load(data: str, as_of: str, *, increment: bool) -> dict[str, int]:
    """Load the server's source, unless another load is at work; returns rows by table."""
    address, options = source_from_text(take_secrets().get(SOURCE, ""), increment=increment)
    report = run_ingest(Layout(Path(data)), address, date.fromisoformat(as_of), options)
    return dict(report["rows"])


@zone_flow("ingest")
def ingest(as_of: Day = None, increment: bool = False, dry_run: bool = False) -> None:
    """Controller zone: read, check and pseudonymise the server's source into the lake.

    Args:
        as_of: The date asked for; empty is today.
        increment: The source is a feed of what is new, corrected or withdrawn since the last load.
        dry_run: Only tell what would be read, how much, and under which policy; nothing is loaded.
    """
    layout, day = Layout(Path(os.environ["CAREGAP_DATA"])), as_of or today()
    if dry_run:
        address, options = source_from_text(take_secrets().get(SOURCE, ""), increment=increment)
        planned = plan(layout, address, day, options)
        outcome.show("ingest-dry-run", "What a load would read", *planned.as_parts())
        return
    before = outcome.last_load(layout)
    load(str(layout.data), day.isoformat(), increment=increment)
    if (after := outcome.last_load(layout)) is not None:
        outcome.show("ingest-result", "What was loaded", *outcome.load_parts(after, before))


FLOWS = {"ingest": ingest}
