"""The release room, and who would get a candidate past it."""

import json
import shutil
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from flows import audit
from flows.settings import Layout
from schemas import policy
from tests.flows.conftest import AS_OF, Caregap, Outcome, made_once, start
from tests.flows.test_second_release import counts_of_somebody

CANDIDATE = f"{AS_OF}-2"
Keys = dict[str, Path]


@pytest.fixture(scope="session")
def with_candidate(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a candidate of somebody's data; not to be changed."""

    def make(folder: Path) -> None:
        data = Path(shutil.copytree(finished, folder / "data", symlinks=True))
        counts_of_somebody(data)
        done = start(["-m", "flows.cli"], "release", "--as-of", AS_OF, data=data)
        assert done.code == 0, done.err

    return made_once(tmp_path_factory, "candidate", make) / "data"


@pytest.fixture
def built(with_candidate: Path, tmp_path: Path, stewards: Keys) -> Path:
    """A copy of the data folder with the candidate, and stewards who may decide on it."""
    return Path(shutil.copytree(with_candidate, tmp_path / "data", symlinks=True))


@pytest.fixture
def room(built: Path) -> Path:
    """The same where policy asks for two signatures, of two roles."""
    edit("approvals = { data_steward = 1 }", "approvals = { data_steward = 1, statistician = 1 }")
    return built


def edit(old: str, new: str) -> None:
    path = Path(str(policy.POLICY_FILE))
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new))


def sign(caregap: Caregap, data: Path, keys: Keys, name: str, action: str = "approve", **more: str) -> Outcome:
    words = (action, CANDIDATE, "--as", name, "--reason", "figures checked", "--key", keys[more.get("key", name)])
    return caregap(*words, data=data)


def is_published(data: Path) -> bool:
    return (Layout(data).published / CANDIDATE).exists()


def refusals(data: Path) -> list[str]:
    return [entry["rule"] for entry in audit.entries(Layout(data).audit, "refusal")]


def test_two_roles_sign_and_then_it_is_published_and_can_be_checked_offline(
    room: Path, caregap: Caregap, stewards: Keys
) -> None:
    first = sign(caregap, room, stewards, "Data Steward")
    assert first.code == 0, first.err
    assert "still waits for 1 signature of a statistician" in first.out
    assert not is_published(room)
    listed = caregap("candidate", "list", data=room).out
    assert "waits for 1 signature of a statistician" in listed
    second = sign(caregap, room, stewards, "Counter")
    assert second.out.startswith("Published: "), second.err
    release = Layout(room).published / CANDIDATE
    checked = caregap("verify", release, data=room)
    assert checked.code == 0, checked.err
    assert checked.out.count("signature valid") == 2
    for name in ("table.csv", "index.html", "certificate.json"):
        content = (release / name).read_bytes()
        (release / name).write_bytes(content.replace(b"e", b"E", 1))
        assert caregap("verify", release, data=room).code == 14
        (release / name).write_bytes(content)
    (release / "more.html").write_text("added")
    assert caregap("verify", release, data=room).code == 14


def test_a_candidate_is_shown_with_what_changed_and_what_hides_each_cell(built: Path, caregap: Caregap) -> None:
    shown = caregap("candidate", "show", CANDIDATE, data=built)
    assert shown.code == 0, shown.err
    hidden = pl.read_parquet(Layout(built).candidates / CANDIDATE / "confidential" / "decisions.parquet")
    assert f"{hidden.filter(pl.col('decision') == 'primary').height:,}" in shown.out
    for words in ("Built by", "Exactly recoverable", "Secondary", "There is no earlier release", "checks passed"):
        assert words in shown.out
    assert "Waiting for signatures. Still missing: data steward (1)." in shown.out
    page = (Layout(built).candidates / CANDIDATE / "confidential" / "review.en.html").read_text()
    assert "not for publication" in page
    assert "<script" not in page
    assert "http:" not in page
    assert "https:" not in page


