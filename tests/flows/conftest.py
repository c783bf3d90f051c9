"""Whole runs, each in a process of its own as a user starts it."""

import contextlib
import fcntl
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from flows import settings
from schemas.areas import load_areas

ROOT = Path(__file__).parent.parent.parent
AS_OF = "2026-10-31"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Caregap = Callable[..., Outcome]


def clean_environment() -> dict[str, str]:
    """This environment without what would steer caregap or Prefect, or a `make` that is called in it."""
    steering = ("CAREGAP_", "PREFECT_", "PYTEST_", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)}


def start(program: list[str], *arguments: object, data: Path, timeout: int = 240, **environment: str) -> Outcome:
    if "PREFECT_API_URL" in environment:
        environment["PREFECT_API_AUTH_STRING"] = os.environ["PREFECT_API_AUTH_STRING"]
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments), "--data", str(data)],
        cwd=ROOT,
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect API for all commands of a test session, so that each need not start its own."""
    home = tmp_path_factory.mktemp("prefect")
    code = (
        "import sys; from pathlib import Path; from flows.settings import Layout, prepare; "
        f"prepare(Layout(Path({str(home)!r}))); from flows import api; print(api.begin(), flush=True); api.ready(); "
        "import os; print(os.environ['PREFECT_API_AUTH_STRING'], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        address = server.stdout.readline().strip()
        os.environ["PREFECT_API_URL"] = address
        os.environ["PREFECT_API_AUTH_STRING"] = server.stdout.readline().strip()
        yield address
        server.stdin.close()


@pytest.fixture
def caregap(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caregap]:
    """Run a command to its end in this process, which spares each the seconds that Prefect takes to import."""
    from flows import cli

    def run(*arguments: object, data: Path, **environment: str) -> Outcome:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run([*map(str, arguments), "--data", str(data)])
        settings._taken.clear()
        return Outcome(code, out.getvalue(), err.getvalue())

    monkeypatch.delenv("CAREGAP_DATA", raising=False)
    monkeypatch.chdir(ROOT)
    yield run
    settings._taken.clear()


@pytest.fixture
def caregap_process(prefect_api: str) -> Caregap:
    """Run a command in a process of its own: what the processes that it starts write is seen too."""

    def run(*arguments: object, data: Path, **environment: str) -> Outcome:
        return start(["-m", "flows.cli"], *arguments, data=data, PREFECT_API_URL=prefect_api, **environment)

    return run


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker of a test session makes and all of them use; not to be changed."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            beside = folder.with_suffix(".new")
            beside.mkdir()
            make(beside)
            beside.rename(folder)
    return folder


@pytest.fixture(scope="session")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated feed of five of Helsinki's districts, so that protecting it is soon done."""

    def make(folder: Path) -> None:
        some = ["091", "1", "2", "101", "102", "103", "201", "205"]
        load_areas().filter(pl.col("code").is_in(some)).write_csv(folder / "areas.csv")
        words = ("synth", "--persons", 1500, "--years", 2, "--as-of", AS_OF, "--areas", folder / "areas.csv")
        done = start(["-m", "flows.cli"], *words, "--out", folder / "feed", data=folder)
        assert done.code == 0, done.err

    return made_once(tmp_path_factory, "feed", make) / "feed"


@pytest.fixture(scope="session")
def finished(feed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a whole run on the feed, with a Prefect home of its own."""

    def make(folder: Path) -> None:
        run = ("run", "--source", f"feed:{feed}", "--as-of", AS_OF, "--months", 1)
        done = start(["-m", "flows.cli"], *run, data=folder / "data")
        assert done.code == 0, done.err
        assert done.err == "", done.err

    return made_once(tmp_path_factory, "run", make) / "data"


@pytest.fixture
def data(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run's data folder, to do with as a test likes."""
    return Path(shutil.copytree(finished, tmp_path / "data", symlinks=True))


@pytest.fixture
def stewards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Signing keys by name: two data stewards and a statistician of this test's policy, none of whom builds candidates.

    The first one's key is the one at hand.
    """
    from flows.room.signing import create
    from schemas import policy

    text, keys = policy.POLICY_FILE.read_text("utf-8"), {}
    for name, role in (
        ("Data Steward", "data_steward"),
        ("Other Steward", "data_steward"),
        ("Counter", "statistician"),
    ):
        keys[name] = tmp_path / "stewards" / f"{name}.pem"
        lines = create(name, [role], keys[name])
        text += "\n".join(["", *lines[lines.index("[[steward]]") : -1], ""])
    path = tmp_path / "stewards" / "policy.toml"
    path.write_text(text)
    monkeypatch.setattr(policy, "POLICY_FILE", path)
    monkeypatch.setenv("CAREGAP_SIGNING_KEY", str(keys["Data Steward"]))
    return keys
