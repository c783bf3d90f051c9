"""What a server is made of: schedules, environments, dry runs, comparisons, and where a data folder stands."""

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import audit, outcome
from flows.guard import Failure
from flows.room.acts import publish_approved
from flows.room.candidates import same_candidate
from flows.server import children
from flows.server.days import CITY, last_month_end, today
from flows.server.parts import make_login, parts_of
from flows.server.source_text import source_from_text, source_to_text
from flows.server.status import status
from flows.settings import Layout
from flows.sources import SourceOptions
from schemas.errors import ApprovalMissing, Busy, SourceRefused, UsageRefused
from schemas.policy import load_policy
from tests.flows import test_release_room
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.test_release_room import CANDIDATE

with_candidate, waiting = test_release_room.with_candidate, test_release_room.built

# Schedules


def test_a_daily_schedule_runs_once_each_day_of_the_city_whatever_the_clocks_do() -> None:
    from prefect.server.schemas.schedules import CronSchedule

    from flows.server.deployments import read_schedules
    from flows.server.serve import SCHEDULES

    crons = {one.cron for one in read_schedules(SCHEDULES)} | {"30 3 * * *", "0 4 * * *"}
    for cron in (cron for cron in crons if cron.endswith("* * *")):
        schedule = CronSchedule(cron=cron, timezone="Europe/Helsinki")
        start = datetime(2026, 10, 1, tzinfo=ZoneInfo("Europe/Helsinki"))
        days = [one.astimezone(CITY).date() for one in asyncio.run(schedule.get_dates(200, start=start))]
        assert days == [days[0] + timedelta(days=number) for number in range(200)], cron


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[schedule]]\nname = 'a'\nflow = 'ingest'\ncron = 'often'", "cron or timezone is not one"),
        ("timezone = 'Helsinki'\n[[schedule]]\nname = 'a'\nflow = 'run'\ncron = '0 1 * * *'", "cron or timezone"),
        ("[[schedule]]\nname = 'a'\nflow = 'destroy'\ncron = '0 1 * * *'", "no such flow"),
        ("[[schedule]]\nflow = 'run'\ncron = '0 1 * * *'", "name is missing"),
        (
            "[[schedule]]\nname = 'a'\nflow = 'run'\ncron = '0 1 * * *'\nactive = 'yes'",
            "active is not known",
        ),
        ("[[schedule]]\nname = 'a'\nflow = 'run'\ncron = '0 1 * * *'\nevery = 1", "every is not known"),
        ("schedule = 1", "not a table"),
        ("schedules = []", "there is no schedules"),
        ("[[schedule", "is not TOML"),
    ],
)
def test_a_wrong_schedule_is_refused_and_named(text: str, words: str, tmp_path: Path) -> None:
    from flows.server.deployments import read_schedules

    path = tmp_path / "schedules.toml"
    path.write_text(text)
    with pytest.raises(UsageRefused, match=words):
        read_schedules(path)


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_the_last_month_end_is_the_latest_day_before_a_first(day: date) -> None:
    found = last_month_end(day)
    assert found <= day
    assert (found + timedelta(days=1)).day == 1
    assert not any((found + timedelta(days=ahead + 1)).day == 1 for ahead in range(1, (day - found).days + 1))


def test_the_day_is_that_of_the_city() -> None:
    assert today(datetime(2026, 12, 31, 22, 30, tzinfo=UTC)) == date(2027, 1, 1)
    assert today(datetime(2026, 6, 30, 20, 59, tzinfo=UTC)) == date(2026, 6, 30)


# Zones apart


