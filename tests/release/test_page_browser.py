"""The pages in a real browser: WCAG 2.2 AA by axe-core, keyboard, reflow, and that no other host is asked."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_cases import RELEASE, dated, protected_table, texts
from playwright.sync_api import Browser, Page

from flows.view import address_of, serve
from schemas.areas import load_areas
from schemas.labels import LANGUAGES
from transforms.release.downloads.connecting import connecting_pages
from transforms.release.downloads.contents import contents_of
from transforms.release.downloads.star import star_schema
from transforms.release.figures import derived_figures
from transforms.release.page_figures import COLUMNS
from transforms.release.site.pages import render_site
from transforms.release.tombstone import withdrawn_pages

AREAS = load_areas()
IDS = ["CG01", "CG02"]
KINDS = (
    "index.html", "areas/index.html", "indicators/cg01.html", "areas/101.html", "areas/7.html", "about/method.html",
    "about/secrecy.html", "about/data.html", "about/downloads.html", "about/accessibility.html",
)  # fmt: skip
EVERY = {
    language: ["index.html", *(f"{language}/{path}" for path in KINDS), f"downloads/power-bi.{language}.html"]
    for language in LANGUAGES
}
"""A page of each kind, by language."""
SIZES = {"phone": (360, 740), "desktop": (1280, 900), "print": (794, 1123)}
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and folder of a release's pages with every kind of row, served as `caregap view` does."""
    table, earlier = protected_table(AREAS, IDS), protected_table(AREAS, IDS, seed=8)
    derived = derived_figures(table, AREAS, {}, earlier)
    history = {date(2025, 10, 31): earlier, date(2026, 9, 30): protected_table(AREAS, IDS, seed=9)}
    release = replace(RELEASE, generated=True)
    sizes = {"table.csv": 100, "downloads/table.px": 100}
    folder = tmp_path_factory.mktemp("site")
    contents = contents_of(dated(table).select("as_of", *COLUMNS), None, AREAS, texts(*IDS), release, "CC BY 4.0")
    files = render_site(table, AREAS, texts(*IDS), release, derived, history, sizes)
    files |= {f"downloads/{name}": page for name, page in connecting_pages(star_schema(contents), contents).items()}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text("{}")
    with serve(folder, 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield address_of(server), folder
        server.shutdown()


def opened(browser: Browser, size: tuple[int, int], **settings: object) -> tuple[Page, list[str]]:
    """A page, and the addresses that it asks for."""
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings).new_page()  # type: ignore[arg-type]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return page, asked


def violations(page: Page, media: str) -> list[tuple[str, str]]:
    on_paper = {"rules": {"target-size": {"enabled": False}}} if media == "print" else {}  # paper has no targets
    found = Axe().run(page, options=RULES | on_paper).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def check(page: Page, asked: list[str], site: str, paths: list[str], media: str) -> None:
    page.emulate_media(media="print" if media == "print" else "screen")
    for path in paths:
        page.goto(site + path)
        assert violations(page, media) == [], (path, media)
        if media != "print":
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, (path, media)
    assert asked
    assert all(address.startswith(site) for address in asked)
    page.context.close()


def test_the_front_page_has_no_violations(browser: Browser, site: tuple[str, Path]) -> None:
    page, asked = opened(browser, SIZES["phone"])
    check(page, asked, site[0], ["fi/index.html"], "phone")


@pytest.mark.parametrize("media", [*SIZES, "dark"])
def test_the_pages_of_a_withdrawn_release_have_no_violations(
    browser: Browser, site: tuple[str, Path], tmp_path: Path, media: str
) -> None:
    shutil.copy(site[1] / "style.css", tmp_path)
    for name, content in withdrawn_pages("2026-10-31-1", date(2026, 11, 20), EVERY["fi"]).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    dark = {"color_scheme": "dark"} if media == "dark" else {}
    page, asked = opened(browser, SIZES.get(media, SIZES["desktop"]), **dark)
    check(page, asked, tmp_path.as_uri() + "/", EVERY["fi"], media)


def test_no_heading_is_printed_without_what_stands_under_it(browser: Browser, site: tuple[str, Path]) -> None:
    page, _ = opened(browser, SIZES["print"])
    page.goto(site[0] + "fi/areas/7.html")
    for media, shown in (("screen", True), ("print", False)):
        page.emulate_media(media=media)  # type: ignore[arg-type]
        assert page.locator("#below").is_visible() == page.locator("ul.go").is_visible() == shown
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("media", [*SIZES, "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_page_has_no_violations(
    browser: Browser, site: tuple[str, Path], language: str, media: str
) -> None:
    dark = {"color_scheme": "dark"} if media == "dark" else {}
    page, asked = opened(browser, SIZES.get(media, SIZES["desktop"]), **dark)
    check(page, asked, site[0], EVERY[language], media)


@pytest.mark.slow
def test_pages_reflow_at_320_pixels_and_work_from_a_folder(browser: Browser, site: tuple[str, Path]) -> None:
    page, asked = opened(browser, (320, 640))
    for path in dict.fromkeys(path for language in LANGUAGES for path in EVERY[language]):
        page.goto((site[1] / path).as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, path
        if path != "index.html":
            assert page.evaluate("getComputedStyle(document.querySelector('.skip')).position") == "absolute"
    assert all(address.startswith(site[1].as_uri()) for address in asked)


@pytest.mark.slow
def test_everything_can_be_reached_by_keyboard_and_its_focus_be_seen(browser: Browser, site: tuple[str, Path]) -> None:
    page, _ = opened(browser, SIZES["desktop"])
    page.goto(site[0] + "fi/indicators/cg01.html")
    expected = page.evaluate('[...document.querySelectorAll(\'a[href]:not([tabindex="-1"]), [tabindex="0"]\')].length')
    seen = []
    for _ in range(expected):
        page.keyboard.press("Tab")
        place, outline = page.evaluate(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e); "
            "return [[...document.querySelectorAll('*')].indexOf(e), s.outlineStyle + s.outlineWidth] })()"
        )
        seen.append(place)
        assert outline == "solid3px"
    assert len(set(seen)) == expected
    assert seen == sorted(seen)
    page.goto(site[0] + "fi/indicators/cg01.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


@pytest.mark.slow
def test_targets_are_large_enough_on_a_phone(browser: Browser, site: tuple[str, Path]) -> None:
    """24 x 24 CSS pixels (WCAG 2.5.8); links within a sentence are excepted."""
    page, _ = opened(browser, SIZES["phone"])
    for path in EVERY["fi"]:
        page.goto(site[0] + path)
        small = page.evaluate(
            "[...document.querySelectorAll('a[href]')].filter(e => !e.closest('p, dd, svg, footer') && "
            "!e.classList.contains('skip')).map(e => [e.getBoundingClientRect(), e.textContent])"
            ".filter(([r]) => r.height < 24 || r.width < 24).map(([r, t]) => t)"
        )
        assert small == [], path
