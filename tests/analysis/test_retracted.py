"""Rows that were taken back count nowhere, whether they lie in files of their own, among others or who knows where."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from schemas.areas import load_areas
from schemas.indicators import load_indicators
from schemas.tables import TABLES
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, population
from transforms.analysis.blocks import count_lake
from transforms.analysis.coverage import coverage
from transforms.analysis.evidence import evidence
from transforms.analysis.lake import Lake, own_connection
from transforms.retracted import IS_RETRACTED

INDICATORS = load_indicators()
AREAS = load_areas()
BANDS = (0, 18, 65)
TABLE = TABLES["measurement"]
Lakes = dict[str, dict[str, list[str]]]


def split(path: str) -> list[str]:
    """A file in two: of the rows that count, and of the others."""
    rows, found = pl.read_parquet(path), []
    for kind, which in (("counting", ~IS_RETRACTED), ("retracted", IS_RETRACTED)):
        some = rows.filter(which)
        if some.height:
            found.append(path.replace(".parquet", f"-{kind}.parquet"))
            some.write_parquet(found[-1])
    return found


def spoil(path: str) -> None:
    """Leave of a file nothing that can be read but what it says of itself."""
    content = bytearray(Path(path).read_bytes())
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    content[4:-footer] = bytes(len(content) - footer - 4)
    Path(path).write_bytes(content)


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Lakes:
    """The same rows with the retracted ones apart, among the others, and in files that do not say what they hold."""
    folder = tmp_path_factory.mktemp("lakes")
    rows = population(11, 150)
    mixed, silent = (write_lake(folder / name, rows, parts=2) for name in ("mixed", "silent"))
    apart = {name: [part for path in paths for part in split(path)] for name, paths in mixed.items()}
    for paths in silent.values():
        for path in paths:
            pl.read_parquet(path).write_parquet(path, statistics=False)
    some = {**apart, "measurement": [*apart["measurement"][:2], *mixed["measurement"][1:]]}
    assert any(path.endswith("-retracted.parquet") for path in apart["measurement"])
    return {"apart": apart, "mixed": mixed, "silent": silent, "one mixed file among them": some}


@pytest.mark.parametrize(
    ("layout", "persons_at_once"), [("mixed", 150), ("silent", 150), ("one mixed file among them", 80)]
)
def test_figures_do_not_depend_on_where_retracted_rows_lie(layout: str, persons_at_once: int, lakes: Lakes) -> None:
    found, apart = (
        count_lake(lakes[name], list(INDICATORS.values()), AS_OFS, BANDS, AREAS, persons_at_once)
        for name in (layout, "apart")
    )
    assert found.counts.equals(apart.counts)
    assert found.details.equals(apart.details)
    of_all, of_apart = (
        coverage(lakes[name], list(INDICATORS.values()), AS_OFS[0], AREAS, persons_at_once)
        for name in (layout, "apart")
    )
    assert of_all.equals(of_apart)
    for name in ("no_show_not_rebooked", "diabetes_hba1c_missing"):
        one, other = (
            evidence(lakes[each], INDICATORS[name], AS_OFS[0], AREAS, for_outreach=False) for each in (layout, "apart")
        )
        assert one.equals(other)


def by_polars(lake: Lake) -> list[str]:
    return sorted(map(repr, lake.scan(TABLE).collect().rows()))


def by_duckdb(lake: Lake) -> list[str]:
    connection, select = own_connection(), f"SELECT * FROM {TABLE.name}"
    lake.views(connection, select)
    return sorted(map(repr, connection.sql(select).pl().rows()))


@pytest.mark.parametrize("read", [by_polars, by_duckdb])
@pytest.mark.parametrize("layout", ["apart", "mixed", "silent", "one mixed file among them"])
def test_whoever_reads_a_table_sees_the_rows_that_count(
    read: Callable[[Lake], list[str]], layout: str, lakes: Lakes
) -> None:
    every = pl.concat([pl.read_parquet(path) for path in lakes["mixed"][TABLE.name]])
    expected = sorted(map(repr, every.filter(~IS_RETRACTED).rows()))
    assert 0 < len(expected) < every.height
    assert read(Lake(lakes[layout])) == expected


@pytest.mark.parametrize("read", [by_polars, by_duckdb])
def test_a_file_of_retracted_rows_is_not_opened_and_the_others_are_not_filtered(
    read: Callable[[Lake], list[str]], lakes: Lakes
) -> None:
    lake = Lake(lakes["apart"])
    expected = read(lake)
    spoilt = [path for path in lakes["apart"][TABLE.name] if path.endswith("-retracted.parquet")]
    kept = {path: Path(path).read_bytes() for path in spoilt}
    for path in spoilt:
        spoil(path)
    with pytest.raises(Exception, match=r"(?i)thrift|header|eof|invalid|deserialize|parquet"):
        pl.read_parquet(spoilt)
    assert read(lake) == expected
    assert "FILTER" not in lake.scan(TABLE).explain()
    assert "SELECTION" not in lake.scan(TABLE).explain()
    assert "is_retracted" in Lake(lakes["mixed"]).scan(TABLE).explain()
    for path, content in kept.items():
        Path(path).write_bytes(content)


def test_a_table_of_retracted_rows_alone_is_empty(lakes: Lakes) -> None:
    files = {TABLE.name: [path for path in lakes["apart"][TABLE.name] if path.endswith("-retracted.parquet")]}
    assert by_polars(Lake(files)) == by_duckdb(Lake(files)) == []
    assert Lake(files).counting(TABLE)[1] == 0
