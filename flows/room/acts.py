"""What stewards do: they look at a candidate, decide and sign; what policy asks for is published for good."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flows import audit
from flows.history import population
from flows.notices import announce
from flows.room.candidates import (
    ENDED,
    approving,
    candidate_folder,
    check_published,
    dates_of,
    is_as_built,
    lacking,
    manifest_digest,
    must_be_logged,
    read_cells,
    read_decisions,
    read_manifest,
    required_by,
    signatures,
    signatures_missing,
)
from flows.room.signing import load_key
from flows.settings import Layout
from flows.storage import replace_bytes
from schemas.errors import ApprovalMissing, DisclosureRefused, PolicyRefused, UsageRefused
from schemas.policy import load_policy
from schemas.stewards import Steward, missing
from transforms.release import decisions
from transforms.release.decisions import APPROVE, WITHDRAW, Decision
from transforms.release.ledger import Record, record, remember
from transforms.release.names import DECISIONS, PUBLIC
from transforms.release.publish import approved_table, publish, verify_release, withdraw
from transforms.release.published import CERTIFICATE_FILE
from transforms.release.site.addresses import FRONT_PAGE
from transforms.release.tombstone import withdrawn_pages

_UNSIGNED = "not signed: whole, and nobody's data as it says itself, but nothing proves who published it"


def publish_generated(layout: Layout, candidate: str) -> Path:
    """Publish a candidate of nobody's data at once; returns its first page.

    Raises ApprovalMissing where the data may be somebody's: then stewards decide.
    """
    folder = candidate_folder(layout, candidate)
    if left := signatures_missing(read_manifest(folder), []):
        raise ApprovalMissing(
            f"candidate {candidate} waits for {left}",
            f"caregap candidate show {candidate}, then approve, reject or return it",
        )
    return _publish(layout, folder, [], by="policy: generated data")


def publish_approved(layout: Layout, candidate: str) -> Path:
    """Publish a candidate that stewards approved, or finish what a killed process began; the release's folder.

    A candidate is published once, however often this is asked for. Raises ApprovalMissing where the signatures are
    not what policy asks for, the audit log does not know them or a byte changed; UsageRefused where the candidate was
    rejected or returned; PolicyRefused where the audit log is not whole.
    """
    folder = candidate_folder(layout, candidate)
    with _locked(folder):
        audit.verify(layout.audit)
        made, release = read_decisions(folder), layout.published / candidate
        if ended := decisions.outcome(made):
            raise UsageRefused(f"the candidate is {ENDED[ended]}", "Build another: caregap release")
        if is_out := release.is_dir():
            check_published(layout, release)
            if candidate in {one.get("release") for one in audit.entries(layout.audit, "publish")}:
                return release
        if left := lacking(layout, folder) or ("" if made or is_out else "a decision"):
            raise ApprovalMissing(
                f"candidate {candidate} waits for {left}",
                f"caregap candidate show {candidate}, then approve, reject or return it",
            )
        by = made[-1].statement.steward if made else "policy: generated data"
        if is_out:
            audit.record(layout.audit, "publish", release=candidate, by=by, manifest_sha256=manifest_digest(release))
        else:
            _publish(layout, folder, made, by=by)
    return release


def decide(layout: Layout, candidate: str, decision: str, name: str, reason: str, key_file: Path | None) -> str:
    """Sign a decision on a candidate as it is; publish when policy is met; returns what came of it.

    Raises UsageRefused where there is no such candidate, no name or reason is given, or the candidate is decided;
    ApprovalMissing where the steward, the key or the candidate is not what the policy and the audit log say;
    PolicyRefused where the clock was set back or the audit log is not whole. What could not be published is not
    approved.
    """
    folder = candidate_folder(layout, candidate)
    steward, key, now = _signer(layout, name, reason, key_file)
    with _locked(folder):
        audit.verify(layout.audit)
        manifest, digest = read_manifest(folder), manifest_digest(folder)
        _must_be_as_built(layout, candidate, digest)
        earlier = read_decisions(folder)
        signed = approving(earlier, manifest, digest)
        must_be_logged(layout, earlier)
        if ended := decisions.outcome(earlier):
            raise UsageRefused(
                f"the candidate is decided already: it is {ENDED[ended]}", "Build another: caregap release"
            )
        if (layout.published / candidate).exists():
            raise UsageRefused("the release is published and final", f"To take it back: caregap withdraw {candidate}")
        is_new = decision != APPROVE or steward not in signed
        if decision == APPROVE:
            _to_remember(folder, digest)
        if is_new:
            new = decisions.decide(earlier, candidate, digest, decision, steward.name, reason, now, key)
            earlier = [*earlier, new]
            signed = approving(earlier, manifest, digest)
            _log(layout, decision, candidate, new)
            replace_bytes(folder / DECISIONS, decisions.to_json(earlier))
        if decision != APPROVE:
            another = f"caregap release --as-of {manifest['as_of']}{dates_of(layout, candidate)} builds another"
            return f"Recorded: {candidate} is {ENDED[decision]} and cannot be published. {another}"
        if left := signatures_missing(manifest, signed):
            said = "Recorded." if is_new else "You have approved it already."
            return f"{said} {candidate} still waits for {left}"
        return f"Published: {_publish(layout, folder, earlier, by=steward.name)}"


def take_back(layout: Layout, release: str, name: str, reason: str, key_file: Path | None) -> str:
    """Withdraw a published release by a signed decision; pages that say so stay at its address.

    Its files need not be whole, nor the audit log: the manifest, which the decision is about, is held to the log's.
    """
    folder = layout.published / release
    if not folder.is_dir() or folder.is_symlink():
        raise UsageRefused("there is no such release", "Give the id of a published release")
    steward, key, now = _signer(layout, name, reason, key_file)
    with _locked(folder):
        manifest, digest, earlier = read_manifest(folder), manifest_digest(folder), read_decisions(folder)
        _must_be_as_built(layout, release, digest, "Restore manifest.json: the candidate has it too")
        approving(earlier, manifest, digest)
        if decisions.outcome(earlier) != WITHDRAW:
            new = decisions.decide(earlier, release, digest, WITHDRAW, steward.name, reason, now, key)
            earlier = [*earlier, new]
            approving(earlier, manifest, digest)
            _log(layout, WITHDRAW, release, new)
        decided = datetime.fromisoformat(earlier[-1].statement.decided).date()
        withdraw(folder, decisions.to_json(earlier), withdrawn_pages(release, decided, manifest["sha256"]))
    return f"Withdrawn: {folder / FRONT_PAGE} says so"


def verify(layout: Layout, directory: Path) -> str:
    """Check a published release offline: its bytes, and who decided; returns what was found, for a terminal.

    A release of this data folder is held to its audit log too. Of another one nothing but a signature proves who
    published it: that its data are generated only it says itself, so the policy at hand must ask for no signature of
    its source. Raises ApprovalMissing where a byte is not as decided or the decisions are not enough, PolicyRefused
    where the audit log is not whole.
    """
    if is_own := directory.resolve().parent == layout.published.resolve():
        audit.verify(layout.audit)
        manifest, digest, made = check_published(layout, directory.resolve())
        required = required_by(manifest)
    else:
        manifest, digest, made = verify_release(directory)
        required = _required_of_others(manifest)
    signed = approving(made, manifest, digest)
    lines = [f"release {manifest['release_id']} as of {manifest['as_of']}, manifest {digest}"]
    lines += [
        f"{each.statement.decided} {each.statement.decision} by {each.statement.steward}: signature valid"
        for each in made
    ]
    ended = decisions.outcome(made)
    if ended == WITHDRAW:
        return "\n".join([*lines, "The release is withdrawn."])
    if left := (ended and "an approval") or signatures(missing(required, signed)):
        raise ApprovalMissing(f"the release lacks {left}", "Do not use it; ask its publisher")
    by = "approved as policy asks" if signed else "nobody's data, published by policy" if is_own else _UNSIGNED
    return "\n".join([*lines, f"{len(manifest['sha256'])} files as in the manifest; {by}."])


def _required_of_others(manifest: Mapping[str, Any]) -> dict[str, int]:
    """The signatures of a manifest that no log vouches for: by its source, whatever it says of its data."""
    terms = load_policy().source(str(manifest["inputs"].get("source")))
    if terms.generated and not manifest["generated"]:
        raise ApprovalMissing("the manifest and policy.toml disagree on whose data they are", "Ask its publisher")
    return dict(terms.approvals)


def _signer(
    layout: Layout, name: str, reason: str, key_file: Path | None
) -> tuple[Steward, Ed25519PrivateKey, datetime]:
    """The steward of a name, with the key that the policy names for them, and the time."""
    name, now, policy = " ".join(name.split()), datetime.now(UTC), load_policy()
    if not name or not reason.strip():
        raise UsageRefused("a decision needs a name and a reason", "Give --as NAME and --reason TEXT")
    policy.in_force(now.date())
    last = audit.last_time(layout.audit)
    if last is not None and now < last:
        raise PolicyRefused("the clock stands before the last entry of the audit log", "Set the clock right")
    found = [steward for steward in policy.stewards if steward.name.casefold() == name.casefold()]
    if not found:
        raise ApprovalMissing("the policy names no such steward", "caregap stewards create --as NAME --role ROLE")
    if not found[0].may_sign(now.date()):
        raise ApprovalMissing("the steward's key is revoked", "Make a new key and have the policy name it")
    key = load_key(key_file)
    if decisions.public_bytes(key) != found[0].key:
        raise ApprovalMissing("the key is not the one that the policy names for this steward", "Give --key FILE")
    return found[0], key, now


def _publish(layout: Layout, folder: Path, made: list[Decision], by: str) -> Path:
    """Remember in the ledger, then publish: a run that is killed between the two publishes when it is repeated."""
    digest = manifest_digest(folder)
    audit.verify(layout.audit)
    _must_be_as_built(layout, folder.name, digest)
    remember(layout.ledger, *_to_remember(folder, digest))
    published = publish(folder, layout.published, digest, decisions.to_json(made))
    audit.record(layout.audit, "publish", release=folder.name, by=by, manifest_sha256=digest)
    announce(layout, "published", "publish", folder.name)
    return published / FRONT_PAGE


def _to_remember(candidate: Path, digest: str) -> tuple[Record, int]:
    """What the ledger remembers of a candidate, and how many releases it was protected with.

    Raises DisclosureRefused where its confidential files are not of its table, ApprovalMissing as `publish` does.
    """
    table = approved_table(candidate, digest)
    certificate = json.loads((candidate / PUBLIC / CERTIFICATE_FILE).read_text("utf-8"))
    manifest = read_manifest(candidate)
    about = {"generated": manifest["generated"], "load": manifest["inputs"]["load"]}
    new = record(candidate.name, population(about), certificate, read_cells(candidate))
    if not new.table.select(table.columns).equals(table):
        raise DisclosureRefused("the decisions are not those of the table", "Build the candidate again", "decisions")
    return new, certificate["earlier_releases"]


def _must_be_as_built(layout: Layout, name: str, digest: str, mend: str = "Have a new candidate built") -> None:
    if not is_as_built(layout, name, digest):
        raise ApprovalMissing("the manifest is not the one that was built", mend)


def _log(layout: Layout, action: str, candidate: str, new: Decision) -> None:
    said = new.statement
    audit.record(
        layout.audit,
        action,
        candidate=candidate,
        steward=said.steward,
        reason=said.reason,
        manifest_sha256=said.manifest_sha256,
        statement_sha256=said.digest,
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One decision at a time; a killed process gives the lock back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)
