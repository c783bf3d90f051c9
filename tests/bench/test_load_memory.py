"""Memory of a load by its size: the persons' index grows with the persons, what holds their rows does not."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
PERSONS = 50_000
TIMES = 4
ROWS_A_PERSON = 60
DRIVER = """
import resource, sys
from datetime import date
from pathlib import Path
import numpy as np, polars as pl
from schemas.areas import load_areas
from transforms.controller import load
from transforms.controller.keys import new_keyring

folder, persons = Path(sys.argv[1]), int(sys.argv[2])
load.BUCKET_PERSONS = 1 << 14
day = date(2026, 10, 31)
terms = load.Terms(new_keyring(), "district-stats", "opaque", "month", load_areas(), day, day)
loader = load.Loader(terms, folder / "staging", folder / "quarantine")
for start in range(0, persons, 25_000):
    ids = pl.int_range(start, min(start + 25_000, persons), eager=True).cast(pl.String)
    loader.add("person", pl.DataFrame({"person_id": "P" + ids}).with_columns(birth_date=pl.date(1980, 5, 17)))
rng = np.random.default_rng(1)
rows = 100_000
for part in range(persons * ROWS // rows):
    days = pl.Series(rng.integers(17_500, 20_700, rows)).cast(pl.Int32).cast(pl.Date)
    ids = "P" + pl.Series(rng.integers(0, persons, rows)).cast(pl.String)
    keys = "R" + pl.int_range(part * rows, (part + 1) * rows, eager=True).cast(pl.String)
    columns = {"person_id": ids, "event_date": days, "recorded_date": days, "record_id": keys}
    batch = pl.DataFrame(columns).with_columns(code_system=pl.lit("icd10"), code=pl.lit("E11.9"))
    loader.add("diagnosis", batch)
for name, paths in loader.finish():
    pass
assert loader.tallies["diagnosis"].kept == persons * ROWS
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
""".replace("ROWS", str(ROWS_A_PERSON))


def megabytes(folder: Path, persons: int) -> float:
    for name in ("staging", "quarantine"):
        (folder / name).mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder), str(persons)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_four_times_the_rows_take_much_less_than_four_times_the_memory(tmp_path: Path) -> None:
    nothing = megabytes(tmp_path / "nothing", 5_000)
    small = megabytes(tmp_path / "small", PERSONS)
    large = megabytes(tmp_path / "large", TIMES * PERSONS)
    sys.stdout.write(
        f"\nload of {PERSONS:,} and {TIMES * PERSONS:,} persons, {ROWS_A_PERSON} rows each: "
        f"{small:,.0f} and {large:,.0f} MB ({nothing:,.0f} MB with next to nothing)\n"
    )
    bytes_a_row = (large - small) * 2**20 / ((TIMES - 1) * PERSONS * ROWS_A_PERSON)
    sys.stdout.write(f"each further row takes {bytes_a_row:.1f} bytes\n")
    # A staged row takes some 100 bytes in memory; each person's words and number take 20, which is 0.3 a row.
    assert bytes_a_row < 25
