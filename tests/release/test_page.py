import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import sqrt

import polars as pl
import pytest
from page_cases import RELEASE, protected_table, texts
from page_reader import Page
from scipy import stats

from schemas.areas import complete_areas, load_areas
from schemas.errors import DisclosureRefused
from schemas.labels import LANGUAGES, load_labels
from transforms.release.figures import derived_figures
from transforms.release.page import page_name, render_pages
from transforms.release.page_map import tile_map

INDICATORS = ["CG01", "CG02", "CG03", "CG04", "CG05", "CG06"]
AREAS = load_areas()
TABLE = protected_table(AREAS, INDICATORS)
TEXTS = texts(*INDICATORS)
DERIVED = derived_figures(TABLE, AREAS, {})
PAGES = render_pages(TABLE, AREAS, TEXTS, RELEASE, DERIVED)
SIGNS = {"above": "▲", "far_above": "▲▲", "below": "▼", "far_below": "▼▼"}
CITY = ("*", "*", "*", "*")
every_language = pytest.mark.parametrize("language", LANGUAGES)


def page(language, pages=PAGES):
    return Page(pages[page_name(language)])


# A slow and plain account of what a page must say.


def tenths(share, language):
    whole, rest = divmod(int(Fraction(share) * 1000 + Fraction(1, 2)), 10)
    return f"{whole}{'.' if language == 'en' else ','}{rest}"


def counted(value, language):
    return "..." if value is None else f"{value:,}".replace(",", "," if language == "en" else "\u00a0")


def limits(gap, eligible):
    z, share = 1.959963984540054, gap / eligible
    middle, half = share + z**2 / (2 * eligible), z * sqrt(share * (1 - share) / eligible + (z / eligible) ** 2 / 4)
    ends = (middle - half) / (1 + z**2 / eligible), (middle + half) / (1 + z**2 / eligible)
    return max(ends[0], 0.0), min(ends[1], 1.0)


def position(gap, eligible, city):
    """The key of the words for where a count lies among those that chance gives."""
    far = 0
    for tail in (0.025, 0.001):
        far += stats.binom.sf(gap - 1, eligible, city) <= tail
        far -= stats.binom.cdf(gap, eligible, city) <= tail
    return {2: "far_above", 1: "above", 0: "alike", -1: "below", -2: "far_below"}[int(far)]


def expected_row(cells, indicator, group, language):
    """Eligible, gap, rate, interval and difference as they must stand in a table."""
    labels, percent = load_labels(language), "%" if language == "en" else "\u00a0%"
    eligible, gap = (cells.get((indicator, *group, measure), 0) for measure in ("eligible", "gap"))
    if (indicator, *group, "eligible") not in cells:
        return ["–"] * 5
    numbers = [counted(eligible, language), counted(gap, language)]
    if eligible is None or gap is None:
        return [*numbers, "...", "...", "" if group == CITY else "..."]
    if eligible == 0:
        return [*numbers, "–", "–", "–"]
    low, high = limits(gap, eligible)
    interval = f"{tenths(low, language)}–{tenths(high, language)}{percent}"
    city_eligible, city_gap = (cells[(indicator, *CITY, measure)] for measure in ("eligible", "gap"))
    if city_eligible is None or city_gap is None:
        difference = "..."
    else:
        word = position(gap, eligible, city_gap / city_eligible)
        difference = f"{SIGNS.get(word, '')} {labels[word]}".strip()
    if group == CITY:
        difference = ""
    return [*numbers, tenths(Fraction(gap, eligible), language) + percent, interval, difference]


def expected_standardised(derived, indicator, group, eligible, language):
    """The standardised rate as it must stand in a table; its number is tested where it is computed."""
    if eligible in ("0", "–"):
        return "–"
    found = derived.filter(
        indicator=indicator, kind="standardised", major=group[0], district=group[1], sex="*", age_band="*"
    )
    value, status = found.select("figure", "status").row(0)
    if value is None:
        return "..." if status == "suppressed" else ".."
    return value if language == "en" else value.replace(".", ",")


