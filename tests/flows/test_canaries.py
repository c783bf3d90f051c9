"""Every task of every flow fails in turn on identifiers, and nothing that a run leaves behind tells one of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.flows.conftest import AS_OF, ROOT, clean_environment
from tests.flows.server import serving
from tests.flows.test_leaks import IDENTIFYING, canaries, found_in, sample

SABOTAGE = '''
def sabotage(zone, told, is_chosen, failed):
    """Have every task that is chosen fail on identifiers, and tell which did; nothing is tried again."""
    from functools import wraps
    import polars as pl

    real = zone.zone_task
    def zone_task(name, *again, **terms):
        def decorate(function):
            @wraps(function)
            def failing(*args, **kwargs):
                if not is_chosen(function.__module__, name):
                    return function(*args, **kwargs)
                if function.__module__ != "flows.run":  # the others after their work, with what it left
                    function(*args, **kwargs)
                failed(name)
                try:
                    pl.Series(told).cast(pl.Int64)
                except Exception as error:
                    error.add_note(" ".join(told))
                    raise ExceptionGroup(" ".join(told), [error, KeyError(told[0]), ValueError(told)]) from error
            made = real(name)(failing)
            modules[name] = function.__module__
            return made
        return decorate

    zone.zone_task = zone_task
    modules = {}
    return modules
'''
DRIVER = (
    f'''
"""Runs the whole way once for every task, which then fails on what stands in `told`; in the end without a failure."""
{SABOTAGE}
'''
    + '''
import importlib, io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

machine, told = Path(sys.argv[1]), json.loads(sys.argv[4])
feed, as_of, is_guarded = sys.argv[2], sys.argv[3], sys.argv[5]
data = machine / "data"
chosen, failed = None, []
COMMANDS = {
    "flows.controller": ["ingest", "--source", "feed:" + feed], "flows.analysis": ["analyse"],
    "flows.release": ["release", "--publish-generated"], "flows.run": ["run", "--source", "feed:" + feed],
}
"""The modules that have tasks, and the command that runs them; in the order of the way."""
said = []

def go(words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([*words, "--as-of", as_of, "--data", str(data)])
    said.extend((out.getvalue(), err.getvalue()))
    return code

def main():
    global chosen, cli
    from flows.settings import Layout, prepare
    prepare(Layout(data))
    from flows import api
    api.begin()
    from flows import cli, zone
    if is_guarded == "unguarded":
        zone.guarded = lambda function: function
    modules = sabotage(zone, told, lambda module, name: name == chosen, failed.append)
    for module, words in COMMANDS.items():
        own = importlib.import_module(module)
        if module == "flows.run":
            own.run_zone = lambda *arguments: None  # each zone was driven by itself
        for chosen in [name for name, where in modules.items() if where == module]:
            assert go(words) != 0, chosen
        chosen = None
        if module != "flows.run":
            assert go(words) == 0, said[-1]
        if is_guarded != "guarded":
            return
    outbox = machine / "outbox"
    outbox.mkdir(exist_ok=True)
    for notebook in ("explore", "indicator", "release"):
        given = {
            "data": str(data), "published": str(data / "release" / "published"), "source": "counts", "release": None,
            "indicator": "diabetes_hba1c_missing", "reason": "a test", "language": "en", "persons": 300, "years": 1,
            "start": "diabetes_hba1c_missing", "as_of": as_of, "definitions": None, "cases": None,
        }
        outputs, _ = importlib.import_module("notebooks." + notebook).app.run(defs={"given": given})
        (outbox / (notebook + ".html")).write_text(" ".join(str(getattr(one, "text", one)) for one in outputs))
    (outbox / "said.txt").write_text("\\n".join(said))
    (outbox / "failed.json").write_text(json.dumps(failed))

if __name__ == "__main__":  # protecting starts processes, which read this file again
    main()
    cli.sys.argv = ["caregap", "indicators", "list"]
    cli.main()  # ends as a command ends: after the last log lines are delivered
'''
)


SERVED = """
import importlib.machinery, json, sys
from pathlib import Path

TOLD, HERE = FILLED_IN

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target) if name == "flows.zone" else None
        if spec is not None:
            execute = spec.loader.exec_module
            def exec_module(module):
                execute(module)
                sabotage(module, TOLD, is_chosen, failed)
            spec.loader.exec_module = exec_module
        return spec

def is_chosen(module, name):
    return module.startswith("flows.server") and name == Path(HERE, "chosen").read_text()

def failed(name):
    with Path(HERE, "failed").open("a") as file:
        file.write(name + "\\n")
    print(TOLD)

if "flow" in sys.argv:
    sys.meta_path.insert(0, Finder)
