"""What may leave the controller zone: checked on the files that were written, not on the frames they came from.

The files hold approved columns of the declared types and nothing beside them; their codes are written as codes are;
and nothing in them is an identity code, or a name, identifier, telephone number or address of the batch just read, in
whatever spelling or encoding, nor what an identifier becomes without a key. A refusal never shows what was found.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.areas import AREA_SCHEMA
from schemas.errors import BoundaryRefused
from schemas.policy import Policy
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.controller.blocks import WIDTH
from transforms.controller.canaries import Canaries
from transforms.controller.parquet import beside_pages, check_layout, dictionaries
from transforms.controller.pseudonymise import from_series
from transforms.controller.scan import (
    count_in_bytes,
    ends_identity_code,
    holds_identity_code,
    readings,
    split_identity_codes,
)
from transforms.controller.shapes import ill_shaped, most, public_words
from transforms.controller.traces import encoded_digests, kinds_of, whole_kinds

Files = Mapping[str, Sequence[Path]]

AREA = "area"
"""The geography, which crosses beside the tables: public names, and no column of a person."""
_PHYSICAL: dict[type[pl.DataType], tuple[str, str]] = {
    pl.Int32: ("INT32", "None"),
    pl.Int64: ("INT64", "None"),
    pl.Float64: ("DOUBLE", "None"),
    pl.Boolean: ("BOOLEAN", "None"),
    pl.Date: ("INT32", "Date"),
    pl.String: ("BYTE_ARRAY", "String"),
    pl.Binary: ("BYTE_ARRAY", "None"),
}
"""Physical and logical Parquet type that each declared type is written as."""
_FILE_NAME = r"(recent-)?[0-9]{4}\.parquet"
_MEND = "Nothing was written to the lake. Correct the source or the code, then load again"
_TOGETHER = 16
"""Files of one table whose keys are looked at together: a million rows."""
_WORKERS = 2
_LARGE = 1e7
"""Numbers below it are results and counts; a telephone number or the digits of an identity code are above."""
_BY_CHANCE = 0.05
"""Share of the large numbers of a column that may coincide with somebody's: chance makes it less than a hundredth."""


def check_boundary(files: Files, policy: Policy, canaries: Canaries | None = None) -> None:
    """Refuse files that hold a column, a type or a value that was not approved to cross.

    `files` by table; the geography's file may be among them as `area`. `canaries` has seen the batches that the files
    were made of. Raises BoundaryRefused, naming table, column, kind and count.
    """
    for name in files:
        check_approved(name, policy)
    forms = [partial(_check_form, name, path) for name, paths in files.items() for path in paths]
    beside = [partial(check_beside, name, paths, canaries) for name, paths in files.items()]
    _in_turn([*forms, *beside])
    persons = sum(pq.ParquetFile(path).metadata.num_rows for path in files.get("person", ()))
    areas = distinct_texts(AREA, files[AREA])["code"] if files.get(AREA) else None
    texts = [partial(_check_codes, name, paths, areas, canaries) for name, paths in files.items()]
    numbers = [partial(check_numbers, name, path, persons, canaries) for name, paths in files.items() for path in paths]
    binary = [
        partial(check_binary, name, paths[start : start + _TOGETHER], canaries)
        for name, paths in files.items()
        for start in range(0, len(paths), _TOGETHER)
    ]
    _in_turn([*texts, *numbers, *binary])


def _in_turn(checks: Sequence[Callable[[], None]]) -> None:
    """Make every check, two at a time; raises what the first of them that refuses does."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        for _ in pool.map(lambda check: check(), checks):
            pass


def _check_form(name: str, path: Path) -> None:
    check_name(name, path)
    check_format(name, path)
    check_types(name, path)
    check_metadata(name, path)
    check_bytes(name, path)


def _check_codes(name: str, paths: Sequence[Path], areas: pl.Series | None, canaries: Canaries | None) -> None:
    texts = distinct_texts(name, paths)
    check_shapes(name, texts, areas)
    check_texts(name, texts, canaries)
    check_split(name, texts, canaries)


def check_approved(name: str, policy: Policy) -> None:
    """Refuse a table whose columns the approved inventory does not cover, or covers differently."""
    if name == AREA:
        return
    if name not in TABLES:
        raise BoundaryRefused("the table is not one that crosses", _MEND, table=_safe(name))
    for column in sorted(set(TABLES[name].platform_schema) - set(policy.inventory.get(name, ()))):
        raise BoundaryRefused(
            "the column is not in the approved inventory",
            f"Renew the impact assessment ({policy.assessment}), then add the column to [[inventory]] in policy.toml",
            table=name,
            column=column,
        )


def check_name(name: str, path: Path) -> None:
    """Refuse a file whose name is not the table's or a number."""
    expected = name if name in (AREA, "person") else None
    if path.name != f"{expected}.parquet" and (expected or not re.fullmatch(_FILE_NAME, path.name)):
        raise BoundaryRefused("a file name is not one of ours", _MEND, table=name)


