"""PX files (PC-Axis, AXIS-VERSION 2013), which PxWeb, PxWin and the statistical packages read.

One file has all three languages: each keyword in Finnish, the first language, is followed by the same in the others.
"""

from collections.abc import Iterator, Mapping, Sequence

from transforms.release.downloads.contents import LANGUAGES, Contents
from transforms.release.downloads.cube import GEO, METRIC, SYMBOLS, TIME, Cube, Dimension, plain_text
from transforms.release.figures import UNDEFINED

STUB = 1
"""The last dimensions are the heading: date and measure run along a line of the file."""
_SHOWN = {SYMBOLS[UNDEFINED]: ".."}
"""Symbols shown otherwise than they are written."""
_WIDTH = 1000
_TYPES = {TIME: "Time", GEO: "Geographical", METRIC: "Content"}

Texts = Mapping[str, str | Sequence[str]]


def write_px(cube: Cube, contents: Contents) -> bytes:
    """Write a cube as a PX file; UTF-8. A hidden figure is "...", a combination that the table does not have ".".

    Dates that are all month-ends are written as months. A quotation mark in a text becomes a typographic one: the
    format cannot write it.
    """
    lines = [f"{keyword}={value};" for keyword, value in _keywords(cube, contents)]
    heading = len(cube.dimensions[-1].codes) * len(cube.dimensions[-2].codes)
    written = {"": "", **{status: f'"{symbol}"' for status, symbol in SYMBOLS.items()}}
    cells = [figure or written[status] for figure, status in zip(cube.figures, cube.statuses, strict=True)]
    rows = (" ".join(cells[start : start + heading]) for start in range(0, len(cells), heading))
    return "\r\n".join([*lines, "DATA=", " \r\n".join(rows) + ";", ""]).encode()


def _keywords(cube: Cube, contents: Contents) -> Iterator[tuple[str, str]]:
    """Keywords and values in the order that the format recommends, each in every language where it has words."""
    release, labels = contents.release, contents.labels
    measure, time = cube.dimensions[-1], cube.dimensions[-2]
    decimals = max(measure.decimals, default=0)
    by_month = all("M" in code for code in time.codes)
    made = f"{release.created:%Y%m%d} 00:00"
    yield "CHARSET", '"ANSI"'
    yield "AXIS-VERSION", '"2013"'
    yield "CODEPAGE", '"utf-8"'
    yield "LANGUAGE", _quoted(LANGUAGES[0])
    yield "LANGUAGES", _list(LANGUAGES)
    yield "CREATION-DATE", _quoted(made)
    yield "DECIMALS", str(decimals)
    yield "SHOWDECIMALS", "0"
    yield "MATRIX", _quoted(f"caregap_{cube.id}")
    yield "AGGREGALLOWED", "NO"
    yield "COPYRIGHT", "YES"
    yield "SUBJECT-CODE", '"caregap"'
    yield from _told("SUBJECT-AREA", _each(labels, "subject"))
    yield from _told("DESCRIPTION", cube.titles)
    yield from _told("TITLE", cube.titles)
    yield from _told("CONTENTS", _each(labels, "subject"))
    yield from _told("UNITS", _each(labels, "units_mixed" if decimals else "unit_count"))
    split = len(cube.dimensions) - 2
    for keyword, part in (("STUB", cube.dimensions[:split]), ("HEADING", cube.dimensions[split:])):
        yield from _told(keyword, {one: [dimension.names[one] for dimension in part] for one in LANGUAGES})
    yield from _told("CONTVARIABLE", measure.names)
    for dimension in cube.dimensions:
        yield from _told("VALUES", dimension.labels, dimension)
    if by_month:
        yield from _told("TIMEVAL", dict.fromkeys(LANGUAGES, tuple(code.replace("M", "") for code in time.codes)), time)
    for dimension in cube.dimensions:
        yield from _told("CODES", dict.fromkeys(LANGUAGES, dimension.codes), dimension)
    for dimension in cube.dimensions:
        kind = _TYPES.get(dimension.role, "Classificatory")
        yield from _told("VARIABLE-TYPE", dict.fromkeys(LANGUAGES, kind), dimension)
    for dimension in cube.dimensions:
        if dimension.total:
            place = list(dimension.codes).index(dimension.total)
            yield from _told("ELIMINATION", {one: dimension.labels[one][place] for one in LANGUAGES}, dimension)
    for place, count in enumerate(measure.decimals):
        if count:
            yield from _about("PRECISION", measure, place, dict.fromkeys(LANGUAGES, count), both=True)
    period = _each(labels, "month_end" if by_month else "as_of_day")
    for place in range(len(measure.codes)):
        yield from _about("LAST-UPDATED", measure, place, dict.fromkeys(LANGUAGES, made))
        yield from _about("UNITS", measure, place, {one: measure.units[one][place] for one in LANGUAGES})
        yield from _about("REFPERIOD", measure, place, period)
        if contents.contact:
            yield from _about("CONTACT", measure, place, dict.fromkeys(LANGUAGES, contents.contact))
    source = {
        one: labels[one]["source"].format(city=contents.city(one), release=release.release_id) for one in LANGUAGES
    }
    yield from _told("SOURCE", source)
    yield "OFFICIAL-STATISTICS", "NO"
    yield from _told("NOTEX", {one: "#".join(contents.notes(one)) for one in LANGUAGES})
    symbols = {
        one: "#".join(
            f"{_SHOWN.get(symbol, symbol)}  {labels[one][f'symbol_{status}']}" for status, symbol in SYMBOLS.items()
        )
        for one in LANGUAGES
    }
    yield from _told("NOTE", symbols)
    for dimension in cube.dimensions:
        for place in range(len(dimension.codes)) if dimension.notes else ():
            note = {one: dimension.notes[one][place] for one in LANGUAGES}
            yield from _about("VALUENOTE", dimension, place, note, both=True)
    for symbol in sorted(SYMBOLS.values()):
        yield f"DATASYMBOL{len(symbol)}", _quoted(_SHOWN.get(symbol, symbol))


