"""Small lakes for tests, written from rows in plain Python."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from schemas.tables import TABLES

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
_OLD = date(2019, 1, 1)
RECORDS: dict[str, dict[str, Any]] = {
    "diagnosis": {"code_system": "icd10", "code": "I10", "event_date": _OLD},
    "residence": {"area_code": "101"},
    "appointment": {"status": "cancelled_by_provider", "reason": "pandemic", "event_date": _OLD},
}
"""What a row says, but for whose it is, in a table of events with a code, without dates, and of episodes."""


def write_lake(folder: Path, rows: Rows, *, parts: int = 1) -> dict[str, list[str]]:
    """Write tables as the lake lays them out, in `parts` files each; a table without rows has no file."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[str]] = {}
    for name, records in rows.items():
        schema = TABLES[name].platform_schema
        unknown = {column for record in records for column in record} - set(schema)
        assert not unknown, f"{name} has no {unknown}"
        filled = [{column: record.get(column) for column in schema} for record in records]
        frame = pl.DataFrame(filled, schema=schema).sort(TABLES[name].order, nulls_last=False)
        for part in range(parts):
            piece = frame.gather_every(parts, part)
            if piece.height:
                path = folder / f"{name}-{part}.parquet"
                piece.write_parquet(path)
                files.setdefault(name, []).append(str(path))
    return files
