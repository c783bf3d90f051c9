"""The downloads in datapackage.json: what each file is, its fields, size and hash."""

import io
from collections.abc import Mapping
from typing import Any

import polars as pl

from schemas.labels import LANGUAGES
from transforms.release.datapackage import resource
from transforms.release.downloads.connecting import RELATIONS

_FORMATS = {
    ".xlsx": ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ".px": ("px", "text/x-pcaxis"),
    ".json": ("json-stat", "application/json"),
    ".parquet": ("parquet", "application/vnd.apache.parquet"),
    ".html": ("html", "text/html"),
}
_TITLES = {
    "table": "Counts of table.csv by area, sex and age",
    "dates": "Counts of table.csv by area, at every date",
    "rates": "Derived figures of derived.csv",
    "power-bi": "How to connect Power BI and Fabric to the star schema",
    "fact_count": "Fact table of counts: one row per cell of table.csv",
    "fact_rate": "Fact table of derived figures: one row per figure of derived.csv",
    "dim_date": "Dates",
    "dim_indicator": "Indicators",
    "dim_area": "Areas with their hierarchy",
    "dim_sex": "Sexes and their sum",
    "dim_age": "Age bands and their sum",
    "dim_measure": "Counts and derived figures with their units",
}
_LANGUAGES = {"fi": "Finnish", "sv": "Swedish", "en": "English"}
_FIELDS = {
    "value": "The figure; empty where it is hidden or not given.",
    "status": "published; suppressed, undefined or too_few where there is no value.",
    "as_of": "Date of the figures.",
    "year": "Year of the date.",
    "month": "Month of the date, 1 to 12.",
    "is_own_date": "True for the date that the release is of.",
    "indicator": "Key of the care gap.",
    "title": "Name of the indicator.",
    "target_group": "Who is counted: the people that the rate is a share of.",
    "description": "What it is.",
    "source": "Guideline or law that the indicator comes from.",
    "area": "Code of the area, as in areas.csv; unknown and unknown_major where it is not known.",
    "parent": "Code of the area that it is part of; empty for the city.",
    "level": "Kind of area: city, major or district.",
    "level_order": "1 for the sum over everything, higher the more detailed: never add rows of two levels.",
    "major": "Major district; the city where the row is a sum over them.",
    "district": "District; the area itself where the row is a sum over them.",
    "name": "Name.",
    "short": "Short name.",
    "tile_column": "Column on the tile map, from the west.",
    "tile_row": "Row on the tile map, from the north.",
    "population": "Public figure of the number of residents.",
    "sex": "Legal sex as registered; total for the sum.",
    "age_band": "First and last age in years, the last open for the oldest; total for the sum.",
    "first_year": "First age of the band, completed years.",
    "last_year": "Last age of the band, completed years; empty where it is open.",
    "sort_order": "Order in which to show the rows.",
    "measure": "eligible, gap or closed; or the kind of a derived figure.",
    "fact": "Fact table that holds the measure.",
    "unit": "Unit.",
    "decimals": "Decimals that the figure is printed with.",
}


def download_resources(files: Mapping[str, bytes], folder: str) -> list[dict[str, Any]]:
    """Resources of a Data Package for every file below `folder`, in the order of the files."""
    return [_resource(path, files) for path in files if path.startswith(f"{folder}/")]


def _resource(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    stem, *language = path.rpartition("/")[2].rpartition(".")[0].split(".")
    ending = path[path.rindex(".") :]
    kind, media = _FORMATS[ending]
    table = stem.replace("_", "-")
    name = f"star-{table}" if ending == ".parquet" else "-".join([table, kind, *language])
    schema = _schema(stem, files[path]) if ending == ".parquet" else None
    title = _TITLES[stem] + (f", in {_LANGUAGES[language[0]]}" if language else "")
    return resource(name, path, files, kind, media, schema, title=title)


def _schema(stem: str, content: bytes) -> dict[str, Any]:
    columns = pl.read_parquet_schema(io.BytesIO(content))
    fields = [_field(name, kind) for name, kind in columns.items()]
    keys = [name for name in columns if name.endswith("_key")]
    schema: dict[str, Any] = {"fields": fields, "primaryKey": keys}
    if stem.startswith("fact"):
        schema["foreignKeys"] = [
            {
                "fields": [key],
                "reference": {"resource": f"star-{RELATIONS[key].replace('_', '-')}", "fields": [key]},
            }
            for key in keys
        ]
    return schema


def _field(name: str, kind: pl.DataType) -> dict[str, Any]:
    return {"name": name, "type": _type(kind), "description": _description(name)}


def _type(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "integer"
    return {pl.Float64(): "number", pl.Date(): "date", pl.Boolean(): "boolean"}.get(kind, "string")


def _description(name: str) -> str:
    stem, _, language = name.rpartition("_")
    if language == "key":
        return "Whole number that holds within this release."
    if stem in _FIELDS and language in LANGUAGES:
        return f"{_FIELDS[stem]} In {_LANGUAGES[language]}."
    return _FIELDS[name]
