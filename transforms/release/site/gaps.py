"""What the pages of one language say of each indicator."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.areas import CITY, DISTRICT, UNKNOWN_AREA
from transforms.release.page import IndicatorText
from transforms.release.page_words import EMPTY, HIDDEN, Words
from transforms.release.site.addresses import indicator_page, slug
from transforms.release.site.pictures import Bars, Funnel, Trend, bars, funnel, trend
from transforms.release.site.rows import (
    ABOVE,
    ALIKE,
    BELOW,
    FAR_ABOVE,
    FAR_BELOW,
    WHOLE_CITY,
    Found,
    More,
    Row,
    area_rows,
    city_row,
    group_rows,
)
from transforms.release.site.tilemap import Scale, Tile, TileMap, scale_of

WORD_JOINER = "\u2060"
"""Keeps a range on one line."""


@dataclass(frozen=True)
class Gap:
    """One indicator in one language: its rows by area code, its groups, pictures and sentences."""

    text: IndicatorText
    slug: str
    address: str
    title: str
    by_area: Mapping[str, Row]
    groups: tuple[Row, ...]
    has_standardised: bool
    tiles: tuple[tuple[Tile, Row], ...]
    scale: Scale
    axis: Bars
    funnel: Funnel | None
    trend: Trend | None
    sentence: str
    change: str
    map_sentence: str
    funnel_sentence: str

    @property
    def areas(self) -> tuple[Row, ...]:
        """The rows of the areas, in the order of the table."""
        return tuple(self.by_area.values())

    @property
    def city(self) -> Row:
        """The row of the whole city."""
        return next(row for row in self.by_area.values() if row.kind == CITY)

    @property
    def city_share(self) -> float | None:
        """The city's rate, 0 to 1; None where it is not known."""
        return share_of(self.city)

    @property
    def unknown(self) -> str:
        """How many of the population have no known district."""
        row = self.by_area.get(UNKNOWN_AREA)
        return row.eligible if row else EMPTY

    @property
    def published_districts(self) -> int:
        """Number of districts whose rate is published."""
        return sum(row.rate_tenths is not None for _, row in self.tiles)

    @property
    def hidden_districts(self) -> int:
        """Number of districts whose rate is hidden."""
        return sum(row.rate == HIDDEN for _, row in self.tiles)

    def districts_said(self, *said: str) -> int:
        """Number of districts of which this is said against the city."""
        return sum(row.comparison in said for _, row in self.tiles)

    def shade(self, row: Row) -> str:
        """The class of a tile."""
        if row.rate_tenths is not None:
            return f"shade{self.scale.shade_of(row.rate_tenths)}"
        return "hidden" if row.rate == HIDDEN else "empty"

    def tile_text(self, row: Row) -> str:
        """The number on a tile, without the percent sign, and the sign of its difference."""
        return f"{row.rate.rstrip('%').rstrip()} {row.sign}".rstrip()


def share_of(row: Row) -> float | None:
    """The rate of a row, 0 to 1, from its two counts."""
    return row.count / row.size if row.count is not None and row.size else None


def gap_of(
    text: IndicatorText,
    found: Found,
    more: More,
    history: Mapping[date, Found],
    areas: pl.DataFrame,
    layout: TileMap,
    own: Words,
) -> Gap:
    """What is said of an indicator. `history` has the figures of the whole city by date, the release's own too."""
    rows = area_rows(areas, found, more, own)
    groups = group_rows(found, more, own)
    city = next(row for row in rows.values() if row.kind == CITY)
    tiles = tuple((tile, rows[tile.code]) for tile in layout.tiles)
    districts = [row for _, row in tiles]
    share = share_of(city)
    plot = None if share is None else funnel(districts, [tile.label for tile, _ in tiles], share, own)
    hidden, empty = (sum(row.rate == symbol for row in districts) for symbol in (HIDDEN, EMPTY))
    return Gap(
        text=text,
        slug=slug(text.id),
        address=indicator_page(text.id),
        title=text.title[own.language],
        by_area=rows,
        groups=groups,
        has_standardised=any(kind == "standardised" for _, kind in more),
        tiles=tiles,
        scale=scale_of([row.rate_tenths for row in districts if row.rate_tenths is not None]),
        axis=bars([*rows.values(), *groups]),
        funnel=plot,
        trend=trend([(day, city_row(history[day], own)) for day in sorted(history)], own),
        sentence=_city_sentence(city, own),
        change=own.change(*(more.get((WHOLE_CITY, kind), (None, ""))[0] for kind in _CHANGE)),
        map_sentence=_map_sentence(districts, own),
        funnel_sentence="" if plot is None else plot.sentence(own, hidden, empty),
    )


_CHANGE = ("change", "change_low", "change_high")


def _city_sentence(city: Row, own: Words) -> str:
    label = "city_sentence" if city.rate_tenths is not None else "city_empty" if city.rate == EMPTY else "city_hidden"
    return own.labels[label].format(
        rate=city.rate,
        interval=city.interval.replace("–", f"–{WORD_JOINER}"),
        eligible=city.eligible,
        gap=city.gap,
    )


def _map_sentence(districts: Sequence[Row], own: Words) -> str:
    """What the map shows, in words."""
    told = own.labels["map_sentence"].format(districts=len(districts), **said_of(districts))
    rated = [row for row in districts if row.rate_tenths is not None]
    if not rated:
        return told
    smallest = min(rated, key=lambda row: row.rate_tenths or 0)
    largest = max(rated, key=lambda row: row.rate_tenths or 0)
    rates = own.labels["map_sentence_rates"].format(
        smallest=smallest.rate, smallest_name=smallest.name, largest=largest.rate, largest_name=largest.name
    )
    return f"{told} {rates}"


def said_of(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows are above the city, below it, not distinguishable from chance, hidden, and of nobody."""
    said = [row.comparison for row in rows]
    return {
        "above": sum(each in (ABOVE, FAR_ABOVE) for each in said),
        "below": sum(each in (BELOW, FAR_BELOW) for each in said),
        "alike": said.count(ALIKE),
        "hidden": said.count(HIDDEN),
        "empty": said.count(EMPTY),
    }


def places_of(areas: pl.DataFrame, own: Words) -> list["Place"]:
    """The major districts and districts, in the order of the areas file."""
    names = dict(areas.select("code", f"name_{own.language}").iter_rows())
    return [
        Place(code, kind, names[code], parent, names[parent], None if residents is None else own.count(residents))
        for code, parent, kind, residents in areas.filter(pl.col("level") != CITY)
        .select("code", "parent", "level", "population")
        .iter_rows()
    ]


@dataclass(frozen=True)
class Place:
    """One major district or district; `residents` as written, None where there is no public figure."""

    code: str
    kind: str
    name: str
    parent: str
    parent_name: str
    residents: str | None

    @property
    def is_district(self) -> bool:
        """Whether figures are compared for it as a district."""
        return self.kind == DISTRICT
