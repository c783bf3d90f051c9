"""The walks in tests/walks, done again: each step is taken, and what comes out must be what the walk says.

A walk is a Markdown text with blocks of steps. In a `console` block, lines after `$ ` are commands, with `> ` before
the lines that go on. In a `browser` block they are what a reader does: `open FILE`, `click TEXT` (a link that begins
so), `press KEY`, `read SELECTOR`. What follows a step is what came out. `python -m tests.test_walks NAME` takes a walk
and writes down what came out. Figures are compared as they are; what differs from one time to the next (seconds, keys,
hashes, today's date, the names of loads) is not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path

import pytest

from tests.conftest import chromium
from tests.flows.conftest import ROOT, clean_environment

WALKS = Path(__file__).parent / "walks"
PROJECT = ("flows", "transforms", "schemas", "expectations", "notebooks", "tests")
FILES = ("pyproject.toml", "requirements.lock", "Makefile")
PASSING = (
    (re.compile(r"\b\d{8}-\d{8}T\d{12}\b"), "LOAD"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "HASH"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "KEY"),
    (re.compile(r" *\b\d+(\.\d+)?( min \d+)? ?(s|seconds)\b( \(\d+:\d\d:\d\d\))?"), " SECONDS"),
    (re.compile(r"^seconds +[\d.]+", re.MULTILINE), "seconds SECONDS"),
    (re.compile(r" *\b[\d,.]+ rows/s\b"), " SPEED"),
)
"""What differs from one time to the next, and what stands for it."""


@dataclass(frozen=True)
class Step:
    """One command or act of a walk, and the lines that came out."""

    command: str
    printed: str


@dataclass(frozen=True)
class Block:
    """Steps that are taken one after the other, at a `console` or in a `browser`."""

    place: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Walk:
    """A walk: its blocks, and what is told before, between and after them."""

    told: tuple[str, ...]
    blocks: tuple[Block, ...]

    def text(self) -> str:
        """The walk as it is written."""
        written = [self.told[0]]
        for block, told in zip(self.blocks, self.told[1:], strict=True):
            lines = [f"```{block.place}\n"]
            for step in block.steps:
                first, *others = step.command.split("\n")
                lines += [f"$ {first}\n", *(f"> {line}\n" for line in others), step.printed]
            written += [*lines, "```\n", told]
        return "".join(written)


def read_walk(text: str) -> Walk:
    """The walk that a text tells. Raises ValueError where a block does not begin with a command."""
    first, *rest = re.split(r"^```(console|browser)\n", text, flags=re.MULTILINE)
    told, blocks = [first], []
    for place, part in zip(rest[::2], rest[1::2], strict=True):
        block, after = part.split("```\n", 1)
        told.append(after)
        blocks.append(Block(place, tuple(_steps(block))))
    return Walk(tuple(told), tuple(blocks))


def _steps(block: str) -> Iterator[Step]:
    command: list[str] = []
    printed: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield Step("\n".join(command), "".join(printed))
            command, printed = [line[2:]], []
        elif not command:
            raise ValueError("a block begins with a command")
        elif line.startswith("> ") and not printed:
            command.append(line[2:])
        else:
            printed.append(f"{line}\n")
    if command:
        yield Step("\n".join(command), "".join(printed))


def take(walk: Walk, folder: Path) -> Walk:
    """The walk taken in a folder of its own: the same steps, with what came out of them here."""
    project = folder / "caregap"
    project.mkdir(parents=True)
    for name in PROJECT:
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "walks"))
    for name in FILES:
        shutil.copyfile(ROOT / name, project / name)
    _install(project)
    with ExitStack() as stack:
        does: dict[str, Callable[[str], str]] = {"console": _console(project, folder)}
        blocks = []
        for block in walk.blocks:
            if block.place == "browser" and "browser" not in does:
                does["browser"] = _browser(project, stack)
            steps = []
            for step in block.steps:
                printed = does[block.place](step.command).replace(f"{project}/", "").replace(str(folder), "~")
                printed = re.sub(rf"\b{re.escape(getuser())}\b", "me", printed)
                steps.append(
                    replace(step, printed=printed if printed.endswith("\n") or not printed else f"{printed}\n")
                )
            blocks.append(replace(block, steps=tuple(steps)))
    return replace(walk, blocks=tuple(blocks))


def _install(project: Path) -> None:
    """An environment as `make` makes it, whose commands are those of the copied project."""
    binaries = project / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for program in Path(sys.executable).parent.iterdir():
        if program.name not in {"python", "caregap"}:
            (binaries / program.name).symlink_to(program)
    for name, runs in (("python", ""), ("caregap", " -m flows.cli")):
        (binaries / name).write_text(f'#!/bin/sh\nexec {sys.executable}{runs} "$@"\n')
        (binaries / name).chmod(0o755)
    (project / ".venv" / "ready").touch()


def _console(project: Path, folder: Path) -> Callable[[str], str]:
    """Runs a command; what it exports is there for the next. Gives what it prints, and its exit code where not 0."""
    kept = folder / "environment"
    kept.touch()
    environment = {
        **clean_environment(),
        "HOME": str(folder),
        "PYTHONPATH": str(project),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "120",
        "PATH": f"{project / '.venv' / 'bin'}:{os.environ['PATH']}",
    }

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", f". {kept}\n{command}\ncode=$?\nexport -p >{kept}\nexit $code\n"],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=600,
            check=False,
        )
        printed = done.stdout if done.stdout.endswith("\n") or not done.stdout else f"{done.stdout}\n"
        return printed + (f"[exit code {done.returncode}]\n" if done.returncode else "")

    return run


def _browser(project: Path, stack: ExitStack) -> Callable[[str], str]:
    """Does what a reader does, with neither scripts nor a network. Gives the title of the page, or what is read."""
    from playwright.sync_api import sync_playwright

    browser = stack.enter_context(sync_playwright()).chromium.launch(
        executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
    )
    stack.callback(browser.close)
    page = browser.new_context(java_script_enabled=False, offline=True, locale="en-GB").new_page()

    def act(words: str) -> str:
        verb, what = words.split(" ", 1)
        if verb == "read":
            texts = [text.replace("\u00ad", "").strip() for text in page.locator(what).all_inner_texts()]
            return "\n".join(re.sub(r"\s*\n\s*", "\n", text) for text in texts)
        if verb == "open":
            page.goto((project / what).as_uri())
        elif verb == "click":
            page.get_by_role("link", name=re.compile(f"^{re.escape(what)}")).first.click()
        elif verb == "press":
            page.keyboard.press(what)
        else:
            raise ValueError(f"a reader does not {verb}")
        return page.title()

    return act


def lasting(text: str, *days: str) -> str:
    """What is the same each time, of a text that came out on a day, or on two with a midnight between them."""
    for pattern, stands_for in PASSING:
        text = pattern.sub(stands_for, text)
    for day in days:
        text = text.replace(day, "TODAY")
    return text


def names() -> Sequence[str]:
    """The walks that there are."""
    return sorted(path.stem for path in WALKS.glob("*.md"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", names())
def test_a_walk_comes_out_as_it_is_told(name: str, tmp_path: Path) -> None:
    told = read_walk((WALKS / f"{name}.md").read_text("utf-8"))
    if any(block.place == "browser" for block in told.blocks):
        chromium()
    day = re.search(r"Taken on (\d{4}-\d\d-\d\d)", told.told[0])
    assert day is not None
    began = datetime.now(UTC).date().isoformat()
    taken = take(told, tmp_path)
    ended = datetime.now(UTC).date().isoformat()
    for told_block, block in zip(told.blocks, taken.blocks, strict=True):
        for told_step, step in zip(told_block.steps, block.steps, strict=True):
            assert lasting(step.printed, began, ended) == lasting(told_step.printed, day[1]), step.command


@pytest.mark.parametrize(
    ("quick", "slow"),
    [
        ("seconds                      6.72", "seconds                     61.05"),
        ("2 passed in 0.49s", "2 passed in 61.05s (0:01:01)"),
        ("Counted in  3 s,   980 rows/s", "Counted in 1 min 13 s, 1,080 rows/s"),
        ("Signed 2026-11-21 09:30", "Signed 2026-11-22T10:31:05Z"),
    ],
)
def test_a_slow_machine_takes_the_same_walk(quick: str, slow: str) -> None:
    assert lasting(quick, "2026-11-21") == lasting(slow, "2026-11-22") != quick
    assert lasting(quick, "2026-11-21") != lasting(f"{slow}, 3 tables", "2026-11-22")


@pytest.mark.parametrize("name", names())
def test_a_walk_is_written_as_it_is_read(name: str) -> None:
    text = (WALKS / f"{name}.md").read_text("utf-8")
    assert read_walk(text).text() == text
    assert any(block.steps for block in read_walk(text).blocks)


def test_commands_of_several_lines_and_what_they_print_are_told_apart() -> None:
    console = "```console\n$ cat <<'E'\n> a\n> E\na\n$ false\n[exit code 1]\n```\n"
    text = f"Told.\n{console}More.\n```browser\n$ open x\nX\n```\n"
    assert read_walk(text).blocks == (
        Block("console", (Step("cat <<'E'\na\nE", "a\n"), Step("false", "[exit code 1]\n"))),
        Block("browser", (Step("open x", "X\n"),)),
    )
    assert read_walk(text).text() == text


if __name__ == "__main__":
    for each in sys.argv[1:] or names():
        path = WALKS / f"{each}.md"
        with tempfile.TemporaryDirectory() as place:
            walk = take(read_walk(path.read_text("utf-8")), Path(place))
        today = f"Taken on {datetime.now(UTC).date()}"
        path.write_text(re.sub(r"Taken on \d{4}-\d\d-\d\d", today, walk.text(), count=1), "utf-8")
