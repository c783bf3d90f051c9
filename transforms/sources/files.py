"""How CSV and Parquet files are read: in batches, and refused in words that quote nothing of what is in them."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from schemas.errors import SourceRefused

BLOCK_BYTES = 16 << 20
"""CSV is read in blocks of this size; a row must fit in one."""
BATCH_ROWS = 250_000


def columns_of(path: Path, table: str, delimiter: str = ",") -> list[str]:
    """Column names of a CSV or Parquet file; SourceRefused where it is empty or cannot be read."""
    names: list[str] | None = None
    try:
        if path.stat().st_size == 0:
            names = []
        elif path.suffix.lower() == ".parquet":
            names = list(pq.read_schema(path).names)
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                names = [name.strip() for name in next(csv.reader(file, delimiter=delimiter), [])]
    except (OSError, UnicodeError, csv.Error, pa.ArrowException):
        names = None
    if names is None:
        raise SourceRefused("the file cannot be read", "Export it again, as Parquet or as CSV in UTF-8", table)
    if not names:
        raise SourceRefused("the file is empty", "Export it again", table)
    return names


def csv_batches(
    path: Path,
    table: str,
    names: list[str],
    skipped: Callable[[], None] | None = None,
    delimiter: str = ",",
) -> Iterator[pl.DataFrame]:
    """Rows of a CSV file under the given column names, in order, every value text, empty values null.

    A row with more or fewer fields than the header is left out and told to `skipped`; where there is no `skipped`,
    SourceRefused. Byte order mark, either line ending and line breaks within quotation marks are understood. Fields
    that tabs part are not quoted.
    """
    if not _has_rows(path):
        return
    ragged = False

    def on_ragged(_row: object) -> str:
        nonlocal ragged
        if skipped is None:
            ragged = True
            return "error"
        skipped()
        return "skip"

    def read() -> Iterator[Any]:
        yield from pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES, column_names=names, skip_rows_after_names=1),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter,
                quote_char=False if delimiter == "\t" else '"',
                newlines_in_values=delimiter != "\t",
                invalid_row_handler=on_ragged,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )

    for rows in arrow_rows(read):
        if rows is None:
            rule = "a row has more or fewer fields than the header" if ragged else "the file cannot be read as CSV"
            raise SourceRefused(rule, "Export it again, as CSV in UTF-8 with values that hold commas quoted", table)
        yield rows


def _has_rows(path: Path) -> bool:
    """Whether anything comes after the first line, however it ends."""
    with path.open(encoding="latin-1", newline="") as file:
        file.readline()
        return bool(file.read(1))


def quotation_marks(path: Path) -> int:
    """How many a file has; odd where a value has been opened and swallowed the rest of the file."""
    with path.open("rb") as file:
        return sum(chunk.count(b'"') for chunk in iter(lambda: file.read(1 << 22), b""))


def rows_about(paths: list[Path]) -> int | None:
    """About how many rows files hold; None where one of them cannot be read."""
    total = 0
    try:
        for path in paths:
            if path.suffix == ".parquet":
                total += pq.read_metadata(path).num_rows
                continue
            with path.open("rb") as file:
                head = file.read(1 << 20)
            total += path.stat().st_size * head.count(b"\n") // max(len(head), 1)
    except (OSError, pa.ArrowException):
        return None
    return total


def parquet_batches(path: Path, table: str, first_rows: int | None = None) -> Iterator[pl.DataFrame]:
    """Rows of a Parquet file in order, all or the first; SourceRefused where it cannot be read to its end."""
    failed = False
    try:
        # Polars reads text several times faster than Arrow does, and ahead of what is asked for.
        scan = pl.scan_parquet(path)
        if first_rows:
            scan = scan.head(first_rows)
        parts: list[pl.DataFrame] = []
        for part in scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            parts += [part] if part.height else []
            if sum(rows.height for rows in parts) >= BATCH_ROWS:
                yield pl.concat(parts, rechunk=True)
                parts = []
        if parts:
            yield pl.concat(parts, rechunk=True)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        failed = True
    if failed:
        raise SourceRefused("the file cannot be read as Parquet", "Export it again", table)


def arrow_rows(read: Callable[[], Iterator[Any]]) -> Iterator[pl.DataFrame | None]:
    """Batches with rows in them as Polars frames; None last where reading failed.

    Arrow's own error quotes the row, so it must not be the cause or the context of ours.
    """
    failed = False
    try:
        for batch in read():
            if batch.num_rows:
                yield pl.DataFrame(pl.from_arrow(batch))
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError):
        failed = True
    if failed:
        yield None
