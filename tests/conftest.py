"""What every test session needs before the first import of Prefect and Great Expectations."""

import atexit
import random
import shutil
import tempfile
from pathlib import Path

import pytest
import websockets.asyncio.connection

from flows.settings import Layout, prepare

TABLE = "table to show"
"""Property of a test that has a table to show; it stands at the end of the output, whoever ran the test."""

_home = Path(tempfile.mkdtemp(prefix="caregap-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
prepare(Layout(_home))

# Prefect's connection for events lives on in a thread after a flow and draws the bytes of its pings from Python's
# global generator. Hypothesis would take that for a strategy's doing, and fail a test which has no part in it.
websockets.asyncio.connection.random = random.Random()  # type: ignore[assignment]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables of the tests: what a passed test prints is not shown, and nothing that another process prints."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    for report in reports:
        for name, text in report.user_properties:
            if name == TABLE:
                terminalreporter.write_line(f"\n{text}")
