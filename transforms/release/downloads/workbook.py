"""An Excel workbook in one language: what to know first, the whole city, and a sheet for each indicator.

An indicator's sheet has one row per area and holds every cell of the release's own date: the whole target group first,
then each sex and age band. A last sheet has the areas at every date. Numbers are numbers; what is hidden is the text
`...`, which no formula counts.
"""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, time

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from schemas.areas import DISTRICT
from transforms.release.downloads.contents import ALL, MEASURES, SUPPRESSED, Contents, in_order, people
from transforms.release.downloads.cube import ABSENT, Cube, kind_texts
from transforms.release.downloads.dates_sheet import write_dates
from transforms.release.downloads.sheets import HEADER, Formats, for_paper, formats_of, height_of, write_count
from transforms.release.page_words import EMPTY, HIDDEN, NOT_GIVEN

RATES = ("rate", "rate_low", "rate_high", "comparison", "standardised")
_RATE_LABELS = ("rate_percent", "rate_low", "rate_high", "difference", "standardised")
_STEPS = {"2": "step_2", "1": "step_1", "0": "step_0", "-1": "step_m1", "-2": "step_m2"}

Rates = Mapping[tuple[str, str, str, str, str, str], tuple[str | None, str]]
"""Printed figure and status by date, indicator, area, sex, age band and kind."""


def write_workbook(counts: Cube, contents: Contents, language: str) -> bytes:
    """Write the workbook of one language; xlsx. The same input gives the same bytes."""
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True})
    release, own = contents.release, contents.labels[language]
    book.set_properties(
        {
            "title": own["counts_title"],
            "subject": own["about_as_of"].format(date=contents.words[language].date(release.as_of)),
            "author": contents.city(language),
            "comments": own["source"].format(city=contents.city(language), release=release.release_id),
            "created": datetime.combine(release.created, time()),
        }
    )
    formats = formats_of(book)
    rates = {(*group, kind): (figure, status) for *group, kind, figure, status in contents.rates.iter_rows()}
    names = _sheet_names([indicator.title[language] for indicator in contents.indicators])
    about, overview = book.add_worksheet(own["sheet_about"]), book.add_worksheet(own["sheet_overview"])
    for place, name in enumerate(names):
        _indicator(book.add_worksheet(name), place, counts, contents, rates, language, formats)
    if contents.area_counts.height:
        write_dates(book.add_worksheet(own["sheet_dates"]), contents, language, formats)
    _about(about, names, contents, language, formats)
    _overview(overview, names, counts, contents, rates, language, formats)
    book.close()
    return content.getvalue()


def _sheet_names(titles: Sequence[str]) -> list[str]:
    """Names that Excel takes: 31 characters, none of []:*?/\\, no two alike; the number keeps them apart."""
    return [re.sub(r"[\[\]:*?/\\']", " ", f"{number} {title}")[:31].strip() for number, title in enumerate(titles, 1)]


