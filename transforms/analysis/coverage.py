"""How well the records behind the indicators cover the residents, month by month.

A gap closes when care is given, and also when care that was always given comes to be recorded. So beside the counts
stands how many of the residents have any record at all, how complete the rows are and how late they come, against the
12 months before: where recording has risen, a fall in gaps is not by itself better care.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.areas import UNKNOWN_AREA
from schemas.indicators import Events, Indicator, Period, Selected
from schemas.table import PERSON_NUMBER, Table
from schemas.tables import TABLES
from transforms.analysis.days import FAR_PAST, Days, day_numbers, days_before
from transforms.analysis.evaluation import Statuses, evaluate
from transforms.analysis.lake import PERSONS_AT_ONCE, Files, Lake, tables_named
from transforms.analysis.reading import person_numbers
from transforms.analysis.selects import select_text

MONTHS_BEFORE = 12
_FILES_AT_ONCE = 16
"""Files that are read together: some two million rows of a few numbers."""
CITY_TOTAL = "*"
COVERAGE_SCHEMA: dict[str, pl.DataType] = {
    "as_of": pl.Date(),
    "table": pl.String(),
    "month_end": pl.Date(),
    "area_code": pl.String(),
    "residents": pl.Int64(),
    "residents_with_record": pl.Int64(),
    "rows": pl.Int64(),
    "rows_without_code": pl.Int64(),
    "rows_without_value": pl.Int64(),
    "rows_with_delay": pl.Int64(),
    "delay_days": pl.Int64(),
}
"""One row per as-of date, table, month that ends on the same day of the month, and district (or unknown); counts.

