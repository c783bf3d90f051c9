"""Who would get past the release room with files alone: forged releases, dates and logs, and what is damaged."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows import audit
from flows.room import acts
from flows.room.acts import publish_approved
from flows.room.candidates import manifest_digest
from flows.room.signing import load_key
from flows.settings import Layout
from schemas.errors import ApprovalMissing, PolicyRefused
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.test_release_room import (  # noqa: F401 - fixtures among them
    CANDIDATE,
    Keys,
    built,
    edit,
    is_published,
    sign,
    with_candidate,
)
from transforms.release import decisions
from transforms.release.datapackage import sha256


@pytest.fixture
def released(built: Path, caregap: Caregap, stewards: Keys) -> Path:  # noqa: F811
    """The folder of a release of somebody's data, as a steward approved it."""
    done = sign(caregap, built, stewards, "Data Steward")
    assert done.code == 0, done.err
    return Layout(built).published / CANDIDATE


def rewrite(manifest: Path, **changes: Any) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def forge(release: Path, source: str) -> None:
    """Another page, its hash in the manifest, which says that the data are nobody's and of a source; no decisions."""
    page = release / "en" / "index.html"
    page.write_text(page.read_text() + "<p>forged</p>")
    manifest = json.loads((release / "manifest.json").read_text())
    hashes = manifest["sha256"] | {"en/index.html": sha256(page.read_bytes())}
    inputs = manifest["inputs"] | {"source": source}
    rewrite(release / "manifest.json", generated=True, sha256=hashes, inputs=inputs)
    (release / "decisions.json").write_text("[]")


def sign_by_hand(data: Path, keys: Keys, decided: datetime) -> None:
    """A decision of a key's owner on a candidate's true bytes, without caregap and so without an entry in the log."""
    folder, key = Layout(data).candidates / CANDIDATE, load_key(keys["Data Steward"])
    about = (CANDIDATE, manifest_digest(folder), "approve", "Data Steward", "by hand", decided, key)
    (folder / "decisions.json").write_bytes(decisions.to_json([decisions.decide([], *about)]))


def test_no_release_is_verified_because_it_says_that_it_needs_no_signature(
    released: Path, caregap: Caregap, tmp_path: Path
) -> None:
    data, copy = released.parents[2], tmp_path / "copy"
    shutil.copytree(released, copy)
    signed = caregap("verify", copy, data=data)
    assert (signed.code, "approved as policy asks" in signed.out) == (0, True), signed.err
    shutil.copytree(copy, tmp_path / "unsigned")
    forge(copy, "feed")
    refused = caregap("verify", copy, data=data)
    assert (refused.code, "lacks 1 signature of a data_steward" in refused.err) == (14, True)
    forge(tmp_path / "unsigned", "synthetic")
    whole = caregap("verify", tmp_path / "unsigned", data=data)
    assert (whole.code, "nothing proves who published it" in whole.out, "policy" in whole.out) == (0, True, False)
    rewrite(tmp_path / "unsigned" / "manifest.json", generated=False)
    assert "disagree" in caregap("verify", tmp_path / "unsigned", data=data).err
    forge(released, "synthetic")
    known = caregap("verify", released, data=data)
    assert (known.code, "not the one that was built" in known.err) == (14, True)


