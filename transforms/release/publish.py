"""Candidates and releases: folders that appear whole or not at all, and whose every byte the manifest vouches for.

A candidate holds `public/`, `confidential/` and `manifest.json`. A release is the public files and the
manifest, under its own name for good; `latest` beside it is a relative link to the release of the latest as-of date.
"""

import fcntl
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from schemas.errors import ApprovalMissing, DisclosureRefused, UsageRefused
from schemas.publisher import UNNAMED, Publisher
from transforms.release.datapackage import CC_BY_4, Licence, describe_release, sha256
from transforms.release.decisions import WITHDRAW, Decision, from_json, outcome
from transforms.release.downloads import FOLDER as DOWNLOADS
from transforms.release.downloads import download_files
from transforms.release.downloads.describe import download_resources
from transforms.release.figures import DERIVED_FILE
from transforms.release.names import CONFIDENTIAL, DECISIONS, LATEST, MANIFEST, PUBLIC
from transforms.release.page import IndicatorText, Release
from transforms.release.page_figures import COLUMNS, public_cells
from transforms.release.site.addresses import STYLE
from transforms.release.site.pages import render_site
from transforms.release.tombstone import withdrawn_pages

AS_OF = "as_of"
"""Column of a release's table: the date that a figure is of, as YYYY-MM-DD."""
_KINDS = {"release_id": str, "built_by": str, "generated": bool, "inputs": dict, "sha256": dict}
"""What a manifest has beside its two dates."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def public_files(
    table_csv: bytes,
    table: pl.DataFrame,
    areas: pl.DataFrame,
    indicators: Sequence[IndicatorText],
    certificate: Mapping[str, Any],
    release: Release,
    derived: pl.DataFrame | None = None,
    licence: Licence = CC_BY_4,
    history: Mapping[date, pl.DataFrame] | None = None,
    publisher: Publisher = UNNAMED,
) -> dict[str, bytes]:
    """Make every public file of a release; its path in the release to bytes. The same input gives the same bytes.

    `table_csv` is the protected table as it was written and attacked, `table` the same as a frame. It may have several
    dates; the pages show the release's own, and of the others the trend of the whole city, as they do of `history`:
    tables of dates that other releases published. `derived` are figures of the table, with AS_OF. Raises
    DisclosureRefused where the two tables differ, or where the table cannot be shown as it is.
    """
    dates = table.partition_by(AS_OF, as_dict=True, maintain_order=True)
    cells = pl.concat(
        public_cells(part, areas).cast({"value": pl.Int64}).select(pl.lit(day).alias(AS_OF), *COLUMNS)
        for (day,), part in dates.items()
    )
    own = dates.get((release.as_of.isoformat(),))
    if own is None or not _read_table(table_csv).equals(cells):
        raise DisclosureRefused(
            "table.csv and the protected table differ", "Protect the counts again", table="protected table"
        )
    parquet = io.BytesIO()
    cells.with_columns(pl.col(AS_OF).str.to_date()).write_parquet(parquet)
    files = {
        "table.csv": table_csv,
        "table.parquet": parquet.getvalue(),
        "areas.csv": areas.write_csv().encode(),
        "certificate.json": _json(certificate),
    }
    if derived is not None:
        files[DERIVED_FILE] = derived.write_csv().encode()
    files |= download_files(cells, areas, indicators, release, derived, licence, publisher.email)
    files["datapackage.json"] = describe_release(
        files, release, indicators, licence, download_resources(files, DOWNLOADS)
    )
    own_derived = None if derived is None else derived.filter(pl.col(AS_OF) == release.as_of.isoformat())
    before = {date.fromisoformat(str(day)): part for (day,), part in dates.items()}
    earlier = {day: part for day, part in {**(history or {}), **before}.items() if day < release.as_of}
    sizes = {path: len(content) for path, content in files.items()}
    return files | render_site(own, areas, indicators, release, own_derived, earlier, sizes, publisher, licence)


def build_candidate(
    directory: Path,
    files: Mapping[str, bytes],
    confidential: Mapping[str, bytes],
    release: Release,
    inputs: Mapping[str, Any],
    built_by: str,
) -> str:
    """Write the candidate folder `directory`, whole or not at all; the SHA-256 of its manifest, which is what a
    steward approves.

    `files` are public, by their paths in the release; `confidential` ones stay with the candidate. `inputs` names what
    the figures were computed from (lake table versions, code and policy version) and goes into the manifest as it is,
    as does `built_by`, the account that built it. Raises UsageRefused where the folder exists already or a name cannot
    be a file's.
    """
    for name in (release.release_id, *confidential):
        _must_be_plain(name)
    for path in files:
        _must_lead_inside(path)
    manifest = _json(
        {
            "release_id": release.release_id,
            "as_of": release.as_of.isoformat(),
            "created": release.created.isoformat(),
            "built_by": built_by,
            "generated": release.generated,
            "inputs": inputs,
            # Public files only: whoever had a hash of a confidential one could try out what the hidden counts are.
            "sha256": {name: sha256(content) for name, content in sorted(files.items())},
        }
    )
    content = {f"{PUBLIC}/{name}": content for name, content in files.items()}
    content |= {f"{CONFIDENTIAL}/{name}": content for name, content in confidential.items()}
    with _locked(directory.parent):
        _place(directory, {**content, MANIFEST: manifest})
    return sha256(manifest)


def approved_table(candidate: Path, manifest_sha256: str) -> pl.DataFrame:
    """The table that a candidate would publish, as anybody will read it. Raises as `publish` does."""
    _, files = _read_candidate(candidate, manifest_sha256)
    return _read_table(files["table.csv"])


def publish(candidate: Path, published: Path, manifest_sha256: str, decisions: bytes) -> Path:
    """Publish a candidate as `published/<release id>`, whole or not at all; the folder of the release.

    `manifest_sha256` is the manifest that was approved, `decisions` who did. Raises ApprovalMissing where the manifest
    or any public file is not what was approved, to the byte, or a file is there that the manifest does not name;
    UsageRefused where the release exists already, for what is published is final. After a killed run, publishing again
    finishes or refuses, and either way mends `latest`.
    """
    manifest, files = _read_candidate(candidate, manifest_sha256)
    release_id = str(manifest["release_id"])
    target = published / release_id
    with _locked(published):
        _point_latest(published)
        _place(target, {**files, DECISIONS: decisions})
        _point_latest(published)
    return target


def withdraw(release: Path, decisions: bytes, pages: Mapping[str, bytes]) -> None:
    """Leave of a published release its manifest, style and decisions, and pages that say that it is withdrawn.

    The decision comes first: a run that is killed withdraws the rest when it is repeated. The files need not be those
    of the manifest: a style sheet that is not goes too, and so does what stands in a page's place.
    """
    hashes = manifest_of(_read(release / MANIFEST))["sha256"]
    style = {STYLE} if sha256(_read(release / STYLE) or b"") == hashes.get(STYLE) else set()
    with _locked(release.parent):
        _make_way(release, pages)
        for name, content in {DECISIONS: decisions, **pages}.items():
            target = release / name
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.new")
            beside.write_bytes(content)
            beside.replace(target)
        for name in files_in(release) - {MANIFEST, DECISIONS, *style, *pages}:
            (release / name).unlink()
        folders = [path for path in release.rglob("*") if path.is_dir()]
        for folder in sorted(folders, reverse=True):
            if any(folder.iterdir()):
                _sync(folder)
            else:
                folder.rmdir()
        _sync(release)
        _point_latest(release.parent)


def _make_way(release: Path, pages: Iterable[str]) -> None:
    """Remove links, files where pages need a folder and folders where they need a file: they lead elsewhere."""
    files = {release / name for name in (MANIFEST, DECISIONS, STYLE, *pages)}
    folders = {folder for path in files for folder in path.parents}
    for path in sorted(release.rglob("*")):
        if path.is_symlink() or (path in folders and path.is_file()):
            path.unlink()
        elif path in files and path.is_dir():
            shutil.rmtree(path)


def manifest_of(content: bytes | None) -> dict[str, Any]:
    """A manifest from its bytes. Raises ApprovalMissing where it cannot be read as one."""
    try:
        manifest = json.loads(content or b"")
        for name in ("as_of", "created"):
            date.fromisoformat(manifest[name])
        if all(isinstance(manifest[name], kind) for name, kind in _KINDS.items()):
            return dict(manifest)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ApprovalMissing("manifest.json cannot be read", "Restore it from its backup, or get the release anew")


def verify_release(release: Path) -> tuple[dict[str, Any], str, list[Decision]]:
    """Check the files of a published release against its manifest; the manifest, its SHA-256 and the decisions.

    Raises ApprovalMissing where a file is missing, changed or added. A withdrawn one holds the pages that say so, which
    are made again to compare them, and may hold its style sheet.
    """
    manifest_bytes, decisions_bytes = _read(release / MANIFEST), _read(release / DECISIONS)
    if manifest_bytes is None or decisions_bytes is None:
        raise ApprovalMissing("manifest.json and decisions.json are not there", "Give the folder of a release")
    manifest, decisions = manifest_of(manifest_bytes), from_json(decisions_bytes)
    release_id, hashes = manifest["release_id"], manifest["sha256"]
    if not all(map(_is_plain, (release_id, *(part for path in hashes for part in path.split("/"))))):
        raise ApprovalMissing("manifest.json names what cannot be in a release", "Do not use it; ask its publisher")
    there = files_in(release) - {MANIFEST, DECISIONS}
    rule, mend = "files are not those of the manifest", "Get the release anew"
    if outcome(decisions) == WITHDRAW:
        pages = withdrawn_pages(release_id, datetime.fromisoformat(decisions[-1].statement.decided).date(), hashes)
        style = {name: hashes[name] for name in {STYLE} & there & set(hashes)}
        hashes = style | {name: sha256(content) for name, content in pages.items()}
        rule, mend = "files are not those of a withdrawn release", "Get the release anew, or withdraw it again"
    changed = [name for name in hashes if sha256(_read(release / name) or b"") != hashes[name]]
    if wrong := len(there - set(hashes)) + len(changed):
        raise ApprovalMissing(rule, mend, count=wrong, of="files")
    return manifest, sha256(manifest_bytes), decisions


def files_in(folder: Path) -> set[str]:
    """Paths of all files below a folder, as a manifest writes them. A link counts as a file, wherever it leads."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}


