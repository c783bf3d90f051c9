"""Seconds that one-day deltas take beside a full load, by the flow's own tasks; no time is asserted.

`CAREGAP_BENCH_FEED` names a feed on disk (caregap synth) in place of the small one that is generated here.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.settings import Layout, prepare
from schemas.areas import load_areas
from transforms.controller.canaries import Canaries
from transforms.sources.feed import FeedSource
from transforms.sources.synthetic import SyntheticSource, write_feed

pytestmark = pytest.mark.bench
AS_OF = "2026-10-31"
DAY = date(2026, 10, 31)
NIGHTS = 3
"""The first night after a full load makes the index of record keys; the others have it."""
CORRECTED, RETRACTED = 0.01, 0.002
"""Shares of a day's rows that correct, and that take back, a row of the last months."""


def write_delta(feed: Path, folder: Path, night: int) -> int:
    """What a day brings: its rows under keys of their own, some corrected and some taken back; rows in all."""
    count = 0
    for name in ("contact", "appointment", "measurement", "medication", "diagnosis", "vaccination", "residence"):
        rows = pl.scan_parquet(feed / name / "*.parquet").filter(
            pl.col("recorded_date").is_between(DAY.replace(month=7), DAY), pl.col("is_retracted").not_()
        )
        lately = rows.collect(engine="streaming")
        day = lately.sample(n=max(1, lately.height // 90), seed=10 * night + 1)
        new = day.with_columns(record_id=f"d{night}-" + pl.col("record_id"), recorded_date=pl.lit(DAY))
        corrected = lately.sample(fraction=CORRECTED / 90, seed=10 * night + 2).with_columns(recorded_date=pl.lit(DAY))
        retracted = lately.sample(fraction=RETRACTED / 90, seed=10 * night + 3).with_columns(
            recorded_date=pl.lit(DAY), is_retracted=pl.lit(True)
        )
        delta = pl.concat([new, corrected, retracted])
        (folder / name).mkdir(parents=True)
        delta.write_parquet(folder / name / "part-0000.parquet")
        count += delta.height
    people = pl.scan_parquet(feed / "person" / "*.parquet").head(50).collect()
    (folder / "person").mkdir()
    people.with_columns(recorded_date=pl.lit(DAY)).write_parquet(folder / "person" / "part-0000.parquet")
    shutil.copyfile(feed / "feed.toml", folder / "feed.toml")
    return count + people.height


def ingested(data: Path, feed: Path, load: str, *, increment: bool) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each task."""
    from flows import controller
    from flows.sources import SourceOptions

    spent: dict[str, tuple[float, float]] = {}

    def timed(name: str, task: Callable[..., object], *arguments: object) -> None:
        began, wall = time.process_time(), time.perf_counter()
        getattr(task, "fn", task)(*arguments)
        spent[name] = (time.process_time() - began, time.perf_counter() - wall)

    canaries = Canaries()
    timed(
        "stage",
        controller.stage,
        str(data),
        f"feed:{feed}",
        AS_OF,
        load,
        SourceOptions(increment=increment),
        canaries,
    )
    timed("checks", _checks, str(data), load, canaries)
    timed("lake", controller.write_lake, str(data), AS_OF, load)
    spent["in all"] = tuple(map(sum, zip(*spent.values(), strict=True)))  # type: ignore[assignment]
    return spent


def _checks(data: str, load: str, canaries: Canaries) -> None:
    """Quality and boundary side by side, as the flow has them."""
    from flows import controller

    with ThreadPoolExecutor(2) as pool:
        judged = pool.submit(controller.judge.fn, data, AS_OF, load)  # type: ignore[attr-defined]
        pool.submit(controller.guard_boundary.fn, data, load, canaries).result()  # type: ignore[attr-defined]
        judged.result()


def test_a_day_beside_a_full_load(tmp_path: Path) -> None:
    data = tmp_path / "data"
    layout = Layout(data)
    prepare(layout)
    layout.create()
    feed = Path(os.environ.get("CAREGAP_BENCH_FEED", tmp_path / "feed"))
    if not feed.exists():
        write_feed(SyntheticSource(70_000, 3, DAY, 1, load_areas()), feed)
    rows = FeedSource(feed).rows_expected() or 0
    nights = [tmp_path / f"delta-{night}" for night in range(NIGHTS)]
    counts = [write_delta(feed, folder, night) for night, folder in enumerate(nights)]
    import expectations.run  # noqa: F401 - takes seconds, and the flow imports it while it reads

    full = ingested(data, feed, "20261031-20261031T000000000000", increment=False)
    said = [("full load", full, rows)]
    for night, folder in enumerate(nights):
        spent = ingested(data, folder, f"20261031-20261031T00000000000{night + 1}", increment=True)
        said.append((f"night {night + 1}", spent, counts[night]))
    for name, spent, count in said:
        tasks = ", ".join(f"{task} {cpu:.1f}/{wall:.1f}" for task, (cpu, wall) in spent.items())
        sys.stdout.write(f"\n{name}, {count:,} rows, CPU/wall seconds: {tasks}")
    cpu, wall = full["in all"]
    sys.stdout.write(f"\nfull load: {rows / wall:,.0f} rows/s, {rows / cpu:,.0f} rows per CPU second")
    sys.stdout.write(f"\na night takes {said[-1][1]['in all'][0] / cpu:.1%} of the full load's CPU\n")
    assert all(spent["in all"][0] < cpu for _, spent, _ in said[1:])
