"""First paint of each kind of page in a real browser on loopback, against the 0.2 s that readers are promised."""

import statistics
import threading
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, sync_playwright

from flows.view import address_of, serve
from schemas.areas import load_areas
from schemas.indicators import load_indicators
from tests.conftest import chromium
from tests.release.page_cases import RELEASE, protected_table
from transforms.release.datapackage import CC_BY_4
from transforms.release.downloads import download_files
from transforms.release.page_figures import COLUMNS
from transforms.release.site.addresses import ABOUT
from transforms.release.site.pages import render_site

LIMIT_SECONDS, LIMIT_BYTES, TIMES = 0.2, 150_000, 5
KINDS = ("index.html", "fi/index.html", "fi/indicators/{}.html", "fi/areas/index.html", "fi/areas/101.html")
KINDS += (*(f"fi/about/{name}.html" for name in ABOUT), "downloads/power-bi.fi.html")
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def first_paint(page: Page, address: str) -> float:
    """Seconds from asking for a page until something of it is seen; the pages forbid scripts, so it is asked for."""
    page.goto(address)
    for _ in range(200):
        if (found := page.evaluate(PAINT)) is not None:
            return float(found) / 1000
        page.wait_for_timeout(10)
    pytest.fail("nothing was painted")


@pytest.mark.bench
def test_first_paint_and_weight(tmp_path: Path) -> None:
    program = chromium()
    indicators = list(load_indicators().values())
    table = protected_table(load_areas(), [one.id for one in indicators])
    dated = table.select(pl.lit(RELEASE.as_of.isoformat()).alias("as_of"), *COLUMNS)
    files = render_site(table, load_areas(), indicators, RELEASE)
    files |= download_files(dated, load_areas(), indicators, RELEASE, None, CC_BY_4)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "manifest.json").write_text("{}")
    heaviest = max((name for name in files if "fi/indicators" in name), key=lambda name: len(files[name]))
    with serve(tmp_path, 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for pattern in KINDS:
                name = heaviest if "{}" in pattern else pattern
                seconds = []
                for _ in range(TIMES):
                    with browser.new_context() as context:
                        seconds.append(first_paint(context.new_page(), address_of(server) + name))
                middle = statistics.median(seconds)
                print(  # noqa: T201
                    f"\n{name}: {len(files[name]):,} bytes, first paint {middle:.3f} s "
                    f"({middle / LIMIT_SECONDS:.2f} of the limit; worst {max(seconds):.3f} s)"
                )
            browser.close()
        finally:
            server.shutdown()
    assert max(len(content) for name, content in files.items() if name.endswith(".html")) < LIMIT_BYTES
