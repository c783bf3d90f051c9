"""A star schema for Power BI: two fact tables and the dimensions around them, each a Parquet file.

Facts hold sums as well, such as the whole city. In each dimension `level_order` is 1 for the sum over everything and
grows with the detail, so that a measure takes the coarsest level that a filter leaves and never adds one to another.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from schemas.areas import CITY, DISTRICT, MAJOR
from transforms.release.downloads.contents import (
    ALL,
    GROUP,
    LANGUAGES,
    MEASURES,
    Contents,
    in_order,
    people,
)
from transforms.release.downloads.cube import kind_texts
from transforms.release.figures import KINDS

LEVELS = (CITY, MAJOR, DISTRICT)
_AREA = (
    "level_{}", "name_{}", "short_{}", "major_{}", "district_{}",
)  # fmt: skip
_BY_AREA = ("tile_column", "tile_row", "population")


def star_schema(contents: Contents) -> dict[str, pl.DataFrame]:
    """The tables by name: `fact_count` one row per cell of table.csv, `fact_rate` one row per figure of derived.csv,
    and `dim_date`, `dim_indicator`, `dim_area`, `dim_sex`, `dim_age`, `dim_measure` one row per code.

    Keys are whole numbers that hold within one release; codes hold from release to release. `value` is null where
    `status` is not published.
    """
    counts, rates = contents.counts, contents.rates
    dates = _dates(contents)
    dimensions = {
        "dim_date": dates,
        "dim_indicator": _indicators(contents),
        "dim_area": _areas(contents),
        "dim_sex": _people(contents, "sex"),
        "dim_age": _people(contents, "age_band"),
        "dim_measure": _measures(contents),
    }
    facts = {"fact_count": counts.with_columns(pl.col("value").cast(pl.Int64))}
    if rates.height:
        facts["fact_rate"] = rates.with_columns(value=pl.col("figure").cast(pl.Float64)).rename({"kind": "measure"})
    keys = [
        (name, key, _codes(dimensions[name], code, key))
        for name, key, code in (
            ("dim_date", "date_key", "as_of"),
            ("dim_indicator", "indicator_key", "indicator"),
            ("dim_area", "area_key", "area"),
            ("dim_sex", "sex_key", "sex"),
            ("dim_age", "age_key", "age_band"),
            ("dim_measure", "measure_key", "measure"),
        )
    ]
    by_code = dict(zip(("as_of", *GROUP, "measure"), keys, strict=True))
    found = {
        name: fact.select(
            *(
                pl.col(code).replace_strict(numbers, return_dtype=pl.Int32).alias(key)
                for code, (_, key, numbers) in by_code.items()
            ),
            "value",
            "status",
        )
        for name, fact in facts.items()
    }
    return {**found, **dimensions}


def write_parquet(table: pl.DataFrame) -> bytes:
    """Write a table as Parquet that Power Query reads: Snappy, and no unsigned types."""
    content = io.BytesIO()
    table.write_parquet(content, compression="snappy")
    return content.getvalue()


def _codes(dimension: pl.DataFrame, code: str, key: str) -> dict[str, int]:
    return dict(dimension.select(pl.col(code).cast(pl.String), key).iter_rows())


def _numbered(key: str, rows: Sequence[Mapping[str, Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """One row per code, numbered from 1."""
    numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias(key)
    return pl.DataFrame(list(rows), schema=dict(schema), orient="row").select(numbers, pl.all())


def _texts(*stems: str) -> dict[str, pl.DataType]:
    """Columns of words in each language."""
    return {stem.format(language): pl.String() for stem in stems for language in LANGUAGES}


def _dates(contents: Contents) -> pl.DataFrame:
    days = sorted({contents.release.as_of.isoformat(), *contents.counts["as_of"], *contents.rates["as_of"]})
    as_of = pl.Series("as_of", [date.fromisoformat(day) for day in days], pl.Date())
    return pl.DataFrame([as_of]).select(
        pl.col("as_of").dt.strftime("%Y%m%d").cast(pl.Int32).alias("date_key"),
        "as_of",
        pl.col("as_of").dt.year().cast(pl.Int32).alias("year"),
        pl.col("as_of").dt.month().cast(pl.Int32).alias("month"),
        (pl.col("as_of") == contents.release.as_of).alias("is_own_date"),
    )


def _indicators(contents: Contents) -> pl.DataFrame:
    rows = [
        {"indicator": one.id}
        | {f"title_{language}": one.title[language] for language in LANGUAGES}
        | {f"target_group_{language}": one.target_group[language].strip() for language in LANGUAGES}
        | {f"description_{language}": one.description[language].strip() for language in LANGUAGES}
        | {f"source_{language}": one.source[language] for language in LANGUAGES}
        for one in contents.indicators
    ]
    schema = {"indicator": pl.String(), **_texts("title_{}", "target_group_{}", "description_{}", "source_{}")}
    return _numbered("indicator_key", rows, schema)


def _areas(contents: Contents) -> pl.DataFrame:
    """The hierarchy stands in columns, filled for the sums as well: a blank would be a group of its own in a report."""
    places = contents.places
    city = str(places.item(0, "area"))
    names = {language: dict(places.select("area", f"name_{language}").iter_rows()) for language in LANGUAGES}
    rows = []
    for place in places.iter_rows(named=True):
        level = place["level"]
        row = {name: place[name] for name in ("area", "level", *_BY_AREA)}
        row |= {"level_order": LEVELS.index(level) + 1, "parent": place["parent"]}
        row |= {"major": place["major"] or city, "district": place["district"] or place["area"]}
        for language in LANGUAGES:
            own, name = contents.labels[language], place[f"name_{language}"]
            short = place[f"short_{'sv' if language == 'sv' else 'fi'}"]
            row[f"level_{language}"] = own[f"level_{level}"]
            row[f"name_{language}"] = name
            row[f"short_{language}"] = short or name
            row[f"major_{language}"] = own["city"] if level == CITY else names[language][place["major"]]
            row[f"district_{language}"] = {CITY: own["city"], MAJOR: own["whole_major"], DISTRICT: name}[level]
        rows.append(row)
    texts, number = pl.String(), pl.Int32()
    schema = {"area": texts, "parent": texts, "level": texts, "level_order": number, "major": texts, "district": texts}
    types = {"tile_column": number, "tile_row": number, "population": pl.Int64()}
    return _numbered("area_key", rows, {**schema, **_texts(*_AREA), **types})


def _people(contents: Contents, name: str) -> pl.DataFrame:
    found = {*contents.counts[name].unique(), *contents.rates[name].unique()}
    rows = []
    for place, code in enumerate(in_order([ALL, *found])):
        row: dict[str, Any] = {name: code, "level_order": 1 if code == ALL else 2, "sort_order": place}
        row |= {f"name_{one}": people(contents.words[one], contents.labels[one], name, code) for one in LANGUAGES}
        first, dash, last = code.partition("-")
        if name == "age_band" and dash and first.isdigit():
            row |= {"first_year": int(first), "last_year": int(last) if last.isdigit() else None}
        rows.append(row)
    number = pl.Int32()
    years = {"first_year": number, "last_year": number} if name == "age_band" else {}
    schema = {name: pl.String(), "level_order": number, "sort_order": number, **_texts("name_{}"), **years}
    return _numbered("sex_key" if name == "sex" else "age_key", rows, schema)


def _measures(contents: Contents) -> pl.DataFrame:
    kinds = [kind for kind in KINDS if kind in set(contents.rates["kind"])]
    rows = []
    for measure in (*MEASURES, *kinds):
        is_count = measure in MEASURES
        row: dict[str, Any] = {"measure": measure, "fact": "fact_count" if is_count else "fact_rate"}
        explained, unit = (f"explained_{measure}", "unit_count") if is_count else kind_texts(measure)
        for one in LANGUAGES:
            own = contents.labels[one]
            row[f"name_{one}"] = own[f"{'measure' if is_count else 'kind'}_{measure}"]
            row |= {f"description_{one}": own[explained], f"unit_{one}": own[unit]}
        rows.append(row | {"decimals": 0 if is_count else KINDS[measure]})
    texts = _texts("name_{}", "description_{}", "unit_{}")
    return _numbered(
        "measure_key", rows, {"measure": pl.String(), "fact": pl.String(), **texts, "decimals": pl.Int32()}
    )
