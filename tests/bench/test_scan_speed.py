"""How fast the byte scan for identity codes is, beside reading the same bytes from memory once."""

import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from transforms.controller.scan import count_in_bytes

SIZE = 200_000_000


def best(function: Callable[[], object], times: int = 3) -> float:
    """Least processor seconds of a few runs."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


@pytest.mark.bench
def test_scan_speed() -> None:
    data = np.random.default_rng(1).integers(0, 256, SIZE, dtype=np.uint8)
    data[SIZE // 2 : SIZE // 2 + 11] = np.frombuffer(b"010594Y9032", dtype=np.uint8)
    assert count_in_bytes(data) == 1
    scan, read = best(lambda: count_in_bytes(data)), best(lambda: np.maximum.reduce(data))
    sys.stdout.write(
        f"\nleak scan: {SIZE / scan / 1e9:.2f} GB/s on one core; the same bytes read from memory once: "
        f"{SIZE / read / 1e9:.2f} GB/s; ratio {read / scan:.2f}"
    )
