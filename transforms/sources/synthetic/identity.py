"""Identity codes, names and addresses that nobody has.

Codes have individual numbers 900-999, which are never given to a person for good. Names are put together from
syllables with letters that Finnish and Swedish names hardly use. No Finnish telephone number begins with 0 after the
country code; example.org is reserved (RFC 2606); postal codes beginning with 0000 are not in use.
"""

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from schemas.errors import UsageRefused
from transforms.sources.synthetic.draws import Days, Flags, stream

OID_PREFIX = "1.2.246.21."
"""HL7's object identifier of the Finnish personal identity code."""
_CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_SIGNS = {1800: "+", 1900: "-YXWVU", 2000: "ABCDEF"}
_FIRST_NUMBER, _NUMBERS_A_SEX = 900, 50

_SYLLABLES = ("qua", "xel", "zov", "wix", "jyx", "quo", "zyl", "wäx", "xun", "zöp", "qif", "wuz", "xaw", "zeq", "quz")
_STREETS = ("Esimerkkitie", "Exempelvägen", "Keksittykatu", "Mallikuja", "Påhittsgränden", "Olematonpolku")


def identity_codes(birth: Days, is_male: Flags) -> pl.Series:
    """A valid code for each birth date and sex, no two alike.

    Uses the signs of the century evenly, so that codes that differ in nothing but the sign occur. Raises UsageRefused
    where more are born on a day than there are codes for.
    """
    dates = birth.astype("datetime64[D]")
    year = dates.astype("datetime64[Y]").astype(int) + 1970
    month = dates.astype("datetime64[M]").astype(int) % 12 + 1
    day = (dates - dates.astype("datetime64[M]")).astype(int) + 1
    century = year // 100 * 100
    sign_count = np.where(century == 1800, 1, len(_SIGNS[1900]))
    rank = _rank(birth.astype(np.int64) * 2 + is_male)
    if (rank >= sign_count * _NUMBERS_A_SEX).any():
        raise UsageRefused("more persons than there are identity codes for one day of birth", "Ask for fewer persons")
    # A step that shares no factor with the 50 or 300 codes of a day and sex visits each of them once.
    slot = (rank * 77 + birth * 13) % (sign_count * _NUMBERS_A_SEX)
    number = _FIRST_NUMBER + 2 * (slot // sign_count) + is_male
    signs = np.zeros((3, 6), dtype=np.uint8)
    for row, letters in enumerate(_SIGNS.values()):
        signs[row, : len(letters)] = list(letters.encode())
    digits = (day * 10_000 + month * 100 + year % 100) * 1000 + number
    text = np.empty((len(birth), 11), dtype=np.uint8)
    for place, power in zip((0, 1, 2, 3, 4, 5, 7, 8, 9), range(8, -1, -1), strict=True):
        text[:, place] = digits // 10**power % 10 + ord("0")
    text[:, 6] = signs[century // 100 - 18, slot % sign_count]
    text[:, 10] = np.frombuffer(_CHECK.encode(), dtype=np.uint8)[digits % len(_CHECK)]
    return fixed_width(text)


def wrong_check(codes: pl.Series) -> pl.Series:
    """The codes with another check character each."""
    wrong = dict(zip(_CHECK, _CHECK[1:] + _CHECK[0], strict=True))
    return codes.str.head(10) + codes.str.tail(1).replace_strict(wrong)


def fixed_width(text: NDArray[np.uint8]) -> pl.Series:
    """Strings from a matrix of their ASCII characters, one row each."""
    count, width = text.shape
    ends = np.arange(0, count * width + 1, width, dtype=np.int64)
    array = pa.LargeStringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(text)))
    return pl.Series(values=array, dtype=pl.String)


def names(seed: int, block: int, count: int) -> pl.DataFrame:
    """One row per person of a block: given names, family name, telephone number and e-mail address."""
    rng = stream(seed, "names", block)
    syllable = pl.Series(_SYLLABLES, dtype=pl.String)
    draw = [syllable.gather(rng.integers(0, len(_SYLLABLES), count)) for _ in range(5)]
    number = pl.Series("number", rng.integers(0, 10**8, count)).cast(pl.String).str.zfill(8)
    return pl.select(
        given_names=(draw[0] + draw[1]).str.to_titlecase(),
        family_name=(draw[2] + draw[3] + draw[4]).str.to_titlecase(),
        phone="+3580" + number,
        email=(draw[0] + draw[1] + "." + draw[2] + draw[3] + draw[4]).str.replace_many(["ä", "ö"], ["a", "o"])
        + "."
        + number.str.tail(4)
        + "@example.org",
    )


def addresses() -> pl.DataFrame:
    """Addresses that persons live at; no street of the kind exists."""
    places = [(street, number) for street in _STREETS for number in range(1, 100)]
    return pl.DataFrame(
        {
            "street_address": [f"{street} {number} {'ABCDE'[number % 5]}" for street, number in places],
            "postal_code": [f"0000{number % 10}" for _, number in places],
        }
    )


def _rank(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the same group come before each."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    start = np.maximum.accumulate(np.where(np.r_[True, ordered[1:] != ordered[:-1]], np.arange(len(group)), 0))
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - start
    return rank
