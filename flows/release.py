"""The release zone's flow: protect the counts, attack the result, build a candidate; publish what was approved."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from flows import audit
from flows.counted import read_counts
from flows.settings import Layout
from flows.storage import replace_json
from flows.version import code_version
from flows.zone import zone_flow, zone_task
from schemas.areas import MAJOR, UNKNOWN_AREA
from schemas.errors import ApprovalMissing, DisclosureRefused, UsageRefused
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from transforms.release.datapackage import sha256
from transforms.release.ledger import recall, record, remember
from transforms.release.page import Release, page_name
from transforms.release.protect import DECISIONS_FILE, confidential_files, describe, protect_counts
from transforms.release.publish import MANIFEST, PUBLIC, approved_table, build_candidate, public_files, publish
from transforms.release.published import CERTIFICATE_FILE
from transforms.release.spec import Spec

APPROVALS = "approvals.json"
BY = ("as_of", "indicator")
DIMENSIONS = (("major", "district"), ("sex",), ("age_band",))


@zone_task("protect, attack and build a candidate")
def protect(data: str, as_of: str, months: int, release_id: str) -> dict[str, Any]:
    """Build the candidate from the counts of a date and of month-ends before it; returns its public certificate.

    A date before `as_of` that is published already is left as it is.
    """
    layout, policy, day = Layout(Path(data)), load_policy(), date.fromisoformat(as_of)
    counts, areas, about = read_counts(layout, day)
    inner = inner_cells(counts.filter(pl.col("as_of").is_in(_dates(layout, about, day, months))), areas)
    spec = Spec(count="gap", eligible="eligible", by=BY, dimensions=DIMENSIONS, rules=policy.disclosure)
    earlier = recall(layout.ledger, _population(about), inner.select(BY).unique())
    protected = protect_counts(inner, spec, processes=os.cpu_count() or 1, earlier=earlier)
    release = Release(
        release_id=release_id,
        as_of=day,
        created=datetime.now(UTC).date(),
        generated=about["generated"],
        rules=policy.disclosure,
        software_version=code_version(),
    )
    known = load_indicators()
    indicators = [known[name] for name in about["indicators"]]
    files = public_files(
        protected.table.write_csv().encode(), protected.table, areas, indicators, protected.certificate, release
    )
    inputs = {name: about[name] for name in ("load", "source", "lake", "policy_version", "code_version", "indicators")}
    inputs |= {"release_policy_version": policy.version, "singling_out": about.get("singling_out", [])}
    build_candidate(layout.candidates / release_id, files, confidential_files(protected), release, inputs)
    return protected.certificate


@zone_flow("caregap-release")
def release_flow(data: str, as_of: str, months: int, release_id: str) -> dict[str, Any]:
    """Make a release candidate of the counts of a date and of month-ends before it; returns its certificate."""
    return protect(data, as_of, months, release_id)


def _dates(layout: Layout, about: Mapping[str, Any], day: date, months: int) -> list[date]:
    """The date asked for, and those of the month-ends before it that have been counted and never released."""
    tables = pl.DataFrame({"as_of": about["dates"]}).join(
        pl.DataFrame({"indicator": list(about["indicators"])}), how="cross"
    )
    earlier = recall(layout.ledger, _population(about), tables.select(BY))
    released = {found for each in earlier for found in each.cells["as_of"].unique()}
    wanted = sorted(date.fromisoformat(found) for found in about["dates"])[-months:]
    if len(wanted) < months:
        raise UsageRefused("fewer months have been counted", f"caregap analyse --as-of {day} --months {months}")
    return [found for found in wanted if found == day or found.isoformat() not in released]


def _population(about: Mapping[str, Any]) -> str:
    """Whom counts are of, for the ledger: the city; of generated data each load is a city of its own."""
    return f"generated {about['load']}" if about["generated"] else "city"


def inner_cells(counts: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """Counts in the words of a release; one row per date, indicator, district, sex and age band."""
    above = dict(areas.filter(pl.col("level") != MAJOR).select("code", "parent").iter_rows())
    return counts.select(
        pl.col("as_of").cast(pl.String),
        "indicator",
        major=pl.col("area_code").replace_strict({**above, UNKNOWN_AREA: UNKNOWN_AREA}),
        district="area_code",
        sex="sex",
        age_band="age_band",
        eligible="eligible",
        gap="open",
    )


def run_release(layout: Layout, as_of: date, months: int = 1) -> tuple[Path, str]:
    """Run the flow; returns the candidate's folder and what a person wants to know of it."""
    policy = load_policy().in_force(datetime.now(UTC).date())
    release_id = _next_id(layout, as_of)
    outcome, certificate = "refused", {}
    try:
        certificate = release_flow(str(layout.data), as_of.isoformat(), months, release_id)
        outcome = "done"
    finally:
        audit.record(
            layout.audit,
            "release",
            as_of=as_of.isoformat(),
            months=months,
            candidate=release_id,
            purpose=policy.purpose,
            count=certificate.get("cells", 0),
            outcome=outcome,
        )
    return layout.candidates / release_id, describe(certificate)


