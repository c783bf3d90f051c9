from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.controller.identifiers import is_valid, normal_spelling

VALID = (
    "010594Y9032 010594Y9021 020594X903P 030594W903B 040594V902Y 050594U903M 010516B903X 020516C902J 030516D9037 "
    "010501E9032 020503F9037 020504A902E 020504B904H"
).split()
"""Test codes that the Digital and Population Data Services Agency published."""
SIGNS = {1800: "+", 1900: "-YXWVU", 2000: "ABCDEF"}
CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def plain_validity(code: str) -> bool:
    """The rule as it is written, one code at a time."""
    if len(code) != 11 or not (code[:6] + code[7:10]).isascii() or not (code[:6] + code[7:10]).isdigit():
        return False
    century = next((start for start, signs in SIGNS.items() if code[6] in signs), None)
    if century is None:
        return False
    try:
        date(century + int(code[4:6]), int(code[2:4]), int(code[:2]))
    except ValueError:
        return False
    return int(code[7:10]) >= 2 and code[10] == CHECK[int(code[:6] + code[7:10]) % 31]


def code_for(day: date, sign: str, number: int) -> str:
    start = f"{day:%d%m%y}"
    return f"{start}{sign}{number:03d}{CHECK[int(f'{start}{number:03d}') % 31]}"


codes = st.builds(
    lambda day, number, pick: code_for(day, (signs := SIGNS[day.year // 100 * 100])[pick % len(signs)], number),
    st.dates(date(1800, 1, 1), date(2099, 12, 31)),
    st.integers(900, 999),
    st.integers(0, 5),
)


def test_published_codes_are_valid() -> None:
    assert is_valid(pl.Series(VALID), "hetu").all()


@pytest.mark.parametrize(
    "code",
    [
        "131052-908U",
        "310252-908Y",
        "131052/908T",
        "010190-999K",
        "131052908T",
        "",
        "0105944Y903",
        "010594Y903",
        "x" * 11,
    ],
)
def test_codes_that_break_a_rule_are_not(code: str) -> None:
    assert not is_valid(pl.Series([code]), "hetu").any()


def test_null_is_not_valid_even_where_a_code_stood_before() -> None:
    nulled = pl.DataFrame({"code": VALID}).select(pl.when(pl.int_range(pl.len()) > 0).then("code")).to_series()
    assert is_valid(nulled, "hetu").to_list() == [False] + [True] * (len(VALID) - 1)


@given(codes)
def test_every_well_formed_code_is_valid(code: str) -> None:
    assert plain_validity(code)
    assert is_valid(pl.Series([code]), "hetu").item()


@given(codes, st.integers(0, 10), st.sampled_from("0123456789+-ABCDEFUVWXY/ ghåé"))
def test_a_changed_code_is_judged_as_the_plain_rule_judges_it(code: str, place: int, letter: str) -> None:
    changed = code[:place] + letter + code[place + 1 :]
    assert is_valid(pl.Series([changed]), "hetu").item() == plain_validity(changed)


@given(st.lists(st.text(max_size=14), max_size=20))
def test_any_text_is_judged_as_the_plain_rule_judges_it(texts: list[str]) -> None:
    assert is_valid(pl.Series(texts, dtype=pl.String), "hetu").to_list() == [plain_validity(text) for text in texts]


def test_leap_days_follow_the_calendar() -> None:
    assert is_valid(pl.Series([code_for(date(2000, 2, 29), "A", 900)]), "hetu").item()
    for year, sign in ((1900, "-"), (2001, "A"), (1800, "+")):
        start = f"2902{year % 100:02d}"
        code = f"{start}{sign}900{CHECK[int(start + '900') % 31]}"
        assert not is_valid(pl.Series([code]), "hetu").item()


def test_spellings_of_one_code_become_one() -> None:
    spelt = pl.Series(["010594Y9032", " 010594y9032 ", "1.2.246.21.010594Y9032", "", None])
    assert normal_spelling(spelt, "hetu").to_list() == ["010594Y9032"] * 3 + [None, None]


def test_the_sign_is_part_of_the_identity_and_never_changed() -> None:
    first = (date(1990, 1, 1) + timedelta(0)).strftime("%d%m%y")
    check = CHECK[int(first + "999") % 31]
    pair = pl.Series([f"{first}-999{check}", f"{first}Y999{check}"])
    assert normal_spelling(pair, "hetu").n_unique() == 2


def test_opaque_identifiers_are_short_words() -> None:
    given_ = pl.Series(["2e27c71e-30c8-4ceb-8c1c-5641e066c0a4", "p1", "two words", "x" * 65, None])
    assert is_valid(given_, "opaque").to_list() == [True, True, False, False, False]
