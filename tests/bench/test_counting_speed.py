"""What all the care gaps cost beside reading the same columns once, and beside one plain Polars group_by."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.analysis import month_ends
from schemas.areas import load_areas
from schemas.codelists import load_codelists
from schemas.indicators import load_indicators
from schemas.tables import TABLES
from tests.bench.counting_lake import write_counting_lake
from transforms.analysis.counts import counts
from transforms.analysis.evaluation import evaluate

AS_OF = date(2023, 12, 31)
BANDS = (0, 18, 45, 65, 75)
COLUMNS = {
    "person": ("person_number", "birth_date", "sex", "death_date", "is_retracted"),
    "residence": ("person_number", "area_code", "from_date", "to_date", "is_retracted"),
    "restriction": ("person_number", "kind", "end_date", "is_retracted"),
    "diagnosis": ("person_number", "code_system", "code", "event_date", "end_date", "is_retracted"),
    "measurement": ("person_number", "code_system", "code", "event_date", "value", "is_retracted"),
    "medication": ("person_number", "code_system", "code", "event_date", "days_supplied", "is_retracted"),
    "contact": (
        *("person_number", "channel", "profession", "service", "code_system", "code", "event_date", "is_retracted"),
    ),
    "appointment": (
        *("person_number", "event_date", "booked_date", "status", "status_date", "reason", "service", "specialty"),
        "is_retracted",
    ),
    "vaccination": ("person_number", "code_system", "code", "event_date", "status", "is_retracted"),
    "contact_request": ("person_number", "event_date", "service", "answered_date", "outcome", "is_retracted"),
    "service_period": ("person_number", "service", "event_date", "end_date", "is_retracted"),
}
"""What the indicators read."""
Files = Mapping[str, Sequence[str]]


def best(function: Callable[[], object], times: int = 3) -> float:
    """Least processor seconds of a few runs."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def scan(files: Files) -> None:
    """Read every value of the columns once."""
    for name, columns in COLUMNS.items():
        schema = TABLES[name].platform_schema
        texts = [pl.col(c).str.len_bytes().cast(pl.Int64).sum() for c in columns if schema[c] == pl.String]
        numbers = [pl.col(c).to_physical().cast(pl.Float64).sum() for c in columns if schema[c] != pl.String]
        pl.scan_parquet(list(files[name])).select(texts + numbers).collect(engine="streaming")


def group_by(files: Files) -> None:
    """Each table's flags per person as an analyst would write them, joined to the persons and counted by sex.

    Less than the indicators ask: no residence, no exclusions, no relations between events. Rows that were taken back
    are left out, for with them the figures would be wrong.
    """
    counting = ~pl.col("is_retracted").fill_null(value=False)
    lists = load_codelists()

    def coded(name: str) -> pl.Expr:
        found = [
            (pl.col("code_system") == system)
            & pl.any_horizontal(pl.col("code").str.starts_with(code) for code in codes)
            for system, codes in lists[name].codes.items()
        ]
        return pl.any_horizontal(found)

    recent = (pl.col("event_date") > date(2022, 12, 31)) & (pl.col("event_date") <= AS_OF)
    diagnoses = ("arterial_disease", "copd", "dementia", "depression", "diabetes", "hypertension", "psychosis")
    measurements = ("hba1c", "systolic_pressure", "diastolic_pressure", "ldl", "egfr", "body_mass_index", "spirometry")
    flags = {
        "diagnosis": {name: coded(name).any() for name in (*diagnoses, "substance_use", "cancer")},
        "measurement": {f"has_{name}": (coded(name) & recent).any() for name in (*measurements, "glucose", "lipids")},
        "medication": {name: (coded(name) & recent).any() for name in ("lipid_medicine", "opioid", "antidepressant")},
        "contact": {
            "seen": (recent & (pl.col("channel") != "automated_message")).any(),
            "by_doctor": (recent & (pl.col("profession") == "doctor")).any(),
            "reviewed": (recent & coded("medication_review")).any(),
        },
        "appointment": {"missed": (recent & (pl.col("status") == "no_show")).sum()},
        "vaccination": {"vaccinated": (recent & coded("influenza_vaccine")).any()},
    }
    persons = pl.scan_parquet(list(files["person"])).select("person_number", "sex", "birth_date")
    for table, aggregates in flags.items():
        rows = pl.scan_parquet(list(files[table])).filter(counting)
        found = rows.group_by("person_number").agg(**aggregates)
        persons = persons.join(found, on="person_number", how="left")
    names = [name for aggregates in flags.values() for name in aggregates]
    persons.group_by("sex").agg(pl.col(names).sum()).collect(engine="streaming")


@pytest.mark.bench
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("person_count", [10_000, 100_000, 680_000])
def test_counting_speed(person_count: int, tmp_path: Path) -> None:
    files = write_counting_lake(tmp_path, person_count)
    lists, areas = load_codelists(), load_areas()
    indicators = list(load_indicators(None, lists).values())

    def count(months: int) -> None:
        counts(evaluate(files, indicators, month_ends(AS_OF, months), BANDS, areas, lists))

    count(1)  # imports and calendars are not what is measured
    read, grouped = best(lambda: scan(files)), best(lambda: group_by(files))
    one, many = best(lambda: count(1)), best(lambda: count(24), 2)
    sys.stdout.write(
        f"\n{person_count} persons, {len(indicators)} care gaps: bare scan {read:.2f} s; one date {one:.2f} s, "
        f"{one / read:.2f} times the scan and {one / grouped:.2f} times a plain group_by; 24 month-ends {many:.2f} s, "
        f"{many / one:.2f} times one date"
    )
