import fcntl
import json
import multiprocessing
import pwd
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from flows import audit
from schemas.errors import BoundaryRefused, PolicyRefused, UsageRefused
from tests.flows.conftest import AS_OF, Caregap


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of five entries."""
    path = tmp_path / "audit" / "log.jsonl"
    for number in range(5):
        audit.record(path, "counts", count=number, reason="planning")
    return path


def test_entries_are_chained_and_say_who_and_when(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    audit.record(log, "counts", count=5)
    found = entries(log)
    assert [entry["count"] for entry in found] == [0, 1, 2, 3, 4, 5]
    assert [entry["number"] for entry in found] == [1, 2, 3, 4, 5, 6]
    assert [entry["previous"] for entry in found] == ["0" * 64, *(entry["hash"] for entry in found[:-1])]
    assert all(entry["when"] for entry in found)
    assert {entry["who"] for entry in found} == {pwd.getpwuid(log.stat().st_uid).pw_name}
    assert {path.stat().st_mode & 0o777 for path in log.parent.iterdir()} == {0o600}
    assert audit.verify(log) == 6
    assert audit.verify(log, head=str(found[2]["hash"])) == 6


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, "done"),
        (PolicyRefused("a rule", "a step"), "refused"),
        (ValueError("12"), "failed"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_an_action_is_entered_with_what_came_of_it(raised: BaseException | None, outcome: str, log: Path) -> None:
    def act() -> None:
        with audit.outcome_of(log, "ingest", load="1", count=0) as entry:
            if raised is not None:
                raise raised
            entry["count"] = 7

    if raised is None:
        act()
    else:
        with pytest.raises(type(raised)):
            act()
    last = entries(log)[-1]
    assert (last["action"], last["load"], last["count"], last["outcome"]) == (
        "ingest",
        "1",
        0 if raised else 7,
        outcome,
    )
    assert audit.verify(log) == 6


def change(lines: list[bytes]) -> None:
    lines[2] = lines[2].replace(b"planning", b"meddling")


def remove(lines: list[bytes]) -> None:
    del lines[2]


def reorder(lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def repeat(lines: list[bytes]) -> None:
    lines.insert(2, lines[1])


def spoil(lines: list[bytes]) -> None:
    lines[2] = lines[2][:40]


def rehash(lines: list[bytes]) -> None:
    """Change an entry and its own hash with it, as somebody would who knows how they are made."""
    entry = {**json.loads(lines[2]), "reason": "meddling"}
    del entry["hash"]
    lines[2] = json.dumps({**entry, "hash": audit._hash(entry)}).encode()


def remove_first(lines: list[bytes]) -> None:
    del lines[0]


def cut_short(lines: list[bytes]) -> None:
    del lines[3:]


def empty(lines: list[bytes]) -> None:
    lines.clear()


def rewrite_the_end(lines: list[bytes]) -> None:
    """Change the last entry with its hash: only the head knows."""
    entry = {**json.loads(lines[4]), "reason": "meddling"}
    del entry["hash"]
    lines[4] = json.dumps({**entry, "hash": audit._hash(entry)}).encode()


ATTACKS = [
    (change, 3), (remove, 3), (reorder, 3), (repeat, 3), (spoil, 3), (rehash, 4), (remove_first, 1), (cut_short, 4),
    (empty, 1), (rewrite_the_end, 5),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "number"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_every_change_is_found_and_stays_visible_when_the_log_goes_on(
    attack: Callable[[list[bytes]], None], number: int, log: Path
) -> None:
    lines = log.read_bytes().splitlines()
    attack(lines)
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.raises(PolicyRefused, match=f"entry {number} "):
        audit.verify(log)
    for _ in range(4):
        audit.record(log, "run")
    with pytest.raises(PolicyRefused, match="entry "):
        audit.verify(log)


def test_a_log_without_its_head_is_not_whole(log: Path) -> None:
    (log.parent / "head.json").unlink()
    with pytest.raises(PolicyRefused, match="its head was"):
        audit.verify(log)


def test_only_a_head_noted_elsewhere_finds_a_log_that_was_forged_with_its_head(log: Path) -> None:
    noted = audit.head_of(log)
    log.unlink()
    (log.parent / "head.json").unlink()
    for number in range(5):
        audit.record(log, "counts", count=number, reason="forged")
    assert audit.verify(log) == 5
    with pytest.raises(PolicyRefused, match="you noted"):
        audit.verify(log, head=noted)


def test_a_run_killed_before_the_head_was_written_is_no_attack(log: Path) -> None:
    before = (log.parent / "head.json").read_bytes()
    audit.record(log, "run")
    (log.parent / "head.json").write_bytes(before)
    assert audit.verify(log) == 6
    audit.record(log, "run")
    assert audit.verify(log) == 7


@pytest.mark.parametrize("code", ["010594Y9032", "010594y9032", "010594 Y 9032", "010594-903K", "010594–903K"])
def test_a_reason_with_an_identity_code_is_refused_and_not_kept(code: str, log: Path) -> None:
    with pytest.raises(UsageRefused, match="identity code") as refused:
        audit.record(log, "counts", reason=f"asked by {code} herself")
    assert code not in str(refused.value)
    assert code not in log.read_text()


def test_a_refusal_is_logged_where_there_is_a_data_folder(log: Path, tmp_path: Path) -> None:
    refusal = BoundaryRefused("the column is not approved", "Renew", table="measurement", column="value", count=3)
    audit.record_refusal(log, "ingest", refusal)
    last = entries(log)[-1]
    assert {name: last[name] for name in ("action", "refused", "table", "column", "count", "exit_code")} == {
        "action": "refusal", "refused": "ingest", "table": "measurement", "column": "value", "count": 3, "exit_code": 12
    }  # fmt: skip
    audit.record_refusal(tmp_path / "nowhere" / "audit" / "log.jsonl", "ingest", refusal)
    assert not (tmp_path / "nowhere").exists()


def test_runs_accesses_and_refusals_are_listed_and_verified(data: Path, caregap: Caregap) -> None:
    counts = ("counts", "--indicator", "diabetes_hba1c_missing", "--as-of", AS_OF, "--reason")
    assert caregap(*counts, "planning", data=data).code == 0
    assert caregap(*counts, "for 010594Y9032", data=data).code == 2
    assert caregap("release", "--as-of", "2020-01-31", data=data).code == 2
    found = entries(data / "audit" / "log.jsonl")
    assert {"keys create", "ingest", "analyse", "release", "publish", "counts", "refusal"} <= {
        e["action"] for e in found
    }
    for entry in found:
        if entry["action"] in ("ingest", "analyse", "release", "counts"):
            assert entry["purpose"]
            assert "count" in entry
    assert [(e["refused"], e["exit_code"]) for e in found if e["action"] == "refusal"] == [
        ("counts", 2),
        ("release", 2),
    ]
    assert caregap("audit", "list", data=data).out.count("\n") == len(found) + 1
    verified = caregap("audit", "verify", "--head", found[3]["hash"], data=data)
    assert verified.code == 0, verified.err
    assert str(found[-1]["hash"]) in verified.out
    path = data / "audit" / "log.jsonl"
    path.write_text(path.read_text().replace("planning", "meddling"))
    refused = caregap("audit", "verify", data=data)
    assert refused.code == 15
    assert "entry " in refused.err


def write_many(path: Path) -> None:
    for _ in range(20):
        audit.record(path, "run")


def test_processes_that_write_at_once_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert audit.verify(path) == 60


def test_a_log_is_not_checked_between_an_entry_and_its_head(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    audit.record(path, "noted")
    reader = Thread(target=audit.verify, args=(path,))
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        reader.start()
        reader.join(0.2)
        assert reader.is_alive()
    reader.join()