def _each(labels: Mapping[str, Mapping[str, str]], key: str) -> dict[str, str]:
    return {language: labels[language][key] for language in LANGUAGES}


def _told(keyword: str, texts: Texts, dimension: Dimension | None = None) -> Iterator[tuple[str, str]]:
    """A keyword in every language, of the file or of one of its variables, which is called by its name in each."""
    for language in LANGUAGES:
        inner = f"({_quoted(dimension.names[language])})" if dimension else ""
        text = texts[language]
        value = _quoted(text) if isinstance(text, str) else _list(text)
        yield _in(keyword, language) + inner, f"TLIST(M1),{value}" if keyword == "TIMEVAL" else value


def _about(
    keyword: str, dimension: Dimension, place: int, texts: Mapping[str, str | int], *, both: bool = False
) -> Iterator[tuple[str, str]]:
    """A keyword of one value of a variable in every language; `both` where the variable is named too."""
    for language in LANGUAGES:
        name, label = _quoted(dimension.names[language]), _quoted(dimension.labels[language][place])
        text = texts[language]
        value = str(text) if isinstance(text, int) else _quoted(text)
        yield f"{_in(keyword, language)}({f'{name},{label}' if both else label})", value


def _in(keyword: str, language: str) -> str:
    return keyword if language == LANGUAGES[0] else f"{keyword}[{language}]"


def _quoted(text: str) -> str:
    return f'"{plain_text(text)}"'


def _list(texts: Sequence[str]) -> str:
    """Quoted texts, on further lines where one would be too long for old readers."""
    lines, width = [""], 0
    for text in texts:
        quoted = _quoted(text)
        if width + len(quoted) > _WIDTH:
            lines.append("")
            width = 0
        lines[-1] += quoted + ","
        width += len(quoted) + 1
    return "\r\n".join(lines).removesuffix(",")
