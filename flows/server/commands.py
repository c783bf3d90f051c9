"""The commands of the server: serve, trigger, status; their words, and what each does."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from flows.settings import PASSPHRASES, PREFECT_DATABASE, SOURCE, Layout, take_secrets
from flows.words import Command, candidate, day, fixed_port, positive, say
from schemas.errors import UsageRefused

FLOWS = ("ingest", "analyse", "release", "publish", "run")


def words(command: Command, source: Callable[..., None]) -> None:
    """Add the server's commands to the command line."""
    made = command("serve", serve, "Run the server on this machine: pages, API, scheduled flows. Ctrl-C stops it.")
    source(made, required=False)
    made.add_argument("--port", type=fixed_port, default=4200, metavar="N", help="on 127.0.0.1 (4200)")
    made.add_argument("--schedules", type=Path, metavar="FILE", help="when the flows run (flows/server/schedules.toml)")

    made = command("trigger", trigger, "Have the server run a flow now.")
    made.add_argument("flow", choices=FLOWS)
    made.add_argument("--as-of", type=day, metavar="DATE", help="the date asked for; else the flow's own choice")
    made.add_argument("--months", type=positive, metavar="N", help="analyse, release, run: how many month-ends")
    made.add_argument("--every", type=positive, metavar="N", help="release, run: only every Nth of them")
    made.add_argument("--candidate", type=candidate, metavar="CANDIDATE", help="publish: which")
    made.add_argument("--increment", action="store_true", default=None, help="ingest, run: only what changed")
    made.add_argument("--dry-run", action="store_true", default=None, help="ingest, run: only tell what would be read")
    made.add_argument("--wait", action="store_true", help="until it has ended; the exit code tells how")

    command("status", status, "What is in the data folder, what waits, what a crash left, and what to do next.")


def serve(given: argparse.Namespace, layout: Layout) -> None:
    """Run the server."""
    source = os.environ.pop(SOURCE, "") or given.source or ""
    database = os.environ.pop(PREFECT_DATABASE, "")
    os.environ["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "false"
    take_secrets()
    layout.create()
    secrets = {}
    if source:
        from flows.server.source_text import source_to_text
        from flows.sources import SourceOptions, kind_of, without_password

        kind_of(source)
        options = SourceOptions(given.areas, given.area_map, given.years, given.seed)
        secrets = {SOURCE: source_to_text(without_password(source), options)}
    from flows.server.serve import SCHEDULES, serve

    schedules, secrets = given.schedules or SCHEDULES, {**take_secrets(), **secrets}
    if not source:
        say("There is no source: a load will be refused. Give --source SRC")
    if layout.keyring.exists() and not layout.passphrase.exists() and not set(PASSPHRASES) & set(secrets):
        say("There is no passphrase: a load will be refused. Set CAREGAP_PASSPHRASE_FILE")
    serve(layout, given.port, schedules, secrets, database, say)


def trigger(given: argparse.Namespace, layout: Layout) -> None:
    """Have the server run a flow."""
    if "PREFECT_API_URL" not in os.environ:
        raise UsageRefused("no server is at work in this data folder", "Start one: caregap serve")
    from flows.server.trigger import trigger

    named = {name: getattr(given, name) for name in ("as_of", "months", "every", "candidate", "increment", "dry_run")}
    given_words = {name: value for name, value in named.items() if value is not None}
    trigger(given.flow, given_words, wait=given.wait, say=say)


def status(given: argparse.Namespace, layout: Layout) -> None:
    """Tell where everything stands."""
    from flows.server.status import status

    say(status(layout))
