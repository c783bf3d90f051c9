"""What is wrong in a definition or a code list is refused with the file, the place in it and the mend."""

import tomllib
from pathlib import Path

import pytest

from schemas.codelists import CODE_SYSTEMS, LANGUAGES, load_codelists, parse_codelist
from schemas.codelists.check_digits import is_loinc, is_snomed
from schemas.errors import UsageRefused
from schemas.indicators import load_indicators
from schemas.services import SERVICES
from schemas.tables import TABLES
from transforms.analysis.compiling import compile_indicator
from transforms.analysis.explain import check_indicators, explain
from transforms.sources.synthetic.vocabulary import CONTACT, REQUEST, SPECIALTY

INDICATORS = load_indicators()
SOURCES = Path(__file__).parents[2] / "transforms" / "sources"

GOOD = """
id = "XX01"
version = 1
source = { fi = "a", sv = "b", en = "c" }
exclusions = ["died"]
title = { fi = "a", sv = "b", en = "c" }
target_group = { fi = "a", sv = "b", en = "c" }
description = { fi = "a", sv = "b", en = "c" }
population = { table = "diagnosis", codes = ["diabetes"], active = true }
closed = { table = "measurement", codes = ["hba1c"], within = "12 months" }
"""


def check(folder: Path, text: str, name: str = "XX01.toml") -> None:
    (folder / name).write_text(text, "utf-8")
    check_indicators(folder)


def test_the_projects_own_definitions_hold() -> None:
    assert set(check_indicators()) == {
        *("callback_late", "child_health_check_missed", "copd_influenza_vaccine_missing", "copd_spirometry_missing"),
        *("cvd_ldl_missing", "cvd_statin_missing", "dementia_medicine_no_review", "depression_no_followup"),
        *("diabetes_annual_checks_incomplete", "diabetes_hba1c_missing", "frail_no_contact", "hba1c_high_no_followup"),
        *("hypertension_bp_missing", "mmr_missing_at_two", "multiple_gaps", "no_show_not_rebooked", "opioid_no_review"),
        *("provider_cancelled_not_rebooked", "psychosis_metabolic_check_missing", "substance_use_no_followup"),
    }


