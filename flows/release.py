"""The release zone's flow: protect the counts, attack the result, build a candidate; publish what was approved."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from flows import audit
from flows.counted import BY, DIMENSIONS, read_counts
from flows.history import cells_a_year_before, cells_of, population, published_history
from flows.notices import announce, told
from flows.protection import attack_release, must_hold, protect_with
from flows.room.candidates import manifest_digest
from flows.settings import Layout
from flows.version import code_version
from flows.zone import zone_flow, zone_task
from schemas.errors import UsageRefused
from schemas.indicators import Indicator, age_reach, load_indicators
from schemas.indicators.nesting import nested
from schemas.policy import load_policy
from schemas.publisher import load_publisher, to_fill_in
from transforms.release.figures import describe_derived, release_figures
from transforms.release.ledger import Record, recall
from transforms.release.names import MANIFEST
from transforms.release.page import Release
from transforms.release.protect import confidential_files, describe
from transforms.release.publish import build_candidate, public_files
from transforms.release.spec import Spec

MONTHS_A_YEAR = 12


@zone_task("protect, attack and build a candidate")
def protect(data: str, as_of: str, months: int, every: int, release_id: str) -> dict[str, Any]:
    """Build the candidate from the counts of a date and of month-ends before it; returns its public certificate.

    Of `as_of` every figure is cut by sex and age, of the dates before it by area alone. A date before `as_of` that is
    published already is left as it is; a year before, it is told again as it was, for the change since then.
    """
    layout, policy, day = Layout(Path(data)), load_policy(), date.fromisoformat(as_of)
    counts, areas, about = read_counts(layout, day)
    known = load_indicators()
    indicators = [known[name] for name in about["indicators"]]
    versions = {one.id: one.version for one in indicators}
    wanted, released = _dates(layout, about, day, months, every)
    inner = cells_of(counts.filter(pl.col("as_of").is_in(wanted)), areas, day)
    before = cells_a_year_before(layout.published, released, population(about), versions, day)
    inner = pl.concat([before, inner]) if months > MONTHS_A_YEAR and before.height else inner
    dates, pairs = inner["as_of"].unique().sort(), nested(indicators)
    within = tuple(((of, part), (of, whole)) for of in dates.cast(pl.String).to_list() for part, whole in pairs)
    spec = Spec("gap", DIMENSIONS, policy.disclosure, eligible="eligible", by=BY, nested=within)
    earlier = recall(layout.ledger, population(about), inner.select(BY).unique())
    protected = protect_with(layout.ledger, release_id, inner, spec, earlier)
    publisher = load_publisher()
    release = Release(
        release_id=release_id,
        as_of=day,
        created=datetime.now(UTC).date(),
        generated=about["generated"],
        rules=policy.disclosure,
        software_version=code_version(),
    )
    own, ages = protected.table.filter(pl.col("as_of") == as_of), {one.id: _ages(one) for one in indicators}
    certificate = protected.certificate | {"derived": describe_derived(own, ages)}
    tables = {
        date.fromisoformat(str(of)): part for (of,), part in protected.table.partition_by("as_of", as_dict=True).items()
    }
    files = public_files(
        protected.table.write_csv().encode(),
        protected.table,
        areas,
        indicators,
        certificate,
        release,
        derived=release_figures(tables, day, areas, ages),
        history=published_history(layout.published, population(about), versions),
        publisher=publisher,
    )
    _attack_as_published(files, layout.candidates)
    inputs = {name: about[name] for name in ("load", "source", "lake", "policy_version", "code_version", "indicators")}
    inputs |= {"release_policy_version": policy.version, "singling_out": about.get("singling_out", [])}
    inputs |= {"indicator_versions": versions, "feedback_address": publisher.email}
    build_candidate(
        layout.candidates / release_id, files, confidential_files(protected), release, inputs, built_by=audit.account()
    )
    return certificate


def _attack_as_published(files: Mapping[str, bytes], beside: Path) -> None:
    """Attack the very files that would be public, printed figures among them. Raises DisclosureRefused."""
    with TemporaryDirectory(prefix=".attack-", dir=beside) as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        must_hold(attack_release(Path(folder)))


def _ages(indicator: Indicator) -> tuple[int, int | None]:
    """Ages in completed years that an indicator is about: from, and below."""
    low, high = age_reach(indicator.population)
    return low // 12, None if high is None else -(-high // 12)


@zone_flow("caregap-release")
def release_flow(data: str, as_of: str, months: int, every: int, release_id: str) -> dict[str, Any]:
    """Make a release candidate of the counts of a date and of month-ends before it; returns its certificate."""
    return protect(data, as_of, months, every, release_id)


def _dates(
    layout: Layout, about: Mapping[str, Any], day: date, months: int, every: int
) -> tuple[list[date], list[Record]]:
    """The date asked for, and those of the month-ends before it that have been counted and never released; and the
    releases that there were of them.
    """
    tables = pl.DataFrame({"as_of": about["dates"]}).join(
        pl.DataFrame({"indicator": list(about["indicators"])}), how="cross"
    )
    earlier = recall(layout.ledger, population(about), tables.select(BY))
    released = {found for each in earlier for found in each.cells["as_of"].unique()}
    wanted = sorted(date.fromisoformat(found) for found in about["dates"])[-months:]
    if len(wanted) < months:
        raise UsageRefused("fewer months have been counted", f"caregap analyse --as-of {day} --months {months}")
    wanted = wanted[::-every]
    return [found for found in wanted if found == day or found.isoformat() not in released], earlier


def run_release(layout: Layout, as_of: date, months: int = 1, every: int = 1) -> tuple[Path, str]:
    """Run the flow; returns the candidate's folder and what a person wants to know of it.

    Of the `months` month-ends every one counts, or every third, back from `as_of`.
    """
    policy = load_policy().in_force(datetime.now(UTC).date())
    release_id = _next_id(layout, as_of)
    about = {"as_of": as_of.isoformat(), "months": months, "every": every, "candidate": release_id}
    about |= {"purpose": policy.purpose, "count": 0, "manifest_sha256": ""}
    with audit.outcome_of(layout.audit, "release", **about) as entry:
        with told(layout, "release", release_id):
            certificate = release_flow(str(layout.data), as_of.isoformat(), months, every, release_id)
        entry["count"] = certificate.get("cells", 0)
        entry["manifest_sha256"] = manifest_digest(layout.candidates / release_id)
    manifest = json.loads((layout.candidates / release_id / MANIFEST).read_text("utf-8"))
    if not manifest["generated"]:  # nobody's data are published without a decision
        announce(layout, "decision_waiting", "release", release_id)
    words = [describe(certificate)]
    if not manifest["generated"] and (left := to_fill_in(manifest["inputs"]["feedback_address"])):
        words.append(left)
    return layout.candidates / release_id, "\n".join(words)


def _next_id(layout: Layout, as_of: date) -> str:
    taken = {
        path.name.removeprefix(".") for folder in (layout.candidates, layout.published) for path in folder.iterdir()
    }
    number = 1
    while f"{as_of}-{number}" in taken:
        number += 1
    return f"{as_of}-{number}"
