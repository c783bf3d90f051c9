"""The files of a FHIR Bulk Data export: found by what is in them, read in blocks, plain or gzip."""

import contextlib
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json

from schemas.errors import SourceRefused
from transforms.sources.fhir_schemas import SCHEMAS, VERSIONS
from transforms.sources.notes import Notes

BLOCK_BYTES = 32 << 20
"""JSON is parsed in blocks of this size; a line must fit in one."""
_ENDS = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_BATCH_ROWS = 100_000
_AGAIN = "Export it again, as FHIR R4 Bulk Data (NDJSON)"
_TYPE = re.compile(r"[A-Z][A-Za-z]+")


class FhirFiles:
    """Files by resource type, whatever they are called: of each the first resource tells what it holds.

    `left_out` counts those of no type that is read. Raises SourceRefused where there is no such folder.
    """

    def __init__(self, directory: Path) -> None:
        """Find the files, in the folder and those below it."""
        if not directory.is_dir():
            raise SourceRefused("there is no such folder", "Give the folder of a FHIR Bulk Data export")
        self._files: dict[str, list[Path]] = {}
        self._older: dict[str, pl.Series] = {}
        self.left_out = 0
        for path in sorted(directory.rglob("*")):
            if not path.is_file() or path.name.startswith((".", "_")):
                continue
            is_read = path.name.lower().endswith(_ENDS)
            if is_read and not (head := _head(path)):
                continue
            kind = _resource_type(head, path.name) if is_read else None
            if kind in SCHEMAS:
                self._files.setdefault(kind, []).append(path)
            else:
                self.left_out += 1

    def __contains__(self, kind: str) -> bool:
        """Whether there is a file of a resource type."""
        return kind in self._files

    def paths(self, kind: str) -> list[Path]:
        """Give the files of a resource type."""
        return self._files.get(kind, [])

    def rows(self, kind: str, notes: Notes | None = None) -> Iterator[pl.DataFrame]:
        """Resources of a type with the elements of `fhir_schemas`, absent ones null.

        Raises SourceRefused where a file cannot be read to its end or an element is not of FHIR R4's type.
        """
        parts: list[pl.DataFrame] = []
        older, place = self._superseded(kind), 0
        for path in self.paths(kind):
            for block in _blocks(path, kind, SCHEMAS[kind]):
                rows = block.filter(pl.col("resourceType") == kind)
                latest = rows
                if len(older):
                    places = pl.int_range(place, place + rows.height, dtype=pl.UInt32, eager=True)
                    latest = rows.filter(~places.is_in(older.implode()))
                place += rows.height
                if notes is not None:
                    rule = "lines of another resource type, or of none, were left out"
                    notes.count(kind, None, rule, block.height - rows.height)
                    rule = "a later version of the resource is there: the earlier was left out"
                    notes.count(kind, None, rule, rows.height - latest.height)
                parts.append(latest.drop("resourceType"))
                if sum(part.height for part in parts) >= _BATCH_ROWS:
                    yield pl.concat(parts)
                    parts = []
        if parts:
            yield pl.concat(parts)

    def _superseded(self, kind: str) -> pl.Series:
        """Places of the resources of a type that have a later version, by meta.lastUpdated and then by versionId.

        Of versions that do not tell, the one that comes last stands, as of every record.
        """
        if kind not in self._older:
            parts = [pl.DataFrame(schema={"id": pl.UInt64, "updated": pl.Datetime("us", "UTC"), "version": pl.Int64})]
            for path in self.paths(kind):
                for block in _blocks(path, kind, VERSIONS):
                    meta = pl.col("meta").struct
                    updated = meta.field("lastUpdated").str.to_datetime("%+", time_unit="us", strict=False)
                    version = meta.field("versionId").cast(pl.Int64, strict=False)
                    rows = block.filter(pl.col("resourceType") == kind)
                    number = pl.when(pl.col("id").is_not_null()).then(pl.col("id").hash())
                    parts.append(rows.select(number.alias("id"), updated=updated, version=version))
            every = pl.concat(parts).with_row_index("place").drop_nulls("id").filter(pl.col("id").is_duplicated())
            every = every.sort("id", "updated", "version", "place", nulls_last=False)
            is_older = pl.any_horizontal(
                pl.col(name).ne_missing(pl.col(name).last().over("id")) for name in ("updated", "version")
            )
            self._older[kind] = every.filter(is_older)["place"]
        return self._older[kind]


def _head(path: Path) -> bytes:
    """How a file begins, without blanks; a brace where it cannot be read."""
    head = b"{"
    with contextlib.suppress(OSError, pa.ArrowException), _opened(path) as stream:
        head = stream.read(BLOCK_BYTES if path.stat().st_size < BLOCK_BYTES else 1 << 20)
    return head.removeprefix(BOM_UTF8).strip()


def _opened(path: Path) -> Any:
    return pa.input_stream(str(path), compression="gzip" if path.suffix.lower() == ".gz" else None)


def _resource_type(head: bytes, name: str) -> str | None:
    """What the first resource is, an OperationOutcome apart, or else what the file's name says, or None."""
    for line in BytesIO(head):
        told: Any = None
        with contextlib.suppress(ValueError):
            told = json.loads(line)
        kind = told.get("resourceType") if isinstance(told, dict) else None
        if isinstance(kind, str) and kind != "OperationOutcome":
            return kind
        if kind is None and line.strip():
            break
    return next((word for word in _TYPE.findall(name) if word in SCHEMAS), None)


def _blocks(path: Path, kind: str, schema: pa.Schema) -> Iterator[pl.DataFrame]:
    """Resources of a file, block by block. Arrow's own error may quote a line, so it is not the cause of ours."""
    rule, column = "", None
    try:
        with _opened(path) as stream:
            reader = pa_json.open_json(
                stream,
                pa_json.ReadOptions(block_size=BLOCK_BYTES),
                pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
            for batch in reader:
                if batch.num_rows:
                    batch.validate(full=True)  # the parser takes bytes that are no text
                    yield pl.DataFrame(pl.from_arrow(batch))
    except pa.ArrowInvalid as error:
        rule, column = _what_is_wrong(str(error))
    except (OSError, UnicodeError, pa.ArrowException, pl.exceptions.PolarsError):
        rule = "the file cannot be read to its end"
    if rule:
        raise SourceRefused(rule, _AGAIN, kind, column)


def _what_is_wrong(text: str) -> tuple[str, str | None]:
    """The rule that a line breaks, and the element where it is one of ours; nothing of the line itself."""
    if "straddl" in text:
        return f"a line is longer than {BLOCK_BYTES >> 20} MB", None
    if "UTF8" in text:
        return "the file is not UTF-8", None
    found = re.search(r"Column\(/([A-Za-z/\[\]]*)\) changed from", text)
    if found is None:
        return "a line is not valid JSON", None
    path = [word for word in found[1].replace("[]", "").split("/") if word]
    return "an element is not of the type that FHIR R4 gives it", ".".join(path) or None
