import hashlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from page_cases import RELEASE, dated, protected_table, texts

from schemas.areas import load_areas
from schemas.errors import ApprovalMissing, DisclosureRefused, UsageRefused
from transforms.release.page_figures import COLUMNS
from transforms.release.publish import build_candidate, public_files, publish, verify_release, withdraw

AREAS = load_areas()
TABLE = dated(protected_table(AREAS, ["CG01"]))
CSV = TABLE.select("as_of", *COLUMNS).write_csv().encode()
NONE, DECISIONS = b"[]", b"decisions"
INPUTS = {"lake": {"person": 3, "diagnosis": 12}, "code_version": "0.1.0-abc", "policy_version": "f00d"}
FILES = public_files(CSV, TABLE, AREAS, texts("CG01"), {"cells": TABLE.height}, RELEASE)


def build(directory, release=RELEASE, files=FILES):
    return build_candidate(directory, files, {"decisions.parquet": DECISIONS}, release, INPUTS, "builder")


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def release_named(release_id, as_of=RELEASE.as_of, created=RELEASE.created):
    return replace(RELEASE, release_id=release_id, as_of=as_of, created=created)


def test_a_candidate_holds_what_will_be_public_and_apart_from_it_what_will_not(tmp_path):
    approved = build(tmp_path / "c1")
    found = tree(tmp_path / "c1")
    public = {name.removeprefix("public/"): content for name, content in found.items() if name.startswith("public/")}
    assert public == FILES
    assert set(found) - {f"public/{name}" for name in FILES} == {"manifest.json", "confidential/decisions.parquet"}
    assert found["confidential/decisions.parquet"] == DECISIONS
    assert (tmp_path / "c1/confidential").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "c1/confidential/decisions.parquet").stat().st_mode & 0o777 == 0o600
    assert approved == hashlib.sha256(found["manifest.json"]).hexdigest()
    assert os.listdir(tmp_path) == ["c1"]


def test_the_manifest_vouches_for_every_public_file_and_tells_nothing_of_the_decisions(tmp_path):
    build(tmp_path / "c1")
    manifest = json.loads((tmp_path / "c1/manifest.json").read_bytes())
    assert manifest["sha256"] == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert manifest["inputs"] == INPUTS
    assert (manifest["release_id"], manifest["as_of"]) == ("2026-10-31-1", "2026-10-31")
    decisions = (tmp_path / "c1/confidential/decisions.parquet").read_bytes()
    assert hashlib.sha256(decisions).hexdigest() not in (tmp_path / "c1/manifest.json").read_text()


def test_the_public_files_are_the_table_that_was_attacked():
    assert FILES["table.csv"] == CSV
    assert pl.read_parquet(io.BytesIO(FILES["table.parquet"])).drop("as_of").equals(TABLE.select(COLUMNS))
    assert pl.read_csv(FILES["areas.csv"], schema=AREAS.schema).equals(AREAS)
    assert json.loads(FILES["certificate.json"]) == {"cells": TABLE.height}


@pytest.mark.parametrize(
    "table_csv",
    [
        CSV.replace(b"published", b"suppressed", 1),
        CSV[: CSV.rindex(b"\n", 0, -1) + 1],
        TABLE.select(*COLUMNS, "reason").write_csv().encode(),
        b"",
        b'"',
    ],
)
def test_a_table_file_that_is_not_the_protected_table_is_refused(table_csv):
    with pytest.raises(DisclosureRefused):
        public_files(table_csv, TABLE, AREAS, texts("CG01"), {}, RELEASE)


def test_a_release_is_the_public_files_and_the_manifest(tmp_path):
    approved = build(tmp_path / "c1")
    folder = publish(tmp_path / "c1", tmp_path / "published", approved, NONE)
    assert folder == tmp_path / "published/2026-10-31-1"
    own = {"manifest.json": (tmp_path / "c1/manifest.json").read_bytes(), "decisions.json": NONE}
    assert tree(folder) == {**FILES, **own}
    assert str((tmp_path / "published/latest").readlink()) == "2026-10-31-1"
    assert sorted(os.listdir(tmp_path / "published")) == ["2026-10-31-1", "latest"]


