"""The audit log: who did what, when, why and to how much. Append-only, each entry chained to the one before.

An entry's `hash` is the SHA-256 of the entry without it, which holds the hash of the entry before as `previous`.
Entries hold no identifier and no value of a record.
"""

import fcntl
import getpass
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_START = "0" * 64


def record(path: Path, action: str, **details: Any) -> None:
    """Append one entry and wait until it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entry = {
            "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": getpass.getuser(),
            "action": action,
            **details,
            "previous": _last_hash(file.read()),
        }
        entry["hash"] = _hash(entry)
        file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_hash(log: bytes) -> str:
    lines = log.splitlines()
    return str(json.loads(lines[-1])["hash"]) if lines else _START


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
