"""A folder of CSV or Parquet files in caregap's own layout.

A feed is `DIR/<table>.parquet`, `DIR/<table>.csv`, or a folder `DIR/<table>/` of either, with the columns of
`schemas.tables`. `feed.toml` beside them may say what it is and `areas.csv` may bring a geography of its own:

    format = "caregap-feed/1"
    identifier = "hetu"         # or "opaque": a key that the source made up
    generated = false           # true only where nobody's data is in it
"""

import contextlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.areas import load_areas
from schemas.errors import SourceRefused, UsageRefused
from schemas.table import Column, Kind, Table
from schemas.tables import IDENTITY_LINK, SOURCE_TABLES
from transforms.sources import Remark
from transforms.sources.files import columns_of, csv_batches, parquet_batches, quotation_marks, rows_about

FORMAT = "caregap-feed/1"
_SAMPLE_ROWS = 10_000
_BESIDE = {"feed.toml", "areas.csv", "truth"}
_TABLE_FILE = re.compile(r"\.(csv|parquet)(\.(gz|bz2|xz|zst|zip))?$", re.IGNORECASE)
_FLAGS = ["true", "false", "t", "f", "yes", "no", "1", "0"]
_HOW_TO_WRITE = {
    Kind.TEXT: "Write it as text",
    Kind.CODE: "Write it as text",
    Kind.DATE: "Write dates as YYYY-MM-DD, in Parquet as date or timestamp",
    Kind.INTEGER: "Write it as a whole number",
    Kind.DECIMAL: "Write it as a number",
    Kind.FLAG: "Write it as true or false, in Parquet as boolean",
}


