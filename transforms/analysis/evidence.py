"""Why a gap is open: what is known of each person for the clauses that would have closed it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import polars as pl

from schemas.codelists import CodeList, load_codelists
from schemas.indicators import Age, Events, Gap, Indicator, Period, Selected, leaves
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.analysis.coding import coded
from transforms.analysis.counts import statuses_at
from transforms.analysis.days import day_numbers, season_days
from transforms.analysis.evaluation import evaluate
from transforms.analysis.features import counting_rows
from transforms.analysis.lake import PERSONS_AT_ONCE, Files, Lake
from transforms.analysis.persons import read_persons
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

It has an item for each part of the clause that closes the gap: `clause` in a few words, and whether it `holds`.
`last_date` is the day of the latest row that the part looks at and that has begun, inside the look-back or before it,
with its code, value and unit; all empty where there never was one. `expected_by` is the day by which something was
expected:

- within a look-back, that day with the look-back added, from which the gap counts as open; the as-of date where there
  is no such day, or it alone does not close the gap
- after something else, which is then what `last_date` is of, the last day on which it could follow; of several, the
  latest that nothing followed
- at an age, the last day of that age, or the first where there is no last; as exact as the date of birth
- in a season, the last of its days that has come
- in a named SELECT, its `due_date`, with its `event_date` as `last_date`, of the latest row that keeps the gap open;
  `selected` is every row that it gives for the person, as JSON
- of another gap, the latest such day of its parts that has come, with what is known of that part; one with a
  `last_date` where there is one
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
        _of_block(lake, indicator, as_of, areas, known, for_outreach=for_outreach).with_columns(
            pl.col(PERSON_NUMBER) + lake.offset
        )
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
    births = lake.scan(TABLES["person"]).select(PERSON_NUMBER, "birth_date").collect()
    people = everybody.filter(is_open).select(PERSON_NUMBER).join(births, on=PERSON_NUMBER, how="left")
    components = {component.id: component for component in indicator.components}
    items = []
    for number, part in enumerate(parts):
        status = statuses.of[f"part {number}"]
        holds = pl.DataFrame({PERSON_NUMBER: status.persons[status.closed > 0]}).with_columns(holds=True)
        found = people.join(holds, on=PERSON_NUMBER, how="left", maintain_order="left").with_columns(
            pl.col("holds").fill_null(value=False), clause=pl.lit(str(part))
        )
        if isinstance(part, Events):
            latest = _latest(lake, part, as_of, people, known)
            found = found.join(latest, on=PERSON_NUMBER, how="left", maintain_order="left")
            found = found.with_columns(expected_by=_expected_by(part, as_of))
        elif isinstance(part, Selected):
            told = _selected(lake, part, as_of, people)
            found = found.join(told, on=PERSON_NUMBER, how="left", maintain_order="left")
        elif isinstance(part, Gap):
            other = _of_block(lake, components[part.indicator], as_of, areas, known, for_outreach=for_outreach)
            found = found.join(_due(other, as_of), on=PERSON_NUMBER, how="left", maintain_order="left")
        items.append(found.select(PERSON_NUMBER, pl.struct(_typed(found)).alias("evidence")))
    gathered = pl.concat(items).group_by(PERSON_NUMBER, maintain_order=True).agg("evidence")
    return (
        everybody.join(gathered, on=PERSON_NUMBER, how="left", maintain_order="left")
        .with_columns(pl.col("evidence").fill_null([]), indicator=pl.lit(indicator.id), as_of=pl.lit(as_of))
        .select(pl.col(name).cast(kind) for name, kind in EVIDENCE_SCHEMA.items())
    )


def _typed(found: pl.DataFrame) -> list[pl.Expr]:
    return [
        (pl.col(name) if name in found.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in _CLAUSE_SCHEMA.items()
    ]


def _latest(
    lake: Lake, part: Events, as_of: date, people: pl.DataFrame, codelists: Mapping[str, CodeList]
) -> pl.DataFrame:
    """One row per person with the latest row of a part."""
    table = TABLES[part.table]
    rows = lake.scan(table).filter(pl.col("event_date") <= as_of)
    if part.codes:
        rows = rows.filter(coded([codelists[name] for name in part.codes], table.column("code_system").terms))
    for column, values in part.where:
        rows = rows.filter(pl.col(column).is_in(list(values)))
    for column, values in part.where_not:
        rows = rows.filter(~pl.col(column).is_in(list(values)).fill_null(value=False))
    first: list[str] = []
    if part.follow:
        rows = rows.join(_followed(lake, part, as_of, codelists).lazy(), on=[PERSON_NUMBER, "event_date"])
        if part.value:
            bounds = (part.value.least, pl.col("value").ge), (part.value.below, pl.col("value").lt)
            rows = rows.filter(within(bound) for bound, within in bounds if bound is not None)
        first = ["is_missed"]
    told = [name for name in ("code", "value", "unit") if name in table.names]
    return (
        rows.join(people.lazy(), on=PERSON_NUMBER, how="semi")
        .select(PERSON_NUMBER, *first, last_date="event_date", **{f"last_{name}": name for name in told})
        .sort(PERSON_NUMBER, *first, "last_date", *(f"last_{name}" for name in told), nulls_last=False)
        .unique(PERSON_NUMBER, keep="last", maintain_order=True)
        .collect(engine="streaming")
    )


def _followed(lake: Lake, part: Events, as_of: date, codelists: Mapping[str, CodeList]) -> pl.DataFrame:
    """One row per person and day on which something is to be followed, and whether nothing that counts did."""
    if part.follow is None:
        raise AssertionError("nothing is to be followed")
    days, births = day_numbers([as_of]), read_persons(lake).births
    starts, missed = (
        pl.DataFrame(
            dict(zip((PERSON_NUMBER, "event_date"), counting_rows(lake, leaf, codelists, days, births), strict=True))
        )
        for leaf in (replace(part, follow=None), replace(part, follow=replace(part.follow, wanted=False)))
    )
    missed = missed.unique().with_columns(is_missed=True)
    both = starts.unique().join(missed, on=[PERSON_NUMBER, "event_date"], how="left")
    return both.with_columns(
        pl.col(PERSON_NUMBER).cast(pl.Int32),
        pl.col("event_date").cast(pl.Date),
        pl.col("is_missed").fill_null(value=False),
    )


def _expected_by(part: Events, as_of: date) -> pl.Expr:
    """The day by which rows of a part were expected; EVIDENCE_SCHEMA says which."""
    if part.follow:
        return _later(pl.col("last_date"), part.follow.end)
    if age := part.to_age or part.from_age:
        return _later(pl.col("birth_date"), age)
    if part.season:
        _, last = season_days(part.season, day_numbers([as_of]))
        return pl.lit(int(last[0])).cast(pl.Int32).cast(pl.Date)
    due = _later(pl.col("last_date"), part.within) if part.within else pl.lit(None, pl.Date)
    return pl.when("holds").then(due).otherwise(pl.min_horizontal(due, pl.lit(as_of)))


def _selected(lake: Lake, part: Selected, as_of: date, people: pl.DataFrame) -> pl.DataFrame:
    """One row per person with all rows that a SELECT gives, and the days of the latest that meets the conditions."""
    rows = select_rows(lake, part, as_of)
    told = [name for name in rows.columns if name not in (PERSON_NUMBER, "as_of")]
    written = pl.struct(told).struct.json_encode() if told else pl.lit("{}")
    days = {
        name: (pl.col(column) if column in told else pl.lit(None)).cast(pl.Date)
        for name, column in (("last_date", "event_date"), ("expected_by", "due_date"))
    }
    meets = pl.all_horizontal(True, *(pl.col(column).is_in(list(values)) for column, values in part.where))
    return (
        rows.with_columns(pl.col(PERSON_NUMBER).cast(pl.Int32))
        .join(people, on=PERSON_NUMBER, how="semi")
        .select(PERSON_NUMBER, **days, meets=meets, written=written)
        .sort(PERSON_NUMBER, "meets", *days, "written", nulls_last=False)
        .group_by(PERSON_NUMBER, maintain_order=True)
        .agg(pl.col(*days).last(), selected=pl.format("[{}]", pl.col("written").str.join(", ")))
    )


def _due(other: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per person of whom a gap is open, with what its evidence says of the latest day that has come."""
    return (
        other.filter(pl.col("status") == "open")
        .select(PERSON_NUMBER, "evidence")
        .explode("evidence")
        .unnest("evidence")
        .filter(pl.col("expected_by") <= as_of)
        .sort(PERSON_NUMBER, pl.col("last_date").is_not_null(), "expected_by", "last_date", "clause", nulls_last=False)
        .unique(PERSON_NUMBER, keep="last", maintain_order=True)
        .select(PERSON_NUMBER, *(name for name in _CLAUSE_SCHEMA if name not in ("clause", "holds", "selected")))
    )


def _later(day: pl.Expr, period: Period) -> pl.Expr:
    """The day a period later; a month that is too short gives its last day."""
    return day.dt.offset_by(f"{period.count}{'mo' if period.unit == 'months' else 'd'}")
