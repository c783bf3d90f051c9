import logging
import pickle
import re

import polars as pl
import pytest

from flows.guard import Failure, ZoneFailed, guarded
from schemas.errors import KeyUnavailable, Refusal, SourceRefused

SECRET = "canary-aanu-7301"


def test_an_error_with_a_value_in_it_becomes_its_kind_and_place() -> None:
    @guarded
    def cast() -> None:
        pl.Series([SECRET]).cast(pl.Int64)

    with pytest.raises(Failure) as caught:
        cast()
    assert "InvalidOperationError" in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_nothing_hangs_on_the_error_that_leaves() -> None:
    @guarded
    def fail() -> None:
        try:
            int(SECRET)
        except ValueError as error:
            raise SourceRefused("a rule", "a step") from error

    with pytest.raises(SourceRefused) as caught:
        fail()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET.encode() not in pickle.dumps(caught.value)


def test_notes_on_a_refusal_do_not_leave_with_it() -> None:
    @guarded
    def fail() -> None:
        refusal = SourceRefused("a rule", "a step")
        refusal.add_note(SECRET)
        raise refusal

    with pytest.raises(SourceRefused) as caught:
        fail()
    assert not getattr(caught.value, "__notes__", [])


def test_a_refusal_keeps_its_fields_and_its_exit_code() -> None:
    @guarded
    def fail() -> None:
        raise KeyUnavailable("rule", "step", "table", "column", 3)

    with pytest.raises(KeyUnavailable) as caught:
        fail()
    assert str(caught.value) == "table.column: rule (3 rows). step"
    assert caught.value.exit_code == 16


def test_a_zone_that_failed_keeps_its_code_only() -> None:
    @guarded
    def fail() -> None:
        raise ZoneFailed(13)

    with pytest.raises(ZoneFailed) as caught:
        fail()
    assert caught.value.exit_code == 13
    assert pickle.loads(pickle.dumps(caught.value)).exit_code == 13


@pytest.mark.parametrize("refusal", Refusal.__subclasses__())
def test_refusals_survive_pickling(refusal: type[Refusal]) -> None:
    one = refusal("rule", "step", "table", "column", 2)
    again = pickle.loads(pickle.dumps(one))
    assert type(again) is refusal
    assert str(again) == str(one)


def test_every_kind_of_refusal_has_its_own_exit_code() -> None:
    codes = [refusal.exit_code for refusal in Refusal.__subclasses__()]
    assert sorted(codes) == [2, 10, 11, 12, 13, 14, 15, 16]


def test_a_refused_run_says_so_in_plain_words_and_is_found_by_its_date(prefect_api: str) -> None:
    from prefect import runtime

    from flows.zone import zone_flow, zone_task

    said: list[logging.LogRecord] = []
    named: list[str] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]

    @zone_task("part")
    def part() -> None:
        raise SourceRefused("it is not there", "Look elsewhere")

    @zone_flow("whole")
    def whole(as_of: str | None = None) -> None:
        named.append(runtime.flow_run.get_name() or "")
        part()

    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        for day in ("2026-10-31", None):
            with pytest.raises(SourceRefused):
                whole(day)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    errors = [record for record in said if record.levelno >= logging.ERROR]
    assert sum(record.getMessage() == "it is not there. Look elsewhere" for record in errors) == 4
    assert not any(record.exc_info or "Traceback" in record.getMessage() for record in errors)
    assert named[0] == "whole 2026-10-31"
    assert re.fullmatch(r"whole \d{4}-\d\d-\d\d \d\d:\d\d", named[1])