def test_a_good_definition_is_taken(tmp_path: Path) -> None:
    check(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('id = "XX01"', 'id = "XX02"', "XX01.toml.id", "name of the file"),
        ("version = 1", "version = 0", "XX01.toml.version", "whole number"),
        ('source = { fi = "a", sv = "b", en = "c" }', 'source = "a"', "XX01.toml.source", "fi, sv and en"),
        ('source = { fi = "a", sv = "b", en = "c" }', "", "XX01.toml.source", "missing"),
        ('target_group = { fi = "a", sv = "b", en = "c" }', "", "XX01.toml.target_group", "missing"),
        ('target_group = { fi = "a", sv', "target_group = { sv", "XX01.toml.target_group.fi", "missing"),
        ("version = 1", "version = 1\ncolour = 1", "XX01.toml.colour", "unknown"),
        ("version = 1", "version 1", "XX01.toml", "not valid TOML"),
        ('title = { fi = "a", sv = "b",', 'title = { fi = "a",', "XX01.toml.title.sv", "missing"),
        ('title = { fi = "a",', 'title = { fi = " ",', "XX01.toml.title.fi", "missing"),
        ('title = { fi = "a",', 'title = { no = "a", fi = "a",', "XX01.toml.title", "fi, sv and en"),
        ('["died"]', '["died", "tired"]', "XX01.toml.exclusions[2]", "unknown"),
        ('["died"]', '["died", "died"]', "XX01.toml.exclusions", "twice"),
        ('["diabetes"]', '["diabets"]', "XX01.toml.population.codes", "no such code list"),
        ('["diabetes"]', '["hba1c"]', "XX01.toml.population.codes", "no code of hba1c can stand in diagnosis"),
        ('["diabetes"]', "[]", "XX01.toml.population.codes", "names no code list"),
        ('["diabetes"]', '["diabetes", "diabetes"]', "XX01.toml.population.codes", "twice"),
        ('table = "diagnosis"', 'table = "diagnoses"', "XX01.toml.population.table", "no such table"),
        ('table = "diagnosis"', 'table = "residence"', "XX01.toml.population.table", "no such table"),
        ("active = true", 'active = "yes"', "XX01.toml.population.active", "true or false"),
        ("active = true", "actve = true", "XX01.toml.population.actve", "unknown"),
        ("active = true", 'within = "1 fortnight"', "XX01.toml.population.within", "length of time"),
        ("active = true", 'from_age = "30 days"', "XX01.toml.population.from_age", "months or years"),
        ("active = true", "at_least = 0", "XX01.toml.population.at_least", "at least 1"),
        ("active = true", 'distinct = "code"', "XX01.toml.population.distinct", "says nothing"),
        ("active = true", 'at_least = 2, distinct = "kind"', "XX01.toml.population.distinct", "told apart"),
        ("active = true", 'at_least = 2, distinct = "code_list"', "XX01.toml.population.at_least", "more than"),
        ("active = true", 'where = { stage = "x" }', "XX01.toml.population.where.stage", "no such column"),
        ('within = "12 months"', "active = true", "XX01.toml.closed.active", "end_date"),
        ("closed = {", "closed = { died = true,", "XX01.toml.closed", "kind of clause"),
        ("closed = {", "closed = { all = [{ dead = true }] } #", "XX01.toml.closed.all[1]", "kind of clause"),
        ("closed = {", "closed = { all = [] } #", "XX01.toml.closed.all", "list of clauses"),
        ("closed = {", "closed = { died = false } #", "XX01.toml.closed.died", "only be true"),
        ("closed = {", "closed = 1 #", "XX01.toml.closed", "must be a table"),
        ("closed = {", "closed = { age_years = { from = 16, to = 10 } } #", "XX01.toml.closed.age_years.to", "16"),
        ("closed = {", "closed = { age_years = {} } #", "XX01.toml.closed.age_years", "bounds"),
        (
            "closed = {",
            'closed = { table = "vaccination", where = { status = "lost" } } #',
            "XX01.toml.closed.where.status",
            "given, refused, contraindicated",
        ),
        (
            "closed = {",
            "closed = { at_least = 2, of = [{ died = true }] } #",
            "XX01.toml.closed.at_least",
            "more than the clauses",
        ),
        (
            "closed = {",
            'closed = { table = "contact", where = { service = "a or b" } } #',
            "XX01.toml.closed.where.service",
            "words without spaces",
        ),
        (
            "closed = {",
            'closed = { table = "contact", where = { service = [] } } #',
            "XX01.toml.closed.where.service",
            "no value",
        ),
        (
            "closed = {",
            'closed = { table = "contact", where = { service = true } } #',
            "XX01.toml.closed.where.service",
            "texts",
        ),
        (
            "closed = {",
            'closed = { table = "contact", where_not = { service = "substance_servces" } } #',
            "XX01.toml.closed.where_not.service",
            "substance_services, or add it to schemas/services.py",
        ),
        (
            "closed = {",
            'closed = { any = [{ table = "appointment", where = { specialty = "a" } }, '
            '{ table = "appointment", where = { specialty = "A" } }] } #',
            "XX01.toml",
            "capitals",
        ),
        ("active = true", "value = { from = 1 }", "XX01.toml.population.value", "no values"),
        ("active = true", 'latest = "yes"', "XX01.toml.population.latest", "true or false"),
        ("active = true", "total = { days_supplied = 90 }", "XX01.toml.population.total", "whole numbers of diagnosis"),
        ("active = true", 'without_before = "0 days"', "XX01.toml.population.without_before", "length of time"),
        ("active = true", 'in_season = { from = "10-01" }', "XX01.toml.population.in_season", "first and its last"),
        (
            "active = true",
            'in_season = { from = "02-29", to = "03-31" }',
            "XX01.toml.population.in_season.from",
            "every year",
        ),
        ('within = "12 months"', "value = 75", "XX01.toml.closed.value", "bounds"),
        ('within = "12 months"', 'value = { from = "75" }', "XX01.toml.closed.value.from", "number"),
        ('within = "12 months"', "value = { to = 75 }", "XX01.toml.closed.value.to", "unknown"),
        ('within = "12 months"', 'followed_by = { from = "1 day" }', "XX01.toml.closed.followed_by", "missing"),
        (
            'within = "12 months"',
            'followed_by = { from = "1 day", to = "6 months", any = [{ table = "contacts" }] }',
            "XX01.toml.closed.followed_by.any[1].table",
            "no such table",
        ),
        (
            'within = "12 months"',
            'not_followed_by = { from = "1 day", to = "6 months", any = [{ table = "contact", latest = true }] }',
            "XX01.toml.closed.not_followed_by.any[1].latest",
            "unknown",
        ),
        (
            'within = "12 months"',
            'followed_by = { from = "1 day", to = "6 months", any = [] }',
            "XX01.toml.closed.followed_by.any",
            "list of events",
        ),
        (
            "closed = {",
            'closed = { table = "medication", at_least = 2, total = { days_supplied = 90 } } #',
            "XX01.toml.closed.total",
            "at_least",
        ),
        (
            "closed = {",
            'closed = { table = "medication", total = { days = 90 } } #',
            "XX01.toml.closed.total",
            "days_supplied",
        ),
        ("closed = {", 'closed = { part = "feet" } #', "XX01.toml.closed.part", "no such part"),
        ("closed = {", 'closed = { select = "call_back" } #', "XX01.toml.select", "cannot be used"),
        ("closed = {", 'closed = { select = "../counts" } #', "XX01.toml.closed.select", "not the name"),
        ("closed = {", 'closed = { select = "no_such" } #', "XX01.toml.select", "no SELECT no_such"),
        ("closed = {", 'closed = { select = "singling_out" } #', "XX01.toml.select", "cannot be used"),
        (
            "closed = {",
            'closed = { select = "provider_cancelled", where = { colour = true } } #',
            "XX01.toml.where.colour",
            "no such column",
        ),
    ],
)
def test_a_slip_is_refused_with_its_place(old: str, new: str, place: str, words: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(UsageRefused) as refused:
        check(tmp_path, GOOD.replace(old, new, 1))
    assert str(refused.value).startswith(f"{place}: ")
    assert words in str(refused.value)


def test_a_reason_of_its_own_must_be_used_and_be_named_in_every_language(tmp_path: Path) -> None:
    own = '[exclusion.tired]\nfi = "a"\nsv = "b"\nen = "c"\nwhen = { died = true }\n'
    check(tmp_path, GOOD.replace('["died"]', '["died", "tired"]') + own)
    with pytest.raises(UsageRefused, match=r"exclusion\.tired|tired: the reason is defined and not used"):
        check(tmp_path, GOOD + own)
    with pytest.raises(UsageRefused, match=r"exclusion\.tired\.en: the language is missing"):
        check(tmp_path, GOOD.replace('["died"]', '["tired"]') + own.replace('en = "c"\n', ""))
    with pytest.raises(UsageRefused, match=r"exclusion\.tired: the clause is missing"):
        check(tmp_path, GOOD.replace('["died"]', '["tired"]') + own.replace("when = { died = true }\n", ""))


def test_a_part_must_be_named_in_every_language_and_have_a_clause(tmp_path: Path) -> None:
    part = '[part.feet]\nfi = "a"\nsv = "b"\nen = "c"\ndone = { died = true }\n'
    check(tmp_path, GOOD + part)
    with pytest.raises(UsageRefused, match=r"part\.feet\.sv: the language is missing"):
        check(tmp_path, GOOD + part.replace('sv = "b"\n', ""))
    with pytest.raises(UsageRefused, match=r"part\.feet: the clause is missing. Add done"):
        check(tmp_path, GOOD + part.replace("done = { died = true }\n", ""))
    with pytest.raises(UsageRefused, match=r"part\.Feet: the name"):
        check(tmp_path, GOOD + part.replace("part.feet", "part.Feet"))


@pytest.mark.parametrize(
    ("deadlines", "place", "words"),
    [
        ("working_days = -1", r"deadline\[1\].working_days", "at least 0"),
        ("from = 2020-01-01\nworking_days = 1", "deadline", "without a deadline"),
        ("until = 2020-01-01\nworking_days = 1", "deadline", "without a deadline"),
        ('until = "2020-01-01"\nworking_days = 1', r"deadline\[1\].until", "not a day"),
        (
            "until = 2020-01-01\nworking_days = 1\n[[deadline]]\nfrom = 2020-01-03\nworking_days = 0",
            r"deadline\[2\]",
            "does not follow",
        ),
    ],
)
def test_a_dated_table_has_neither_holes_nor_overlaps(deadlines: str, place: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageRefused, match=f"{place}: .*{words}"):
        check(tmp_path, GOOD + f"[[deadline]]\n{deadlines}\n")


COMPOSITE = """
id = "XX02"
version = 1
source = { fi = "a", sv = "b", en = "c" }
exclusions = []
title = { fi = "a", sv = "b", en = "c" }
target_group = { fi = "a", sv = "b", en = "c" }
description = { fi = "a", sv = "b", en = "c" }
composite = { of = ["XX01"], at_least = 1 }
"""


@pytest.mark.parametrize(
    ("new", "place", "words"),
    [
        ('{ of = ["XX03"], at_least = 1 }', "XX02.toml.composite.of", "no indicator XX03"),
        ('{ of = ["XX02"], at_least = 1 }', "XX02.toml.composite.of", "composite itself"),
        ('{ of = ["XX03"], at_least = 1, once = [["XX01"]] }', "XX02.toml.composite.of", "no indicator XX03"),
        ('{ of = ["XX01", "XX01"], at_least = 1 }', "XX02.toml.composite.of", "twice"),
        ("{ of = [], at_least = 1 }", "XX02.toml.composite.of", "list of indicators"),
        ('{ of = ["XX01"], at_least = 2 }', "XX02.toml.composite.at_least", "more than"),
        ('{ of = ["XX01"], at_least = 1, once = [["XX09"]] }', "XX02.toml.composite.once", "not in of"),
        ('{ of = ["XX01"], at_least = 1, twice = [] }', "XX02.toml.composite.twice", "unknown"),
    ],
)
def test_a_slip_in_a_composite_is_refused_with_its_place(new: str, place: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "XX01.toml").write_text(GOOD, "utf-8")
    check(tmp_path, COMPOSITE, "XX02.toml")
    with pytest.raises(UsageRefused) as refused:
        check(tmp_path, COMPOSITE.replace('{ of = ["XX01"], at_least = 1 }', new), "XX02.toml")
    assert str(refused.value).startswith(f"{place}: ")
    assert words in str(refused.value)


CODELIST = 'source = "A register"\ntitle = { fi = "a", sv = "b", en = "c" }\n[codes]\nicd10 = ["E10"]\n'


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('icd10 = ["E10"]', "icd10 = []", "x.toml.codes.icd10", "empty"),
        ('icd10 = ["E10"]', 'icd10 = [""]', "x.toml.codes.icd10", "number 1 is not written"),
        ('icd10 = ["E10"]', 'icd10 = ["E10", "e11"]', "x.toml.codes.icd10", "number 2 is not written"),
        ('icd10 = ["E10"]', "icd10 = [10]", "x.toml.codes.icd10", "number 1 is not written"),
        ('icd10 = ["E10"]', 'icd10 = ["E10", "E10"]', "x.toml.codes.icd10", "twice"),
        ('icd10 = ["E10"]', 'loinc = ["18262-6", "18262-7"]', "x.toml.codes.loinc", "number 2 has a check digit"),
        ('icd10 = ["E10"]', 'snomed = ["44054007"]', "x.toml.codes.snomed", "number 1 has a check digit"),
        ('icd10 = ["E10"]', 'icd11 = ["E10"]', "x.toml.codes.icd11", "code system is unknown"),
        ('icd10 = ["E10"]', "", "x.toml.codes", "no codes"),
        ('source = "A register"', 'source = ""', "x.toml", "source of the codes is missing"),
        ('sv = "b", ', "", "x.toml.title.sv", "language is missing"),
        ("title =", "name = 1\ntitle =", "x.toml.name", "unknown"),
    ],
)
def test_a_slip_in_a_code_list_is_refused_with_its_place(old: str, new: str, place: str, words: str) -> None:
    parse_codelist("x.toml", CODELIST)
    assert old in CODELIST
    with pytest.raises(UsageRefused) as refused:
        parse_codelist("x.toml", CODELIST.replace(old, new, 1))
    assert str(refused.value).startswith(f"{place}: ")
    assert words in str(refused.value)