def values(table):
    return {
        (row["indicator"], row["major"], row["district"], row["sex"], row["age_band"], row["measure"]): row["value"]
        for row in table.iter_rows(named=True)
    }


def area_groups(areas, language):
    labels = load_labels(language)
    yield labels["city"], CITY
    for major in areas.filter(pl.col("level") == "major").iter_rows(named=True):
        yield major[f"name_{language}"], (major["code"], "*", "*", "*")
        for district in areas.filter(pl.col("parent") == major["code"]).iter_rows(named=True):
            yield district[f"name_{language}"], (major["code"], district["code"], "*", "*")
    yield labels["unknown_area"], ("unknown", "unknown", "*", "*")


def rows_of(table):
    return table.rows[1:]


def check_numbers(pages, table, areas, language, derived=None):
    """Compare every cell of every table, tile and sentence with the table; the sections of the page."""
    cells, found = values(table), page(language, pages)
    sections = [section for section in found.sections if section.tiles]
    for indicator, section in zip(
        [text.id for text in texts(*table["indicator"].unique(maintain_order=True))], sections, strict=True
    ):
        group_table, area_table = section.tables
        expected = {
            name: expected_row(cells, indicator, group, language) for name, group in area_groups(areas, language)
        }
        groups = dict(area_groups(areas, language))
        assert rows_of(area_table) == [
            [
                name,
                *row[:4],
                *(
                    [expected_standardised(derived, indicator, groups[name], row[0], language)]
                    if derived is not None
                    else []
                ),
                row[4],
            ]
            for name, row in expected.items()
        ]
        sexes = [("*", "*", sex, "*") for sex in ("female", "male")]
        ages = [("*", "*", "*", band) for band in ("0-17", "18-44", "45-64", "65-74", "75-")]
        assert [row[1:] for row in rows_of(group_table)] == [
            expected_row(cells, indicator, group, language) for group in sexes + ages
        ]
        districts = areas.filter(pl.col("level") == "district").sort("code")[f"name_{language}"]
        for (_, _, number), name in zip(section.tiles, districts, strict=True):
            rate, difference = expected[name][2].rstrip("%\u00a0"), expected[name][4]
            mark = difference.split(" ")[0]
            assert number == rate + (f" {mark}" if mark in SIGNS.values() else "")
        city = expected[load_labels(language)["city"]]
        label = load_labels(language)["city_hidden" if city[2] == "..." else "city_sentence"]
        said = label.format(eligible=city[0], gap=city[1], rate=city[2], interval=city[3])
        assert section.paragraphs["sentence"].replace("\u2060", "") == said
    summary = rows_of(found.tables[0])
    for section, row in zip(sections, summary, strict=True):
        marks = [number for _, _, number in section.tiles]
        hidden = sum("..." in number for number in marks)
        counts = [str(sum(mark in number for number in marks)) for mark in ("▲", "▼")]
        assert row == [section.heading, section.tables[1].rows[1][3], *counts, str(hidden)]
    return sections


@every_language
def test_every_number_on_the_page_is_the_tables(language):
    check_numbers(PAGES, TABLE, AREAS, language, DERIVED)


@every_language
def test_every_number_is_the_tables_where_the_city_itself_and_groups_are_hidden(language):
    whole_city = pl.all_horizontal(pl.col(name) == "*" for name in ("major", "district", "sex", "age_band"))
    men = (pl.col("sex") == "male") & (pl.col("major") == "*") & (pl.col("age_band") == "*")
    table = hide(TABLE, whole_city & (pl.col("measure") == "gap") & (pl.col("indicator") == "CG02"))
    table = hide(table, men & (pl.col("measure") == "eligible"))
    sections = check_numbers(render_pages(table, AREAS, TEXTS, RELEASE), table, AREAS, language)
    assert sections[1].tables[1].rows[1][2:5] == ["...", "...", "..."]
    assert sections[1].tables[1].rows[3][4] != "..."  # a district's own rate stays, only its comparison goes
    assert sections[1].tables[1].rows[3][5] == "..."


