"""What must not be found in the files of a batch: its names, identifiers, telephone numbers and addresses.

Only 8-byte keyed hashes of them are kept, in memory. They cannot be pickled: with the seed beside them they could be
tried out.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from threading import RLock
from typing import NoReturn

import duckdb
import numpy as np
import polars as pl

from schemas.table import PERSON_ID, RECORD_ID, Role
from schemas.tables import SOURCE_TABLES
from transforms.controller.blocks import INLINE, WIDTH, blocks
from transforms.controller.identifiers import OID_PREFIX
from transforms.controller.pseudonymise import from_series, permute, to_series

SAMPLE = 1 << 9
"""Identifiers of each batch whose rarer digests are looked for: a pipeline that forgets its key does so in each row."""
RECORDS = 1 << 12
"""Record keys a table that are looked for, for the same reason: there are tens of millions of them."""
NOTES = 1 << 20
"""Notes that are looked for at most."""
SHORTEST = {"name": 4, "full name": 8, "identifier": 6, "phone": 7, "email": 6, "address": 7, "note": 12}
"""Letters and digits below which a value cannot be told from chance; a part of a name counts as a name."""
_PENDING = 1 << 21
_FEW = 8
_BEYOND_ASCII = np.uint64(0x8080808080808080)
_KINDS = {
    "given_names": "name",
    "family_name": "name",
    "phone": "phone",
    "email": "email",
    "street_address": "address",
}
_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "sha512": lambda value: hashlib.sha512(value).digest(),
    "sha3-256": lambda value: hashlib.sha3_256(value).digest(),
    "blake2b": lambda value: hashlib.blake2b(value).digest(),
    "blake2b-256": lambda value: hashlib.blake2b(value, digest_size=32).digest(),
    "blake2b-128": lambda value: hashlib.blake2b(value, digest_size=16).digest(),
    "blake2s": lambda value: hashlib.blake2s(value).digest(),
    "md5": lambda value: hashlib.md5(value, usedforsecurity=False).digest(),
    "hmac without a key": lambda value: hmac.digest(b"", value, "sha256"),
    "sha1": lambda value: hashlib.sha1(value, usedforsecurity=False).digest(),
    "sha256": lambda value: hashlib.sha256(value).digest(),
}

_WITHOUT_KEY = """
    SELECT unhex(md5(text)) AS a, unhex(left(sha1(text), 32)) AS b, unhex(left(sha256(text), 32)) AS c FROM identifiers
