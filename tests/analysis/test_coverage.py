"""The coverage of the records, counted once more in plain Python."""

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.areas import DISTRICT, UNKNOWN_AREA, load_areas
from schemas.indicators import load_indicators
from schemas.tables import TABLES
from tests.analysis import oracle
from tests.analysis.lakes import write_lake
from tests.analysis.populations import of_person, population
from transforms.analysis.coverage import COVERAGE_SCHEMA, compared, coverage, tables_used

INDICATORS = list(load_indicators().values())
AREAS = load_areas()
DISTRICTS = AREAS.filter(pl.col("level") == DISTRICT)["code"].to_list()
DAY = date(2023, 1, 31)
ENDS = [oracle.back(DAY, months) for months in range(13, -1, -1)]


def with_recording(rows: dict[str, list[dict[str, Any]]], seed: int) -> dict[str, list[dict[str, Any]]]:
    """The rows with days of recording, some late and some missing, and some codes and values missing."""
    for table, records in rows.items():
        if table in ("person", "residence"):
            continue
        for number, row in enumerate(records):
            late = (seed + number) % 5
            if late:
                row["recorded_date"] = row["event_date"] + timedelta(days=(0, 0, 3, 40, -1)[late])
            if table == "measurement" and number % 3:
                row["value"] = float(number)
    return rows


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), parts=st.integers(1, 3))
def test_coverage_is_what_the_records_hold(seed: int, parts: int, tmp_path: Path) -> None:
    rows = with_recording(population(seed, 80), seed)
    found = coverage(write_lake(tmp_path / f"{seed}-{parts}", rows, parts=parts), INDICATORS, DAY, AREAS)
    assert dict(found.schema) == COVERAGE_SCHEMA
    tables = sorted({name for indicator in INDICATORS for name in tables_used(indicator)})
    assert found.height == len(tables) * 13 * (len(DISTRICTS) + 1)
    expected: Counter[tuple[Any, ...]] = Counter()
    for person in rows["person"]:
        records = of_person(rows, person["person_number"])
        for first, last in pairwise(ENDS):
            if not (oracle.is_counted(person, records, last) and oracle.is_resident(person, records, last)):
                continue
            area = oracle.area_of(records, DISTRICTS, last)
            for table in tables:
                of_month = [
                    row
                    for row in oracle.valid(records, table)
                    if first < row["event_date"] <= last and (row.get("recorded_date") or date.min) <= last
                ]
                key = (table, last, area)
                expected[*key, "residents"] += 1
                expected[*key, "residents_with_record"] += bool(of_month)
                for row in of_month:
                    delay = (row["recorded_date"] - row["event_date"]).days if row.get("recorded_date") else -1
                    expected[*key, "rows"] += 1
                    expected[*key, "rows_without_code"] += row.get("code") is None
                    expected[*key, "rows_without_value"] += row.get("value") is None
                    expected[*key, "rows_with_delay"] += delay >= 0
                    expected[*key, "delay_days"] += max(delay, 0)
    for row in found.iter_rows(named=True):
        for name in (name for name, kind in COVERAGE_SCHEMA.items() if kind == pl.Int64):
            if row[name] is None:
                assert name.removeprefix("rows_without_") not in TABLES[row["table"]].names
            else:
                assert row[name] == expected[row["table"], row["month_end"], row["area_code"], name], (row, name)


def test_an_indicator_uses_the_tables_that_its_clauses_and_selects_read() -> None:
    used = {indicator.id: tables_used(indicator) for indicator in INDICATORS}
    assert used["diabetes_hba1c_missing"] == ("diagnosis", "measurement", "service_period")
    assert "appointment" in used["provider_cancelled_not_rebooked"]
    assert not any({"person", "residence", "restriction"} & set(tables) for tables in used.values())


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [(20, 22, "more"), (20, 21, "alike"), (20, 20, "alike"), (20, 19, "alike"), (20, 18, "less"), (0, 5, None)],
)
def test_a_rise_in_recording_is_told_from_a_tenth_on(tmp_path: Path, before: int, now: int, said: str) -> None:
    counts = [before] * 12 + [now]
    rows = {
        "person": [{"person_number": n, "birth_date": date(1960, 1, 1), "sex": "female"} for n in range(40)],
        "residence": [{"person_number": n, "area_code": "101"} for n in range(40)],
        "measurement": [
            {
                "person_number": number,
                "code_system": "loinc",
                "code": "8480-6",
                "event_date": end,
                "value": 120.0 if end == DAY else None,
                "recorded_date": end,
            }
            for end, count in zip(ENDS[1:], counts, strict=True)
            for number in range(count)
        ],
    }
    found = compared(coverage(write_lake(tmp_path, rows), INDICATORS, DAY, AREAS), DAY)
    for area in ("*", "101"):
        row = found.filter(table="measurement", area_code=area).row(0, named=True)
        assert (row["share"], row["share_before"]) == (now / 40, pytest.approx(before / 40))
        assert row["recording"] == said
        assert row["share_without_value"] == 0
        assert row["share_without_value_before"] == (1 if before else None)
        assert row["share_without_district"] == (0 if area == "*" else None)
        assert row["delay_days"] == 0
    assert found.filter(table="measurement", area_code=UNKNOWN_AREA)["share"].item() is None


def test_an_empty_lake_has_no_coverage_and_nothing_to_compare() -> None:
    found = coverage({}, INDICATORS, DAY, AREAS)
    assert found.select("residents", "rows").sum().row(0) == (0, 0)
    assert compared(found, DAY)["recording"].null_count() == compared(found, DAY).height
    assert coverage({}, [], DAY, AREAS).height == 0
