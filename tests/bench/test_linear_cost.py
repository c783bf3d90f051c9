"""Cost against size: 170,000, 680,000 and 2.7 million persons, counted in processes of their own, on one plot.

`CAREGAP_PLOTS=DIR` keeps the plot there; `CAREGAP_LINEAR_PERSONS=170000,680000` measures other sizes.
"""

import json
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flows.analysis import month_ends
from schemas.areas import load_areas
from schemas.indicators import load_indicators
from tests.bench.counting_lake import write_counting_lake
from tests.bench.test_counting_speed import AS_OF, BANDS
from transforms.analysis.counts import counts
from transforms.analysis.evaluation import evaluate

SIZES = [int(size) for size in os.environ.get("CAREGAP_LINEAR_PERSONS", "170000,680000,2700000").split(",")]


def measure(files: dict[str, list[str]], queue: "multiprocessing.Queue[tuple[float, float]]") -> None:
    """Processor seconds of all the care gaps at one date, and the most memory held, GiB."""
    start = time.process_time()
    counts(evaluate(files, list(load_indicators().values()), month_ends(AS_OF, 1), BANDS, load_areas()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    queue.put((time.process_time() - start, peak))


def in_own_process(files: dict[str, list[str]]) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure, args=(files, queue))
    process.start()
    found: tuple[float, float] = queue.get(timeout=1800)
    process.join()
    return found


def plot(persons: list[int], seconds: list[float], exponent: float) -> str:
    """Seconds against persons, both logarithmic, as SVG; the line is the one that fits best."""
    x, y = np.log10(persons), np.log10(seconds)
    low, high = np.floor(y.min()), np.ceil(y.max())
    across = 60 + 480 * (x - 5) / 2
    up = 340 - 300 * (y - low) / (high - low)
    slope, start = np.polyfit(x, y, 1)
    ends = np.array([5.0, 7.0])
    line = 340 - 300 * (start + slope * ends - low) / (high - low)
    dots = "".join(
        f'<circle cx="{a:.0f}" cy="{b:.0f}" r="5"/><text x="{a + 9:.0f}" y="{b + 14:.0f}">{n:,}: {s:.1f} s</text>'
        for a, b, n, s in zip(across, up, persons, seconds, strict=True)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 380" font-family="sans-serif" font-size="13">'
        f'<title>Processor seconds by persons; exponent {exponent:.2f}</title><path d="M60 20V340H600" fill="none" '
        f'stroke="black"/><path d="M60 {line[0]:.0f}L540 {line[1]:.0f}" stroke="#06c"/>{dots}'
        f'<text x="330" y="370" text-anchor="middle">persons; cost grows as persons to the power '
        f"{exponent:.2f}</text></svg>"
    )


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_cost_grows_as_the_number_of_persons(tmp_path: Path) -> None:
    seconds, peaks = [], []
    for size in SIZES:
        files = write_counting_lake(tmp_path / str(size), size)
        second, peak = in_own_process(files)
        seconds.append(second)
        peaks.append(peak)
        sys.stdout.write(f"\n{size:,} persons: {second:.1f} s of processor time, {peak:.1f} GiB at most")
        for paths in files.values():
            for path in paths:
                Path(path).unlink()
    exponent = float(np.polyfit(np.log(SIZES), np.log(seconds), 1)[0])
    folder = Path(os.environ.get("CAREGAP_PLOTS", str(tmp_path)))
    (folder / "linear_cost.svg").write_text(plot(SIZES, seconds, exponent), "utf-8")
    (folder / "linear_cost.json").write_text(json.dumps({"persons": SIZES, "seconds": seconds, "peak_gib": peaks}))
    sys.stdout.write(f"\ncost grows as persons to the power {exponent:.2f} (limit 1.1): {folder / 'linear_cost.svg'}\n")
    assert exponent < 1.1
