"""Which candidates are there: whether counts have one already, and the release that was published last."""

from datetime import date
from pathlib import Path

from flows import audit
from flows.counted import read_counts
from flows.release import manifest_digest
from flows.room import read_decisions, read_manifest
from flows.settings import Layout
from schemas.policy import load_policy
from transforms.release import decisions
from transforms.release.decisions import RETURN
from transforms.release.publish import LATEST


def same_candidate(layout: Layout, as_of: date, months: int) -> str | None:
    """The candidate of these very counts under this very policy, unless it was sent back; None where there is none.

    One that a killed run left without an entry in the audit log does not count: nobody can publish it.
    """
    about = read_counts(layout, as_of)[2]
    entries = audit.entries(layout.audit, "release")
    built = {one["candidate"]: one for one in entries if one.get("outcome") == "done"}
    for name, entry in reversed(built.items()):
        folder = layout.candidates / name
        if (entry["as_of"], entry["months"]) != (as_of.isoformat(), months) or not folder.is_dir():
            continue
        inputs = read_manifest(folder)["inputs"]
        given = {word: about[word] for word in ("load", "lake", "policy_version", "code_version", "indicators")}
        given["release_policy_version"] = load_policy().version
        if (
            manifest_digest(folder) == entry["manifest_sha256"]
            and {word: inputs.get(word) for word in given} == given
            and decisions.outcome(read_decisions(folder)) != RETURN
        ):
            return str(name)
    return None


def built(layout: Layout) -> list[str]:
    """Candidates that are there as the audit log knows them; one that a killed run left, nobody can publish."""
    known = {one.get("candidate") for one in audit.entries(layout.audit, "release") if one.get("outcome") == "done"}
    return sorted(path.name for path in layout.candidates.iterdir() if path.name in known)


def last_release(layout: Layout) -> Path | None:
    """The folder of the release that `latest` names; None where nothing is published."""
    latest = layout.published / LATEST
    return latest.resolve() if latest.exists() else None
