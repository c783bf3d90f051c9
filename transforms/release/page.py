"""The pages that management reads: one a language, from the protected table alone.

A page is one file without scripts that asks nothing of any host. What it shows of a cell is its published count or the
symbol of a hidden one; the reason for hiding is not known here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import jinja2
import polars as pl

from schemas.areas import CITY, DISTRICT, MAJOR, UNKNOWN_AREA
from schemas.errors import DisclosureRefused
from schemas.labels import LANGUAGES
from schemas.policy import Disclosure
from transforms.release.page_figures import SUPPRESSED, TOTAL, figures, public_cells
from transforms.release.page_map import (
    HIDDEN_SHADE,
    SHADES,
    TILE_GAP,
    TILE_HEIGHT,
    TILE_WIDTH,
    Scale,
    Tile,
    scale_of,
    tile_map,
)
from transforms.release.page_words import EMPTY, HIDDEN, NOT_GIVEN, UNKNOWN, Words, words

Group = tuple[str, str, str, str]
"""major, district, sex, age band."""
FAR_ABOVE, ABOVE, ALIKE, BELOW, FAR_BELOW, CITY_ITSELF = "far_above", "above", "alike", "below", "far_below", ""
"""What a row says of its difference from the city; also the keys of the words."""
_SAID = {2: FAR_ABOVE, 1: ABOVE, 0: ALIKE, -1: BELOW, -2: FAR_BELOW}
WHOLE_CITY: Group = (TOTAL, TOTAL, TOTAL, TOTAL)


class IndicatorText(Protocol):
    """What a page says of an indicator; texts by language."""

    @property
    def id(self) -> str:
        """Key of the indicator in the table."""

    @property
    def title(self) -> Mapping[str, str]:
        """Name of the gap, a few words."""

    @property
    def description(self) -> Mapping[str, str]:
        """Who belongs to the population and when the gap is open."""

    @property
    def source(self) -> str:
        """Guideline or law that the indicator comes from."""


@dataclass(frozen=True)
class Release:
    """What a release is, apart from its figures. `generated` is true where no real person's data is in it."""

    release_id: str
    as_of: date
    created: date
    generated: bool
    rules: Disclosure
    software_version: str


@dataclass(frozen=True)
class Row:
    """One area or group as a table writes it; `rate_tenths` is None where there is no rate to show."""

    kind: str
    name: str
    eligible: str
    gap: str
    rate: str
    interval: str
    comparison: str
    rate_tenths: int | None
    standardised: str


@dataclass(frozen=True)
class Section:
    """One indicator on the page of one language."""

    anchor: str
    title: str
    description: str
    source: str
    city: Row
    sentence: str
    change: str
    has_standardised: bool
    tiles: tuple[tuple[Tile, Row], ...]
    scale: Scale
    area_rows: tuple[Row, ...]
    group_rows: tuple[Row, ...]

    def districts(self, *comparisons: str) -> int:
        """Number of districts whose rate is above, or below, the city's."""
        return sum(row.comparison in comparisons for _, row in self.tiles)

    @property
    def hidden_districts(self) -> int:
        """Number of districts whose rate is hidden."""
        return sum(row.rate == HIDDEN for _, row in self.tiles)


def page_name(language: str) -> str:
    """File name of the page of a language; the first language is the address of the release."""
    return "index.html" if language == LANGUAGES[0] else f"index.{language}.html"