def test_only_what_is_ordinary_reaches_a_part_and_what_leads_to_the_key_the_controller_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CAREGAP_PASSPHRASE", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "CAREGAP_SIGNING_KEY", "NEW_THING"):
        monkeypatch.setenv(name, "from outside")
    monkeypatch.setenv("PREFECT_API_KEY", "from outside")
    monkeypatch.setenv("LC_TIME", "fi_FI.UTF-8")
    secrets = {"CAREGAP_PASSPHRASE": "secret", "CAREGAP_SOURCE": "feed"}
    layout = Layout(tmp_path)
    server, workers = parts_of(layout, 4200, Path("s.toml"), secrets, "postgresql://u:p@h/d", "caregap:login")
    environments = {part.name: dict(part.environment) for part in (server, *workers)}
    for found in environments.values():
        assert "from outside" not in found.values()
        assert found["LC_TIME"] == "fi_FI.UTF-8"
        assert found["PREFECT_SERVER_UI_V2_ENABLED"] == "false"
    assert {name for name, found in environments.items() if "secret" in found.values()} == {"controller"}
    assert {name for name, found in environments.items() if "CAREGAP_SOURCE" in found} == {"controller"}
    with_database = {name for name, found in environments.items() if any("u:p@h" in one for one in found.values())}
    assert with_database == {"server"}
    assert server.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://u:p@h/d"


def test_a_channels_password_reaches_the_zones_and_is_never_what_leads_to_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[channel.mail]\npassword_env = "MAIL_WORD"\n[channel.hook]\ntoken_env = "CAREGAP_PASSPHRASE"\n')
    monkeypatch.setattr("schemas.policy.POLICY_FILE", path)
    assert children.channel_variables() == {"MAIL_WORD"}


def test_a_zone_runs_its_own_flows_alone() -> None:
    from flows.server.deployments import flow_names, flows_of
    from flows.server.process import run_flow

    for zone in ("controller", "platform"):
        assert tuple(flows_of(zone)) == flow_names(zone)
    with pytest.raises(UsageRefused, match="no such flow"):
        run_flow("platform", "ingest", "00000000-0000-0000-0000-000000000000")
    with pytest.raises(UsageRefused, match="no such zone"):
        run_flow("elsewhere", "ingest", "00000000-0000-0000-0000-000000000000")


def test_the_login_is_its_owners_alone_and_long_enough(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    login = make_login(layout)
    assert layout.login.stat().st_mode & 0o777 == 0o600
    assert make_login(layout) == login
    layout.login.chmod(0o640)
    with pytest.raises(UsageRefused, match="read by others"):
        make_login(layout)
    layout.login.chmod(0o600)
    layout.login.write_text("caregap:short")
    with pytest.raises(UsageRefused, match="12 characters"):
        make_login(layout)


def test_a_leftover_is_ended_and_nothing_else(tmp_path: Path) -> None:
    mine, other = Layout(tmp_path / "data"), Layout(tmp_path / "data-2")
    started = {}
    for layout, part in ((mine, "controller"), (mine, "platform"), (other, "controller")):
        found = children.environment(layout, part, "", "")
        started[layout.data.name, part] = children.start(["sleep"], {**found, "PYTHONPATH": _sleeper(tmp_path)})
    try:
        assert children.end_leftovers(mine, "controller") == 1
        assert started["data", "controller"].wait(10) < 0
        assert children.end_leftovers(mine) == 1
        assert started["data", "platform"].wait(10) < 0
        assert started["data-2", "controller"].poll() is None
    finally:
        for process in started.values():
            children.end(process, 0)


def _sleeper(folder: Path) -> str:
    (folder / "sitecustomize.py").write_text("import sys, time\n'sleep' in sys.argv and time.sleep(60)\n")
    return str(folder)


@given(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=9), st.booleans(), st.integers(0, 9))
def test_a_source_reaches_the_worker_as_it_was_given(address: str, increment: bool, seed: int) -> None:
    options = SourceOptions(None, Path("/map.csv"), 2, seed)
    given_back = source_from_text(source_to_text(f"synthetic:{address}", options), increment=increment)
    assert given_back == (f"synthetic:{address}", SourceOptions(None, Path("/map.csv"), 2, seed, increment))


def test_a_server_without_a_source_says_so() -> None:
    with pytest.raises(UsageRefused, match="without a source"):
        source_from_text("", increment=False)


