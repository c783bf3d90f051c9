"""What stewards decide on a candidate: signed statements in a chain, each bound to the bytes that it is about.

A statement names the release, the SHA-256 of its manifest, the decision, who made it, when and why, and the SHA-256 of
the statement before it. It is signed with Ed25519 (RFC 8032) over its canonical JSON: sorted keys, no spaces, UTF-8.
So a signature cannot be used for another candidate, another decision or at another place in the chain.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import ApprovalMissing
from schemas.stewards import Steward

KIND = "caregap decision 1"
APPROVE, REJECT, RETURN, WITHDRAW = "approve", "reject", "return", "withdraw"
FINAL = (REJECT, RETURN)
"""After these a candidate is decided for good; a returned one is built anew, as another candidate."""


@dataclass(frozen=True)
class Statement:
    """What is signed. `decided` is the time in UTC, `previous` the digest of the statement before, or the manifest."""

    release_id: str
    manifest_sha256: str
    decision: str
    steward: str
    reason: str
    decided: str
    previous: str
    kind: str = KIND

    @property
    def content(self) -> bytes:
        """The bytes that are signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Decision:
    """A statement with its signature and the public key that it is by."""

    statement: Statement
    signature: bytes
    key: bytes


def decide(
    earlier: Sequence[Decision],
    release_id: str,
    manifest_sha256: str,
    decision: str,
    steward: str,
    reason: str,
    now: datetime,
    key: Ed25519PrivateKey,
) -> Decision:
    """Sign the next statement of a chain."""
    previous = earlier[-1].statement.digest if earlier else manifest_sha256
    decided = now.astimezone(UTC).isoformat(timespec="milliseconds")
    statement = Statement(release_id, manifest_sha256, decision, steward, reason, decided, previous)
    return Decision(statement, key.sign(statement.content), public_bytes(key))


def check(
    decisions: Sequence[Decision],
    release_id: str,
    manifest_sha256: str,
    stewards: Sequence[Steward],
    built_by: str,
    created: date,
) -> list[Steward]:
    """Check a chain; the stewards who approve these very bytes, each once.

    Raises ApprovalMissing, with the number of the first one, where a decision is not about this manifest, does not
    follow the one before, is older than it or than the day on which the candidate was created, is not signed by a key
    of the policy that was in force, is an approval by who built the candidate, or comes after the candidate was decided
    for good.
    """
    known = {steward.key: steward for steward in stewards}
    previous, before, ended = manifest_sha256, "", False
    approving: dict[bytes, Steward] = {}
    for number, each in enumerate(decisions, start=1):
        said = each.statement
        steward = known.get(each.key)
        if (said.kind, said.release_id, said.manifest_sha256) != (KIND, release_id, manifest_sha256):
            _refuse(number, "is about another release, or other bytes of it")
        if said.previous != previous:
            _refuse(number, "does not follow the one before it")
        if steward is None or steward.name != said.steward:
            _refuse(number, "is signed with a key that the policy does not name for this steward")
        if not _is_signed(each):
            _refuse(number, "has a signature that is not of its words")
        if said.decided < before:
            _refuse(number, "is dated before the one before it")
        day = datetime.fromisoformat(said.decided).date()
        if day < created:
            _refuse(number, "is dated before the candidate was built")
        if not steward.may_sign(day):
            _refuse(number, "is signed with a key that was revoked by then")
        if ended:
            _refuse(number, "comes when there is nothing left to decide")
        if said.decision == APPROVE and is_builder(steward, built_by):
            _refuse(number, "approves what the steward built")
        if said.decision == APPROVE:
            approving[each.key] = steward
        ended = said.decision in (*FINAL, WITHDRAW)
        previous, before = said.digest, said.decided
    return list(approving.values())


def is_builder(steward: Steward, built_by: str) -> bool:
    """Whether a steward is who built a candidate, by name or by login."""
    own = {steward.name.casefold(), *(account.casefold() for account in steward.accounts)}
    return built_by.casefold() in own


def outcome(decisions: Sequence[Decision]) -> str | None:
    """The decision that ended a chain: reject, return or withdraw; None while it goes on."""
    last = decisions[-1].statement.decision if decisions else None
    return last if last in (*FINAL, WITHDRAW) else None


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw public key of a private one."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def to_json(decisions: Sequence[Decision]) -> bytes:
    """Decisions as a file: a list of statement, signature and key, the latter two in base64."""
    entries = [
        {
            "statement": asdict(each.statement),
            "signature": base64.b64encode(each.signature).decode(),
            "key": base64.b64encode(each.key).decode(),
        }
        for each in decisions
    ]
    return (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode()


def from_json(content: bytes) -> list[Decision]:
    """Read decisions. Raises ApprovalMissing where they cannot be read, for then nobody knows what was decided."""
    try:
        return [_read(entry) for entry in json.loads(content)]
    except (ValueError, KeyError, TypeError):
        pass
    raise ApprovalMissing("the decisions on the release cannot be read", "Restore decisions.json from its backup")


def _read(entry: Mapping[str, Any]) -> Decision:
    statement = Statement(**entry["statement"])
    datetime.fromisoformat(statement.decided)
    signature, key = (base64.b64decode(entry[name], validate=True) for name in ("signature", "key"))
    return Decision(statement, signature, key)


def _is_signed(decision: Decision) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(decision.key).verify(decision.signature, decision.statement.content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _refuse(number: int, rule: str) -> NoReturn:
    raise ApprovalMissing(
        f"decision {number} {rule}", "Find out who changed it; have a new candidate built and decided"
    )
