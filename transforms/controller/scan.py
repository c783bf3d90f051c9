"""Identity codes in raw bytes and in texts, in whatever spelling they come.

A code is found by its digits, its date and its check character, not by what stands around it: in a file the next
value follows without a gap. The sign is not covered by the check character, so a dash of any kind counts as one.
"""

import base64
import contextlib
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import numpy as np
import polars as pl
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]

_CHUNK = 1 << 18
"""Bytes looked at together: they and what is worked out of them stay in the processor's second-level cache."""
_LONGEST = 64
"""Bytes that a code can take, in UTF-16 with spaces; chunks overlap by as many."""
_SHORTEST_CODED = 8
_CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_SIGNS = "+-YXWVUABCDEF"
DASHES = "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] + [0] * 87, dtype=np.uint8)


def _flags(characters: str) -> NDArray[np.bool_]:
    table = np.zeros(256, dtype=np.bool_)
    table[list(characters.encode("latin-1"))] = True
    return table


_IS_SIGN = _flags(_SIGNS + _SIGNS.lower())
_IS_DIGIT = _flags("0123456789")
_IS_SPACE = _flags(" \t\xa0_")
_BEGINS_LONG = _flags("\xc2\xe2\xef%")
_FOLLOWS = _IS_SIGN | _IS_SPACE | _BEGINS_LONG
"""What can stand after the six digits: a sign, a space, or the first byte of a dash that is not ASCII."""
_VALUE = np.full(256, 99, dtype=np.uint8)
for _place, _letter in enumerate(_CHECK):
    _VALUE[[ord(_letter), ord(_letter.lower())]] = _place
_LONG_DASHES = [dash.encode() for dash in DASHES if not dash.isascii()] + [b"%2b", b"%2B", b"%2d", b"%2D"]


