"""Cases of an indicator: persons with a handful of records, and the status that each must have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from schemas.areas import load_areas
from schemas.codelists import parse_toml
from schemas.errors import UsageRefused
from schemas.indicators import Indicator
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate

PERSON_KEYS = {"born": "birth_date", "sex": "sex", "died": "death_date"}
"""What a case says of the person, and the column of the person table that it stands for."""
_OWN_KEYS = ("name", "expect", "as_of")
_RECORDS = tuple(name for name in TABLES if name != "person")
_TYPES: dict[type[pl.DataType], tuple[type, ...]] = {
    pl.String: (str,), pl.Date: (date,), pl.Int32: (int,), pl.Float64: (float, int), pl.Boolean: (bool,),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One invented person; `records` by table. `expect` is a status, of excluded with its reason: "excluded: died"."""

    name: str
    expect: str
    as_of: date
    person: Mapping[str, Any]
    records: Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """What became of a case; `found` is written as `expect` is."""

    name: str
    expect: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether the person has the status that was expected."""
        return self.expect == self.found


def read_cases(file: str, text: str) -> list[Case]:
    """Read a file of cases: `as_of`, `[base]` with what every person has who does not say otherwise, and `[[case]]`.

    Raises UsageRefused with the file, the case or record and the mend.
    """
    raw = parse_toml(file, text)
    if not isinstance(raw.get("case"), list) or not raw["case"] or not isinstance(raw.get("base", {}), dict):
        _refuse(file, "case", "there is no case", "Write [[case]] with name and expect for each person")
    if unknown := set(raw) - {"as_of", "base", "case"}:
        _refuse(file, sorted(unknown)[0], "the key is unknown", "Use as_of, base, case")
    cases: list[Case] = []
    for number, own in enumerate(raw["case"], start=1):
        place = f"case[{number}]"
        if not isinstance(own, dict):
            _refuse(file, place, "it is not a table", "Write it as [[case]]")
        cases.append(_case(file, place, {"as_of": raw.get("as_of"), **raw.get("base", {}), **own}))
        if cases[-1].name in {case.name for case in cases[:-1]}:
            _refuse(file, f"{place}.name", "two cases have one name", "Name each for what it shows")
    return cases


def run_cases(indicator: Indicator, cases: Sequence[Case], folder: Path) -> list[Outcome]:
    """One outcome per case, in order. The small lake of these persons is written into `folder`, an empty one.

    Raises UsageRefused as `evaluate` does.
    """
    as_ofs = sorted({case.as_of for case in cases})
    statuses = evaluate(_write_lake(folder, cases), [indicator], as_ofs, [0], load_areas())
    found = {as_of: statuses_at(statuses, indicator.id, as_of, for_outreach=False).rows() for as_of in as_ofs}
    outcomes = []
    for number, case in enumerate(cases):
        _, status, reason, _ = found[case.as_of][number]
        outcomes.append(Outcome(case.name, case.expect, f"{status}: {reason}" if reason else status))
    return outcomes


def possible_statuses(indicator: Indicator) -> tuple[str, ...]:
    """Every status that a person can have, as `expect` is written; cases must reach each of them."""
    declined = ("declined",) if indicator.declined else ()
    reasons = (f"excluded: {exclusion.reason}" for exclusion in indicator.exclusions)
    return ("not_applicable", "open", "closed", *declined, *reasons)


def _case(file: str, place: str, raw: Mapping[str, Any]) -> Case:
    allowed = (*_OWN_KEYS, *PERSON_KEYS, *_RECORDS)
    for key in raw:
        if key not in allowed:
            _refuse(file, f"{place}.{key}", "the key is unknown", f"Use {', '.join(allowed)}")
    for key in ("name", "expect"):
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            _refuse(file, f"{place}.{key}", "it is missing", "Say what the case shows, and the status it must have")
    if type(raw["as_of"]) is not date:
        _refuse(file, f"{place}.as_of", "it is not a day", "Write it without quotes: 2023-03-31")
    person = {PERSON_KEYS[key]: raw[key] for key in PERSON_KEYS if key in raw}
    _check(file, place, TABLES["person"], person, {column: key for key, column in PERSON_KEYS.items()})
    records = {name: raw[name] for name in _RECORDS if name in raw}
    for name, rows in records.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            _refuse(file, f"{place}.{name}", "it must be a list of records", f"Write {name} = [{{ event_date = ... }}]")
        for number, row in enumerate(rows, start=1):
            _check(file, f"{place}.{name}[{number}]", TABLES[name], row, {})
    return Case(raw["name"], raw["expect"], raw["as_of"], person, records)


def _check(file: str, place: str, table: Table, row: Mapping[str, Any], written: Mapping[str, str]) -> None:
    """A record may have the columns of its table in the lake, each with a value of its type."""
    schema = {column.name: table.platform_schema[column.name] for column in table.platform_columns}
    for column, value in row.items():
        key = f"{place}.{written.get(column, column)}"
        if column not in schema:
            _refuse(file, key, "the table has no such column", f"Use {', '.join(schema)}")
        kinds = _TYPES[type(schema[column])]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds) or hasattr(value, "hour"):
            _refuse(file, key, f"the value is not of the column's type, {schema[column]}", "Correct it")


def _write_lake(folder: Path, cases: Sequence[Case]) -> dict[str, list[str]]:
    """A lake in which the n-th person is the n-th case; a table without rows has no file."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for number, case in enumerate(cases):
        rows["person"].append({PERSON_NUMBER: number, **case.person})
        for table, records in case.records.items():
            rows[table] += [{PERSON_NUMBER: number, **record} for record in records]
    files = {}
    for name, records in rows.items():
        if records:
            path = folder / f"{name}.parquet"
            frame = pl.DataFrame(records, schema=TABLES[name].platform_schema)
            frame.sort(TABLES[name].order, nulls_last=False).write_parquet(path)
            files[name] = [str(path)]
    return files


def _refuse(file: str, place: str, rule: str, mend: str) -> NoReturn:
    raise UsageRefused(rule, mend, table=file, column=place)