def test_what_is_published_is_final(tmp_path):
    approved = build(tmp_path / "c1")
    publish(tmp_path / "c1", tmp_path / "published", approved, NONE)
    before = tree(tmp_path / "published")
    other = build(tmp_path / "c2", files={**FILES, "table.csv": b"other"})
    for candidate, manifest in (("c1", approved), ("c2", other)):
        with pytest.raises(UsageRefused):
            publish(tmp_path / candidate, tmp_path / "published", manifest, NONE)
    assert tree(tmp_path / "published") == before
    with pytest.raises(UsageRefused):
        build(tmp_path / "c1")


@pytest.mark.parametrize("name", [*FILES, "../manifest.json"])
def test_one_changed_byte_is_refused(tmp_path, name):
    approved = build(tmp_path / "c1")
    path = tmp_path / "c1/public" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ApprovalMissing):
        publish(tmp_path / "c1", tmp_path / "published", approved, NONE)
    assert not (tmp_path / "published").exists()


def test_a_file_that_is_missing_or_that_nobody_approved_is_refused(tmp_path):
    approved = build(tmp_path / "c1")
    (tmp_path / "c1/public/extra.csv").write_text("x")
    with pytest.raises(ApprovalMissing):
        publish(tmp_path / "c1", tmp_path / "published", approved, NONE)
    (tmp_path / "c1/public/extra.csv").unlink()
    (tmp_path / "c1/public/areas.csv").unlink()
    with pytest.raises(ApprovalMissing):
        publish(tmp_path / "c1", tmp_path / "published", approved, NONE)
    with pytest.raises(ApprovalMissing):
        publish(tmp_path / "nowhere", tmp_path / "published", approved, NONE)
    assert not (tmp_path / "published").exists()


def test_another_manifest_than_the_approved_one_is_refused_even_where_its_files_fit(tmp_path):
    build(tmp_path / "c1")
    approved = build(tmp_path / "c2", release=release_named("2026-10-31-2"))
    with pytest.raises(ApprovalMissing):
        publish(tmp_path / "c1", tmp_path / "published", approved, NONE)


ELSEWHERE = ["../escaped", "a/../b", "/a", "a//b", "a/", "a/.hidden", "", ".hidden", "latest", "manifest.json", "x\n"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(UsageRefused):
        build(tmp_path / "c1", release=release_named(name))
    with pytest.raises(UsageRefused):
        build(tmp_path / "c1", files={name: b"x"})
    with pytest.raises(UsageRefused):
        build(tmp_path / "c1", release=release_named("a/b"))
    assert os.listdir(tmp_path) == []


def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path):
    build(tmp_path / "c1")
    path = tmp_path / "c1/manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["sha256"]["../manifest.json"] = "0"
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageRefused):
        publish(tmp_path / "c1", tmp_path / "published", hashlib.sha256(path.read_bytes()).hexdigest(), NONE)


DEEP = {"index.html": b"front", "fi/index.html": b"page", "fi/areas/101.html": b"area", "downloads/table.px": b"px"}


def test_files_in_folders_are_published_checked_and_withdrawn_like_others(tmp_path):
    approved = build(tmp_path / "c1", files=DEEP)
    folder = publish(tmp_path / "c1", tmp_path / "published", approved, NONE)
    assert {name: tree(folder)[name] for name in DEEP} == DEEP
    verify_release(folder)
    (folder / "fi/areas/102.html").write_bytes(b"added")
    with pytest.raises(ApprovalMissing):
        verify_release(folder)
    (folder / "fi/areas/102.html").unlink()
    (folder / "fi/areas/101.html").write_bytes(b"ares")
    with pytest.raises(ApprovalMissing):
        verify_release(folder)
    withdraw(folder, NONE, {"index.html": b"withdrawn", "fi/index.html": b"withdrawn too"})
    left = {name: content for name, content in tree(folder).items() if name not in ("manifest.json", "decisions.json")}
    assert left == {"index.html": b"withdrawn", "fi/index.html": b"withdrawn too"}
    assert {path.name for path in folder.rglob("*") if path.is_dir()} == {"fi"}


