import json
import multiprocessing
from pathlib import Path

from flows import audit


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_entries_are_chained_and_say_who_and_when(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "log.jsonl"
    for number in range(3):
        audit.record(path, "counts", count=number)
    log = entries(path)
    assert [entry["count"] for entry in log] == [0, 1, 2]
    assert [entry["previous"] for entry in log] == ["0" * 64, log[0]["hash"], log[1]["hash"]]
    assert all(entry["who"] and entry["when"] for entry in log)
    assert path.stat().st_mode & 0o777 == 0o600


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
    log = entries(path)
    assert len(log) == 60
    assert [entry["previous"] for entry in log[1:]] == [entry["hash"] for entry in log[:-1]]
