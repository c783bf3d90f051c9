"""Each load leaves its quality page, the one that the gate stopped above all, and no page holds a value of a record."""

import json
from pathlib import Path

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Request, sync_playwright

from expectations import rules
from expectations.report.page import page_name
from flows import audit, quality
from flows.settings import Layout
from schemas import policy
from schemas.labels import LANGUAGES
from tests.conftest import chromium
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.test_leaks import found_in
from tests.flows.test_refusals import lose_the_persons, spoil_many_rows, write_feed


def runs(data: Path) -> list[dict[str, object]]:
    found = [json.loads(path.read_text()) for path in (data / "platform" / "quality" / "runs").glob("*/run.json")]
    return sorted(found, key=lambda run: str(run["started"]))


def test_loads_leave_their_pages_whatever_they_come_to(data: Path, tmp_path: Path, caregap: Caregap) -> None:
    pages, (first,) = data / "platform" / "quality", runs(data)
    assert (first["outcome"], first["exit_code"]) == ("done", 0)
    assert (pages / "runs" / str(first["run"]) / "counted.json").exists()
    spoilt, broken = write_feed(tmp_path / "spoilt"), write_feed(tmp_path / "broken")
    spoil_many_rows(spoilt)
    lose_the_persons(broken)
    for feed, code in ((spoilt, 11), (broken, 10)):
        assert caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data).code == code
    stopped, refused = runs(data)[1:]
    assert (stopped["outcome"], stopped["exit_code"], refused["exit_code"]) == ("stopped", 11, 10)
    assert (stopped["rules"], stopped["policy"]) == (first["rules"], first["policy"])
    assert {path.name for path in (pages / "rules").iterdir()} == {f"{first['rules']}.json", f"{first['policy']}.toml"}
    page = (pages / "runs" / str(stopped["run"]) / "index.html").read_text()
    assert "Lataus pysähtyi laadun tarkistukseen" in page
    assert "Katso karanteenin syyt ja korjauta lähde" in page
    index = (pages / "index.en.html").read_text()
    for run in runs(data):
        assert f'href="runs/{run["run"]}/index.en.html"' in index
    words = {"no-code", *pl.read_parquet(spoilt / "person" / "part-0000.parquet")["person_id"].to_list()}
    assert found_in(pages, words) == set()
    listed = caregap("quality", "list", data=data).out.splitlines()
    assert [line.split(",")[4:6] for line in listed[1:]] == [["done", "0"], ["stopped", "11"], ["stopped", "10"]]
    shown = caregap("quality", "show", str(stopped["run"]), data=data).out
    assert "fail: diagnosis.quarantined_share" in shown
    assert caregap("quality", "show", "no-such-load", data=data).code == 2


def test_pages_made_anew_are_the_same_bytes(data: Path, caregap: Caregap) -> None:
    pages = data / "platform" / "quality"
    before = {path: path.read_bytes() for path in pages.rglob("*.html")}
    assert len(before) == 2 * len(LANGUAGES)
    for path in before:
        path.unlink()
    assert caregap("quality", "build", data=data).code == 0
    assert {path: path.read_bytes() for path in pages.rglob("*.html")} == before


def test_an_edit_of_rules_and_policy_is_part_of_the_history(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, (first,) = Layout(data), runs(data)
    text = policy.POLICY_FILE.read_text("utf-8")
    edited = tmp_path / "policy.toml"
    edited.write_text(text.replace("quarantine_days = 90", "quarantine_days = 60", 1))
    monkeypatch.setattr(policy, "POLICY_FILE", edited)
    fewer = tuple(check for check in rules.all_checks() if check.figure != "retracted_share")
    monkeypatch.setattr(quality, "all_checks", lambda: fewer)
    history = pl.read_parquet(layout.quality / "history.parquet")
    load = "20261031-20991122T022142945252"
    kept = {check.id for check in fewer}
    again = history.filter(pl.col("check").is_in(list(kept))).with_columns(run_id=pl.lit(load))
    pl.concat([history, again]).write_parquet(layout.quality / "history.parquet")
    staged = {"source": first["source"], "generated": first["generated"], "intake": None, "tallies": first["tallies"]}
    quality.keep_checks(layout, load, AS_OF, staged, {})
    quality.build(layout)
    for page in (layout.quality / "index.html", layout.quality / "runs" / load / "index.html"):
        text = page.read_text()
        assert "retention.quarantine_days" in text
        assert "<td>90</td><td>60</td>" in text
        assert "perutut rivit (huomautus): tarkistus, 11 taulua – poistettu" in text
    assert "edited: policy retention.quarantine_days : 90 -> 60" in quality.show(layout, load)


def test_a_page_that_cannot_be_made_stops_no_load(
    data: Path, tmp_path: Path, caregap: Caregap, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise ValueError("131052-999X")

    monkeypatch.setattr(quality, "build", broken)
    feed = write_feed(tmp_path / "feed")
    done = caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data)
    assert done.code == 0, done.err
    (entry,) = audit.entries(Layout(data).audit, "quality pages")
    assert entry["outcome"] == "failed"
    assert b"131052" not in Layout(data).audit.read_bytes()


def problems(browser: Browser, path: Path, width: int, media: str) -> list[str]:
    """What axe finds on a page, where it is wider than the window, and whom it asks."""
    page, asked = browser.new_page(viewport={"width": width, "height": 800}), []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.emulate_media(media=media)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    found = Axe().run(page).response["violations"]
    said = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        said.append(f"wider than {width}")
    page.keyboard.press("Tab")
    if media == "screen" and page.evaluate("document.activeElement.className") != "skip":
        said.append("the first stop is not the way to the content")
    page.close()
    return said


@pytest.mark.slow
@pytest.mark.timeout(900)  # 36 views; a machine with other work takes minutes for them
def test_pages_are_accessible_in_every_language_on_phone_desktop_and_paper(
    data: Path, tmp_path: Path, caregap: Caregap
) -> None:
    program = chromium()
    spoilt = write_feed(tmp_path / "spoilt")
    spoil_many_rows(spoilt)
    feeds = [write_feed(tmp_path / "small"), spoilt]
    for feed in feeds:
        caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data)
    folders = [Layout(data).quality, *(Layout(data).quality / "runs" / str(run["run"]) for run in runs(data))]
    assert len(folders) == 4
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        for folder in folders:
            for language in LANGUAGES:
                path = folder / page_name(language)
                for width, media in ((360, "screen"), (1280, "screen"), (1030, "print")):
                    found[(path.parent.name, path.name, width, media)] = problems(browser, path, width, media)
        browser.close()
    assert {key: said for key, said in found.items() if said} == {}
