"""A server at work: its zones apart, a decision that it waits for over a restart, and what may be asked of it."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from flows import audit
from flows.settings import Layout
from schemas import policy
from tests.conftest import chromium
from tests.flows.conftest import AS_OF, ROOT, Caregap, clean_environment, start
from tests.flows.server import Running, environment_of, interfere, served, serving, until
from tests.flows.test_leaks import canaries, found_in, sample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PASSPHRASE = "correct horse battery"
CANDIDATE = f"{AS_OF}-1"


@pytest.fixture
def somebodys(feed: Path, tmp_path: Path) -> Path:
    """The feed as that of a city: not generated."""
    folder = Path(shutil.copytree(feed, tmp_path / "feed"))
    told = (folder / "feed.toml").read_text()
    assert "generated = true" in told
    (folder / "feed.toml").write_text(told.replace("generated = true", "generated = false"))
    return folder


def test_a_run_waits_for_its_decision_over_a_restart_and_is_published_once(
    somebodys: Path, tmp_path: Path, stewards: dict[str, Path], caregap: Caregap
) -> None:
    data, layout = tmp_path / "data", Layout(tmp_path / "data")
    assert caregap("keys", "create", data=data, CAREGAP_PASSPHRASE=PASSPHRASE).code == 0
    meddled = interfere(tmp_path / "meddled", Path(str(policy.POLICY_FILE)), [])
    given = {"CAREGAP_PASSPHRASE": PASSPHRASE, "PGPASSWORD": "pg-secret", "SOME_TOKEN": "some-secret"}
    given |= {"PYTHONPATH": meddled, "CAREGAP_SIGNING_KEY": str(stewards["Data Steward"])}
    schedules = tmp_path / "schedules.toml"
    schedules.write_text(
        '[[schedule]]\nname = "a"\nflow = "ingest"\ncron = "0 5 1 * *"\nparameters = { dry_run = true }\n'
    )
    words = ("--source", f"feed:{somebodys}", "--schedules", schedules)
    with serving(data, *words, **given) as server:
        until(lambda: len(planned(data)) >= 3)
        run = server.order("run", as_of=AS_OF).json()
        until(lambda: server.processes("flow", "ingest"))
        until(lambda: server.processes("flow", "run"))
        zones_are_apart(server, somebodys)
        ended = server.wait(run["id"])
        assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "WaitingForDecision"), ended["state"]
        until(lambda: server.runs("publish"))
        waiting = server.runs("publish")[0]
        assert (waiting["state_type"], waiting["state_name"]) == ("PAUSED", "WaitingForDecision")
        assert "1 signature of a data_steward" in waiting["state"]["message"]
        until(lambda: not server.processes("flow"))  # nothing is held while it waits
        server.cancel(waiting["id"])  # which is no decision: the candidate waits on
        until(lambda: len(server.runs("publish")) == 2)
        before, waiting = server.runs("publish")
        assert (before["state_type"], waiting["state_type"]) == ("CANCELLED", "PAUSED")
        artifacts_hold_counts_only(server, data)
        assert server.stop() == 0
    assert served(data) == []
    with pytest.raises(httpx.ConnectError):
        server.ask("health", method="GET")
    assert not (layout.published / CANDIDATE).exists()

    # The steward's decision is signed, and the process is killed before it has published.
    killed = signed_and_killed(data, stewards, tmp_path)
    assert killed < 0
    assert not (layout.published / CANDIDATE).exists()
    # Three scheduled runs fall due while no server is up: the last of them stands in for all. The time stands in the
    # run and in its state; a run whose state names a time to come would wait for it before it begins.
    with contextlib.closing(sqlite3.connect(data / "prefect" / "prefect.db")) as database, database:
        for number, run_id in enumerate(planned(data)):
            when = f"{datetime.now(UTC) - timedelta(days=10 - number % 10):%Y-%m-%d} 05:00:00.000000"
            database.execute(
                "update flow_run set expected_start_time = ?, next_scheduled_start_time = ? where id = ?",
                (when, when, run_id),
            )
            database.execute(
                "update flow_run_state set state_details = json_set(state_details, '$.scheduled_time', ?) "
                "where id = (select state_id from flow_run where id = ?)",
                (f"{when.replace(' ', 'T')}Z", run_id),
            )
    with serving(data, *words, port=server.port, **given) as server:
        assert server.wait(waiting["id"])["state_type"] == "COMPLETED"
        assert "is published" in server.artifacts("publish-result")[0]
        # The same counts once more: the same candidate, and no second release.
        again = server.wait(server.order("release", as_of=AS_OF).json()["id"])
        assert (again["state_type"], again["state_name"]) == ("COMPLETED", "Completed")
        assert len(server.runs("publish")) == 2
        until(lambda: server.scheduled("COMPLETED") == 1)
        assert server.scheduled("CANCELLED") >= 2
    assert {path.name for path in layout.published.iterdir() if path.name[0] != "."} == {CANDIDATE, "latest"}
    assert len([one for one in audit.entries(layout.audit, "publish") if one["release"] == CANDIDATE]) == 1
    assert caregap("verify", layout.published / CANDIDATE, data=data).code == 0
    assert (
        found_in(data / "prefect", sample(canaries(somebodys), 1500) | {PASSPHRASE, "pg-secret", str(somebodys)})
        == set()
    )


def planned(data: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(data / "prefect" / "prefect.db")) as database:
        return [
            row[0]
            for row in database.execute("select id from flow_run where auto_scheduled order by expected_start_time")
        ]


def zones_are_apart(server: Running, source: Path) -> None:
    """What each process finds in its environment: the controller the source and the key, no other either of them."""
    secret = {PASSPHRASE, "pg-secret", "some-secret", str(source), source.name + '"'}
    for pid in (*server.processes("platform"), *server.processes("server")):
        found = environment_of(pid)
        assert not any(word in value for word in (*secret, "stewards") for value in found.values()), pid
        assert not {"CAREGAP_PASSPHRASE", "CAREGAP_SOURCE", "PGPASSWORD", "SOME_TOKEN", "CAREGAP_SIGNING_KEY"} & set(
            found
        )
    assert len(server.processes("platform")) == 2  # the worker, and the run that waits for its steps
    for pid in server.processes("controller"):
        found = environment_of(pid)
        assert found["CAREGAP_PASSPHRASE"] == PASSPHRASE
        assert str(source) in found["CAREGAP_SOURCE"]
        assert not {"SOME_TOKEN", "CAREGAP_SIGNING_KEY"} & set(found)


def artifacts_hold_counts_only(server: Running, data: Path) -> None:
    loaded, counted, built = (server.artifacts(f"{name}-result")[0] for name in ("ingest", "analyse", "release"))
    report = json.loads((data / "platform" / "quality" / "load.json").read_text())
    for table, tally in report["tallies"].items():
        assert f"| {table} | {tally['rows_in']:,} | {tally['kept']:,} |" in loaded
    assert "| indicators | 20 |" in counted
    assert "waits for 1 signature of a data_steward" in built
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    totals = {f"{counts[name].sum():,}" for name in ("eligible", "open", "closed")}
    assert not any(total in text for total in totals for text in (counted, built))


def signed_and_killed(data: Path, stewards: dict[str, Path], tmp_path: Path) -> int:
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import os, signal, sys\nfrom pathlib import Path\nfrom schemas import policy\n"
        f"policy.POLICY_FILE = Path({str(policy.POLICY_FILE)!r})\n"
        "import flows.room.acts\nflows.room.acts.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from flows import cli\ncli.main()\n"
    )
    words = ("approve", CANDIDATE, "--as", "Data Steward", "--reason", "checked", "--key", stewards["Data Steward"])
    return start([str(driver)], *words, data=data, PYTHONPATH=str(ROOT)).code


def test_a_run_is_asked_for_in_three_ways_and_a_wrong_parameter_is_refused_with_its_reason(tmp_path: Path) -> None:
    data = tmp_path / "data"
    schedules = tmp_path / "schedules.toml"
    schedules.write_text('[[schedule]]\nname = "nightly"\nflow = "ingest"\ncron = "30 3 * * *"\n')
    words = ("--source", "synthetic:300", "--years", "1", "--schedules", schedules)
    with serving(data, *words) as server:
        deployed = server.ask("deployments/name/ingest/caregap", method="GET").json()
        assert [(one["schedule"]["cron"], one["schedule"]["timezone"]) for one in deployed["schedules"]] == [
            ("30 3 * * *", "Europe/Helsinki")
        ]
        assert "is a feed of what is new" in json.dumps(deployed["parameter_openapi_schema"])
        # By the API; by Prefect's own command; by caregap's.
        refused = server.order("analyse", months=99)
        assert (refused.status_code, "99 is greater than the maximum of 32" in refused.text) == (409, True)
        assert server.order("publish", candidate="../2026").status_code == 409
        unknown = server.order("analyse", nothing=1)
        assert (unknown.status_code, "'nothing' was unexpected" in unknown.text) == (409, True)
        no_date = server.order("ingest", as_of="2026-02-31").json()["id"]  # a pattern cannot tell
        assert server.wait(no_date)["state"]["message"] == "A parameter is not valid: as_of"
        own = {"PREFECT_API_URL": f"http://127.0.0.1:{server.port}/api", "PREFECT_API_AUTH_STRING": server.login}
        command = [sys.executable, "-m", "prefect", "deployment", "run", "run/caregap", "-p"]
        done = subprocess.run(
            [*command, "as_of=yesterday"], cwd=ROOT, env={**clean_environment(), **own}, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert "'yesterday' does not match" in " ".join((done.stdout + done.stderr).split())
        refused_here = start(["-m", "flows.cli"], "trigger", "run", "--months", "99", data=data)
        assert refused_here.code == 2
        assert "99 is greater than the maximum of 32" in refused_here.err
        # Two loads at once, and a third from the command line: never more than one at work.
        loads = [server.order("ingest", as_of=AS_OF).json()["id"] for _ in range(2)]
        until(lambda: server.processes("flow", "ingest"))
        with_lock = start(["-m", "flows.cli"], *("ingest", "--source", "synthetic:300", "--as-of", AS_OF), data=data)
        done = sorted((server.wait(one) for one in loads), key=lambda one: one["start_time"])
        assert [one["state_type"] for one in done] == ["COMPLETED", "COMPLETED"]
        assert done[0]["end_time"] <= done[1]["start_time"]
        assert with_lock.code == 0 or "another load is at work" in with_lock.err
        dry = start(["-m", "flows.cli"], "trigger", "ingest", "--dry-run", "--wait", data=data)
        assert dry.code == 0, dry.err
        assert "synthetic in FI, generated" in server.artifacts("ingest-dry-run")[0]
        assert "Server      http://127.0.0.1" in start(["-m", "flows.cli"], "status", data=data).out
        an_order_brings_no_code_along(server, tmp_path)
        nothing_is_asked_of_another_host(server, tmp_path)
        another = start(["-m", "flows.cli"], "serve", data=data)
        assert (another.code, "another server is at work" in another.err) == (2, True)
        assert server.stop() == 0
    assert served(data) == []


def an_order_brings_no_code_along(server: Running, folder: Path) -> None:
    """Whoever has the password can deploy what they like in the controller's pool: it runs the zone's flow or none."""
    trace = folder / "trace"
    known = server.ask("deployments/name/ingest/caregap", method="GET").json()
    command = {"job_variables": {"command": f"touch {trace}", "env": {"CAREGAP_DATA": str(folder / "elsewhere")}}}
    script = {"script": f"touch {trace}"}
    strange = {
        "entrypoint": "os:abort",
        "pull_steps": [{"prefect.deployments.steps.run_shell_script": script}],
    }
    another = server.ask("flows/", {"name": "another"}).json()
    ended = []
    for name, flow, given in (("own", known["flow_id"], {"dry_run": True}), ("none", another["id"], {})):
        place = {"work_pool_name": "controller", "work_queue_name": "steps"}
        made = server.ask("deployments/", {"name": name, "flow_id": flow, **place, **command, **strange}).json()
        asked = server.ask(f"deployments/{made['id']}/create_flow_run", {"parameters": given}).json()
        until(lambda asked=asked: server.run(asked["id"])["state_type"] in ("COMPLETED", "FAILED"))
        ended.append(server.run(asked["id"])["state_type"])
        server.ask(f"deployments/{made['id']}", method="DELETE")
    assert ended == ["COMPLETED", "FAILED"]
    assert not trace.exists()
    assert not (folder / "elsewhere").exists()


def nothing_is_asked_of_another_host(server: Running, folder: Path) -> None:
    """The pages in a browser, logged in: they load, and ask nothing of any other host."""
    from playwright.sync_api import Error, sync_playwright

    asked: list[str] = []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{server.port}/", wait_until="networkidle")
        page.get_by_role("textbox").fill(server.login)
        page.keyboard.press("Enter")
        page.wait_for_load_state("networkidle")
        for place in ("deployments", "runs", "work-pools"):
            page.goto(f"http://127.0.0.1:{server.port}/{place}", wait_until="networkidle")
            page.get_by_text("ingest" if place != "work-pools" else "controller").first.wait_for()
            page.screenshot(path=str(folder / f"{place}.png"))
        assert page.get_by_text("Switch to V2 UI").count() == 0
        answer = page.goto(f"http://127.0.0.1:{server.port}/v2/", wait_until="networkidle")
        assert answer is not None
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        with pytest.raises(Error, match="Failed to fetch"):
            page.evaluate("fetch('http://127.0.0.2:9/')")
        browser.close()
    asked.remove("http://127.0.0.2:9/") if "http://127.0.0.2:9/" in asked else None
    assert asked
    assert {httpx.URL(one).host for one in asked if not one.startswith(("data:", "blob:"))} == {"127.0.0.1"}


def test_the_runs_are_kept_in_postgresql_by_one_setting(tmp_path: Path) -> None:
    from tests.sources import postgresql_server

    data = tmp_path / "data"
    with postgresql_server.running() as database:
        address = database.address(password=postgresql_server.OWNER_PASSWORD)
        words = ("--source", "synthetic:300", "--years", "1")
        with serving(data, *words, CAREGAP_PREFECT_DATABASE=address) as server:
            for zone in ("controller", "platform"):
                for pid in server.processes("worker", zone):
                    assert not any(postgresql_server.OWNER_PASSWORD in one for one in environment_of(pid).values())
            dry = server.wait(server.order("ingest", as_of=AS_OF, dry_run=True).json()["id"])
            assert dry["state_type"] == "COMPLETED", dry["state"]
            assert server.stop() == 0
        assert database.run(f"select state_type from flow_run where id = '{dry['id']}'") == "COMPLETED"
        assert not list((data / "prefect").glob("prefect.db*"))
