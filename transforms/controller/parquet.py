"""What a Parquet file holds beside the values of its rows: layout, metadata, page index and dictionaries."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

_WRITERS = r"Polars( \(python\) version [0-9.]+ \(build [0-9a-f]+\))?|parquet-cpp-arrow version [0-9.]+"
_ARROW_SCHEMA = b"ARROW:schema"
_TEXT = re.compile(rb"[ -~\xc2-\xf4][ -~\x80-\xf4]{5,}")
_BETWEEN = 1024
"""Bytes that the metadata of one column takes at most; Polars writes a copy of it behind the pages."""


def check_layout(path: Path, columns: Sequence[str]) -> str | None:
    """What is wrong with a file's metadata and layout, or None.

    The one metadata entry is the Arrow schema, with the columns and nothing else in it. The pages of the columns follow
    each other, with no more between them than a writer's own metadata of a column.
    """
    file = pq.ParquetFile(path)
    metadata = file.metadata
    entries = metadata.metadata or {}
    if not re.fullmatch(_WRITERS, metadata.created_by or ""):
        return "a file names another writer"
    if set(entries) - {_ARROW_SCHEMA}:
        return "a file has metadata of its own"
    if encoded := entries.get(_ARROW_SCHEMA):
        schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(encoded)))
        if schema.metadata or any(field.metadata for field in schema) or schema.names != list(columns):
            return "a file has metadata in its Arrow schema"
    if any(field.metadata and set(field.metadata) - {b"PARQUET:field_id"} for field in file.schema_arrow):
        return "a file has metadata at its columns"
    if any(not 0 <= end - start <= _BETWEEN for start, end in _beside(metadata, path.stat().st_size)[:-1]):
        return "a file has bytes that belong to no column"
    return None


def beside_pages(path: Path) -> pl.Series:
    """The texts in a file outside the pages: column metadata, page index and footer, with lowest and highest values."""
    runs: set[bytes] = set()
    with path.open("rb") as file:
        for start, end in _beside(pq.ParquetFile(path).metadata, path.stat().st_size):
            file.seek(start)
            runs.update(_TEXT.findall(file.read(end - start)))
    return pl.Series([run.decode("utf-8", "ignore") for run in runs], dtype=pl.String)


def dictionaries(paths: Sequence[Path], columns: Sequence[str]) -> dict[str, pl.Series]:
    """The different values of some text columns over files, with those in a file's dictionary that no row has."""
    found: dict[str, set[str]] = {column: set() for column in columns}
    for path in paths:
        file = pq.ParquetFile(path, read_dictionary=list(columns))
        for group in range(file.num_row_groups if columns else 0):
            rows = file.read_row_group(group, columns=list(columns))
            for column in columns:
                for chunk in rows[column].chunks:
                    values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk.unique()
                    found[column].update(value for value in values.to_pylist() if value is not None)
    return {column: pl.Series(column, sorted(values), dtype=pl.String) for column, values in found.items()}


def _beside(metadata: pq.FileMetaData, size: int) -> list[tuple[int, int]]:
    """Start and end of every stretch of a file that belongs to no page; the last is page index and footer."""
    chunks = []
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(place)
            first = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
            chunks.append((first, first + chunk.total_compressed_size))
    chunks.sort()
    starts, ends = [start for start, _ in chunks], [end for _, end in chunks]
    return list(zip([0, *ends], [*starts, size], strict=True))
