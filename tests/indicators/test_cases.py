"""Every indicator against its cases: persons with their records and the status that each should have."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from schemas.areas import load_areas
from schemas.indicators import Indicator, load_indicators
from schemas.tables import TABLES
from tests.analysis.lakes import write_lake
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate

HERE = Path(__file__).parent
INDICATORS = load_indicators()
PERSON_KEYS = {"born": "birth_date", "sex": "sex", "died": "death_date"}
OTHER_KEYS = {"name", "expect", "as_of"}


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Cases of a file; each has what `base` has and it does not say itself."""
    raw = tomllib.loads(path.read_text("utf-8"))
    assert set(raw) == {"as_of", "base", "case"}
    cases = [{"as_of": raw["as_of"], **raw["base"], **case} for case in raw["case"]]
    for case in cases:
        assert set(case) <= OTHER_KEYS | set(PERSON_KEYS) | set(TABLES), case["name"]
    return cases


def write_cases(folder: Path, cases: list[dict[str, Any]]) -> dict[str, list[str]]:
    """A lake in which the n-th person is the n-th case."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for number, case in enumerate(cases):
        person = {column: case.get(key) for key, column in PERSON_KEYS.items()}
        rows["person"].append({"person_number": number, **person})
        for table in set(case) & set(TABLES):
            rows[table] += [{"person_number": number, **record} for record in case[table]]
    return write_lake(folder, rows)


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=INDICATORS)
def test_the_cases_have_the_status_that_they_expect(indicator: Indicator, tmp_path: Path) -> None:
    cases = read_cases(HERE / f"{indicator.id}.toml")
    as_ofs: list[date] = sorted({case["as_of"] for case in cases})
    statuses = evaluate(write_cases(tmp_path, cases), [indicator], as_ofs, [0], load_areas())
    found = {as_of: statuses_at(statuses, indicator.id, as_of, for_outreach=False).rows() for as_of in as_ofs}
    wrong = []
    for number, case in enumerate(cases):
        _, status, reason = found[case["as_of"]][number]
        word = f"{status}: {reason}" if reason else status
        if word != case["expect"]:
            wrong.append(f"{case['name']}: expected {case['expect']}, is {word}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=INDICATORS)
def test_the_cases_reach_every_status_and_reason(indicator: Indicator) -> None:
    expected = {case["expect"] for case in read_cases(HERE / f"{indicator.id}.toml")}
    possible = {"not_applicable", "open", "closed"} | ({"declined"} if indicator.declined else set())
    possible |= {f"excluded: {exclusion.reason}" for exclusion in indicator.exclusions}
    assert expected == possible


def test_every_file_of_cases_is_of_an_indicator() -> None:
    assert {path.stem for path in HERE.glob("*.toml")} == set(INDICATORS)
