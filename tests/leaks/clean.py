"""A small batch and the files that the controller makes of it: what leaks are planted in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from schemas.areas import load_areas
from tests.controller.people import diagnoses, persons
from transforms.controller.canaries import Canaries
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms

KEYRING = Keyring("e1", {"e1": bytes(range(32))}, bytes(range(1, 33)))
TERMS = Terms(KEYRING, "district-stats", "hetu", "month", load_areas(), date(2026, 10, 31), date(2026, 11, 1))
COUNT = 40
PEOPLE = persons(COUNT).with_columns(
    pl.format("Quaxel Zyl{}", pl.int_range(COUNT)).alias("given_names"),
    family_name=pl.lit("Wixöström"),
    email=pl.format("quaxel.{}@example.org", pl.int_range(COUNT)),
)
CODE: str = PEOPLE["person_id"][7]
NAME, FAMILY, FULL_NAME = "quaxel", "wixöström", "Quaxel Wixöström"
PHONE = "+358 457 000 0007"
EMAIL = "quaxel.7@example.org"
ADDRESS = "Keksittykatu 7 B 3"
NOTE = "asked to be called about the dog"
RECORD = "labsys-0000-7731-7"


def batches() -> list[tuple[str, pl.DataFrame]]:
    """The raw batch, persons first."""
    who, day = PEOPLE["person_id"], date(2020, 5, 17)
    base = pl.DataFrame({"person_id": who}).with_columns(event_date=pl.lit(day))
    record_ids = pl.format("labsys-0000-7731-{}", pl.int_range(COUNT))
    return [
        ("person", PEOPLE),
        (
            "residence",
            pl.DataFrame({"person_id": who}).with_columns(
                street_address=pl.lit(ADDRESS), area_code=pl.lit("101"), from_date=pl.lit(day)
            ),
        ),
        ("diagnosis", diagnoses(who.to_list()).with_columns(record_id=record_ids)),
        (
            "contact",
            base.with_columns(
                channel=pl.lit("visit"),
                service=pl.lit("health_centre"),
                code_system=pl.lit("snomed"),
                code=pl.lit("401191002"),
                note=pl.lit(NOTE),
            ),
        ),
        (
            "measurement",
            base.with_columns(
                code_system=pl.lit("loinc"), code=pl.lit("4548-4"), value=pl.lit(48.0), unit=pl.lit("mmol/mol")
            ),
        ),
        (
            "medication",
            base.with_columns(code_system=pl.lit("atc"), code=pl.lit("A10BA02"), days_supplied=pl.lit(90)),
        ),
    ]


def canaries() -> Canaries:
    """What the boundary looks for in the files of the batch."""
    found = Canaries()
    for table, rows in batches():
        found.add(table, rows)
    return found


def load(folder: Path) -> None:
    """Leave the files of the batch in a folder, the geography among them."""
    for part in ("staging", "quarantine"):
        (folder / part).mkdir(parents=True)
    loader = Loader(TERMS, folder / "staging", folder / "quarantine")
    for table, rows in batches():
        loader.add(table, rows)
    for _ in loader.finish():
        pass
    TERMS.areas.write_parquet(folder / "staging" / "area.parquet")


def files_in(folder: Path) -> dict[str, list[Path]]:
    """The files by table, as a flow hands them to the boundary."""
    found: dict[str, list[Path]] = {}
    for path in sorted((folder / "staging").rglob("*.parquet")):
        whole = path.parent.name == "staging"
        found.setdefault(path.stem if whole else path.parent.name, []).append(path)
    return found


@dataclass(frozen=True)
class Staged:
    """The staged files of one batch."""

    folder: Path

    def path(self, table: str) -> Path:
        """The file of a table."""
        return files_in(self.folder)[table][0]

    def change(self, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Write a table's file anew, as the loader writes it, after a change."""
        path = self.path(table)
        rows = change(pl.read_parquet(path))
        rows.write_parquet(path, compression="zstd", compression_level=1, row_group_size=1 << 16, statistics=True)

    def put(self, table: str, column: str, value: object) -> None:
        """Put a value into the first row of a column."""
        self.change(
            table,
            lambda rows: rows.with_columns(
                pl.when(pl.int_range(pl.len()) == 0)
                .then(pl.lit(value, dtype=rows.schema[column]))
                .otherwise(column)
                .alias(column)
            ),
        )

    def fill(self, table: str, column: str, values: list[object]) -> None:
        """Put values into a whole column."""
        self.change(table, lambda rows: rows.with_columns(pl.Series(column, values, dtype=rows.schema[column])))
