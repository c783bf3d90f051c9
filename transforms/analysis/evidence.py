"""Why a gap is open: what is known of each person for the clauses that would have closed it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import polars as pl

from schemas.codelists import CodeList, load_codelists
from schemas.indicators import Age, Events, Indicator, Leaf, Period, Selected, leaves
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.analysis.coding import coded
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate
from transforms.analysis.lake import PERSONS_AT_ONCE, Files, Lake
from transforms.analysis.selects import select_rows

_CLAUSE_SCHEMA: dict[str, pl.DataType] = {
    "clause": pl.String(),
    "holds": pl.Boolean(),
    "last_date": pl.Date(),
    "last_code": pl.String(),
    "last_value": pl.Float64(),
    "last_unit": pl.String(),
    "expected_by": pl.Date(),
    "selected": pl.String(),
}
EVIDENCE_SCHEMA: dict[str, pl.DataType] = {
    "indicator": pl.String(),
    "as_of": pl.Date(),
    PERSON_NUMBER: pl.Int32(),
    "status": pl.String(),
    "reason": pl.String(),
    "newcomer_status": pl.String(),
    "evidence": pl.List(pl.Struct(_CLAUSE_SCHEMA)),
}
"""One row per person number; `evidence` is empty unless the gap is open, to somebody counted or to a newcomer.

Newcomers are a stratum of their own: excluded for nothing but a too short residence, with the `newcomer_status` open,
closed or declined that they would have. It is null for everybody else.