def test_a_release_of_nobodys_data_is_verified_where_the_audit_log_knows_it(
    built: Path,  # noqa: F811
    caregap: Caregap,
    tmp_path: Path,
) -> None:
    release = Layout(built).published / f"{AS_OF}-1"
    known = caregap("verify", release, data=built)
    assert (known.code, "nobody's data, published by policy" in known.out) == (0, True), known.err
    shutil.copytree(release, tmp_path / "copy")
    assert caregap("verify", tmp_path / "copy", data=built).code == 14  # a feed's data are somebody's, for all we know


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((content, "manifest.json cannot be read") for content in ("{", "[]", "null", "[" * 100_000)),
        ("../key.pem", "names what cannot be in a release"),
    ],
    ids=["torn", "list", "null", "deep", "elsewhere"],
)
def test_a_manifest_that_is_none_is_refused_in_one_line(
    built: Path,  # noqa: F811
    caregap: Caregap,
    tmp_path: Path,
    content: str,
    words: str,
) -> None:
    release = Path(shutil.copytree(Layout(built).published / f"{AS_OF}-1", tmp_path / "copy"))
    if content == "../key.pem":
        (tmp_path / "key.pem").write_text("key")
        hashes = json.loads((release / "manifest.json").read_text())["sha256"]
        rewrite(release / "manifest.json", sha256=hashes | {content: sha256(b"key")})
    else:
        (release / "manifest.json").write_text(content)
    refused = caregap("verify", release, data=built)
    assert (refused.code, refused.err.count("\n"), words in refused.err) == (14, 1, True), refused.err


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        (datetime(2026, 5, 1, tzinfo=UTC), "dated before the candidate was built"),
        (datetime.now(UTC), "the audit log does not know decision 1"),
    ],
    ids=["backdated", "not in the log"],
)
def test_a_decision_made_by_hand_publishes_nothing(
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
    decided: datetime,
    words: str,
) -> None:
    if decided < datetime(2026, 6, 1, tzinfo=UTC):
        edit('name = "Data Steward"', 'name = "Data Steward"\nrevoked = 2026-06-01')
    sign_by_hand(built, stewards, decided)
    with pytest.raises(ApprovalMissing, match=words):
        publish_approved(Layout(built), CANDIDATE)
    for listed in (caregap("candidate", "list", data=built).out, caregap("status", data=built).out):
        assert words in listed
        assert "ready to publish" not in listed
    assert words in sign(caregap, built, stewards, "Other Steward").err
    assert not is_published(built)


def test_a_release_that_was_put_there_by_hand_is_not_recorded_as_published(
    built: Path,  # noqa: F811
) -> None:
    layout = Layout(built)
    folder, release = layout.candidates / CANDIDATE, layout.published / CANDIDATE
    shutil.copytree(folder / "public", release)
    shutil.copy(folder / "manifest.json", release)
    (release / "decisions.json").write_text("[]")
    with pytest.raises(ApprovalMissing, match="waits for 1 signature"):
        publish_approved(layout, CANDIDATE)
    assert CANDIDATE not in {one["release"] for one in audit.entries(layout.audit, "publish")}


def test_nothing_is_approved_or_published_on_a_broken_audit_log(
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
) -> None:
    layout = Layout(built)
    folder = layout.candidates / CANDIDATE
    before, page = manifest_digest(folder), folder / "public" / "en" / "index.html"
    page.write_text(page.read_text() + "<p>forged</p>")
    hashes = json.loads((folder / "manifest.json").read_text())["sha256"]
    rewrite(folder / "manifest.json", sha256=hashes | {"en/index.html": sha256(page.read_bytes())})
    layout.audit.write_text(layout.audit.read_text().replace(before, manifest_digest(folder)))
    refused = sign(caregap, built, stewards, "Data Steward")
    assert (refused.code, "of the audit log was changed" in refused.err) == (15, True), refused.err
    for publish in (
        lambda: publish_approved(layout, CANDIDATE),
        lambda: acts._publish(layout, folder, [], by="policy: generated data"),
    ):
        with pytest.raises(PolicyRefused, match="of the audit log was changed"):
            publish()
    assert not (folder / "decisions.json").exists()
    assert not is_published(built)


def test_a_damaged_release_is_told_and_can_be_withdrawn(
    released: Path, caregap: Caregap, stewards: Keys, tmp_path: Path
) -> None:
    data, outside = released.parents[2], tmp_path / "outside"
    shutil.copytree(released / "sv", outside)
    kept = (outside / "index.html").read_bytes()
    (released / "en" / "index.html").write_text("<p>Use the figures</p>")
    (released / "style.css").write_text("main::after{content:'forged'}")
    (released / "table.csv").unlink()
    shutil.rmtree(released / "sv")
    (released / "sv").symlink_to(outside, target_is_directory=True)
    (released / "index.html").unlink()
    (released / "index.html").mkdir()
    shutil.rmtree(released / "fi")
    (released / "fi").write_text("a file")
    told = caregap("status", data=data).out
    assert f"Damaged     {CANDIDATE}: files are not those of the manifest" in told
    assert told.splitlines()[-1].endswith(f"caregap withdraw {CANDIDATE}")
    assert " files). " in caregap("verify", released, data=data).err
    done = sign(caregap, data, stewards, "Data Steward", "withdraw")
    assert done.code == 0, done.err
    assert "The release is withdrawn." in caregap("verify", released, data=data).out
    assert "Damaged" not in caregap("status", data=data).out
    assert (outside / "index.html").read_bytes() == kept


