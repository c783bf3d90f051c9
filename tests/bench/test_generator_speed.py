"""Persons a second of the generator, against writing the same frames alone, and its memory; no time is asserted."""

import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from transforms.sources.synthetic import SyntheticSource, write_feed

pytestmark = pytest.mark.bench
AS_OF = date(2026, 10, 31)
PERSONS, YEARS, MEASURED = 100_000, 5, 10_000


def write(frames: list[tuple[str, pl.DataFrame]], folder: Path) -> None:
    for number, (table, frame) in enumerate(frames):
        (folder / table).mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / table / f"part-{number:04}.parquet", compression="zstd", compression_level=1)


def test_persons_a_second_and_the_ratio_to_writing_alone(tmp_path: Path) -> None:
    write_feed(SyntheticSource(MEASURED, YEARS, AS_OF, 1), tmp_path / "warm")
    wall, cpu = time.perf_counter(), time.process_time()
    rows = sum(write_feed(SyntheticSource(PERSONS, YEARS, AS_OF, 1), tmp_path / "feed").values())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    frames = list(SyntheticSource(PERSONS, YEARS, AS_OF, 1).batches())
    alone, alone_cpu = time.perf_counter(), time.process_time()
    write(frames, tmp_path / "alone")
    alone, alone_cpu = time.perf_counter() - alone, time.process_time() - alone_cpu
    sys.stdout.write(
        f"\ngenerator, {PERSONS:,} persons x {YEARS} years, {rows:,} rows to disk: {PERSONS / wall:,.0f} persons/s, "
        f"{PERSONS / cpu:,.0f} per CPU second; {wall / alone:.1f} times writing the same frames alone "
        f"({cpu / alone_cpu:.1f} times its CPU)\n"
    )
    assert rows > 50 * PERSONS


@pytest.mark.parametrize("persons", [100_000, 400_000])
def test_memory_hardly_grows_with_the_city(persons: int) -> None:
    program = (
        "from datetime import date; from transforms.sources.synthetic import SyntheticSource\n"
        f"for _ in SyntheticSource({persons}, {YEARS}, date(2026, 10, 31), 1).batches(): pass"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([sys.executable, "-c", program], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    sys.stdout.write(f"\ngenerator, {persons:,} persons: {peak / 2**20:.2f} GiB at most\n")
    assert peak >= before
