"""A lake of any size for measuring: written straight as the load lays it out, without a meaning beyond its volumes."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.tables import TABLES
from tests.analysis.populations import CHECKS, COMMON_DIAGNOSES, MEDICINES
from transforms.controller.load import BUCKET_PERSONS, write_run

FIRST, LAST = np.datetime64("2019-01-01").astype(int), np.datetime64("2023-12-31").astype(int)
PER_PERSON = {
    "diagnosis": 3.0, "measurement": 30.0, "medication": 15.0, "contact": 25.0, "appointment": 3.0,
    "vaccination": 1.0, "contact_request": 1.0, "service_period": 0.05, "restriction": 0.01, "residence": 1.2,
}  # fmt: skip
"""Rows a person in five years; 73 of them in the four large tables, as in a city's extract."""
RETRACTED = 0.002
"""Share of the rows of events that the source took back."""
_OTHER_CODES = 100
"""Codes that no indicator asks for, in each table with codes; most rows have one of these."""


def write_counting_lake(folder: Path, person_count: int, seed: int = 1) -> dict[str, list[str]]:
    """Write every table, by buckets of persons; returns the files by table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[str]] = {}
    for start in range(0, person_count, BUCKET_PERSONS):
        size = min(BUCKET_PERSONS, person_count - start)
        frames = {"person": _persons(rng, start, size)} | {name: _events(rng, name, start, size) for name in PER_PERSON}
        for name, frame in frames.items():
            schema = TABLES[name].platform_schema
            missing = [pl.lit(None, schema[column]).alias(column) for column in schema if column not in frame.columns]
            taken_back = pl.Series("is_retracted", rng.random(frame.height) < RETRACTED).replace(False, None)
            rows = frame.with_columns(missing).with_columns(taken_back if name in PER_PERSON else [])
            rows = rows.select(list(schema)).cast(schema).sort(TABLES[name].order, nulls_last=False)
            files.setdefault(name, []).extend(map(str, write_run(rows, folder / f"{name}-{start}")))
    return files


def _persons(rng: np.random.Generator, start: int, size: int) -> pl.DataFrame:
    births = LAST - np.clip(rng.gamma(3.2, 14, size), 0, 99) * 365.25
    died = np.where(rng.random(size) < 0.03, rng.integers(FIRST, LAST, size), -1)
    months = births.astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]")
    return pl.DataFrame(
        {
            "person_number": np.arange(start, start + size, dtype=np.int32),
            "birth_date": pl.Series(months),
            "sex": rng.choice(["female", "male"], size),
            "death_date": pl.Series(died.astype(np.int32)).replace(-1, None).cast(pl.Date),
        }
    )


def _events(rng: np.random.Generator, name: str, start: int, size: int) -> pl.DataFrame:
    counts = rng.poisson(PER_PERSON[name] * rng.gamma(1.2, 1 / 1.2, size))
    persons = np.repeat(np.arange(start, start + size, dtype=np.int32), counts)
    days = rng.integers(FIRST, LAST + 1, len(persons)).astype(np.int32)
    columns = {"person_number": pl.Series(persons), "event_date": pl.Series(days).cast(pl.Date)}
    return pl.DataFrame(columns | _others(rng, name, days)).drop("event_date" if name == "residence" else [])


def _others(rng: np.random.Generator, name: str, days: NDArray[np.int32]) -> dict[str, pl.Series]:
    size = len(days)

    def some(values: list[str | None], shares: list[float] | None = None) -> pl.Series:
        places = rng.choice(len(values), size, p=shares)
        return pl.Series(values, dtype=pl.String).gather(places.astype(np.uint32))

    def coded(system: str, known: list[tuple[str, str]], other: str, share: float) -> dict[str, pl.Series]:
        codes = pl.DataFrame([*known, *((system, f"{other}{n:02d}") for n in range(_OTHER_CODES))], orient="row")
        weights = [share / len(known)] * len(known) + [(1 - share) / _OTHER_CODES] * _OTHER_CODES
        places = rng.choice(len(weights), size, p=weights).astype(np.uint32)
        return {"code_system": codes["column_0"].gather(places), "code": codes["column_1"].gather(places)}

    def later(share: float, most: int) -> pl.Series:
        ends = np.where(rng.random(size) < share, days + rng.integers(0, most, size), -1)
        return pl.Series(ends.astype(np.int32)).replace(-1, None).cast(pl.Date)

    services: list[str | None] = [
        "health_centre", "hospital", "dental_care", "mental_health", "home_care", "social_services", "child_clinic",
        "memory_clinic", "substance_services", "diabetes_clinic",
    ]  # fmt: skip
    if name == "diagnosis":
        return coded("icd10", list(COMMON_DIAGNOSES), "M", 0.4) | {"end_date": later(0.2, 900)}
    if name == "measurement":
        values = pl.Series(np.round(rng.normal(55, 15, size), 1))
        return coded("loinc", list(CHECKS), "700-", 0.35) | {"value": values}
    if name == "medication":
        return coded("atc", list(MEDICINES), "J01CA", 0.25) | {"days_supplied": pl.Series(rng.integers(10, 101, size))}
    if name == "contact":
        codes = ["401191002", "134395001", "182836005", "56876005", "170777000"]
        code = some([None, *codes], [0.95, *[0.01] * 5])
        return {
            "channel": some(
                ["visit", "phone", "chat", "home", "emergency", "inpatient", "automated_message"],
                [0.45, 0.2, 0.05, 0.1, 0.05, 0.05, 0.1],
            ),
            "profession": some(["doctor", "nurse", "public_health_nurse", "social_worker", "dentist", None]),
            "service": some(services),
            "code": code,
            "code_system": pl.select(pl.when(code.is_not_null()).then(pl.lit("snomed"))).to_series(),
        }
    if name == "appointment":
        return {
            "status": some(
                ["attended", "booked", "no_show", "cancelled_by_client", "cancelled_by_provider"],
                [0.8, 0.02, 0.05, 0.08, 0.05],
            ),
            "reason": some(["pandemic", "capacity", "illness", None]),
            "service": some(services),
            "specialty": some(["general_practice", "ophthalmology", "cardiology", "psychiatry"]),
            "booked_date": pl.Series(days - 30).cast(pl.Date),
            "status_date": pl.Series(days).cast(pl.Date),
        }
    if name == "vaccination":
        known = [("atc", "J07BB02"), ("atc", "J07BD52")]
        return coded("atc", known, "J07C", 0.6) | {"status": some(["given", None, "refused"], [0.5, 0.45, 0.05])}
    if name == "contact_request":
        return {"service": some(services), "answered_date": later(0.9, 6), "outcome": some(["answered", None])}
    if name == "service_period":
        kinds: list[str | None] = ["home_care", "round_the_clock_care", "palliative_care", "specialist_care"]
        return {"service": some(kinds), "end_date": later(0.5, 600)}
    if name == "restriction":
        return {"kind": some(["contact_ban", "security_ban", "objection"])}
    districts: list[str | None] = ["101", "102", "103", "201", "301", "302", "401", "501", "601", "701"]
    starts = pl.Series(np.where(rng.random(size) < 0.3, days, -1).astype(np.int32)).replace(-1, None).cast(pl.Date)
    return {"area_code": some(districts), "from_date": starts}