@pytest.mark.parametrize("code", ["46635009", "900000000000207008"])  # the second is longer than the turns are
def test_a_check_digit_tells_one_wrong_digit_and_two_that_changed_places(code: str) -> None:
    assert is_snomed(code)
    assert not any(is_snomed(code[:-1] + digit) for digit in "0123456789" if digit != code[-1])
    swapped = [code[:n] + code[n + 1] + code[n] + code[n + 2 :] for n in range(len(code) - 1)]
    assert not any(is_snomed(one) for one in swapped if one != code)
    assert [is_loinc(one) for one in ("12345-5", "12354-5", "2339-0", "2339-1")] == [True, False, True, False]


def test_every_service_that_sources_write_can_be_named_in_a_definition() -> None:
    mapped = [tomllib.loads((SOURCES / name).read_text("utf-8"))["service"] for name in ("fhir.toml", "omop.toml")]
    generated = {service for words in (CONTACT, REQUEST, SPECIALTY) for service in words.frame["service"]}
    assert generated.union(*mapped) <= set(SERVICES)
    tables = ("contact", "appointment", "contact_request")
    assert {TABLES[name].column("service").known for name in tables} == {SERVICES}


def test_every_code_list_is_used_by_an_indicator() -> None:
    assert {name for indicator in INDICATORS.values() for name in indicator.codelists} == set(load_codelists())


