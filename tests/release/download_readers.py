"""Readers of the downloads that share nothing with what wrote them: each returns what a file says of every cell.

A cell is told by (date, indicator, area, sex, age band, measure) in the codes of the downloads, and is a pair of its
printed figure, or None, and its status; what a format calls "not in the table" is left out.
"""

import calendar
import io
import json
import re
from itertools import product
from math import prod

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

STATUSES = {"...": "suppressed", "..": "too_few", "....": "undefined"}
MEASURES = {"eligible", "gap", "closed"}


def month_end(code):
    year, month = int(code[:4]), int(code[5:])
    return f"{year}-{month:02}-{calendar.monthrange(year, month)[1]}"


def day_of(code):
    return month_end(code) if re.fullmatch(r"\d{4}M\d\d", code) else code


def px_keywords(content):
    """Keywords of a PX file by (keyword, language, names in parentheses), and its cells; the 2013 specification."""
    text = content.decode("utf-8")
    assert "\ufeff" not in text
    found, place = {}, 0
    pattern = re.compile(r'([A-Z][A-Z0-9-]*)(?:\[(\w\w)\])?(?:\(((?:"[^"\n]*",?)+)\))?=')
    while True:
        match = pattern.match(text, place)
        assert match, text[place : place + 80]
        keyword, language, names = match[1], match[2] or "", tuple(re.findall(r'"([^"]*)"', match[3] or ""))
        place = match.end()
        if keyword == "DATA":
            rest = text[place:]
            assert rest.endswith(";\r\n")
            return found, re.findall(r'"[.]{1,6}"|"-"|\S+', rest[:-3])
        value = re.compile(r'(?:TLIST\([A-Z]1\),)?(?:"[^"\r\n]*"(?:,\s*"[^"\r\n]*")*|[A-Z0-9]+)').match(text, place)
        assert value, text[place : place + 80]
        place = value.end()
        assert text[place] == ";", (keyword, text[place : place + 40])
        place = re.compile(r"\s*").match(text, place + 1).end()
        assert (keyword, language, names) not in found
        found[keyword, language, names] = re.findall(r'"([^"]*)"', value[0]) if '"' in value[0] else value[0]


def read_px(content, ids, language=""):
    """Cells of a PX file; `ids` are the ids of its variables in order."""
    found, data = px_keywords(content)
    names = found["STUB", language, ()] + found["HEADING", language, ()]
    codes = [found["CODES", language, (name,)] for name in names]
    for name, own in zip(names, codes, strict=True):
        values = found["VALUES", language, (name,)]
        assert len(values) == len(own) == len(set(values)) == len(set(own))
        if (total := found.get(("ELIMINATION", language, (name,)))) is not None:
            assert total[0] in values
    assert len(data) == prod(map(len, codes))
    return by_cell(ids, codes, ((None, item.strip('"')) if item[0] == '"' else (item, "") for item in data))


def read_json_stat(content):
    """Cells of a JSON-stat 2.0 dataset."""
    found = json.loads(content, parse_float=str, parse_int=str)
    assert (found["version"], found["class"]) == ("2.0", "dataset")
    codes = [found["dimension"][one]["category"]["index"] for one in found["id"]]
    assert [str(len(own)) for own in codes] == found["size"]
    assert len(found["value"]) == prod(map(len, codes))
    for one, own in zip(found["id"], codes, strict=True):
        assert list(found["dimension"][one]["category"]["label"]) == own
    status = {int(place): symbol for place, symbol in found["status"].items()}
    assert set(status.values()) <= set(found["extension"]["status"]["label"])
    figures = ((value, status.get(place, "")) for place, value in enumerate(found["value"]))
    return by_cell(found["id"], codes, figures)


def by_cell(ids, codes, figures):
    cells = {}
    for names, (figure, symbol) in zip(product(*codes), figures, strict=True):
        own = dict(zip(ids, names, strict=True))
        own["as_of"] = day_of(own["as_of"])
        if "sex" not in own:
            own |= {"sex": "total", "age_band": "total"}
        if "group" in own:
            kind, _, code = own.pop("group").partition("_")
            own |= {"area": None, "sex": "total", "age_band": "total"}
            if kind in ("sex", "age"):
                own["sex" if kind == "sex" else "age_band"] = code
            else:
                own["area"] = kind + ("_" + code if code else "")
        assert (figure is None) == bool(symbol)
        if symbol != ".":
            key = tuple(own[name] for name in ("as_of", "indicator", "area", "sex", "age_band", "measure"))
            cells[key] = (figure, STATUSES[symbol] if symbol else "published")
    return cells


