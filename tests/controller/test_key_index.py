"""An index of record keys says what its file says, and one that is not surely its file's is made anew."""

import secrets
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.controller.finding import FILE, PLACE, Wanted, find
from transforms.controller.key_index import KEY, KeyIndex, Marks

SECRET = bytes(range(32))
TABLE = TABLES["vaccination"]
NONE = pl.Series([], dtype=pl.Int32)


def lake_file(folder: Path, keys: list[bytes | None], name: str = "load-0000-0a1b2c3d.parquet") -> str:
    """A file of the lake, a row a key; of each row the person's number is its place."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = pl.DataFrame({KEY: keys, PERSON_NUMBER: range(len(keys))}, schema={KEY: pl.Binary, PERSON_NUMBER: pl.Int32})
    given_ = [pl.lit(None, dtype).alias(column) for column, dtype in TABLE.platform_schema.items()]
    whole = pl.select(given_).clear(rows.height).with_columns(rows.get_columns())
    whole.select(*TABLE.platform_schema).write_parquet(folder / name)
    return str(folder / name)


def wanted(keys: list[bytes], persons: list[int] | None = None, keyless: list[int] | None = None) -> Wanted:
    return Wanted(
        pl.Series(keys, dtype=pl.Binary),
        pl.Series(persons or [], dtype=pl.Int32),
        pl.Series(keyless or [], dtype=pl.Int32),
    )


def places(rows: pl.DataFrame) -> list[tuple[int, int]]:
    return sorted(rows.select(FILE, PLACE).iter_rows())


some_keys = st.lists(st.one_of(st.none(), st.binary(min_size=16, max_size=16)), min_size=1, max_size=12)


@given(st.lists(some_keys, min_size=1, max_size=3), st.data())
@settings(max_examples=15, deadline=None)
def test_rows_are_found_as_by_reading_every_file(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes | None]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    paths = [lake_file(folder, keys, f"load-{number:04d}-0a1b2c3d.parquet") for number, keys in enumerate(files)]
    known = [key for keys in files for key in keys if key is not None]
    strangers = data.draw(st.lists(st.binary(min_size=16, max_size=16), max_size=3))
    asked = strangers + (data.draw(st.lists(st.sampled_from(known), max_size=4)) if known else [])
    persons, keyless = (data.draw(st.lists(st.integers(0, 12), max_size=2)) for _ in range(2))
    index = KeyIndex(folder / "index", SECRET)
    for who, whose in (([], []), (persons, keyless)):
        expected = sorted(
            (number, place)
            for number, keys in enumerate(files)
            for place, key in enumerate(keys)
            if (key is not None and key in asked) or place in who or (key is None and place in whose)
        )
        for _ in range(2):  # made, then read
            rows = find(paths, TABLE, wanted(asked, who, whose), index)
            by_person = pl.col(PERSON_NUMBER).is_in(who) | (pl.col(KEY).is_null() & pl.col(PERSON_NUMBER).is_in(whose))
            assert places(rows.filter(pl.col(KEY).is_in(asked).fill_null(value=False) | by_person)) == expected


def as_it_was(path: Path) -> bytes:
    return path.read_bytes()


def cut_short(path: Path) -> bytes:
    return path.read_bytes()[:-5]


def emptied(path: Path) -> bytes:
    return b""


def changed(path: Path) -> bytes:
    sealed = path.read_bytes()
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


def forged(path: Path) -> bytes:
    """One of the same rows in which no key is, under a key that is not the controller's."""
    other = KeyIndex(path.parent / "forged", secrets.token_bytes(32))
    file = lake_file(path.parent / "forged", [secrets.token_bytes(16) for _ in KEYS])
    other.places(file, Marks(np.array([], dtype=np.uint64)))
    return next(other.folder.glob("*.keys")).read_bytes()


KEYS = [bytes([number]) * 16 for number in range(20)]


@pytest.mark.parametrize("damage", [as_it_was, cut_short, emptied, changed, forged])
def test_a_damaged_index_is_made_anew(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file, index = lake_file(tmp_path / "lake", KEYS), KeyIndex(tmp_path / "index", SECRET)
    assert places(find([file], TABLE, wanted(KEYS[3:5]), index)) == [(0, 3), (0, 4)]
    (path,) = index.folder.iterdir()
    good = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    bad = damage(path)
    path.write_bytes(bad)
    assert places(find([file], TABLE, wanted(KEYS[3:5]), index)) == [(0, 3), (0, 4)]
    assert (path.read_bytes() == bad) == (damage is as_it_was)
    assert path.read_bytes()[28:] == good[28:]


def test_an_index_of_another_file_is_not_believed(tmp_path: Path) -> None:
    index = KeyIndex(tmp_path / "index", SECRET)
    old = lake_file(tmp_path / "lake", KEYS)
    find([old], TABLE, wanted(KEYS[:1]), index)
    new = lake_file(tmp_path / "lake", KEYS[::-1])  # as many rows, the same name, the same lowest and highest key
    assert places(find([new], TABLE, wanted(KEYS[:1]), index)) == [(0, len(KEYS) - 1)]
    (path,) = index.folder.iterdir()
    other = lake_file(tmp_path / "lake", KEYS, "load-0001-0a1b2c3d.parquet")
    (index.folder / "0001-0a1b2c3d.keys").write_bytes(path.read_bytes())
    assert places(find([other], TABLE, wanted(KEYS[:1]), index)) == [(0, 0)]


def test_an_index_goes_with_its_file_when_a_load_keeps_the_file_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = KeyIndex(tmp_path / "index", SECRET)
    first = lake_file(tmp_path / "lake", KEYS, "20261030-20261031T0-recent-0002-0a1b2c3d.parquet")
    gone = lake_file(tmp_path / "lake", KEYS, "20261030-20261031T0-0002-0a1b2c3d.parquet")
    find([first, gone], TABLE, wanted(KEYS[:1]), index)
    kept = Path(first).rename(tmp_path / "lake" / "20261031-20261101T0-recent-0002-0a1b2c3d.parquet")
    index.keep_only([str(kept)])
    assert [path.name for path in index.folder.iterdir()] == ["recent-0002-0a1b2c3d.keys"]
    monkeypatch.setattr(KeyIndex, "_write", lambda *_: pytest.fail("the index was made anew"))
    assert places(find([str(kept)], TABLE, wanted(KEYS[7:8]), index)) == [(0, 7)]
