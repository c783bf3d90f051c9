"""A load's checks run at the same time: each ends, and of several that refuse the first in order is told."""

import time

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.controller import _side_by_side
from flows.zone import zone_flow, zone_task
from schemas.errors import BoundaryRefused, QualityGateFailed

ENDED: list[str] = []


@zone_task("judge slowly")
def judge(passes: bool) -> None:
    time.sleep(0.5)
    ENDED.append("quality")
    if not passes:
        raise QualityGateFailed("the gate is shut", "Look")


@zone_task("look at the boundary")
def guard(passes: bool) -> None:
    ENDED.append("boundary")
    if not passes:
        raise BoundaryRefused("it does not cross", "Look")


@zone_flow("checks")
def checks(quality: bool, boundary: bool) -> None:
    _side_by_side((judge, quality), (guard, boundary))
    ENDED.append("lake")


@pytest.mark.slow
def test_whichever_check_refuses_nothing_follows_and_the_first_is_told() -> None:
    with prefect_test_harness():
        for quality, boundary, told in (
            (True, False, BoundaryRefused),
            (False, True, QualityGateFailed),
            (False, False, QualityGateFailed),
        ):
            ENDED.clear()
            with pytest.raises(told):
                checks(quality, boundary)
            assert ENDED == ["boundary", "quality"]
        ENDED.clear()
        checks(True, True)
        assert ENDED == ["boundary", "quality", "lake"]
