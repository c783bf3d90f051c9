"""Drafting an indicator: its faults told, its people counted, its cells protected, its files written or refused."""

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from notebooks.parts import drafts, practice
from schemas.areas import load_areas
from schemas.errors import SourceRefused, UsageRefused
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from transforms.analysis.cases import read_cases
from transforms.analysis.counts import counts
from transforms.analysis.evaluation import evaluate

AS_OF = date(2026, 10, 31)
TEXT, CASES = drafts.example("diabetes_hba1c_missing")
NEW = TEXT.replace('id = "diabetes_hba1c_missing"', 'id = "diabetes_hba1c_late"')


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> practice.Practice:
    return practice.practice_city(tmp_path_factory.mktemp("practice"), 3000, 2, AS_OF)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    definitions, cases = tmp_path / "indicators", tmp_path / "cases"
    definitions.mkdir()
    cases.mkdir()
    shutil.copyfile(drafts.INDICATORS / "exclusions.toml", definitions / "exclusions.toml")
    return definitions, cases


def test_the_gaps_of_the_practice_city_are_those_that_the_generator_planned(tmp_path: Path) -> None:
    feed, lake = tmp_path / "feed", tmp_path / "lake"
    practice._generate(feed, 2000, 2, AS_OF, 3)
    practice.lay_out(feed, lake)
    files = {path.stem: [str(path)] for path in lake.glob("*.parquet")}
    areas = pl.read_parquet(files.pop("area")[0])
    statuses = evaluate(files, list(load_indicators().values()), [AS_OF], (0,), areas)
    found = counts(statuses).group_by("indicator").agg(pl.col("open").sum().cast(pl.Int64)).filter(pl.col("open") > 0)
    truth = pl.read_parquet(feed / "truth" / "gaps.parquet").filter(pl.col("status") == "open")
    planned = truth.group_by("indicator").agg(open=pl.len().cast(pl.Int64))
    assert planned.height > 10
    assert found.sort("indicator").equals(planned.sort("indicator"))


def test_the_practice_city_holds_no_identifier_and_is_made_once(tmp_path: Path) -> None:
    city = practice.practice_city(tmp_path, 200, 1, AS_OF)
    columns = {name for files in city.files.values() for name in pl.read_parquet_schema(files[0])}
    assert not columns & {"person_id", "given_names", "family_name", "phone", "email", "street_address", "note"}
    assert [path.name for path in tmp_path.iterdir()] == ["2026-10-31-200-persons-1-years-1"]
    made = Path(city.files["person"][0]).stat().st_mtime_ns
    assert Path(practice.practice_city(tmp_path, 200, 1, AS_OF).files["person"][0]).stat().st_mtime_ns == made


