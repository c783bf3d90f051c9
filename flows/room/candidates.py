"""Candidates and releases as they lie there: what each is, who decided on it, and what it still lacks.

Read from the files and the audit log alone; nothing here writes, and nothing takes longer than reading them.
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows import audit
from flows.counted import read_counts
from flows.settings import Layout
from schemas.errors import ApprovalMissing, DisclosureRefused, UsageRefused
from schemas.policy import load_policy
from schemas.stewards import Steward, missing
from transforms.release import decisions
from transforms.release.decisions import APPROVE, REJECT, RETURN, WITHDRAW, Decision
from transforms.release.names import DECISIONS, LATEST, MANIFEST
from transforms.release.protect import DECISIONS_FILE
from transforms.release.publish import manifest_of, verify_release

ENDED = {REJECT: "rejected", RETURN: "returned", WITHDRAW: "withdrawn"}
"""What a candidate or a release is after a decision that ends it."""


def candidate_folder(layout: Layout, candidate: str) -> Path:
    """The folder of a candidate. Raises UsageRefused where there is none of the name."""
    if candidate not in {path.name for path in candidate_folders(layout)}:
        raise UsageRefused("there is no such candidate", "caregap candidate list names them")
    return layout.candidates / candidate


def candidate_folders(layout: Layout) -> list[Path]:
    """The folders of all candidates, unfinished ones left out, by name."""
    if not layout.candidates.is_dir():
        return []
    return sorted(path for path in layout.candidates.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a candidate or a release. Raises ApprovalMissing where there is none that can be read."""
    path = folder / MANIFEST
    return manifest_of(path.read_bytes() if path.is_file() else None)


def read_cells(candidate: Path) -> pl.DataFrame:
    """One row per cell of a candidate, with the rule that hides it. Raises DisclosureRefused where there is no file."""
    try:
        return pl.read_parquet(candidate / DECISIONS_FILE)
    except (OSError, pl.exceptions.PolarsError):
        pass
    raise DisclosureRefused("the file is not there or cannot be read", "Build the candidate again", DECISIONS_FILE)


def manifest_digest(folder: Path) -> str:
    """SHA-256 of the manifest of a candidate or a release: what stewards decide on."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def read_decisions(folder: Path) -> list[Decision]:
    """The decisions on a candidate or a release so far."""
    path = folder / DECISIONS
    return decisions.from_json(path.read_bytes()) if path.exists() else []


def decisions_on(layout: Layout, folder: Path) -> list[Decision]:
    """The decisions on a candidate, and on the release that came of it."""
    released = layout.published / folder.name
    return read_decisions(released if released.is_dir() else folder)


def approving(made: list[Decision], manifest: Mapping[str, Any], digest: str) -> list[Steward]:
    """Who approved, each once. Raises ApprovalMissing where a decision is not by a steward of the policy, or forged."""
    created = date.fromisoformat(manifest["created"])
    return decisions.check(made, manifest["release_id"], digest, load_policy().stewards, manifest["built_by"], created)


def must_be_logged(layout: Layout, made: list[Decision]) -> None:
    """Hold decisions to the audit log, which tells when each was made, whatever date it bears.

    Raises ApprovalMissing with the number of the first that was not made with caregap in this data folder.
    """
    logged = audit.entries(layout.audit, APPROVE, REJECT, RETURN, WITHDRAW) if made else []
    known = {entry.get("statement_sha256") for entry in logged}
    for number, each in enumerate(made, start=1):
        if each.statement.digest not in known:
            raise ApprovalMissing(
                f"the audit log does not know decision {number}", "Find out who wrote it; have a new candidate built"
            )


def check_published(layout: Layout, release: Path) -> tuple[dict[str, Any], str, list[Decision]]:
    """Check a release of this data folder as `verify_release` does; the audit log must know manifest and decisions."""
    manifest, digest, made = verify_release(release)
    if manifest["release_id"] != release.name or not is_as_built(layout, release.name, digest):
        raise ApprovalMissing(
            "the manifest is not the one that was built", "Restore manifest.json: the candidate has it too"
        )
    must_be_logged(layout, made)
    return manifest, digest, made


def required_by(manifest: Mapping[str, Any]) -> dict[str, int]:
    """How many signatures of which roles the policy asks for; none where it is nobody's data."""
    return {} if manifest["generated"] else dict(load_policy().source(manifest["inputs"]["source"]).approvals)


