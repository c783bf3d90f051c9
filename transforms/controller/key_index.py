"""Which rows of a file may have a record key, without reading the file: five bytes of each row's key, in a file beside.

An index is made when its file is searched for the first time, and holds for that file alone: it is authenticated under
a key of the controller's, together with the lasting part of the file's name and with the file's footer. One that is
missing, damaged or of another file is made anew, never trusted.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

KEY = "record_key"
SUFFIX = ".keys"
_SHIFT = np.uint64(24)
"""Of the first half of a key the highest 40 bits: of 20,000 keys and 40 million rows about one is alike by chance."""
_LASTING = re.compile(r"(?:recent-)?[^-]+-[0-9a-f]{8}(?=\.parquet$)")
"""What remains of a file's name when the next load keeps the file."""
_NONCE, _TAG, _FOOTER_END, _MARK = 12, 16, 8, 5
_LOW_BITS = (1 << 20) - 1


@dataclass(frozen=True)
class KeyIndex:
    """The indexes of one table's files, in a folder of their own, under a key."""

    folder: Path
    key: bytes

    def places(self, file: str, wanted: "Marks") -> NDArray[np.intp]:
        """The rows of a file that may have one of the wanted keys."""
        path = self._path(file)
        bound = path.name.encode() + b"\0" + _footer(file)
        with contextlib.suppress(OSError, ValueError, InvalidTag):
            sealed = path.read_bytes()
            body = sealed[_NONCE + _TAG :]
            AESGCM(self.key).decrypt(sealed[:_NONCE], sealed[_NONCE : _NONCE + _TAG], bound + body)
            return wanted.places(body)
        words, present = first_words(pq.read_table(file, columns=[KEY], use_threads=False, partitioning=None)[KEY])
        body, nonce = _body(words * present), secrets.token_bytes(_NONCE)
        self._write(path, nonce + AESGCM(self.key).encrypt(nonce, b"", bound + body) + body)
        return wanted.places(body)

    def keep_only(self, files: Iterable[str]) -> None:
        """Delete the indexes of all other files."""
        kept = {self._path(file) for file in files}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path not in kept:
                path.unlink()

    def _path(self, file: str) -> Path:
        name = Path(file).name
        lasting = _LASTING.search(name)
        return self.folder / ((lasting.group() if lasting else name) + SUFFIX)

    def _write(self, path: Path, content: bytes) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(content)
        beside.replace(path)


class Marks:
    """The marks of some keys, ready to be looked for."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        """Take the first half of each key."""
        self._marks = np.unique(words >> _SHIFT)
        self._low = np.zeros(_LOW_BITS + 1, dtype=np.bool_)
        self._low[(self._marks & np.uint64(_LOW_BITS)).astype(np.intp)] = True

    def places(self, body: bytes) -> NDArray[np.intp]:
        """The rows of an index whose mark is among these; most are told from them by their lowest bits."""
        rows = len(body) // _MARK
        low, high = np.frombuffer(body, dtype="<u4", count=rows), np.frombuffer(body, dtype=np.uint8, offset=4 * rows)
        maybe = np.flatnonzero(self._low[low & np.uint32(_LOW_BITS)])
        found = (high[maybe].astype(np.uint64) << np.uint64(32)) | low[maybe]
        if len(self._marks):
            nearest = np.minimum(np.searchsorted(self._marks, found), len(self._marks) - 1)
            maybe = maybe[self._marks[nearest] == found]
        places: NDArray[np.intp] = maybe
        return places


def first_words(keys: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The first half of each key, and whether there is one."""
    words, present = np.zeros(len(keys), dtype=np.uint64), np.ones(len(keys), dtype=np.bool_)
    start = 0
    for chunk in keys.cast(pa.large_binary()).chunks:
        end = start + len(chunk)
        _, offsets, data = chunk.buffers()
        if chunk.null_count:
            present[start:end] = chunk.is_valid().to_numpy(zero_copy_only=False)
        if chunk.null_count < len(chunk):
            ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            halves = np.frombuffer(data, dtype=np.uint64)[ends[0] // 8 : ends[-1] // 8]
            words[start:end][present[start:end]] = halves[::2]
        start = end
    return words, present


def _body(words: NDArray[np.uint64]) -> bytes:
    """The marks of rows, the lower four bytes of all before the highest of all."""
    marks = words >> _SHIFT
    return marks.astype("<u4").tobytes() + (marks >> np.uint64(32)).astype(np.uint8).tobytes()


def _footer(file: str) -> bytes:
    """The end of a Parquet file that says what is where in it, with each column's lowest and highest value."""
    with Path(file).open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(size - _FOOTER_END)
        end = opened.read()
        opened.seek(size - _FOOTER_END - int.from_bytes(end[:4], "little"))
        return size.to_bytes(8, "little") + opened.read()