"""
"""As sitecustomize in a server's processes: the chosen task of a served flow fails."""


def tasks(folder: str) -> dict[str, str]:
    """The names of every task of a folder's flows, as the code has them, and the file of each."""
    files = (ROOT / folder).glob("*.py")
    return {name: path.stem for path in files for name in re.findall(r'@zone_task\("([^"]+)"', path.read_text("utf-8"))}


def planted(feed: Path) -> list[str]:
    """One person's and one record's identifying values: what a task that fails would have in its hands."""
    found: dict[str, str] = {}
    for table in ("person", "residence", "contact"):
        rows = pl.concat([pl.read_parquet(part) for part in sorted((feed / table).glob("*.parquet"))])
        for column in IDENTIFYING:
            if column in rows.columns and column not in found:
                values = rows[column].drop_nulls()
                found |= {column: next((value for value in values if len(value) >= 8), "")}
    return [value for value in found.values() if value]


def drive(feed: Path, folder: Path, guarded: str) -> tuple[Path, set[str]]:
    """Run the driver with a home, a temporary folder and a data folder of its own; where, and what it told."""
    machine = folder / "machine"
    for name in ("home", "tmp"):
        (machine / name).mkdir(parents=True)
    told = planted(feed)
    assert len(told) >= 5
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    homes = {"HOME": machine / "home", "TMPDIR": machine / "tmp", "XDG_CACHE_HOME": machine / "home" / "cache"}
    done = subprocess.run(
        [sys.executable, str(driver), str(machine), str(feed), AS_OF, json.dumps(told), guarded],
        cwd=ROOT,
        env={**clean_environment(), "PYTHONPATH": str(ROOT), **{name: str(path) for name, path in homes.items()}},
        capture_output=True, text=True, timeout=1100, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if guarded == "guarded":
        assert done.returncode == 0, done.stderr[-2000:]
    (machine / "terminal.txt").write_text(done.stdout + done.stderr)
    return machine, set(told)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_with_every_task_failing_in_turn_no_identifier_is_left_anywhere(feed: Path, tmp_path: Path) -> None:
    machine, told = drive(feed, tmp_path, "guarded")
    ended = json.loads((machine / "outbox" / "failed.json").read_text())
    assert set(ended) == set(tasks("flows")) >= {"check quality", "controller zone"}
    there = {path.relative_to(machine).parts[0] for path in machine.rglob("*") if path.is_file()}
    assert {"data", "outbox", "terminal.txt"} <= there
    assert (machine / "data" / "prefect" / "prefect.db").stat().st_size > 100_000
    assert list((machine / "data" / "release" / "published").glob("*/table.csv"))
    assert found_in(machine, told | sample(canaries(feed), 1000)) == set()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_without_the_guard_the_search_finds_them_in_the_orchestrators_database(feed: Path, tmp_path: Path) -> None:
    machine, told = drive(feed, tmp_path, "unguarded")
    found = found_in(machine / "data" / "prefect", told)
    assert "prefect.db" in found
    assert any(name.startswith("storage/") for name in found)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_with_every_served_task_failing_in_turn_no_identifier_is_left_anywhere(feed: Path, tmp_path: Path) -> None:
    machine, site, told = tmp_path / "machine", tmp_path / "site", planted(feed)
    steps = {"load": "ingest", "count": "analyse", "build a candidate": "release"}
    for folder in (site, machine / "home", machine / "tmp"):
        folder.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(SABOTAGE + SERVED.replace("FILLED_IN", repr((told, str(site)))))
    environment = {"HOME": str(machine / "home"), "TMPDIR": str(machine / "tmp"), "PYTHONPATH": f"{site}:{ROOT}"}
    with serving(machine / "data", "--source", f"feed:{feed}", **environment) as server:
        for task, flow in steps.items():
            for chosen, ends in ((task, "FAILED"), ("", "COMPLETED")):
                (site / "chosen").write_text(chosen)
                ordered = server.order(flow, as_of=AS_OF)
                assert ordered.status_code == 201, ordered.text
                ended = server.wait(ordered.json()["id"])
                assert ended["state_type"] == ends, ended["state"]
                assert not set(told) & set(json.dumps(ended).split('"'))
        assert server.stop() == 0
        assert server.process.stdout is not None
        (machine / "terminal.txt").write_text(server.process.stdout.read())
    assert (site / "failed").read_text().splitlines() == list(steps)
    assert set(steps) == set(tasks("flows/server"))
    assert list((machine / "data" / "release" / "published").glob("*/table.csv"))
    assert found_in(machine, set(told) | sample(canaries(feed), 1000)) == set()
