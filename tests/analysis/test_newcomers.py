"""Persons whom nothing but a short residence leaves out, as a stratum of their own; and what counts say in detail."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from schemas.areas import load_areas
from schemas.indicators import Indicator, load_indicators
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, population
from transforms.analysis.compiling import COUNTED, compile_indicator, excluded_column, lacking_column
from transforms.analysis.counts import counts, details
from transforms.analysis.evaluation import evaluate
from transforms.analysis.statuses import status_of

INDICATORS = load_indicators()
AREAS = load_areas()
DAY = date(2023, 6, 30)
OLD = date(2015, 1, 1)


def newcomers(folder: Path, moved_in: date, measured: bool, **tables: list[dict[str, Any]]) -> dict[str, int]:
    """Counts of the city where one person with hypertension has moved in."""
    pressure = {"person_number": 0, "code_system": "loinc", "event_date": date(2023, 3, 1), "value": 130.0}
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1958, 7, 1), "sex": "male"}],
        "residence": [{"person_number": 0, "area_code": "101", "from_date": moved_in}],
        "diagnosis": [{"person_number": 0, "code_system": "icd10", "code": "I10", "event_date": OLD}],
        "measurement": [{**pressure, "code": code} for code in ("8480-6", "8462-4")] if measured else [],
        **tables,
    }
    statuses = evaluate(write_lake(folder, rows), [INDICATORS["hypertension_bp_missing"]], [DAY], (0, 65), AREAS)
    return counts(statuses).select(pl.col(pl.Int64).sum()).row(0, named=True)


@pytest.mark.parametrize("measured", [False, True])
def test_a_newcomer_is_counted_apart_and_in_no_other_denominator(measured: bool, tmp_path: Path) -> None:
    found = newcomers(tmp_path, date(2022, 7, 1), measured)
    assert (found["newcomer_eligible"], found["newcomer_open"]) == (1, 0 if measured else 1)
    assert (found["eligible"], found["open"], found["closed"], found["excluded"]) == (0, 0, 0, 1)


def test_who_has_lived_here_for_twelve_months_is_no_newcomer(tmp_path: Path) -> None:
    found = newcomers(tmp_path, date(2022, 6, 30), measured=False)
    assert (found["newcomer_eligible"], found["eligible"], found["open"], found["excluded"]) == (0, 1, 1, 0)


def test_whom_something_else_leaves_out_too_is_no_newcomer(tmp_path: Path) -> None:
    care = [{"person_number": 0, "service": "palliative_care", "event_date": date(2023, 5, 1)}]
    found = newcomers(tmp_path, date(2022, 7, 1), measured=False, service_period=care)
    assert (found["newcomer_eligible"], found["excluded"]) == (0, 1)


def test_details_add_up_to_the_counts(tmp_path: Path) -> None:
    statuses = evaluate(write_lake(tmp_path, population(5, 200)), list(INDICATORS.values()), AS_OFS, (0, 18), AREAS)
    keys = ["indicator", "as_of", "area_code", "sex", "age_band"]
    found = details(statuses)
    assert found["persons"].min() == 1
    by_reason = found.filter(pl.col("detail").str.starts_with("excluded_")).group_by(keys).agg(pl.col("persons").sum())
    table = counts(statuses).join(by_reason, on=keys, how="left").with_columns(pl.col("persons").fill_null(0))
    assert table["persons"].to_list() == table["excluded"].to_list()
    assert table["newcomer_eligible"].sum() > 0
    assert (table["newcomer_eligible"] + table["newcomer_declined"] <= table["excluded"]).all()
    lacking = found.filter(pl.col("detail").str.starts_with("lacking_")).join(table, on=keys)
    assert {"lacking_hba1c", "lacking_eyes"} <= set(lacking["detail"])
    assert (lacking["persons"] <= lacking["eligible"]).all()


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=list(INDICATORS))
def test_the_select_that_is_shown_gives_the_statuses_that_are_counted(indicator: Indicator) -> None:
    random = np.random.default_rng(7)
    masks = {leaf: random.integers(0, 2**32, 200, dtype=np.uint32) for leaf in indicator.leaves}
    counted = random.integers(0, 2**32, 200, dtype=np.uint32)
    columns = {COUNTED: counted} | {str(leaf): mask for leaf, mask in masks.items()}
    person_mask = pl.DataFrame({"person_number": np.arange(200, dtype=np.int32), **columns})
    with duckdb.connect() as connection:
        connection.register("person_mask", person_mask)
        shown = connection.sql(compile_indicator(indicator)).pl().sort("person_number")
    found = status_of(indicator, masks, counted)
    named = {word: getattr(found, word) for word in ("open", "closed", "declined", "excluded")}
    named |= {excluded_column(reason): mask for reason, mask in found.reasons.items()}
    named |= {lacking_column(part): mask for part, mask in found.lacking.items()}
    assert set(named) <= set(shown.columns)
    assert shown["person_number"].to_list() == found.persons.tolist()
    assert {name: shown[name].to_list() for name in named} == {name: mask.tolist() for name, mask in named.items()}
