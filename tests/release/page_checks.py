"""Every number of every page against the plain account."""

import polars as pl
from page_cases import texts
from page_expected import (
    AGES,
    CITY,
    SEXES,
    SIGNS,
    area_groups,
    expected_row,
    expected_standardised,
    values,
    written,
)
from page_reader import Page

from schemas.labels import load_labels
from transforms.release.site.addresses import area_page, indicator_page, slug


def check_numbers(pages, table, areas, language, derived=None, history=None):
    """Compare every cell of every table, tile and sentence of a language's pages with the tables."""
    cells, labels = values(table), load_labels(language)
    indicators = table["indicator"].unique(maintain_order=True).to_list()
    titles = {one.id: one.title[language] for one in texts(*indicators)}
    groups = list(area_groups(areas, language))
    rows = {one: {code: expected_row(cells, one, group, language) for code, _, group in groups} for one in indicators}
    for one in indicators:
        page = Page(pages[f"{language}/{indicator_page(one)}"])
        area_table, *others = page.tables
        expected = []
        for code, name, group in groups:
            numbers, difference = written(rows[one][code])
            standard = (
                [] if derived is None else [expected_standardised(derived, one, group, rows[one][code][0], language)]
            )
            expected.append([name, *numbers, "", *standard, difference])
        assert area_table.rows[1:] == expected
        assert area_table.ids[1:] == [f"a-{slug(code)}" for code, _, _ in groups]
        assert [row[1:] for row in others[-1].rows[1:]] == [
            [*numbers, "", difference]
            for numbers, difference in (written(expected_row(cells, one, group, language)) for group in SEXES + AGES)
        ]
        check_tiles(page, areas, rows[one], language)
        city = rows[one][groups[0][0]]
        label = labels["city_hidden" if city[2] == "..." else "city_sentence"]
        said = label.format(eligible=city[0], gap=city[1], rate=city[2], interval=city[3])
        assert page.by_class["sentence"][0].replace("\u2060", "") == said
        days = sorted({**(history or {})})
        assert [row[1:] for table in others[:-1] for row in table.rows[1:-1]] == [
            expected_row(values(history[day]), one, CITY, language)[:4] for day in days
        ]
        if days:
            assert others[0].rows[-1][1:] == city[:4]
    for code, name, group in groups:
        if group != CITY and code != "unknown":
            check_area(Page(pages[f"{language}/{area_page(code)}"]), name, code, rows, titles)
    check_front(Page(pages[f"{language}/index.html"]), cells, rows, titles, areas)


def check_tiles(page, areas, rows, language):
    districts = areas.filter(pl.col("level") == "district").sort("code")["code"]
    assert len(page.tiles) == len(districts)
    for (_, _, number), code in zip(page.tiles, districts, strict=True):
        rate, difference = rows[code][2].rstrip("%\u00a0"), rows[code][4]
        mark = difference.split(" ")[0]
        assert number == rate + (f" {mark}" if mark in SIGNS.values() else "")


def check_area(page, name, code, rows, titles):
    (table,) = page.tables
    assert page.headings[0] == name
    expected = []
    for one, title in sorted(titles.items(), key=lambda each: each[1]):
        numbers, difference = written(rows[one][code])
        expected.append([title, *numbers, next(iter(rows[one].values()))[2], "", difference])
    # a change stands between the picture and the difference; its number is tested where it is computed
    assert [[*row[:6], row[-1]] for row in table.rows[1:]] == expected


def check_front(page, cells, rows, titles, areas):
    (table,) = page.tables
    counts = {one: cells[(one, *CITY, "gap")] for one in titles}
    order = sorted(titles, key=lambda one: (counts[one] is None, -(counts[one] or 0), titles[one]))
    assert [row[0] for row in table.rows[1:]] == [titles[one] for one in order]
    for one, row in zip(order, table.rows[1:], strict=True):
        numbers, _ = written(next(iter(rows[one].values())))
        districts = [rows[one][code] for code in areas.filter(pl.col("level") == "district")["code"]]
        told = [sum(sign in each[4] for each in districts) for sign in ("▲", "▼")]
        assert row[1:3] == numbers[1:]
        assert row[-3:] == [*map(str, told), str(sum(each[2] == "..." for each in districts))]
