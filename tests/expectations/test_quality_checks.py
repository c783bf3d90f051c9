"""Every check, derived or written, passes on clean data and fails when its fault is planted; nothing tells a value."""

import os
import re
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from expectations.profile import Figures, Intake, profile
from expectations.rules import Check, all_checks, derived_checks, load_rules
from expectations.run import CheckResult, append_history, gate, read_history, run_suites
from schemas.errors import QualityGateFailed, UsageRefused
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from tests.expectations.quality_faults import (
    AS_OF,
    CANARY,
    FAULTS,
    ROWS,
    clean_frames,
    clean_intakes,
    profiles_of,
    profiles_with,
)

CHECKS = {check.id: check for check in all_checks()}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figures]:
    frames = clean_frames()
    return profiles_of(frames, clean_intakes(frames), tmp_path_factory.mktemp("clean") / "files")


@pytest.fixture(scope="module")
def clean_results(clean: dict[str, Figures]) -> dict[str, CheckResult]:
    return {result.check: result for result in run_suites(clean)}


@pytest.fixture(scope="module")
def faulty_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CheckResult]:
    """What each check says of the data with its own fault in it, all judged at once."""
    folder = tmp_path_factory.mktemp("faulty")
    merged: dict[str, Figures] = {table: {} for table in TABLES}
    for pattern in FAULTS:
        shown = [check for check in CHECKS.values() if re.fullmatch(pattern, check.figure)]
        assert shown, f"no check would notice {pattern}"
        profiles = profiles_with(shown[0].figure, folder)
        for check in shown:
            for figure in {check.figure, check.figure.removesuffix("_share") + "_count"} & profiles[check.table].keys():
                merged[check.table][figure] = profiles[check.table][figure]
    return {result.check: result for result in run_suites(merged)}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_check_passes_on_clean_data_and_fails_on_its_fault(
    check: Check, clean_results: dict[str, CheckResult], faulty_results: dict[str, CheckResult]
) -> None:
    assert clean_results[check.id].passed
    assert not faulty_results[check.id].passed
    assert faulty_results[check.id].observed is not None


def test_every_declared_rule_of_a_column_has_its_check() -> None:
    derived = {(check.table, check.figure) for check in derived_checks()}
    for table in TABLES.values():
        for column in table.platform_columns:
            assert ((table.name, f"{column.name}.null_count") in derived) == column.required
            assert ((table.name, f"{column.name}.not_a_term_count") in derived) == bool(column.terms)
        assert (table.name, f"{PERSON_NUMBER}.null_count") in derived
        assert ((table.name, "orphan_count") in derived) == (table.name != "person")


def test_every_check_has_an_owner_a_reason_and_a_next_step() -> None:
    for check in CHECKS.values():
        assert check.owner
        assert len(check.reason.split()) > 5
        assert check.next_step
        assert check.threshold
    assert len(CHECKS) == len(all_checks())


def test_the_gate_lets_clean_data_and_warnings_through(clean_results: dict[str, CheckResult]) -> None:
    warned = [replace(result, passed=result.severity == "fail") for result in clean_results.values()]
    gate(warned)


def test_the_gate_stops_at_a_failed_check_and_names_all_of_them(faulty_results: dict[str, CheckResult]) -> None:
    failed = [result for result in faulty_results.values() if result.severity == "fail"]
    for result in failed:
        with pytest.raises(QualityGateFailed) as caught:
            gate([result])
        error = caught.value
        assert error.exit_code == 11
        assert (error.table, error.column, error.count) == (result.table, result.column, result.count)
        assert result.threshold in error.rule
        assert error.next_step == result.next_step
    with pytest.raises(QualityGateFailed) as caught:
        gate(failed[:3])
    for other in failed[1:3]:
        assert f"{other.table}.{other.figure}" in caught.value.rule


@pytest.mark.parametrize(("share", "passed"), [(0.0499, True), (0.05, True), (0.0501, False)])
def test_a_limit_itself_is_allowed(clean: dict[str, Figures], share: float, passed: bool) -> None:
    check = CHECKS["contact.quarantined_share.fail"]
    figures = clean["contact"] | {"quarantined_share": share, "quarantined_count": 500}
    assert [result.passed for result in run_suites({"contact": figures}, [check])] == [passed]


@pytest.mark.parametrize(("rows", "passed"), [(19, True), (20, True), (21, False)])
def test_a_few_rows_of_a_small_source_are_tolerated(clean: dict[str, Figures], rows: int, passed: bool) -> None:
    check = CHECKS["contact.quarantined_share.fail"]
    figures = clean["contact"] | {"quarantined_share": 0.5, "quarantined_count": rows}
    (result,) = run_suites({"contact": figures}, [check])
    assert (result.passed, result.observed, result.count) == (passed, 0.5, rows)


def test_a_source_without_appointments_and_with_dirty_rows_passes_the_gate(tmp_path: Path) -> None:
    frames = {name: frame.head(27) for name, frame in clean_frames().items()}
    for name in ("appointment", "contact_request", "service_period", "restriction"):
        del frames[name]
    intakes = clean_intakes(frames)
    intakes["contact"] = Intake(rows_in=41, kept=27, quarantined={"event_date: is missing": 14})
    results = run_suites(profiles_of(frames, intakes, tmp_path / "files"))
    gate(results)
    assert all(result.passed for result in results)


def test_a_source_without_persons_does_not_pass_the_gate() -> None:
    with pytest.raises(QualityGateFailed, match="row_count") as caught:
        gate(run_suites(profile({}, AS_OF, {})))
    assert (caught.value.table, caught.value.count) == ("person", 0)


