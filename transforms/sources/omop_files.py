"""The tables of an OMOP CDM folder, as CSV or Parquet, as text under small column names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from schemas.errors import SourceRefused
from transforms.sources.files import BATCH_ROWS, arrow_rows, columns_of, csv_batches, quotation_marks

_ENDS = (".csv", ".parquet")
_NO_TABLE = "Give the folder of an OMOP CDM 5.4 export, as CSV or Parquet"


class OmopFiles:
    """Files by table name in small letters: `PERSON.csv`, `person.parquet`, or a folder `person/` of either.

    A file with nothing in it is not there.
    Raises SourceRefused where there is no such folder or a table stands there twice.
    """

    def __init__(self, directory: Path) -> None:
        """Find the files; none is opened yet."""
        if not directory.is_dir():
            raise SourceRefused("there is no such folder", _NO_TABLE)
        self._files: dict[str, list[Path]] = {}
        for path in sorted(directory.iterdir()):
            name = (path.stem if path.suffix.lower() in _ENDS else path.name).lower()
            parts = [path] if path.is_file() else sorted(part for part in path.iterdir() if part.is_file())
            parts = [part for part in parts if part.suffix.lower() in _ENDS and not part.name.startswith((".", "_"))]
            parts = [part for part in parts if part.stat().st_size]
            if parts and name in self._files:
                raise SourceRefused("the table is there in more than one form", "Keep one of them", name)
            if parts:
                self._files[name] = parts

    def __contains__(self, name: str) -> bool:
        """Whether the table is there."""
        return name in self._files

    def paths(self, name: str) -> list[Path]:
        """Give the files of a table."""
        return self._files.get(name, [])

    def columns(self, name: str) -> set[str]:
        """Column names that every file of the table has, in small letters."""
        names = [set(self._names(path, name)) for path in self.paths(name)]
        return set.intersection(*names) if names else set()

    def need(self, name: str, *any_of: str) -> None:
        """Raise SourceRefused where a table has none of the columns."""
        if not set(any_of) & self.columns(name):
            raise SourceRefused("the required column is missing", "Export the table again with it", name, any_of[0])

    def rows(self, name: str, wanted: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Rows of a table with the wanted columns, all text; null where a value is empty or the column is missing.

        Raises SourceRefused where a file cannot be read to its end.
        """
        for path in self.paths(name):
            for rows in self._batches(path, name):
                yield rows.select(
                    _as_text(column, rows.schema[column]) if column in rows.columns else _absent(column)
                    for column in wanted
                )

    def _names(self, path: Path, name: str) -> list[str]:
        names = [column.lower() for column in columns_of(path, name, _delimiter(path))]
        if len(set(names)) < len(names):
            raise SourceRefused("two columns have the same name", "Rename or remove one of them", name)
        return names

    def _batches(self, path: Path, name: str) -> Iterator[pl.DataFrame]:
        names = self._names(path, name)
        if path.suffix.lower() == ".csv":
            delimiter = _delimiter(path)
            if delimiter != "\t" and quotation_marks(path) % 2:
                raise SourceRefused("a quotation mark is not closed", "Double those within values", name)
            yield from csv_batches(path, name, names, delimiter=delimiter)
            return

        def read() -> Iterator[Any]:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=BATCH_ROWS)

        for rows in arrow_rows(read):
            if rows is None:
                raise SourceRefused("the file cannot be read as Parquet", "Export it again", name)
            rows.columns = names
            yield rows


def _delimiter(path: Path) -> str:
    """What parts the fields of the header: vocabularies come with tabs, some exports with semicolons."""
    if path.suffix.lower() != ".csv":
        return ","
    with path.open("rb") as file:
        header = file.readline(1 << 16)
    return next((mark for mark in ("\t", ";") if mark.encode() in header), ",")


def _as_text(column: str, dtype: pl.DataType) -> pl.Expr:
    """The column as text; a key that was kept as a decimal number because some are missing is whole again."""
    text = pl.col(column).cast(pl.String).str.strip_chars()
    if column.endswith("_id") or dtype.is_decimal():
        text = text.str.replace(r"\.0+$", "")
    return pl.when(text != "").then(text).alias(column)


def _absent(column: str) -> pl.Expr:
    return pl.lit(None, dtype=pl.String).alias(column)
