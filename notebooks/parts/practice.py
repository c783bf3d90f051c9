"""A practice city: generated persons and records, laid out as the lake lays them out, to try a definition on."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from flows.settings import SECRETS
from schemas.areas import load_areas
from schemas.errors import SourceRefused
from schemas.table import PERSON_ID, PERSON_NUMBER
from schemas.tables import TABLES

ABOUT = "practice.json"


@dataclass(frozen=True)
class Practice:
    """A practice city: the Parquet files of each table, and its geography. Nobody's data is in it."""

    files: dict[str, list[str]]
    areas: pl.DataFrame
    persons: int
    as_of: date


def practice_city(folder: Path, persons: int, years: int, as_of: date, seed: int = 1) -> Practice:
    """The practice city of these terms below `folder`; made where it is not there yet, which takes seconds.

    The generator runs in a process of its own, without secrets: nothing of the controller is loaded here. Raises
    SourceRefused where it cannot run.
    """
    made = folder / f"{as_of}-{persons}-persons-{years}-years-{seed}"
    if not (made / ABOUT).exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".practice-", dir=folder) as beside:
            feed, lake = Path(beside) / "feed", Path(beside) / "lake"
            _generate(feed, persons, years, as_of, seed)
            lay_out(feed, lake)
            about = {"persons": persons, "years": years, "as_of": as_of.isoformat(), "seed": seed}
            (lake / ABOUT).write_text(json.dumps(about) + "\n")
            shutil.rmtree(made, ignore_errors=True)
            lake.rename(made)
    files = {name: [str(made / f"{name}.parquet")] for name in TABLES if (made / f"{name}.parquet").exists()}
    return Practice(files, pl.read_parquet(made / "area.parquet"), persons, as_of)


def lay_out(feed: Path, lake: Path) -> None:
    """Write a generated feed without faults as the lake's tables; one file a table, persons numbered from 0.

    Only the columns of the lake are there; pseudonyms and record keys are empty, for no key is at hand.
    """
    lake.mkdir()
    people = pl.read_parquet(feed / "person").select(PERSON_ID).with_row_index(PERSON_NUMBER)
    numbers = people.cast({PERSON_NUMBER: pl.Int32})
    for name, table in TABLES.items():
        if not (feed / name).is_dir():
            continue
        rows = pl.read_parquet(feed / name).join(numbers, on=PERSON_ID, how="inner", maintain_order="left")
        columns = [
            pl.col(column).cast(kind) if column in rows.columns else pl.lit(None, kind).alias(column)
            for column, kind in table.platform_schema.items()
        ]
        rows.select(columns).sort(table.order, nulls_last=False).write_parquet(lake / f"{name}.parquet")
    load_areas(feed / "areas.csv").write_parquet(lake / "area.parquet")


def _generate(out: Path, persons: int, years: int, as_of: date, seed: int) -> None:
    given = {"--persons": persons, "--years": years, "--as-of": as_of, "--seed": seed, "--out": out, "--data": out}
    words = [str(word) for flag, value in given.items() for word in (flag, value)]
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    command = [sys.executable, "-m", "flows.cli", "synth", "--clean", *words]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - our own program
    if done.returncode:
        raise SourceRefused("the practice city could not be generated", "Try caregap synth; it says why")