def _read_candidate(candidate: Path, manifest_sha256: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files to publish, each read once and checked."""
    manifest_bytes = _read(candidate / MANIFEST)
    if manifest_bytes is None or sha256(manifest_bytes) != manifest_sha256:
        raise ApprovalMissing("the manifest is not the one that was approved", "Have the candidate approved as it is")
    manifest = manifest_of(manifest_bytes)
    _must_be_plain(manifest["release_id"])
    hashes: dict[str, str] = manifest["sha256"]
    for path in hashes:
        _must_lead_inside(path)
    if unnamed := files_in(candidate / PUBLIC) - set(hashes):
        raise ApprovalMissing(
            "files are there that nobody approved", "Build the candidate again", count=len(unnamed), of="files"
        )
    files = {name: _read(candidate / PUBLIC / name) for name in hashes}
    kept = {name: content for name, content in files.items() if content is not None and sha256(content) == hashes[name]}
    if changed := len(hashes) - len(kept):
        raise ApprovalMissing("files are not what was approved", "Build the candidate again", count=changed, of="files")
    return manifest, {**kept, MANIFEST: manifest_bytes}


def _point_latest(published: Path) -> None:
    """Let `latest` name the release of the latest as-of date; of several of one date, the one created last.

    A correction of an older date therefore leaves it alone. A release that is withdrawn or cannot be read is none.
    """
    folders = [path.parent for path in published.glob(f"[!.]*/{MANIFEST}") if not path.parent.is_symlink()]
    releases = [manifest for folder in folders if (manifest := _standing(folder))]
    link, beside = published / LATEST, published / f".{LATEST}.new"
    if not releases:
        link.unlink(missing_ok=True)
        return
    newest = max(releases, key=release_order)["release_id"]
    if link.is_symlink() and str(link.readlink()) == newest:
        return
    beside.unlink(missing_ok=True)
    beside.symlink_to(newest, target_is_directory=True)
    beside.replace(link)
    _sync(published)


def _standing(release: Path) -> dict[str, Any] | None:
    """The manifest of a release that is not withdrawn, where it can be read."""
    try:
        is_withdrawn = outcome(from_json(_read(release / DECISIONS) or b"")) == WITHDRAW
        return None if is_withdrawn else manifest_of(_read(release / MANIFEST))
    except ApprovalMissing:
        return None


def release_order(manifest: Mapping[str, Any]) -> tuple[str, str, list[tuple[int, str]]]:
    """Order of releases: by as-of date, and of one date by when they were created."""
    return manifest["as_of"], manifest["created"], _natural(manifest["release_id"])


def _natural(release_id: str) -> list[tuple[int, str]]:
    """Order in which "-10" comes after "-9"."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", release_id)]