def publish_generated(layout: Layout, candidate: Path) -> Path:
    """Publish a candidate of nobody's data at once; returns its first page.

    Raises ApprovalMissing where the data may be somebody's: then a steward decides.
    """
    manifest = _manifest(layout, candidate.name)
    if _approvals_needed(manifest):
        raise ApprovalMissing(
            f"candidate {candidate.name} waits for a steward",
            f"caregap approve {candidate.name} --as NAME --reason TEXT",
        )
    return _publish(layout, candidate.name, by="policy: generated data")


def approve(layout: Layout, candidate: str, steward: str, reason: str) -> str:
    """Record a steward's approval of a candidate as it is; publish when policy is met; returns what came of it.

    Raises UsageRefused where there is no such candidate or no name or reason is given.
    """
    name = " ".join(steward.split())
    if not name or not reason.strip():
        raise UsageRefused("an approval needs a name and a reason", "Give --as NAME and --reason TEXT")
    load_policy().in_force(datetime.now(UTC).date())
    manifest = _manifest(layout, candidate)
    path = layout.candidates / candidate / APPROVALS
    approvals = json.loads(path.read_text("utf-8")) if path.exists() else {}
    digest = sha256((layout.candidates / candidate / MANIFEST).read_bytes())
    approvals[name.casefold()] = {"name": name, "reason": reason, "manifest_sha256": digest}
    replace_json(path, approvals)
    audit.record(layout.audit, "approve", candidate=candidate, steward=name, reason=reason, manifest_sha256=digest)
    given = sum(one["manifest_sha256"] == digest for one in approvals.values())
    if given < (needed := _approvals_needed(manifest)):
        return f"Recorded. {needed - given} more approvals are needed before {candidate} is published"
    return f"Published: {_publish(layout, candidate, by=name)}"


def _publish(layout: Layout, candidate: str, by: str) -> Path:
    """Remember in the ledger, then publish: a run that is killed between the two publishes when it is repeated."""
    folder = layout.candidates / candidate
    digest = sha256((folder / MANIFEST).read_bytes())
    _remember(layout, folder, approved_table(folder, digest))
    published = publish(folder, layout.published, digest)
    audit.record(layout.audit, "publish", release=candidate, by=by, manifest_sha256=digest)
    return published / page_name("fi")


def _remember(layout: Layout, candidate: Path, table: pl.DataFrame) -> None:
    """Enter a candidate into the ledger. Raises DisclosureRefused where its confidential files are not of its table."""
    certificate = json.loads((candidate / PUBLIC / CERTIFICATE_FILE).read_text("utf-8"))
    manifest = json.loads((candidate / MANIFEST).read_text("utf-8"))
    about = {"generated": manifest["generated"], "load": manifest["inputs"]["load"]}
    decisions = pl.read_parquet(candidate / DECISIONS_FILE)
    new = record(candidate.name, _population(about), certificate, decisions)
    if not new.table.select(table.columns).equals(table):
        raise DisclosureRefused("the decisions are not those of the table", "Build the candidate again", "decisions")
    remember(layout.ledger, new, certificate["earlier_releases"])


def _manifest(layout: Layout, candidate: str) -> dict[str, Any]:
    if candidate not in {path.name for path in layout.candidates.iterdir() if not path.name.startswith(".")}:
        raise UsageRefused("there is no such candidate", "caregap release makes one and names it")
    return dict(json.loads((layout.candidates / candidate / MANIFEST).read_text("utf-8")))


def _approvals_needed(manifest: dict[str, Any]) -> int:
    return 0 if manifest["generated"] else load_policy().source(manifest["inputs"]["source"]).approvals


def _next_id(layout: Layout, as_of: date) -> str:
    taken = {
        path.name.removeprefix(".") for folder in (layout.candidates, layout.published) for path in folder.iterdir()
    }
    number = 1
    while f"{as_of}-{number}" in taken:
        number += 1
    return f"{as_of}-{number}"
