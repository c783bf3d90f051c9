"""Every page of a release says what its table says, and no more."""

import re
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from page_cases import RELEASE, protected_table, texts
from page_checks import check_numbers
from page_expected import CITY, area_groups, values
from page_reader import Page

from schemas.areas import complete_areas, load_areas
from schemas.errors import DisclosureRefused, UsageRefused
from schemas.labels import LANGUAGES, load_labels
from transforms.release.figures import derived_figures
from transforms.release.page_words import words
from transforms.release.site.addresses import area_page, indicator_page
from transforms.release.site.pages import render_site
from transforms.release.site.tilemap import tile_map

INDICATORS = ["CG01", "CG02", "CG03"]
AREAS = load_areas()
TABLE = protected_table(AREAS, INDICATORS)
TEXTS = texts(*INDICATORS)
EARLIER = protected_table(AREAS, INDICATORS, seed=8)
DERIVED = derived_figures(TABLE, AREAS, {}, EARLIER)
HISTORY = {date(2025, 10, 31): EARLIER, date(2026, 9, 30): protected_table(AREAS, INDICATORS, seed=9)}
PAGES = render_site(TABLE, AREAS, TEXTS, RELEASE, DERIVED, HISTORY)
HTML = sorted(name for name in PAGES if name.endswith(".html"))
every_language = pytest.mark.parametrize("language", LANGUAGES)


def page(language, address, pages=PAGES):
    return Page(pages[f"{language}/{address}"])


def indicator(language, number=0, pages=PAGES):
    return page(language, indicator_page(INDICATORS[number]), pages)


def hide(table, which):
    return table.with_columns(
        value=pl.when(~which).then("value"), status=pl.when(which).then(pl.lit("suppressed")).otherwise("status")
    )


def test_there_is_a_page_for_the_choice_every_indicator_area_and_explanation_in_every_language():
    own = {"index.html", "areas/index.html", *(indicator_page(one) for one in INDICATORS)}
    own |= {area_page(code) for code in AREAS.filter(pl.col("level") != "city")["code"]}
    own |= {f"about/{name}.html" for name in ("method", "secrecy", "data", "downloads", "accessibility")}
    assert set(HTML) == {"index.html", *(f"{language}/{name}" for language in LANGUAGES for name in own)}
    assert set(PAGES) == {*HTML, "style.css"}


@every_language
def test_every_number_on_every_page_is_the_tables(language):
    check_numbers(PAGES, TABLE, AREAS, language, DERIVED, HISTORY)


def test_every_number_is_the_tables_where_the_city_itself_and_groups_are_hidden():
    whole_city = pl.all_horizontal(pl.col(name) == "*" for name in ("major", "district", "sex", "age_band"))
    men = (pl.col("sex") == "male") & (pl.col("major") == "*") & (pl.col("age_band") == "*")
    table = hide(TABLE, whole_city & (pl.col("measure") == "gap") & (pl.col("indicator") == "CG02"))
    table = hide(table, men & (pl.col("measure") == "eligible"))
    pages = render_site(table, AREAS, TEXTS, RELEASE)
    check_numbers(pages, table, AREAS, "fi")
    found = indicator("fi", 1, pages)
    assert found.tables[0].rows[1][2:4] == ["...", "..."]
    assert found.tables[0].rows[3][3] != "..."  # a district's own rate stays, only its comparison goes
    assert found.tables[0].rows[3][-1] == "..."
    assert load_labels("fi")["funnel_none"] in found.text


def test_the_invented_table_has_every_kind_of_row():
    rows = [row for number in range(3) for table in indicator("fi", number).tables for row in table.rows[1:]]
    assert "..." in {row[3] for row in rows}
    said = {"▲ yli", "▲▲ selvästi yli", "▼ alle", "▼▼ selvästi alle", "ei erotu sattumasta", "", "..."}
    assert {row[-1] for row in rows} >= said
    standardised = {row[5] for number in range(3) for row in indicator("fi", number).tables[0].rows[1:]}
    assert "..." in standardised
    assert any(re.fullmatch(r"\d+,\d", number) for number in standardised)
    assert TABLE.filter(reason="small").height > 100
    assert TABLE.filter(reason="secondary").height > 100


@every_language
def test_a_hidden_count_leaves_no_number_derived_from_it(language):
    cells, hidden = values(TABLE), 0
    for number, one in enumerate(INDICATORS):
        rows = dict(
            zip(*(getattr(indicator(language, number).tables[0], name) for name in ("ids", "rows")), strict=True)
        )
        for code, _, group in area_groups(AREAS, language):
            eligible, gap = (cells[(one, *group, measure)] for measure in ("eligible", "gap"))
            assert eligible is not None or rows[f"a-{code}"][1] == "..."
            assert gap is not None or rows[f"a-{code}"][2] == "..."
            if eligible is None or gap is None:
                hidden += 1
                assert not re.search(r"\d", "".join(rows[f"a-{code}"][3:5]))
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
    assert render_site(other, AREAS, TEXTS, RELEASE, derived_figures(other, AREAS, {}, EARLIER), HISTORY) == PAGES


