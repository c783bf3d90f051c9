import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.errors import BoundaryRefused
from schemas.policy import load_policy
from schemas.tables import TABLES
from tests.leaks import clean
from tests.leaks.clean import CODE, Staged, files_in
from transforms.controller import canaries as module
from transforms.controller.boundary import check_boundary
from transforms.controller.canaries import Canaries, letters
from transforms.controller.shapes import ill_shaped, public_words


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    clean.load(tmp_path / "load")
    return Staged(tmp_path / "load")


def test_a_column_that_the_inventory_does_not_cover_is_refused_and_the_assessment_must_be_renewed(
    staged: Staged,
) -> None:
    policy = load_policy()
    without = {
        table: {name: terms for name, terms in columns.items() if (table, name) != ("diagnosis", "code")}
        for table, columns in policy.inventory.items()
    }
    with pytest.raises(BoundaryRefused, match="impact assessment") as caught:
        check_boundary(files_in(staged.folder), replace(policy, inventory=without))
    assert (caught.value.table, caught.value.column) == ("diagnosis", "code")


def test_a_table_that_does_not_cross_is_refused(staged: Staged) -> None:
    files = files_in(staged.folder)
    files["identity_link"] = files["diagnosis"]
    with pytest.raises(BoundaryRefused, match="not one that crosses"):
        check_boundary(files, load_policy())


@pytest.mark.parametrize(
    "table", [table for table in sorted(TABLES) if table in ("person", "diagnosis", "measurement")]
)
def test_each_column_must_have_its_declared_type_in_the_file(table: str, staged: Staged) -> None:
    for column, dtype in TABLES[table].platform_schema.items():
        other = pl.Binary if dtype == pl.String() else pl.String
        path = staged.path(table)
        before = path.read_bytes()
        staged.change(
            table, lambda rows, column=column, other=other: rows.with_columns(pl.lit(None, other).alias(column))
        )
        with pytest.raises(BoundaryRefused, match="type") as caught:
            check_boundary(files_in(staged.folder), load_policy())
        assert (caught.value.table, caught.value.column) == (table, column)
        path.write_bytes(before)
    check_boundary(files_in(staged.folder), load_policy())


def test_the_geography_is_needed_to_tell_a_district_from_another_code(staged: Staged) -> None:
    files = {name: paths for name, paths in files_in(staged.folder).items() if name != "area"}
    with pytest.raises(BoundaryRefused) as caught:
        check_boundary(files, load_policy())
    assert (caught.value.table, caught.value.column) == ("residence", "area_code")


def test_identity_codes_are_found_without_having_seen_the_batch(staged: Staged) -> None:
    staged.put("area", "name_sv", CODE.lower())
    with pytest.raises(BoundaryRefused) as caught:
        check_boundary(files_in(staged.folder), load_policy())
    assert caught.value.table == "area"
    assert caught.value.count is not None
    assert caught.value.count >= 1


def test_persons_who_are_called_like_districts_and_services_stop_no_batch(staged: Staged) -> None:
    canaries = clean.canaries()
    canaries.add(
        "person",
        clean.PEOPLE.with_columns(given_names=pl.lit("Health Home"), family_name=pl.lit("Kallio"), phone=pl.lit("0")),
    )
    check_boundary(files_in(staged.folder), load_policy(), canaries)


def test_a_few_large_results_may_coincide_with_somebodys_digits(staged: Staged) -> None:
    digits = float(CODE[:6] + CODE[7:10])
    results = [digits, *(40_000_000.0 + 3 * number for number in range(clean.COUNT - 1))]
    staged.fill("measurement", "value", [*results])
    check_boundary(files_in(staged.folder), load_policy(), clean.canaries())