def _indicator(
    sheet: Worksheet, place: int, counts: Cube, contents: Contents, rates: Rates, language: str, formats: Formats
) -> None:
    own, indicator = contents.labels[language], contents.indicators[place]
    _, areas, sexes, ages, dates, _ = counts.dimensions
    figures, statuses = counts.figures.reshape(counts.size)[place], counts.statuses.reshape(counts.size)[place]
    groups = [
        (sex, age)
        for sex in range(len(sexes.codes))
        for age in range(len(ages.codes))
        if sex == age == 0 or (statuses[:, sex, age] != ABSENT).any()
    ]
    source = own["indicator_source"].format(source=indicator.source[language])
    sheet.write_string(0, 0, indicator.title[language], formats.title)
    sheet.write_string(1, 0, f"{indicator.description[language].strip()} {source}", formats.plain)
    back = f"internal:'{own['sheet_overview']}'!A1"
    sheet.write_url(2, 0, back, formats.link, own["back"])
    several = len(dates.codes) > 1
    labels = [own["code"], own["area"], *([own["as_of"]] if several else [])]
    measures = [own[f"measure_{measure}"] for measure in MEASURES]
    shown = measures + [own[label] for label in _RATE_LABELS] * bool(rates)
    for sex, age in groups[1:]:
        who = ", ".join(
            people(contents.words[language], own, dimension.id, dimension.codes[number])
            for dimension, number in ((sexes, sex), (ages, age))
            if number
        )
        shown += [f"{who}: {measure}" for measure in measures]
    for column, heading in enumerate([*labels, *shown]):
        sheet.write_string(HEADER, column, heading, formats.header)
    row = HEADER
    newest_first = range(len(dates.codes) - 1, -1, -1)
    levels = contents.places["level"].to_list()
    days = sorted(contents.detailed_counts["as_of"].unique())
    for day in newest_first:
        for area, level in enumerate(levels):
            row += 1
            bold = level != DISTRICT
            sheet.write_string(row, 0, areas.codes[area], formats.cells["text", bold])
            name = formats.cells["text", True] if bold else formats.cells["indented", False]
            sheet.write_string(row, 1, areas.labels[language][area], name)
            column = 2
            if several:
                sheet.write_string(row, 2, dates.codes[day], formats.cells["text", bold])
                column = 3
            for number, (sex, age) in enumerate(groups):
                for measure in range(len(MEASURES)):
                    at = (area, sex, age, day, measure)
                    write_count(sheet, row, column, figures[at], statuses[at], formats, bold=bold)
                    column += 1
                if number == 0 and rates:
                    group = (days[day], indicator.id, areas.codes[area], ALL, ALL)
                    _rates(sheet, row, column, group, rates, own, formats)
                    column += len(RATES)
    sheet.freeze_panes(HEADER + 1, 2)
    sheet.autofilter(HEADER, 0, row, len(labels) + len(shown) - 1)
    sheet.set_row(HEADER, 62)
    sheet.set_column(0, 0, 15)
    sheet.set_column(1, 1, 30)
    sheet.set_column(2, len(labels) + len(shown), 15)
    if rates:
        compared = len(labels) + len(MEASURES) + RATES.index("comparison")
        sheet.set_column(compared, compared, 27)
    sheet.ignore_errors({"number_stored_as_text": f"A{HEADER + 2}:A{row + 1}"})
    sheet.repeat_rows(HEADER)
    sheet.print_area(HEADER, 0, row, len(labels) + len(MEASURES) + len(RATES) * bool(rates) - 1)
    for_paper(sheet, indicator.title[language], contents, language)


def _rates(
    sheet: Worksheet,
    row: int,
    column: int,
    group: tuple[str, str, str, str, str],
    rates: Rates,
    own: Mapping[str, str],
    formats: Formats,
    kinds: Sequence[str] = RATES,
) -> None:
    """Write the derived figures of a group side by side; what derived.csv does not have stays empty."""
    for place, kind in enumerate(kinds, column):
        figure, status = rates.get((*group, kind), (None, ABSENT))
        if figure is not None and kind == "comparison":
            sheet.write_string(row, place, own[_STEPS[figure]], formats.text)
        elif figure is not None:
            sheet.write_number(row, place, float(figure), formats.cells["0.0", False])
        elif status != ABSENT:
            nobody = EMPTY if kind in RATES[:4] else NOT_GIVEN
            sheet.write_string(row, place, HIDDEN if status == SUPPRESSED else nobody, formats.cells["symbol", False])


