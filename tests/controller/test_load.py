import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.errors import KeyUnavailable, SourceRefused
from schemas.tables import TABLES
from tests.controller.people import diagnoses, identity_code, persons
from transforms.controller import lake_files, load
from transforms.controller.keys import Keyring
from transforms.controller.load import Loader, Terms
from transforms.controller.pseudonymise import pseudonym_key, pseudonymise
from transforms.controller.quarantine import quarantine_key, unseal
from transforms.controller.sorting import in_order
from transforms.controller.supersede import distinct
from transforms.retracted import IS_RETRACTED

KEYRING = Keyring("e1", {"e1": bytes(range(32))})
TERMS = Terms(KEYRING, "district-stats", "hetu", "month", load_areas(), date(2026, 10, 31), date(2026, 11, 1))


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    for folder in ("staging", "quarantine"):
        (tmp_path / folder).mkdir()
    return Loader(TERMS, tmp_path / "staging", tmp_path / "quarantine")


def finish(loader: Loader) -> dict[str, pl.DataFrame]:
    return {
        name: pl.concat([pl.read_parquet(path) for path in paths])
        if paths
        else pl.DataFrame(schema=TABLES[name].platform_schema)
        for name, paths in loader.finish()
    }


def rejected(tmp_path: Path) -> pl.DataFrame:
    key = quarantine_key(KEYRING)
    return pl.concat([unseal(path, key) for path in sorted((tmp_path / "quarantine").iterdir())], how="diagonal")


def test_persons_are_numbered_in_the_order_of_their_pseudonyms_and_carry_no_identifier(loader: Loader) -> None:
    people = persons(50)
    loader.add("person", people)
    found = finish(loader)["person"]
    assert found["person_number"].to_list() == list(range(50))
    assert found.schema == TABLES["person"].platform_schema
    plain = {
        row.tobytes() for row in pseudonymise(people["person_id"], pseudonym_key(KEYRING, "hetu", "district-stats"))
    }
    assert set(found["pseudonym"]) == plain
    assert set(found["birth_date"].dt.day()) == {1}


def test_numbers_do_not_depend_on_the_order_in_which_persons_come(tmp_path: Path) -> None:
    people = persons(40)
    found = []
    for name, rows in (("a", people), ("b", people.sample(fraction=1, shuffle=True, seed=3))):
        for folder in ("staging", "quarantine"):
            (tmp_path / name / folder).mkdir(parents=True)
        loader = Loader(TERMS, tmp_path / name / "staging", tmp_path / name / "quarantine")
        loader.add("person", rows)
        found.append(finish(loader)["person"])
    assert found[0].equals(found[1])


@pytest.mark.parametrize("turns", [(0, 1), (1, 0)])
def test_of_rows_of_one_person_the_one_that_came_last_counts_in_whatever_turn_batches_are_worked(
    loader: Loader, turns: tuple[int, int]
) -> None:
    people = persons(3)
    batches = [people.with_columns(death_date=pl.lit(date(2025, 5, day))) for day in (1, 2)]
    for part in turns:
        loader.add("person", batches[part], part)
    assert set(finish(loader)["person"]["death_date"]) == {date(2025, 5, 2)}
    assert (loader.tallies["person"].rows_in, loader.tallies["person"].kept) == (6, 3)


def test_events_find_their_person_in_any_spelling_of_the_code(loader: Loader) -> None:
    people = persons(3)
    first = people["person_id"][0]
    loader.add("person", people)
    loader.add("diagnosis", diagnoses([first, f"1.2.246.21.{first}", f" {first.lower()} "], code="E119"))
    found = finish(loader)
    assert found["diagnosis"].height == 1  # three exact duplicates once the spelling is normal
    assert found["diagnosis"]["code"].to_list() == ["E11.9"]
    assert loader.tallies["diagnosis"].quarantined == {"exact duplicate": 2}


def test_files_are_sorted_for_reading_by_code(loader: Loader) -> None:
    people = persons(30)
    loader.add("person", people)
    random.seed(4)
    for _ in range(3):
        ids = random.choices(people["person_id"].to_list(), k=100)
        codes = pl.Series("code", random.choices(["E11.9", "I10", "F20", "J44.9"], k=100))
        loader.add("diagnosis", diagnoses(ids).with_columns(codes))
    found = finish(loader)["diagnosis"]
    assert found.select(*TABLES["diagnosis"].order).equals(found.select(*TABLES["diagnosis"].order).sort(pl.all()))


