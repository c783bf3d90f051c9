"""Person identifiers: their normal spelling, and whether one can be a person's.

The Finnish personal identity code (henkilötunnus) is DDMMYY, a century sign, an individual number and a check
character: Act on the Population Information System, and the Digital and Population Data Services Agency's rules of
2023 for the new signs. The sign is part of the identity and is never guessed.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from transforms.controller.blocks import blocks, through_runs

OID_PREFIX = "1.2.246.21."
"""HL7's object identifier of the Finnish personal identity code."""
_CHECK = np.frombuffer(b"0123456789ABCDEFHJKLMNPRSTUVWXY", dtype=np.uint8)
_CENTURY = np.zeros(256, dtype=np.uint16)
for _signs, _century in ((b"+", 1800), (b"-YXWVU", 1900), (b"ABCDEF", 2000)):
    _CENTURY[list(_signs)] = _century
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] + [0] * 87, dtype=np.uint8)
_CHUNK = 1 << 16
_LENGTH, _SPACE, _SMALL_A = 11, ord(" "), ord("a")
OPAQUE_LENGTH = 64
"""Longest identifier, in bytes, of a source that has no identity codes."""


def normal_spelling(identifiers: pl.Series, identifier: str) -> pl.Series:
    """Trim, drop the OID prefix and write identity codes in capitals; empty becomes null. One value a row."""
    return through_runs(identifiers.cast(pl.String), lambda texts: _spelt(texts, identifier))


def short_enough(identifiers: pl.Series, identifier: str) -> pl.Series:
    """Identifiers, an empty one in the place of those that are too long to be in normal spelling. One value a row."""
    most = _LENGTH if identifier == "hetu" else OPAQUE_LENGTH
    fit = identifiers.str.len_bytes() <= most
    if fit.all():
        return identifiers
    return identifiers.to_frame().select(pl.when(fit).then(pl.first()).otherwise(pl.lit(""))).to_series()


def _spelt(text: pl.Series, identifier: str) -> pl.Series:
    # Rows that are spelt as they should be, nearly all, are left where they are: stripping copies every string.
    odd = pl.Series(~_are_capitals(text)) if identifier == "hetu" else text.is_not_null()
    if not odd.any():
        return text
    some = pl.col("text").filter(odd).str.strip_chars()
    if identifier == "hetu":
        some = some.str.strip_prefix(OID_PREFIX).str.strip_chars().str.to_uppercase()
    spelt = text.alias("text").to_frame().select(pl.when(some != "").then(some)).to_series()
    return text.clone().scatter(odd.arg_true(), spelt)


def _are_capitals(text: pl.Series) -> NDArray[np.bool_]:
    """Whether each text has the length of an identity code and neither spaces nor small letters, or is null."""
    view, present = blocks(text)
    ok: NDArray[np.bool_] = np.ascontiguousarray(view[:, :4]).view(np.uint32)[:, 0] == _LENGTH
    letters = np.ascontiguousarray(view[:, 4 : 4 + _LENGTH])
    ok &= ~((letters == _SPACE) | (letters >= _SMALL_A)).any(axis=1)
    return ok if present is None else ok | ~present


def is_valid(identifiers: pl.Series, identifier: str) -> pl.Series:
    """Whether each identifier, in normal spelling, can be a person's; null counts as not. One flag a row."""
    return through_runs(identifiers, _are_opaque if identifier == "opaque" else _are_identity_codes)


def _are_opaque(identifiers: pl.Series) -> pl.Series:
    letters = identifiers.str.contains(r"^[0-9A-Za-z._:-]+$") & (identifiers.str.len_bytes() <= OPAQUE_LENGTH)
    return letters.fill_null(False)


def _are_identity_codes(identifiers: pl.Series) -> pl.Series:
    view, present = blocks(identifiers)
    if present is not None:
        return pl.Series(is_identity_code(view) & present)
    return pl.Series(is_identity_code(view))


def is_identity_code(view: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each 16-byte block (length, 12 characters) holds a valid Finnish personal identity code."""
    out = np.empty(len(view), dtype=np.bool_)
    for start in range(0, len(view), _CHUNK):
        chunk = view[start : start + _CHUNK]
        text = np.ascontiguousarray(chunk[:, 4:15].T)
        length = np.ascontiguousarray(chunk[:, :4]).view(np.uint32)[:, 0]
        digits = text[[0, 1, 2, 3, 4, 5, 7, 8, 9]] - np.uint8(48)
        ok = (length == 11) & (digits < 10).all(axis=0)
        number = np.zeros(text.shape[1], dtype=np.uint32)
        for digit in digits:
            number = number * np.uint32(10) + digit
        day, month = digits[0] * np.uint8(10) + digits[1], digits[2] * np.uint8(10) + digits[3]
        year = _CENTURY[text[6]] + digits[4] * np.uint16(10) + digits[5]
        leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        ok &= (_CENTURY[text[6]] > 0) & (day >= 1) & (day <= _DAYS[np.minimum(month, 99)] + leap)
        ok &= (number % np.uint32(1000) >= 2) & (text[10] == _CHECK[number % np.uint32(31)])
        out[start : start + _CHUNK] = ok
    return out
