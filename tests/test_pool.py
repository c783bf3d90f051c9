"""Processes that work is shared among do not outlive the one that shares it."""

import subprocess
import sys
from pathlib import Path

from tests.flows.conftest import ROOT, clean_environment
from tests.flows.server import until

SHARING = """
import os, time
from transforms.pool import pool
workers = pool(1)
print(workers.submit(os.getpid).result(), flush=True)
workers.submit(time.sleep, 60 if WORKS else 0)
time.sleep(60)
"""


def ended(pid: int) -> bool:
    try:
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_where_the_sharing_process_is_killed_its_workers_end_busy_or_idle() -> None:
    for works in (True, False):
        command = [sys.executable, "-c", SHARING.replace("WORKS", str(works))]
        with subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            worker = int(process.stdout.readline())
            process.kill()
        until(lambda worker=worker: ended(worker), 10)