def twins():
    """Two districts of one table that differ in nothing but why their cells are hidden; the first, the second."""
    areas = AREAS.with_columns(
        population=pl.when(pl.col("code").is_in(["101", "104"])).then(12_000).otherwise("population")
    )
    group = [name for name in TABLE.columns if name not in ("district", "value", "status", "reason")]
    first = TABLE.filter(district="101")
    second = first.with_columns(
        district=pl.lit("104"), reason=pl.when(pl.col("reason").is_not_null()).then(pl.lit("x"))
    )
    assert first.filter(status="suppressed").height > 20
    table = pl.concat([TABLE.filter(pl.col("district") != "104"), second.select(TABLE.columns)])
    assert table.select("district", *group).is_unique().all()
    return table, areas


def test_two_areas_hidden_for_different_reasons_have_the_same_bytes_but_for_their_names():
    table, areas = twins()
    pages = render_site(table, areas, TEXTS, RELEASE, derived_figures(table, areas, {}))
    for language in LANGUAGES:
        one, two = (pages[f"{language}/{area_page(code)}"].decode() for code in ("101", "104"))
        names = [areas.filter(code=code).item(0, f"name_{language}") for code in ("101", "104")]
        assert one != two
        assert one.replace(names[0], names[1]).replace("101", "104") == two
        for text in TEXTS:
            content = pages[f"{language}/{indicator_page(text.id)}"].decode()
            rows = [re.search(rf'<tr[^>]*id="a-{code}">.*', content).group() for code in ("101", "104")]
            assert rows[0].replace(names[0], names[1]).replace("101", "104") == rows[1]


@every_language
def test_every_hidden_figure_answers_why_in_the_same_words(language):
    labels, seen = load_labels(language), 0
    for name in (name for name in HTML if name.startswith(f"{language}/")):
        content = PAGES[name].decode()
        cells = re.findall(r"<td[^>]*>(?:(?!</td>).)*\.\.\.(?:(?!</td>).)*</td>", content)
        answer = (
            f'<td role="cell" class="hid"><a href="#why" tabindex="-1" aria-label="{labels["why_label"]}">...</a></td>'
        )
        assert set(cells) <= {answer}
        assert not cells or labels["why_text"] in Page(PAGES[name]).text
        tiles = re.findall(r'<g class="hidden" transform.*', content)
        assert all('<a href="#why"' in tile and labels["why_label"] in tile for tile in tiles)
        seen += len(cells) + len(tiles)
    assert seen > 100


def counted(label, text):
    """The numbers of a sentence by what they count."""
    return [
        {name: int(number) for name, number in found.groupdict().items()}
        for found in re.finditer(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(label)), text)
    ]


@every_language
def test_what_a_sentence_says_of_its_areas_or_indicators_adds_up(language):
    """Where nobody is in the target group as well."""
    nobody = (pl.col("district") == "601") & pl.col("indicator").is_in(INDICATORS[:2])
    pages = render_site(TABLE.filter(~nobody), AREAS, TEXTS, RELEASE)
    labels, kinds = load_labels(language), ("above", "below", "alike", "hidden", "empty")
    for number in range(3):
        text = indicator(language, number, pages).text
        (on_map,) = set(map(tuple, (one.items() for one in counted(labels["map_sentence"], text))))
        (plotted,) = set(map(tuple, (one.items() for one in counted(labels["funnel_sentence"], text))))
        told, plot = dict(on_map), dict(plotted)
        assert told["districts"] == sum(told[kind] for kind in kinds)
        assert plot["shown"] == sum(plot[kind] for kind in kinds[:3])
        assert told["districts"] == plot["shown"] + plot["hidden"] + plot["empty"]
        assert told["empty"] >= (number < 2)
    for code in AREAS.filter(pl.col("level") != "city")["code"]:
        (told,) = counted(labels["area_sentence"], page(language, area_page(code), pages).text)
        assert told["all"] == len(INDICATORS) == sum(told[kind] for kind in kinds)
        assert code != "601" or told["empty"] >= 2


def test_a_change_from_a_year_when_nobody_was_there_says_so():
    kulosaari = (pl.col("district") == "601") & (pl.col("sex") == "*") & (pl.col("age_band") == "*")
    nobody = kulosaari & (pl.col("indicator") == INDICATORS[0])
    earlier = EARLIER.with_columns(
        value=pl.when(nobody).then(0).otherwise("value"),
        status=pl.when(nobody).then(pl.lit("published")).otherwise("status"),
    )
    for table in (hide(TABLE, kulosaari), TABLE):
        derived = derived_figures(table, AREAS, {}, earlier)
        for language in LANGUAGES:
            found = page(language, area_page("601"), render_site(table, AREAS, TEXTS, RELEASE, derived))
            assert next(row for row in found.tables[0].rows if row[0] == TEXTS[0].title[language])[6] == ".."
            assert f"..: {load_labels(language)['no_change']}" in found.text


def test_a_hidden_figure_may_be_any_number():
    for language, said in (
        ("fi", "onko luku nolla,"),
        ("sv", "om siffran är noll,"),
        ("en", "whether the figure is zero,"),
    ):
        assert said in page(language, "about/secrecy.html").text


