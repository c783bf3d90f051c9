"""Processes that work is shared among do not outlive the one that shares it."""

import subprocess
import sys
from pathlib import Path

from tests.flows.conftest import ROOT, clean_environment
from tests.flows.server import until

SHARING = """
import time
from multiprocessing import active_children
from threading import Thread
from transforms.pool import pool
with pool(2) as spread:
    assert spread(abs, [-2, -1]) == [2, 1]
    workers = {child.pid for child in active_children()}
    Thread(target=spread, args=(time.sleep, [60 if WORKS else 0] * 2)).start()
    assert workers >= {child.pid for child in active_children()}  # what is there is used
    print(*workers, flush=True)
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
            workers = [int(worker) for worker in process.stdout.readline().split()]
            process.kill()
        assert workers
        until(lambda workers=workers: all(ended(worker) for worker in workers), 10)
