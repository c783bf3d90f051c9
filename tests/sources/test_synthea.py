"""Synthea's CSV in any layout becomes caregap's tables; the rows here are invented."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from schemas.areas import AREA_SCHEMA, complete_areas
from schemas.errors import SourceRefused, UsageRefused
from schemas.tables import TABLES
from tests.conftest import THIRD_PARTY
from transforms.sources import Remark, Source
from transforms.sources.synthea import SyntheaSource, geography

CANARY = "Zyxwv"
ANNA, BERT, CARL = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "abc")

NATIVE = {
    "patients": (
        "Id,BIRTHDATE,DEATHDATE,SSN,FIRST,MIDDLE,LAST,GENDER,ADDRESS,CITY,STATE,ZIP\n"
        f"{ANNA},1950-02-03,,999,Aaa1,Mid1,{CANARY},F,1 First Road,Old Town,Ohio,01234\n"
        f"{BERT},1960-04-05,2019-12-31,998,Bbb2,,{CANARY},M,2 Second Road,Sköna Näs,Ohio,\n"
        f"{CARL},2010-06-07,,997,Ccc3,,{CANARY},X,3 Third Road,,Ohio,05678\n"
    ),
    "encounters": (
        "Id,START,STOP,PATIENT,ENCOUNTERCLASS,CODE,DESCRIPTION\n"
        f"e1,2018-01-02T23:59:59Z,2018-01-03T00:10:00Z,{ANNA},wellness,1001,Check\n"
        f"e2,2018-02-03T10:00:00Z,,{ANNA},urgentcare,,Acute\n"
        f"e3,2018-03-04T10:00:00Z,,{BERT},{CANARY},1002,Strange\n"
        f"e4,2018-03-05T10:00:00Z,,{BERT},,1002,None\n"
        f"e5,2018-03-06T10:00:00Z,,nobody,virtual,1002,Unknown patient\n"
    ),
    "conditions": (
        "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n"
        f'2015-01-01,2016-01-01,{ANNA},e1,2001,"Two\nlines, one value"\n'
        f",,{BERT},e3,2002,No day\n"
        f"soon,,{BERT},e3,2002,No day either\n"
    ),
    "observations": (
        "DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n"
        f"2018-01-02T23:59:59Z,{ANNA},e1,laboratory,3001-1,Sugar,6.5,%,numeric\n"
        f"2018-01-02T23:59:59Z,{ANNA},e1,survey,3002-2,Answer,{CANARY},,text\n"
        f"2018-01-02T23:59:59Z,{BERT},e3,survey,3003-3,Nothing,NaN,,numeric\n"
    ),
    "medications": f"START,STOP,PATIENT,CODE,DESCRIPTION\n2018-01-02T00:00:00Z,,{ANNA},4001,Pill\n",
    "immunizations": f"DATE,PATIENT,CODE,DESCRIPTION\n2018-01-02T00:00:00Z,{CARL},140,Vaccine\n",
    "careplans": f"Id,START,STOP,PATIENT,CODE\nc1,2018-01-01,,{ANNA},5001\n",
}


def folder(directory: Path, changes: dict[str, str | bytes | None] | None = None) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in (NATIVE | (changes or {})).items():
        if text is not None:
            (directory / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


def read(source: SyntheaSource) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for table, rows in source.batches():
        frames.setdefault(table, []).append(rows)
    return {table: pl.concat(parts) for table, parts in frames.items()}


def count(source: SyntheaSource, table: str, column: str | None, word: str) -> int | None:
    found = [r for r in source.remarks() if (r.table, r.column) == (table, column) and word in r.rule]
    assert len(found) == 1, source.remarks()
    return found[0].count


def test_it_is_a_source_of_generated_persons(tmp_path: Path) -> None:
    source: Source = SyntheaSource(folder(tmp_path))
    assert (source.kind, source.identifier, source.generated) == ("synthea", "opaque", True)
    assert 10 < (source.rows_expected() or 0) < 40


def test_every_file_becomes_its_table(tmp_path: Path) -> None:
    frames = read(SyntheaSource(folder(tmp_path)))
    assert list(frames) == [
        "person",
        "residence",
        "contact",
        "diagnosis",
        "measurement",
        "medication",
        "vaccination",
    ]
    for table, frame in frames.items():
        assert set(frame.columns) <= set(TABLES[table].names)
    assert frames["person"].rows() == [
        (ANNA, "Aaa1 Mid1", CANARY, "1950-02-03", "female", None),
        (BERT, "Bbb2", CANARY, "1960-04-05", "male", "2019-12-31"),
        (CARL, "Ccc3", CANARY, "2010-06-07", "unknown", None),
    ]
    assert frames["residence"].rows() == [
        (ANNA, "1 First Road", "01234", "Ohio-old-town"),
        (BERT, "2 Second Road", None, "Ohio-skona-nas"),
        (CARL, "3 Third Road", "05678", None),
    ]
    assert frames["contact"].select(
        "person_id", "event_date", "channel", "code_system", "code", "record_id"
    ).rows() == [
        (ANNA, "2018-01-02", "visit", "snomed", "1001", "e1"),
        (ANNA, "2018-02-03", "emergency", None, None, "e2"),
        (BERT, "2018-03-04", "other", "snomed", "1002", "e3"),
        (BERT, "2018-03-05", "other", "snomed", "1002", "e4"),
        ("nobody", "2018-03-06", "phone", "snomed", "1002", "e5"),
    ]
    assert frames["diagnosis"].select("person_id", "code_system", "code", "event_date", "end_date").rows() == [
        (ANNA, "snomed", "2001", "2015-01-01", "2016-01-01"),
        (BERT, "snomed", "2002", None, None),
        (BERT, "snomed", "2002", "soon", None),
    ]
    assert frames["measurement"].select("code_system", "code", "event_date", "value", "unit").rows() == [
        ("loinc", "3001-1", "2018-01-02", "6.5", "%"),
        ("loinc", "3002-2", "2018-01-02", None, None),
        ("loinc", "3003-3", "2018-01-02", None, None),
    ]
    assert frames["medication"].rows() == [(ANNA, "rxnorm", "4001", "2018-01-02")]
    assert frames["vaccination"].rows() == [(CARL, "cvx", "140", "2018-01-02")]


def test_what_was_not_understood_is_counted_and_never_quoted(tmp_path: Path) -> None:
    source = SyntheaSource(folder(tmp_path))
    for _ in range(2):
        read(source)
        assert count(source, "contact", "channel", "class of encounter") == 2
        assert count(source, "diagnosis", "event_date", "date") == 2
        assert count(source, "measurement", "value", "not a number") == 2
        assert count(source, "residence", "area_code", "no area") == 1
        assert len(source.remarks()) == 4
    assert CANARY not in str(source.remarks())


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2018-01-02T23:59:59Z", "2018-01-02"),
        ("2018-01-02T23:59:59+00:00", "2018-01-02"),
        ("2018-01-02T23:59:59-05:00", "2018-01-02"),
        ("2018-01-02 23:59:59.123", "2018-01-02"),
        ("2018-01-02", "2018-01-02"),
        (" 2018-01-02 ", "2018-01-02"),
        ("2018-02-30T00:00:00Z", "2018-02-30T00:00:00Z"),
    ],
)
def test_of_a_timestamp_the_day_counts_as_it_is_written(tmp_path: Path, written: str, day: str) -> None:
    text = f"DATE,PATIENT,CODE\n{written},{ANNA},140\n"
    frames = read(SyntheaSource(folder(tmp_path, {"immunizations": text})))
    assert frames["vaccination"]["event_date"].to_list() == [day]


def in_lower_case(text: str) -> bytes:
    header, rest = text.split("\n", 1)
    return f"{header.lower()}\n{rest}".encode()


def in_reverse_order(text: str) -> bytes:
    frame = pl.read_csv(text.encode(), infer_schema=False)
    return frame.select(reversed(frame.columns)).write_csv().encode()


def as_windows_writes(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


def all_quoted(text: str) -> bytes:
    return pl.read_csv(text.encode(), infer_schema=False).write_csv(quote_style="always").encode()


def with_empty_columns(text: str) -> bytes:
    frame = pl.read_csv(text.encode(), infer_schema=False)
    lines = frame.write_csv().encode().replace(b"lines, one", b"lines; one").replace(b"Two\nlines", b"Two lines")
    return b"".join(line + b",,\n" for line in lines.splitlines())


@pytest.mark.parametrize(
    "written", [in_lower_case, in_reverse_order, as_windows_writes, all_quoted, with_empty_columns]
)
def test_every_way_of_writing_the_same_files_reads_the_same(tmp_path: Path, written) -> None:
    plain = SyntheaSource(folder(tmp_path / "plain"))
    other = SyntheaSource(folder(tmp_path / "other", {name: written(text) for name, text in NATIVE.items()}))
    expected, frames = read(plain), read(other)
    assert frames.keys() == expected.keys()
    for table, frame in frames.items():
        assert frame.select(expected[table].columns).equals(expected[table])
    assert other.remarks() == plain.remarks()


def test_files_in_a_csv_folder_and_with_capitals_are_found(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    for name, text in NATIVE.items():
        (tmp_path / "csv" / f"{name.capitalize()}.CSV").write_text(text)
    assert len(read(SyntheaSource(tmp_path))) == 7


@pytest.mark.parametrize("name", ["encounters", "conditions", "observations", "medications", "immunizations"])
def test_other_files_may_be_missing_empty_or_without_rows(tmp_path: Path, name: str) -> None:
    whole = set(read(SyntheaSource(folder(tmp_path / "whole"))))
    for case, text in (("missing", None), ("empty", ""), ("lacks", "A,B\n1,2\n")):
        source = SyntheaSource(folder(tmp_path / case, {name: text}))
        frames = read(source)
        assert len(whole - set(frames)) == 1
        assert any(f"{name}.csv" in remark.rule and case in remark.rule for remark in source.remarks())
    header = NATIVE[name].split("\n", 1)[0] + "\n"
    source = SyntheaSource(folder(tmp_path / "header", {name: header}))
    assert len(whole - set(read(source))) == 1


def test_the_oldest_layout_without_class_and_gender_runs(tmp_path: Path) -> None:
    changes = {
        "patients": f"ID,BIRTHDATE\n{ANNA},1950-02-03\n",
        "encounters": f"ID,DATE,PATIENT,CODE\ne1,2018-01-02,{ANNA},1001\ne2,2018-01-03,{ANNA},1001\n",
    }
    source = SyntheaSource(folder(tmp_path, changes))
    frames = read(source)
    assert frames["person"].row(0) == (ANNA, None, None, "1950-02-03", "unknown", None)
    assert frames["contact"]["channel"].to_list() == ["other", "other"]
    assert frames["contact"]["event_date"].to_list() == ["2018-01-02", "2018-01-03"]
    assert source.areas() is None
    assert frames["residence"]["area_code"].to_list() == [None]
    assert count(source, "contact", "channel", "no ENCOUNTERCLASS") is None
    assert count(source, "contact", "channel", "class of encounter") == 2
    assert count(source, "person", "sex", "no GENDER") is None


def test_events_that_did_not_happen_are_retracted(tmp_path: Path) -> None:
    text = "DATE,PATIENT,CODE,STATUS\n" + "".join(
        f"2018-01-02,{ANNA},140,{status}\n" for status in ("completed", "not-done", "entered-in-error", "")
    )
    frames = read(SyntheaSource(folder(tmp_path, {"immunizations": text})))
    assert frames["vaccination"]["is_retracted"].to_list() == [False, True, True, None]


def test_rows_of_another_width_are_left_out_and_counted(tmp_path: Path) -> None:
    text = f"DATE,PATIENT,CODE\n2018-01-02,{ANNA},140\n2018-01-02,{ANNA},140,{CANARY}\n2018-01-02,{ANNA}\n"
    source = SyntheaSource(folder(tmp_path, {"immunizations": text}))
    assert read(source)["vaccination"].height == 1
    assert count(source, "vaccination", None, "fields") == 2


def test_a_quotation_mark_that_is_not_closed_is_a_remark(tmp_path: Path) -> None:
    text = f'DATE,PATIENT,CODE,DESCRIPTION\n2018-01-02,{ANNA},140,"a\n2018-01-02,{ANNA},140,b\n'
    source = SyntheaSource(folder(tmp_path, {"immunizations": text}))
    assert read(source)["vaccination"].height == 1
    assert count(source, "vaccination", None, "quotation mark") is None


@pytest.mark.parametrize(
    ("patients", "column"),
    [
        (None, None),
        ("", None),
        ("NAME,BIRTHDATE\nx,2000-01-01\n", "person_id"),
        ("Id,BORN\nx,2000-01-01\n", "birth_date"),
        ("Id,BIRTHDATE\n", None),
        (b"\xff\xfe\x00\x01", None),
    ],
)
def test_patients_with_id_and_birthdate_are_required(tmp_path: Path, patients: str | bytes | None, column: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        read(SyntheaSource(folder(tmp_path, {"patients": patients})))
    assert (caught.value.table, caught.value.column) == ("person", column)
    assert caught.value.exit_code == 10
    assert caught.value.__context__ is None


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="no such folder"):
        SyntheaSource(tmp_path / "nowhere")


def test_cities_are_districts_and_states_are_major_districts(tmp_path: Path) -> None:
    areas = SyntheaSource(folder(tmp_path)).areas()
    assert areas is not None
    assert areas.schema == AREA_SCHEMA
    assert areas.select("code", "parent", "level", "name_sv").rows() == [
        ("synthea", None, "city", "Synthea"),
        ("Ohio", "synthea", "major", "Ohio"),
        ("Ohio-old-town", "Ohio", "district", "Old Town"),
        ("Ohio-skona-nas", "Ohio", "district", "Sköna Näs"),
    ]


def test_cities_without_a_state_are_districts_too(tmp_path: Path) -> None:
    source = SyntheaSource(folder(tmp_path, {"patients": f"Id,BIRTHDATE,CITY\n{ANNA},1950-02-03,Old Town\n"}))
    areas, (code,) = source.areas(), read(source)["residence"]["area_code"]
    assert areas is not None
    assert areas.filter(pl.col("code") == code)["level"].to_list() == ["district"]


def test_codes_of_places_are_plain_and_each_stands_for_one_place() -> None:
    cities = ["Salem", "salem", "Salem.", "Sålem", "東京", "Unknown", None]
    places = pl.DataFrame(
        [(city, state) for state in ("MA", "ma", "NH", "synthea", "unknown", None) for city in cities[:-1]],
        schema=["city", "state"],
        orient="row",
    )
    areas, districts = geography(places.sample(fraction=1, shuffle=True, seed=1))
    assert areas is not None
    assert areas["code"].n_unique() == areas.height == 1 + 6 + 36
    assert areas["code"].str.contains(r"^[A-Za-z0-9-]+$").all()
    assert areas["code"].str.to_lowercase().n_unique() == areas.height
    assert areas.equals(geography(places)[0])
    named = districts.join(areas, left_on="area_code", right_on="code")
    assert (named["city"] == named["name_fi"]).all()
    assert geography(places.clear())[0] is None


def test_an_area_map_places_cities_in_another_geography(tmp_path: Path) -> None:
    areas = complete_areas(
        pl.DataFrame({"code": ["c", "m", "d"], "parent": [None, "c", "m"], "level": ["city", "major", "district"]})
    )
    (tmp_path / "map.csv").write_text("city,area_code\nOLD TOWN,d\nSomewhere,d\n")
    source = SyntheaSource(folder(tmp_path / "data"), tmp_path / "map.csv", areas)
    assert source.areas() is areas
    assert read(source)["residence"]["area_code"].to_list() == ["d", None, None]
    assert Remark("residence", "area_code", "the city has no area", 2) in source.remarks()


def test_without_given_areas_the_map_uses_the_default_geography(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("city,area_code\nOld Town,101\n")
    source = SyntheaSource(folder(tmp_path / "data"), tmp_path / "map.csv")
    assert source.areas() is None
    assert read(source)["residence"]["area_code"].to_list() == ["101", None, None]


@pytest.mark.parametrize(
    "text", ["city,code\nOld Town,101\n", "city,area_code\nA,101\na,102\n", f"city,area_code\nA,{CANARY}\n", ""]
)
def test_an_area_map_that_does_not_fit_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(UsageRefused) as caught:
        SyntheaSource(folder(tmp_path / "data"), tmp_path / "map.csv")
    assert CANARY not in str(caught.value)


needs_data = pytest.mark.skipif(
    not (THIRD_PARTY / "synthea_stu3").is_dir(),
    reason="no third-party Synthea records; CAREGAP_TEST_DATA names their folder",
)


@needs_data
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "synthea_stu3",
            {"person": 1042, "contact": 13119, "diagnosis": 4868, "measurement": 53958, "medication": 3978},
        ),
        ("native_csv_27", {"person": 27, "contact": 604, "diagnosis": 438, "measurement": 990, "medication": 663}),
    ],
)
def test_every_row_of_both_layouts_is_delivered(name: str, rows: dict[str, int]) -> None:
    source = SyntheaSource(THIRD_PARTY / name)
    frames = read(source)
    assert {table: frames[table].height for table in rows} == rows
    assert frames["residence"]["area_code"].null_count() == 0
    assert {remark.column for remark in source.remarks()} == {"value"}
    expected = source.rows_expected() or 0
    assert abs(expected - sum(frame.height for frame in frames.values())) < 0.1 * expected


@needs_data
def test_plain_counts_of_the_stu3_layout_come_out() -> None:
    as_of, year_before = date(2020, 1, 11), date(2019, 1, 11)
    frames = read(SyntheaSource(THIRD_PARTY / "synthea_stu3"))
    days = [pl.col(c).str.to_date() for c in ("birth_date", "death_date")]
    alive = frames["person"].with_columns(days).filter(pl.col("death_date").is_null() | (pl.col("death_date") >= as_of))
    alive = alive.filter(pl.col("birth_date") <= as_of)
    assert alive.height == 718

    def gap(conditions: list[str], tests: list[str], ages: tuple[int, int], begun: date) -> tuple[int, int]:
        ill = frames["diagnosis"].with_columns(pl.col("event_date", "end_date").str.to_date())
        ill = ill.filter(pl.col("code").is_in(conditions) & (pl.col("event_date") <= begun))
        ill = ill.filter(pl.col("end_date").is_null() | (pl.col("end_date") >= as_of))
        least = pl.col("birth_date").dt.offset_by(f"{ages[0]}y") <= as_of
        most = pl.col("birth_date").dt.offset_by(f"{ages[1] + 1}y") > as_of
        population = alive.filter(least & most).join(ill, on="person_id", how="semi")
        tested = frames["measurement"].filter(pl.col("code").is_in(tests))
        tested = tested.filter(pl.col("event_date").str.to_date().is_between(year_before, as_of, closed="right"))
        return population.height, population.join(tested, on="person_id", how="anti").height

    assert gap(["44054006"], ["4548-4"], (16, 200), year_before) == (30, 7)
    assert gap(["38341003", "59621000"], ["8480-6"], (18, 200), as_of) == (171, 61)
    assert gap(["53741008"], ["18262-6", "2089-1"], (18, 85), as_of) == (20, 14)