def test_code_systems_are_those_of_the_tables() -> None:
    tables = [table for table in TABLES.values() if "code_system" in table.names]
    assert {term for table in tables for term in table.column("code_system").terms} == set(CODE_SYSTEMS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("indicator", INDICATORS.values(), ids=INDICATORS)
def test_an_explanation_holds_the_words_the_codes_and_the_sql(indicator: object, language: str) -> None:
    found = INDICATORS[getattr(indicator, "id", "")]
    text = explain(found, language)
    assert text.startswith(f"{found.id} {found.title[language]}")
    assert found.description[language] in " ".join(text.split())
    assert f": {found.target_group[language]}" in " ".join(text.split())
    assert f": {found.source[language]}\n" in text
    assert all(exclusion.label[language] in text for exclusion in found.exclusions)
    assert compile_indicator(found) in text
    assert all(f"({name})" in text for name in found.codelists)
    assert all(part.label[language] in text for part in found.parts)
    assert all(f"{part.title[language]} ({part.id})" in text for part in found.components)
    assert text.count("2023-08-31") >= len(found.deadlines) // 2


def test_an_explanation_in_another_language_is_refused() -> None:
    with pytest.raises(UsageRefused, match="fi, sv, en"):
        explain(INDICATORS["diabetes_hba1c_missing"], "no")
