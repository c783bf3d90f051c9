"""The files of a release as the page of downloads lists them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import PurePosixPath

from transforms.release.page_words import Words

_BY_PATH = {
    "table.csv": "file_table",
    "derived.csv": "file_derived",
    "areas.csv": "file_areas",
    "certificate.json": "file_certificate",
    "datapackage.json": "file_datapackage",
}
_BY_SUFFIX = {
    ".parquet": "file_table",
    ".xlsx": "file_excel",
    ".px": "file_px",
    ".json": "file_jsonstat",
    ".md": "file_help",
    ".html": "file_help",
    ".csv": "file_table",
}
STAR = "star"
"""The folder of the star schema, within downloads."""


@dataclass(frozen=True)
class File:
    """One file: its path in the release, what it holds, and its size as written."""

    path: str
    what: str
    size: str


def listed(sizes: Mapping[str, int], own: Words) -> list[File]:
    """The files by path with their sizes in bytes, the table first, those in folders after those beside them."""
    order = list(_BY_PATH)
    paths = sorted(sizes, key=lambda path: (path.count("/"), order.index(path) if path in order else len(order), path))
    return [File(path, own.labels[_what(path)], _size(sizes[path], own)) for path in paths]


def _what(path: str) -> str:
    if path in _BY_PATH:
        return _BY_PATH[path]
    pure = PurePosixPath(path)
    return "file_star" if pure.parent.name == STAR else _BY_SUFFIX.get(pure.suffix, "file_other")


def _size(size: int, own: Words) -> str:
    return own.labels["kilobytes"].format(size=own.count(ceil(size / 1024)))