def is_as_built(layout: Layout, candidate: str, digest: str) -> bool:
    """Whether the audit log knows this manifest as built: whoever changes it would have to forge the log as well."""
    entries = [one for one in audit.entries(layout.audit, "release") if one.get("candidate") == candidate]
    return bool(entries) and entries[-1].get("manifest_sha256") == digest


def signatures_missing(manifest: Mapping[str, Any], approving: list[Steward]) -> str:
    """Which signatures the policy asks for beside these, in words; empty where it is met."""
    return signatures(missing(required_by(manifest), approving))


def signatures(counts: Mapping[str, int]) -> str:
    """Numbers of signatures by role, in words."""
    return ", ".join(f"{count} signature{'s' if count > 1 else ''} of a {role}" for role, count in counts.items())


def lacking(layout: Layout, folder: Path) -> str:
    """Which signatures a candidate still lacks, in words; empty where policy is met. Raises ApprovalMissing where a
    decision is forged, or the audit log does not know it.
    """
    manifest, made = read_manifest(folder), read_decisions(folder)
    signed = approving(made, manifest, manifest_digest(folder))
    must_be_logged(layout, made)
    return signatures_missing(manifest, signed)


def dates_of(layout: Layout, candidate: str) -> str:
    """What `caregap release` is told beside --as-of to build the dates of a candidate again, by the audit log."""
    entries = [one for one in audit.entries(layout.audit, "release") if one.get("candidate") == candidate]
    built = entries[-1] if entries else {}
    return "".join(f" --{name} {built[name]}" for name in ("months", "every") if built.get(name, 1) != 1)


def state_of(layout: Layout, folder: Path) -> str:
    """Where the decision on a candidate stands, in words."""
    if ended := decisions.outcome(decisions_on(layout, folder)):
        return ENDED[ended]
    if (layout.published / folder.name).exists():
        return "published"
    left = lacking(layout, folder)
    return f"waits for {left}" if left else "ready to publish"


def same_candidate(layout: Layout, as_of: date, months: int, every: int) -> str | None:
    """The candidate of these very counts under this very policy, unless it was sent back; None where there is none.

    One that a killed run left without an entry in the audit log does not count: nobody can publish it.
    """
    about = read_counts(layout, as_of)[2]
    entries = audit.entries(layout.audit, "release")
    built = {one["candidate"]: one for one in entries if one.get("outcome") == "done"}
    for name, entry in reversed(built.items()):
        folder = layout.candidates / name
        dates = range(0, entry["months"], entry.get("every", 1))  # ranges are equal where what is in them is
        if entry["as_of"] != as_of.isoformat() or dates != range(0, months, every):
            continue
        if not (folder / MANIFEST).is_file() or manifest_digest(folder) != entry["manifest_sha256"]:
            continue
        inputs = read_manifest(folder)["inputs"]
        given = {word: about[word] for word in ("load", "lake", "policy_version", "code_version", "indicators")}
        given["release_policy_version"] = load_policy().version
        is_same = {word: inputs.get(word) for word in given} == given
        if is_same and decisions.outcome(read_decisions(folder)) != RETURN:
            return str(name)
    return None


def built(layout: Layout) -> list[str]:
    """Candidates that are there as the audit log knows them; one that a killed run left, nobody can publish."""
    known = {one.get("candidate") for one in audit.entries(layout.audit, "release") if one.get("outcome") == "done"}
    return [path.name for path in candidate_folders(layout) if path.name in known]


def last_release(layout: Layout) -> Path | None:
    """The folder of the release that `latest` names; None where nothing is published."""
    latest = layout.published / LATEST
    return latest.resolve() if latest.exists() else None
