"""An unkeyed hash of an identity code falls within seconds; what is in the lake does not fall to the same attack.

The attacker knows a year of birth and nothing else, and tries every code of it. For a real person that is some 330,000
codes a sign; here only individual numbers 900 to 999, which nobody has, are tried, as the batch has no others.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.controller.people import identity_code
from tests.leaks import clean
from transforms.controller.pseudonymise import permute

YEAR = 2010


def every_code(year: int) -> Iterator[str]:
    """Every test code of a year of birth."""
    day = date(year, 1, 1)
    while day.year == year:
        for number in range(900, 1000):
            yield identity_code(day, number)
        day += timedelta(days=1)


def block(code: str) -> bytes:
    view = np.frombuffer(len(code).to_bytes(4, "little") + code.encode() + b"\0", dtype=np.uint8)
    return permute(view.reshape(1, 16), bytes(32)).tobytes()


UNKEYED: dict[str, Callable[[str], bytes]] = {
    "sha256": lambda code: hashlib.sha256(code.encode()).digest(),
    "sha512": lambda code: hashlib.sha512(code.encode()).digest(),
    "sha1": lambda code: hashlib.sha1(code.encode()).digest(),
    "md5": lambda code: hashlib.md5(code.encode()).digest(),
    "blake2b": lambda code: hashlib.blake2b(code.encode(), digest_size=16).digest(),
    "known salt": lambda code: hashlib.sha256(b"city" + code.encode()).digest(),
    "AES, key of zeros": block,
}


def attack(targets: set[bytes], make: Callable[[str], bytes]) -> dict[bytes, str]:
    """The codes that the attacker finds behind some 16-byte values."""
    return {made: code for code in every_code(YEAR) if (made := make(code)[:16]) in targets}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lake") / "load"
    clean.load(folder)
    return [path for paths in clean.files_in(folder).values() for path in paths]


def sixteen_bytes(paths: list[Path]) -> set[bytes]:
    """Every binary value of some files."""
    found: set[bytes] = set()
    for path in paths:
        for column in pl.read_parquet(path).select(pl.col(pl.Binary)).iter_columns():
            found |= set(column.drop_nulls())
    return found


@pytest.mark.parametrize("make", UNKEYED.values(), ids=UNKEYED)
def test_an_unkeyed_hash_falls_to_trying_every_code_of_a_year(make: Callable[[str], bytes]) -> None:
    hashed = {make(code)[:16]: code for code in clean.PEOPLE["person_id"]}
    assert attack(set(hashed), make) == hashed


@pytest.mark.parametrize("make", UNKEYED.values(), ids=UNKEYED)
def test_the_same_attack_on_the_lake_finds_nobody(make: Callable[[str], bytes], lake: list[Path]) -> None:
    targets = sixteen_bytes(lake)
    assert len(targets) >= 2 * clean.COUNT  # pseudonyms and record keys
    assert attack(targets, make) == {}
