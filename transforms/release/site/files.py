"""The files of a release as the page of downloads lists them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import PurePosixPath

from schemas.labels import LANGUAGES
from schemas.labels.downloads import load_download_labels
from transforms.release.page_words import Words

_BY_PATH = {
    "table.csv": "file_table",
    "table.parquet": "file_table",
    "derived.csv": "file_derived",
    "areas.csv": "file_areas",
    "certificate.json": "file_certificate",
    "datapackage.json": "file_datapackage",
}
_BY_SUFFIX = {
    ".xlsx": "file_excel",
    ".html": "file_help",
    ".px": "file_px",
    ".json": "file_jsonstat",
}
_FIRST = (".xlsx", ".html")
"""What people open themselves; what programs read comes after it."""
_TITLES = {"table": "counts_title", "dates": "dates_title", "rates": "rates_title"}
"""What a file for statistical programs holds, by its name."""
STAR = "star"
"""The folder of the star schema, within downloads."""


@dataclass(frozen=True)
class File:
    """One file: its path in the release, what it holds, and its size as written."""

    path: str
    what: str
    size: str


def listed(sizes: Mapping[str, int], own: Words) -> list[File]:
    """The files of a language and those of all, with their sizes in bytes: what people open, the table and what
    belongs to it, what statistical programs read, the star schema.
    """
    paths = [path for path in sizes if _language(path) in (None, own.language)]
    paths.sort(key=lambda path: (_place(path), path))
    return [File(path, _what(path, own), _size(sizes[path], own)) for path in paths]


def _language(path: str) -> str | None:
    """The language of a file that is there in each."""
    named = PurePosixPath(path).suffixes[-2:-1]
    return named[0][1:] if named and named[0][1:] in LANGUAGES else None


def _place(path: str) -> tuple[int, int]:
    suffix, known = PurePosixPath(path).suffix, list(_BY_PATH)
    if path.count("/") and suffix in _FIRST:
        return 0, _FIRST.index(suffix)
    return 1 + path.count("/"), known.index(path) if path in known else len(known)


def _what(path: str, own: Words) -> str:
    pure = PurePosixPath(path)
    if path in _BY_PATH:
        return own.labels[_BY_PATH[path]]
    if pure.parent.name == STAR:
        return own.labels["file_star"]
    title = _TITLES.get(pure.name.partition(".")[0], "counts_title")
    return own.labels[_BY_SUFFIX.get(pure.suffix, "file_other")].format(title=load_download_labels(own.language)[title])


def _size(size: int, own: Words) -> str:
    return own.labels["kilobytes"].format(size=own.count(ceil(size / 1024)))
