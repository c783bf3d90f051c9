"""A feed taken apart by the day on which the source learnt of each row: what was known first, and what each day added.

A row that changed later (a booked appointment that was kept, a request that was answered, a period that ended, a death,
a row that was taken back) is known as it stood first, and comes again, with the same `record_id`, on the day of the
change. A person comes again under the same identity code. Read in order, the last row of each record is the row of the
feed as one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

RECORDED = "recorded_date"


@dataclass(frozen=True)
class First:
    """How a row stood before its last news: known since `since`, with other values in some columns."""

    since: str
    before: Mapping[str, str | None] = field(default_factory=dict)


FIRST = {
    "appointment": First("booked_date", {"status": "booked", "status_date": None, "reason": None}),
    "contact_request": First("event_date", {"answered_date": None, "outcome": None}),
    "diagnosis": First("event_date", {"end_date": None}),
    "service_period": First("event_date", {"end_date": None}),
    "restriction": First("event_date", {"end_date": None}),
    "residence": First("from_date", {"to_date": None}),
    "person": First("birth_date", {"death_date": None}),
}
"""Tables whose rows have news; in the others a row is what it was, unless it is taken back."""
_TAKEN_BACK = First("event_date")


def split(table: str, rows: pl.DataFrame, base: date) -> dict[date | None, pl.DataFrame]:
    """Rows by the day on which they came; under None those known by the end of `base`, as they were known then.

    A row without a recorded date has been known from the first.
    """
    if RECORDED not in rows.columns:
        return {None: rows}
    lately = rows.filter(pl.col(RECORDED) > base)
    earlier = _as_known_first(table, lately)
    parts = [lately, earlier.filter(pl.col(RECORDED) > base)]
    found: dict[date | None, pl.DataFrame] = {
        None: pl.concat(
            [
                rows.filter((pl.col(RECORDED) > base).fill_null(value=False).not_()),
                earlier.filter(pl.col(RECORDED) <= base),
            ]
        )
    }
    for part in parts:
        for (day,), came in part.partition_by(RECORDED, as_dict=True, maintain_order=True).items():
            found[day] = pl.concat([found[day], came]) if day in found else came
    return found


def _as_known_first(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that were known in another form on a day before their recorded date, in that form."""
    first = FIRST.get(table, _TAKEN_BACK)
    if first.since not in rows.columns:
        return rows.clear()
    changed = pl.any_horizontal(
        pl.col("is_retracted"), *(pl.col(name).ne_missing(pl.lit(value)) for name, value in first.before.items())
    )
    known = rows.filter(changed & (pl.col(first.since).fill_null(date.min) < pl.col(RECORDED)))
    return known.with_columns(
        pl.col(first.since).fill_null(date(1900, 1, 1)).alias(RECORDED),
        *(pl.lit(value, rows.schema[name]).alias(name) for name, value in first.before.items()),
        is_retracted=pl.lit(value=False),
    )
