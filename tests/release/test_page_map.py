"""Pictures: colours that can be told apart and read, the tile map, the funnel plot and the trend."""

import re
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_cases import protected_table
from page_expected import CITY, area_groups, expected_row, values
from test_page import AREAS, HISTORY, INDICATORS, PAGES, TABLE, indicator

from schemas.labels import LANGUAGES, load_labels
from transforms.release.page_words import words
from transforms.release.site.pictures import LEFT, TOP, _ticks, funnel, trend
from transforms.release.site.rows import Row
from transforms.release.site.tilemap import SHADES, fitted, scale_of, tile_map

STYLE = PAGES["style.css"].decode()
LIGHT, DARK = (
    {name: colour if len(colour) == 7 else f"#{''.join(2 * c for c in colour[1:])}" for name, colour in found}
    for found in (
        re.findall(r"--([\w-]+):(#[0-9a-f]{3,6})", part) for part in re.findall(r":root\{([^}]*)\}", STYLE)[:2]
    )
)


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_and_marks_be_seen(colours):
    """4.5:1 for text on whatever it may stand on, 3:1 for what a picture needs (WCAG 1.4.3, 1.4.11)."""
    assert set(colours) == set(LIGHT)
    grounds = ("ground", "row-city", "row-major", "notice")
    for ground in grounds:
        for text in ("ink", "soft", "link", "above", "below"):
            if (text, ground) != ("soft", "row-city"):  # set in the ink there
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["on-brand"], colours["brand"]) >= 4.5
    assert contrast(colours["ink"], colours["hatch"]) >= 4.5
    for step in range(len(SHADES)):
        assert contrast(colours[f"shade{step}"], colours[f"ink{step}"]) >= 4.5
    for mark in ("brand", "above", "below", "alike", "limit", "tile-line", "ink", "notice-line"):
        assert contrast(colours[mark], colours["ground"]) >= 3, mark
    assert contrast(colours["brand"], colours["band"]) >= 3
    assert contrast(colours["below"], colours["row-city"]) >= 3
    steps = [contrast(colours[f"shade{step}"], colours["ground"]) for step in range(len(SHADES))]
    assert steps == sorted(steps)


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


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_axis_holds_what_it_is_for_in_few_round_steps(one, other):
    low, high = sorted((one, other))
    ticks = _ticks(low, high)
    assert ticks[0] <= low + 1e-6
    assert ticks[-1] >= high - 1e-6 * max(1, high)
    assert 1 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


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


def test_the_funnel_plot_has_every_district_with_a_rate_and_its_sentence_counts_them():
    for number, one in enumerate(INDICATORS):
        cells, content = values(TABLE), PAGES[f"fi/indicators/{one.lower()}.html"].decode()
        plot = content[content.index("funnel-desc") : content.index('class="scale key"')]
        told = re.findall(r'<g class="(\w+)"><title>([^<]*)</title>', plot)
        expected = {}
        for _, name, group in area_groups(AREAS, "fi"):
            row = expected_row(cells, one, group, "fi")
            if group[1] not in ("*", "unknown") and row[2] not in ("...", "–"):
                said = row[4].lstrip("▲▼ ")
                expected[f"{name}: {row[2]}, {said}"] = said
        labels = load_labels("fi")
        assert {title: labels[said] for said, title in told} == expected
        sentence = next(each["desc"] for each in indicator("fi", number).pictures if "Suppilo" in each["title"])
        numbers = [
            int(each) for each in re.findall(r"(?<![\d,])\d+(?![\d,]*\s*\u00a0?%)", sentence.replace("\u00a0", " "))
        ]
        above = sum(said in ("yli", "selvästi yli") for said in expected.values())
        assert numbers[:2] == [len(expected), above]


def test_the_limits_of_the_funnel_plot_are_those_of_the_comparison():
    """The lines as drawn, read off where a mark stands, say of it what the table says; but for the pen's width."""
    checked = 0
    for one in INDICATORS:
        content = PAGES[f"fi/indicators/{one.lower()}.html"].decode()
        paths = re.findall(r'<path class="limit(95|998)" d="M([^"]*L[^"]*)"', content)
        assert [name for name, _ in paths] == ["95", "95", "998", "998"]
        lines = [np.array([each.split() for each in path.split("L")], float).T for _, path in paths]
        plot = content[content.index("funnel-desc") : content.index('class="scale key"')]
        for said, x, y in re.findall(
            r'<g class="(\w+)"><title>[^<]*</title><(?:circle cx="|path d="M)([\d.]+)"?(?: cy="| )([\d.-]+)', plot
        ):
            place = float(y) + {"above": 6, "far_above": 10, "below": -6, "far_below": -10}.get(said, 0)
            low, high, far_low, far_high = (np.interp(float(x), *line) for line in lines)
            near = 2.5
            checked += 1
            if said == "alike":
                assert high - near <= place <= low + near
            elif said in ("above", "below"):
                assert place <= high + near if said == "above" else place >= low - near
                assert far_high - near <= place <= far_low + near
            else:
                assert place <= far_high + near if said == "far_above" else place >= far_low - near
    assert checked > 50


def test_a_limit_ends_where_it_leaves_the_axis():
    """No line runs along the edge of the plot: each is drawn where it is, and cut there."""
    rows = [replace(row_of(0.04, 0.06, 50), size=size, kind="district") for size in (20, 4000)]
    plot = funnel(rows, ["", ""], 0.05, words("fi"))
    heights = [[float(place.split()[1]) for place in path[1:].split("L")] for _, path in plot.limits]
    assert all(line.count(TOP) <= 1 for line in heights)
    assert min(map(min, heights)) < TOP
    content = PAGES[f"fi/indicators/{INDICATORS[0].lower()}.html"].decode()
    assert f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}"' in content
    assert content.count('clip-path="url(#plot)"') == 4


def row_of(low, high, rate, eligible="10"):
    limits = None if low is None else (low, high)
    return Row(
        "city",
        "",
        "",
        "",
        eligible,
        "5",
        "..." if rate is None else f"{rate / 10} %",
        "",
        "",
        "",
        None,
        rate,
        limits,
        10,
        5,
    )


def test_a_hidden_month_breaks_the_line_and_one_date_is_no_trend():
    own = words("fi")
    days = [(date(2026, month, 1), row_of(0.1, 0.2, 150)) for month in range(1, 6)]
    assert trend(days[:1], own) is None
    whole = trend(days, own)
    assert len(whole.lines) == len(whole.bands) == 1
    broken = trend([*days[:2], (date(2026, 3, 1), row_of(None, None, None)), *days[3:]], own)
    assert len(broken.lines) == len(broken.bands) == 2
    assert broken.points[2].y is None
    nothing = trend([(day, row_of(None, None, None)) for day, _ in days], own)
    assert nothing.lines == ()
    assert nothing.sentence(own) == own.labels["trend_hidden"]


def test_the_trend_tells_of_the_dates_it_draws():
    labels = load_labels("en")
    expected = expected_row(values(HISTORY[min(HISTORY)]), "CG01", CITY, "en")
    told = next(each["desc"] for each in indicator("en").pictures if labels["trend_title"] in each["title"])
    assert told.startswith(f"The rate of the whole city was {expected[2]} (2025-10-31)")
    other = protected_table(AREAS, ["CG01"], seed=8)
    assert not other.filter(pl.col("status") == "suppressed").is_empty()
