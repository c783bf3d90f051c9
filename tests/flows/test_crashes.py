"""A run that is killed leaves the last good state, and the next run succeeds."""

import signal
from pathlib import Path

import polars as pl
import pytest

from tests.flows.conftest import AS_OF, Caregap, start
from tests.flows.test_refusals import write_feed

pytestmark = pytest.mark.slow
KILLS = {
    "while reading": ("transforms.controller.load", "Loader.add", 2),
    "while sorting": ("transforms.controller.load", "in_order", 1),
    "at the boundary": ("flows.controller", "check_boundary", 1),
    "between two tables": ("flows.controller", "commit", 3),
    "before the snapshot": ("flows.controller", "write_snapshot", 1),
    "after the snapshot": ("flows.controller", "tidy", 1),
}
DRIVER = """
import importlib, os, signal, sys
from pathlib import Path
from flows.settings import Layout, prepare

calls = 0

def main():
    prepare(Layout(Path(sys.argv[sys.argv.index("--data") + 1])))
    owner = importlib.import_module({module!r})
    *path, last = {name!r}.split(".")
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, last)

    def dying(*arguments, **named):
        global calls
        calls += 1
        if calls == {nth}:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(owner, last, dying)
    import flows.cli
    flows.cli.main()

if __name__ == "__main__":  # the processes that protect in parallel import this file too
    main()
"""


def readable_state(data: Path) -> tuple[bytes, dict[str, int]]:
    """What analysis would read: the snapshot, and the rows of its versions."""
    from flows.settings import Layout
    from flows.storage import lake_files, read_snapshot

    layout = Layout(data)
    snapshot = read_snapshot(layout)
    files = lake_files(layout, snapshot)
    rows = {name: sum(pl.read_parquet(path).height for path in paths) for name, paths in files.items()}
    return (data / "platform" / "lake" / "snapshot.json").read_bytes(), rows


@pytest.mark.parametrize("when", KILLS)
def test_a_killed_load_leaves_the_last_good_lake_and_the_next_succeeds(
    when: str, data: Path, tmp_path: Path, prefect_api: str, caregap: Caregap
) -> None:
    module, name, nth = KILLS[when]
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.format(module=module, name=name, nth=nth))
    before = readable_state(data)
    load = ("ingest", "--source", f"feed:{write_feed(tmp_path / 'feed')}", "--as-of", AS_OF)
    killed = start([str(driver)], *load, data=data, PREFECT_API_URL=prefect_api, PYTHONPATH=".")
    assert killed.code == -signal.SIGKILL, killed.err
    after = readable_state(data)
    if when == "after the snapshot":
        assert after[1]["person"] == 60
    else:
        assert after == before
    again = caregap(*load, data=data)
    assert again.code == 0, again.err
    assert readable_state(data)[1]["person"] == 60
    assert not list((data / "controller" / "staging").iterdir())
    assert caregap("analyse", "--as-of", AS_OF, data=data).code == 0


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("analyse", "flows.analysis", "replace_folder"),
        ("release", "flows.release", "build_candidate"),
        ("release", "flows.room.acts", "publish"),
    ],
)
def test_a_killed_analysis_or_release_leaves_what_was_there(
    command: str, module: str, name: str, data: Path, tmp_path: Path, prefect_api: str, caregap: Caregap
) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.format(module=module, name=name, nth=1))
    arguments = [command, "--as-of", AS_OF, *(["--publish-generated"] if command == "release" else [])]
    counts = data / "platform" / "counts" / AS_OF / "counts.parquet"
    published = data / "release" / "published"
    before = counts.read_bytes(), sorted(path.name for path in published.iterdir())
    killed = start([str(driver)], *arguments, data=data, PREFECT_API_URL=prefect_api, PYTHONPATH=".")
    assert killed.code == -signal.SIGKILL, killed.err
    assert (counts.read_bytes(), sorted(path.name for path in published.iterdir())) == before
    again = caregap(*arguments, data=data)
    assert again.code == 0, again.err
