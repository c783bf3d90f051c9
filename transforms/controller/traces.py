"""Traces of a batch in texts: its names, identifiers, telephone numbers and addresses, plain or encoded."""

import re
from collections.abc import Collection, Iterator

import polars as pl

from transforms.controller.blocks import WIDTH
from transforms.controller.canaries import SHORTEST, Canaries
from transforms.controller.scan import decodings, readings

_STRONG = ("identifier", "phone", "email", "address", "note", "full name")
"""Kinds that are long enough to be told from words; names alone are checked where no public name can stand."""
_WINDOW = 6
"""Words side by side that are tried as one value: an address, two given names and a family name."""


def kinds_of(values: pl.Series, canaries: Canaries, public: Collection[str], *, names: bool) -> tuple[str, int] | None:
    """The first kind of identifying value that some texts are or hold, and how many of them."""
    rows = [(row, part) for row, value in enumerate(values) for part in _parts(value)]
    parts = pl.DataFrame(rows, schema={"row": pl.Int64, "part": pl.String}, orient="row")
    for kind in _STRONG:
        if count := _count(parts, kind, canaries):
            return kind, count
    if names:
        single = parts.filter(pl.col("part").str.contains(r"^\p{L}+$") & ~pl.col("part").is_in(list(public)))
        if count := _count(single, "name", canaries):
            return "name", count
    return None


def whole_kinds(values: pl.Series, canaries: Canaries) -> tuple[str, int] | None:
    """The first kind that some texts are as a whole, and how many of them; names alone are not looked for."""
    parts = values.alias("part").to_frame().with_row_index("row")
    for kind in _STRONG:
        if count := _count(parts, kind, canaries):
            return kind, count
    return None


def encoded_digests(values: pl.Series, canaries: Canaries) -> int:
    """How many texts write, in hex or Base64, what an identifier becomes without a key."""
    coded = [(row, data[:WIDTH]) for row, value in enumerate(values) for data in decodings(value) if len(data) >= WIDTH]
    if not coded:
        return 0
    frame = pl.DataFrame(coded, schema={"row": pl.Int64, "data": pl.Binary}, orient="row")
    return frame.filter(canaries.has_binary("pseudonym", frame["data"]))["row"].n_unique()


def _count(parts: pl.DataFrame, kind: str, canaries: Canaries) -> int:
    long = parts.filter(pl.col("part").str.len_chars() >= SHORTEST[kind])
    return long.filter(canaries.has_text(kind, long["part"]))["row"].n_unique() if long.height else 0


def _parts(value: str) -> Iterator[str]:
    for text in {*readings(value)}:
        words = [word for word in re.split(r"[\W_]+", text.lower()) if word]
        yield "".join(words)
        for start in range(len(words)):
            for end in range(start + 1, min(start + _WINDOW, len(words)) + 1):
                yield "".join(words[start:end])
