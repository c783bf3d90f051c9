"""A command's own Prefect API, and every process that a command starts: none of them outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows import api
from tests.flows.conftest import AS_OF, ROOT, clean_environment
from tests.flows.server import until

PRINTED = "from flows import api; import sys; print(api.begin(), flush=True); sys.stdin.read()"


@contextlib.contextmanager
def started(program: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env={**clean_environment(), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process


def with_words(*words: str) -> list[tuple[int, str]]:
    """Processes whose command or environment holds all words, and their commands."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if all(word in command + (entry / "environ").read_bytes().decode() for word in words):
                found.append((int(entry.name), command))
    return [one for one in found if one[0] != os.getpid()]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, 0])
def test_an_api_ends_with_its_command_however_that_ends(sent: int, tmp_path: Path) -> None:
    mark = f"CAREGAP_DATA={tmp_path}"
    with started(["-c", PRINTED], CAREGAP_DATA=str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        until(lambda: len(with_words(mark, "flows.server.process api")) == 1, 10)
        process.send_signal(sent)
        process.stdin.close()
        process.wait(30)
    until(lambda: not with_words(mark), 10)


def test_a_process_whose_parent_has_ended_already_ends_too() -> None:
    code = "import signal; from flows.process import end_with_parent; end_with_parent(signal.SIGKILL); print('lives')"
    for parent, ends in ((str(os.getpid()), 0), ("1", -signal.SIGKILL), ("", 0)):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**clean_environment(), "CAREGAP_PARENT": parent}, check=False
        )
        assert done.returncode == ends, parent


def test_where_an_api_is_configured_none_is_started(prefect_api: str) -> None:
    assert api.begin() == prefect_api
    assert not api._begun
    with httpx.Client(base_url=prefect_api) as stranger:
        assert stranger.get("/health").status_code == 200
        assert stranger.post("/flow_runs/filter", json={}).status_code == 401


BROKEN = """
import sys
from flows import api
api.module = lambda *_: [sys.executable, "-c", "raise SystemExit(3)"]
api.begin()
api.ready()
"""


def test_what_does_not_start_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert "Prefect's API does not answer" in done.stderr.splitlines()[-1]


AT_HOME = """
import sys
from pathlib import Path
from flows import cli
cli.run(["--help"])
assert not {"prefect", "polars", "duckdb"} & set(sys.modules)
asked = ["--as-of", "2026-10-31", "--reason", "b"]
for words in (
    *(["status"], ["candidate", "list"], ["verify", "none"], ["quality", "list"], ["view", "--port", "0"]),
    *(["counts", "--indicator", "a", *asked], ["evidence", "--indicator", "a", *asked], ["coverage", *asked]),
    *(["indicators", "check"], ["quarantine"], ["audit", "list"], ["notices", "list"], ["attack", "none"]),
):
    cli.run([*words, "--data", sys.argv[1]])
    assert "prefect" not in sys.modules, words
import flows.zone
assert "prefect" in sys.modules
"""


def test_no_command_leaves_anything_at_home(tmp_path: Path) -> None:
    """What only reads does not even load Prefect, which makes its folder when it is loaded."""
    home = tmp_path / "home"
    home.mkdir()
    with started(["-c", AT_HOME, str(tmp_path / "data")], HOME=str(home)) as process:
        process.communicate()
    assert process.returncode == 0
    assert list(home.iterdir()) == []


READ = """
import sys
from flows import cli
as_of = ["--as-of", sys.argv[2], "--reason", "to see the figures", "--data", sys.argv[1]]
for words in (["counts", "--indicator", sys.argv[3]], ["evidence", "--indicator", sys.argv[3]], ["coverage"]):
    assert cli.run([*words, *as_of]) == 0, words
    assert "prefect" not in sys.modules, words
"""


def test_figures_are_shown_without_prefect(data: Path) -> None:
    """It takes longer to load than they take to show."""
    with started(["-c", READ, str(data), AS_OF, "diabetes_hba1c_missing"]) as process:
        process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ingest", "analyse", "release"])
def test_a_killed_run_leaves_no_process(stage: str, feed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ["-m", "flows.cli", "run", "--source", f"feed:{feed}", "--as-of", AS_OF, "--data", str(data)]
    with started(words) as process:
        until(lambda: with_words(f"PREFECT_HOME={data}", f"flows.cli --data {data} {stage}"), 120)
        if stage == "release":
            until(lambda: with_words(f"PREFECT_HOME={data}", "multiprocessing"), 120)
        process.kill()
        process.communicate()
    until(lambda: not with_words(f"PREFECT_HOME={data}"), 20)
