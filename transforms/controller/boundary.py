"""What may leave the controller zone: checked on the files that were written, not on the frames they came from."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from schemas.errors import BoundaryRefused
from schemas.policy import Policy
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES

_PHYSICAL: dict[type[pl.DataType], tuple[str, str]] = {
    pl.Int32: ("INT32", "None"),
    pl.Float64: ("DOUBLE", "None"),
    pl.Boolean: ("BOOLEAN", "None"),
    pl.Date: ("INT32", "Date"),
    pl.String: ("BYTE_ARRAY", "String"),
    pl.Binary: ("BYTE_ARRAY", "None"),
}
"""Physical and logical Parquet type that each declared type is written as."""
_DERIVED = (PERSON_NUMBER, "pseudonym", "record_key")
"""Columns that hold no source value; every table may have them."""
IDENTITY_CODE = r"(^|[^0-9])[0-3][0-9][01][0-9][0-9]{2}[-+A-FU-Y][0-9]{3}[0-9A-Y]([^0-9A-Z]|$)"


def check_boundary(files: Mapping[str, Sequence[Path]], policy: Policy) -> None:
    """Refuse files that hold a column, a type or a value that was not approved to cross.

    Raises BoundaryRefused, naming table, column, rule and count.
    """
    for name, paths in files.items():
        check_approved(name, policy)
        for path in paths:
            check_types(name, path)
            check_values(name, path)


def check_approved(name: str, policy: Policy) -> None:
    """Refuse a table whose columns the approved inventory does not cover, or covers differently."""
    declared = {column.name for column in TABLES[name].platform_columns}
    for column in sorted(declared - set(policy.inventory.get(name, ()))):
        raise BoundaryRefused(
            "the column is not in the approved inventory",
            f"Renew the impact assessment ({policy.assessment}), then add the column to [inventory] in policy.toml",
            table=name,
            column=column,
        )


def check_types(name: str, path: Path) -> None:
    """Refuse a Parquet file whose columns or their types are not exactly the declared ones."""
    expected = TABLES[name].platform_schema
    schema = pq.ParquetFile(path).schema
    found = {column.name: column for column in (schema.column(index) for index in range(len(schema)))}
    for column in [*(set(found) - set(expected)), *(set(expected) - set(found))]:
        raise BoundaryRefused("the column is not as declared", "Correct the code", table=name, column=_safe(column))
    for column, dtype in expected.items():
        physical, logical = _PHYSICAL[type(dtype)]
        if found[column].physical_type != physical or found[column].logical_type.type.title() != logical.title():
            raise BoundaryRefused("the type is not the declared one", "Correct the code", table=name, column=column)


def check_values(name: str, path: Path) -> None:
    """Refuse a file in which a text value looks like a personal identity code."""
    texts = [column for column, dtype in TABLES[name].platform_schema.items() if dtype == pl.String]
    for column in texts:
        values = pl.scan_parquet(path).select(pl.col(column).drop_nulls().unique()).collect().to_series()
        if count := int(values.str.to_uppercase().str.contains(IDENTITY_CODE).sum()):
            raise BoundaryRefused(
                "values look like personal identity codes", "Correct the source", table=name, column=column, count=count
            )


def _safe(column: str) -> str:
    """A column name that may be shown: one that is no word of ours may itself be a value."""
    return column if re.fullmatch(r"[a-z_]{1,40}", column) else "?"