def render_pages(
    table: pl.DataFrame,
    areas: pl.DataFrame,
    indicators: Sequence[IndicatorText],
    release: Release,
    derived: pl.DataFrame | None = None,
) -> dict[str, bytes]:
    """Write the page of every language; file name to UTF-8 bytes.

    `table` is the protected table, `areas` has the columns of AREA_SCHEMA, `indicators` come in the order of the page.
    `derived` are the figures of derived.csv; without them the page has no standardised rates, and without changes in
    them no trend.
    The same input gives the same bytes. Raises DisclosureRefused where the table cannot be shown as it is.
    """
    cells = public_cells(table, areas)
    found = _by_indicator(figures(cells))
    untold = set(found) ^ {indicator.id for indicator in indicators}
    if untold:
        raise DisclosureRefused(
            "an indicator has figures without texts, or texts without figures",
            "Release the indicators that were counted",
            table="protected table",
            column="indicator",
            count=len(untold),
        )
    more = _more_by_indicator(derived)
    template = _environment().get_template("page.html.jinja")
    every_language = [words(language) for language in LANGUAGES]
    hidden = cells.filter(pl.col("status") == SUPPRESSED).height
    pages = {}
    for own in every_language:
        sections = [
            _section(indicator, found[indicator.id], more.get(indicator.id, {}), areas, own) for indicator in indicators
        ]
        html = template.render(
            t=own.labels,
            words=own,
            release=release,
            city=areas.filter(pl.col("level") == CITY).item(0, f"name_{own.language}"),
            sections=sections,
            has_derived=derived is not None,
            layout=tile_map(areas, own.language),
            tile_width=TILE_WIDTH - TILE_GAP,
            tile_height=TILE_HEIGHT - TILE_GAP,
            shades=SHADES,
            hidden_shade=HIDDEN_SHADE,
            unsafe=_unsafe(release.rules.threshold),
            cell_count=cells.height,
            hidden_count=hidden,
            languages=[(other.language, page_name(other.language), other.labels) for other in every_language],
            signs={FAR_ABOVE: "▲▲", ABOVE: "▲", ALIKE: "", BELOW: "▼", FAR_BELOW: "▼▼"},
            hidden=HIDDEN,
            empty=EMPTY,
            not_given=NOT_GIVEN,
        )
        lines = (line.strip(" \t") for line in html.split("\n"))
        pages[page_name(own.language)] = "\n".join(line for line in lines if line).encode() + b"\n"
    return pages


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("transforms.release", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _unsafe(threshold: int) -> str:
    """Counts that the rules call unsafe, as a range."""
    return "1" if threshold == 2 else f"1–{threshold - 1}"


def _by_indicator(found: pl.DataFrame) -> dict[str, dict[Group, dict[str, Any]]]:
    """Figures by indicator and group."""
    by_indicator: dict[str, dict[Group, dict[str, Any]]] = {}
    for figure in found.iter_rows(named=True):
        group = (figure["major"], figure["district"], figure["sex"], figure["age_band"])
        by_indicator.setdefault(figure["indicator"], {})[group] = figure
    return by_indicator


def _more_by_indicator(derived: pl.DataFrame | None) -> dict[str, dict[tuple[Group, str], tuple[str | None, str]]]:
    """Value and status of the derived figures that a page shows, by indicator, group and kind."""
    by_indicator: dict[str, dict[tuple[Group, str], tuple[str | None, str]]] = {}
    if derived is not None:
        kinds = ("standardised", "change", "change_low", "change_high")
        for indicator, *group, kind, value, status in derived.filter(pl.col("kind").is_in(kinds)).iter_rows():
            by_indicator.setdefault(indicator, {})[tuple(group), kind] = value, status
    return by_indicator


def _section(
    indicator: IndicatorText,
    found: Mapping[Group, dict[str, Any]],
    more: Mapping[tuple[Group, str], tuple[str | None, str]],
    areas: pl.DataFrame,
    own: Words,
) -> Section:
    area_rows = {
        group: _row(kind, name, found.get(group), own, more.get((group, "standardised")))
        for kind, name, group in _areas(areas, found, own)
    }
    districts = {group[1]: row for group, row in area_rows.items() if row.kind == DISTRICT}
    city = area_rows[WHOLE_CITY]
    title = indicator.title[own.language]
    sentence = (
        "city_sentence" if city.rate_tenths is not None else "city_empty" if city.rate == EMPTY else "city_hidden"
    )
    return Section(
        anchor=re.sub(r"[^a-z0-9]+", "-", indicator.id.lower()),
        title=title,
        description=indicator.description[own.language],
        source=indicator.source,
        city=city,
        sentence=own.labels[sentence].format(
            rate=city.rate,
            interval=city.interval.replace("–", "–\u2060"),  # keeps a range on one line
            eligible=city.eligible,
            gap=city.gap,
        ),
        change=own.change(
            *(more.get((WHOLE_CITY, kind), (None, ""))[0] for kind in ("change", "change_low", "change_high"))
        ),
        has_standardised=any(kind == "standardised" for _, kind in more),
        tiles=tuple((tile, districts[tile.code]) for tile in tile_map(areas, own.language).tiles),
        scale=scale_of([row.rate_tenths for row in districts.values() if row.rate_tenths is not None]),
        area_rows=tuple(area_rows.values()),
        group_rows=tuple(_row(kind, name, found[group], own) for kind, name, group in _groups(found, own)),
    )


def _areas(areas: pl.DataFrame, found: Iterable[Group], own: Words) -> Iterator[tuple[str, str, Group]]:
    """Kind, name and group of the city, of each major district before its districts, and of the unknown district."""
    yield CITY, own.labels["city"], WHOLE_CITY
    name = f"name_{own.language}"
    named = areas.select("code", "parent", "level", name)
    for major, _, _, major_name in named.filter(pl.col("level") == MAJOR).iter_rows():
        yield MAJOR, major_name, (major, TOTAL, TOTAL, TOTAL)
        for district, _, _, district_name in named.filter(pl.col("parent") == major).iter_rows():
            yield DISTRICT, district_name, (major, district, TOTAL, TOTAL)
    unknown = (UNKNOWN_AREA, UNKNOWN_AREA, TOTAL, TOTAL)
    if unknown in found:
        yield UNKNOWN_AREA, own.labels["unknown_area"], unknown


def _groups(found: Iterable[Group], own: Words) -> Iterator[tuple[str, str, Group]]:
    """Kind, name and group of each sex and each age band of the whole city; what is not known comes last."""
    sexes = {group[2]: group for group in found if group == (TOTAL, TOTAL, group[2], TOTAL) and group[2] != TOTAL}
    for code in sorted(sexes, key=lambda code: (code == UNKNOWN, code)):
        yield "sex", own.sex(code), sexes[code]
    bands = {group[3]: group for group in found if group == (TOTAL, TOTAL, TOTAL, group[3]) and group[3] != TOTAL}
    for band in sorted(bands, key=_age_order):
        yield "age", own.age_band(band), bands[band]


def _age_order(band: str) -> tuple[bool, int, str]:
    first = band.partition("-")[0]
    return not first.isdigit(), int(first) if first.isdigit() else 0, band


def _row(
    kind: str,
    name: str,
    figure: Mapping[str, Any] | None,
    own: Words,
    standardised: tuple[str | None, str] | None = None,
) -> Row:
    """One table row. A group that the table does not have is one that nobody belongs to."""
    if figure is None:
        return Row(kind, name, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, None, EMPTY)
    is_empty = figure["is_empty"]
    comparison = _SAID.get(figure["comparison"], EMPTY if is_empty else HIDDEN)
    value, status = standardised or (None, "")
    return Row(
        kind=kind,
        name=name,
        eligible=own.count(figure["eligible"]),
        gap=own.count(figure["gap"]),
        rate=own.percent(figure["rate_tenths"], is_empty=is_empty),
        interval=own.interval(figure["lower"], figure["upper"], is_empty=is_empty),
        comparison=CITY_ITSELF if kind == CITY else comparison,
        rate_tenths=figure["rate_tenths"],
        standardised=EMPTY if is_empty else own.decimal(value, HIDDEN if status == SUPPRESSED else NOT_GIVEN),
    )
