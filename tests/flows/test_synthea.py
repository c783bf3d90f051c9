"""Third-party records the whole way: the counts that a plain script finds."""

from pathlib import Path

import polars as pl
import pytest

from tests.conftest import THIRD_PARTY
from tests.flows.conftest import Caregap

RECORDS = THIRD_PARTY / "synthea_stu3"
EXPECTED = {"diabetes_hba1c_missing": (30, 7), "hypertension_bp_missing": (171, 61), "cvd_ldl_missing": (20, 14)}


@pytest.mark.skipif(not RECORDS.is_dir(), reason="no third-party Synthea records; CAREGAP_TEST_DATA names their folder")
def test_whole_population_counts_of_synthea_records(tmp_path: Path, caregap: Caregap) -> None:
    data, as_of = tmp_path / "data", "2020-01-11"
    done = caregap("ingest", "--source", f"synthea:{RECORDS}", "--as-of", as_of, data=data)
    assert done.code == 0, done.err
    assert caregap("analyse", "--as-of", as_of, data=data).code == 0
    for indicator, figures in EXPECTED.items():
        words = ("--indicator", indicator, "--as-of", as_of, "--reason", "comparison", "--area", "*")
        rows = pl.read_csv(caregap("counts", *words, data=data).out.encode(), infer_schema_length=0)
        city = rows.filter(pl.col("sex") == "*", pl.col("age_band") == "*")
        assert (int(city["eligible"].item()), int(city["open"].item())) == figures
