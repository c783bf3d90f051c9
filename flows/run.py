"""The three zones in a row, each in a process of its own, over one Prefect API."""

import os
from collections.abc import Sequence

from flows.settings import take_secrets
from flows.zone import run_zone, zone_flow, zone_task


@zone_task("controller zone")
def controller_zone(arguments: Sequence[str]) -> None:
    """Load the source; the only process that is given what leads to the key."""
    run_zone(arguments, {**os.environ, **take_secrets()})


@zone_task("analysis zone")
def analysis_zone(arguments: Sequence[str]) -> None:
    """Count the care gaps."""
    run_zone(arguments, os.environ)


@zone_task("release zone")
def release_zone(arguments: Sequence[str]) -> None:
    """Protect, attack, build a candidate, and publish it where policy lets generated data be published at once."""
    run_zone(arguments, os.environ)


@zone_flow("caregap-run")
def run(load: Sequence[str], analyse: Sequence[str], release: Sequence[str]) -> None:
    """Run the zones one after the other; a zone that fails ends the run."""
    controller_zone(load)
    analysis_zone(analyse)
    release_zone(release)


def run_all(load: Sequence[str], analyse: Sequence[str], release: Sequence[str]) -> None:
    """Run the whole way. Arguments are those of `caregap ingest`, `analyse` and `release`."""
    take_secrets()
    run(load, analyse, release)
