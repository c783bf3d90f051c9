"""Render every page of a release."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from importlib.resources import files as package_files
from typing import Any

import polars as pl

from schemas.areas import CITY
from schemas.errors import DisclosureRefused, UsageRefused
from schemas.labels import LANGUAGES
from schemas.publisher import UNNAMED, Publisher
from transforms.release.datapackage import CC_BY_4, Licence
from transforms.release.html import environment, written
from transforms.release.page import IndicatorText, Release
from transforms.release.page_figures import GROUP, SUPPRESSED, TOTAL, figures, public_cells
from transforms.release.page_words import EMPTY, HIDDEN, NOT_GIVEN, Words, words
from transforms.release.site import pictures
from transforms.release.site.addresses import ABOUT, FRONT_PAGE, STYLE, about_page, area_page, indicator_page, to_root
from transforms.release.site.files import listed
from transforms.release.site.front import by_size, chance, look_first
from transforms.release.site.gaps import WORD_JOINER, Gap, Place, gap_of, places_of, said_of
from transforms.release.site.pictures import bars
from transforms.release.site.rows import ABOVE, FAR_ABOVE, Found, Group, More
from transforms.release.site.tilemap import TILE_GAP, TILE_HEIGHT, TILE_WIDTH, tile_map

FIRST_OF_AREA = 5
"""So many indicators of an area are named before its table."""
_DERIVED_SHOWN = ("standardised", "change", "change_low", "change_high")


def render_site(
    table: pl.DataFrame,
    areas: pl.DataFrame,
    indicators: Sequence[IndicatorText],
    release: Release,
    derived: pl.DataFrame | None = None,
    history: Mapping[date, pl.DataFrame] | None = None,
    sizes: Mapping[str, int] | None = None,
    publisher: Publisher = UNNAMED,
    licence: Licence = CC_BY_4,
) -> dict[str, bytes]:
    """Write every page and the style sheet; address in the release to UTF-8 bytes.

    `table` is the protected table of the release's date, `areas` has the columns of AREA_SCHEMA, `indicators` come in
    the order of the navigation. `derived` are the figures of derived.csv for the date; without them there are no
    standardised rates, and without changes in them no change. `history` has protected tables of other dates that are
    public; of them the whole city is shown. `sizes` are the files of the release by path, in bytes.
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
    _must_differ([indicator_page(one.id) for one in indicators], "indicators")
    _must_differ([area_page(code) for code in areas["code"]], "areas")
    more = _more_by_indicator(derived)
    earlier = {day: _by_indicator(figures(_whole_city(one, areas))) for day, one in (history or {}).items()}
    templates, pages = environment("transforms.release.site"), {STYLE: _style()}
    every = [words(language) for language in LANGUAGES]
    shared = {
        "release": release,
        "style": STYLE,
        "hidden": HIDDEN,
        "empty": EMPTY,
        "not_given": NOT_GIVEN,
        "languages": [(own.language, own.labels["language_name"]) for own in every],
        "has_derived": derived is not None,
        "unsafe": _unsafe(release.rules.threshold),
        "cell_count": cells.height,
        "hidden_count": cells.filter(pl.col("status") == SUPPRESSED).height,
        "publisher": publisher,
        "licence": licence,
        "tile_width": TILE_WIDTH - TILE_GAP,
        "tile_height": TILE_HEIGHT - TILE_GAP,
        "address_of": area_page,
        **{name.lower(): getattr(pictures, name) for name in ("WIDTH", "HEIGHT", "LEFT", "RIGHT", "TOP", "BOTTOM")},
    }
    pages[FRONT_PAGE] = written(templates, "choice.html.jinja", {**shared, "every": every})
    for own in every:
        layout = tile_map(areas, own.language)
        gaps = [
            gap_of(
                one,
                found[one.id],
                more.get(one.id, {}),
                {day: by[one.id] for day, by in earlier.items() if one.id in by} | {release.as_of: found[one.id]},
                areas,
                layout,
                own,
            )
            for one in indicators
        ]
        language = {
            **shared,
            "own": own,
            "t": own.labels,
            "city": areas.filter(pl.col("level") == CITY).item(0, f"name_{own.language}"),
            "navigation": _navigation(own),
            "gaps": by_size(gaps),
            "layout": layout,
            "places": places_of(areas, own),
            "files": listed(sizes or {}, own),
        }
        for address, template, special in _pages(sorted(gaps, key=lambda gap: gap.title), language["places"], own):
            path = f"{own.language}/{address}"
            root = to_root(path)
            about = {"page": address, "root": root, "home": f"{root}{own.language}/", "has_figures": False}
            pages[path] = written(templates, f"{template}.html.jinja", {**language, **about, **special})
    return pages