BROKEN: list[tuple[str, dict[str, object], str]] = [
    ("person", {"person_id": "010110A9000"}, "person_id: is not a valid identifier"),
    ("person", {"person_id": None}, "person_id: is missing"),
    ("person", {"birth_date": None}, "birth_date: is missing"),
    ("person", {"birth_date": "31.2.2010"}, "birth_date: cannot be read"),
    ("person", {"birth_date": "1779-01-01"}, "birth_date: is before 1880"),
    ("person", {"birth_date": "2031-01-01"}, "birth_date: is in the future"),
    ("person", {"sex": "f"}, "sex: is not one of the terms"),
    ("person", {"death_date": "2001-01-01"}, "death_date: is before the first day"),
    ("person", {"is_retracted": "true"}, "is_retracted: the source took the row back"),
    ("diagnosis", {"person_id": "010110A9000"}, "person_id: is not a valid identifier"),
    ("diagnosis", {"person_id": identity_code(date(1999, 1, 1), sign="-")}, "person_id: is not among the persons"),
    ("diagnosis", {"person_id": None}, "person_id: is missing"),
    ("diagnosis", {"code": " "}, "code: is missing"),
    ("diagnosis", {"code": "E11 9"}, "code: is not written as a code"),
    ("diagnosis", {"code": "see the note"}, "code: is not written as a code"),
    ("diagnosis", {"code_system": "icd9"}, "code_system: is not one of the terms"),
    ("diagnosis", {"event_date": "2020-02-30"}, "event_date: cannot be read"),
    ("diagnosis", {"event_date": "2027-01-01"}, "event_date: is in the future"),
    ("diagnosis", {"end_date": "2019-01-01"}, "end_date: is before the first day"),
    ("diagnosis", {"is_retracted": "maybe"}, "is_retracted: cannot be read"),
    ("medication", {"days_supplied": -1}, "days_supplied: is out of range"),
    ("medication", {"days_supplied": 100_000}, "days_supplied: is out of range"),
    ("medication", {"days_supplied": "many"}, "days_supplied: cannot be read"),
]


@pytest.mark.parametrize(("table", "change", "reason"), BROKEN, ids=[f"{t} {r}" for t, _, r in BROKEN])
def test_an_invalid_row_is_sealed_with_its_reason_and_nothing_is_lost(
    loader: Loader, tmp_path: Path, table: str, change: dict[str, object], reason: str
) -> None:
    people = persons(3)
    good = people["person_id"].to_list()
    text = dict.fromkeys(change, pl.String)
    if table == "person":
        loader.add("person", people)
        bad = persons(4).tail(1).cast({n: t for n, t in text.items() if n in people.columns})
    else:
        loader.add("person", people)
        bad = diagnoses(good[:1]).cast({n: t for n, t in text.items() if n in diagnoses(good).columns})
        if table == "medication":
            bad = bad.with_columns(code_system=pl.lit("atc"), code=pl.lit("N02AA01"))
    bad = bad.with_columns(**{name: pl.lit(value) for name, value in change.items()})
    loader.add(table, bad)
    finish(loader)
    tally = loader.tallies[table]
    assert tally.quarantined == {reason: 1}
    assert tally.rows_in == tally.kept + 1
    sealed = rejected(tmp_path)
    assert sealed["reason"].to_list() == [reason]
    for name, value in change.items():
        assert sealed[name].item() == (None if value is None else str(value))


def test_sealed_rows_are_not_readable_without_the_key(loader: Loader, tmp_path: Path) -> None:
    loader.add("person", persons(2))
    loader.add("person", persons(4).tail(2).with_columns(sex=pl.lit("f")))
    finish(loader)
    (sealed,) = (tmp_path / "quarantine").iterdir()
    assert b"Aanu" not in sealed.read_bytes()
    assert sealed.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyUnavailable, match="does not open"):
        unseal(sealed, bytes(32))


def test_rows_of_one_person_that_agree_are_one_person_and_a_death_is_not_lost(loader: Loader) -> None:
    twice = pl.concat(
        [
            persons(1).with_columns(recorded_date=pl.lit(date(2024, 1, 1)), death_date=pl.lit(date(2023, 12, 31))),
            persons(1).with_columns(recorded_date=pl.lit(date(2025, 1, 1)), death_date=pl.lit(None, dtype=pl.Date)),
        ]
    )
    loader.add("person", twice)
    found = finish(loader)["person"]
    assert found["death_date"].to_list() == [date(2023, 12, 31)]
    assert loader.tallies["person"].quarantined == {"merged with another row of the person": 1}


