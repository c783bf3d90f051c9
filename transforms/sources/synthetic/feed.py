"""A generated source written as a feed: a folder that any `feed:DIR` reader takes.

`DIR/<table>/part-0000.parquet`, ..., `DIR/feed.toml`, `DIR/areas.csv` and, for tests, `DIR/truth/*.parquet`. With daily
deltas there are feeds inside: `DIR/base` and `DIR/delta-YYYY-MM-DD`, one a day, with the truth beside them.
"""

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from schemas.areas import load_areas
from schemas.errors import UsageRefused
from transforms.sources.feed import FORMAT
from transforms.sources.synthetic.deltas import split
from transforms.sources.synthetic.source import SyntheticSource

FEED_FILE = "feed.toml"
BASE, DELTA = "base", "delta-"
MOST_DELTAS = 366
_Came = dict[date, dict[str, list[pl.DataFrame]]]


def write_feed(
    source: SyntheticSource, directory: Path, progress: Callable[[int], None] | None = None, *, deltas: int = 0
) -> dict[str, int]:
    """Write the feed and return its rows by table. `progress` hears of rows as they are written.

    With `deltas` the feed is taken apart: a base as it was known so many days before the as-of date, and what each day
    since has added or changed. Written beside `directory` and moved there when complete; a feed that is there already
    is replaced, anything else is refused (UsageRefused).
    """
    directory = directory.resolve()
    if not 0 <= deltas <= MOST_DELTAS:
        raise UsageRefused("the number of deltas is out of range", f"Give 0 to {MOST_DELTAS} days")
    is_feed = (directory / FEED_FILE).is_file() or (directory / BASE / FEED_FILE).is_file()
    if directory.exists() and not is_feed and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageRefused("the output folder holds something that is not a feed", "Give an empty or a new folder")
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    last = source.as_of - timedelta(days=deltas)
    first = partial / BASE if deltas else partial
    rows: dict[str, int] = {}
    parts: dict[str, int] = {}
    came: _Came = {last + timedelta(days=day + 1): {} for day in range(deltas)}
    for table, frame in source.batches():
        by_day = split(table, frame, last) if deltas else {None: frame}
        known = by_day.pop(None)
        for day, added in by_day.items():
            came[day or last].setdefault(table, []).append(added)
        part = parts.get(table, 0)
        parts[table] = part + 1
        _write(known, first / table / f"part-{part:04}.parquet")
        rows[table] = rows.get(table, 0) + known.height
        if progress is not None:
            progress(frame.height)
    _describe(source, first, last, rows)
    for day, tables in came.items():
        whole = {table: pl.concat(frames) for table, frames in tables.items()}
        for table, frame in whole.items():
            _write(frame, partial / f"{DELTA}{day}" / table / "part-0000.parquet")
            rows[table] = rows.get(table, 0) + frame.height
        _describe(source, partial / f"{DELTA}{day}", day, {table: frame.height for table, frame in whole.items()})
    (partial / "truth").mkdir()
    for name, truth in source.truth().items():
        truth.write_parquet(partial / "truth" / f"{name}.parquet", compression="zstd")
    _replace(partial, directory)
    return rows


def _write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, compression="zstd", compression_level=1)


def _describe(source: SyntheticSource, folder: Path, as_of: date, rows: dict[str, int]) -> None:
    """Write what makes a folder a feed: its description and its geography."""
    folder.mkdir(parents=True, exist_ok=True)
    areas = source.areas()
    (load_areas() if areas is None else areas).write_csv(folder / "areas.csv")
    lines = [
        f'format = "{FORMAT}"',
        f'identifier = "{source.identifier}"',
        f"generated = {str(source.generated).lower()}",
        f"as_of = {as_of.isoformat()}",
        f"persons = {source.persons}",
        f"years = {source.years}",
        f"seed = {source.seed}",
        "",
        "[rows]",
        *(f"{table} = {count}" for table, count in sorted(rows.items())),
    ]
    (folder / FEED_FILE).write_text("\n".join(lines) + "\n", "utf-8")


def _replace(partial: Path, directory: Path) -> None:
    """Swap folders; whatever moment it is killed at, a whole feed is there or beside."""
    former = directory.with_name(f".{directory.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if directory.exists():
        directory.rename(former)
    partial.rename(directory)
    shutil.rmtree(former, ignore_errors=True)
