import re
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.controller.people import CHECK, identity_code
from transforms.controller import scan
from transforms.controller.scan import (
    count_in_bytes,
    ends_identity_code,
    holds_identity_code,
    readings,
    split_identity_codes,
)

VALID = ["010594Y9032", "020594X903P", "030594W903B", "040594V902Y", "050594U903M", "010516B903X", "010501E9032"]
INVALID = ["131052-9086", "310252-908A", "131052/9085", "010190-999K", "1310529085"]
"""Wrong check character, no such day, no sign, wrong check character, sign missing."""
SPACE = rb"[ \t\xa0_]?"
SIGN = rb"(?:[-+A-FU-Ya-fu-y]|%2[bBdD]|" + b"|".join(dash.encode() for dash in scan.DASHES[1:]) + rb")"
PLAIN = re.compile(rb"(\d{6})" + SPACE + SIGN + SPACE + rb"(\d{3})([0-9A-Ya-y])")


def as_bytes(text: str, encoding: str = "utf-8") -> np.ndarray:
    return np.frombuffer(text.encode(encoding), dtype=np.uint8)


def oracle(data: bytes) -> int:
    """Every start tried, one at a time, in plain Python."""
    found = 0
    for start in range(len(data)):
        match = PLAIN.match(data, start)
        if match is None:
            continue
        day, number, check = (part.decode() for part in match.groups())
        try:
            date(2000, int(day[2:4]), int(day[:2]))
        except ValueError:
            continue
        found += int(number) >= 2 and CHECK[int(day + number) % 31] == check.upper()
    return found


codes = st.builds(
    identity_code,
    st.dates(date(1900, 1, 1), date(2026, 12, 31)),
    st.integers(900, 999),
    st.sampled_from("+-YXWVUABCDEF"),
)


@given(st.lists(st.one_of(codes, st.text("0123456789-+ A–b", max_size=14)), max_size=8), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_the_byte_scan_agrees_with_a_plain_search(parts: list[str], offset: int) -> None:
    data = b"\xff" * offset + "".join(parts).encode()
    assert count_in_bytes(np.frombuffer(data, dtype=np.uint8)) == oracle(data)


@given(codes, st.integers(-20, 20), st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
@settings(max_examples=50, deadline=None)
def test_a_code_is_found_wherever_it_stands_in_a_large_file(code: str, shift: int, encoding: str) -> None:
    text = as_bytes(code, encoding)
    size = 2 * scan._CHUNK + 17
    for at in (0, scan._CHUNK + shift, size - len(text)):
        data = np.full(size, 0xE3, dtype=np.uint8)
        data[at : at + len(text)] = text
        assert count_in_bytes(data) >= 1


@pytest.mark.parametrize("code", VALID)
@pytest.mark.parametrize("sign", ["-", "–", "−", "\u2010", " -", "- ", " – ", "%2B", "a", "y"])
def test_every_spelling_of_the_sign_is_found_in_bytes_and_in_texts(code: str, sign: str) -> None:
    spelt = code[:6] + sign + code[7:]
    for text in (spelt, f"x{spelt}y", f"1.2.246.21.{spelt}", spelt.lower()):
        assert count_in_bytes(as_bytes(text)) == 1
        assert any(map(holds_identity_code, readings(text)))


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_code_is_not_found_in_bytes(text: str) -> None:
    assert count_in_bytes(as_bytes(text)) == 0


def test_a_slip_of_the_pen_still_names_somebody() -> None:
    assert holds_identity_code("010190-999K")
    assert not holds_identity_code("010190/999K")


@pytest.mark.parametrize(
    "text", ["E11.9", "4548-4", "401191002", "mL/min/{1.73_m2}", "2026-10-31", "health_centre", "100746-7"]
)
def test_codes_units_and_dates_are_no_identity_codes(text: str) -> None:
    assert not any(map(holds_identity_code, readings(text)))
    assert not ends_identity_code(text)
    assert count_in_bytes(as_bytes(text)) == 0


def test_random_bytes_hold_no_code() -> None:
    assert count_in_bytes(np.random.default_rng(3).integers(0, 256, 20_000_000, dtype=np.uint8)) == 0


@settings(deadline=None)
@given(codes, st.integers(1, 10))
def test_a_code_cut_anywhere_is_put_together_again(code: str, cut: int) -> None:
    left = pl.Series(["E11.9", f"x{code[:cut]}", "44054006"])
    right = pl.Series(["mmol/L", f"{code[cut:]}y", "%"])
    assert (f"x{code[:cut]}", f"{code[cut:]}y") in split_identity_codes(left, right)


def test_codes_beside_units_make_no_identity_code() -> None:
    days = [date(2000, 1, 1) + timedelta(days=offset) for offset in range(0, 700, 3)]
    left = pl.Series([f"{day:%d%m%y}" for day in days] + ["4548-4", "100746-7"])
    right = pl.Series(["mmol/mol", "%", "24h", "10*9/L", "A", "-"])
    assert split_identity_codes(left, right) == []
