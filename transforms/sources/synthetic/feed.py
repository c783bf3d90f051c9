"""A generated source written as a feed: a folder that any `feed:DIR` reader takes.

`DIR/<table>/part-0000.parquet`, ..., `DIR/feed.toml`, `DIR/areas.csv` and, for tests, `DIR/truth/*.parquet`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from schemas.areas import load_areas
from schemas.errors import UsageRefused
from transforms.sources.feed import FORMAT
from transforms.sources.synthetic.source import SyntheticSource

FEED_FILE = "feed.toml"


def write_feed(
    source: SyntheticSource, directory: Path, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write the feed and return its rows by table. `progress` hears of rows as they are written.

    Written beside `directory` and moved there when complete; a feed that is there already is replaced, anything else
    is refused (UsageRefused).
    """
    directory = directory.resolve()
    is_feed = (directory / FEED_FILE).is_file()
    if directory.exists() and not is_feed and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageRefused("the output folder holds something that is not a feed", "Give an empty or a new folder")
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows: dict[str, int] = {}
    parts: dict[str, int] = {}
    for table, frame in source.batches():
        part = parts.get(table, 0)
        parts[table] = part + 1
        (partial / table).mkdir(exist_ok=True)
        frame.write_parquet(partial / table / f"part-{part:04}.parquet", compression="zstd")
        rows[table] = rows.get(table, 0) + frame.height
        if progress is not None:
            progress(frame.height)
    (partial / "truth").mkdir()
    for name, truth in source.truth().items():
        truth.write_parquet(partial / "truth" / f"{name}.parquet", compression="zstd")
    areas = source.areas()
    (load_areas() if areas is None else areas).write_csv(partial / "areas.csv")
    (partial / FEED_FILE).write_text(_description(source, rows), "utf-8")
    _replace(partial, directory)
    return rows


def _description(source: SyntheticSource, rows: dict[str, int]) -> str:
    lines = [
        f'format = "{FORMAT}"',
        f'identifier = "{source.identifier}"',
        f"generated = {str(source.generated).lower()}",
        f"as_of = {source.as_of.isoformat()}",
        f"persons = {source.persons}",
        f"years = {source.years}",
        f"seed = {source.seed}",
        "",
        "[rows]",
        *(f"{table} = {count}" for table, count in sorted(rows.items())),
    ]
    return "\n".join(lines) + "\n"


def _replace(partial: Path, directory: Path) -> None:
    """Swap folders; whatever moment it is killed at, a whole feed is there or beside."""
    former = directory.with_name(f".{directory.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if directory.exists():
        directory.rename(former)
    partial.rename(directory)
    shutil.rmtree(former, ignore_errors=True)
