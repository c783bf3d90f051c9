"""What an increment builds on: the snapshot, its files, and what the controller remembers of the loads before.

An increment is a feed folder with only the rows that are new, corrected or withdrawn. It is merged where it surely
gives what a full load of all rows would give; where that is not sure it is refused, and a full load is asked for.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from expectations.profile import WITHOUT_FAULT
from flows.settings import Layout
from flows.storage import Snapshot, has_snapshot, lake_files, read_snapshot
from schemas.errors import SourceRefused, UsageRefused
from schemas.policy import Policy
from schemas.table import PERSON_NUMBER
from schemas.tables import IDENTITY_LINK
from transforms.controller.holding import holding
from transforms.controller.increment import Merged
from transforms.controller.key_index import KeyIndex
from transforms.controller.keys import Keyring
from transforms.controller.load import Before
from transforms.controller.memory import SUFFIX, Memory, memory_key, recall
from transforms.controller.pseudonymise import from_series
from transforms.controller.register import words
from transforms.sources import Source

_FULL = "Load the source in full: caregap ingest without --increment"


@dataclass(frozen=True)
class Base:
    """The lake as it is: snapshot, files and key index by table, geography, and what the loader needs to know of it."""

    snapshot: Snapshot
    files: dict[str, list[str]]
    areas: pl.DataFrame
    before: Before
    index: dict[str, KeyIndex]


def resolutions(policy: Policy, kind: str) -> dict[str, str]:
    """How exact the dates are that a load of this kind of source writes."""
    return {**policy.event_dates, "birth_date": policy.source(kind).birth_date}


def open_base(layout: Layout, source: Source, policy: Policy, keyring: Keyring, as_of: date) -> Base:
    """Open what an increment is merged into. Raises UsageRefused, SourceRefused or KeyUnavailable."""
    if not has_snapshot(layout):
        raise SourceRefused("there is nothing that an increment could be merged into", _FULL)
    snapshot = read_snapshot(layout)
    if as_of < date.fromisoformat(snapshot.as_of):
        raise UsageRefused("the lake is as of a later date", "Give a date that is not earlier, or load in full")
    if (source.kind, source.identifier, source.generated or policy.source(source.kind).generated) != (
        snapshot.source,
        snapshot.identifier,
        snapshot.generated,
    ):
        raise SourceRefused("the lake was loaded from another kind of source", _FULL)
    path = memory_file(layout, snapshot.load)
    if snapshot.epoch != keyring.current or not path.exists():
        raise SourceRefused("the lake has been re-keyed, or was loaded by an earlier version", _FULL)
    memory = recall(path, memory_key(keyring))
    if dict(memory.event_dates) != resolutions(policy, source.kind):
        raise SourceRefused("policy now keeps dates as exact as it did not before", _FULL)
    files = lake_files(layout, snapshot)
    areas = pl.concat([pl.read_parquet(file) for file in files.pop("area")])
    given = source.areas()
    if given is not None and not given.select(areas.columns).sort("code").equals(areas.sort("code")):
        raise SourceRefused("the geography is not that of the lake", _FULL, table="areas")
    people = pl.concat([pl.read_parquet(file, columns=[PERSON_NUMBER, "pseudonym"]) for file in files["person"]])
    persons = pl.DataFrame([*words(from_series(people["pseudonym"])[0]), people[PERSON_NUMBER]])
    index = {name: KeyIndex(index_folder(layout) / name, memory_key(keyring)) for name in files}
    for name, of_table in index.items():
        of_table.keep_only(files[name])
    return Base(snapshot, files, areas, Before(memory, persons), index)


def memory_file(layout: Layout, load: str) -> Path:
    """Where is sealed what is remembered of a load."""
    return layout.memory / f"{load}{SUFFIX}"


def index_folder(layout: Layout) -> Path:
    """Where the controller keeps the indexes of the lake's record keys, a folder a table."""
    return layout.memory.parent / "index"


