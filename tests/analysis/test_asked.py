"""What is asked wrongly, or of a lake that is not as declared, is refused by name; it never becomes a figure."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.areas import load_areas
from schemas.errors import QualityGateFailed, UsageRefused
from schemas.indicators import load_indicators
from tests.analysis.lakes import write_lake
from transforms.analysis.blocks import count_lake
from transforms.analysis.counts import counts, margins
from transforms.analysis.evaluation import evaluate
from transforms.analysis.explain import check_indicators

INDICATORS = load_indicators()
ASKED: dict[str, Any] = {
    "indicators": [INDICATORS["diabetes_hba1c_missing"]],
    "as_ofs": [date(2023, 1, 31)],
    "age_band_starts": (0, 18),
    "areas": load_areas(),
}
DIAGNOSIS = {"person_number": 0, "code_system": "icd10", "code": "E11", "event_date": date(2019, 1, 1)}
ROWS = {"person": [{"person_number": 0, "birth_date": date(1950, 1, 1)}], "diagnosis": [DIAGNOSIS]}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"indicators": ["diabetes_hba1c_missing"]}, "not definitions"),
        ({"indicators": ASKED["indicators"] * 2}, "two indicators have one id"),
        ({"as_ofs": ["2023-01-31"]}, "not a day"),
        ({"as_ofs": [datetime(2023, 1, 31)]}, "not a day"),  # noqa: DTZ001 - what is wrong
        ({"age_band_starts": ()}, "do not begin at 0"),
        ({"age_band_starts": (18, 65)}, "do not begin at 0"),
        ({"age_band_starts": (0, 17.5)}, "do not begin at 0"),
        ({"age_band_starts": (0, 65, 18)}, "not in order"),
        ({"age_band_starts": (0, 18, 18)}, "not in order"),
        ({"areas": pl.DataFrame({"code": ["101"]})}, "no districts"),
        ({"areas": load_areas().filter(pl.col("level") == "city")}, "no districts"),
    ],
)
def test_what_would_be_a_wrong_figure_is_refused(wrong: dict[str, Any], told: str, tmp_path: Path) -> None:
    files = write_lake(tmp_path, ROWS)
    assert counts(evaluate(files, **ASKED))["open"].sum() == 1
    with pytest.raises(UsageRefused, match=told):
        evaluate(files, **ASKED | wrong)


def test_a_table_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    files = write_lake(tmp_path, ROWS)
    with pytest.raises(UsageRefused, match="diagnoses: there is no such table"):
        evaluate({**files, "diagnoses": files["diagnosis"]}, **ASKED)


@pytest.mark.parametrize("at_once", [0, -1])
def test_nobody_at_once_is_refused(at_once: int, tmp_path: Path) -> None:
    with pytest.raises(UsageRefused, match="nobody"):
        count_lake(write_lake(tmp_path, ROWS), **ASKED, persons_at_once=at_once)


def test_a_file_that_is_not_as_its_table_is_declared_is_named_by_table_and_column(tmp_path: Path) -> None:
    files = write_lake(tmp_path, ROWS)
    path = Path(files["diagnosis"][0])
    rows = pl.read_parquet(path)
    spoilt = {
        "diagnosis.code: it is missing": rows.drop("code"),
        "diagnosis.event_date: it is of another type": rows.with_columns(pl.col("event_date").cast(pl.String)),
    }
    for told, frame in spoilt.items():
        frame.write_parquet(path)
        with pytest.raises(QualityGateFailed, match=told):
            evaluate(files, **ASKED)
    path.write_bytes(b"no table")
    with pytest.raises(QualityGateFailed, match="diagnosis: a file is no Parquet file"):
        evaluate(files, **ASKED)
    path.unlink()
    with pytest.raises(QualityGateFailed, match="diagnosis: a file is not there"):
        evaluate(files, **ASKED)


def test_a_failure_of_ours_is_not_laid_on_the_files(tmp_path: Path) -> None:
    files = write_lake(tmp_path, ROWS)
    with pytest.raises(TypeError):
        evaluate(files, **ASKED, codelists=["no mapping"])


def test_sums_over_districts_of_another_geography_are_refused(tmp_path: Path) -> None:
    found = counts(evaluate(write_lake(tmp_path, ROWS), **ASKED))
    with pytest.raises(UsageRefused, match="not of the geography"):
        margins(found, load_areas().head(5))


def test_a_folder_without_definitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageRefused, match="no definition"):
        check_indicators(tmp_path)
    with pytest.raises(UsageRefused, match="no such folder"):
        check_indicators(tmp_path / "none")