def test_a_practice_city_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused):
        practice.practice_city(tmp_path, 200, 99, AS_OF)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (NEW.replace("within =", "wihtin ="), "diabetes_hba1c_late.toml: exclusion.gestational_diabetes.when.wihtin",
         "the key is unknown"),
        (NEW.replace('["hba1c"]', '["hba1d"]'), "diabetes_hba1c_late.toml: closed.codes", "no such code list"),
        (NEW.replace("version = 1", "version = 0"), "diabetes_hba1c_late.toml: version", "at least 1"),
        ('version = 1\nid = "../x"', "draft.toml: source", "missing"),
        ("id = ", "draft.toml", "not valid TOML"),
        ("", "draft.toml: id", "missing"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place_and_the_mend(text: str, where: str, what: str) -> None:
    with pytest.raises(UsageRefused) as refused:
        drafts.read_draft(text)
    told = drafts.in_words(refused.value)
    assert told["where"] == where
    assert what in told["what"]
    assert told["mend"]


def test_a_composite_may_be_drafted_over_the_projects_indicators() -> None:
    text = drafts.example("multiple_gaps")[0].replace('id = "multiple_gaps"', 'id = "many_gaps"')
    assert drafts.read_draft(text).components == load_indicators()["multiple_gaps"].components


def test_everybody_of_the_city_has_one_status(city: practice.Practice) -> None:
    draft = drafts.read_draft(NEW)
    counted = drafts.count_draft(draft, city, load_policy().age_band_starts)
    told = drafts.told(draft, counted.people, "fi")
    assert told["Persons"].sum() == counted.people["persons"].sum() == 3000
    whole = counted.figures.filter(pl.all_horizontal(pl.col("area_code", "sex", "age_band") == "*"))
    opened = told.filter(pl.col("Status") == "open")["Persons"][0]
    closed = told.filter(pl.col("Status") == "closed")["Persons"][0]
    assert whole.select("gap", "eligible").row(0) == (opened, opened + closed)
    assert opened > 0
    shares = told["% of the population"].drop_nulls()
    assert shares.sum() == pytest.approx(100, abs=0.5)


def test_the_effect_of_suppression_is_that_of_the_policys_rules(city: practice.Practice) -> None:
    policy = load_policy()
    cells = drafts.count_draft(drafts.read_draft(NEW), city, policy.age_band_starts).cells
    effect = drafts.suppression(cells, policy.disclosure)
    inner = effect.by_level.filter(pl.col("area") == "district", pl.col("people") == "all, by sex, by age")
    closed = cells["eligible"] - cells["gap"]
    small = sum(int(values.is_between(1, 4).sum()) for values in (cells["eligible"], cells["gap"], closed))
    everybody = int(((closed == 0) & (cells["eligible"] > 0)).sum())
    assert inner["unsafe"].to_list() == [small + everybody]
    assert effect.by_level["cells"].sum() == effect.cells
    assert effect.by_level["unsafe"].sum() == effect.unsafe
    assert effect.by_level["also"].sum() == effect.also > 0
    assert effect.by_district.height == load_areas().filter(pl.col("level") == "district").height + 1
    assert effect.exact == 0


def test_cases_that_fail_or_are_missing_are_named() -> None:
    draft = drafts.read_draft(NEW)
    outcomes, unreached = drafts.check_cases(draft, CASES)
    assert unreached == []
    assert all(outcome.holds for outcome in outcomes)
    wrong = CASES.replace('expect = "open"', 'expect = "closed"', 1)
    outcomes, _ = drafts.check_cases(draft, wrong)
    assert [outcome.name for outcome in outcomes if not outcome.holds] == ["no measurement at all"]
    few = CASES.split("[[case]]")[0] + '[[case]]\nname = "one"\nexpect = "open"\n'
    assert "excluded: died" in drafts.check_cases(draft, few)[1]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (("as_of = 2023-03-31", "as_of = 2023-03-31\nx = 1"), "x"),
        (('code = "E11.9"', 'kode = "E11.9"'), "case[1].diagnosis[1].kode"),
        (("born = 1960-05-01", 'born = "1960"'), "case[1].born"),
        (('name = "no measurement at all"\n', ""), "case[1].name"),
        (('name = "measured on the as-of date"', 'name = "no measurement at all"'), "case[2].name"),
        (("event_date = 2015-06-01", "event_date = 2015-06-01T10:00:00"), "case[1].diagnosis[1].event_date"),
        (("as_of = 2023-03-31\n", ""), "case[1].as_of"),
    ],
)
def test_a_fault_in_the_cases_is_told_with_its_place(change: tuple[str, str], where: str) -> None:
    text = CASES.replace(*change, 1)
    assert text != CASES
    with pytest.raises(UsageRefused) as refused:
        read_cases("x.toml", text)
    assert refused.value.column == where


def test_a_draft_is_saved_as_it_was_written_and_not_over_another(folders: tuple[Path, Path]) -> None:
    definitions, cases = folders
    paths = drafts.save_draft(NEW, CASES, replace=False, folder=definitions, cases_folder=cases)
    assert [path.read_text() for path in paths] == [NEW, CASES]
    assert [path.name for path in paths] == ["diabetes_hba1c_late.toml"] * 2
    assert load_indicators(definitions)["diabetes_hba1c_late"].version == 1
    with pytest.raises(UsageRefused, match="there already"):
        drafts.save_draft(NEW, CASES, replace=False, folder=definitions, cases_folder=cases)
    drafts.save_draft(NEW.replace("Diabetes without", "Diabetes lacking"), CASES, replace=True,
                      folder=definitions, cases_folder=cases)  # fmt: skip
    assert not [path for folder in folders for path in folder.iterdir() if path.name.startswith(".")]


def test_another_meaning_needs_another_version(folders: tuple[Path, Path]) -> None:
    definitions, cases = folders
    given = {"folder": definitions, "cases_folder": cases}
    drafts.save_draft(NEW, CASES, replace=False, **given)
    other = NEW.replace('grace = "1 month"', 'grace = "2 months"')
    with pytest.raises(UsageRefused, match="Raise version above 1"):
        drafts.save_draft(other, CASES, replace=True, **given)
    assert (definitions / "diabetes_hba1c_late.toml").read_text() == NEW
    drafts.save_draft(other.replace("version = 1", "version = 2"), CASES, replace=True, **given)
    assert load_indicators(definitions)["diabetes_hba1c_late"].version == 2


@pytest.mark.parametrize(
    ("text", "cases"),
    [(NEW.replace('within = "12 months"', 'within = "6 months"'), CASES), (NEW, CASES.split("[[case]]")[0]),
     (NEW, "[[case]]".join(CASES.split("[[case]]")[:2])), ("x", CASES)],
)  # fmt: skip
def test_what_does_not_hold_is_not_saved(text: str, cases: str, folders: tuple[Path, Path]) -> None:
    definitions, cases_folder = folders
    with pytest.raises(UsageRefused):
        drafts.save_draft(text, cases, replace=True, folder=definitions, cases_folder=cases_folder)
    assert [path.name for path in definitions.iterdir()] == ["exclusions.toml"]
    assert list(cases_folder.iterdir()) == []