def own_candidate(data: Path, keys: Keys) -> None:
    edit('name = "Data Steward"', f'name = "Data Steward"\naccounts = ["{audit.account()}"]')


def changed_byte(data: Path, keys: Keys) -> None:
    path = Layout(data).candidates / CANDIDATE / "public" / "table.csv"
    path.write_bytes(path.read_bytes().replace(b"published", b"publisheD", 1))


def changed_manifest(data: Path, keys: Keys) -> None:
    path = Layout(data).candidates / CANDIDATE / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"generated": True}))


def revoked_key(data: Path, keys: Keys) -> None:
    edit('name = "Data Steward"', 'name = "Data Steward"\nrevoked = 2026-01-01')


def unknown_key(data: Path, keys: Keys) -> None:
    keys["Data Steward"] = keys["Other Steward"]


def unknown_name(data: Path, keys: Keys) -> None:
    edit('name = "Data Steward"', 'name = "Somebody Else"')


def clock_set_back(data: Path, keys: Keys) -> None:
    """The log says that the present is later than the clock does."""
    log = Layout(data).audit
    later = datetime.now(UTC) + timedelta(days=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "datetime", type("Later", (datetime,), {"now": classmethod(lambda _, tz: later)}))
        audit.record(log, "noted")


ATTACKS: dict[str, tuple[Callable[[Path, Keys], None], int, str]] = {
    "own candidate": (own_candidate, 14, "approves what the steward built"),
    "changed byte": (changed_byte, 14, "not what was approved"),
    "changed manifest": (changed_manifest, 14, "not the one that was built"),
    "revoked key": (revoked_key, 14, "revoked"),
    "unknown key": (unknown_key, 14, "not the one that the policy names"),
    "unknown name": (unknown_name, 14, "names no such steward"),
    "clock set back": (clock_set_back, 15, "clock"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_approval_is_refused_and_logged(
    attack: str, built: Path, caregap: Caregap, stewards: Keys
) -> None:
    plot, code, words = ATTACKS[attack]
    plot(built, stewards)
    done = sign(caregap, built, stewards, "Data Steward")
    assert (done.code, words in done.err) == (code, True), done.out + done.err
    assert not is_published(built)
    assert any(words in rule for rule in refusals(built))


def test_one_signature_short_is_not_published_however_often_the_same_person_signs(
    room: Path, caregap: Caregap, stewards: Keys
) -> None:
    for name in ("Data Steward", "Data Steward", "Other Steward"):
        assert sign(caregap, room, stewards, name).code == 0
        assert not is_published(room)


@pytest.mark.slow
def test_a_signature_of_another_candidate_or_of_an_earlier_state_is_no_signature(
    room: Path, caregap: Caregap, stewards: Keys
) -> None:
    candidates = Layout(room).candidates
    assert sign(caregap, room, stewards, "Data Steward").code == 0
    assert caregap("release", "--as-of", AS_OF, data=room).code == 0
    signed = (candidates / CANDIDATE / "decisions.json").read_text()
    (candidates / f"{AS_OF}-3" / "decisions.json").write_text(signed)
    replayed = caregap(
        "approve", f"{AS_OF}-3", "--as", "Counter", "--reason", "r", "--key", stewards["Counter"], data=room
    )
    assert replayed.code == 14
    assert "about another release" in replayed.err
    forged = json.loads(signed)
    forged[0]["statement"]["reason"] = "another reason"
    (candidates / CANDIDATE / "decisions.json").write_text(json.dumps(forged))
    assert "not of its words" in sign(caregap, room, stewards, "Counter").err
    (candidates / CANDIDATE / "decisions.json").write_text(json.dumps([*json.loads(signed), *json.loads(signed)]))
    assert "does not follow" in sign(caregap, room, stewards, "Counter").err
    assert not is_published(room)


@pytest.mark.parametrize("action", ["reject", "return"])
def test_what_is_rejected_or_returned_stays_so(action: str, built: Path, caregap: Caregap, stewards: Keys) -> None:
    assert sign(caregap, built, stewards, "Other Steward", action).code == 0
    late = sign(caregap, built, stewards, "Data Steward")
    assert late.code == 2
    assert "decided already" in late.err
    assert not is_published(built)


def test_two_decisions_at_once_are_one_after_the_other(built: Path, stewards: Keys) -> None:
    from flows.room.acts import decide
    from schemas.errors import Refusal

    outcomes: list[str] = []

    def approve(name: str, action: str) -> None:
        try:
            outcomes.append(decide(Layout(built), CANDIDATE, action, name, "at once", stewards[name]))
        except Refusal as refusal:
            outcomes.append(f"refused: {refusal.rule}")

    threads = [Thread(target=approve, args=pair) for pair in (("Data Steward", "approve"), ("Other Steward", "reject"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.startswith("refused") for one in outcomes) == 1
    made = json.loads((Layout(built).candidates / CANDIDATE / "decisions.json").read_text())
    assert [one["statement"]["decision"] for one in made] == ["approve" if is_published(built) else "reject"]


def test_a_withdrawn_release_leaves_a_tombstone_and_is_not_the_latest(
    built: Path, caregap: Caregap, stewards: Keys
) -> None:
    layout = Layout(built)
    assert sign(caregap, built, stewards, "Data Steward").code == 0
    release = layout.published / CANDIDATE
    assert (layout.published / "latest").resolve() == release.resolve()
    done = sign(caregap, built, stewards, "Other Steward", "withdraw")
    assert done.code == 0, done.err
    pages = {name for name in json.loads((release / "manifest.json").read_text())["sha256"] if name.endswith(".html")}
    left = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert left == {"manifest.json", "decisions.json", "style.css", *pages}
    assert len(pages) > 50
    for language, word in (("fi", "peruttu"), ("sv", "återkalla"), ("en", "withdrawn")):
        assert word in (release / "index.html").read_text("utf-8")
        assert all(word in (release / page).read_text("utf-8") for page in pages if page.startswith(f"{language}/"))
    assert (layout.published / "latest").resolve() != release.resolve()
    checked = caregap("verify", release, data=built)
    assert checked.code == 0, checked.err
    assert "The release is withdrawn." in checked.out
    style = release / "style.css"
    own = style.read_bytes()
    style.write_bytes(own + b"main::after{content:'Use its figures'}")
    assert caregap("verify", release, data=built).code == 14
    style.write_bytes(own)
    assert f"{CANDIDATE}: withdrawn" in caregap("status", data=built).out
    assert sign(caregap, built, stewards, "Data Steward").code == 2
    assert len(list(layout.ledger.glob(f"*_{CANDIDATE}.parquet"))) == 1


def test_a_signing_key_is_its_owners_alone(tmp_path: Path, stewards: Keys, built: Path, caregap: Caregap) -> None:
    key = stewards["Data Steward"]
    assert key.stat().st_mode & 0o777 == 0o600
    again = caregap("stewards", "create", "--as", "Data Steward", "--role", "data_steward", "--key", key, data=built)
    assert again.code == 2
    key.chmod(0o644)
    assert sign(caregap, built, stewards, "Data Steward").code == 16
    sealed = tmp_path / "sealed.pem"
    nobody = caregap("stewards", "create", "--as", " ", "--role", "data_steward", "--key", sealed, data=built)
    assert (nobody.code, sealed.exists()) == (2, False)
    words = ("stewards", "create", "--as", 'The "third"', "--role", "data_steward", "--key", sealed)
    made = caregap(*words, data=built, CAREGAP_SIGNING_PASSPHRASE="correct horse")
    (steward,) = tomllib.loads(made.out[made.out.index("[[steward]]") :])["steward"]
    assert (steward["name"], steward["roles"]) == ('The "third"', ["data_steward"])
    assert "ENCRYPTED" in sealed.read_text()
