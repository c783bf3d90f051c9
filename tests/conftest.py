"""What every test session needs before the first import of Prefect and Great Expectations."""

import atexit
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
import websockets.asyncio.connection
from hypothesis import settings

from flows.settings import Layout, prepare

# How often a law is tried that does not say itself; `make test-slow` tries all laws again, and these more often.
settings.register_profile("fast", max_examples=50)
settings.register_profile("many", max_examples=150)
settings.load_profile("fast")

THIRD_PARTY = Path(os.environ.get("CAREGAP_TEST_DATA", os.devnull))
"""Folder of third-party records of generated persons, which are not part of the project."""
TABLE = "table to show"
"""Property of a test that has a table to show; it stands at the end of the output, whoever ran the test."""

_home = Path(tempfile.mkdtemp(prefix="caregap-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
prepare(Layout(_home))

# Prefect's connection for events lives on in a thread after a flow and draws the bytes of its pings from Python's
# global generator. Hypothesis would take that for a strategy's doing, and fail a test which has no part in it.
websockets.asyncio.connection.random = random.Random()  # type: ignore[assignment]


def needs(there: object, what: str, package: str) -> None:
    """Skip a test for want of something that is not Python's, unless all is there by promise (.ci/run installs it)."""
    if not there:
        assert "CAREGAP_CI" not in os.environ, f"{what} is not installed; .ci/run installs it"
        pytest.skip(f"{what} is not installed (Debian: apt-get install {package})")


def chromium() -> str:
    """Path of the browser that pages are looked at with; the test is skipped where there is none."""
    found = shutil.which("chromium")
    needs(found, "Chromium", "chromium")
    return str(found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables of the tests: what a passed test prints is not shown, and nothing that another process prints."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    for report in reports:
        for name, text in report.user_properties:
            if name == TABLE:
                terminalreporter.write_line(f"\n{text}")
