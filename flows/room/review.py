"""A candidate as a steward sees it: what it is, what changed, what is hidden and why, and what the checks say."""

import csv
import io
import json
import os
import shlex
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from expectations.report import page as quality_page
from expectations.report.words import words as quality_words
from flows.history import population
from flows.room.candidates import (
    candidate_folder,
    candidate_folders,
    dates_of,
    decisions_on,
    is_as_built,
    manifest_digest,
    read_cells,
    read_manifest,
    signatures,
)
from flows.room.standing import standing_of
from flows.settings import Layout
from flows.storage import replace_bytes
from schemas.areas import complete_areas
from schemas.errors import ApprovalMissing, DisclosureRefused, Refusal
from schemas.indicators import load_indicators
from schemas.labels import LANGUAGES
from transforms.release.datapackage import sha256
from transforms.release.decisions import WITHDRAW, from_json, outcome
from transforms.release.names import CONFIDENTIAL, DECISIONS, MANIFEST, PUBLIC
from transforms.release.page_figures import COLUMNS
from transforms.release.protect import FIGURES_FILE
from transforms.release.publish import AS_OF, approved_table, release_order
from transforms.release.published import CERTIFICATE_FILE
from transforms.release.review.cells import own_cells
from transforms.release.review.page import review_files
from transforms.release.review.text import review_text
from transforms.release.review.views import HIDDEN_CSV, Before, Missed, Quality, Review, page_name
from transforms.release.review.words import words

FILES = (*(page_name(language) for language in LANGUAGES), HIDDEN_CSV)
"""What is written beside a candidate's confidential files."""


def show(layout: Layout, candidate: str, language: str = "en") -> str:
    """A candidate in the words of a language; the same as pages in every language, for whoever decides.

    Raises UsageRefused where there is no such candidate; ApprovalMissing where its files, its decisions or the audit
    log do not agree, and DisclosureRefused where the list of hidden cells is not that of its table. Then no page of it
    is left, for it would tell of something else.
    """
    folder = candidate_folder(layout, candidate)
    beside = folder / CONFIDENTIAL
    try:
        review = _review(layout, folder, datetime.now(UTC))
    except Refusal:
        for name in FILES:
            (beside / name).unlink(missing_ok=True)
        raise
    for name, content in review_files(review).items():
        replace_bytes(beside / name, content, mode=0o600)
    own = words(language)
    return f"{review_text(review, language)}\n\n{own.say('page_there', page=beside / page_name(language))}"


def list_candidates(layout: Layout, language: str = "en") -> str:
    """One line a candidate: its id, who built it, and where its decision stands in the words of a language; CSV.

    In English roles stand as the policy writes them, for scripts read that.
    """
    text, own, today = io.StringIO(), words(language), datetime.now(UTC).date()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("candidate", "as_of", "built_by", "state"))
    for folder in candidate_folders(layout):
        about = ("", "")
        try:
            manifest = read_manifest(folder)
            about = (manifest["as_of"], manifest["built_by"])
            standing = standing_of(layout, folder, today)
            left = signatures(standing.left) if language == "en" else own.roles(standing.left)
            state = own.t[f"short_{standing.state}"].format(left=left)
        except Refusal as refusal:
            state = own.say("short_void", rule=refusal.rule)
        writer.writerow((folder.name, *about, state))
    return text.getvalue()


def _review(layout: Layout, folder: Path, now: datetime) -> Review:
    manifest, digest = read_manifest(folder), manifest_digest(folder)
    if not is_as_built(layout, folder.name, digest):
        raise ApprovalMissing("the manifest is not the one that was built", "Have a new candidate built")
    table = approved_table(folder, digest)
    certificate = json.loads((folder / PUBLIC / CERTIFICATE_FILE).read_text("utf-8"))
    decided = read_cells(folder)
    _must_agree(table, decided)
    before = _before(layout, manifest)
    indicators = load_indicators()
    names = {*table["indicator"], *(before.table["indicator"] if before else ())}
    is_elsewhere = layout.data != Path(os.environ.get("CAREGAP_DATA", "data"))
    return Review(
        manifest=manifest,
        digest=digest,
        standing=standing_of(layout, folder, now.date()),
        made=[each.statement for each in decisions_on(layout, folder)],
        certificate=certificate,
        figures=_figures(certificate, json.loads((folder / FIGURES_FILE).read_text("utf-8")), decided),
        table=table,
        decisions=decided,
        before=before,
        quality=_quality(layout, manifest["inputs"]["load"], folder / CONFIDENTIAL),
        areas=complete_areas(pl.read_csv(folder / PUBLIC / "areas.csv", infer_schema=False)),
        titles={
            name: indicators[name].title if name in indicators else dict.fromkeys(LANGUAGES, name) for name in names
        },
        folder=shlex.quote(str(layout.published / folder.name)),
        command="caregap" + (f" --data {shlex.quote(str(layout.data))}" if is_elsewhere else ""),
        dates=dates_of(layout, folder.name),
        written=now,
    )