def check_format(name: str, path: Path) -> None:
    """Refuse a file that is not Parquet: a frame in another format may hold what its rows no longer show."""
    try:
        pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        readable = False
    else:
        readable = True
    if not readable:
        raise BoundaryRefused("a file is not Parquet", _MEND, table=name)


def check_types(name: str, path: Path) -> None:
    """Refuse a Parquet file whose columns or their types are not exactly the declared ones, in their order."""
    expected = _schema(name)
    schema = pq.ParquetFile(path).schema
    found = {column.path: column for column in (schema.column(index) for index in range(len(schema)))}
    for column in [*(set(found) - set(expected)), *(set(expected) - set(found))]:
        raise BoundaryRefused("the column is not as declared", _MEND, table=name, column=_safe(column))
    if list(found) != list(expected):
        raise BoundaryRefused("the columns are not in the declared order", _MEND, table=name)
    for column, dtype in expected.items():
        physical, logical = _PHYSICAL[type(dtype)]
        if found[column].physical_type != physical or found[column].logical_type.type.title() != logical.title():
            raise BoundaryRefused("the type is not the declared one", _MEND, table=name, column=column)


def check_metadata(name: str, path: Path) -> None:
    """Refuse a file with metadata of its own, or with bytes that belong to no column."""
    if fault := check_layout(path, list(_schema(name))):
        raise BoundaryRefused(fault, _MEND, table=name)


def check_bytes(name: str, path: Path) -> None:
    """Refuse a file whose bytes hold an identity code."""
    if count := count_in_bytes(np.memmap(path, dtype=np.uint8, mode="r")):
        raise BoundaryRefused("the bytes of a file hold identity codes", _MEND, table=name, count=count)


def check_beside(name: str, paths: Sequence[Path], canaries: Canaries | None) -> None:
    """Refuse files whose metadata hold an identifying text."""
    texts = pl.concat([pl.Series([], dtype=pl.String), *(beside_pages(path) for path in paths)]).unique()
    if canaries and (found := whole_kinds(texts, canaries)):
        kind, count = found
        raise BoundaryRefused(f"the metadata of a file hold a {kind} of the batch", _MEND, table=name, count=count)


def check_shapes(name: str, texts: Mapping[str, pl.Series], areas: pl.Series | None) -> None:
    """Refuse a code column with values that are not written as its codes, or too many different ones."""
    if name == AREA:
        return
    for column, values in texts.items():
        declared = TABLES[name].column(column)
        foreign = ill_shaped(values, TABLES[name], declared)
        if column == "area_code":
            foreign |= ~values.is_in(areas.implode()) if areas is not None else pl.Series([True])
        if count := int(foreign.sum()):
            raise BoundaryRefused("values are not codes of the column", _MEND, name, column, count)
        if len(values) > most(declared):
            raise BoundaryRefused("there are too many different values for codes", _MEND, name, column, len(values))


def check_texts(name: str, texts: Mapping[str, pl.Series], canaries: Canaries | None) -> None:
    """Refuse a text that is, holds or encodes an identity code or an identifying value of the batch."""
    for column, values in texts.items():
        if name != AREA and TABLES[name].column(column).terms:
            continue
        if count := sum(any(map(holds_identity_code, readings(value))) for value in values):
            raise BoundaryRefused("values hold identity codes", _MEND, name, column, count)
        if name != AREA and (count := sum(map(ends_identity_code, values))):
            raise BoundaryRefused("values are the end of an identity code", _MEND, name, column, count)
        if canaries is None:
            continue
        if count := encoded_digests(values, canaries):
            raise BoundaryRefused("values are digests of identifiers, made without a key", _MEND, name, column, count)
        # Districts are called what families are called; both names of a person side by side are no district.
        names = name != AREA and column != "area_code"
        if found := kinds_of(values, canaries, public_words(), names=names):
            kind, count = found
            raise BoundaryRefused(f"values hold a {kind} of the batch", _MEND, name, column, count)


