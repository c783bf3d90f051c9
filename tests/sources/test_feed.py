"""A feed folder is read as it is, or refused with a reason that holds no value of it."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceRefused
from schemas.table import Kind
from schemas.tables import TABLES
from transforms.sources import Remark, Source
from transforms.sources import files as files_module
from transforms.sources.feed import FeedSource

CANARY = "Zyxwv"
PERSONS = pl.DataFrame(
    {
        "person_id": ["010190-9999", "020285-9988", "030370-9977"],
        "family_name": [CANARY, CANARY, None],
        "birth_date": [date(1990, 1, 1), date(1985, 2, 2), date(1970, 3, 3)],
        "sex": ["female", "male", None],
    }
)
CONTACTS = pl.DataFrame(
    {
        "person_id": ["010190-9999", "020285-9988"],
        "event_date": [date(2024, 5, 1), date(2024, 5, 2)],
        "channel": ["visit", "phone"],
    }
)


def write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)


def read(directory: Path) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for table, rows in FeedSource(directory).batches():
        frames.setdefault(table, []).append(rows)
    return {table: pl.concat(parts) for table, parts in frames.items()}


def refusal(directory: Path) -> SourceRefused:
    with pytest.raises(SourceRefused) as caught:
        list(FeedSource(directory).batches())
    error = caught.value
    assert error.exit_code == 10
    assert error.next_step
    assert CANARY not in str(error)
    assert "9999" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


@pytest.mark.parametrize("end", ["parquet", "csv"])
@pytest.mark.parametrize("in_parts", [False, True])
def test_every_row_of_either_format_and_layout_arrives(tmp_path: Path, end: str, in_parts: bool) -> None:
    for table, frame in (("person", PERSONS), ("contact", CONTACTS)):
        if in_parts:
            write(frame.head(1), tmp_path / table / f"part-0.{end}")
            write(frame.tail(-1), tmp_path / table / f"part-1.{end}")
        else:
            write(frame, tmp_path / f"{table}.{end}")
    frames = read(tmp_path)
    assert list(frames) == ["person", "contact"]
    assert frames["person"].cast(pl.String).equals(PERSONS.cast(pl.String))
    assert frames["contact"].cast(pl.String).equals(CONTACTS.cast(pl.String))


def test_persons_come_before_tables_of_earlier_letters(tmp_path: Path) -> None:
    write(CONTACTS, tmp_path / "contact.parquet")
    write(PERSONS, tmp_path / "person.parquet")
    assert [table for table, _ in FeedSource(tmp_path).batches()] == ["person", "contact"]


def test_a_feed_is_a_source(tmp_path: Path) -> None:
    source: Source = FeedSource(tmp_path)
    assert (source.kind, source.identifier, source.generated) == ("feed", "hetu", False)


def test_feed_toml_says_what_the_feed_is(tmp_path: Path) -> None:
    (tmp_path / "feed.toml").write_text('format = "caregap-feed/1"\nidentifier = "opaque"\ngenerated = true\n')
    source = FeedSource(tmp_path)
    assert (source.identifier, source.generated) == ("opaque", True)


@pytest.mark.parametrize(
    "text",
    [
        "format = ",
        'identifier = "hetu"',
        'format = "caregap-feed/2"',
        'format = "caregap-feed/1"\nidentifier = "name"',
        'format = "caregap-feed/1"\ngenerated = "true"',
        'format = "caregap-feed/1"\ngenerated = 1',
    ],
)
def test_a_wrong_feed_toml_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "feed.toml").write_text(text)
    with pytest.raises(SourceRefused, match=r"feed\.toml") as caught:
        FeedSource(tmp_path)
    assert caught.value.__context__ is None


def test_areas_csv_is_the_geography_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert FeedSource(tmp_path).areas() is None
    (tmp_path / "areas.csv").write_text("code,parent,level\nc,,city\nm,c,major\nd,m,district\n")
    areas = FeedSource(tmp_path).areas()
    assert areas is not None
    assert areas["code"].to_list() == ["c", "m", "d"]
    (tmp_path / "areas.csv").write_text("code,parent,level\nc,,city\nd,m,district\n")
    with pytest.raises(SourceRefused) as caught:
        FeedSource(tmp_path).areas()
    assert (caught.value.table, caught.value.column) == ("areas", "parent")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="no such folder"):
        FeedSource(tmp_path / "nowhere")


def test_a_feed_without_persons_is_refused(tmp_path: Path) -> None:
    write(CONTACTS, tmp_path / "contact.csv")
    assert refusal(tmp_path).table == "person"
    write(PERSONS.clear(), tmp_path / "person.csv")
    assert refusal(tmp_path).rule == "the table has no rows"


@pytest.mark.parametrize("end", ["parquet", "csv"])
@pytest.mark.parametrize("table", sorted(TABLES))
def test_each_required_column_must_be_there(tmp_path: Path, table: str, end: str) -> None:
    full = pl.DataFrame({name: [None] for name in TABLES[table].names}, schema=TABLES[table].source_schema)
    for column in TABLES[table].columns:
        write(PERSONS, tmp_path / f"person.{end}")
        write(full.drop(column.name), tmp_path / f"{table}.{end}")
        if column.required:
            error = refusal(tmp_path)
            assert (error.table, error.column) == (table, column.name)
        else:
            source = FeedSource(tmp_path)
            list(source.batches())
            assert any((remark.table, remark.column) == (table, column.name) for remark in source.remarks())


WRONG = {
    Kind.TEXT: [1.5, True, b"x"],
    Kind.CODE: [1.5, False, date(2024, 1, 1)],
    Kind.DATE: [20240101, 1.5, CANARY, True],
    Kind.INTEGER: [CANARY, True, date(2024, 1, 1)],
    Kind.DECIMAL: [CANARY, True, date(2024, 1, 1)],
    Kind.FLAG: [CANARY, 1, 0.0],
}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (table.name, column.name, value)
        for table in TABLES.values()
        for column in table.columns
        for value in WRONG[column.kind]
    ],
)
def test_a_column_of_a_wrong_type_is_refused(tmp_path: Path, table: str, column: str, value: object) -> None:
    if table != "person":
        write(PERSONS, tmp_path / "person.parquet")
    full = pl.DataFrame({name: [None] for name in TABLES[table].names}, schema=TABLES[table].source_schema)
    write(full.with_columns(pl.lit(value).alias(column)), tmp_path / f"{table}.parquet")
    error = refusal(tmp_path)
    assert (error.table, error.column) == (table, column)


@pytest.mark.parametrize("value", ["01/02/2024", "20240102", CANARY])
def test_a_csv_date_column_in_which_nothing_is_a_date_is_refused(tmp_path: Path, value: str) -> None:
    write(PERSONS.with_columns(birth_date=pl.lit(value)), tmp_path / "person.csv")
    error = refusal(tmp_path)
    assert (error.table, error.column) == ("person", "birth_date")
    write(
        PERSONS.with_columns(birth_date=pl.Series(["1990-01-01", value, None])),
        tmp_path / "person.csv",
    )
    assert read(tmp_path)["person"]["birth_date"].to_list() == ["1990-01-01", value, None]


def test_timestamps_become_the_day_they_show_and_numbers_become_text(tmp_path: Path) -> None:
    late = datetime(1990, 1, 1, 23, 30, tzinfo=UTC)
    frame = pl.DataFrame({"person_id": [17], "birth_date": [late]}).with_columns(
        pl.col("birth_date").dt.convert_time_zone("Europe/Helsinki"),
        death_date=pl.lit(None),
        sex=pl.lit("female").cast(pl.Categorical),
    )
    write(frame, tmp_path / "person.parquet")
    persons = read(tmp_path)["person"]
    assert persons.schema == {"person_id": pl.String, "birth_date": pl.Date, "death_date": pl.Date, "sex": pl.String}
    assert persons.row(0) == ("17", date(1990, 1, 2), None, "female")


@pytest.mark.parametrize("name", ["person.csv", "person.parquet", "contact.csv", "contact.parquet"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\xff\xfe garbage", b"PAR1 not really", b"\n"])
def test_an_empty_or_unreadable_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    write(PERSONS, tmp_path / "person.csv")
    if name == "person.parquet":
        (tmp_path / "person.csv").unlink()
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path).table == name.partition(".")[0]


def test_a_parquet_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    write(PERSONS, tmp_path / "person.parquet")
    whole = (tmp_path / "person.parquet").read_bytes()
    middle = bytearray(whole)
    middle[4:60] = b"\xff" * 56
    for broken in (whole[:-20], bytes(middle)):
        (tmp_path / "person.parquet").write_bytes(broken)
        refusal(tmp_path)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (f"040404A9999,{CANARY},1999-01-01,male,more", "more or fewer fields"),
        (f"040404A9999,{CANARY}", "more or fewer fields"),
        (f'040404A9999,"{CANARY},1999-01-01,male', "not closed"),
    ],
)
def test_a_csv_that_breaks_off_or_shifts_is_refused(tmp_path: Path, row: str, rule: str) -> None:
    write(PERSONS, tmp_path / "person.csv")
    with (tmp_path / "person.csv").open("a") as file:
        file.write(row + "\n")
    assert rule in refusal(tmp_path).rule


def test_a_csv_that_is_not_in_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "person.csv").write_bytes(
        f"person_id,birth_date,family_name\n1,2000-01-01,{CANARY}ä\n".encode("latin-1")
    )
    refusal(tmp_path)


def test_byte_order_mark_line_ends_quotes_and_line_breaks_are_understood(tmp_path: Path) -> None:
    text = 'person_id,birth_date,family_name\r\n1,2000-01-01,"Öst, ""A""\r\nB"\r\n2,2001-01-01,""\r\n3,2002-01-01,'
    (tmp_path / "person.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    persons = read(tmp_path)["person"]
    assert persons.rows() == [
        ("1", "2000-01-01", 'Öst, "A"\r\nB'),
        ("2", "2001-01-01", None),
        ("3", "2002-01-01", None),
    ]


def test_a_table_in_two_forms_or_a_column_twice_is_refused(tmp_path: Path) -> None:
    write(PERSONS, tmp_path / "person.csv")
    write(PERSONS, tmp_path / "person" / "part.csv")
    assert "more than one form" in refusal(tmp_path).rule
    (tmp_path / "person" / "part.csv").unlink()
    (tmp_path / "person.csv").write_text("person_id,birth_date,birth_date\n1,2000-01-01,2000-01-01\n")
    assert "same name" in refusal(tmp_path).rule


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(PERSONS, tmp_path / "person.csv")
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "person.csv").symlink_to(tmp_path / "person.csv")
    assert "link" in refusal(tmp_path / "feed").rule


def test_unknown_files_and_columns_are_remarks(tmp_path: Path) -> None:
    write(PERSONS.with_columns(shoe_size=pl.lit(43)), tmp_path / "person.csv")
    (tmp_path / f"{CANARY}.xlsx").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    source = FeedSource(tmp_path)
    assert "shoe_size" not in dict(source.batches())["person"].columns
    remarks = source.remarks()
    assert Remark("person", "shoe_size", "the column is not one of the table's and was left out") in remarks
    assert Remark("feed", None, "files that are no table of a feed were left out", 1) in remarks
    assert Remark("contact", None, "the table is not in the feed") in remarks
    assert CANARY not in str(remarks)


@pytest.mark.parametrize(
    "name", ["contact.csv.gz", "contact.CSV", "Contact.csv", "contact/1.csv.gz", "contact/1.Parquet"]
)
def test_a_file_of_a_table_that_cannot_be_read_is_not_passed_over(tmp_path: Path, name: str) -> None:
    write(PERSONS, tmp_path / "person.csv")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    refused = refusal(tmp_path)
    assert (refused.table, refused.rule.partition(" of")[0]) == ("contact", "a file")


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_a_table_of_a_header_alone_has_no_rows(tmp_path: Path, end: str) -> None:
    write(PERSONS, tmp_path / "person.csv")
    (tmp_path / "contact.csv").write_bytes(f"person_id,event_date,channel{end}".encode())
    assert "contact" not in read(tmp_path)
    (tmp_path / "contact.csv").write_bytes(f"person_id,event_date,channel{end or chr(10)}1,2024-01-01,visit".encode())
    assert read(tmp_path)["contact"].height == 1


def test_nothing_is_yielded_before_every_file_has_been_looked_at(tmp_path: Path) -> None:
    write(PERSONS, tmp_path / "person.csv")
    (tmp_path / "vaccination.csv").write_bytes(b"")
    with pytest.raises(SourceRefused):
        next(FeedSource(tmp_path).batches())


def test_reading_leaves_the_feed_as_it_is(tmp_path: Path) -> None:
    write(PERSONS, tmp_path / "person.csv")
    write(CONTACTS, tmp_path / "contact.parquet")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    read(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_long_files_come_in_batches_and_the_expected_rows_are_about_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(files_module, "BATCH_ROWS", 100)
    write(pl.concat([PERSONS] * 500), tmp_path / "person.csv")
    write(pl.concat([CONTACTS] * 500), tmp_path / "contact.parquet")
    heights: dict[str, list[int]] = {}
    source = FeedSource(tmp_path)
    for table, rows in source.batches():
        heights.setdefault(table, []).append(rows.height)
    assert sum(heights["person"]) == 1500
    assert sum(heights["contact"]) == 1000
    assert max(heights["person"]) < 300
    assert max(heights["contact"]) <= 100
    assert abs((source.rows_expected() or 0) - 2500) < 50


def test_a_file_is_not_taken_into_memory_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "BLOCK_BYTES", 1 << 16)
    row = "1,2000-01-01," + "x" * 200 + "\n"
    (tmp_path / "person.csv").write_text("person_id,birth_date,family_name\n" + row * 20_000)
    assert max(rows.estimated_size() for _, rows in FeedSource(tmp_path).batches()) < 1 << 17


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.one_of(st.none(), TEXT), min_size=1, max_size=20))
def test_any_text_survives_the_way_through_csv(tmp_path: Path, names: list[str | None]) -> None:
    frame = pl.DataFrame(
        {"person_id": [str(place) for place in range(len(names))], "birth_date": "2000-01-01", "family_name": names},
        schema_overrides={"family_name": pl.String},
    )
    write(frame, tmp_path / "person.csv")
    assert read(tmp_path)["person"].equals(frame)
