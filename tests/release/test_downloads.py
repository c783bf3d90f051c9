import io
import json
import logging
import re
import tomllib
import warnings
import zipfile
from dataclasses import replace
from datetime import date
from importlib.resources import files as package_files
from itertools import product
from posixpath import normpath
from string import Formatter

import openpyxl
import polars as pl
import pytest
from download_readers import (
    MEASURES,
    expected,
    px_keywords,
    read_dates,
    read_json_stat,
    read_px,
    read_star,
    read_workbook,
    star_connection,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from page_cases import RELEASE, Text, dated, protected_table, texts

from schemas.areas import complete_areas, load_areas
from schemas.errors import DisclosureRefused
from schemas.labels import LANGUAGES, load_section
from schemas.labels.downloads import load_download_labels
from transforms.release.datapackage import CC_BY_4, sha256
from transforms.release.downloads import download_files
from transforms.release.figures import KINDS, derived_figures
from transforms.release.page_figures import COLUMNS
from transforms.release.page_words import words
from transforms.release.publish import public_files

IDS = {
    "table": ("indicator", "area", "sex", "age_band", "as_of", "measure"),
    "rates": ("indicator", "group", "as_of", "measure"),
    "dates": ("indicator", "area", "as_of", "measure"),
}
AREAS = load_areas()
INDICATORS = ["CG01", "CG02"]
TABLE = protected_table(AREAS, INDICATORS)
DERIVED = dated(derived_figures(TABLE, AREAS, {"CG01": (18, None), "CG02": (0, None)}))
DATED = dated(TABLE)
CSV = DATED.select("as_of", *COLUMNS).write_csv().encode()
FILES = public_files(CSV, DATED, AREAS, texts(*INDICATORS), {}, RELEASE, DERIVED)
COUNTS = expected(DATED.iter_rows(named=True), "091", "value")
RATES = expected(DERIVED.iter_rows(named=True), "091", "figure")
STAR = star_connection(FILES)
DOWNLOADS = [name for name in FILES if name.startswith("downloads/")]


@pytest.fixture(scope="module")
def dated_files():
    """A release whose table has an earlier date, of areas alone."""
    earlier = dated(protected_table(AREAS, INDICATORS, seed=8), date(2025, 10, 31))
    earlier = earlier.filter(pl.col("sex") == "*", pl.col("age_band") == "*")
    both = pl.concat([earlier, DATED])
    return both, download_files(both.select("as_of", *COLUMNS), AREAS, texts(*INDICATORS), RELEASE, DERIVED, CC_BY_4)


def named(rates):
    """Rates as a cube tells them: of the areas, and of the sexes and ages of the whole city."""
    return {
        (day, indicator, None if (sex, age) != ("total", "total") else area, sex, age, kind): cell
        for (day, indicator, area, sex, age, kind), cell in rates.items()
    }


def labels_of(language, sexes, ages):
    """The words that a workbook's headings are made of."""
    own, page = load_download_labels(language), words(language)
    return {
        "as_of": own["as_of"],
        "dates": own["sheet_dates"],
        "measure": {measure: own[f"measure_{measure}"] for measure in MEASURES},
        "sex": {code: own["total"] if code == "total" else page.sex(code) for code in sexes},
        "age_band": {code: own["total"] if code == "total" else page.age_band(code) for code in ages},
        "rates": {
            own["rate_percent"]: "rate",
            own["rate_low"]: "rate_low",
            own["rate_high"]: "rate_high",
            own["difference"]: "comparison",
            own["standardised"]: "standardised",
        },
    }


def cut_and_not(counts, as_of):
    """The counts of the dates that are cut by sex and age, and those of areas at every date where some are not."""
    cut = {as_of} | {day for day, _, _, *who, _ in counts if who != ["total", "total"]}
    of_areas = {key: cell for key, cell in counts.items() if key[3:5] == ("total", "total")}
    is_whole = {day for day, *_ in counts} <= cut
    return {key: cell for key, cell in counts.items() if key[0] in cut}, {} if is_whole else of_areas


def read_everywhere(files, all_counts, rates, texts, as_of):
    """Every download says of every cell what the table says, and nothing else."""
    indicators, (counts, of_areas) = [one.id for one in texts], cut_and_not(all_counts, as_of)
    assert counts | of_areas == all_counts
    assert ("downloads/dates.px" in files) == bool(of_areas)
    for language in ("", "sv", "en"):
        assert read_px(files["downloads/table.px"], IDS["table"], language) == counts
        assert not of_areas or read_px(files["downloads/dates.px"], IDS["dates"], language) == of_areas
    for language in LANGUAGES:
        assert read_json_stat(files[f"downloads/table.{language}.json"]) == counts
        assert not of_areas or read_json_stat(files[f"downloads/dates.{language}.json"]) == of_areas
        check_dates(files[f"downloads/table.{language}.xlsx"], of_areas, texts, language)
        sexes, ages = ({key[place] for key in counts} | {"total"} for place in (3, 4))
        own = labels_of(language, sexes, ages)
        found, shown, numbers = read_workbook(files[f"downloads/table.{language}.xlsx"], indicators, own, as_of)
        assert found == counts
        figures = [figure for figure, _ in [*all_counts.values(), *rates.values()] if figure is not None]
        assert numbers <= {float(figure) for figure in figures}
        check_shown(shown, rates, load_download_labels(language))
    star = star_connection(files)
    assert read_star(star, "fact_count") == {
        key: (None if figure is None else int(figure), status) for key, (figure, status) in all_counts.items()
    }
    assert ("downloads/rates.px" in files) == bool(rates)
    if rates:
        assert read_px(files["downloads/rates.px"], IDS["rates"]) == named(rates)
        for language in LANGUAGES:
            assert read_json_stat(files[f"downloads/rates.{language}.json"]) == named(rates)
        assert read_star(star, "fact_rate") == {
            key: (None if figure is None else float(figure), status) for key, (figure, status) in rates.items()
        }


def check_dates(content, of_areas, texts, language):
    own = load_download_labels(language)
    measures = {own[f"measure_{measure}"]: measure for measure in MEASURES}
    names = openpyxl.load_workbook(io.BytesIO(content), read_only=True).sheetnames
    assert (own["sheet_dates"] in names) == bool(of_areas)
    titles = {one.title[language]: one.id for one in texts}
    if of_areas and len(titles) == len(texts):
        assert read_dates(content, own["sheet_dates"], titles, measures) == of_areas


def check_shown(shown, rates, own):
    steps = {"2": "step_2", "1": "step_1", "0": "step_0", "-1": "step_m1", "-2": "step_m2"}
    wanted = {}
    for (day, indicator, area, sex, age, kind), (figure, status) in rates.items():
        if (sex, age) == ("total", "total") and kind in ("rate", "rate_low", "rate_high", "comparison", "standardised"):
            if figure is None:
                missing = ".." if kind == "standardised" else "–"
                value = "..." if status == "suppressed" else missing
            else:
                value = own[steps[figure]] if kind == "comparison" else float(figure)
            wanted[day, indicator, area, kind] = value
    assert shown == wanted


def test_each_format_is_read_back_to_the_table():
    assert {"published", "suppressed"} == {status for _, status in COUNTS.values()}
    assert len({status for _, status in RATES.values()}) > 2
    read_everywhere(FILES, COUNTS, RATES, texts(*INDICATORS), "2026-10-31")


def test_earlier_dates_are_read_back_as_areas_alone(dated_files):
    table, files = dated_files
    counts = expected(table.iter_rows(named=True), "091", "value")
    read_everywhere(files, counts, RATES, texts(*INDICATORS), "2026-10-31")
    assert len(px_keywords(files["downloads/dates.px"])[1]) == 2 * 45 * 2 * 3


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
) | st.sampled_from(['"Vaje"', "a;b", "=1+1", "Ånga, \\ och", "DATA", "Sukupuoli", "'", "#", "  "])
DAYS = st.sampled_from(
    [
        ["2026-10-31"],
        ["2024-02-29", "2026-10-31"],
        ["2026-08-31", "2026-09-30", "2026-10-31"],
        ["2026-10-14", "2026-10-31"],
    ]
)