def check_split(name: str, texts: Mapping[str, pl.Series], canaries: Canaries | None) -> None:
    """Refuse two code columns whose values put together are an identity code or an identifying value."""
    if name == AREA:
        return
    free = {column: values for column, values in texts.items() if not TABLES[name].column(column).terms}
    for left, heads in free.items():
        for right, ends in free.items():
            if left == right:
                continue
            if count := len(split_identity_codes(heads, ends)):
                raise BoundaryRefused(f"with {right}, values are identity codes", _MEND, name, left, count)
            if canaries and heads.len() * ends.len() <= 1 << 20:
                pairs = heads.to_frame("a").join(ends.to_frame("b"), how="cross").select(pl.col("a") + pl.col("b"))
                if found := whole_kinds(pairs.to_series(), canaries):
                    kind, count = found
                    raise BoundaryRefused(f"with {right}, values are a {kind} of the batch", _MEND, name, left, count)


def check_numbers(name: str, path: Path, persons: int, canaries: Canaries | None) -> None:
    """Refuse numbers out of their range, person numbers that are not dense, and digits of identifiers."""
    if name == AREA:
        return
    rows = pl.scan_parquet(path)
    number = pl.col(PERSON_NUMBER)
    strange = int(rows.select((number.is_null() | (number < 0) | (number >= max(persons, 1))).sum()).collect().item())
    if name == "person":
        strange += persons - int(rows.select(number.n_unique()).collect().item())
    if strange:
        raise BoundaryRefused("person numbers are not those of the persons", _MEND, name, PERSON_NUMBER, strange)
    for column in TABLES[name].platform_columns:
        values = pl.col(column.name)
        if column.minimum is not None and column.maximum is not None:
            outside = rows.select((~values.is_between(column.minimum, column.maximum)).sum()).collect().item()
            if outside:
                raise BoundaryRefused("values are out of range", _MEND, name, column.name, int(outside))
        if canaries and _schema(name)[column.name] == pl.Float64():
            whole = rows.select(values).filter((values >= _LARGE) & (values == values.round(0)))
            large = whole.unique().collect().to_series()
            count = int(canaries.has_number(large).sum()) if len(large) else 0
            if count > _BY_CHANCE * len(large):
                raise BoundaryRefused("values are the digits of identifiers", _MEND, name, column.name, count)


def check_binary(name: str, paths: Sequence[Path], canaries: Canaries | None) -> None:
    """Refuse pseudonyms and record keys that are not 16 bytes, are identifiers, or were made without a key."""
    for column in (column for column, dtype in _schema(name).items() if dtype == pl.Binary()):
        values = pl.read_parquet(list(paths), columns=[column]).to_series()
        if count := int((values.bin.size() != WIDTH).sum()):
            raise BoundaryRefused("values are not 16 bytes", _MEND, name, column, count)
        plain = values.drop_nulls()
        if count := count_in_bytes(from_series(plain)[0].reshape(-1)):
            raise BoundaryRefused("values are identity codes", _MEND, name, column, count)
        if canaries and (count := int(canaries.has_binary(column, plain).sum())):
            raise BoundaryRefused("values were made without a key", _MEND, name, column, count)


def distinct_texts(name: str, paths: Sequence[Path]) -> dict[str, pl.Series]:
    """The different values of each text column, those included that stand in a file and that no row has."""
    columns = [column for column, dtype in _schema(name).items() if dtype == pl.String()]
    return dictionaries(paths, columns)


def _schema(name: str) -> dict[str, pl.DataType]:
    return AREA_SCHEMA if name == AREA else TABLES[name].platform_schema


def _safe(column: str) -> str:
    """A name that may be shown: one that is no word of ours may itself be a value."""
    return column if column in _WORDS else "?"


_WORDS = {*TABLES, *(column for table in TABLES.values() for column in (*table.names, *table.platform_schema))}