def forget_memories(layout: Layout, *, indexes: bool = False) -> None:
    """Delete what is remembered of loads that the lake no longer holds, or never came to hold.

    With `indexes` those of record keys go too: a full load leaves no file that they are of.
    """
    kept = memory_file(layout, read_snapshot(layout).load) if has_snapshot(layout) else None
    if indexes or kept is None or not kept.exists():
        shutil.rmtree(index_folder(layout), ignore_errors=True)
    for path in layout.memory.iterdir():
        if path != kept:
            path.unlink()


def forget_rekeyed(layout: Layout) -> None:
    """Delete all that is remembered for increments: a lake under other keys is loaded in full, and needs none of it.

    What is remembered opens with the earlier epoch's key, and an index tells that epoch's record keys in part.
    """
    shutil.rmtree(index_folder(layout), ignore_errors=True)
    for path in layout.memory.iterdir():
        path.unlink()


def with_waiting(
    batches: Iterator[tuple[str, pl.DataFrame]], memory: Memory | None, today: date, keep_days: int
) -> Iterator[tuple[str, pl.DataFrame, bool]]:
    """Batches of a source, and among them, marked, the rows that were rejected for want of something.

    They come in the same order, before those of the source. Rows that waited longer than the quarantine keeps rows
    are forgotten.
    """
    waiting = dict(memory.waiting) if memory else {}
    due = sorted(waiting, key=_turn)
    for name, rows in batches:
        while due and _turn(due[0]) <= _turn(name):
            yield from _again(due[0], waiting[due.pop(0)], today, keep_days)
        yield name, rows, False
    for name in due:
        yield from _again(name, waiting[name], today, keep_days)


def _turn(name: str) -> int:
    return {IDENTITY_LINK: 0, "person": 1}.get(name, 2)


def _again(name: str, rows: pl.DataFrame, today: date, keep_days: int) -> Iterator[tuple[str, pl.DataFrame, bool]]:
    lasting = rows.filter(pl.col("_since") >= today - timedelta(days=keep_days))
    if lasting.height:
        yield name, lasting, True


def intake(merged: dict[str, Merged], as_of: date) -> dict[str, Any]:
    """What the controller says of the files that are judged, by table: the rows that should be in them.

    With what the lake holds after the merge: `lake_rows`, and `days_since_latest_event` where something has happened.
    """
    return {
        name: {"rows_in": table.rows_after, "kept": table.rows_after, "quarantined": {}}
        | asdict(holding([*map(str, table.written), *table.kept], as_of))
        for name, table in merged.items()
    }


def judge_delta(figures: dict[str, dict[str, float | None]], tallies: dict[str, Any], intakes: dict[str, Any]) -> None:
    """Put the figures in place that the judged files alone do not give.

    Those of a table are of the delta's rows; how many rows there are and when the last thing happened is of the lake,
    and the shares that were rejected are of the rows that came.
    """
    for name, of_table in figures.items():
        tally = tallies.get(name) or {"rows_in": 0, "kept": 0, "quarantined": {}}
        rows_in = tally["rows_in"]
        duplicates = sum(tally["quarantined"].get(reason, 0) for reason in WITHOUT_FAULT)
        rejected = sum(tally["quarantined"].values()) - duplicates
        lost = abs(rows_in - tally["kept"] - rejected - duplicates)
        if name in intakes:
            of_table["row_count"] = intakes[name]["lake_rows"]
            if "days_since_latest_event" in of_table:
                of_table["days_since_latest_event"] = intakes[name]["days_since_latest_event"]
        of_table |= {
            "rows_in": rows_in,
            "kept": tally["kept"],
            "quarantined_count": rejected,
            "quarantined_share": rejected / rows_in if rows_in else None,
            "duplicate_count": duplicates,
            "duplicate_share": duplicates / rows_in if rows_in else None,
            "lost_count": (of_table["lost_count"] or 0) + lost,
        }
