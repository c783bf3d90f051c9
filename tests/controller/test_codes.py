"""Codes as numbers, runs of identifiers, keys that come again and the files of the lake, each against plain Python."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.table import PERSON_NUMBER
from transforms.controller import supersede
from transforms.controller.blocks import INLINE, through_runs
from transforms.controller.codes import CODE, as_codes, different, ranked, rewritten
from transforms.controller.lake_files import write
from transforms.controller.register import KEY
from transforms.controller.supersede import ARRIVAL, repeated

texts = st.lists(st.one_of(st.none(), st.sampled_from(["a", "B", "ä", "b ", "", "a longer text than fits inline"])))


@given(texts)
def test_codes_are_rewritten_as_their_texts_would_be_one_by_one(values: list[str | None]) -> None:
    codes = as_codes(pl.Series("code", values, dtype=pl.String))

    def upper(some: pl.Series) -> pl.Series:
        return some.str.to_uppercase().replace({"": None})

    expected = [None if value is None else (value.upper() or None) for value in values]
    assert rewritten(codes, upper).cast(pl.String).to_list() == expected
    assert rewritten(codes, lambda some: some) is codes
    assert set(different(codes)) == {value for value in values if value is not None}


@given(texts)
def test_ranks_are_the_places_of_texts_in_order(values: list[str | None]) -> None:
    places, found = ranked(as_codes(pl.Series("code", values, dtype=pl.String)))
    assert found.to_list() == sorted({value for value in values if value is not None}, key=str.encode)
    assert [None if place is None else found[place] for place in places] == values


@given(texts)
def test_runs_give_what_each_value_gives(values: list[str | None]) -> None:
    asked: list[int] = []

    def lower(some: pl.Series) -> pl.Series:
        asked.append(len(some))
        return some.str.to_lowercase()

    strings = pl.Series("id", [value for value in values for _ in range(3)], dtype=pl.String)
    expected = [None if value is None else value.lower() for value in values for _ in range(3)]
    assert through_runs(strings, lower).to_list() == expected
    assert asked == [min(asked)]
    if all(len(value or "") <= INLINE for value in values):
        assert asked[0] <= len(values)


rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.one_of(st.none(), st.integers(0, 2)), st.integers(0, 1)),
    max_size=20,
)


@pytest.mark.parametrize("at_once", [1 << 24, 4])
@settings(deadline=None, max_examples=60)
@given(values=rows)
def test_the_row_recorded_last_stands_for_a_record(
    at_once: int, values: list[tuple[int, int, int | None, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    frame = pl.DataFrame(
        {
            KEY[0]: [None if first == 0 else first << 62 for first, _, _, _ in values],
            KEY[1]: [None if first == 0 else second for first, second, _, _ in values],
            PERSON_NUMBER: [person for _, _, _, person in values],
            "recorded_date": [day for _, _, day, _ in values],
            ARRIVAL: range(len(values)),
        },
        schema={
            KEY[0]: pl.UInt64,
            KEY[1]: pl.UInt64,
            PERSON_NUMBER: pl.Int32,
            "recorded_date": pl.Date,
            ARRIVAL: pl.Int64,
        },
    )
    folder = tmp_path_factory.mktemp("parts")
    parts = [folder / "0.part", folder / "1.part"]
    for part, start in zip(parts, (0, 7), strict=True):
        frame[start : 7 if start == 0 else None].write_ipc(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supersede, "_AT_ONCE", at_once)
        found = repeated(parts, len(values), lambda some: some)
    shared, lost = [], []
    whose: dict[tuple[int, int], set[int]] = {}
    for first, second, _, person in values:
        whose.setdefault((first << 62, second), set()).add(person)
    for place, (first, second, day, _) in enumerate(values):
        alike = [
            (-1 if other is None else other, at)
            for at, (one, two, other, _) in enumerate(values)
            if (one, two) == (first, second) and first
        ]
        shared += [place] if len(alike) > 1 else []
        lost += [place] if alike and (-1 if day is None else day, place) < max(alike) else []
    assert (found.shared.tolist(), found.lost.tolist()) == (shared, lost)
    assert set(found.moved.iter_rows()) == {key for key, persons in whose.items() if key[0] and len(persons) > 1}


def test_a_file_is_the_same_from_codes_and_from_texts_and_holds_no_other_text(tmp_path: Path) -> None:
    as_codes(pl.Series(["a name that is in no row"]))
    content = pl.DataFrame(
        {"person_number": [0, 1, 2], "code": ["b", None, "a"], "record_key": [bytes(16), None, b"k" * 16]},
        schema={"person_number": pl.Int32, "code": pl.String, "record_key": pl.Binary},
    )
    coded = content.select(
        "person_number",
        pl.col("code").cast(CODE),
        pl.Series(KEY[0], [0, None, int.from_bytes(b"k" * 8, "little")], dtype=pl.UInt64),
        pl.Series(KEY[1], [0, None, int.from_bytes(b"k" * 8, "little")], dtype=pl.UInt64),
    )
    write(content, tmp_path / "texts.parquet")
    write(coded, tmp_path / "codes.parquet")
    assert (tmp_path / "texts.parquet").read_bytes() == (tmp_path / "codes.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "codes.parquet").equals(content)
    kept = pq.ParquetFile(tmp_path / "codes.parquet", read_dictionary=["code"]).read()["code"].chunk(0).dictionary
    assert kept.to_pylist() == ["a", "b"]
