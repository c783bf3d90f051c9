"""A candidate as a steward sees it: what it is, what changed, what is hidden and why, and what the checks say."""

import json
from pathlib import Path

import polars as pl

from flows.room.candidates import candidate_folder, manifest_digest, read_decisions, read_manifest, state_of
from flows.settings import Layout
from flows.storage import replace_bytes
from schemas.publisher import to_fill_in
from transforms.release.names import LATEST, PUBLIC
from transforms.release.protect import DECISIONS_FILE, FIGURES_FILE
from transforms.release.review import Section, as_page, as_text, changes, facts, hidden_by_rule, quality

PAGE = "confidential/review.html"


def show(layout: Layout, candidate: str) -> str:
    """A candidate in words; the same as a page beside it, for whoever decides. Raises UsageRefused."""
    folder = candidate_folder(layout, candidate)
    sections = _sections(layout, folder)
    replace_bytes(folder / PAGE, as_page(f"Candidate {candidate}", sections).encode())
    (folder / PAGE).chmod(0o600)
    return f"{as_text(sections)}\n\nThe same as a page: {folder / PAGE}"


def _sections(layout: Layout, folder: Path) -> list[Section]:
    manifest = read_manifest(folder)
    inputs = manifest["inputs"]
    about = {
        "as of": manifest["as_of"],
        "built by": manifest["built_by"],
        "created": manifest["created"],
        "source": inputs["source"] + (" (generated)" if manifest["generated"] else ""),
        "load": inputs["load"],
        "lake versions": ", ".join(f"{name} {version}" for name, version in inputs["lake"].items()),
        "code version": inputs["code_version"],
        "policy version": inputs["release_policy_version"],
        "manifest SHA-256": manifest_digest(folder),
        "state": state_of(layout, folder),
        "feedback address": inputs.get("feedback_address") or to_fill_in(""),
    }
    figures = json.loads((folder / FIGURES_FILE).read_text("utf-8"))
    figures = {name.replace("_", " "): value for name, value in figures.items() if not isinstance(value, dict | list)}
    made = [each.statement for each in read_decisions(folder)]
    said = pl.DataFrame(
        [(one.decided, one.decision, one.steward, one.reason) for one in made],
        schema=["decided", "decision", "steward", "reason"],
        orient="row",
    )
    history = layout.quality / "history.parquet"
    checks = pl.read_parquet(history).filter(pl.col("run_id") == inputs["load"])
    return [
        facts("Candidate", about),
        facts("The auditor's verdict, and what is hidden", figures),
        hidden_by_rule(pl.read_parquet(folder / DECISIONS_FILE)),
        changes(pl.read_parquet(folder / PUBLIC / "table.parquet"), _last(layout)),
        quality(checks),
        Section("Decisions", said, "None yet."),
    ]


def _last(layout: Layout) -> pl.DataFrame | None:
    path = layout.published / LATEST / "table.parquet"
    return pl.read_parquet(path) if path.exists() else None
