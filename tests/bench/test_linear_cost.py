"""Cost against size: 170,000, 680,000 and 2.7 million persons, counted in processes of their own, on one plot.

`CAREGAP_PLOTS=DIR` keeps the plot there; `CAREGAP_LINEAR_PERSONS=170000,680000` measures other sizes.
"""

import json
import multiprocessing
import os
import resource
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from schemas.areas import load_areas
from schemas.indicators import load_indicators
from tests.bench.counting_lake import write_counting_lake
from tests.bench.test_counting_speed import AS_OF, BANDS
from transforms.analysis.blocks import count_lake

MOST_GIB = 4
SIZES = [int(size) for size in os.environ.get("CAREGAP_LINEAR_PERSONS", "170000,680000,2700000").split(",")]


def measure(files: dict[str, list[str]], queue: "multiprocessing.Queue[tuple[float, float]]") -> None:
    """Processor seconds of all the care gaps at one date, and the most memory held, GiB."""
    start = time.process_time()
    count_lake(files, list(load_indicators().values()), [AS_OF], BANDS, load_areas())
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


def plot(persons: list[int], seconds: list[float], peaks: list[float], exponent: float) -> str:
    """Seconds against persons, both logarithmic, as SVG; the line is that of a cost in proportion to persons."""
    ends, decades = (1e5, 1e7), (int(np.floor(np.log10(min(seconds)))), int(np.ceil(np.log10(max(seconds)))))

    def across(count: float) -> float:
        return 90 + 500 * float(np.log10(count / ends[0]) / np.log10(ends[1] / ends[0]))

    def up(second: float) -> float:
        return 330 - 270 * float((np.log10(second) - decades[0]) / (decades[1] - decades[0]))

    shapes = []
    for decade in range(decades[0], decades[1] + 1):
        y, label = up(10.0**decade), f"{10.0**decade:g} s"
        shapes.append(
            f'<path d="M90 {y:.0f}H590" stroke="#ddd"/><text x="82" y="{y + 4:.0f}" class="end">{label}</text>'
        )
    for count in (100_000, 1_000_000, 10_000_000):
        x = across(count)
        shapes.append(f'<path d="M{x:.0f} 330v6" stroke="#000"/><text x="{x:.0f}" y="354" class="mid">{count:,}</text>')
    each = float(np.exp(np.mean(np.log(np.array(seconds) / np.array(persons)))))
    least = max(ends[0], 10.0 ** decades[0] / each)
    most = min(ends[1], 10.0 ** decades[1] / each)
    line = f"M{across(least):.1f} {up(each * least):.1f}L{across(most):.1f} {up(each * most):.1f}"
    shapes.append(f'<path d="{line}" stroke="#06c" stroke-dasharray="5 4"/><path d="M90 60V330H590" stroke="#000"/>')
    for count, second, peak in zip(persons, seconds, peaks, strict=True):
        x, y = across(count), up(second)
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#06c"/>')
        shapes.append(f'<text x="{x + 12:.0f}" y="{y + 14:.0f}">{count:,}: {second:.1f} s, {peak:.1f} GiB</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 400" font-family="sans-serif" font-size="13">'
        "<style>.end{text-anchor:end}.mid{text-anchor:middle}path{fill:none}</style>"
        '<rect width="660" height="400" fill="#fff"/>'
        '<text x="24" y="28" font-size="15">Processor time and memory of all care gaps at one date</text>'
        f'<text x="24" y="46" fill="#444">grows as persons to the power {exponent:.2f}; '
        "dashed: in proportion to persons</text>"
        f'{"".join(shapes)}<text x="340" y="384" class="mid">persons, five years of events</text></svg>\n'
    )


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_cost_grows_as_the_number_of_persons(tmp_path: Path) -> None:
    seconds, peaks = [], []
    for size in SIZES:
        files = write_counting_lake(tmp_path / str(size), size)
        in_own_process(files)  # the files are read from memory each time, whatever their number
        second, peak = in_own_process(files)
        seconds.append(second)
        peaks.append(peak)
        sys.stdout.write(
            f"\n{size:,} persons: {second:.1f} s of processor time, {peak:.1f} GiB at most (limit {MOST_GIB})"
        )
        shutil.rmtree(tmp_path / str(size))
    exponent = float(np.polyfit(np.log(SIZES), np.log(seconds), 1)[0])
    folder = Path(os.environ.get("CAREGAP_PLOTS", str(tmp_path)))
    (folder / "linear_cost.svg").write_text(plot(SIZES, seconds, peaks, exponent), "utf-8")
    (folder / "linear_cost.json").write_text(json.dumps({"persons": SIZES, "seconds": seconds, "peak_gib": peaks}))
    sys.stdout.write(f"\ncost grows as persons to the power {exponent:.2f} (limit 1.1): {folder / 'linear_cost.svg'}\n")
    assert exponent < 1.1
    assert max(peaks) < MOST_GIB