def hide(table, which):
    return table.with_columns(
        value=pl.when(~which).then("value"), status=pl.when(which).then(pl.lit("suppressed")).otherwise("status")
    )


def test_the_invented_table_has_every_kind_of_row():
    found = {row[3] for section in page("fi").sections for table in section.tables for row in rows_of(table)}
    assert "..." in found
    differences = {row[-1] for section in page("fi").sections for table in section.tables for row in rows_of(table)}
    assert differences >= {"▲ yli", "▲▲ selvästi yli", "▼ alle", "▼▼ selvästi alle", "ei erotu sattumasta", "", "..."}
    standardised = {row[5] for section in page("fi").sections[:6] for row in rows_of(section.tables[1])}
    assert "..." in standardised
    assert any(re.fullmatch(r"\d+,\d", number) for number in standardised)
    assert TABLE.filter(reason="small").height > 100
    assert TABLE.filter(reason="secondary").height > 100


@every_language
def test_a_hidden_count_leaves_no_number_derived_from_it(language):
    cells = values(TABLE)
    hidden = 0
    for indicator, section in zip(INDICATORS, page(language).sections, strict=False):
        rows = {row[0]: row for row in rows_of(section.tables[1])}
        for name, group in area_groups(AREAS, language):
            eligible, gap = (cells[(indicator, *group, measure)] for measure in ("eligible", "gap"))
            if eligible is None:
                assert rows[name][1] == "..."
            if gap is None:
                assert rows[name][2] == "..."
            if eligible is None or gap is None:
                hidden += 1
                assert not re.search(r"\d", "".join(rows[name][3:]))
    assert hidden


def test_the_reason_of_hiding_changes_no_byte():
    hidden = pl.col("status") == "suppressed"
    other = TABLE.with_columns(
        reason=pl.when(hidden & (pl.col("reason") == "small"))
        .then(pl.lit("secondary"))
        .when(hidden)
        .then(pl.lit("small"))
    )
    assert not other["reason"].equals(TABLE["reason"])
    assert render_pages(other, AREAS, TEXTS, RELEASE, derived_figures(other, AREAS, {})) == PAGES
    assert render_pages(TABLE.drop("reason"), AREAS, TEXTS, RELEASE, DERIVED) == PAGES


def test_the_same_release_has_the_same_bytes():
    assert render_pages(TABLE, AREAS, TEXTS, RELEASE, DERIVED) == PAGES


