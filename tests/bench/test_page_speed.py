"""First paint of the heaviest pages in a real browser on loopback, against the 0.2 s that readers are promised."""

import statistics
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from flows.view import address_of, serve
from schemas.areas import load_areas
from schemas.indicators import load_indicators
from tests.conftest import chromium
from tests.release.page_cases import RELEASE, protected_table
from transforms.release.site.pages import render_site

LIMIT_SECONDS = 0.2
PAGES = ("index.html", "fi/index.html", "fi/indicators/{}.html", "fi/areas/101.html", "fi/about/downloads.html")
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@pytest.mark.bench
def test_first_paint_and_weight(tmp_path: Path) -> None:
    program = chromium()
    indicators = list(load_indicators().values())
    table = protected_table(load_areas(), [one.id for one in indicators])
    files = render_site(table, load_areas(), indicators, RELEASE)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "manifest.json").write_text("{}")
    heaviest = max((name for name in files if "fi/indicators" in name), key=lambda name: len(files[name]))
    with serve(tmp_path, 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for pattern in PAGES:
            name = heaviest if "{}" in pattern else pattern
            seconds = []
            for _ in range(5):
                page = browser.new_context().new_page()
                page.goto(address_of(server) + name)
                page.wait_for_function(PAINT)
                seconds.append(page.evaluate(PAINT) / 1000)
                page.context.close()
            middle = statistics.median(seconds)
            print(  # noqa: T201
                f"\n{name}: {len(files[name]):,} bytes, first paint {middle:.3f} s "
                f"({middle / LIMIT_SECONDS:.2f} of the limit; worst {max(seconds):.3f} s)"
            )
        browser.close()
        server.shutdown()