def _must_differ(addresses: Sequence[str], table: str) -> None:
    if count := len(addresses) - len(set(addresses)):
        next_step = "Give codes that differ in letters and digits"
        raise UsageRefused("two codes have the same address", next_step, table=table, column="code", count=count)


def _pages(gaps: Sequence[Gap], places: Sequence[Place], own: Words) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Address within the language, template, and what the page has of its own."""
    yield (
        "index.html",
        "front",
        {
            "first": look_first(gaps, own),
            "chance": chance(gaps, own),
            "axis": bars([gap.city for gap in gaps]),
            "has_change": any(gap.city.change for gap in gaps),
            "has_figures": True,
        },
    )
    yield "areas/index.html", "areas", {}
    for gap in gaps:
        yield gap.address, "indicator", {"gap": gap, "has_figures": True}
    for place in places:
        rows = [(gap, gap.by_area[place.code]) for gap in gaps]
        above = [each for said in (FAR_ABOVE, ABOVE) for each in rows if each[1].comparison == said]
        special = {
            "place": place,
            "rows": rows,
            "first": above[:FIRST_OF_AREA],
            "sentence": own.labels["area_sentence"].format(all=len(rows), **said_of(row for _, row in rows)),
            "axis": bars([row for _, row in rows]),
            "below": [one for one in places if one.parent == place.code],
            "has_change": any(row.change for _, row in rows),
            "has_figures": True,
        }
        yield area_page(place.code), "area", special
    for name in ABOUT:
        yield about_page(name), name, {"has_figures": name == "data"}


def _navigation(own: Words) -> list[tuple[str, str]]:
    about = [(about_page(name), own.labels[f"{name}_title"]) for name in ABOUT]
    return [("index.html", own.labels["front"]), ("areas/index.html", own.labels["areas_title"]), *about]


def _style() -> bytes:
    return package_files("transforms.release.site").joinpath("templates", STYLE).read_bytes()


def _unsafe(threshold: int) -> str:
    """Counts that the rules call unsafe, as a range."""
    return "1" if threshold == 2 else f"1–{WORD_JOINER}{threshold - 1}"


def _whole_city(table: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """The cells of the whole city: another date's areas may be others."""
    return public_cells(table.filter(pl.col(name) == TOTAL for name in GROUP[1:]), areas)


def _by_indicator(found: pl.DataFrame) -> dict[str, Found]:
    """Figures by indicator and group."""
    by_indicator: dict[str, dict[Group, dict[str, Any]]] = {}
    for figure in found.iter_rows(named=True):
        group = (figure["major"], figure["district"], figure["sex"], figure["age_band"])
        by_indicator.setdefault(figure["indicator"], {})[group] = figure
    return dict(by_indicator)


def _more_by_indicator(derived: pl.DataFrame | None) -> dict[str, More]:
    """Printed figure and status of the derived figures that pages show, by indicator, group and kind."""
    by_indicator: dict[str, dict[tuple[Group, str], tuple[str | None, str]]] = {}
    if derived is not None:
        shown = derived.filter(pl.col("kind").is_in(_DERIVED_SHOWN)).select(*GROUP, "kind", "figure", "status")
        for indicator, *group, kind, figure, status in shown.iter_rows():
            by_indicator.setdefault(indicator, {})[(*group,), kind] = figure, status
    return dict(by_indicator)
