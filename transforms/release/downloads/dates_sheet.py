"""The sheet of a workbook that has the areas at every date."""

import polars as pl
from xlsxwriter.worksheet import Worksheet

from transforms.release.downloads.contents import MEASURES, SUPPRESSED, Contents
from transforms.release.downloads.sheets import HEADER, Formats, for_paper, write_count
from transforms.release.page_words import HIDDEN


def write_dates(sheet: Worksheet, contents: Contents, language: str, formats: Formats) -> None:
    """One row per indicator, area and date, the newest date first: what a pivot table is made from."""
    own = contents.labels[language]
    name = f"name_{language}"
    titles = {one.id: (place, one.title[language]) for place, one in enumerate(contents.indicators)}
    places = contents.places.with_row_index("place").with_columns(
        pl.when(pl.col("place") == 0).then(pl.lit(own["city"])).otherwise(name).alias(name)
    )
    by_measure = contents.area_counts.with_columns(
        told=pl.when(pl.col("status") == SUPPRESSED).then(pl.lit(HIDDEN)).otherwise(pl.col("value").cast(pl.String))
    ).pivot("measure", index=["as_of", "indicator", "area"], values="told")
    rows = by_measure.join(places.select("place", name, "area"), on="area").with_columns(
        number=pl.col("indicator").replace_strict({one: number for one, (number, _) in titles.items()})
    )
    rows = rows.sort("number", "place", "as_of", descending=[False, False, True])
    sheet.write_string(0, 0, own["dates_title"], formats.title)
    headings = [own["indicator"], own["code"], own["area"], own["as_of"], *(own[f"measure_{one}"] for one in MEASURES)]
    for column, heading in enumerate(headings):
        sheet.write_string(HEADER, column, heading, formats.header)
    for row, (indicator, *texts, day) in enumerate(rows.select("indicator", "area", name, "as_of").rows(), HEADER + 1):
        for column, text in enumerate([titles[indicator][1], *texts, day]):
            sheet.write_string(row, column, text, formats.cells["text", False])
    for column, measure in enumerate(MEASURES, 4):
        for row, told in enumerate(rows[measure], HEADER + 1):
            is_number = told is not None and told != HIDDEN
            write_count(sheet, row, column, told if is_number else "", SUPPRESSED if told == HIDDEN else "", formats)
    sheet.freeze_panes(HEADER + 1, 3)
    sheet.autofilter(HEADER, 0, HEADER + rows.height, len(headings) - 1)
    sheet.set_column(0, 0, 52)
    sheet.set_column(1, 1, 15)
    sheet.set_column(2, 2, 30)
    sheet.set_column(3, len(headings), 15)
    sheet.ignore_errors({"number_stored_as_text": f"B{HEADER + 2}:B{HEADER + rows.height + 1}"})
    sheet.repeat_rows(HEADER)
    for_paper(sheet, own["dates_title"], contents, language)