def _place(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder beside and move it into place, on disk before it is in sight; the parent must be locked."""
    beside = target.with_name(f".{target.name}.new")
    if beside.exists():
        shutil.rmtree(beside)
    if target.exists():
        raise UsageRefused("the folder is there already and is final", "Give the release a new id")
    beside.mkdir()
    folders = {beside}
    for name, content in files.items():
        path = beside / name
        is_confidential = name.startswith(f"{CONFIDENTIAL}/")
        if is_confidential:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        folders |= {folder for folder in path.parents if folder.is_relative_to(beside)}
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if is_confidential else 0o666), "wb"
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for folder in folders:
        _sync(folder)
    beside.rename(target)
    _sync(target.parent)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder; a killed process gives the lock back."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read_table(table_csv: bytes) -> pl.DataFrame:
    types = {name: pl.Int64() if name == "value" else pl.String() for name in (AS_OF, *COLUMNS)}
    try:
        return pl.read_csv(table_csv, schema_overrides=types)
    except pl.exceptions.PolarsError:
        return pl.DataFrame()


def _must_be_plain(name: str) -> None:
    if not _is_plain(name):
        raise UsageRefused("the name of a release or of a file is not plain", "Use letters, digits, dots and hyphens")


def _is_plain(name: str) -> bool:
    return _PLAIN_NAME.fullmatch(name) is not None and name not in (LATEST, MANIFEST)


def _must_lead_inside(path: str) -> None:
    """A path of plain names, which leads to nowhere but a file of the release."""
    for name in path.split("/"):
        _must_be_plain(name)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
