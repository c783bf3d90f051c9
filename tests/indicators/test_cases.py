"""Every indicator against its cases: persons with their records and the status that each should have."""

from pathlib import Path

import pytest

from schemas.indicators import Indicator, load_indicators
from transforms.analysis.cases import Case, possible_statuses, read_cases, run_cases

HERE = Path(__file__).parent
INDICATORS = load_indicators()


def cases_of(indicator: Indicator) -> list[Case]:
    path = HERE / f"{indicator.id}.toml"
    return read_cases(path.name, path.read_text("utf-8"))


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=INDICATORS)
def test_the_cases_have_the_status_that_they_expect(indicator: Indicator, tmp_path: Path) -> None:
    outcomes = run_cases(indicator, cases_of(indicator), tmp_path)
    wrong = [f"{one.name}: expected {one.expect}, is {one.found}" for one in outcomes if not one.holds]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=INDICATORS)
def test_the_cases_reach_every_status_and_reason(indicator: Indicator) -> None:
    assert {case.expect for case in cases_of(indicator)} == set(possible_statuses(indicator))


def test_every_file_of_cases_is_of_an_indicator() -> None:
    assert {path.stem for path in HERE.glob("*.toml")} == set(INDICATORS)