It has an item for each part of the clause that closes the gap: `clause` in a few words, and whether it `holds`. Where
the part counts rows of a table: `last_date`, the day of the latest row that has begun, inside the look-back or before
it, with its code, value and unit; all empty where there never was one. `expected_by` is that day with the look-back and
the grace added; for what is due at an age, the month of birth with the age and the grace. Where the part is a named
SELECT: `selected`, every row that it gives for the person, as JSON.
"""


def evidence(
    files: Files,
    indicator: Indicator,
    as_of: date,
    areas: pl.DataFrame,
    codelists: Mapping[str, CodeList] | None = None,
    persons_at_once: int = PERSONS_AT_ONCE,
    *,
    for_outreach: bool,
) -> pl.DataFrame:
    """One row per person number with the status, and for an open gap what is known of it; EVIDENCE_SCHEMA.

    `files` and `areas` as for `evaluate`. `for_outreach` leaves out who must not be contacted, as `statuses_at` does;
    nobody who has objected has another status than not_applicable, and so no evidence. Raises as `evaluate` does.
    """
    known = codelists or load_codelists()
    blocks = [
        _of_block(lake, indicator, as_of, areas, known, for_outreach=for_outreach)
        for lake in Lake(files).blocks(persons_at_once)
    ]
    return pl.concat(blocks)


def _of_block(
    lake: Lake,
    indicator: Indicator,
    as_of: date,
    areas: pl.DataFrame,
    known: Mapping[str, CodeList],
    *,
    for_outreach: bool,
) -> pl.DataFrame:
    parts = list(dict.fromkeys(leaves(indicator.closed)))
    # A part by itself is an indicator of everybody that is closed where the part holds.
    alone = [
        replace(
            indicator,
            id=f"part {number}",
            population=Age(),
            closed=part,
            exclusions=(),
            declined=None,
        )
        for number, part in enumerate(parts)
    ]
    statuses = evaluate(lake, [indicator, *alone], [as_of], (0,), areas, known)
    everybody = statuses_at(statuses, indicator.id, as_of, for_outreach=for_outreach)
    is_open = (pl.col("status") == "open") | (pl.col("newcomer_status") == "open").fill_null(value=False)
    people = everybody.filter(is_open).select(PERSON_NUMBER)
    items = []
    for number, part in enumerate(parts):
        status = statuses.of[f"part {number}"]
        holds = pl.DataFrame({PERSON_NUMBER: status.persons[status.closed > 0]}).with_columns(holds=True)
        found = _found(lake, part, as_of, people, indicator.grace, known)
        items.append(
            people.join(holds, on=PERSON_NUMBER, how="left", maintain_order="left")
            .join(found, on=PERSON_NUMBER, how="left", maintain_order="left")
            .with_columns(pl.col("holds").fill_null(value=False), clause=pl.lit(str(part)))
            .select(PERSON_NUMBER, pl.struct(_typed(found)).alias("evidence"))
        )
    gathered = pl.concat(items).group_by(PERSON_NUMBER, maintain_order=True).agg("evidence")
    return (
        everybody.join(gathered, on=PERSON_NUMBER, how="left", maintain_order="left")
        .with_columns(pl.col(PERSON_NUMBER) + lake.offset, pl.col("evidence").fill_null([]))
        .with_columns(indicator=pl.lit(indicator.id), as_of=pl.lit(as_of))
        .select(pl.col(name).cast(kind) for name, kind in EVIDENCE_SCHEMA.items())
    )


def _typed(found: pl.DataFrame) -> list[pl.Expr]:
    there = {"clause", "holds", *found.columns}
    return [
        (pl.col(name) if name in there else pl.lit(None)).cast(kind).alias(name)
        for name, kind in _CLAUSE_SCHEMA.items()
    ]


def _found(
    lake: Lake, part: Leaf, as_of: date, people: pl.DataFrame, grace: Period | None, codelists: Mapping[str, CodeList]
) -> pl.DataFrame:
    """One row per person with anything to tell of a part, with some of the columns of an item."""
    if isinstance(part, Events):
        return _latest(lake, part, as_of, people, grace, codelists)
    if isinstance(part, Selected):
        return _selected(lake, part, as_of, people)
    return people.clear()


def _latest(
    lake: Lake,
    part: Events,
    as_of: date,
    people: pl.DataFrame,
    grace: Period | None,
    codelists: Mapping[str, CodeList],
) -> pl.DataFrame:
    table = TABLES[part.table]
    rows = lake.scan(table).filter(pl.col("event_date") <= as_of)
    if part.codes:
        rows = rows.filter(coded([codelists[name] for name in part.codes], table.column("code_system").terms))
    for column, values in part.where:
        rows = rows.filter(pl.col(column).is_in(list(values)))
    for column, values in part.where_not:
        rows = rows.filter(~pl.col(column).is_in(list(values)).fill_null(value=False))
    told = [name for name in ("code", "value", "unit") if name in table.names]
    latest = (
        rows.join(people.lazy(), on=PERSON_NUMBER, how="semi")
        .select(PERSON_NUMBER, last_date="event_date", **{f"last_{name}": name for name in told})
        .sort(PERSON_NUMBER, "last_date", *(f"last_{name}" for name in told), nulls_last=False)
        .unique(PERSON_NUMBER, keep="last", maintain_order=True)
        .collect(engine="streaming")
    )
    if part.within:
        return latest.with_columns(expected_by=_later(_later(pl.col("last_date"), part.within), grace))
    if part.from_age:
        births = lake.scan(TABLES["person"]).select(PERSON_NUMBER, "birth_date").collect()
        due = _later(_later(pl.col("birth_date"), part.from_age), grace)
        born = people.join(births, on=PERSON_NUMBER, how="left").select(PERSON_NUMBER, expected_by=due)
        return born.join(latest, on=PERSON_NUMBER, how="left")
    return latest


def _selected(lake: Lake, part: Selected, as_of: date, people: pl.DataFrame) -> pl.DataFrame:
    rows = select_rows(lake, part, as_of)
    told = [name for name in rows.columns if name not in (PERSON_NUMBER, "as_of")]
    written = pl.struct(told).struct.json_encode() if told else pl.lit("{}")
    return (
        rows.with_columns(pl.col(PERSON_NUMBER).cast(pl.Int32))
        .join(people, on=PERSON_NUMBER, how="semi")
        .select(PERSON_NUMBER, written=written)
        .sort(PERSON_NUMBER, "written")
        .group_by(PERSON_NUMBER, maintain_order=True)
        .agg(selected=pl.format("[{}]", pl.col("written").str.join(", ")))
    )


def _later(day: pl.Expr, period: Period | None) -> pl.Expr:
    """The day a period later; a month that is too short gives its last day."""
    if period is None:
        return day
    return day.dt.offset_by(f"{period.count}{'mo' if period.unit == 'months' else 'd'}")
