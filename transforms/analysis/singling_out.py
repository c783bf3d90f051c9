"""How many persons of the platform could be told from the others by what somebody may know of them."""

from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from typing import Any

import duckdb
import polars as pl

from schemas.codelists import TREE_SYSTEMS, CodeList, load_codelists
from schemas.errors import PolicyRefused
from schemas.policy import SinglingOut
from schemas.tables import TABLES
from transforms.analysis.lake import Lake

KNOWN = ("birth_date", "sex", "area_code")
"""What neighbours know, as the platform stores it; the policy's limit is for these."""
FURTHER = ("death_month", "has_moved", "conditions")
"""What some know besides; `conditions` is the set of diagnosis code lists that the person has a code of."""


def singling_out(
    lake_files: Mapping[str, Sequence[str]],
    as_of: date,
    group_size: int,
    codelists: Mapping[str, CodeList] | None = None,
) -> list[dict[str, Any]]:
    """One row per set of attributes, KNOWN first: persons, groups, unique persons, persons in small groups, shares.

    A small group has fewer than `group_size` persons. Aggregates only.
    """
    with duckdb.connect() as connection:
        text = files(__package__).joinpath("sql", "singling_out.sql").read_text("utf-8")
        Lake(lake_files).views(connection, text)
        codes = connection.sql("SELECT DISTINCT code_system, code FROM diagnosis").pl()
        connection.register("condition", _conditions(codes, codelists or load_codelists()))
        found = connection.sql(text, params={"as_of": as_of, "group_size": group_size}).pl()
    return [
        {
            "attributes": [*KNOWN, *(name for bit, name in zip((4, 2, 1), FURTHER, strict=True) if not left_out & bit)],
            "persons": persons,
            "groups": groups,
            "unique_persons": unique,
            "persons_in_small_groups": small,
            "share_unique": round(unique / persons, 4),
            "share_in_small_groups": round(small / persons, 4),
        }
        for left_out, persons, groups, unique, small in found.iter_rows()
    ]


def shares(report: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The report without numbers of persons, for a manifest that is published."""
    return [{name: row[name] for name in ("attributes", "share_unique", "share_in_small_groups")} for row in report]


def check_singling_out(report: Sequence[Mapping[str, Any]], terms: SinglingOut, *, generated: bool) -> None:
    """Raise PolicyRefused where too many persons of a large source of real data are in small groups by KNOWN."""
    if generated or not report or report[0]["persons"] < terms.from_persons:
        return
    if report[0]["share_in_small_groups"] > terms.limit:
        raise PolicyRefused(
            f"too many persons share birth date, sex and district with fewer than {terms.group_size - 1} others",
            "Make birth_date in [generalise] coarser and load again; the report is platform/quality/singling_out.json",
            table="person",
            count=report[0]["persons_in_small_groups"],
        )


def _conditions(codes: pl.DataFrame, codelists: Mapping[str, CodeList]) -> pl.DataFrame:
    """One row per diagnosis code in use and code list that holds it."""
    systems = TABLES["diagnosis"].column("code_system").terms
    rows = [
        (system, code, name)
        for system, code in codes.iter_rows()
        for name, codelist in codelists.items()
        if system in systems and _holds(codelist.codes.get(system, ()), code, tree=system in TREE_SYSTEMS)
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("code_system", "code", "name"), pl.String), orient="row")


def _holds(codes: Sequence[str], code: str, *, tree: bool) -> bool:
    return code.startswith(tuple(codes)) if tree else code in codes
