"""Who may decide on releases, as the policy names them: public keys and roles. Private keys are their own."""

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any, NoReturn

from schemas.errors import PolicyRefused

KEY_BYTES = 32
"""Length of an Ed25519 public key."""


@dataclass(frozen=True)
class Steward:
    """A person who may sign, from the policy's `[[steward]]`.

    `key` is the raw Ed25519 public key, `accounts` the logins under which the person may build candidates, and so may
    not approve them. From the day `revoked` on, nothing that is signed with the key counts.
    """

    name: str
    roles: tuple[str, ...]
    key: bytes
    accounts: tuple[str, ...] = ()
    revoked: date | None = None

    def may_sign(self, day: date) -> bool:
        """Whether the key is in force on a day."""
        return self.revoked is None or day < self.revoked


def read_stewards(raw: Mapping[str, Any]) -> tuple[Steward, ...]:
    """The stewards of a policy. Raises PolicyRefused where an entry is not whole or two share a name or a key."""
    entries = raw.get("steward", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        _refuse("must be written as [[steward]], one for each")
    stewards = tuple(_steward(entry) for entry in entries)
    for what, values in (("name", [s.name.casefold() for s in stewards]), ("key", [s.key for s in stewards])):
        if len(set(values)) < len(values):
            _refuse(f"two have the same {what}")
    return stewards


def read_required(raw: Any, source: str, *, generated: bool) -> dict[str, int]:
    """How many signatures of each role a release from a kind of source needs; none only where it is nobody's data."""
    whole = isinstance(raw, dict) and all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in raw.values()
    )
    if not whole or not (raw or generated):
        raise PolicyRefused(
            f"policy.toml: source.{source}.approvals must say how many of which roles",
            "Write it as approvals = { data_steward = 1 }",
        )
    return dict(raw)


def missing(required: Mapping[str, int], signed: Iterable[Steward]) -> dict[str, int]:
    """How many signatures of each role are still missing; each person counts for one role, whichever serves best."""
    ways = product(*(steward.roles for steward in signed))
    left = (Counter(required) - Counter(roles) for roles in ways)
    return dict(sorted(min(left, key=lambda counts: counts.total()).items()))


def _steward(entry: Mapping[str, Any]) -> Steward:
    known = {"name", "roles", "key", "accounts", "revoked"}
    if set(entry) - known:
        _refuse(f"has a key that is not known; keep to {', '.join(sorted(known))}")
    name, roles, accounts = entry.get("name"), entry.get("roles"), entry.get("accounts", [])
    if not isinstance(name, str) or not name.strip():
        _refuse("needs a name")
    if not _words(roles) or not roles:
        _refuse("needs roles, a list of words")
    if not _words(accounts):
        _refuse("accounts must be a list of logins")
    revoked = entry.get("revoked")
    if revoked is not None and type(revoked) is not date:
        _refuse("revoked must be a date")
    return Steward(" ".join(name.split()), tuple(roles), _key(entry.get("key")), tuple(accounts), revoked)


def _key(text: Any) -> bytes:
    key = b""
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        _refuse("key must be an Ed25519 public key in base64, as caregap stewards create prints it")
    return key


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)


def _refuse(rule: str) -> NoReturn:
    raise PolicyRefused(f"policy.toml: a [[steward]] {rule}", "Correct it")