def _must_agree(table: pl.DataFrame, decided: pl.DataFrame) -> None:
    """The confidential decisions have no hash in the manifest: they are held to the table that has."""
    is_out = pl.col("decision") == "published"
    told = decided.with_columns(
        value=pl.when(is_out).then("value"), status=pl.when(is_out).then("decision").otherwise(pl.lit("suppressed"))
    )
    if not told.select(AS_OF, *COLUMNS).cast({"value": pl.Int64}).equals(table.select(AS_OF, *COLUMNS)):
        raise DisclosureRefused("the decisions are not those of the table", "Build the candidate again", "decisions")


def _figures(certificate: Mapping[str, Any], exact: Mapping[str, Any], decided: pl.DataFrame) -> dict[str, Any]:
    """The certificate's figures, with what it withholds of few cells as it is. Raises DisclosureRefused."""
    figures = {name: certificate[name] if certificate.get(name) is not None else exact[name] for name in exact}
    counted = dict(decided.group_by("decision").len().iter_rows())
    if any(figures[name] != counted.get(name, 0) for name in ("published", "primary", "secondary")):
        raise DisclosureRefused("the figures are not those of the decisions", "Build the candidate again", "decisions")
    return figures


def _before(layout: Layout, manifest: Mapping[str, Any]) -> Before | None:
    """The release before a candidate, of the same population and not withdrawn: the one that it would follow."""
    about = {"generated": manifest["generated"], "load": manifest["inputs"]["load"]}
    found = []
    for path in layout.published.glob(f"[!.]*/{MANIFEST}"):
        folder, other = path.parent, read_manifest(path.parent)
        same = population({"generated": other["generated"], "load": other["inputs"]["load"]}) == population(about)
        if folder.is_symlink() or not same or release_order(other) >= release_order(manifest):
            continue
        if outcome(from_json((folder / DECISIONS).read_bytes())) != WITHDRAW:
            found.append((release_order(other), folder, other))
    if not found:
        return None
    _, folder, other = max(found, key=lambda one: one[0])
    content, day = (folder / "table.parquet").read_bytes(), date.fromisoformat(other["as_of"])
    if sha256(content) != other["sha256"]["table.parquet"]:
        raise ApprovalMissing("the table of the last release is not that of its manifest", "caregap verify tells more")
    table = pl.read_parquet(content)
    own = own_cells(table.with_columns(pl.col(AS_OF).cast(pl.String)), day)
    return Before(folder.name, day, own, other["inputs"].get("indicator_versions", {}))


def _quality(layout: Layout, load: str, page: Path) -> Quality:
    """What the checks of a load said, in the words of the quality pages."""
    history, run = layout.quality / "history.parquet", layout.quality / "runs" / load
    if not history.exists():
        return Quality(0, (), {})
    checks = pl.read_parquet(history).filter(pl.col("run_id") == load)
    limits = _limits(layout, run / "run.json")
    missed = [_missed(row, limits.get(row["check"])) for row in checks.filter(~pl.col("passed")).iter_rows(named=True)]
    pages = {
        language: os.path.relpath(path, page)
        for language in LANGUAGES
        if (path := run / quality_page.page_name(language)).exists()
    }
    return Quality(checks.height, missed, pages)


def _limits(layout: Layout, record: Path) -> Mapping[str, tuple[float | None, float | None]]:
    """Least and most that a check allowed, by its id, under the rules of the load."""
    rules = json.loads(record.read_text("utf-8"))["rules"] if record.exists() else ""
    path = layout.quality / "rules" / f"{rules}.json"
    if not rules or not path.exists():
        return {}
    return {rule["id"]: (rule["minimum"], rule["maximum"]) for rule in json.loads(path.read_text("utf-8"))}


def _missed(row: Mapping[str, Any], limits: tuple[float | None, float | None] | None) -> Missed:
    every = {language: quality_words(language) for language in LANGUAGES}
    figure = row["figure"]
    return Missed(
        severity=row["severity"],
        table={language: own.table(row["table"]) for language, own in every.items()},
        what={language: own.checked(figure) for language, own in every.items()},
        observed={language: own.observed(figure, row["observed"], row["count"]) for language, own in every.items()},
        limit={language: own.limits(figure, *limits) if limits else "–" for language, own in every.items()},
    )
