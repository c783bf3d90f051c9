"""A candidate's pages in a real browser: WCAG 2.2 AA by axe-core, reflow, keyboard, and that no host is asked."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from review_cases import review
from test_page_browser import RULES, SIZES, opened

from schemas.labels import LANGUAGES
from transforms.release.review.page import review_files
from transforms.release.review.views import page_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("review")
    for name, content in review_files(review()).items():
        (place / name).write_bytes(content)
    return place


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_candidates_page_is_accessible_and_fits(size: str, language: str, folder: Path, browser: Browser) -> None:
    page, asked = opened(browser, SIZES[size])
    on_paper = {"rules": {"target-size": {"enabled": False}}} if size == "print" else {}  # paper has no targets
    address = (folder / page_name(language)).as_uri()
    page.emulate_media(media="print" if size == "print" else "screen")
    page.goto(address)
    for is_open in (False, True):
        page.evaluate("open => document.querySelectorAll('details').forEach(one => one.open = open)", is_open)
        found = Axe().run(page, options=RULES | on_paper).response
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
        assert len(found["passes"]) > 20
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert asked == [address]
    page.context.close()


def test_a_keyboard_reaches_the_content_the_lists_and_every_wide_table(folder: Path, browser: Browser) -> None:
    page, _ = opened(browser, SIZES["phone"])
    page.goto((folder / page_name("en")).as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    stops = []
    for _ in range(80):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.tagName + ' ' + document.activeElement.className"))
    assert stops.count("SUMMARY ") >= 3
    assert sum(stop.startswith("DIV scroll") for stop in stops) >= 4
    page.context.close()


def test_a_phone_shows_every_figure_of_the_hidden_cells_with_its_label(folder: Path, browser: Browser) -> None:
    """On a narrow screen the head of the table is out of sight, and each figure says what it is."""
    page, _ = opened(browser, SIZES["phone"])
    page.goto((folder / page_name("en")).as_uri())
    said = page.eval_on_selector_all(
        ".stacked td", "cells => cells.map(one => getComputedStyle(one, '::before').content.replaceAll('\"', ''))"
    )
    heads = page.eval_on_selector_all(".stacked thead th", "cells => cells.slice(1).map(one => one.textContent)")
    assert said == heads * (len(said) // len(heads))
    assert len(said) == 4 * len(heads)
    page.context.close()