@st.composite
def releases(draw):
    """A small release of any statuses: what was hidden, and why, is not the downloads' to judge."""
    districts = draw(st.integers(1, 2))
    rows = [("C", "", "city"), ("1", "C", "major"), *((f"1{n}", "1", "district") for n in range(districts))]
    names = draw(st.lists(NAMES, min_size=len(rows), max_size=len(rows)))
    raw = pl.DataFrame(rows, schema=["code", "parent", "level"], orient="row").with_columns(
        name_fi=pl.Series(names), name_sv=pl.Series(names[::-1])
    )
    indicators = [
        Text(f"i{n}", *(dict.fromkeys(LANGUAGES, draw(NAMES)) for _ in range(4)))
        for n in range(draw(st.integers(1, 2)))
    ]
    areas = [("*", "*"), ("1", "*"), *(("1", f"1{n}") for n in range(districts))]
    areas += [("unknown", "*"), ("unknown", "unknown")] * draw(st.booleans())
    groups = [
        (day, one.id, *area, sex, age)
        for day, one, area, sex, age in product(
            draw(DAYS), indicators, areas, ("*", *draw(st.sets(st.sampled_from(["female", "unknown"])))), ("*", "0-17")
        )
    ]
    kept = draw(st.lists(st.sampled_from(groups), unique=True, max_size=len(groups)))
    kept = [group for group in groups if group in kept or group[2:] == ("*",) * 4]
    hide = draw(st.sampled_from([0, 0.5, 1]))
    random = draw(st.randoms(use_true_random=False))
    cells = [
        (*group, measure, None if random.random() < hide else random.choice([0, 5, 10**7]))
        for group in kept
        for measure in ("eligible", "gap", "closed")
    ]
    schema = dict.fromkeys(("as_of", *COLUMNS[:-2]), pl.String()) | {"value": pl.Int64()}
    status = pl.when(pl.col("value").is_null()).then(pl.lit("suppressed")).otherwise(pl.lit("published"))
    return complete_areas(raw), indicators, pl.DataFrame(cells, schema=schema, orient="row").with_columns(status=status)


