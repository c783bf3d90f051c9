from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables import TABLES
from transforms.controller.codes import normal_schema
from transforms.controller.normalise import normalise


def one(table: str, **values: object) -> dict[str, object]:
    rows, _ = normalise(pl.DataFrame({name: [value] for name, value in values.items()}), TABLES[table], "hetu")
    assert rows.schema == normal_schema(TABLES[table])
    return rows.row(0, named=True)


def unreadable(table: str, **values: object) -> set[str]:
    raw = pl.DataFrame({name: [value] for name, value in values.items()})
    return set(normalise(raw, TABLES[table], "hetu")[1])


@pytest.mark.parametrize(
    "spelt",
    [
        "2024-02-29",
        "2024-02-29T23:59:59Z",
        "2024-02-29T00:30:00+14:00",
        "2024-02-29 10:00:00",
        " 29.2.2024 ",
        "29.02.2024",
    ],
)
def test_the_date_is_the_one_that_was_written(spelt: str) -> None:
    assert one("contact", event_date=spelt)["event_date"] == date(2024, 2, 29)


@pytest.mark.parametrize("value", [date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, tzinfo=UTC)])
def test_typed_dates_are_taken_as_they_are(value: object) -> None:
    assert one("contact", event_date=value)["event_date"] == date(2024, 2, 29)


@pytest.mark.parametrize("spelt", ["2023-02-29", "20240229", "2024-13-01", "29/02/2024", "soon", "2024-02-29x"])
def test_what_is_not_a_date_is_reported_and_not_guessed(spelt: str) -> None:
    assert one("contact", event_date=spelt)["event_date"] is None
    assert unreadable("contact", event_date=spelt) == {"event_date"}


@pytest.mark.parametrize(
    ("spelt", "value"),
    [("7,2", 7.2), ("7.2", 7.2), (" 54 ", 54.0), ("<5", 5.0), (">= 130", 130.0), ("-1", -1.0), ("1e2", 100.0)],
)
def test_numbers_in_the_spellings_of_laboratories(spelt: str, value: float) -> None:
    assert one("measurement", value=spelt)["value"] == value


@pytest.mark.parametrize("spelt", ["seven", "7,2,1", "inf", "nan", "1 000", "--"])
def test_what_is_not_a_number_is_reported(spelt: str) -> None:
    assert one("measurement", value=spelt)["value"] is None
    assert unreadable("measurement", value=spelt) == {"value"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_reported(value: float) -> None:
    assert one("measurement", value=value)["value"] is None
    assert unreadable("measurement", value=value) == {"value"}


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_empty_is_missing_and_not_unreadable(empty: str | None) -> None:
    for column in ("event_date", "value", "code", "is_retracted"):
        assert one("measurement", **{column: empty})[column] is None
        assert unreadable("measurement", **{column: empty}) == set()


@pytest.mark.parametrize(
    ("spelt", "code"),
    [
        ("E11.9", "E11.9"),
        ("e119", "E11.9"),
        ("E11", "E11"),
        (" T90 ", "T90"),
        ("44054006", "44054006"),
        ("C349", "C34.9"),
    ],
)
def test_icd_codes_get_their_dot(spelt: str, code: str) -> None:
    assert one("diagnosis", code=spelt)["code"] == code


def test_an_atc_code_keeps_its_spelling() -> None:
    assert one("medication", code="n06d")["code"] == "N06D"


def test_a_cvx_code_gets_its_leading_zero() -> None:
    assert one("vaccination", code="3")["code"] == "03"


def test_terms_are_lower_case() -> None:
    assert one("person", sex=" Female ")["sex"] == "female"


@pytest.mark.parametrize(("system", "code"), [("loinc", "4548-4"), ("kuntaliitto", "6128")])
def test_hba1c_in_percent_becomes_mmol_per_mol(system: str, code: str) -> None:
    found = one("measurement", code_system=system, code=code, value="7,0", unit="%")
    assert (found["value"], found["unit"]) == (53.0, "mmol/mol")


@pytest.mark.parametrize(
    ("code", "value", "unit", "expected"),
    [
        ("4548-4", "9.9", "%{HbA1c}", (84.7, "mmol/mol")),
        ("4548-4", "9.9", "% of Hb", (84.7, "mmol/mol")),
        ("4548-4", "19.9", None, (194.0, "mmol/mol")),
        ("4548-4", "20", None, (20.0, None)),
        ("59261-8", "19.9", None, (19.9, None)),
        ("4548-4", "19.9", "mmol/mol", (19.9, "mmol/mol")),
        ("59261-8", "85", "mmol/mol Hb", (85.0, "mmol/mol")),
        ("59261-8", "85", "mmol / mol{Hb}", (85.0, "mmol/mol")),
        ("44261-6", "7", "{score}", (7.0, "{score}")),
    ],
)
def test_units_with_a_remark_and_percent_by_definition(
    code: str, value: str, unit: str | None, expected: tuple[float, str | None]
) -> None:
    found = one("measurement", code_system="loinc", code=code, value=value, unit=unit)
    assert (found["value"], found["unit"]) == expected
    assert unreadable("measurement", unit=unit) == set()


def test_other_percentages_stay() -> None:
    found = one("measurement", code_system="loinc", code="20150-9", value=80.0, unit="%")
    assert (found["value"], found["unit"]) == (80.0, "%")


@given(st.floats(20, 200))
def test_the_conversion_is_the_inverse_of_the_master_equation(mmol_per_mol: float) -> None:
    percent = 0.09148 * mmol_per_mol + 2.152
    found = one("measurement", code_system="loinc", code="4548-4", value=percent, unit="%")["value"]
    assert found == pytest.approx(mmol_per_mol, abs=0.0501)


def test_integers_and_flags() -> None:
    assert one("medication", days_supplied="100")["days_supplied"] == 100
    assert unreadable("medication", days_supplied="100.5") == {"days_supplied"}
    assert one("medication", is_retracted="True")["is_retracted"] is True
    assert unreadable("medication", is_retracted="perhaps") == {"is_retracted"}


def test_columns_that_the_source_lacks_are_null_and_unknown_ones_dropped() -> None:
    raw = pl.DataFrame({"person_id": ["010594Y9032"], "shoe_size": [42]})
    rows, _ = normalise(raw, TABLES["person"], "hetu")
    assert rows.columns == list(TABLES["person"].names)
    assert rows["birth_date"].null_count() == 1


@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), max_size=20))
def test_any_text_is_either_read_or_reported(values: list[str | None]) -> None:
    raw = pl.DataFrame({"event_date": pl.Series(values, dtype=pl.String), "value": pl.Series(values, dtype=pl.String)})
    rows, lost = normalise(raw, TABLES["measurement"], "hetu")
    for column in ("event_date", "value"):
        none = [False] * len(values)
        for value, found, reported in zip(values, rows[column], lost.get(column, none), strict=True):
            assert (found is None) == (value is None or not value.strip() or reported)
