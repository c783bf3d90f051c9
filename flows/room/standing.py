"""Where the decision on a candidate stands, and who can still sign it: from its files, the policy and the audit log."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from flows.room.candidates import (
    ENDED,
    approving,
    decisions_on,
    manifest_digest,
    must_be_logged,
    read_manifest,
    required_by,
)
from flows.settings import Layout
from schemas.policy import load_policy
from schemas.stewards import Steward, missing
from transforms.release.decisions import APPROVE, Decision, is_builder, outcome
from transforms.release.review.views import (
    BUILT_IT,
    NOT_ASKED,
    NOT_NEEDED,
    PUBLISHED,
    READY,
    REVOKED,
    WAITING,
    Signatory,
    Standing,
)


def standing_of(layout: Layout, folder: Path, today: date) -> Standing:
    """Where the decision stands. Raises ApprovalMissing where a decision is forged, unknown to the audit log or
    not by a named steward.
    """
    manifest, made = read_manifest(folder), decisions_on(layout, folder)
    signed, required = approving(made, manifest, manifest_digest(folder)), required_by(manifest)
    must_be_logged(layout, made)
    left, ended = missing(required, signed), outcome(made)
    is_out = (layout.published / folder.name).is_dir()
    state = ENDED[ended] if ended else PUBLISHED if is_out else WAITING if left else READY
    return Standing(state, required, left, _signatories(manifest, made, (required, left), today))


def _signatories(
    manifest: Mapping[str, Any],
    made: Sequence[Decision],
    asked: tuple[Mapping[str, int], Mapping[str, int]],
    today: date,
) -> list[Signatory]:
    when = {
        each.key: datetime.fromisoformat(each.statement.decided) for each in made if each.statement.decision == APPROVE
    }
    return [
        Signatory(one.name, one.roles, when.get(one.key), _bar(one, manifest["built_by"], asked, today))
        for one in load_policy().stewards
    ]


def _bar(one: Steward, built_by: str, asked: tuple[Mapping[str, int], Mapping[str, int]], today: date) -> str:
    """Why a steward's approval would not count; empty where it would."""
    if not one.may_sign(today):
        return REVOKED
    if is_builder(one, built_by):
        return BUILT_IT
    required, left = asked
    if not set(one.roles) & set(required):
        return NOT_ASKED
    return "" if set(one.roles) & set(left) else NOT_NEEDED