def check_any_release(release):
    areas, indicators, cells = release
    files = download_files(cells, areas, indicators, RELEASE, None, CC_BY_4)
    counts = expected(cells.iter_rows(named=True), "C", "value")
    read_everywhere(files, counts, {}, indicators, "2026-10-31")


@settings(max_examples=5, deadline=None)
@given(releases())
def test_any_release_is_read_back_to_equal_values_and_statuses(release):
    check_any_release(release)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(releases())
def test_many_releases_are_read_back_to_equal_values_and_statuses(release):
    check_any_release(release)


def test_the_bytes_do_not_depend_on_why_a_cell_is_hidden():
    other = DATED.with_columns(reason=pl.when(pl.col("reason").is_not_null()).then(pl.lit("secondary")))
    assert other["reason"].ne_missing(DATED["reason"]).any()
    assert public_files(CSV, other, AREAS, texts(*INDICATORS), {}, RELEASE, DERIVED) == FILES
    for name in DOWNLOADS:
        packed = zipfile.ZipFile(io.BytesIO(FILES[name])) if name.endswith(".xlsx") else None
        parts = [packed.read(part) for part in packed.namelist()] if packed else [FILES[name]]
        assert not [part for part in parts if b"secondary" in part.lower() or b"primary" in part.lower()]


def test_a_workbook_carries_the_date_of_the_release_and_no_other():
    for language in LANGUAGES:
        packed = zipfile.ZipFile(io.BytesIO(FILES[f"downloads/table.{language}.xlsx"]))
        core = packed.read("docProps/core.xml").decode()
        assert set(re.findall(r"\d{4}-\d\d-\d\d(?=T)", core)) == {"2026-11-03"}
        assert {part.date_time[0] for part in packed.infolist()} == {1980}


