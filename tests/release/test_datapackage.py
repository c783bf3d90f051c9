import hashlib
import io
import json
from dataclasses import replace

import polars as pl
import pytest
from page_cases import RELEASE, dated, protected_table, texts

from schemas.areas import AREA_SCHEMA, load_areas
from transforms.release.datapackage import CC_BY_4, describe_release
from transforms.release.page_figures import COLUMNS
from transforms.release.publish import public_files

INDICATORS = ["CG01", "CG02"]
AREAS = load_areas()
TABLE = dated(protected_table(AREAS, INDICATORS))
CSV = TABLE.select("as_of", *COLUMNS).write_csv().encode()
FILES = public_files(CSV, TABLE, AREAS, texts(*INDICATORS), {"cells": TABLE.height}, RELEASE)
PACKAGE = json.loads(FILES["datapackage.json"])
RESOURCES = {resource["path"]: resource for resource in PACKAGE["resources"]}


@pytest.mark.parametrize("path", ["table.csv", "table.parquet", "areas.csv"])
def test_size_and_hash_are_those_of_the_file(path):
    assert RESOURCES[path]["bytes"] == len(FILES[path])
    assert RESOURCES[path]["hash"] == f"sha256:{hashlib.sha256(FILES[path]).hexdigest()}"


def test_every_data_file_is_described():
    downloads = {name for name in FILES if name.startswith("downloads/")}
    assert downloads
    assert set(RESOURCES) == {name for name in FILES if name.endswith((".csv", ".parquet"))} | downloads


@pytest.mark.parametrize("path", ["table.csv", "table.parquet", "areas.csv"])
def test_fields_are_the_columns_of_the_file_in_order(path):
    content = io.BytesIO(FILES[path])
    read = pl.read_csv(content, infer_schema=False) if path.endswith(".csv") else pl.read_parquet(content)
    fields = RESOURCES[path]["schema"]["fields"]
    assert [field["name"] for field in fields] == read.columns
    assert all(field["description"] for field in fields)


def test_types_are_those_of_the_columns():
    table = pl.read_parquet(io.BytesIO(FILES["table.parquet"]))
    words = {pl.String(): "string", pl.Int64(): "integer", pl.Int32(): "integer", pl.Date(): "date"}
    for path, schema in (("table.parquet", table.schema), ("areas.csv", AREA_SCHEMA)):
        declared = {field["name"]: field["type"] for field in RESOURCES[path]["schema"]["fields"]}
        assert declared == {name: words[kind] for name, kind in schema.items()}


def test_the_constraints_hold_for_the_table_itself():
    schema = RESOURCES["table.csv"]["schema"]
    assert schema["missingValues"] == [""]
    assert not TABLE.select(schema["primaryKey"]).is_duplicated().any()
    for field in schema["fields"]:
        constraints, column = field["constraints"], TABLE[field["name"]]
        assert not constraints.get("required") or column.null_count() == 0
        assert "enum" not in constraints or set(column) <= set(constraints["enum"])
        assert "minimum" not in constraints or column.min() >= constraints["minimum"]


def test_the_package_tells_date_terms_and_sources():
    assert PACKAGE["as_of"] == "2026-10-31"
    assert PACKAGE["created"] == "2026-11-03T00:00:00Z"
    assert PACKAGE["version"] == RELEASE.release_id
    assert PACKAGE["licenses"] == [{"name": CC_BY_4.name, "title": CC_BY_4.title, "path": CC_BY_4.path}]
    assert PACKAGE["sources"] == [{"title": "Käypä hoito <2026>, en"}]


def test_synthetic_data_says_so_and_real_data_does_not():
    real = json.loads(describe_release(FILES, replace(RELEASE, generated=False), texts(*INDICATORS), CC_BY_4))
    assert (PACKAGE["generated"], real["generated"]) == (True, False)
    assert "Synthetic data" in PACKAGE["description"]
    assert "Synthetic" not in real["description"]