def test_a_withdrawn_release_holds_its_own_pages_and_nothing_else(
    released: Path, caregap: Caregap, stewards: Keys
) -> None:
    data, page = released.parents[2], released / "en" / "index.html"
    assert sign(caregap, data, stewards, "Data Steward", "withdraw").code == 0
    own = page.read_text()
    for path, content in ((page, f"{own}<p>Use the figures</p>"), (released / "evil.html", "evil"), (page, None)):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        refused = caregap("verify", released, data=data)
        assert (refused.code, "not those of a withdrawn release (1 files)" in refused.err) == (14, True), refused.err
        assert sign(caregap, data, stewards, "Other Steward", "withdraw").code == 0
        assert caregap("verify", released, data=data).code == 0
    assert page.read_text() == own
    assert len(audit.entries(Layout(data).audit, "withdraw")) == 1


def test_a_manifest_that_is_not_the_one_that_was_built_is_not_withdrawn_by(
    released: Path, caregap: Caregap, stewards: Keys
) -> None:
    rewrite(released / "manifest.json", as_of="2026-09-30")
    refused = sign(caregap, released.parents[2], stewards, "Data Steward", "withdraw")
    assert (refused.code, "not the one that was built" in refused.err) == (14, True)


@pytest.mark.parametrize("content", [None, b"no table"], ids=["missing", "torn"])
def test_what_cannot_be_published_is_not_approved(
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
    content: bytes | None,
) -> None:
    folder = Layout(built).candidates / CANDIDATE
    path = folder / "confidential" / "decisions.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for refused in (
        sign(caregap, built, stewards, "Data Steward"),
        caregap("candidate", "show", CANDIDATE, data=built),
    ):
        assert (refused.code, refused.err.count("\n"), "decisions.parquet" in refused.err) == (13, 1, True)
    assert not (folder / "decisions.json").exists()
    assert not audit.entries(Layout(built).audit, "approve")


def test_one_candidate_without_a_manifest_hides_no_other(
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
) -> None:
    (Layout(built).candidates / CANDIDATE / "manifest.json").unlink()
    listed = caregap("candidate", "list", data=built)
    assert listed.code == 0, listed.err
    first, broken = listed.out.splitlines()[1:]
    assert first.endswith(",published")
    assert broken == f"{CANDIDATE},,,not valid: manifest.json cannot be read"
    told = caregap("status", data=built).out
    assert f"{CANDIDATE}: cannot be decided on: manifest.json cannot be read" in told
    assert told.endswith(f"Next: caregap release --as-of {AS_OF}\n")
    assert sign(caregap, built, stewards, "Data Steward").code == 14


def test_what_is_returned_is_built_again_with_its_dates(
    built: Path,  # noqa: F811
    caregap: Caregap,
    stewards: Keys,
) -> None:
    layout = Layout(built)
    entry = audit.entries(layout.audit, "release")[-1] | {"months": 13, "every": 3}
    chained = ("number", "when", "who", "action", "previous", "hash")
    audit.record(layout.audit, "release", **{name: value for name, value in entry.items() if name not in chained})
    again = f"caregap release --as-of {AS_OF} --months 13 --every 3"
    assert f"{again} builds another" in sign(caregap, built, stewards, "Data Steward", "return").out
    assert caregap("status", data=built).out.endswith(f"Next: {again}\n")
    assert f"release --as-of {AS_OF} --months 13 --every 3\n" in caregap("candidate", "show", CANDIDATE, data=built).out