CODES = {
    "diagnosis.code": (["E11.9", "F32.10", "A39.2+G01*", "T14", "44054006"], ["aho", "Aho", "E11 9", "0457000001x"]),
    "measurement.code": (["4548-4", "6128", "QALY"], ["glukoosi", "AHOLA"]),
    "measurement.unit": (["mmol/mol", "%", "mL/min/{1.73_m2}", "10*9/L", "µg/L"], ["ml min", "a@b", "0457000001"]),
    "medication.code": (["A10BA02", "N02BE01", "860975"], ["Burana", "metformin"]),
    "contact.service": (["health_centre", "äitiysneuvola", "kotihoito-2"], ["+358", "two words", "a" * 41, "x12345"]),
    "residence.area_code": (["101", "091", "MA-new-bedford"], ["Kallio 3", "00530 Helsinki"]),
    "person.sex": (["female", "unknown"], ["F", "quaxel"]),
}


@pytest.mark.parametrize(("place", "values"), CODES.items(), ids=list(CODES))
def test_how_codes_are_written(place: str, values: tuple[list[str], list[str]]) -> None:
    name, _, column_name = place.partition(".")
    table, column = TABLES[name], TABLES[name].column(column_name)
    well, ill = values
    assert not ill_shaped(pl.Series(well), table, column).any()
    assert ill_shaped(pl.Series(ill), table, column).all()


def test_public_words_are_those_of_the_declarations() -> None:
    assert {"health", "centre", "child", "clinic"} <= public_words()
    assert "quaxel" not in public_words()


def test_canaries_show_nothing_and_cannot_be_stored() -> None:
    canaries = clean.canaries()
    assert repr(canaries) == "Canaries()"
    with pytest.raises(TypeError, match="stay in memory"):
        pickle.dumps(canaries)


def test_canaries_know_values_in_any_spelling_and_nothing_else() -> None:
    canaries = clean.canaries()
    known = {
        "identifier": [CODE, CODE.lower(), f" {CODE} "],
        "phone": ["+3584570000007", "04570000007", "00358 457 000 0007"],
        "email": ["QUAXEL.7@EXAMPLE.ORG"],
        "address": ["keksittykatu 7b3"],
        "name": ["quaxel", "WIXÖSTRÖM", "zyl12"],
    }
    for kind, texts in known.items():
        assert canaries.has_text(kind, pl.Series(texts)).all(), kind
        assert not canaries.has_text(kind, pl.Series(["another", "0501234567", "E11.9", None])).any()


def test_canaries_of_batches_add_up_and_stay_small() -> None:
    once, twice = Canaries(), Canaries()
    for _ in range(3):
        twice.add("person", clean.PEOPLE)
    once.add("person", clean.PEOPLE)
    for kind in ("name", "identifier", "phone", "email", "person"):
        assert len(once._all(kind)) == len(twice._all(kind)) > 0
        assert once._all(kind).dtype == pl.UInt64


def test_batches_that_come_at_once_are_all_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PENDING", 0)  # what is held is put together at every batch
    monkeypatch.setattr(module, "RECORDS", 50)
    canaries = Canaries()
    batches = [
        pl.DataFrame({"person_id": [f"P{thread:02d}-{n:04d}"], "record_id": [f"record-{thread:02d}-{n:04d}"]})
        for n in range(8)
        for thread in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda rows: canaries._add_texts("email", rows["person_id"]), batches))
        list(pool.map(lambda rows: canaries.add("diagnosis", rows), batches))
    every = pl.concat(batches)
    assert canaries.has_text("email", every["person_id"]).all()
    assert canaries.has_text("identifier", every["record_id"]).sum() == 50


def test_letters_leave_letters_and_digits() -> None:
    assert letters(pl.Series(["A-b c_1.", "Ä–ö", None])).to_list() == ["abc1", "äö", None]
    assert np.all(letters(pl.Series(["", "."])).to_numpy() == "")


def test_one_identifier_among_random_keys_is_found() -> None:
    canaries = Canaries()
    canaries.add("person", pl.DataFrame({"person_id": [CODE]}))
    keys = np.random.default_rng(1).integers(0, 256, (5000, 16), dtype=np.uint8)
    values = [*map(bytes, keys), CODE.encode().ljust(16, b"\0"), None, bytes(16)]
    found = canaries.has_binary("record_key", pl.Series(values, dtype=pl.Binary))
    assert found.arg_true().to_list() == [5000]