@pytest.mark.parametrize("change", [{}, {"sex": pl.lit("male"), "recorded_date": date(2025, 1, 1)}])
def test_rows_of_one_person_that_contradict_each_other_are_quarantined_with_their_events(
    loader: Loader, change: dict[str, object]
) -> None:
    people = persons(3).with_columns(recorded_date=date(2024, 1, 1))
    loader.add("person", people)
    loader.add("person", people.head(1).with_columns(birth_date=pl.lit(date(1990, 1, 1)), **change))
    loader.add("diagnosis", diagnoses(people["person_id"].to_list()))
    found = finish(loader)
    assert found["person"].height == 2
    assert loader.tallies["person"].quarantined == {"person_id: two persons share it": 2}
    assert loader.tallies["diagnosis"].quarantined == {"person_id: is not among the persons": 1}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"sex": "male"}, (date(2010, 1, 1), "male")),
        ({"sex": "unknown"}, (date(2010, 1, 1), "female")),
        ({"birth_date": date(2010, 1, 9)}, (date(2010, 1, 9), "female")),
        ({"birth_date": date(2010, 1, 9), "sex": None}, (date(2010, 1, 9), "female")),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_row_recorded_later_corrects_the_sex_or_the_date_of_birth(
    tmp_path: Path, change: dict[str, object], found: tuple[date, str], is_first: bool
) -> None:
    folders = [tmp_path / "staging", tmp_path / "quarantine"]
    for folder in folders:
        folder.mkdir()
    loader = Loader(replace(TERMS, birth_date="day"), *folders)
    said = persons(1).with_columns(recorded_date=date(2024, 1, 1))
    corrected = said.with_columns(recorded_date=date(2025, 1, 1), **{name: pl.lit(one) for name, one in change.items()})
    for rows in (corrected, said) if is_first else (said, corrected):
        loader.add("person", rows)
    loader.add("diagnosis", diagnoses(said["person_id"].to_list()))
    tables = finish(loader)
    assert tables["person"].select("birth_date", "sex").rows() == [found]
    assert tables["diagnosis"].height == 1
    assert loader.tallies["person"].quarantined == {"merged with another row of the person": 1}


def links(*pairs: tuple[str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"former_id": pl.String, "person_id": pl.String}, orient="row")


def test_a_changed_code_leads_to_one_person_with_all_events(loader: Loader) -> None:
    first, second, now, other = (identity_code(date(2010, 1, 1), number) for number in (900, 902, 904, 906))
    loader.add("identity_link", links((first, second), (f"1.2.246.21.{second}", now)))
    people = pl.DataFrame(
        {
            "person_id": [first, now, other],
            "birth_date": [date(2010, 1, 2), date(2010, 1, 1), date(2010, 1, 1)],
            "sex": ["male", "female", "female"],
            "recorded_date": [date(2026, 1, 1), date(2020, 1, 1), date(2020, 1, 1)],
        }
    )
    loader.add("person", people)
    loader.add(
        "diagnosis", diagnoses([first, second, now, other]).with_columns(code=pl.Series(["I10", "J44", "E11", "F20"]))
    )
    found = finish(loader)
    assert found["person"].height == 2
    assert found["person"]["sex"].to_list() == ["female", "female"]  # what stands under the current code is right
    assert sorted(found["diagnosis"].group_by("person_number").len()["len"]) == [1, 3]
    assert loader.tallies["person"].quarantined == {"merged with another row of the person": 1}
    assert loader.tallies["identity_link"].kept == 2


def test_links_that_disagree_lead_nowhere_and_are_quarantined(loader: Loader, tmp_path: Path) -> None:
    a, b, c, d, e = (identity_code(date(2011, 1, 1), 900 + number) for number in range(5))
    loader.add("identity_link", links((a, b), (a, c), (d, e), (e, d), ("no code", b)))
    loader.add(
        "person", pl.DataFrame({"person_id": [a, b, d], "birth_date": [date(2011, 1, 1)] * 3, "sex": ["male"] * 3})
    )
    assert finish(loader)["person"].height == 3
    assert loader.tallies["identity_link"].quarantined == {
        "former_id: leads to two persons, or round in a circle": 4,
        "former_id: is not a valid identifier": 1,
    }
    assert rejected(tmp_path).height == 5


def test_links_must_come_before_persons(loader: Loader) -> None:
    loader.add("person", persons(1))
    with pytest.raises(SourceRefused, match="after persons"):
        loader.add("identity_link", links(("010594Y9032", "010594Y9021")))


