"""Nulling is no redaction: the value stays in a frame. Freshly written Parquet does not have it, and alone crosses."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.leaks.clean import CODE, KEYRING
from transforms.controller.pseudonymise import pseudonym_key, pseudonymise, to_series

LONG = f"{CODE} and a note that does not fit a view"


def masked_by_when(values: pl.Series) -> pl.Series:
    hidden = pl.when(pl.first() != LONG).then(pl.first())
    return values.to_frame().select(hidden).to_series()


def masked_by_replace(values: pl.Series) -> pl.Series:
    return values.replace(LONG, None)


def masked_by_set(values: pl.Series) -> pl.Series:
    return values.set(values == LONG, None)


def filtered_out(values: pl.Series) -> pl.Series:
    return values.filter(values != LONG)


def sliced_off(values: pl.Series) -> pl.Series:
    return values.slice(1)


MASKS = [masked_by_when, masked_by_replace, masked_by_set, filtered_out, sliced_off]


def everything_in(path: Path) -> bytes:
    """A Parquet file's bytes and every page of it, uncompressed."""
    plain = io.BytesIO()
    file = pq.ParquetFile(path)
    pq.write_table(file.read(), plain, compression="none")
    return path.read_bytes() + plain.getvalue()


def pickled(values: pl.Series) -> bytes:
    return pickle.dumps(values.to_frame())


@pytest.mark.parametrize("mask", MASKS, ids=[mask.__name__ for mask in MASKS])
def test_a_value_that_a_frame_hides_is_not_in_the_file_that_crosses(
    mask: Callable[[pl.Series], pl.Series], tmp_path: Path
) -> None:
    values = mask(pl.Series("note", [LONG, "short", *["another text that is long"] * 3]))
    assert LONG not in values.to_list()
    path = tmp_path / "note.parquet"
    values.to_frame().write_parquet(path, compression="uncompressed")
    assert CODE.encode() not in everything_in(path)


def test_a_frame_does_hold_what_it_hides() -> None:
    """Why no other form of a frame may cross: this one leaks."""
    values = pl.Series("note", [LONG, *["another text that is long"] * 3])
    assert any(CODE.encode() in pickled(mask(values)) for mask in MASKS)


def test_pseudonyms_are_zero_under_nulls_even_where_the_identifier_is_still_in_the_buffer() -> None:
    codes = pl.Series("person_id", [CODE, "010594Y9021"]).set(pl.Series([True, False]), None)
    made = pseudonymise(codes, pseudonym_key(KEYRING, "hetu", "district-stats"))
    assert not made[0].any()
    column = to_series(made, "pseudonym", codes.is_not_null())
    assert CODE.encode() not in pickled(column)


def test_a_sliced_dictionary_leaks_into_parquet_so_the_boundary_reads_whole_dictionaries(tmp_path: Path) -> None:
    from transforms.controller.parquet import dictionaries

    whole = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.int32()), pa.array([CODE, "icd10"]))
    path = tmp_path / "slice.parquet"
    pq.write_table(pa.table({"code_system": whole.slice(1)}), path)
    assert CODE not in pq.read_table(path)["code_system"].to_pylist()
    assert CODE in dictionaries([path], ["code_system"])["code_system"].to_list()


def test_the_search_of_these_tests_would_find_the_value(tmp_path: Path) -> None:
    path = tmp_path / "note.parquet"
    pl.DataFrame({"note": [LONG] * 4}).write_parquet(path, compression="zstd")
    assert CODE.encode() in everything_in(path)
