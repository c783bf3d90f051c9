"""What the controller remembers of its loads so that an increment gives what reading everything again would give.

The lake alone does not say it: which day a person was born on, which identifiers a person had, which rows wait for
something that was not there, where a person under a security ban has lived. It is sealed like the quarantine, in the
controller's folder, and opens with the key alone.
"""

import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import KeyUnavailable
from schemas.table import PERSON_ID
from transforms.controller.keys import QUARANTINE_VERSION, Keyring
from transforms.controller.lake_files import RECORD_KEY
from transforms.controller.links import Links
from transforms.controller.validate import IN_FUTURE, UNKNOWN_PERSON

SUFFIX = ".sealed"
WAITS = f"({UNKNOWN_PERSON}|{IN_FUTURE})$"
"""Reasons that may pass: the person comes, the day comes."""
_PARTS = ("persons", "links", "withheld", "moved", "withdrawn")
MOVED = {"table": pl.String(), RECORD_KEY: pl.Binary()}
WITHDRAWN = {PERSON_ID: pl.String()}


@dataclass(frozen=True)
class Memory:
    """What is remembered after a load.

    `persons`: what the source said of persons, in the order in which it came. `links`: former identifiers. `waiting`:
    by table, rows as the source had them that were rejected for want of something, and `_since` when. `withheld`:
    the lake's residence rows that a security ban keeps out of it. `moved`: records that were said of more than one
    person (MOVED): what the lake has of one is not all that there was. `withdrawn`: persons who were in the lake and
    whose rows an increment took out (WITHDRAWN). `event_dates`: how exact the lake's dates are.
    """

    persons: pl.DataFrame
    links: pl.DataFrame
    waiting: Mapping[str, pl.DataFrame]
    withheld: pl.DataFrame
    moved: pl.DataFrame
    withdrawn: pl.DataFrame
    event_dates: Mapping[str, str]

    def known_links(self) -> Links:
        """The links as those of a load that read them."""
        return Links(self.links)


def memory_key(keyring: Keyring, epoch: str | None = None) -> bytes:
    """The key of what is remembered in an epoch. Errors as Keyring.derive."""
    name = epoch or keyring.current
    return keyring.derive(QUARANTINE_VERSION, "aes256-gcm", "memory", name, epoch=name)


def remember(memory: Memory, path: Path, key: bytes) -> None:
    """Seal what is remembered into a new file of mode 0600."""
    frames = {name: getattr(memory, name) for name in _PARTS}
    frames |= {f"waiting.{name}": rows for name, rows in memory.waiting.items()}
    sizes: dict[str, int] = {}
    body = io.BytesIO()
    for name, rows in frames.items():
        start = body.tell()
        rows.write_ipc(body, compression="lz4")
        sizes[name] = body.tell() - start
    head = json.dumps({"frames": sizes, "event_dates": dict(memory.event_dates)}).encode()
    nonce = secrets.token_bytes(12)
    plain = len(head).to_bytes(4, "big") + head + body.getvalue()
    sealed = nonce + AESGCM(key).encrypt(nonce, plain, path.name.encode())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(sealed)


def recall(path: Path, key: bytes) -> Memory:
    """Open what is remembered. Raises KeyUnavailable where the key is another or the file was changed."""
    sealed = path.read_bytes()
    try:
        plain = AESGCM(key).decrypt(sealed[:12], sealed[12:], path.name.encode())
    except InvalidTag:
        plain = None
    if plain is None:
        raise KeyUnavailable("what is remembered of earlier loads does not open", "Load the source in full")
    start = 4 + int.from_bytes(plain[:4], "big")
    head = json.loads(plain[4:start])
    frames = {}
    if not set(_PARTS) <= set(head["frames"]):
        raise KeyUnavailable("what is remembered of earlier loads is of an older version", "Load the source in full")
    for name, size in head["frames"].items():
        frames[name] = pl.read_ipc(io.BytesIO(plain[start : start + size]))
        start += size
    waiting = {name.partition(".")[2]: rows for name, rows in frames.items() if name.startswith("waiting.")}
    return Memory(**{name: frames[name] for name in _PARTS}, waiting=waiting, event_dates=head["event_dates"])