@pytest.mark.parametrize("added", ["fi/more.html", "fi/areas/link.html", "more/more.html"])
def test_a_file_that_nobody_approved_is_found_in_any_folder(tmp_path, added):
    approved = build(tmp_path / "c1", files=DEEP)
    path = tmp_path / "c1/public" / added
    path.parent.mkdir(exist_ok=True)
    if "link" in added:
        path.symlink_to(tmp_path / "c1", target_is_directory=True)
    else:
        path.write_bytes(b"x")
    with pytest.raises(ApprovalMissing):
        publish(tmp_path / "c1", tmp_path / "published", approved, NONE)


def test_latest_is_the_release_of_the_latest_date_and_of_one_date_the_last_made(tmp_path):
    september, october = date(2026, 9, 30), date(2026, 10, 31)
    later = date(2026, 11, 10)
    steps = [
        (release_named("2026-10-31-9", october), "2026-10-31-9"),
        (release_named("2026-10-31-10", october), "2026-10-31-10"),
        (release_named("2026-09-30-2", september, later), "2026-10-31-10"),
        (release_named("2026-10-31-3", october, later), "2026-10-31-3"),
    ]
    for number, (release, latest) in enumerate(steps):
        approved = build(tmp_path / f"c{number}", release=release)
        publish(tmp_path / f"c{number}", tmp_path / "published", approved, NONE)
        assert str((tmp_path / "published/latest").readlink()) == latest


KILLED = """
import hashlib, json, os, sys
from pathlib import Path
from types import SimpleNamespace
from datetime import date
from transforms.release.publish import build_candidate, publish

root = Path(sys.argv[1])
steps = ("open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "fcntl.flock")
left = None

def kill(event, arguments):
    global left
    if left is not None and event in steps:
        if left == 0:
            os._exit(9)
        left -= 1

sys.addaudithook(kill)

def killed_at(step, work, *arguments):
    '''Run `work` in a process of its own that is gone before its step number `step`; whether it was.'''
    global left
    if (child := os.fork()) == 0:
        left = step
        work(*arguments)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    return status == 9

# Polars must not have worked in the process that is forked: its threads would be missing in the children.
def build(folder, number):
    release = SimpleNamespace(
        release_id=f"r{number}", as_of=date(2026, 10, number), created=date(2026, 11, 1), generated=True
    )
    files = {f"file{part}.txt": bytes(100_000) for part in range(3)}
    build_candidate(folder, files, {"decisions.parquet": b"decisions"}, release, {}, "builder")

def approved(folder):
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()

builds = 0
while killed_at(builds, build, root / f"build{builds}" / "new", 2):
    builds += 1
old, new = root / "old", root / f"build{builds}" / "new"
assert not killed_at(1_000_000, build, old, 1)
publishes = 0
publish(old, root / "publish0", approved(old), b"[]")
while killed_at(publishes, publish, new, root / f"publish{publishes}", approved(new), b"[]"):
    publishes += 1
    publish(old, root / f"publish{publishes}", approved(old), b"[]")
print(json.dumps({"build": builds, "publish": publishes, "approved": approved(new)}))
"""


def test_a_run_killed_before_any_step_leaves_the_old_state_or_the_new_one(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    counted = json.loads(done.stdout)
    assert counted["build"] >= 10
    assert counted["publish"] >= 10
    candidate = tmp_path / f"build{counted['build']}/new"
    whole = tree(candidate)
    for step in range(counted["build"]):
        folder = tmp_path / f"build{step}"
        assert not (folder / "new").exists() or tree(folder / "new") == whole
    old, new = tree(tmp_path / f"publish{counted['publish']}/r1"), tree(tmp_path / f"publish{counted['publish']}/r2")
    states = set()
    for step in range(counted["publish"]):
        folder = tmp_path / f"publish{step}"
        is_new = (folder / "r2").exists()
        latest = str((folder / "latest").readlink())
        states.add((is_new, latest))
        assert tree(folder / "r1") == old
        assert not is_new or tree(folder / "r2") == new
        try:
            publish(candidate, folder, counted["approved"], NONE)
        except UsageRefused:
            assert is_new
        assert tree(folder / "r2") == new
        assert sorted(os.listdir(folder)) == ["latest", "r1", "r2"]
        assert str((folder / "latest").readlink()) == "r2"
    assert states >= {(False, "r1"), (True, "r1")}
    assert (False, "r2") not in states
