"""No identifier of the source anywhere outside the controller zone, also when a task fails on one."""

import base64
import gzip
import html
import io
import json
import zipfile
import zlib
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.controller.people import diagnoses, persons
from tests.flows.conftest import AS_OF, Outcome, start

IDENTIFYING = ("person_id", "given_names", "family_name", "phone", "email", "street_address", "note")


def canaries(feed: Path) -> set[str]:
    """Every identifying value of the feed that is long enough to be told from chance."""
    found: set[str] = set()
    for table in feed.iterdir():
        for part in table.glob("*.parquet") if table.is_dir() and table.name != "truth" else ():
            rows = pl.read_parquet(part)
            for column in IDENTIFYING:
                if column in rows.columns:
                    found |= {value for value in rows[column].drop_nulls().to_list() if len(value) >= 8}
    return found


def contents(folder: Path) -> list[tuple[Path, bytes]]:
    """Each file's bytes; of Parquet also every value, and its metadata, uncompressed; of an archive its members; of
    Prefect's storage what is behind its base64.
    """
    found = []
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            plain = io.BytesIO()
            table = pq.read_table(path)
            pq.write_table(table, plain, compression="none", use_dictionary=False)
            data += plain.getvalue()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data += b"".join(archive.read(name) for name in archive.namelist())
        elif path.suffix == ".gz":
            data += gzip.decompress(data)
        elif path.parent.name == "storage":
            data += base64.b64decode(data)
        found.append((path, data))
    return found


def found_in(folder: Path, words: set[str]) -> set[str]:
    """Names of the files in which any word stands, as it is or as JSON or a page would write it."""
    keys = {form.encode() for word in words for form in (word, json.dumps(word)[1:-1], html.escape(word))}
    hits = set()
    for path, data in contents(folder):
        if any(key in data for key in keys):
            hits.add(str(path.relative_to(folder)))
    return hits


def sample(words: set[str], count: int) -> set[str]:
    return set(sorted(words, key=lambda word: zlib.crc32(word.encode()))[:count])


def outside_the_controller(data: Path) -> list[Path]:
    return [path for path in data.iterdir() if path.name != "controller"]


def test_the_feed_holds_what_the_search_looks_for(feed: Path) -> None:
    words = canaries(feed)
    assert len(words) > 3000
    assert found_in(feed / "person", sample(words, 300))


def test_nothing_identifying_left_the_controller_zone(finished: Path, feed: Path) -> None:
    words = sample(canaries(feed), 1500)
    assert {path.name for path in outside_the_controller(finished)} == {"platform", "release", "prefect", "audit"}
    for zone in outside_the_controller(finished):
        assert found_in(zone, words) == set()


def test_the_controller_zone_holds_no_identified_row_in_the_clear(finished: Path, feed: Path) -> None:
    assert found_in(finished / "controller", sample(canaries(feed), 1500)) == set()


SABOTAGE = {
    "polars cast": "pl.Series([value]).cast(pl.Int64)",
    "duckdb cast": "__import__('duckdb').sql(f\"select cast('{value}' as integer)\").fetchall()",
    "arrow cast": "__import__('pyarrow').array([value]).cast('int64')",
    "own text": "raise ValueError(f'bad identity code {value}')",
    "chained": "raise RuntimeError(value) from ValueError(value)",
    "printed": "print(value); print(value, file=sys.stderr); raise KeyError(value)",
    "key of a dict": "{}[value]",
    "group": "raise ExceptionGroup(value, [ValueError(value)])",
    "system exit": "raise SystemExit(value)",
}
DRIVER = """
import sys
from pathlib import Path
import polars as pl
from transforms.controller.load import Loader
real = Loader.add
def failing(self, table, raw):
    real(self, table, raw)
    if table == "diagnosis":
        value = raw["person_id"][0]
        {sabotage}
Loader.add = failing
from flows import cli
cli.main()
"""


def sabotaged(sabotage: str, tmp_path: Path) -> tuple[Outcome, Path, set[str]]:
    people = persons(60).with_columns(given_names=pl.lit("Canaryanna"), phone=pl.lit("+3580457000777"))
    feed = tmp_path / "feed"
    for name, rows in (("person", people), ("diagnosis", diagnoses(people["person_id"].to_list()))):
        (feed / name).mkdir(parents=True)
        rows.write_parquet(feed / name / "part-0000.parquet")
    (feed / "feed.toml").write_text('format = "caregap-feed/1"\ngenerated = true\n')
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.format(sabotage=sabotage))
    data = tmp_path / "data"
    done = start([str(driver)], "ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data, PYTHONPATH=".")
    return done, data, {*people["person_id"].to_list(), "Canaryanna", "+3580457000777"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SABOTAGE)
def test_a_task_that_fails_on_a_value_lets_it_out_nowhere(kind: str, tmp_path: Path) -> None:
    done, data, words = sabotaged(SABOTAGE[kind], tmp_path)
    assert done.code != 0
    if kind != "printed":  # what our own code were to print on its terminal stays on it
        assert not any(word in done.err + done.out for word in words), done.err
    for zone in outside_the_controller(data):
        assert found_in(zone, words) == set()
    assert found_in(data / "controller", words) == set()
