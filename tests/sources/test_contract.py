"""The contract of every source: one population, written in each format, comes to the same counts.

What a format cannot carry stands in `writers.LOST` with the reason. Of what all can carry all must count the same, in
every indicator and cell; and each must count all that it can carry as a feed does that holds the same.
"""

import re
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

from schemas.indicators import load_indicators
from schemas.indicators.clauses import Events, Selected
from schemas.tables import SOURCE_TABLES
from tests.sources.counting import counts_of, totals
from tests.sources.population import AS_OF, Rows, invented
from tests.sources.postgresql_server import OWNER_PASSWORD, READER_PASSWORD, Server
from tests.sources.writers import LOST, reduced, write_area_map, write_feed, write_fhir, write_omop, write_synthea
from transforms.analysis.compiling import leaves_of
from transforms.sources import Source
from transforms.sources.feed import FeedSource
from transforms.sources.fhir import FhirSource
from transforms.sources.omop import OmopSource
from transforms.sources.postgresql import PostgresqlSource
from transforms.sources.postgresql_address import parse_address
from transforms.sources.postgresql_schema import load_feed
from transforms.sources.synthea import SyntheaSource

AS_OFS = [AS_OF, date(2026, 4, 30)]
FORMS = [form for form in LOST if form not in ("feed", "postgresql")]
LIVELY = (
    "diabetes_hba1c_missing",
    "hypertension_bp_missing",
    "cvd_ldl_missing",
    "mmr_missing_at_two",
    "frail_no_contact",
)
"""Indicators that every format can carry in part: the population must make them open and closed."""


@pytest.fixture(scope="module")
def population() -> Rows:
    return invented()


@pytest.fixture(scope="module")
def whole(population: Rows, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("whole")
    return counts_of(FeedSource(write_feed(population, folder / "feed")), AS_OFS, folder)


def source_in(form: str, rows: Rows, folder: Path) -> Source:
    """The population in a format, opened as a source."""
    if form.startswith("synthea"):
        written = write_synthea(rows, folder / "records", stu3=form.endswith("stu3"))
        return SyntheaSource(written, area_map=write_area_map(folder / "map.csv"))
    if form.startswith("omop"):
        return OmopSource(write_omop(rows, folder / "records", parquet=form.endswith("parquet")))
    return FhirSource(write_fhir(rows, folder / "records"))


def tables_asked() -> dict[str, set[str]]:
    """Tables without which nobody would be in an indicator's population, or the gap could not be seen."""
    asked = {}
    for indicator in load_indicators().values():
        tables: set[str] = set()
        for clause in (indicator.population, indicator.closed):
            for leaf in leaves_of([replace(indicator, population=clause, closed=clause, declined=None, exclusions=())]):
                if isinstance(leaf, Selected):
                    text = files("transforms.analysis").joinpath("sql", f"{leaf.name}.sql").read_text("utf-8")
                    tables |= set(re.findall(r"\b(?:FROM|JOIN)\s+([a-z_]+)", text)) & set(SOURCE_TABLES)
                elif isinstance(leaf, Events):
                    tables |= {leaf.table} - {"service_period"}  # one of several ways into a population
        asked[indicator.id] = tables
    return asked


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Cell by cell; the totals first, since they are easier to read."""
    assert totals(found) == totals(expected)
    assert found.equals(expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_format_counts_what_it_carries_as_a_feed_does(form: str, population: Rows, tmp_path: Path) -> None:
    carried = reduced(population, form)
    expected = counts_of(FeedSource(write_feed(carried, tmp_path / "feed")), AS_OFS, tmp_path / "expected")
    found = counts_of(source_in(form, carried, tmp_path), AS_OFS, tmp_path / "found")
    same(found, expected)
    for indicator in LIVELY:
        eligible, still_open, closed, *_ = totals(found)[indicator]
        assert still_open, indicator
        assert closed, indicator
        assert eligible == still_open + closed


@pytest.fixture(scope="module")
def common(population: Rows) -> Rows:
    """What every format can carry of the population."""
    for form in LOST:
        population = reduced(population, form)
    return population


@pytest.mark.parametrize("form", FORMS)
def test_every_source_comes_to_the_same_counts(
    form: str, common: Rows, common_counts: pl.DataFrame, tmp_path: Path
) -> None:
    same(counts_of(source_in(form, common, tmp_path), AS_OFS, tmp_path / "found"), common_counts)


@pytest.fixture(scope="module")
def common_counts(common: Rows, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("common")
    return counts_of(FeedSource(write_feed(common, folder / "feed")), AS_OFS, folder)


def test_an_indicator_that_a_format_cannot_carry_is_known_with_the_reason(population: Rows) -> None:
    """Nobody is eligible in a format that has not the table; which ones these are is told by LOST alone."""
    missing = {
        (indicator, form): reason
        for indicator, tables in tables_asked().items()
        for form in FORMS
        for table, reason, reduce in LOST[form]
        if table in tables and not reduce(population)[table]
    }
    assert ("provider_cancelled_not_rebooked", "omop") in missing
    assert not {indicator for indicator, _ in missing} & set(LIVELY)
    assert not {form for indicator, form in missing if indicator == "provider_cancelled_not_rebooked"} & {"fhir"}


def test_the_database_counts_as_the_feed_that_it_was_filled_from(
    server: Server, population: Rows, whole: pl.DataFrame, tmp_path: Path
) -> None:
    server.run("CREATE DATABASE contract TEMPLATE postgres")
    owner = parse_address(server.address(password=OWNER_PASSWORD, database="contract", options="?schema=caregap"))
    load_feed(FeedSource(write_feed(population, tmp_path / "feed")), owner, None)
    reader = parse_address(server.address("caregap_reader", database="contract"))
    source = PostgresqlSource(replace(reader, password=READER_PASSWORD), "hetu")
    same(counts_of(source, AS_OFS, tmp_path), whole)
    assert not source.remarks() or {remark.table for remark in source.remarks()} == {"identity_link"}


@pytest.mark.parametrize("form", LOST)
def test_what_a_format_loses_is_listed_with_a_reason_and_is_in_the_population(form: str, population: Rows) -> None:
    for table, reason, reduce in LOST[form]:
        assert len(reason) > 15
        assert reduce(population) != population, (form, table)
