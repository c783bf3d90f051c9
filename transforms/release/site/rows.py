"""Rows of the pages' tables in the words of one language, from published cells and what follows from them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.areas import CITY, DISTRICT, MAJOR, UNKNOWN_AREA
from transforms.release.page_figures import SUPPRESSED, TOTAL
from transforms.release.page_words import EMPTY, HIDDEN, NOT_GIVEN, UNKNOWN, Words
from transforms.release.site.addresses import area_page, slug

Group = tuple[str, str, str, str]
"""major, district, sex, age band."""
WHOLE_CITY: Group = (TOTAL, TOTAL, TOTAL, TOTAL)
FAR_ABOVE, ABOVE, ALIKE, BELOW, FAR_BELOW, CITY_ITSELF = "far_above", "above", "alike", "below", "far_below", ""
"""What a row says of its difference from the city; also the keys of the words."""
SIGNS = {FAR_ABOVE: "▲▲", ABOVE: "▲", ALIKE: "", BELOW: "▼", FAR_BELOW: "▼▼"}
ROSE, FELL, STEADY = "rose", "fell", "steady"
"""What is said of a change; also the keys of the words."""
_SAID = {2: FAR_ABOVE, 1: ABOVE, 0: ALIKE, -1: BELOW, -2: FAR_BELOW}

Found = Mapping[Group, Mapping[str, Any]]
"""Figures of an indicator by group, as page_figures.figures has them."""
More = Mapping[tuple[Group, str], tuple[str | None, str]]
"""Printed figure and status of an indicator's derived figures, by group and kind."""


@dataclass(frozen=True)
class Change:
    """Change of a rate in a year, in percentage points as printed; `word` is whether chance explains it.

    Where it is hidden, `points` is the symbol and the rest is empty.
    """

    points: str
    low: str
    high: str
    word: str
    points_number: float


@dataclass(frozen=True)
class Row:
    """One area or group as a table writes it.

    Numbers that a picture needs are None where there is nothing to draw: `rate_tenths`, `limits` (0 to 1) of the rate,
    and `size`, the people it is a rate of.
    """

    kind: str
    anchor: str
    name: str
    address: str
    eligible: str
    gap: str
    rate: str
    interval: str
    comparison: str
    standardised: str
    change: Change | None
    rate_tenths: int | None
    limits: tuple[float, float] | None
    size: int | None
    count: int | None

    @property
    def sign(self) -> str:
        """The sign of the difference from the city."""
        return SIGNS.get(self.comparison, "")

    @property
    def is_compared(self) -> bool:
        """Whether the row can be compared with the city."""
        return self.comparison in SIGNS


def areas_of(areas: pl.DataFrame, found: Iterable[Group], own: Words) -> Iterator[tuple[str, str, str, Group]]:
    """Kind, code, name and group of the city, of each major district before its districts, of the unknown district."""
    yield CITY, areas.filter(pl.col("level") == CITY).item(0, "code"), own.labels["city"], WHOLE_CITY
    named = areas.select("code", "parent", "level", f"name_{own.language}")
    for major, _, _, major_name in named.filter(pl.col("level") == MAJOR).iter_rows():
        yield MAJOR, major, major_name, (major, TOTAL, TOTAL, TOTAL)
        for district, _, _, name in named.filter(pl.col("parent") == major).iter_rows():
            yield DISTRICT, district, name, (major, district, TOTAL, TOTAL)
    unknown = (UNKNOWN_AREA, UNKNOWN_AREA, TOTAL, TOTAL)
    if unknown in found:
        yield UNKNOWN_AREA, UNKNOWN_AREA, own.labels["unknown_area"], unknown


def area_rows(areas: pl.DataFrame, found: Found, more: More, own: Words) -> dict[str, Row]:
    """Rows of the areas by code, in the order of the table."""
    return {
        code: _row(kind, f"a-{slug(code)}", name, group, found, more, own)
        for kind, code, name, group in areas_of(areas, found, own)
    }


def group_rows(found: Found, more: More, own: Words) -> tuple[Row, ...]:
    """Rows of each sex and each age band of the whole city; what is not known comes last."""
    sexes = [group for group in found if group == (TOTAL, TOTAL, group[2], TOTAL) and group[2] != TOTAL]
    bands = [group for group in found if group == (TOTAL, TOTAL, TOTAL, group[3]) and group[3] != TOTAL]
    sexes.sort(key=lambda group: (group[2] == UNKNOWN, group[2]))
    bands.sort(key=lambda group: _age_order(group[3]))
    return (
        *(_row("sex", f"g-{slug(g[2])}", own.sex(g[2]), g, found, more, own) for g in sexes),
        *(_row("age", f"g-{slug(g[3])}", own.age_band(g[3]), g, found, more, own) for g in bands),
    )


def city_row(found: Found, own: Words) -> Row:
    """The row of the whole city alone."""
    return _row(CITY, "", own.labels["city"], WHOLE_CITY, found, {}, own)


def _age_order(band: str) -> tuple[bool, int, str]:
    first = band.partition("-")[0]
    return not first.isdigit(), int(first) if first.isdigit() else 0, band


def _row(kind: str, anchor: str, name: str, group: Group, found: Found, more: More, own: Words) -> Row:
    """One table row. A group that the table does not have is one that nobody belongs to."""
    address = area_page(anchor.removeprefix("a-")) if kind in (MAJOR, DISTRICT) else ""
    figure = found.get(group)
    if figure is None:
        return Row(kind, anchor, name, address, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, None, None, None, None, None)
    is_empty, lower, upper = figure["is_empty"], figure["lower"], figure["upper"]
    comparison = _SAID.get(figure["comparison"], EMPTY if is_empty else HIDDEN)
    value, status = more.get((group, "standardised"), (None, ""))
    return Row(
        kind=kind,
        anchor=anchor,
        name=name,
        address=address,
        eligible=own.count(figure["eligible"]),
        gap=own.count(figure["gap"]),
        rate=own.percent(figure["rate_tenths"], is_empty=is_empty),
        interval=own.interval(lower, upper, is_empty=is_empty),
        comparison=CITY_ITSELF if kind == CITY else comparison,
        standardised=EMPTY if is_empty else own.decimal(value, HIDDEN if status == SUPPRESSED else NOT_GIVEN),
        change=_change(group, more, own),
        rate_tenths=figure["rate_tenths"],
        limits=None if lower is None or upper is None else (lower, upper),
        size=figure["eligible"],
        count=figure["gap"],
    )


def _change(group: Group, more: More, own: Words) -> Change | None:
    change, low, high = (more.get((group, kind), (None, ""))[0] for kind in ("change", "change_low", "change_high"))
    if change is None or low is None or high is None:
        is_hidden = more.get((group, "change"), (None, ""))[1] == SUPPRESSED
        return Change(HIDDEN, "", "", "", 0.0) if is_hidden else None
    word = ROSE if float(low) > 0 else FELL if float(high) < 0 else STEADY
    sign = "+" if float(change) > 0 else ""
    texts = (own.decimal(each, HIDDEN) for each in (change, low, high))
    points, first, last = texts
    return Change(sign + points, first, last, word, float(change))
