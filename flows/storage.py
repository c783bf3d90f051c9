"""The lake: Delta Lake tables, and the snapshot that names one consistent set of their versions.

A load commits table by table and writes the snapshot last, beside and then replaced. A run that is killed leaves the
snapshot, and so everything that is computed from it, as it was.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, CommitProperties

from flows.settings import Layout
from schemas.errors import Busy, SourceRefused
from schemas.tables import TABLES

AREA_ARROW = pa.schema(
    [
        pa.field(name, pa.string())
        for name in ("code", "parent", "level", "name_fi", "name_sv", "name_en", "short_fi", "short_sv")
    ]
    + [pa.field("tile_column", pa.int32()), pa.field("tile_row", pa.int32()), pa.field("population", pa.int64())]
)

_SUFFIX = re.compile(r"(?:recent-)?[^-]+-[0-9a-f]{8}\.parquet$")
"""The end of a file's name, behind that of its load."""
CHECKPOINT_EVERY = 10
"""Versions of a table after which its log is summed up: else opening it takes longer with every night."""
_FORGET = ".forget-earlier-residences"


@dataclass(frozen=True)
class Snapshot:
    """What the lake holds: the version of each table, and the terms of the load that wrote them.

    `epoch` is that of the keys its pseudonyms are under; empty where the load did not record it. `identifier` is what
    the persons are known by in the source: "hetu" or "opaque".
    """

    load: str
    as_of: str
    source: str
    generated: bool
    policy_version: str
    code_version: str
    tables: dict[str, int]
    rows: dict[str, int]
    epoch: str = ""
    identifier: str = "hetu"


@contextlib.contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Let one load at a time work in a data folder; raises Busy where another is at work."""
    with (layout.data / "controller" / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            busy = True
        else:
            busy = False
        if busy:
            raise Busy("another load is at work in this data folder", "Wait until it has finished")
        yield


def commit(layout: Layout, name: str, files: Sequence[Path], load: str, time_ms: int, kept: Sequence[str] = ()) -> int:
    """Move checked files into a table of the lake, replacing its content; returns the new version.

    `kept` are files of the version before that stay. They are in the new one under another name, without being copied:
    one commit cannot both remove and add a file.
    """
    folder = layout.lake / name
    schema = Schema.from_arrow(TABLES[name].platform_arrow_schema if name in TABLES else AREA_ARROW)
    folder.mkdir(parents=True, exist_ok=True)
    if not DeltaTable.is_deltatable(str(folder)):
        DeltaTable.create(str(folder), schema=schema)
    table = DeltaTable(str(folder))
    actions = []
    for file in files:
        target = folder / f"{load}-{file.stem}-{uuid4().hex[:8]}.parquet"
        rows = pq.ParquetFile(file).metadata.num_rows
        _move(file, target)
        actions.append(_added(target, rows, time_ms))
    for path in kept:
        file = folder / Path(path).name
        target = folder / f"{load}-{_SUFFIX.findall(file.name)[0]}"
        _link(file, target)
        actions.append(_added(target, pq.ParquetFile(target).metadata.num_rows, time_ms))
    table.create_write_transaction(
        actions, "overwrite", schema, commit_properties=CommitProperties(custom_metadata={"load": load})
    )
    return int(DeltaTable(str(folder)).version())


def _added(target: Path, rows: int, time_ms: int) -> AddAction:
    stats = json.dumps({"numRecords": rows})
    return AddAction(target.name, target.stat().st_size, {}, time_ms, True, stats)


def write_snapshot(layout: Layout, snapshot: Snapshot) -> None:
    """Make a load the current one."""
    replace_json(layout.lake / "snapshot.json", asdict(snapshot))


def has_snapshot(layout: Layout) -> bool:
    """Whether anything has been loaded."""
    return (layout.lake / "snapshot.json").exists()


def read_snapshot(layout: Layout) -> Snapshot:
    """The current load. Raises SourceRefused where nothing has been loaded."""
    path = layout.lake / "snapshot.json"
    if not path.exists():
        raise SourceRefused("the lake is empty", "Load a source first: caregap ingest --source SRC --as-of DATE")
    return Snapshot(**json.loads(path.read_text("utf-8")))


def lake_files(layout: Layout, snapshot: Snapshot) -> dict[str, list[str]]:
    """The Parquet files of each table in a snapshot's version."""
    return {
        name: sorted(DeltaTable(str(layout.lake / name), version=version).file_uris())
        for name, version in snapshot.tables.items()
    }


def forget_later(layout: Layout) -> None:
    """Note, before a snapshot is written, that earlier residences must go: a run that is killed leaves the note."""
    (layout.lake / _FORGET).touch()


def forget_earlier(layout: Layout, snapshot: Snapshot, name: str) -> None:
    """Where it was noted, leave of a table nothing but the snapshot's version: neither rows nor log entries.

    No tool can open an earlier version of the table afterwards.
    """
    if not (layout.lake / _FORGET).exists():
        return
    folder, version = layout.lake / name, snapshot.tables[name]
    table = DeltaTable(str(folder), version=version)
    table.create_checkpoint()
    kept = {Path(path).name for path in table.file_uris()}
    for entry in (folder / "_delta_log").iterdir():
        if entry.name[:20].isdecimal() and int(entry.name[:20]) < version:
            entry.unlink()
    for file in folder.glob("*.parquet"):
        if file.name not in kept:
            file.unlink()
    (layout.lake / _FORGET).unlink()


def tidy(layout: Layout, snapshot: Snapshot, keep_hours: int) -> None:
    """Delete what is older than policy keeps and no longer named by the snapshot, and keep the way through logs short.

    A checkpoint forgets which files were removed long ago, so that all files that no version names are looked for.
    """
    for name, version in snapshot.tables.items():
        folder = layout.lake / name
        table = DeltaTable(str(folder))
        table.vacuum(keep_hours, dry_run=False, enforce_retention_duration=False, full=True, keep_versions=[version])
        if version - _last_checkpoint(folder) >= CHECKPOINT_EVERY:
            DeltaTable(str(folder), version=version).create_checkpoint()


def _last_checkpoint(folder: Path) -> int:
    """Version of a table's last checkpoint; 0 where there is none."""
    path = folder / "_delta_log" / "_last_checkpoint"
    return int(json.loads(path.read_text("utf-8"))["version"]) if path.exists() else 0


def replace_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file beside, then replace."""
    replace_bytes(path, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())


def replace_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file beside, then replace; never open to more accounts than `mode` and the umask allow."""
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def replace_folder(beside: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one; at each moment the old one or the new one is there whole."""
    if not target.exists():
        beside.replace(target)
        return
    old = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    target.replace(old)
    beside.replace(target)
    shutil.rmtree(old)


def _move(file: Path, target: Path) -> None:
    """Rename, or copy beside and rename where the lake lies on another file system."""
    try:
        file.replace(target)
    except OSError:
        beside = target.with_name(f".{target.name}")
        shutil.copyfile(file, beside)
        beside.replace(target)
        file.unlink()


def _link(file: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has none."""
    try:
        os.link(file, target)
    except OSError:
        beside = target.with_name(f".{target.name}")
        shutil.copyfile(file, beside)
        beside.replace(target)