def test_text_that_looks_like_a_formula_stays_text():
    one = Text("i", *(dict.fromkeys(LANGUAGES, text) for text in ("=1+1", "+1", "@SUM(A1)", "-1")))
    cells = pl.read_csv(CSV, infer_schema=False).filter(pl.col("indicator") == "CG01")
    cells = cells.with_columns(pl.lit("i").alias("indicator"), pl.col("value").cast(pl.Int64))
    files = download_files(cells, AREAS, [one], RELEASE, None, CC_BY_4)
    book = openpyxl.load_workbook(io.BytesIO(files["downloads/table.fi.xlsx"]))
    kinds = {cell.data_type for sheet in book.worksheets for row in sheet.iter_rows() for cell in row}
    assert kinds <= {"s", "n"}
    assert book.worksheets[2]["A1"].value == "=1+1"


def test_the_workbook_explains_its_columns_as_its_cells_are_written():
    for language in LANGUAGES:
        labels = load_section(language, "downloads")
        sheet = openpyxl.load_workbook(io.BytesIO(FILES[f"downloads/table.{language}.xlsx"]))[labels["sheet_about"]]
        told = {row[0]: row[1] for row in sheet.iter_rows(values_only=True)}[labels["difference"]]
        assert "1" not in told
        assert all(labels[step] in told.lower() for step in ("step_2", "step_1", "step_0", "step_m1", "step_m2"))


