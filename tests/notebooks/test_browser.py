"""A notebook in a browser: nothing is asked of any other host, and nothing of what it showed stays on the disk."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import chromium
from tests.flows.conftest import ROOT, clean_environment

pytestmark = pytest.mark.slow
# Whatever the server's process were to ask of another host ends here, and is told.
ALONE = """
import socket, sys
real = socket.socket.connect
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        sys.stderr.write("OUTSIDE\\n")
        raise OSError("no other host")
    return real(self, address)
socket.socket.connect = connect
"""


@contextmanager
def served(mode: str, name: str, data: Path, home: Path, *arguments: str) -> Iterator[tuple[str, Path]]:
    """A notebook on loopback as `make notebook` serves it, in a copy of the project's notebooks; address, log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = home / "project"
    shutil.copytree(ROOT / "notebooks", work / "notebooks", ignore=shutil.ignore_patterns("__pycache__", "__marimo__"))
    shutil.copyfile(ROOT / "pyproject.toml", work / "pyproject.toml")
    (home / "sitecustomize.py").write_text(ALONE)
    command = [sys.executable, "-m", "marimo", mode, "--host", "127.0.0.1", "--port", str(port), "--headless"]
    command += ["--no-token", *(["--skip-update-check", "--no-sandbox"] if mode == "edit" else [])]
    environment = {**clean_environment(), "HOME": str(home), "PYTHONPATH": f"{home}:{ROOT}", "CAREGAP_DATA": str(data)}
    log = home / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, f"notebooks/{name}.py", "--", *arguments], cwd=work, env=environment, stdout=out, stderr=out
        )
        try:
            end = time.monotonic() + 90
            while time.monotonic() < end:
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}", log
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.parametrize("mode", ["run", "edit"])
def test_counts_in_a_browser_ask_no_other_host_and_stay_nowhere(mode: str, data: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    program, reason = chromium(), "looking at the screen"
    words = ("--source", "counts", "--indicator", "diabetes_hba1c_missing", "--reason", reason)
    with served(mode, "explore", data, tmp_path, *words) as (address, log), sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda one: asked.append(one.url))
        page.goto(address)
        page.get_by_text("Not protected.").first.wait_for(timeout=120_000)
        page.get_by_role("tab", name="Map").first.click()
        page.locator("canvas, svg.marks").first.wait_for(timeout=60_000)
        page.wait_for_timeout(4000)  # an editing session writes what it keeps every two seconds
        assert page.get_by_text("Vega Editor").count() == 0
        browser.close()
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(own)] == []
    assert "OUTSIDE" not in log.read_text()
    assert not list((tmp_path / "project").rglob("__marimo__/session/*"))
