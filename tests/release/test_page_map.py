import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_cases import RELEASE, protected_table, texts

from schemas.areas import load_areas
from schemas.labels import LANGUAGES
from transforms.release.page import render_pages
from transforms.release.page_map import HIDDEN_SHADE, SHADES, fitted, scale_of, tile_map

AREAS = load_areas()


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_text_can_be_read_on_every_tile():
    content = render_pages(protected_table(AREAS, ["CG01"]), AREAS, texts("CG01"), RELEASE)["index.html"].decode()
    fills = dict(re.findall(r"\.(shade\d) rect\{fill:(#[0-9a-f]{6})\}", content))
    inks = dict(re.findall(r"\.(shade\d) text\{fill:(#[0-9a-f]{6})\}", content))
    assert len(fills) == len(inks) == len(SHADES)
    assert all(contrast(fills[name], inks[name]) >= 4.5 for name in fills)
    hatch = re.search(r'<pattern.*?fill="(#[0-9a-f]{6})".*?stroke="(#[0-9a-f]{6})"', content)
    assert all(contrast(colour, HIDDEN_SHADE.ink) >= 4.5 for colour in hatch.groups())
    darkness = [contrast(shade.fill, "#ffffff") for shade in SHADES]
    assert darkness == sorted(darkness)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_every_rate_has_its_place_on_the_colour_scale(rates):
    scale = scale_of(rates)
    assert 1 <= scale.count <= len(SHADES)
    for rate in rates:
        first, last = scale.bounds[scale.shade_of(rate)]
        assert first <= rate <= last
    ends = [bound for step in scale.bounds for bound in step]
    assert ends == sorted(ends)


def test_a_scale_without_rates_has_no_steps():
    assert scale_of([]).bounds == ()


@pytest.mark.parametrize("language", LANGUAGES)
def test_helsinkis_districts_lie_where_the_areas_file_puts_them(language):
    laid = tile_map(AREAS, language)
    assert laid.is_placed
    by_code = {tile.code: tile for tile in laid.tiles}
    assert by_code["801"].left == max(tile.left for tile in laid.tiles)
    assert by_code["102"].top == max(tile.top for tile in laid.tiles)
    assert by_code["101"].left == by_code["301"].left
    short = "Estnäs" if language == "sv" else "Vironniemi"
    assert by_code["101"].label == short
    assert all(tile.label == fitted(tile.label) for tile in laid.tiles)
    assert all("…" not in tile.label for tile in laid.tiles)