def _overview(
    sheet: Worksheet,
    names: Sequence[str],
    counts: Cube,
    contents: Contents,
    rates: Rates,
    language: str,
    formats: Formats,
) -> None:
    own, words = contents.labels[language], contents.words[language]
    figures, statuses = counts.figures.reshape(counts.size), counts.statuses.reshape(counts.size)
    groups = [
        (dimension, code)
        for dimension in ("sex", "age_band")
        for code in in_order(contents.own_rates[dimension].unique().to_list())
        if code != ALL
    ]
    change = ["change"] if "change" in contents.own_rates["kind"] else []
    headings = [own["indicator"], own["measure_eligible"], own["measure_gap"]]
    headings += ([own["rate_percent"], own["rate_low"], own["rate_high"]] + [own["change"] for _ in change]) * bool(
        rates
    )
    headings += [f"{own['rate_percent']}: {people(words, own, *group)}" for group in groups]
    date = own["about_as_of"].format(date=words.date(contents.release.as_of))
    sheet.write_string(0, 0, f"{contents.city(language)}: {own['about_overview']}", formats.title)
    sheet.write_string(1, 0, f"{date}. {own['note_generated'] if contents.release.generated else ''}", formats.plain)
    for column, heading in enumerate(headings):
        sheet.write_string(HEADER, column, heading, formats.header)
    city, day = contents.places.item(0, "area"), contents.release.as_of.isoformat()
    at_day = sorted(contents.detailed_counts["as_of"].unique()).index(day)
    for place, (indicator, name) in enumerate(zip(contents.indicators, names, strict=True)):
        row = HEADER + 1 + place
        sheet.write_url(row, 0, f"internal:'{name}'!A1", formats.link, indicator.title[language])
        for column, measure in enumerate(("eligible", "gap"), 1):
            at = (place, 0, 0, 0, at_day, MEASURES.index(measure))
            write_count(sheet, row, column, figures[at], statuses[at], formats)
        kinds = ("rate", "rate_low", "rate_high", *change)
        _rates(sheet, row, 3, (day, indicator.id, city, ALL, ALL), rates, own, formats, kinds)
        for column, (dimension, code) in enumerate(groups, 3 + len(kinds)):
            who = (code, ALL) if dimension == "sex" else (ALL, code)
            _rates(sheet, row, column, (day, indicator.id, city, *who), rates, own, formats, ("rate",))
    sheet.freeze_panes(HEADER + 1, 1)
    sheet.set_row(HEADER, 62)
    sheet.set_column(0, 0, 52)
    sheet.set_column(1, len(headings), 13)
    for_paper(sheet, own["about_overview"], contents, language)
    sheet.set_landscape()


def _about(sheet: Worksheet, names: Sequence[str], contents: Contents, language: str, formats: Formats) -> None:
    own, words, release = contents.labels[language], contents.words[language], contents.release
    bold = formats.cells["text", True]
    sheet.set_column(0, 0, 44)
    sheet.set_column(1, 1, 90)
    sheet.write_string(0, 0, f"{contents.city(language)}: {own['counts_title']}", formats.title)
    sheet.write_string(1, 0, own["about_as_of"].format(date=words.date(release.as_of)), bold)
    made = own["about_release"].format(release=release.release_id, date=words.date(release.created))
    sheet.write_string(2, 0, made, formats.plain)
    row = 4
    for note in [*contents.notes(language), own["about_files"]]:
        sheet.merge_range(row, 0, row, 1, note, formats.wrapped)
        sheet.set_row(row, height_of(note, 130))
        row += 1
    symbols = [(HIDDEN, own["symbol_suppressed"]), (EMPTY, own["about_empty"]), (NOT_GIVEN, own["about_not_given"])]
    columns = [(own[f"measure_{measure}"], own[f"explained_{measure}"]) for measure in MEASURES]
    if contents.rates.height:
        explained = [own["explained_steps" if kind == "comparison" else kind_texts(kind)[0]] for kind in RATES]
        columns += zip([own[label] for label in _RATE_LABELS], explained, strict=True)
    for title, lines in ((own["about_symbols"], symbols), (own["about_columns"], columns)):
        row += 1
        sheet.write_string(row, 0, title, bold)
        for name, text in lines:
            row += 1
            sheet.write_string(row, 0, name, formats.wrapped)
            sheet.write_string(row, 1, text, formats.wrapped)
            sheet.set_row(row, height_of(text, 90))
        row += 1
    row += 1
    sheet.write_string(row, 0, own["about_sheets"], bold)
    sheets = [(own["sheet_overview"], own["sheet_overview"], own["about_overview"])]
    for name, indicator in zip(names, contents.indicators, strict=True):
        sheets.append((name, indicator.title[language], indicator.description[language].strip()))
    if contents.area_counts.height:
        sheets.append((own["sheet_dates"], own["sheet_dates"], own["dates_title"]))
    for name, title, text in sheets:
        row += 1
        sheet.write_url(row, 0, f"internal:'{name}'!A1", formats.link, title)
        sheet.write_string(row, 1, text, formats.wrapped)
        sheet.set_row(row, height_of(text, 90))
    for_paper(sheet, own["counts_title"], contents, language)
