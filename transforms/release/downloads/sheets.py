"""How the sheets of a workbook look and print, and how a count is written in them."""

from collections.abc import Mapping
from dataclasses import dataclass

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from transforms.release.downloads.contents import SUPPRESSED, Contents
from transforms.release.page_words import EMPTY, HIDDEN

HEADER = 3
"""Row of the headings of an indicator's sheet, counted from 0; what stands above it and the area stay in sight."""
_DARK, _INK, _SHADE, _LINE = "#1f3864", "#404040", "#ececec", "#bfbfbf"


@dataclass(frozen=True)
class Formats:
    """How cells look; the numbers of a sum are bold."""

    title: Format
    plain: Format
    text: Format
    wrapped: Format
    link: Format
    header: Format
    cells: Mapping[tuple[str, bool], Format]


def formats_of(book: xlsxwriter.Workbook) -> Formats:
    """The looks of a workbook."""

    def number(shown: str, *, bold: bool) -> Format:
        return book.add_format({"num_format": shown, "bold": bold, "align": "right"})

    cells = {(kind, bold): number(kind, bold=bold) for kind in ("#,##0", "0.0") for bold in (False, True)}
    cells |= {("text", bold): book.add_format({"bold": bold}) for bold in (False, True)}
    cells["indented", False] = book.add_format({"indent": 1})
    cells["symbol", False] = book.add_format({"align": "right", "font_color": _INK, "bg_color": _SHADE})
    header = {"bold": True, "font_color": "#ffffff", "bg_color": _DARK, "text_wrap": True, "valign": "top"}
    return Formats(
        title=book.add_format({"bold": True, "font_size": 14}),
        plain=book.add_format(),
        text=book.add_format({"indent": 1}),
        wrapped=book.add_format({"text_wrap": True, "valign": "top"}),
        link=book.add_format({"font_color": "#0b5394", "underline": 1, "text_wrap": True, "valign": "top"}),
        header=book.add_format({**header, "border": 1, "border_color": _LINE}),
        cells=cells,
    )


def write_count(
    sheet: Worksheet, row: int, column: int, figure: str, status: str, formats: Formats, *, bold: bool = False
) -> None:
    """Write a count as a number, or the symbol of why there is none."""
    if figure:
        sheet.write_number(row, column, int(figure), formats.cells["#,##0", bold])
    else:
        sheet.write_string(row, column, HIDDEN if status == SUPPRESSED else EMPTY, formats.cells["symbol", False])


def height_of(text: str, width: int) -> float:
    """Points that a text needs in a column of so many characters; no program grows the rows by itself."""
    return 15.5 * max(1, -(-len(text) // width))


def for_paper(sheet: Worksheet, title: str, contents: Contents, language: str) -> None:
    """Print on A4, as wide as the paper, with the title above and the release below."""
    own, release = contents.labels[language], contents.release
    source = own["source"].format(city=contents.city(language), release=release.release_id)
    date = own["about_as_of"].format(date=contents.words[language].date(release.as_of))
    sheet.set_header("&L&B" + f"{title}. {date}"[:200].replace("&", "&&"))
    sheet.set_footer("&L" + source[:200].replace("&", "&&") + "&R&P / &N")
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
