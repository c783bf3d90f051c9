"""What every test session needs before the first import of Prefect and Great Expectations."""

import atexit
import random
import shutil
import tempfile
from pathlib import Path

import websockets.asyncio.connection

from flows.settings import Layout, prepare

_home = Path(tempfile.mkdtemp(prefix="caregap-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
prepare(Layout(_home))

# Prefect's connection for events lives on in a thread after a flow and draws the bytes of its pings from Python's
# global generator. Hypothesis would take that for a strategy's doing, and fail a test which has no part in it.
websockets.asyncio.connection.random = random.Random()  # type: ignore[assignment]