def test_another_px_reader_gives_the_same_in_every_language(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    from pyaxis import pyaxis

    for name, ids in [(name, IDS[name]) for name in ("table", "rates")]:
        path = tmp_path / f"{name}.px"
        path.write_bytes(FILES[f"downloads/{name}.px"])
        wanted = [figure or f'"{symbol}"' for figure, symbol in figures_in_order(name)]
        for language in LANGUAGES:
            found = pyaxis.parse(str(path), encoding="utf-8", lang=language, null_values="^none$", sd_values="^none$")
            assert found["DATA"]["DATA"].to_list() == wanted
            assert len(found["DATA"].columns) == len(ids) + 1
            cube = json.loads(FILES[f"downloads/{name}.{language}.json"])
            for one, column in zip(ids, found["DATA"].columns, strict=False):
                labels = cube["dimension"][one]["category"]["label"]
                assert column == cube["dimension"][one]["label"]
                assert list(dict.fromkeys(found["DATA"][column])) == list(labels.values())


def figures_in_order(name):
    cube = json.loads(FILES[f"downloads/{name}.fi.json"], parse_float=str, parse_int=str)
    return [(figure, cube["status"].get(str(place), "")) for place, figure in enumerate(cube["value"])]


def test_another_json_stat_reader_gives_the_same():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library calls a function of its own that it warns of
        from pyjstat import pyjstat

        for name, language in (("table", "fi"), ("rates", "sv"), ("rates", "en")):
            text = FILES[f"downloads/{name}.{language}.json"].decode()
            frame = pyjstat.Dataset.read(text).write("dataframe", naming="id")
            read = read_json_stat(text)
            assert frame["value"].notna().sum() == sum(figure is not None for figure, _ in read.values())
            assert frame["value"].sum() == pytest.approx(sum(float(figure or 0) for figure, _ in read.values()))
            labelled = pyjstat.Dataset.read(text).write("dataframe")
            assert list(labelled.columns[:-1]) == [one["label"] for one in json.loads(text)["dimension"].values()]


def test_a_px_file_says_what_the_statistical_databases_ask_for():
    for name in ("table", "rates"):
        found, _ = px_keywords(FILES[f"downloads/{name}.px"])
        keywords = {keyword for keyword, _, _ in found}
        mandatory = (
            "CONTENTS DECIMALS MATRIX SUBJECT-AREA SUBJECT-CODE TITLE UNITS VALUES CHARSET AXIS-VERSION CODEPAGE"
        )
        assert {*mandatory.split(), "SOURCE", "LAST-UPDATED", "NOTEX", "CREATION-DATE"} <= keywords
        assert found["LANGUAGES", "", ()] == list(LANGUAGES)
        assert found["CODEPAGE", "", ()] == ["utf-8"]
        assert found["DATASYMBOL3", "", ()] == ["..."]
        assert found["TIMEVAL", "", ("Ajankohta",)] == ["202610"]
        told = {(keyword, language) for keyword, language, _ in found if language}
        assert {language for _, language in told} == {"sv", "en"}
        assert {keyword for keyword, language in told if language == "sv"} == {
            keyword for keyword, language in told if language == "en"
        }
        for language in ("", "sv", "en"):
            (measure,) = found["CONTVARIABLE", language, ()]
            values = found["VALUES", language, (measure,)]
            codes = found["CODES", language, (measure,)]
            assert {names for keyword, own, names in found if (keyword, own) == ("UNITS", language)} == {
                (), *((value,) for value in values)
            }  # fmt: skip
            for code, value in zip(codes, values, strict=True):
                decimals = int(found.get(("PRECISION", language, (measure, value)), 0))
                assert decimals == KINDS.get(code, 0)


def test_dates_that_are_no_month_ends_are_written_as_days():
    release = replace(RELEASE, as_of=date(2026, 10, 14))
    cells = pl.read_csv(CSV, infer_schema=False).with_columns(
        pl.lit("2026-10-14").alias("as_of"), pl.col("value").cast(pl.Int64)
    )
    found, _ = px_keywords(
        download_files(cells, AREAS, texts(*INDICATORS), release, None, CC_BY_4)["downloads/table.px"]
    )
    assert found["CODES", "", ("Ajankohta",)] == ["2026-10-14"]
    assert not [key for key in found if key[0] == "TIMEVAL"]


def test_a_contact_is_told_where_there_is_one():
    cells = pl.read_csv(CSV, infer_schema=False).with_columns(pl.col("value").cast(pl.Int64))
    files = download_files(cells, AREAS, texts(*INDICATORS), RELEASE, None, CC_BY_4, "tilastot@example.org")
    found, _ = px_keywords(files["downloads/table.px"])
    assert found["CONTACT", "sv", ("Vårdluckor",)] == ["tilastot@example.org"]
    assert json.loads(files["downloads/table.en.json"])["extension"]["contact"] == "tilastot@example.org"
    assert b"CONTACT" not in FILES["downloads/table.px"]


@pytest.mark.parametrize("code", ["unknown_major", "sex_x", "age_0-17"])
def test_an_area_whose_code_the_downloads_use_is_refused(code):
    areas = complete_areas(
        pl.DataFrame({"code": ["C", "1", code], "parent": ["", "C", "1"], "level": ["city", "major", "district"]})
    )
    cells = pl.DataFrame(
        [("2026-10-31", "i", "*", "*", "*", "*", "gap", 7, "published")], schema=["as_of", *COLUMNS], orient="row"
    )
    with pytest.raises(DisclosureRefused):
        download_files(cells, areas, texts("i"), RELEASE, None, CC_BY_4)
    with pytest.raises(DisclosureRefused):
        download_files(cells.with_columns(sex=pl.lit("total")), AREAS, texts("i"), RELEASE, None, CC_BY_4)


PEOPLE = """
    WITH context AS (
        SELECT fact.value, fact.status, area.level_order AS area_level, sex.level_order AS sex_level,
            age.level_order AS age_level
        FROM fact_count AS fact JOIN dim_area AS area USING (area_key) JOIN dim_sex AS sex USING (sex_key)
        JOIN dim_age AS age USING (age_key) JOIN dim_indicator USING (indicator_key)
        JOIN dim_measure USING (measure_key)
        WHERE indicator = $indicator AND measure = $measure AND {where}
    ), cells AS (
        SELECT * FROM context WHERE area_level = (SELECT min(level_order) FROM dim_area AS area WHERE {area})
        AND sex_level = (SELECT min(level_order) FROM dim_sex AS sex WHERE {sex})
        AND age_level = (SELECT min(level_order) FROM dim_age AS age WHERE {age})
    )
    SELECT CASE WHEN count(*) FILTER (WHERE status <> 'published') = 0 THEN sum(value) END FROM cells
"""
"""The measure of the page on Power BI, in SQL: of each dimension the coarsest level that the filters leave."""


@pytest.mark.parametrize("sex", [None, "female"])
@pytest.mark.parametrize("age", [None, "18-44"])
def test_the_measure_of_the_star_gives_the_published_figure_of_each_level_and_never_a_part(sex, age):
    star = STAR
    filters = {"sex": f"sex.sex = '{sex}'" if sex else "true", "age": f"age.age_band = '{age}'" if age else "true"}

    def people(area):
        where = " AND ".join([area, *filters.values()])
        query = PEOPLE.format(where=where, area=area, **filters)
        return star.execute(query, {"indicator": "CG01", "measure": "gap"}).fetchall()[0][0]

    def told(area):
        figure, _ = COUNTS["2026-10-31", "CG01", area, sex or "total", age or "total", "gap"]
        return None if figure is None else int(figure)

    assert people("true") == told("091")
    for major in ("1", "4", "8"):
        assert people(f"area.major = '{major}'") == told(major)
    for district in ("101", "205", "304", "801"):
        assert people(f"area.district = '{district}'") == told(district)
    two = [told("101"), told("102")]
    assert people("area.district IN ('101', '102')") == (None if None in two else sum(two))


def test_every_download_is_described_with_its_size_and_hash():
    package = json.loads(FILES["datapackage.json"])
    resources = {one["path"]: one for one in package["resources"]}
    names = [one["name"] for one in package["resources"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in names)
    for path in DOWNLOADS:
        assert (resources[path]["bytes"], resources[path]["hash"]) == (
            len(FILES[path]),
            f"sha256:{sha256(FILES[path])}",
        )
        assert resources[path]["format"]
        assert resources[path]["mediatype"]
        assert resources[path]["title"]
        if path.endswith(".parquet"):
            read, schema = pl.read_parquet(io.BytesIO(FILES[path])), resources[path]["schema"]
            assert [field["name"] for field in schema["fields"]] == read.columns
            assert all(field["description"] for field in schema["fields"])
            assert not read.select(schema["primaryKey"]).is_duplicated().any()
            for key in schema.get("foreignKeys", []):
                target = next(one for one in package["resources"] if one["name"] == key["reference"]["resource"])
                there = pl.read_parquet(io.BytesIO(FILES[target["path"]]))
                assert read.join(there, on=key["fields"], how="anti").is_empty()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_on_power_bi_leads_only_to_files_of_the_release(language):
    page = FILES[f"downloads/power-bi.{language}.html"].decode()
    assert f'<html lang="{language}">' in page
    links = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert {normpath(f"downloads/{link}") for link in links} <= set(FILES)
    assert {f"../{language}/about/downloads.html", "../style.css"} <= set(links)
    assert "style-src 'self' file:" in page
    assert "<style" not in page
    assert len([link for link in links if link.endswith(".parquet")]) == 8
    assert not re.search(r"https?://|<script|built-in|\{\{|&lt;bound", page)


def test_the_words_have_the_same_keys_and_places_in_every_language():
    templates = package_files("transforms.release.downloads").joinpath("templates")
    pages = [tomllib.loads(templates.joinpath(f"power-bi.{one}.toml").read_text("utf-8")) for one in LANGUAGES]
    for first, *others in ([load_download_labels(one) for one in LANGUAGES], pages):
        for other in others:
            assert list(first) == list(other)
            for key, text in first.items():
                assert type(other[key]) is type(text)
                if isinstance(text, str):
                    assert places(other[key]) == places(text)
                else:
                    assert len(other[key]) == len(text)


def places(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name}