@every_language
def test_a_page_runs_nothing_and_asks_nothing_of_any_host(language):
    content = PAGES[page_name(language)].decode()
    assert "<script" not in content.lower()
    assert "://" not in content
    assert "@import" not in content
    assert set(re.findall(r"url\(([^)]*)\)", content)) == {"#hatch"}
    found = page(language)
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)
    addresses = [
        attributes[name]
        for _, attributes in found.tags
        for name in ("href", "src", "srcset", "action")
        if name in attributes
    ]
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    files = {"table.csv", "table.parquet", "derived.csv", "areas.csv", "certificate.json", "datapackage.json", *PAGES}
    assert all(address[1:] in ids if address.startswith("#") else address in files for address in addresses)
    assert files <= set(addresses)
    policy = next(a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


@every_language
def test_a_page_can_be_found_through_by_keyboard_and_screen_reader(language):
    found = page(language)
    tags = [tag for tag, _ in found.tags]
    assert dict(found.tags)["html"] == {"lang": language}
    for landmark in ("header", "main", "footer", "h1", "title"):
        assert tags.count(landmark) == (1 if landmark != "title" else tags.count("title"))
    headings = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    skip = next(attributes for tag, attributes in found.tags if tag == "a")
    assert skip["href"] == "#content"
    links = {a["href"]: a for tag, a in found.tags if tag == "a" and "hreflang" in a}
    assert {address: a["lang"] for address, a in links.items()} == {page_name(one): one for one in LANGUAGES}
    assert [address for address, a in links.items() if a.get("aria-current") == "page"] == [page_name(language)]
    assert all(table.caption for table in found.tables)
    assert all(cell.get("scope") in ("col", "row") for table in found.tables for cell in table.header_cells)
    maps = [a for tag, a in found.tags if tag == "svg" and a.get("role") == "img"]
    assert len(maps) == len(INDICATORS)
    assert all(text.title[language] in a["aria-label"] for text, a in zip(TEXTS, maps, strict=True))


@every_language
def test_symbols_are_explained_wherever_they_stand(language):
    labels = load_labels(language)
    for section in page(language).sections[: len(INDICATORS)]:
        assert f"...: {labels['hidden']}" in section.text
        assert f"▲ {labels['above']}, ▼ {labels['below']}: {labels['above_explained']}" in section.text
        assert f"▲▲ {labels['far_above']}, ▼▼ {labels['far_below']}: {labels['far_above_explained']}" in section.text
        assert f"{labels['alike']}: {labels['alike_explained']}" in section.text
        assert f"..: {labels['not_given']}" in section.text
        assert f"–: {labels['empty']}" in section.text
        assert section.scale[-1].strip() == f"... {labels['hidden']}"


@every_language
def test_synthetic_data_says_so_and_real_data_does_not(language):
    labels = load_labels(language)
    assert page(language).text.lower().count(labels["generated"].lower()) == 3 + 3 * len(
        INDICATORS
    )  # title, top, foot; map and tables
    assert labels["generated_explained"] in page(language).text
    real = render_pages(TABLE, AREAS, TEXTS, replace(RELEASE, generated=False))
    assert labels["generated"].lower() not in page(language, real).text.lower()


@every_language
def test_texts_of_indicators_are_shown_as_text(language):
    content = PAGES[page_name(language)].decode()
    section = page(language).sections[0]
    assert TEXTS[0].title[language] == section.heading
    assert TEXTS[0].description[language] in section.text
    assert TEXTS[0].source in section.text
    assert "<b>&" not in content


@every_language
def test_the_rules_are_told_as_the_policy_sets_them(language):
    labels = load_labels(language)
    assert "1–4" in page(language).text
    assert labels["method_everybody"] in page(language).text
    assert labels["method_zeros"] not in page(language).text
    rules = replace(RELEASE.rules, threshold=10, zeros="protect", group_disclosure=False)
    other = page(language, render_pages(TABLE, AREAS, TEXTS, replace(RELEASE, rules=rules)))
    assert "1–9" in other.text
    assert labels["method_everybody"] not in other.text
    assert labels["method_zeros"] in other.text


@every_language
def test_a_trend_is_told_where_there_are_earlier_months_and_says_when_it_may_be_chance(language):
    labels = load_labels(language)
    assert labels["method_change"] not in page(language).text
    earlier = TABLE.with_columns(
        value=pl.when((pl.col("measure") == "gap") & (pl.col("indicator") == "CG01"))
        .then(pl.col("value") * 8 // 10)
        .otherwise("value")
    )
    derived = derived_figures(TABLE, AREAS, {}, earlier)
    found = page(language, render_pages(TABLE, AREAS, TEXTS, RELEASE, derived))
    assert labels["method_change"] in found.text
    cells, before = values(TABLE), values(earlier)
    changed, same = (section.paragraphs["change"] for section in found.sections[:2])
    gap, eligible, then = cells["CG01", *CITY, "gap"], cells["CG01", *CITY, "eligible"], before["CG01", *CITY, "gap"]
    assert f"+{tenths(Fraction(gap - then, eligible) / 1, language)}" in changed
    assert f" {tenths(0, language)} " in same
    after_the_limits = labels["change_alike"].partition("{high}")[2].partition(")")[2]
    assert same.endswith(after_the_limits)
    assert not changed.endswith(after_the_limits)


def test_a_page_without_derived_figures_has_no_column_for_them():
    pages = render_pages(TABLE, AREAS, TEXTS, RELEASE)
    for language in LANGUAGES:
        check_numbers(pages, TABLE, AREAS, language)
        assert load_labels(language)["method_standardised"] not in page(language, pages).text
        assert b"derived.csv" not in pages[page_name(language)]


def test_a_page_stays_light():
    assert all(len(content) < 150_000 for content in PAGES.values())


def test_a_group_that_nobody_belongs_to_has_no_rate():
    kulosaari = (pl.col("district") == "601") & (pl.col("sex") == "*") & (pl.col("age_band") == "*")
    cells = TABLE.with_columns(
        value=pl.when(kulosaari).then(0).otherwise("value"),
        status=pl.when(kulosaari).then(pl.lit("published")).otherwise("status"),
    )
    found = page("fi", render_pages(cells, AREAS, TEXTS, RELEASE)).sections[0]
    assert ["Kulosaari", "0", "0", "–", "–", "–"] in found.tables[1].rows
    assert ("empty", "Kulosaari", "–") in found.tiles
    absent = page("fi", render_pages(TABLE.filter(~kulosaari), AREAS, TEXTS, RELEASE)).sections[0]
    assert ["Kulosaari", "–", "–", "–", "–", "–"] in absent.tables[1].rows


def city_cell(of, /, **changes):
    which = pl.all_horizontal(pl.col(name) == "*" for name in ("major", "district", "sex", "age_band"))
    which &= (pl.col("measure") == of) & (pl.col("indicator") == "CG01")
    return TABLE.with_columns(
        pl.when(which).then(pl.lit(value)).otherwise(name).alias(name) for name, value in changes.items()
    )


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        (city_cell("gap", status="suppressed"), "a suppressed cell has a value"),
        (city_cell("gap", value=None), "a published cell has no value"),
        (city_cell("gap", status="secret"), "a status is neither published nor suppressed"),
        (city_cell("gap", status=None), "a status is neither published nor suppressed"),
        (city_cell("gap", value=-1), "a count is negative"),
        (city_cell("gap", value=10_000_000), "the gap is larger than its population"),
        (city_cell("gap", measure="eligible"), "a cell stands twice"),
        (city_cell("gap", major="99"), "a cell belongs to an area that is not known"),
        (city_cell("gap", measure="closed_too"), "a group has a gap or a population and not the other"),
        (TABLE.filter(pl.col("major") != "*"), "an indicator has no figures for the whole city"),
        (
            TABLE.filter(pl.col("indicator") != "CG01"),
            "an indicator has figures without texts, or texts without figures",
        ),
        (TABLE.drop("status"), "a column of the protected table is missing"),
    ],
)
def test_a_table_that_would_show_what_is_not_so_is_refused(table, rule):
    with pytest.raises(DisclosureRefused) as refusal:
        render_pages(table, AREAS, TEXTS, RELEASE)
    assert refusal.value.rule == rule


def american_areas():
    codes = [f"250{number:02}" for number in range(23)]
    return complete_areas(
        pl.DataFrame(
            {
                "code": ["MA", "C1", *codes],
                "parent": [None, "MA", *["C1"] * len(codes)],
                "level": ["city", "major", *["district"] * len(codes)],
                "name_en": ["Massachusetts", "Norfolk County", *[f"North Attleborough {code}" for code in codes]],
            }
        )
    )


@every_language
def test_another_geography_without_positions_is_laid_out_by_itself(language):
    areas = american_areas()
    table = protected_table(areas, ["CG01"])
    pages = render_pages(table, areas, texts("CG01"), RELEASE)
    check_numbers(pages, table, areas, language)
    assert load_labels(language)["map_layout_grid"] in page(language, pages).text
    assert load_labels(language)["map_layout"] in page(language).text
    laid = tile_map(areas, language)
    assert len({(tile.left, tile.top) for tile in laid.tiles}) == 23
    assert max(tile.left for tile in laid.tiles) < laid.width
    assert max(tile.top for tile in laid.tiles) < laid.height
    assert laid.tiles[0].label == "North Attle…"
    assert "<title>North Attleborough 25000</title>" in pages[page_name(language)].decode()