def test_a_person_under_a_security_ban_has_no_area(loader: Loader) -> None:
    people = persons(4)
    ids = people["person_id"].to_list()
    loader.add("person", people)
    homes = pl.DataFrame({"person_id": ids, "area_code": ["101", "102", "103", "104"]})
    loader.add("residence", homes)
    bans = pl.DataFrame(
        {
            "person_id": ids[:3],
            "kind": ["security_ban", "security_ban", "contact_ban"],
            "event_date": [date(2024, 1, 1)] * 3,
            "end_date": [None, date(2025, 1, 1), None],
        }
    )
    loader.add("restriction", bans)
    found = finish(loader)
    area = dict(
        found["residence"].join(found["person"], on="person_number").select("pseudonym", "area_code").iter_rows()
    )
    numbers = [
        row.tobytes() for row in pseudonymise(people["person_id"], pseudonym_key(KEYRING, "hetu", "district-stats"))
    ]
    assert [area[number] for number in numbers] == [None, "102", "103", "104"]


def test_a_finer_area_is_lifted_to_its_district_and_an_unknown_one_left_out(tmp_path: Path) -> None:
    for folder in ("staging", "quarantine"):
        (tmp_path / folder).mkdir()
    loader = Loader(TERMS, tmp_path / "staging", tmp_path / "quarantine")
    people = persons(2)
    loader.add("person", people)
    loader.add("residence", pl.DataFrame({"person_id": people["person_id"], "area_code": ["101", "999"]}))
    assert sorted(finish(loader)["residence"]["area_code"].to_list(), key=str) == ["101", None]


def test_persons_must_come_first_and_there_must_be_some(loader: Loader, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="no person"):
        loader.add("diagnosis", diagnoses(["010594Y9032"]))
    loader.add("person", persons(1))
    loader.add("diagnosis", diagnoses(persons(1)["person_id"].to_list()))
    with pytest.raises(SourceRefused, match="after other rows"):
        loader.add("person", persons(1))


def test_buckets_hold_every_event_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BUCKET_PERSONS", 7)
    for folder in ("staging", "quarantine"):
        (tmp_path / folder).mkdir()
    loader = Loader(TERMS, tmp_path / "staging", tmp_path / "quarantine")
    people = persons(40)
    loader.add("person", people)
    for day in range(1, 4):
        loader.add("diagnosis", diagnoses(people["person_id"].to_list(), event_date=date(2020, 1, day)))
    files = dict(loader.finish())["diagnosis"]
    assert len(files) == 6
    seen = pl.concat([pl.read_parquet(path) for path in files])
    assert sorted(seen["person_number"]) == sorted(list(range(40)) * 3)
    for path in files:
        assert pl.read_parquet(path)["person_number"].unique().len() <= 7


rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 2))), max_size=30
)


@given(rows)
@settings(max_examples=200, deadline=None)
def test_sorting_keeps_each_distinct_row_once(values: list[tuple[str, int, int | None]]) -> None:
    frame = pl.DataFrame(values, schema={"code": pl.String, "number": pl.Int32, "value": pl.Int32}, orient="row")
    found = in_order(distinct(frame), ("code", "number"))
    assert sorted(found.iter_rows(), key=repr) == sorted(set(values), key=repr)
    assert found.select("code", "number").equals(found.select("code", "number").sort("code", "number"))


flagged = st.lists(
    st.tuples(st.sampled_from(["E11.9", "I10"]), st.integers(0, 3), st.sampled_from([True, False, None])), max_size=30
)


@pytest.mark.parametrize("wide", [False, True])
@given(flagged, st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_rows_taken_back_lie_behind_the_others_in_files_of_their_own(
    wide: bool, values: list[tuple[str, int, bool | None]], rows_a_file: int
) -> None:
    frame = pl.DataFrame(values, schema=["code", "number", "is_retracted"], orient="row")
    frame = frame.cast({"code": pl.String, "number": pl.Int64, "is_retracted": pl.Boolean}).with_row_index("place")
    if wide:  # more than fits into one number, so that rows are compared
        frame = frame.with_columns(number=pl.col("number") * (1 << 61))
    expected = sorted(frame.rows(), key=lambda row: (row[3] is True, *row[1:3], row[0]))
    ordered = in_order(frame, ("code", "number"))
    assert ordered.rows() == expected
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(lake_files, "FILE_ROWS", rows_a_file)
        for rows in (ordered, ordered.reverse()):
            files = [pl.read_parquet(path) for path in lake_files.write_run(rows, Path(folder) / "run")]
            assert all(file.select(IS_RETRACTED).n_unique() == 1 for file in files)
            assert [row for file in files for row in file.rows()] == [
                row for kind in (~IS_RETRACTED, IS_RETRACTED) for row in rows.filter(kind).rows()
            ]


def test_the_tally_notices_a_row_that_disappears() -> None:
    tally = load.Tally(rows_in=3, kept=1)
    tally.quarantined["code: is missing"] = 1
    with pytest.raises(AssertionError):
        tally.reconcile("diagnosis")