def test_files_that_the_controller_does_not_account_for_are_lost_rows(tmp_path: Path) -> None:
    frames = clean_frames()
    intakes = clean_intakes(frames)
    del intakes["vaccination"]
    assert profiles_of(frames, intakes, tmp_path / "files")["vaccination"]["lost_count"] == ROWS


def test_a_figure_that_was_not_measured_has_not_passed(clean: dict[str, Figures]) -> None:
    check = replace(CHECKS["person.row_count.fail"], figure="row_cuont")
    with pytest.raises(UsageRefused, match="not measured"):
        run_suites(clean, [check])
    with pytest.raises(UsageRefused, match="not measured"):
        run_suites({}, [CHECKS["person.row_count.fail"]])


def test_great_expectations_sees_numbers_alone_and_keeps_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from great_expectations.datasource.fluent.interfaces import Batch  # once run.py has imported it quietly

    seen: list[Batch] = []
    told: list[str] = []
    validate = Batch.validate

    def watched(batch: Batch, *args: object, **named: object) -> object:
        seen.append(batch)
        outcome = validate(batch, *args, **named)
        told.append(str(outcome.to_json_dict()) + repr(outcome))
        return outcome

    monkeypatch.setattr(Batch, "validate", watched)
    frames = clean_frames()
    frames["diagnosis"] = frames["diagnosis"].with_columns(code_system=pl.lit(CANARY))
    results = run_suites(profiles_of(frames, clean_intakes(frames), tmp_path / "files"))
    assert [result.check for result in results if not result.passed] == ["diagnosis.code_system.not_a_term_count.fail"]
    (batch,) = seen
    frame = batch.data.dataframe
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == len(CHECKS)
    assert {str(dtype) for dtype in frame.dtypes} == {"float64"}
    with pytest.raises(QualityGateFailed) as caught:
        gate(results)
    append_history(tmp_path / "history.parquet", results, "one", AS_OF)
    kept = str(read_history(tmp_path / "history.parquet").to_dicts())
    written, errors = capfd.readouterr()
    assert CANARY not in str([told, results, str(caught.value), kept, written, errors])
    assert CANARY.encode() not in (tmp_path / "history.parquet").read_bytes()
    assert not written
    assert not errors
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_what_the_library_could_not_judge_has_not_passed(
    clean: dict[str, Figures], monkeypatch: pytest.MonkeyPatch
) -> None:
    from great_expectations.expectations import ExpectColumnPairValuesAToBeGreaterThanB as Limit

    def broken(*_: object, **__: object) -> object:
        raise ValueError("broken")

    monkeypatch.setattr(Limit, "_validate", broken)
    assert not any(result.passed for result in run_suites(clean))
    assert run_suites(clean, []) == []


def test_history_grows_by_run_and_a_repeated_run_replaces_itself(
    tmp_path: Path, clean_results: dict[str, CheckResult], faulty_results: dict[str, CheckResult]
) -> None:
    path = tmp_path / "quality" / "history.parquet"
    assert read_history(path).is_empty()
    good, bad = list(clean_results.values()), list(faulty_results.values())
    append_history(path, bad, "one", date(2024, 4, 10))
    append_history(path, good, "two", AS_OF)
    append_history(path, good, "one", date(2024, 4, 10))
    history = read_history(path)
    assert history.height == 2 * len(CHECKS)
    assert history["passed"].all()
    assert set(history.select("run_id", "as_of").unique().rows()) == {("one", date(2024, 4, 10)), ("two", AS_OF)}
    assert {field.name for field in fields(CheckResult)} < set(history.columns)
    assert [entry.name for entry in path.parent.iterdir()] == ["history.parquet"]


def test_history_survives_a_run_that_is_killed_while_writing(
    tmp_path: Path, clean_results: dict[str, CheckResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.parquet"
    append_history(path, list(clean_results.values()), "one", AS_OF)
    before = path.read_bytes()

    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        append_history(path, list(clean_results.values()), "two", AS_OF)
    assert path.read_bytes() == before


RULE = """
[[rule]]
figure = "row_count"
tables = ["person"]
minimum = 1
severity = "fail"
owner = "source owner"
reason = "Without persons there is nothing to count."
next_step = "Ask for a complete extract"
"""


def test_rules_can_be_another_file(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULE)
    (check,) = load_rules(tmp_path / "rules.toml")
    assert (check.id, check.threshold, check.tolerate) == ("person.row_count.fail", "at least 1", 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[[rule]]", "[[rule]"),
        ('figure = "row_count"', 'figure = "row_cuont"'),
        ('figure = "row_count"', "figure = 3"),
        ('["person"]', '["persons"]'),
        ('["person"]', "[]"),
        ('["person"]\n', '["*"]\ntolerate = 3\n'),
        ("minimum = 1\n", ""),
        ("minimum = 1", 'minimum = "1"'),
        ("minimum = 1", "minimum = true"),
        ("minimum = 1", "least = 1"),
        ('"fail"', '"error"'),
        ('owner = "source owner"\n', ""),
        ('"Without persons there is nothing to count."', '""'),
        ('next_step = "Ask for a complete extract"\n', ""),
        ("\n[[rule]]", RULE + "\n[[rule]]"),
    ],
)
def test_a_rule_that_is_incomplete_or_fits_nothing_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in RULE
    (tmp_path / "rules.toml").write_text(RULE.replace(old, new))
    with pytest.raises(UsageRefused, match="rule"):
        load_rules(tmp_path / "rules.toml")