Of those living in the area at the month's end, who are in any count: `residents_with_record` with a row in the month,
and their `rows`. Each month is seen as it was known at its own end: a row that was recorded later is not in it, since
the last month lacks such rows too. `delay_days` are the days from event to recording of the `rows_with_delay` together.
Columns that a table does not have are null.
"""
RISE = 0.1
"""From here on recording is called changed: a tenth more records closes about a tenth of the gaps by itself."""


def tables_used(indicator: Indicator) -> tuple[str, ...]:
    """Tables with events that an indicator is counted from, in alphabetical order."""
    found = {name for component in indicator.components for name in tables_used(component)}
    for leaf in indicator.leaves:
        if isinstance(leaf, Events):
            found |= {leaf.table, *(rows.table for rows in (leaf.follow.rows if leaf.follow else ()))}
        elif isinstance(leaf, Selected):
            found |= set(tables_named(select_text(leaf.name)))
    return tuple(sorted(name for name in found if "event_date" in TABLES[name].names))


def coverage(
    files: Files,
    indicators: Sequence[Indicator],
    as_of: date,
    areas: pl.DataFrame,
    persons_at_once: int = PERSONS_AT_ONCE,
) -> pl.DataFrame:
    """One row per table that the indicators use, month and area; COVERAGE_SCHEMA. Each file is read once.

    The month that ends on the as-of date, and MONTHS_BEFORE before it. So many persons are looked at in one go.
    """
    tables = sorted({name for indicator in indicators for name in tables_used(indicator)})
    blocks = [_of_block(lake, tables, as_of, areas) for lake in Lake(files).blocks(persons_at_once)]
    counts = [name for name, kind in COVERAGE_SCHEMA.items() if kind == pl.Int64]
    return blocks[0].with_columns(reduce(add, (block[name] for block in blocks)) for name in counts)


def _of_block(lake: Lake, tables: Sequence[str], as_of: date, areas: pl.DataFrame) -> pl.DataFrame:
    ends = np.concatenate(
        [days_before(day_numbers([as_of]), Period(month, "months")) for month in range(MONTHS_BEFORE + 1, -1, -1)]
    )
    dates = [date.fromordinal(date(1970, 1, 1).toordinal() + int(day)) for day in ends[1:]]
    statuses = evaluate(lake, [], dates, (0,), areas)
    homes = _homes(statuses)
    residents = np.concatenate([_tally(home, len(statuses.area_codes)) for home in homes])
    found = [_of_table(lake, TABLES[name], ends, homes, residents) for name in tables]
    labels = pl.DataFrame({"month_end": dates}).join(pl.DataFrame({"area_code": statuses.area_codes}), how="cross")
    frames = [
        labels.with_columns(counts, as_of=pl.lit(as_of), table=pl.lit(name))
        for name, counts in zip(tables, found, strict=True)
    ]
    columns = [pl.col(name).cast(kind) for name, kind in COVERAGE_SCHEMA.items()]
    return pl.concat(frame.select(columns) for frame in frames) if frames else pl.DataFrame(schema=COVERAGE_SCHEMA)


def compared(found: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One row per table and area, `*` for the city: the last month against the mean of the months before it.

    `share` of residents with a record, `share_without_code`, `share_without_value` and `share_without_district` of
    rows (the last for the city alone), and `delay_days`, the mean; each with `_before`. `recording` is `more` or `less`
    where the share of residents with a record has changed by a tenth or more, else `alike`; null where there is
    nothing before to compare with.
    """
    rows = found.filter(pl.col("as_of") == as_of)
    counts = [name for name, kind in COVERAGE_SCHEMA.items() if kind == pl.Int64]
    keys = ["table", "month_end"]
    city = rows.group_by(keys, maintain_order=True).agg(
        pl.col(counts).sum(),
        unknown=pl.col("rows").filter(pl.col("area_code") == UNKNOWN_AREA).sum(),
        has_code=pl.col("rows_without_code").is_not_null().any(),
        has_value=pl.col("rows_without_value").is_not_null().any(),
    )
    city = city.with_columns(
        area_code=pl.lit(CITY_TOTAL),
        rows_without_code=pl.when("has_code").then("rows_without_code"),
        rows_without_value=pl.when("has_value").then("rows_without_value"),
    )
    every = pl.concat([city.drop("has_code", "has_value"), rows.drop("as_of")], how="diagonal")

    def share(part: str, whole: str) -> pl.Expr:
        return pl.col(part) / pl.when(pl.col(whole) > 0).then(pl.col(whole))

    shares = {
        "share": share("residents_with_record", "residents"),
        "share_without_code": share("rows_without_code", "rows"),
        "share_without_value": share("rows_without_value", "rows"),
        "share_without_district": share("unknown", "rows"),
        "delay_days": share("delay_days", "rows_with_delay"),
    }
    monthly = every.select("table", "area_code", "month_end", **shares)
    last = monthly.filter(pl.col("month_end") == as_of).drop("month_end")
    before = (
        monthly.filter(pl.col("month_end") < as_of)
        .group_by("table", "area_code")
        .agg(pl.col(name).mean().alias(f"{name}_before") for name in shares)
    )
    both = last.join(before, on=["table", "area_code"], how="left", maintain_order="left")
    was = pl.when(pl.col("share_before") > 0).then(pl.col("share_before"))
    change = (pl.col("share") / was - 1).round(9)  # a tenth is a tenth, whatever the last digits are
    said = (
        pl.when(change >= RISE)
        .then(pl.lit("more"))
        .when(change <= -RISE)
        .then(pl.lit("less"))
        .when(change.is_not_null())
        .then(pl.lit("alike"))
    )
    pairs = [name for one in shares for name in (one, f"{one}_before")]
    return both.select("table", "area_code", *pairs, recording=said)


