"""Great Expectations judges the profiles: aggregates only, one row a check, and no record ever reaches it.

The only file that knows the library. It is told to be silent: no analytics, no progress bars. What it sees and says is
numbers about tables.
"""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import pandas as pd
import polars as pl

from expectations.profile import Figures
from expectations.rules import Check, all_checks
from schemas.errors import QualityGateFailed, UsageRefused

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # the library reads it while it is imported
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations import ExpectColumnPairValuesAToBeGreaterThanB

logging.getLogger("great_expectations").setLevel(logging.ERROR)


@dataclass(frozen=True)
class CheckResult:
    """What came of one check. `observed` is a figure of the table, None where there was nothing to judge."""

    check: str
    table: str
    column: str | None
    figure: str
    severity: Literal["fail", "warn"]
    owner: str
    reason: str
    next_step: str
    threshold: str
    observed: float | None
    count: int | None
    passed: bool


_LIMITED = ["minimum", "figure", "maximum"]
"""What the library sees of a check: numbers."""
HISTORY_SCHEMA: dict[str, pl.DataType] = {
    "run_id": pl.String(),
    "as_of": pl.Date(),
    "check": pl.String(),
    "table": pl.String(),
    "column": pl.String(),
    "figure": pl.String(),
    "severity": pl.String(),
    "owner": pl.String(),
    "reason": pl.String(),
    "next_step": pl.String(),
    "threshold": pl.String(),
    "observed": pl.Float64(),
    "count": pl.Int64(),
    "passed": pl.Boolean(),
}
"""One row per run and check."""


def run_suites(profiles: Mapping[str, Figures], checks: Sequence[Check] | None = None) -> list[CheckResult]:
    """Judge each table's profile by its checks, in their order; by every check that there is where none are given.

    Raises UsageRefused where a profile lacks a figure that a check limits: what was not measured has not passed.
    """
    checks = all_checks() if checks is None else checks
    for check in checks:
        if check.figure not in profiles.get(check.table, {}):
            raise UsageRefused(f"{check.figure} was not measured", "Correct the rule", check.table, check.column)
    if not checks:
        return []
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    rows = [(check.minimum, _judged(check, profiles[check.table]), check.maximum) for check in checks]
    batch = (
        context.data_sources.add_pandas("profiles")
        .add_dataframe_asset("figures")
        .add_batch_definition_whole_dataframe("figures")
        .get_batch(batch_parameters={"dataframe": pd.DataFrame(rows, columns=_LIMITED, dtype="float64")})
    )
    failed = _failed(batch.validate(_limits(), result_format="COMPLETE"), len(checks))
    return [_result(check, profiles[check.table], place not in failed) for place, check in enumerate(checks)]


def gate(results: Sequence[CheckResult]) -> None:
    """Raise QualityGateFailed where a check of severity `fail` did not pass: the first told, the others named."""
    failed = [result for result in results if result.severity == "fail" and not result.passed]
    if not failed:
        return
    first, others = failed[0], failed[1:]
    observed = "" if first.observed is None else f"{first.figure} is {first.observed:.6g}, "
    rule = f"{observed}allowed is {first.threshold}: {first.reason.rstrip('.')}"
    if others:
        rule += f"; failed too: {', '.join(f'{other.table}.{other.figure}' for other in others)}"
    raise QualityGateFailed(rule, first.next_step, first.table, first.column, first.count)


def append_history(path: Path, results: Sequence[CheckResult], run_id: str, as_of: date) -> None:
    """Add a run's results to the Parquet file; a run that is repeated under its id replaces its results."""
    rows = [{"run_id": run_id, "as_of": as_of, **asdict(result)} for result in results]
    earlier = read_history(path).filter(pl.col("run_id") != run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    pl.concat([earlier, pl.DataFrame(rows, schema=HISTORY_SCHEMA)]).write_parquet(beside)
    beside.replace(path)


def read_history(path: Path) -> pl.DataFrame:
    """Results of every run so far, latest last; no rows where there has been none."""
    return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=HISTORY_SCHEMA)


def _limits() -> gx.ExpectationSuite:
    """Every figure lies between its limits; where there is no figure or no limit, nothing is judged.

    Two expectations for all checks together: one a check would cost a hundred times as much as what it judges.
    """
    minimum, figure, maximum = _LIMITED
    pairs = [(figure, minimum), (maximum, figure)]
    return gx.ExpectationSuite(
        name="limits",
        expectations=[
            ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=larger, column_B=smaller, or_equal=True, ignore_row_if="either_value_is_missing"
            )
            for larger, smaller in pairs
        ],
    )


def _failed(validation: gx.core.ExpectationSuiteValidationResult, count: int) -> set[int]:
    """Places of the checks that did not pass; all of them where an expectation broke down or does not say which."""
    failed: set[int] = set()
    for result in validation.results:
        places = result.result.get("unexpected_index_list") or []
        if result.exception_info["raised_exception"] or bool(result.success) != (not places):
            return set(range(count))
        failed.update(places)
    return failed


def _judged(check: Check, figures: Figures) -> float | None:
    """The figure as it is judged: nothing where no more rows than tolerated make up the share."""
    count = _count(check, figures)
    return None if check.tolerate and count is not None and count <= check.tolerate else figures[check.figure]


def _count(check: Check, figures: Figures) -> int | None:
    """How many rows the figure is about, where it is made of rows."""
    name = check.figure.removesuffix("_share") + "_count" if check.figure.endswith("_share") else check.figure
    count = figures.get(name) if name.endswith("_count") else None
    return None if count is None else int(count)


def _result(check: Check, figures: Figures, passed: bool) -> CheckResult:
    return CheckResult(
        check=check.id,
        table=check.table,
        column=check.column,
        figure=check.figure,
        severity=check.severity,
        owner=check.owner,
        reason=check.reason,
        next_step=check.next_step,
        threshold=check.threshold,
        observed=figures[check.figure],
        count=_count(check, figures),
        passed=passed,
    )