"""
"""Digests as 16 bytes, which are 32 letters of hex."""


class Canaries:
    """Hashes of the identifying values of the batches that were read; feed each raw batch with `add`.

    Kinds of text: name, full name, identifier, phone, email, address, note. What an identifier
    becomes without a key is held too: 16 bytes of a digest, those that a UUID writes, its cipher block under zeros.
    Several threads may add batches.
    """

    def __init__(self) -> None:
        """Start with nothing, under a seed that nobody else has."""
        self._seed = secrets.randbits(63)
        self._held: dict[str, list[pl.Series]] = {}
        self._taken: dict[str, int] = {}
        self._lock = RLock()

    def __repr__(self) -> str:
        """Nothing."""
        return "Canaries()"

    def __reduce__(self) -> NoReturn:
        """Refuse: they stay in memory."""
        raise TypeError("canaries stay in memory")

    def add(self, table: str, raw: pl.DataFrame) -> None:
        """Take the identifying columns of one batch as the source wrote it."""
        parts = {}
        for column in SOURCE_TABLES[table].columns:
            if column.name not in raw.columns or column.role not in (Role.DIRECT_IDENTIFIER, Role.KEY):
                continue
            values = raw[column.name].cast(pl.String, strict=False).drop_nulls()
            if column.name == RECORD_ID:
                self._add_records(table, values)
            elif column.role is Role.KEY:
                # Events of persons who are not among the persons do not cross.
                if table == "person" or column.name != PERSON_ID:
                    self._add_identifiers(values.unique())
            elif kind := _KINDS.get(column.name, "note" if column.name != "postal_code" else None):
                self._add_texts(kind, values.unique())
                parts[column.name] = kind
        if {"given_names", "family_name"} <= set(parts):
            self._add_full_names(raw)

    def has_text(self, kind: str, texts: pl.Series) -> pl.Series:
        """Whether each text, letters and digits alone, is one of a kind. One flag a value."""
        words = letters(texts)
        if kind == "phone":
            words = _national(words)
        return self._has(kind, words)

    def has_binary(self, column: str, values: pl.Series) -> pl.Series:
        """Whether each 16-byte value is an identifier's own bytes, or what it becomes without a key. One flag a value.

        A `pseudonym` is held against every person's identifier, another column against a sample of all identifiers.
        """
        found = self._has("person" if column == "pseudonym" else "sampled", values)
        halves = from_series(values)[0].view(np.uint64)
        is_ascii = pl.Series(((halves[:, 0] | halves[:, 1]) & _BEYOND_ASCII) == 0) & values.is_not_null()
        # Of random bytes one value in 65,536 is so too: the few are looked at, not the column.
        places = is_ascii.arg_true()
        texts = values.gather(places).cast(pl.String)
        return found.scatter(places, found.gather(places) | self._has("identifier", letters(texts)))

    def has_number(self, values: pl.Series) -> pl.Series:
        """Whether each number is the digits of an identifier or a telephone number. One flag a value."""
        texts = values.cast(pl.Int64, strict=False).cast(pl.String)
        return self._has("phone", texts) | self._has("number", texts)

    def _has(self, kind: str, values: pl.Series) -> pl.Series:
        hashes, held = self._hash(values), self._all(kind)
        if len(values) * _FEW >= len(held):
            return hashes.is_in(held.implode()) & values.is_not_null()
        # Of few values each is looked for: a set of all that is held takes longer to make than that.
        among, looked_for = held.to_numpy(), hashes.to_numpy()
        places = np.minimum(np.searchsorted(among, looked_for), len(among) - 1)
        return pl.Series(among[places] == looked_for) & values.is_not_null()

    def _hash(self, values: pl.Series) -> pl.Series:
        return values.hash(self._seed)

    def _keep(self, kind: str, values: pl.Series) -> None:
        hashes = self._hash(values.drop_nulls()).sort()
        with self._lock:
            held = self._held.setdefault(kind, [])
            held.append(hashes)
            if sum(map(len, held[1:])) > max(_PENDING, len(held[0])):
                self._all(kind)

    def _all(self, kind: str) -> pl.Series:
        with self._lock:
            held = self._held.get(kind, [])
            if len(held) != 1:
                held = self._held[kind] = [pl.concat(held).unique().sort() if held else pl.Series([], dtype=pl.UInt64)]
            return held[0]

    def _some(self, of: str, values: pl.Series, most: int) -> pl.Series:
        """The first different values, as many as there is room for among `most` of a table or a kind."""
        with self._lock:
            some = values.head(most - self._taken.get(of, 0)).unique()
            self._taken[of] = self._taken.get(of, 0) + len(some)
        return some

    def _add_texts(self, kind: str, values: pl.Series) -> None:
        if kind == "note":
            values = self._some(kind, values.filter(values.str.contains(" ")), NOTES)
        words = letters(values)
        if kind == "phone":
            words = _national(words)
        if kind == "name":
            parts = values.str.extract_all(r"[\p{L}\p{N}]+").explode().drop_nulls().unique()
            words = pl.concat([words, parts.str.to_lowercase()]).unique()
        if kind == "address":  # a street alone may be the name of a district
            words = words.filter(words.str.contains("[0-9]"))
        self._keep(kind, words.filter(words.str.len_chars() >= SHORTEST[kind]))

    def _add_full_names(self, raw: pl.DataFrame) -> None:
        """Given and family name side by side, in either order; the first given name alone too."""
        names = raw.select(pl.col("given_names", "family_name").cast(pl.String)).unique().drop_nulls()
        given, family = letters(names["given_names"]), letters(names["family_name"])
        first = letters(names["given_names"].str.split(" ").list.first())
        for one, other in ((given, family), (family, given), (first, family), (family, first)):
            self._keep("full name", (one + other).filter((one + other).str.len_chars() >= SHORTEST["full name"]))

    def _add_identifiers(self, values: pl.Series) -> None:
        plain = _plain_spelling(values)
        self._keep("identifier", letters(plain).filter(plain.str.len_chars() >= SHORTEST["identifier"]))
        digits = plain.str.replace_all("[^0-9]", "").str.strip_chars_start("0")
        self._keep("number", digits.filter(digits.str.len_bytes() >= 8))
        for series in _digests(plain):
            self._keep("person", series)
        for series in (_rare_digests(plain), *_digests(plain.head(RECORDS))):
            self._keep("person", series)
            self._keep("sampled", series)

    def _add_records(self, table: str, values: pl.Series) -> None:
        values = self._some(table, values, RECORDS)
        if len(values):
            self._keep("identifier", letters(values).filter(values.str.len_chars() >= 8))
            for series in (_rare_digests(values), *_digests(values)):
                self._keep("sampled", series)


def letters(texts: pl.Series) -> pl.Series:
    """Texts in small letters, with nothing but letters and digits. One value a row."""
    return texts.str.to_lowercase().str.replace_all(r"[\W_]+", "")


def _plain_spelling(values: pl.Series) -> pl.Series:
    return values.str.strip_chars().str.strip_prefix(OID_PREFIX).str.strip_chars().str.to_uppercase().unique()


def _national(words: pl.Series) -> pl.Series:
    """Telephone numbers without the country code or the zero in its place; null where there is neither.

    A number without either cannot be told from a code of SNOMED CT, which never begins with a zero.
    """
    return words.str.extract(r"^(?:00358|358|0)0?([1-9][0-9]{5,})$|^(0[0-9]{6,})$", 1)


def _digests(values: pl.Series) -> Iterator[pl.Series]:
    """16 bytes that each identifier becomes without a key: MD5, SHA-1, SHA-256, the bytes it writes, a zero key."""
    with duckdb.cursor() as connection:  # a database of its own would cost more than the digests
        connection.register("identifiers", values.alias("text").to_frame().to_arrow())
        yield from connection.sql(_WITHOUT_KEY).pl()
    yield values.str.replace_all("-", "", literal=True).str.decode("hex", strict=False).bin.head(WIDTH)
    short = values.filter(values.str.len_bytes() <= INLINE)
    yield to_series(permute(np.ascontiguousarray(blocks(short)[0]), bytes(32)), "block")


def _rare_digests(values: pl.Series) -> pl.Series:
    """The first 16 bytes of every digest of some identifiers, in any spelling."""
    sample = values.head(SAMPLE).to_list()
    spellings = [OID_PREFIX + text for text in sample] + [text.lower() for text in sample] + sample
    texts = [text.encode() for text in spellings] + [text.encode("utf-16-le") for text in sample]
    return pl.Series([digest(text)[:WIDTH] for text in texts for digest in _DIGESTS.values()], dtype=pl.Binary)