class FeedSource:
    """A feed folder as a source. Raises SourceRefused where the folder or its feed.toml is not one."""

    kind = "feed"

    def __init__(self, directory: Path, *, increment: bool = False) -> None:
        """Look at the folder and its feed.toml; no table is opened yet. An increment may lack any table."""
        if not directory.is_dir():
            raise SourceRefused("there is no such folder", "Give the folder that holds the feed")
        self._directory, self._increment = directory, increment
        self._remarks: dict[Remark, None] = {}
        terms = _feed_terms(directory / "feed.toml")
        self.identifier: str = terms["identifier"]
        self.generated: bool = terms["generated"]

    def areas(self) -> pl.DataFrame | None:
        """Give the geography of areas.csv, or None where the feed has none."""
        path, refused = self._directory / "areas.csv", None
        if not path.exists():
            return None
        try:
            return load_areas(path)
        except UsageRefused as refusal:
            refused = refusal
        raise SourceRefused(refused.rule, refused.next_step, "areas", refused.column, refused.count)

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Check every file first, then yield table name and rows: identity links, then persons, then the rest."""
        self._remarks = {}
        files = self._checked_files()
        for table in sorted(files, key=lambda name: (name != IDENTITY_LINK, name != "person")):
            for path in files[table]:
                for rows in _batches(path, table):
                    yield table, _as_declared(rows, SOURCE_TABLES[table])

    def remarks(self) -> list[Remark]:
        """Tell what was noticed; complete once `batches` has been read to its end."""
        return list(self._remarks)

    def rows_expected(self) -> int | None:
        """Row count of the Parquet files, and an estimate from the size of the CSV files."""
        return rows_about([path for table in SOURCE_TABLES for path in self._files(table)])

    def _files(self, table: str) -> list[Path]:
        """Files of a table, in order of name; SourceRefused where it stands there in two forms."""
        forms = [[path] for end in (".parquet", ".csv") if (path := self._directory / f"{table}{end}").exists()]
        for end in ("*.parquet", "*.csv"):
            forms += [parts] if (parts := sorted((self._directory / table).glob(end))) else []
        if len(forms) > 1:
            raise SourceRefused("the table is there in more than one form", "Keep one of them", table)
        root = self._directory.resolve()
        for path in (path for form in forms for path in form):
            if not path.resolve().is_relative_to(root):
                raise SourceRefused("a link leads out of the feed's folder", "Put the file itself there", table)
        return forms[0] if forms else []

    def _checked_files(self) -> dict[str, list[Path]]:
        """Files by table once each has been opened and its columns and first rows have been looked at."""
        files = {table: self._files(table) for table in SOURCE_TABLES}
        if not files["person"] and not self._increment:
            raise SourceRefused("the table is missing", "Add person.parquet or person.csv to the feed", "person")
        for table, paths in files.items():
            if not paths and SOURCE_TABLES[table].crosses and not self._increment:
                self._remark(table, None, "the table is not in the feed")
            rows = sum(self._check_file(path, SOURCE_TABLES[table]) for path in paths)
            if table == "person" and not rows and not self._increment:
                raise SourceRefused("the table has no rows", "Give a feed with persons in it", "person")
        known = {path for paths in files.values() for path in paths}
        entries = [
            path for path in self._directory.iterdir() if path.name not in _BESIDE and path.name not in SOURCE_TABLES
        ]
        entries += [
            path for table in SOURCE_TABLES if (folder := self._directory / table).is_dir() for path in folder.iterdir()
        ]
        strangers = [path for path in entries if path not in known and not path.name.startswith((".", "_"))]
        for path in strangers:
            table = path.parent.name if path.parent != self._directory else path.name.lower().partition(".")[0]
            if table in SOURCE_TABLES and _TABLE_FILE.search(path.name):
                rule = "a file of the table is compressed, or its name is not in small letters"
                raise SourceRefused(rule, "Unpack it, and name it as the table", table)
        if strangers:
            self._remark("feed", None, "files that are no table of a feed were left out", len(strangers))
        return files

    def _check_file(self, path: Path, table: Table) -> int:
        """Rows, of CSV those looked at. SourceRefused where a required column is missing or one is of a wrong type."""
        present = columns_of(path, table.name)
        if len(set(present)) < len(present):
            raise SourceRefused("two columns have the same name", "Rename or remove one of them", table.name)
        for column in table.columns:
            if column.name in present:
                continue
            if column.required:
                raise SourceRefused("the required column is missing", "Add it to the feed", table.name, column.name)
            self._remark(table.name, column.name, "the column is not in the feed")
        for name in present:
            if name not in table.names:
                self._remark(table.name, name, "the column is not one of the table's and was left out")
        if path.suffix == ".csv" and quotation_marks(path) % 2:
            raise SourceRefused("a quotation mark is not closed", "Double those within values", table.name)
        rows, doubtful = _by_type(path, table, present)
        if doubtful:
            first = next(_batches(path, table.name, _SAMPLE_ROWS), pl.DataFrame()).head(_SAMPLE_ROWS)
            rows = max(rows, first.height)
            for name in set(doubtful) & set(first.columns):
                if not _is_of_type(first[name], table.column(name)):
                    kind = table.column(name).kind
                    raise SourceRefused(f"the column is no {kind} column", _HOW_TO_WRITE[kind], table.name, name)
        return rows

    def _remark(self, table: str, column: str | None, rule: str, count: int | None = None) -> None:
        self._remarks[Remark(table, column, rule, count)] = None


def _batches(path: Path, table: str, first_rows: int | None = None) -> Iterator[pl.DataFrame]:
    """Rows of a feed file in batches, at least the first; SourceRefused where it cannot be read to its end."""
    if path.suffix == ".csv":
        return csv_batches(path, table, columns_of(path, table))
    return parquet_batches(path, table, first_rows)


def _by_type(path: Path, table: Table, present: list[str]) -> tuple[int, list[str]]:
    """Rows that a file is known to have, and those of the table's columns whose values must be looked at.

    Of Parquet the types of most columns say what they are, without a value of them being read.
    """
    known = [name for name in present if name in table.names]
    if path.suffix == ".csv":
        return 0, known
    schema = None
    with contextlib.suppress(OSError, pa.ArrowException, pl.exceptions.PolarsError):
        rows, schema = pq.read_metadata(path).num_rows, pl.read_parquet_schema(path)
    if schema is None:
        raise SourceRefused("the file cannot be read as Parquet", "Export it again", table.name)
    return rows, [name for name in known if not _fits(schema[name], table.column(name).kind)]


def _fits(dtype: pl.DataType, kind: Kind) -> bool:
    """Whether values of a type are of a kind, whatever they are."""
    if kind in (Kind.TEXT, Kind.CODE):
        return dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_integer()
    if kind is Kind.DATE:
        return dtype in (pl.Date, pl.Datetime)
    return dtype == pl.Boolean if kind is Kind.FLAG else dtype.is_numeric()


def _is_of_type(values: pl.Series, column: Column) -> bool:
    """Whether a column can be what it is declared as: by its type, or where it is text by any of its values."""
    kind, dtype = column.kind, values.dtype
    if dtype == pl.Null or values.null_count() == len(values):
        return True
    if dtype == pl.String and kind not in (Kind.TEXT, Kind.CODE):
        text = values.drop_nulls().str.strip_chars()
        if kind is Kind.DATE:
            return text.str.contains(r"^(\d{4}-\d{2}-\d{2}|\d{1,2}\.\d{1,2}\.\d{4}$)").any()
        if kind is Kind.FLAG:
            return text.str.to_lowercase().is_in(_FLAGS).any()
        return text.str.contains(r"^[<>]?=?\s*[-+]?[\d.,]*\d").any()
    return _fits(dtype, kind)


def _as_declared(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The table's own columns; a timestamp is reduced to the day that it shows, text that came as a number is text."""
    known = rows.select(name for name in rows.columns if name in table.names)
    changes = []
    for name, dtype in known.schema.items():
        kind = table.column(name).kind
        if kind is Kind.DATE and dtype == pl.Datetime:
            changes.append(pl.col(name).dt.date())
        elif (kind in (Kind.TEXT, Kind.CODE) and dtype != pl.String) or dtype == pl.Null:
            changes.append(pl.col(name).cast(table.source_schema[name]))
    return known.with_columns(changes)


def _feed_terms(path: Path) -> dict[str, Any]:
    """What feed.toml says, or the defaults where there is none."""
    terms: dict[str, Any] = {"format": FORMAT, "identifier": "hetu", "generated": False}
    if not path.exists():
        return terms
    given: dict[str, Any] | None = None
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError):
        given = None
    if given is None:
        raise SourceRefused("feed.toml is not valid TOML", "Correct it; a TOML checker names the line")
    if given.get("format") != FORMAT:
        raise SourceRefused("feed.toml: the format is not one that is known", f'Write format = "{FORMAT}"')
    terms |= given
    if terms["identifier"] not in ("hetu", "opaque"):
        raise SourceRefused("feed.toml: identifier must be hetu or opaque", "Correct it")
    if not isinstance(terms["generated"], bool):
        raise SourceRefused("feed.toml: generated must be true or false", "Correct it")
    return terms