@pytest.mark.parametrize(
    ("error", "is_away", "again"),
    [
        (SourceRefused("r", "n"), True, True),
        (SourceRefused("r", "n"), False, False),
        (Busy("r", "n"), False, True),
        (Failure("disk"), False, True),
        (UsageRefused("r", "n"), True, False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, is_away: bool, again: bool) -> None:
    from prefect.states import Failed

    from flows.zone import zone_task

    @zone_task("something", again_after=(60,), source_may_be_away=is_away)
    def work() -> None:
        pass

    assert work.retry_condition_fn(work, None, Failed(data=error)) is again  # type: ignore[attr-defined]


# What is shown


def report(load: str, **tallies: tuple[int, dict[str, int]]) -> dict[str, Any]:
    told = {
        name: {"rows_in": kept + sum(reasons.values()), "kept": kept, "quarantined": reasons}
        for name, (kept, reasons) in tallies.items()
    }
    about = {"as_of": AS_OF, "load": load, "source": "feed", "generated": True, "remarks": []}
    return {**about, "tallies": told}


def test_a_load_is_compared_with_the_one_before_table_by_table_and_reason_by_reason() -> None:
    before = report("a", person=(100, {"bad": 2}), contact=(1_000, {}))
    now = report("b", person=(90, {"worse": 3}), vaccination=(7, {}))
    assert outcome.compare_loads(now, before) == [
        ("person", 93, 90, 3, 2, 100),
        ("vaccination", 7, 7, 0, None, None),
        ("contact", 0, 0, 0, 0, 1_000),
    ]
    assert outcome.compare_reasons(now, before) == [("person", "bad", 0, 2), ("person", "worse", 3, 0)]
    assert outcome.load_changes(now, None) == []
    assert "-10 kept" in "\n".join(outcome.load_changes(now, before))
    assert outcome.load_changes(now, now)[0].endswith("the same numbers of rows")
    assert "| person | 93 | 90 | 3 | 2 | 100 |" in "\n".join(outcome.load_parts(now, before))


def test_a_cell_cannot_break_the_table_that_it_stands_in() -> None:
    assert outcome.table(("a", "b"), [("x|y", 1_000)]).splitlines() == ["| a | b |", "|---|---:|", "| x\\|y | 1,000 |"]


def test_progress_reaches_the_server_as_a_share_of_rows(prefect_api: str) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    from flows.progress import _to_server

    @flow(name="something long")
    def work() -> None:
        advance = _to_server("Reading", 400, "rows", seconds=0)
        advance(100)
        advance(200)

    work()
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/artifacts/filter", json={"sort": "UPDATED_DESC"}).json()
    shown = next(one for one in found if one["type"] == "progress")
    assert (shown["data"], shown["description"]) == (75.0, "Reading: 300 of 400 rows")


# Dry runs and status


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def test_a_dry_run_tells_what_would_be_read_and_writes_nothing(feed: Path, tmp_path: Path, caregap: Caregap) -> None:
    for command in ("ingest", "run"):
        done = caregap(command, "--source", f"feed:{feed}", "--as-of", AS_OF, "--dry-run", data=tmp_path / "none")
        assert done.code == 0, done.err
    assert not (tmp_path / "none").exists()
    rows = sum(pl.scan_parquet(path).select(pl.len()).collect().item() for path in (feed / "person").glob("*.parquet"))
    line = next(line for line in done.out.splitlines() if line.split()[:1] == ["person"])
    assert line.split()[-1] == f"{rows:,}"
    assert "nobody's data" in done.out
    assert str(feed) not in done.out
    missing = caregap("ingest", "--source", "feed:nowhere", "--as-of", AS_OF, "--dry-run", data=tmp_path / "none")
    assert missing.code == 10


def test_a_dry_run_is_refused_where_the_load_would_be(
    feed: Path, tmp_path: Path, caregap: Caregap, stewards: dict[str, Path]
) -> None:
    from schemas import policy

    path = Path(str(policy.POLICY_FILE))
    path.write_text(path.read_text().replace("valid_until = 2030-12-31", "valid_until = 2020-12-31"))
    done = caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, "--dry-run", data=tmp_path / "none")
    assert done.code == 12, done.out


def test_status_tells_where_everything_stands_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    layout, before = Layout(data), tree(data)
    told = status(layout)
    assert f"as of {AS_OF}, from feed (generated)" in told
    assert f"Counts      {AS_OF}: 20 indicators, from the lake as it is" in told
    assert f"Published   1; the latest is {AS_OF}-1" in told
    assert told.endswith("Next: nothing waits")
    assert tree(data) == before
    assert "Nothing is here yet" in status(Layout(tmp_path / "none"))


def test_status_tells_what_killed_processes_left(data: Path) -> None:
    layout = Layout(data)
    (layout.staging / "20261031-x").mkdir()
    (layout.counts / ".2026-10-31.abc").mkdir()
    unknown = layout.candidates / f"{AS_OF}-9"
    unknown.mkdir()
    (unknown / "manifest.json").write_bytes((layout.candidates / f"{AS_OF}-1" / "manifest.json").read_bytes())
    told = status(layout)
    for words in ("1 unfinished load", "1 unfinished analysis", f"candidate {AS_OF}-9: its run was killed"):
        assert words in told
    assert told.splitlines()[-1].startswith("Next: caregap ingest")


def test_counts_that_have_a_candidate_get_no_second_one(data: Path) -> None:
    layout, day = Layout(data), date.fromisoformat(AS_OF)
    assert same_candidate(layout, day, 1, 1) == f"{AS_OF}-1"
    assert same_candidate(layout, day, 1, 3) == f"{AS_OF}-1"  # the same one date
    assert same_candidate(layout, day, 2, 1) is None
    assert same_candidate(layout, day, 13, 3) is None
    about = layout.counts / AS_OF / "counts.json"
    told = about.read_text()
    about.write_text(json.dumps(json.loads(told) | {"load": "another"}))
    assert same_candidate(layout, day, 1, 1) is None
    about.write_text(told)
    manifest = layout.candidates / f"{AS_OF}-1" / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    assert same_candidate(layout, day, 1, 1) is None


def test_what_waits_is_not_published_and_what_is_approved_is_published_once(
    waiting: Path, caregap: Caregap, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.room.acts

    layout = Layout(waiting)
    with pytest.raises(ApprovalMissing, match="waits for"):
        publish_approved(layout, CANDIDATE)
    assert f"Next: caregap candidate show {CANDIDATE}" in status(layout)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flows.room.acts, "publish", killed)
        words = ("approve", CANDIDATE, "--as", "Data Steward", "--reason", "checked")
        assert caregap(*words, data=waiting).code == 130
    assert "ready to publish" in status(layout)
    for _ in range(2):
        assert publish_approved(layout, CANDIDATE) == layout.published / CANDIDATE
    published = [one for one in audit.entries(layout.audit, "publish") if one["release"] == CANDIDATE]
    assert len(published) == 1


def test_who_sends_back_gets_another(waiting: Path, caregap: Caregap) -> None:
    layout, day = Layout(waiting), date.fromisoformat(AS_OF)
    entry = audit.entries(layout.audit, "release")[-1]
    # the policy has changed since: it names stewards
    assert same_candidate(layout, day, entry["months"], entry["every"]) is None
    path = layout.candidates / CANDIDATE / "manifest.json"
    with pytest.MonkeyPatch.context() as patch:
        built_under = json.loads(path.read_text())["inputs"]["release_policy_version"]
        policy = load_policy()
        patch.setattr("flows.room.candidates.load_policy", lambda: replace(policy, version=built_under))
        assert same_candidate(layout, day, 1, 1) == CANDIDATE
        words = ("return", CANDIDATE, "--as", "Data Steward", "--reason", "look again")
        assert caregap(*words, data=waiting).code == 0
        assert same_candidate(layout, day, 1, 1) != CANDIDATE
    assert status(layout).endswith(f"Next: caregap release --as-of {AS_OF}")
    with pytest.raises(UsageRefused, match="is returned"):
        publish_approved(layout, CANDIDATE)