def read_dates(content, name, titles, measures):
    """Counts of the sheet of every date; `titles` are the indicators and `measures` the measures by their words."""
    counts, sheet = {}, openpyxl.load_workbook(io.BytesIO(content))[name]
    header = [cell.value for cell in sheet[4]]
    for title, area, _, day, *told in sheet.iter_rows(min_row=5, values_only=True):
        for heading, value in zip(header[4:], told, strict=True):
            if value != "–":
                assert isinstance(value, int) or value == "..."
                cell = (None, "suppressed") if value == "..." else (str(value), "published")
                counts[day, titles[title], area, "total", "total", measures[heading]] = cell
    return counts


def read_workbook(content, indicators, words, as_of):
    """Counts of a workbook, its rates, and every number in it; `words` are labels by dimension and then by code."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    sheets = [sheet for sheet in book.worksheets[2:] if sheet.title != words["dates"]]
    assert len(sheets) == len(indicators)
    measures = {words["measure"][code]: code for code in MEASURES}
    people = {"": ("total", "total")}
    for sex, age in product(words["sex"].items(), words["age_band"].items()):
        who = [name for code, name in (sex, age) if code != "total"]
        people[", ".join(who)] = (sex[0], age[0])
    counts, rates = {}, {}
    for indicator, sheet in zip(indicators, sheets, strict=True):
        header = [cell.value for cell in sheet[4]]
        first = 3 if header[2] == words["as_of"] else 2
        for row in sheet.iter_rows(min_row=5):
            day = day_of(row[2].value) if first == 3 else as_of
            for heading, cell in zip(header[first:], row[first:], strict=True):
                who, _, measure = heading.rpartition(": ")
                if heading in words["rates"]:
                    if cell.value is not None:
                        rates[day, indicator, row[0].value, words["rates"][heading]] = cell.value
                elif cell.value != "–":
                    assert isinstance(cell.value, int) or cell.value == "..."
                    key = (day, indicator, row[0].value, *people[who], measures[measure])
                    hidden = cell.value == "..."
                    counts[key] = (None, "suppressed") if hidden else (str(cell.value), "published")
    cells = (cell.value for sheet in book.worksheets for row in sheet.iter_rows() for cell in row)
    return counts, rates, {value for value in cells if isinstance(value, int | float)}


def star_connection(files):
    """The star schema's tables in a database of their own, read by another library than wrote them."""
    connection = duckdb.connect()
    for path, content in files.items():
        if path.endswith(".parquet") and "/star/" in path:
            table = pq.read_table(pa.BufferReader(content))
            assert not [one for one in table.schema.types if pa.types.is_unsigned_integer(one)]
            connection.register(path.rpartition("/")[2].removesuffix(".parquet"), table)
    return connection


def read_star(connection, fact):
    """Cells of a fact table, through its dimensions."""
    query = f"""
        SELECT strftime(dim_date.as_of, '%Y-%m-%d'), indicator, area, sex, age_band, measure, fact.value, fact.status
        FROM {fact} AS fact
        JOIN dim_date USING (date_key) JOIN dim_indicator USING (indicator_key) JOIN dim_area USING (area_key)
        JOIN dim_sex USING (sex_key) JOIN dim_age USING (age_key) JOIN dim_measure USING (measure_key)
    """
    rows = connection.execute(query).fetchall()
    assert len(rows) == connection.execute(f"SELECT count(*) FROM {fact}").fetchall()[0][0]
    cells = {tuple(key): (value, status) for *key, value, status in rows}
    assert len(cells) == len(rows)
    return cells


def expected(rows, city, last):
    """Cells of table.csv (or derived.csv), as rows of dicts, in the codes of the downloads."""
    cells = {}
    for row in rows:
        major, district = row["major"], row["district"]
        area = district if district != "*" else {"*": city, "unknown": "unknown_major"}.get(major, major)
        sex, age = ("total" if row[name] == "*" else row[name] for name in ("sex", "age_band"))
        figure = row[last]
        key = (row["as_of"], row["indicator"], area, sex, age, row["measure" if last == "value" else "kind"])
        assert key not in cells
        cells[key] = (None if figure in (None, "") else str(figure), row["status"])
    return cells
