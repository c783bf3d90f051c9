"""The audit log: who did what, when, why and to how much. Append-only, each entry chained to the one before.

An entry's `hash` is the SHA-256 of the entry without it, which holds the hash of the entry before as `previous`, and
its number. `head.json` beside the log holds number and hash of the last entry, so that a log cut short is noticed.
Whoever can write both files can forge both: only a head noted elsewhere finds that. Entries hold no identifier and no
value of a record.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from schemas.errors import PolicyRefused, Refusal, UsageRefused

_START = "0" * 64
_IDENTITY_CODE = re.compile(r"\d{6}\s?[-+–A-FU-Y]?\s?\d{3}[0-9A-Z](?![0-9A-Z])", re.IGNORECASE)


def record(path: Path, action: str, **details: Any) -> None:
    """Append one entry and wait until it is on the disk.

    Raises UsageRefused where a detail, such as a reason that somebody wrote, looks like a personal identity code.
    """
    for name, detail in details.items():
        if isinstance(detail, str) and name in ("reason", "steward") and _IDENTITY_CODE.search(detail):
            raise UsageRefused(f"the {name} holds what looks like a personal identity code", "Write it without")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        log = file.read()
        number, previous = _end(path, log)
        entry = {
            "number": number + 1,
            "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": account(),
            "action": action,
            **details,
            "previous": previous,
        }
        entry["hash"] = _hash(entry)
        torn = b"" if log.endswith(b"\n") or not log else b"\n"
        file.write(torn + json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
        _write_head(path, entry)


@contextmanager
def outcome_of(path: Path, action: str, **details: Any) -> Iterator[dict[str, Any]]:
    """Append one entry when an action has ended, with its `outcome` and what was put into the yielded details.

    done; refused, by a rule; stopped, by somebody who cancelled it or by the machine's end; failed, as nobody foresaw.
    """
    found: dict[str, Any] = {}
    outcome = "stopped"
    try:
        yield found
        outcome = "done"
    except Refusal:
        outcome = "refused"
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        record(path, action, **details | found, outcome=outcome)


def record_refusal(path: Path, action: str, refusal: Refusal) -> None:
    """Append that an action was refused: rule, place, number of rows, exit code. Only where there is a data folder."""
    if path.parent.is_dir():
        place = {"table": refusal.table, "column": refusal.column, "count": refusal.count}
        known = {name: value for name, value in place.items() if value is not None}
        record(path, "refusal", refused=action, rule=refusal.rule, **known, exit_code=refusal.exit_code)


def verify(path: Path, head: str | None = None) -> int:
    """Check the whole log; returns the number of entries.

    Raises PolicyRefused with the number of the first entry that was changed, removed or put elsewhere. `head` is the
    hash of an entry that somebody noted outside the data folder; it must still be there.
    """
    if not path.exists():
        raise UsageRefused("there is no audit log in this data folder", "Give --data DIR")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # who writes an entry writes the head too, before anybody reads either
        entries = file.read().splitlines()
        head_bytes = _head_path(path).read_bytes() if _head_path(path).exists() else b""
    hashes = [_START]
    for number, line in enumerate(entries, start=1):
        entry = _parsed(line)
        found = (entry.get("number"), entry.get("previous"), entry.get("hash"))
        body = {name: value for name, value in entry.items() if name != "hash"}
        if found != (number, hashes[-1], _hash(body)):
            _broken(f"entry {number} of the audit log was changed, removed or put elsewhere")
        hashes.append(str(entry["hash"]))
    last = _parsed(head_bytes)
    # A run killed between the two writes leaves the head one entry behind the log; never ahead of it.
    if not 1 <= last.get("number", 0) < len(hashes):
        _broken(f"entry {len(hashes)} of the audit log was removed, or its head was")
    if hashes[last["number"]] != last.get("hash"):
        _broken(f"entry {last['number']} of the audit log is not the one that its head names")
    if head is not None and head.strip().lower() not in hashes[1:]:
        _broken("the entry with the hash that you noted is not in the audit log any more")
    return len(entries)


def head_of(path: Path) -> str:
    """Hash of the last entry, to be noted outside the data folder."""
    return str(_parsed(_head_path(path).read_bytes())["hash"])


def entries(path: Path, *actions: str) -> list[dict[str, Any]]:
    """The entries of these actions, the earliest first."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [entry for entry in map(_parsed, lines) if entry.get("action") in actions]


def last_time(path: Path) -> datetime | None:
    """When the last entry was made; None where there is none."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return datetime.fromisoformat(_parsed(lines[-1])["when"]) if lines else None


def listed(path: Path) -> str:
    """The log as CSV: number, when, who, action, details."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("number", "when", "who", "action", "details"))
    for line in path.read_bytes().splitlines() if path.exists() else []:
        entry = _parsed(line)
        first = [entry.pop(name, "") for name in ("number", "when", "who", "action")]
        rest = {name: value for name, value in entry.items() if name not in ("previous", "hash")}
        rows.writerow((*first, json.dumps(rest, ensure_ascii=False)))
    return text.getvalue()


def _end(path: Path, log: bytes) -> tuple[int, str]:
    """Number and hash that the next entry follows.

    Where the log is not what its head says, the next entry follows the head: what is missing stays visible for good.
    """
    lines = log.splitlines()
    last = _parsed(lines[-1]) if lines else {}
    end = (int(last.get("number", len(lines))), str(last.get("hash", _START)))
    if not _head_path(path).exists():
        return end
    head = _parsed(_head_path(path).read_bytes())
    number, value = int(head.get("number", 0)), str(head.get("hash", _START))
    there = 1 <= number <= len(lines) and _parsed(lines[number - 1]).get("hash") == value
    return end if there else (number, value)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _head_path(path: Path) -> Path:
    return path.with_name("head.json")


def _write_head(path: Path, entry: dict[str, Any]) -> None:
    beside = path.with_name(f".head.{uuid4().hex[:8]}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"number": entry["number"], "hash": entry["hash"]}, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(_head_path(path))


def account() -> str:
    """The account that the process runs under; not what the environment says it is."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _broken(rule: str) -> None:
    raise PolicyRefused(
        rule, "Keep a copy of the folder audit, find out who changed it, and restore it from its backup"
    )
