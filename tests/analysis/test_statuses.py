"""The engine against the slow oracle, and what it promises about many dates, shared features and odd lakes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.errors import QualityGateFailed, UsageRefused
from schemas.indicators import load_indicators
from tests.analysis import oracle
from tests.analysis.lakes import RECORDS, write_lake
from tests.analysis.populations import AS_OFS, by_person, population
from transforms.analysis.counts import counts, residents, statuses_at
from transforms.analysis.evaluation import Statuses, evaluate

INDICATORS = load_indicators()
AREAS = load_areas()
BANDS = (0, 18, 45, 65, 75)
MONTH_ENDS = tuple(date(2022 + n // 12, n % 12 + 1, 1) - timedelta(days=1) for n in range(24))


def run(files: Any, as_ofs: tuple[date, ...], ids: tuple[str, ...] = tuple(INDICATORS)) -> Statuses:
    return evaluate(files, [INDICATORS[name] for name in ids], as_ofs, BANDS, AREAS)


def words(statuses: Statuses, indicator: str, as_of: date) -> list[str]:
    found = statuses_at(statuses, indicator, as_of, for_outreach=False).select("status", "reason").rows()
    return [f"{status}: {reason}" if reason else status for status, reason in found]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_every_status_is_that_of_the_oracle(seed: int, tmp_path: Path) -> None:
    rows = population(seed, 50)
    found = run(write_lake(tmp_path / str(seed), rows, parts=2), AS_OFS)
    for as_of in AS_OFS:
        status = {indicator: words(found, indicator, as_of) for indicator in INDICATORS}
        for number, records in enumerate(by_person(rows)):
            expected = oracle.statuses(rows["person"][number], records, as_of)
            assert set(expected) == set(INDICATORS)
            for indicator, word in expected.items():
                assert status[indicator][number] == word, (indicator, as_of, rows["person"][number], records)


def test_random_populations_reach_every_status() -> None:
    reached = set()
    for seed in range(4):
        rows = population(seed, 150)
        for number, records in enumerate(by_person(rows)):
            for as_of in AS_OFS:
                reached |= set(oracle.statuses(rows["person"][number], records, as_of).items())
    for indicator in INDICATORS.values():
        reasons = {f"excluded: {exclusion.reason}" for exclusion in indicator.exclusions}
        declined = {"declined"} if indicator.declined else set()
        assert {word for name, word in reached if name == indicator.id} == (
            {"not_applicable", "open", "closed"} | reasons | declined
        ), indicator.id


def test_many_dates_at_once_equal_the_same_dates_one_by_one(tmp_path: Path) -> None:
    files = write_lake(tmp_path, population(7, 150))
    together = run(files, MONTH_ENDS)
    for as_of in MONTH_ENDS:
        alone = run(files, (as_of,))
        for indicator in INDICATORS:
            assert words(together, indicator, as_of) == words(alone, indicator, as_of)
        if as_of in MONTH_ENDS[::8]:
            assert counts(together).filter(as_of=as_of).equals(counts(alone))
            assert residents(together).filter(as_of=as_of).equals(residents(alone))


def test_thirty_two_dates_fit_and_their_order_does_not_matter(tmp_path: Path) -> None:
    files = write_lake(tmp_path, population(8, 40))
    days = tuple(date(2022, 1, 1) + timedelta(days=20 * n) for n in range(32))
    forwards, backwards = run(files, days), run(files, days[::-1])
    for indicator in INDICATORS:
        for as_of in (days[0], days[31]):
            assert words(forwards, indicator, as_of) == words(backwards, indicator, as_of)


@pytest.mark.parametrize("days", [(), tuple(date(2020, 1, 1 + n) for n in range(31)) + AS_OFS, (AS_OFS[0], AS_OFS[0])])
def test_no_dates_too_many_or_equal_ones_are_refused(days: tuple[date, ...]) -> None:
    with pytest.raises(UsageRefused, match="as-of dates"):
        run({}, days)


class Opened(dict[str, list[str]]):
    """Files that note how often each table was opened."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        super().__init__(files)
        self.tables: list[str] = []

    def get(self, table: str, default: Any = None) -> Any:
        self.tables.append(table)
        return super().get(table, default)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("tables are opened by name")


def test_what_two_indicators_share_is_read_once(tmp_path: Path) -> None:
    files = write_lake(tmp_path, population(9, 20))
    alone, twice = Opened(files), Opened(files)
    first = run(alone, AS_OFS, ("diabetes_hba1c_missing",))
    copy = replace(INDICATORS["diabetes_hba1c_missing"], id="no_such_indicator")
    second = evaluate(twice, [INDICATORS["diabetes_hba1c_missing"], copy], AS_OFS, BANDS, AREAS)
    assert alone.tables.count("measurement") == 1
    assert sorted(twice.tables) == sorted(alone.tables)
    assert words(second, "no_such_indicator", AS_OFS[0]) == words(first, "diabetes_hba1c_missing", AS_OFS[0])


def test_an_empty_lake_has_nobody() -> None:
    statuses = run({}, AS_OFS)
    assert statuses.persons.height == 0
    assert counts(statuses).height == 0
    assert residents(statuses).height == 0


def test_persons_without_any_records_are_in_no_population(tmp_path: Path) -> None:
    rows = {"person": [{"person_number": 0, "birth_date": date(1950, 1, 1)}]}
    statuses = run(write_lake(tmp_path, rows), AS_OFS)
    assert words(statuses, "diabetes_hba1c_missing", AS_OFS[0]) == ["not_applicable"]
    assert residents(statuses).filter(as_of=AS_OFS[0])["residents"].sum() == 1


def test_a_number_that_nobody_has_any_more_is_in_no_count(tmp_path: Path) -> None:
    diagnosis = {"code_system": "icd10", "code": "I10", "event_date": date(2015, 1, 1)}
    rows = {
        "person": [{"person_number": n, "birth_date": date(1950, 1, 1), "is_retracted": n == 1} for n in (0, 1, 3)],
        "diagnosis": [{"person_number": n, **diagnosis} for n in (0, 1, 2, 3)],
    }
    statuses = run(write_lake(tmp_path, rows), (AS_OFS[0],), ("hypertension_bp_missing",))
    assert words(statuses, "hypertension_bp_missing", AS_OFS[0]) == ["open", "not_applicable", "not_applicable", "open"]
    assert counts(statuses)["open"].sum() == 2


@pytest.mark.parametrize("number", [5, -1, None])
@pytest.mark.parametrize("table", RECORDS)
def test_rows_of_nobody_are_refused(table: str, number: int | None, tmp_path: Path) -> None:
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1950, 1, 1)}],
        table: [{"person_number": number, **RECORDS[table]}],
    }
    with pytest.raises(QualityGateFailed, match="not in the person table"):
        run(write_lake(tmp_path, rows), (AS_OFS[0],))


@pytest.mark.parametrize("numbers", [[0, 0], [0, None], [-1, 0]])
def test_persons_with_a_missing_or_repeated_number_are_refused(numbers: list[int | None], tmp_path: Path) -> None:
    rows = {"person": [{"person_number": n, "birth_date": date(1950, 1, 1)} for n in numbers]}
    with pytest.raises(QualityGateFailed, match="missing or repeated"):
        run(write_lake(tmp_path, rows), (AS_OFS[0],))
