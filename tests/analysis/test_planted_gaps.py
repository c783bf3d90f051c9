"""The gaps that the generator planted, against the statuses that the platform finds, person by person.

What is planted is the generator's own plan; what is found has gone through the controller's load and the evaluation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from schemas.areas import load_areas
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from tests.conftest import TABLE
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms
from transforms.controller.pseudonymise import pseudonym_key, pseudonymise
from transforms.sources.synthetic import SyntheticSource

AS_OF = date(2026, 10, 31)
INDICATORS = load_indicators()
KEYRING = Keyring("e1", {"e1": bytes(range(32))})
WHOLLY_PLANNED = set(INDICATORS) - {"callback_late", "no_show_not_rebooked", "provider_cancelled_not_rebooked"}
"""Indicators where the closed ones are planned as well; elsewhere somebody may be closed who was not planned at all."""


@dataclass(frozen=True)
class Comparison:
    """`statuses`: one row per person and indicator, planned and found. `truth`: the generator's tables."""

    statuses: pl.DataFrame
    truth: Mapping[str, pl.DataFrame]

    def table(self) -> pl.DataFrame:
        """One row per indicator: open gaps planted and found, precision and recall."""
        planted, found = pl.col("planned") == "open", pl.col("found") == "open"
        return (
            self.statuses.group_by("indicator")
            .agg(
                planted=planted.sum(),
                found=found.sum(),
                right=(planted & found).sum(),
                eligible=pl.col("found").is_in(["open", "closed"]).sum(),
            )
            .with_columns(precision=pl.col("right") / pl.col("found"), recall=pl.col("right") / pl.col("planted"))
            .sort("indicator")
        )


def compare(folder: Path, source: SyntheticSource) -> Comparison:
    for name in ("staging", "quarantine"):
        (folder / name).mkdir(parents=True)
    areas = load_areas()
    terms = Terms(KEYRING, "district-stats", "hetu", "day", areas, source.as_of, source.as_of)
    loader = Loader(terms, folder / "staging", folder / "quarantine")
    codes = []
    for table, rows in source.batches():
        if table == "person":
            codes.append(rows["person_id"])
        loader.add(table, rows)
    files = {table: [str(path) for path in paths] for table, paths in loader.finish()}
    statuses = evaluate(files, list(INDICATORS.values()), [source.as_of], load_policy().age_band_starts, areas)
    truth = source.truth()
    planned = truth["gaps"].select("person_id", "indicator", planned="status", cause="cause")
    everybody = pl.concat(codes).unique().to_frame()
    key = pseudonym_key(KEYRING, "hetu", "district-stats")
    pseudonyms = [row.tobytes() for row in pseudonymise(everybody["person_id"], key)]
    person = everybody.with_columns(pseudonym=pl.Series(pseudonyms, dtype=pl.Binary)).join(
        pl.concat([pl.read_parquet(file) for file in files["person"]]).select(
            "person_number", pl.col("pseudonym").cast(pl.Binary)
        ),
        on="pseudonym",
    )
    frames = []
    for indicator in INDICATORS:
        found = statuses_at(statuses, indicator, source.as_of, for_outreach=False)
        frames.append(
            person.join(found, on="person_number")
            .select("person_id", indicator=pl.lit(indicator), found="status", reason="reason")
            .join(planned.filter(indicator=indicator), on=["person_id", "indicator"], how="left")
        )
    statuses_found = pl.concat(frames).with_columns(pl.col("planned").fill_null("not_applicable"))
    assert statuses_found.height == person.height * len(INDICATORS)
    return Comparison(statuses_found, truth)


Show = Callable[[str, object], None]


def show(record_property: Show, title: str, table: pl.DataFrame) -> None:
    """Have the table stand in the output of the tests."""
    with pl.Config(tbl_rows=40, tbl_width_chars=120, fmt_str_lengths=40, tbl_hide_dataframe_shape=True):
        record_property(TABLE, f"{title}\n{table}")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(tmp_path_factory.mktemp("clean"), SyntheticSource(30_000, 3, AS_OF, 12, dirt=False))


def test_clean_data_show_every_planted_gap_and_no_other(clean: Comparison, record_property: Show) -> None:
    table = clean.table()
    show(record_property, "Planted gaps in clean data", table)
    assert set(table["indicator"]) == set(INDICATORS)
    assert len(INDICATORS) == 20
    assert (table["planted"] >= 5).all()
    assert table["precision"].to_list() == [1.0] * 20
    assert table["recall"].to_list() == [1.0] * 20


def test_what_is_planned_as_excluded_or_declined_is_neither_open_nor_closed(clean: Comparison) -> None:
    planned = clean.statuses.filter(pl.col("planned").is_in(["excluded", "declined"]))
    assert planned.filter(pl.col("planned") != pl.col("found")).height <= 0.002 * planned.height
    assert not planned["found"].is_in(["open", "closed"]).any()
    assert set(planned["indicator"]) >= WHOLLY_PLANNED - {"multiple_gaps"}
    reasons = set(planned["reason"].drop_nulls())
    assert reasons >= {
        "died", "moved_away", "resident_under_12_months", "resident_under_6_months", "palliative_care",
        "diabetes_in_remission", "statin_intolerance", "round_the_clock_care", "specialist_care", "need_ended",
        "cancer",
    }  # fmt: skip


@pytest.mark.parametrize("indicator", sorted(WHOLLY_PLANNED))
def test_closed_gaps_are_planned_as_well(clean: Comparison, indicator: str) -> None:
    rows = clean.statuses.filter(indicator=indicator)
    assert set(rows.filter(planned="closed")["person_id"]) == set(rows.filter(found="closed")["person_id"])


def test_every_open_gap_has_a_cause(clean: Comparison) -> None:
    gaps = clean.truth["gaps"]
    assert gaps.filter(status="open")["cause"].null_count() == 0
    assert (
        gaps.filter(pl.col("status") != "open")["cause"].null_count() == gaps.filter(pl.col("status") != "open").height
    )
    causes = dict(gaps.filter(status="open")["cause"].value_counts().iter_rows())
    assert set(causes) == {
        "never_invited", "no_show", "cancelled_by_client", "cancelled_by_provider", "moved", "recorded_late",
        "answered_late",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dirty_data_show_the_planted_gaps_with_precision_and_recall_of_at_least_99_percent(
    tmp_path: Path, record_property: Show
) -> None:
    found = compare(tmp_path / "dirty", SyntheticSource(150_000, 3, AS_OF, 11))
    table = found.table()
    show(record_property, "Planted gaps in data with faults, at the documented rates", table)
    assert set(found.truth["faults"]["kind"]) >= {"duplicate_person", "changed_code", "retroactive_move", "after_death"}
    assert found.truth["late"].height > 1000
    assert (table["planted"] >= 50).all()
    assert table.filter((pl.col("precision") < 0.99) | (pl.col("recall") < 0.99)).is_empty()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("years", "as_of", "seed"),
    [(2, date(2024, 2, 29), 1), (5, date(2022, 3, 31), 2), (4, date(2023, 12, 31), 3), (3, date(2026, 5, 15), 4)],
)
def test_clean_data_are_as_planned_on_other_dates_and_over_other_years(
    tmp_path: Path, years: int, as_of: date, seed: int
) -> None:
    table = compare(tmp_path / "clean", SyntheticSource(25_000, years, as_of, seed, dirt=False)).table()
    assert table.filter((pl.col("precision") < 1) | (pl.col("recall") < 1)).is_empty()
