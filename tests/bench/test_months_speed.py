"""Two years of releases: month after month, each protected with the ledger of all that is out."""

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from transforms.release.ledger import recall, record, remember
from transforms.release.protect import protect_counts
from transforms.release.spec import spec_from

MONTHS, INDICATORS, DISTRICTS = 24, 20, 34
BANDS = ("0-19", "20-44", "45-64", "65-")
SPEC = spec_from(
    {
        "count": "gap",
        "eligible": "eligible",
        "by": ["as_of", "indicator"],
        "dimension": [{"levels": ["major", "district"]}, {"levels": ["sex"]}, {"levels": ["broad"]}],
        "rules": {"threshold": 5, "effort": "quick"},  # as our own releases have it
    }
)


def inner_cells() -> list[pl.DataFrame]:
    """Counts of each month, earliest first; one row per indicator, district, sex and age band.

    Diseases from rare to common, more of them with age; from month to month a few people come and go.
    """
    random = np.random.default_rng(3)
    shape = (INDICATORS, DISTRICTS, 2, len(BANDS))
    people = random.lognormal(8, 0.8, (1, DISTRICTS, 1, 1)) * random.uniform(0.9, 1.1, shape)
    ill = random.uniform(0.01, 0.07, (INDICATORS, 1, 1, 1)) * np.array([0.2, 0.5, 1.5, 4])
    ill[::2, ..., 0] = ill[::4, ..., 1] = 0  # many diseases are those of adults, some of the old
    ill = ill * random.lognormal(0, 0.3, (INDICATORS, DISTRICTS, 1, 1))
    missed = random.uniform(0.15, 0.5, (INDICATORS, 1, 1, 1)) * random.lognormal(0, 0.25, (INDICATORS, DISTRICTS, 1, 1))
    missed = np.clip(missed, 0, 0.95)
    eligible = random.poisson(people * ill)
    gap = random.binomial(eligible, np.broadcast_to(missed, shape))
    place = np.indices(shape).reshape(4, -1)
    labels = pl.DataFrame(
        {
            "indicator": [f"i{number:02d}" for number in place[0]],
            "major": [f"M{number // 5}" for number in place[1]],
            "district": [f"D{number:02d}" for number in place[1]],
            "sex": ["FM"[number] for number in place[2]],
            "broad": [BANDS[number] for number in place[3]],
        }
    )
    months = []
    for month in range(MONTHS):
        left = random.binomial(gap, 0.02), random.binomial(eligible - gap, 0.02)
        came = random.poisson(0.02 * eligible)
        late = random.binomial(came, np.broadcast_to(missed, shape))
        gap = gap - left[0] + late
        eligible = eligible - left[0] - left[1] + came
        counts = {"gap": gap.ravel(), "eligible": eligible.ravel()}
        months.append(labels.with_columns(pl.lit(f"month {month:02d}").alias("as_of"), **counts))
    return months


@pytest.mark.bench
def test_two_years_of_twenty_indicators(tmp_path: Path) -> None:
    began, unsafe, hidden = time.monotonic(), 0, 0
    for counts in inner_cells():
        earlier = recall(tmp_path, "city", counts.select("as_of", "indicator").unique())
        protected = protect_counts(counts, SPEC, processes=os.cpu_count() or 1, earlier=earlier)
        new = record(counts["as_of"][0], "city", protected.certificate, protected.decisions)
        remember(tmp_path, new, protected.certificate["earlier_releases"])
        assert protected.figures["exactly_recoverable"] == 0
        unsafe, hidden = unsafe + protected.figures["primary"], hidden + protected.figures["secondary"]
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    sys.stdout.write(
        f"\n{MONTHS} months of {INDICATORS} indicators: {unsafe:,} unsafe, {hidden:,} also suppressed, "
        f"{time.monotonic() - began:.0f} s (limit 300), {peak:.1f} GiB (limit 4)\n"
    )