def _homes(statuses: Statuses) -> NDArray[np.int32]:
    """By month and person number the position of the area where the person lived at its end, one more: nowhere here."""
    nowhere, per_area = len(statuses.area_codes), len(statuses.sexes) * len(statuses.age_bands)
    bits = np.left_shift(np.uint32(1), np.arange(len(statuses.as_ofs), dtype=np.uint32))
    resident = statuses.persons["resident"].to_numpy() & bits[:, None] > 0
    return np.where(resident, statuses.cells // max(per_area, 1), np.int32(nowhere))


def _of_table(
    lake: Lake, table: Table, ends: Days, homes: NDArray[np.int32], residents: NDArray[np.int64]
) -> list[pl.Series]:
    """Counts by month and area, months first. `ends` begins with the day before the first month."""
    month_count, person_count = homes.shape
    # Each month has a cell more, for the rows that do not count: of somebody who does not live here, or recorded later.
    width = len(residents) // month_count + 1
    cell_count, of_person = month_count * width, homes.ravel()
    month_of_day = np.repeat(np.arange(month_count, dtype=np.int32), np.diff(ends))
    # Rows by cell, and by whether they have a delay, lack a code and lack a value.
    kinds_of_rows, delay_days = np.zeros((cell_count, 2, 2, 2), dtype=np.int64), np.zeros(cell_count)
    seen = np.zeros(month_count * person_count, dtype=np.bool_)
    paths = lake.files.get(table.name, ())
    for start in range(0, len(paths), _FILES_AT_ONCE):
        rows = _read(replace(lake, files={table.name: paths[start : start + _FILES_AT_ONCE]}), table, ends)
        persons = person_numbers(rows[PERSON_NUMBER].to_numpy(), table.name, person_count)
        days = rows["event_date"].to_numpy()
        months = month_of_day[days - (ends[0] + 1)]
        places = months.astype(np.int64) * person_count + persons
        cells = of_person[places]
        kinds = np.zeros(rows.height, dtype=np.int32)
        for name, kind in (("without_value", 1), ("without_code", 2)):
            if name in rows.columns:
                kinds += rows[name].to_numpy() * np.int32(kind)
        delays = np.full(rows.height, -1, dtype=np.int32)
        if rows["recorded_date"].null_count() < rows.height:
            recorded = rows["recorded_date"].fill_null(FAR_PAST).to_numpy()
            is_later = recorded > ends[1:][months]
            cells[is_later], places = width - 1, places[~is_later]
            delays = recorded - days
            kinds += (delays >= 0) * np.int32(4)
        seen[places] = True
        cells += months * np.int32(width)
        tally = np.bincount(cells * np.int32(8) + kinds, minlength=kinds_of_rows.size)
        kinds_of_rows += tally.reshape(kinds_of_rows.shape)
        delayed = np.flatnonzero(delays > 0)
        delay_days += np.bincount(cells[delayed], delays[delayed], cell_count)

    def by_area(tally: NDArray[Any]) -> NDArray[Any]:
        return tally.reshape(month_count, width)[:, :-1].ravel()

    with_record = [_tally(home[has], width - 1) for home, has in zip(homes, seen.reshape(homes.shape), strict=True)]
    counts = {
        "residents": residents,
        "residents_with_record": np.concatenate(with_record),
        "rows": by_area(kinds_of_rows.sum(axis=(1, 2, 3))),
        "rows_without_code": by_area(kinds_of_rows[:, :, 1].sum(axis=(1, 2))),
        "rows_without_value": by_area(kinds_of_rows[..., 1].sum(axis=(1, 2))),
        "rows_with_delay": by_area(kinds_of_rows[:, 1].sum(axis=(1, 2))),
        "delay_days": by_area(delay_days),
    }
    absent = {f"rows_without_{name}" for name in ("code", "value") if name not in table.names}
    return [
        pl.Series(name, [None] * len(count) if name in absent else count, dtype=pl.Float64)
        for name, count in counts.items()
    ]


def _tally(homes: NDArray[np.int32], area_count: int) -> NDArray[np.int64]:
    """How many of the persons live in each area; those who live nowhere here are left out."""
    return np.bincount(homes, minlength=area_count + 1)[:-1]


def _read(lake: Lake, table: Table, ends: Days) -> pl.DataFrame:
    """Rows of the months; whether they lack a code or a value, unless the files say that none does."""
    first, last = (pl.lit(int(day), pl.Int32).cast(pl.Date) for day in (ends[0], ends[-1]))
    lacking = [name for name in ("code", "value") if name in table.names and _may_lack(lake.files[table.name], name)]
    return (
        lake.scan(table)
        .filter(pl.col("event_date") > first, pl.col("event_date") <= last)
        .select(
            pl.col(PERSON_NUMBER).fill_null(-1),
            pl.col("event_date").to_physical(),
            pl.col("recorded_date").to_physical(),
            **{f"without_{name}": pl.col(name).is_null() for name in lacking},
        )
        .collect(engine="streaming")
    )


def _may_lack(paths: Sequence[str], column: str) -> bool:
    """Whether a value of a column may be missing: unless each file says that none is."""
    for path in paths:
        about = pq.read_metadata(path)
        place = about.schema.names.index(column)
        for group in range(about.num_row_groups):
            statistics = about.row_group(group).column(place).statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                return True
    return False