def test_long_words_may_break_in_the_cells_of_a_page_alone():
    sentence = load_labels("fi")["steady"]
    assert words("fi").narrow(sentence).replace("\u00ad", "") == sentence
    assert b">ei erotu sattu\xc2\xadmasta<" in PAGES[f"fi/{indicator_page('CG01')}"]
    assert all(
        "\u00ad" not in load_labels(one)[key] for one in LANGUAGES for key in ("alike", "rose", "fell", "steady")
    )


def test_the_same_release_has_the_same_bytes():
    assert render_site(TABLE, AREAS, TEXTS, RELEASE, DERIVED, HISTORY) == PAGES


def test_a_page_stays_light():
    assert all(len(content) < 150_000 for content in PAGES.values())


def test_a_group_that_nobody_belongs_to_has_no_rate():
    kulosaari = (pl.col("district") == "601") & (pl.col("sex") == "*") & (pl.col("age_band") == "*")
    cells = TABLE.with_columns(
        value=pl.when(kulosaari).then(0).otherwise("value"),
        status=pl.when(kulosaari).then(pl.lit("published")).otherwise("status"),
    )
    found = indicator("fi", 0, render_site(cells, AREAS, TEXTS, RELEASE))
    assert ["Kulosaari", "0", "0", "–", "", "–"] in found.tables[0].rows
    assert ("empty", "Kulosaari", "–") in found.tiles
    absent = indicator("fi", 0, render_site(TABLE.filter(~kulosaari), AREAS, TEXTS, RELEASE))
    assert ["Kulosaari", "–", "–", "–", "", "–"] in absent.tables[0].rows


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
        render_site(table, AREAS, TEXTS, RELEASE)
    assert refusal.value.rule == rule


def test_an_earlier_table_that_would_show_what_is_not_so_is_refused():
    with pytest.raises(DisclosureRefused):
        render_site(TABLE, AREAS, TEXTS, RELEASE, history={date(2025, 10, 31): city_cell("gap", value=-1)})


def test_two_codes_that_would_share_an_address_are_refused():
    areas = AREAS.with_columns(
        pl.when(pl.col("code") == "102").then(pl.lit("A-1")).when(pl.col("code") == "103").then(pl.lit("a.1"))
        .otherwise("code").alias("code")
    )  # fmt: skip
    table = TABLE.filter(~pl.col("district").is_in(["102", "103"]))
    with pytest.raises(UsageRefused):
        render_site(table, areas, TEXTS, RELEASE)


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


def test_another_geography_without_positions_is_laid_out_by_itself():
    areas = american_areas()
    table = protected_table(areas, ["CG01"])
    pages = render_site(table, areas, texts("CG01"), RELEASE)
    for language in LANGUAGES:
        check_numbers(pages, table, areas, language)
        assert load_labels(language)["map_layout_grid"] in indicator(language, 0, pages).text
        assert load_labels(language)["map_layout"] in indicator(language).text
    laid = tile_map(areas, "en")
    assert len({(tile.left, tile.top) for tile in laid.tiles}) == 23
    assert max(tile.left for tile in laid.tiles) < laid.width
    assert max(tile.top for tile in laid.tiles) < laid.height
    assert laid.tiles[0].label == "North Attle…"
    assert "<title>North Attleborough 25000: " in pages[f"en/{indicator_page('CG01')}"].decode()


def test_a_release_without_a_year_before_says_that_there_is_no_change():
    pages = render_site(TABLE, AREAS, TEXTS, RELEASE)
    for language in LANGUAGES:
        labels = load_labels(language)
        assert labels["chance_no_change"] in page(language, "index.html", pages).text
        assert labels["trend_one"].partition(",")[0] in indicator(language, 0, pages).text
        assert labels["method_standardised"] not in page(language, "about/method.html", pages).text
    rules = replace(RELEASE.rules, threshold=10, zeros="protect", group_disclosure=False)
    other = render_site(TABLE, AREAS, TEXTS, replace(RELEASE, rules=rules))
    for language in LANGUAGES:
        labels, told = load_labels(language), page(language, "about/secrecy.html", other).text
        assert "1–\u20609" in told
        assert labels["method_zeros"] in told
        assert labels["method_everybody"] not in told
        assert labels["method_everybody"] in page(language, "about/secrecy.html").text


def test_the_change_of_the_city_is_told_as_it_is_in_the_derived_figures():
    change = DERIVED.filter(pl.col("kind") == "change", *(pl.col(n) == "*" for n in ("major", "sex", "age_band")))
    for number, one in enumerate(INDICATORS):
        figure = change.filter(indicator=one)["figure"].item()
        told = figure.replace("-", "−")
        assert (
            f"{'+' if float(figure) > 0 else ''}{told.replace('.', ',')} "
            in indicator("fi", number).by_class["change"][0]
        )
        assert CITY  # of the whole city
        rows = {row[0]: row for row in page("en", "index.html").tables[0].rows}
        assert told in rows[TEXTS[number].title["en"]][4]