def count_in_bytes(data: Bytes) -> int:
    """How many identity codes stand in the bytes, as ASCII, UTF-8, UTF-16 or URL-encoded text, in any spelling.

    A code that is broken by a space is found where the space stands beside its sign. Of UTF-16 at least one is counted.
    """
    found, size = 0, _CHUNK // 2 + _LONGEST
    # Reused: fresh memory for each chunk costs more than the search.
    highs, digits, doubles = np.empty(size, np.uint16), np.empty(size, np.bool_), np.empty(size, np.bool_)
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK + _LONGEST]
        if len(chunk) < _CHUNK + _LONGEST:
            chunk = np.concatenate([chunk, np.zeros(_LONGEST - len(chunk) % 4, dtype=np.uint8)])
        pairs = len(chunk) // 2
        high, digit, double = highs[:pairs], digits[:pairs], doubles[:pairs]
        # Digits are the bytes 0x30 to 0x39. Six in a row hold two aligned pairs side by side; six of UTF-16 text hold
        # two aligned words side by side, each two digits with a zero byte before or after each.
        np.bitwise_and(chunk.view(np.uint16), np.uint16(0xF0F0), out=high)
        np.equal(high, 0x3030, out=digit)
        np.logical_and(digit[:-1], digit[1:], out=double[:-1])
        near = np.flatnonzero(double[:-1])
        if len(near):
            found += _count(chunk, np.concatenate([2 * near - 1, 2 * near]), _CHUNK)
        words = high.view(np.uint32)
        for pattern, mask in ((0x00300030, 0xFFF0FFF0), (0x30003000, 0xF0FFF0FF)):
            wide = np.equal(words, pattern, out=digit[: len(words)])
            if not wide.any():
                continue
            near = np.flatnonzero(wide[:-1] & wide[1:])
            near = near[(chunk.view(np.uint32)[near] & np.uint32(mask)) == pattern]
            for group in np.split(near, np.flatnonzero(np.diff(near) > _LONGEST // 4) + 1) if len(near) else ():
                found += _count_wide(chunk[max(0, 4 * group[0] - 8) : 4 * group[-1] + _LONGEST])
    return found


def _count(text: Bytes, starts: Places, until: int) -> int:
    """Codes that begin at one of `starts`, from 0 to before `until`; as many bytes as a code has follow that."""
    starts = starts[(starts >= 0) & (starts < until)]
    starts = starts[_FOLLOWS[text[starts + 6]]]
    starts = starts[_IS_DIGIT[text[starts + 5]] & _IS_DIGIT[text[starts]]]
    if not len(starts):
        return 0
    starts = starts[_is_date(text, starts)]
    found = [np.zeros(0, dtype=np.intp)]
    for candidates, rest in _after_sign(text, starts):
        for gap in (0, 1):
            here = candidates[_is_end(text, candidates, rest + gap) & (_IS_SPACE[text[rest]] if gap else True)]
            found.append(here)
    return len(np.unique(np.concatenate(found)))


def _count_wide(chunk: Bytes) -> int:
    """Codes in UTF-16 text, whichever byte comes first and wherever it begins."""
    counts = []
    for phase in (0, 1):
        for encoding in ("utf-16-le", "utf-16-be"):
            text = chunk[phase:].tobytes().decode(encoding, "ignore").encode("utf-8", "ignore")
            plain = np.frombuffer(text + bytes(_LONGEST), dtype=np.uint8)
            counts.append(_count(plain, np.flatnonzero(_IS_DIGIT[plain]), len(text)))
    return max(counts)


def _after_sign(text: Bytes, starts: Places) -> Iterator[tuple[Places, Places]]:
    """Each way in which a sign can follow six digits: the starts where it does, and the place after it."""
    for gap in (0, 1):
        some = starts[_IS_SPACE[text[starts + 6]]] if gap else starts
        plain = some[_IS_SIGN[text[some + 6 + gap]]]
        yield plain, plain + 7 + gap
        some = some[_BEGINS_LONG[text[some + 6 + gap]]]
        for dash in _LONG_DASHES if len(some) else ():
            same = some[[text[at + 6 + gap : at + 6 + gap + len(dash)].tobytes() == dash for at in some]]
            yield same, same + 6 + gap + len(dash)


def _is_date(text: Bytes, starts: Places) -> NDArray[np.bool_]:
    """Whether six characters are day, month and year."""
    digit = [text[starts + place] - np.uint8(48) for place in range(6)]
    day, month = digit[0] * np.uint8(10) + digit[1], digit[2] * np.uint8(10) + digit[3]
    ok: NDArray[np.bool_] = np.all(np.array(digit) < 10, axis=0)
    return ok & (day >= 1) & (day <= _DAYS[np.minimum(month, 99)])


def _is_end(text: Bytes, starts: Places, rest: Places) -> NDArray[np.bool_]:
    """Whether four characters are an individual number and the check character that six digits and it call for."""
    places = [starts + place for place in range(6)] + [rest + place for place in range(3)]
    number, ok = np.zeros(len(starts), dtype=np.uint32), np.ones(len(starts), dtype=np.bool_)
    for place in places:
        digit = text[place] - np.uint8(48)
        ok &= digit < 10
        number = number * np.uint32(10) + digit
    hits: NDArray[np.bool_] = ok & (number % 1000 >= 2) & (_VALUE[text[rest + 3]] == number % 31)
    return hits


_TEXT = re.compile(rf"(?=(\d{{2}})(\d{{2}})(\d{{2}})([{re.escape(_SIGNS)}])(\d{{3}})([0-9A-Y]))")
_WHOLE = re.compile(rf"(?:^|[^0-9])[0-3]\d[01]\d{{3}}[{re.escape(_SIGNS)}]\d{{3}}[0-9A-Y](?:$|[^0-9A-Z])")
_TAIL = re.compile(rf"[{re.escape(_SIGNS)}]\d{{3}}[0-9A-Y]")
_DASHED = str.maketrans(dict.fromkeys(DASHES, "-"))


def folded(text: str) -> str:
    """A text in capitals, with plain dashes and digits, without spaces and what cannot be seen."""
    plain = unicodedata.normalize("NFKC", text.translate(_DASHED)).translate(_DASHED).upper()
    return "".join(
        str(unicodedata.decimal(letter)) if letter.isdecimal() else letter
        for letter in plain
        if not letter.isspace() and letter != "_" and unicodedata.category(letter) != "Cf"
    )


def holds_identity_code(text: str) -> bool:
    """Whether a text holds an identity code in any spelling, or something as a whole written like one."""
    plain = folded(text)
    return _WHOLE.search(plain) is not None or any(_checks(match) for match in _TEXT.finditer(plain))


def ends_identity_code(text: str) -> bool:
    """Whether a text is the second half of an identity code: sign, individual number, check character."""
    return _TAIL.fullmatch(folded(text)) is not None


def split_identity_codes(left: pl.Series, right: pl.Series) -> list[tuple[str, str]]:
    """Pairs of distinct values, one of each column, that together are an identity code, wherever it is cut."""
    found = []
    sign, digit = f"[{re.escape(_SIGNS + _SIGNS.lower() + DASHES)}]", "[0-9]"
    parts = [digit] * 6 + [sign] + [digit] * 3 + ["[0-9A-Za-z]"]
    for cut in range(1, len(parts)):
        heads = left.filter(left.str.contains("".join(parts[:cut]) + "$"))
        tails = right.filter(right.str.contains("^" + "".join(parts[cut:]))) if len(heads) else right.clear()
        for tail in tails:
            pairs = heads.filter((heads.str.tail(cut) + tail[: len(parts) - cut]).is_in(_valid(heads, cut, tail)))
            found += [(head, tail) for head in pairs]
    return found


def _valid(heads: pl.Series, cut: int, tail: str) -> list[str]:
    whole = {head[-cut:] + tail[: 11 - cut] for head in heads}
    return [text for text in whole if any(_checks(match) for match in _TEXT.finditer(folded(text)))]


def _checks(match: re.Match[str]) -> bool:
    day, month, year, _, number, check = match.groups()
    return (
        1 <= int(day) <= int(_DAYS[int(month)])
        and int(number) >= 2
        and _CHECK[int(day + month + year + number) % 31] == check
    )


def decodings(text: str) -> Iterator[bytes]:
    """What a text may stand for: itself, reversed, URL-decoded, and the bytes that hex, Base32 or Base64 write."""
    yield text.encode()
    yield text[::-1].encode()
    if "%" in text:
        yield unquote_to_bytes(text)
    word = re.sub(r"[\s:]", "", text)
    if len(word) >= _SHORTEST_CODED:
        padded = word.rstrip("=")
        for decode, length, upper in (
            (bytes.fromhex, 2, False),
            (base64.b32decode, 8, True),
            (base64.b64decode, 4, False),
            (base64.urlsafe_b64decode, 4, False),
        ):
            coded = (padded.upper() if upper else padded) + ("=" * (-len(padded) % length) if length > 2 else "")
            with contextlib.suppress(ValueError):
                yield decode(coded)


def readings(text: str) -> Iterator[str]:
    """Every text that a text may stand for."""
    for data in decodings(text):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            with contextlib.suppress(UnicodeDecodeError):
                yield data.decode(encoding)
