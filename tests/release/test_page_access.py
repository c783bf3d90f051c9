"""Every page can be read by anybody, anywhere: no script, no foreign address, landmarks, words, contrast."""

import posixpath
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from page_cases import RELEASE
from page_reader import Page
from test_page import AREAS, HTML, PAGES, TABLE, TEXTS, every_language, indicator, page

from schemas.labels import LANGUAGES, load_labels
from schemas.publisher import Publisher
from transforms.release.site.addresses import indicator_page
from transforms.release.site.pages import render_site

FOREIGN = {"https://www.saavutettavuusvaatimukset.fi/", "https://creativecommons.org/licenses/by/4.0/"}
SIZES = {"table.csv": 100, "derived.csv": 2_000_000, "downloads/table.px": 5000, "downloads/star/fact.parquet": 1}
READ = {name: Page(PAGES[name]) for name in HTML}


def test_a_page_runs_nothing_and_asks_for_nothing_but_its_style():
    for name, found in READ.items():
        content = PAGES[name].decode()
        assert not {tag for tag, _ in found.tags} & {
            "script",
            "img",
            "iframe",
            "object",
            "form",
            "style",
            "image",
            "use",
        }
        assert all(not key.startswith("on") and key != "style" for _, attributes in found.tags for key in attributes)
        loaded = [a["href"] for tag, a in found.tags if tag == "link"]
        assert [posixpath.normpath(posixpath.join(posixpath.dirname(name), one)) for one in loaded] == ["style.css"]
        assert set(re.findall(r"[a-z]+://[^\"<> ]*", content)) <= FOREIGN
        policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
        assert policy.startswith("default-src 'none'; style-src 'self' file:;")
    assert not re.search(rb"@import|url\(|://|expression", PAGES["style.css"])


def test_every_link_leads_to_a_page_and_an_anchor_that_are_there_under_any_prefix():
    anchors = {name: [a["id"] for _, a in found.tags if "id" in a] for name, found in READ.items()}
    assert all(len(set(ids)) == len(ids) for ids in anchors.values())
    followed = 0
    for name, found in READ.items():
        for address in (a["href"] for tag, a in found.tags if tag == "a"):
            if address in FOREIGN:
                continue
            assert not address.startswith("/")
            path, _, anchor = address.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            assert target in PAGES, (name, address)
            assert not anchor or anchor in anchors[target], (name, address)
            followed += 1
    assert followed > 4_000


@every_language
def test_every_page_leads_to_itself_in_the_other_languages(language):
    for name in (name for name in HTML if name.startswith(f"{language}/")):
        links = {a["hreflang"]: a for tag, a in READ[name].tags if tag == "a" and "hreflang" in a}
        rest = name.partition("/")[2]
        found = {
            one: posixpath.normpath(posixpath.join(posixpath.dirname(name), a["href"])) for one, a in links.items()
        }
        assert found == {one: f"{one}/{rest}" for one in LANGUAGES}
        assert [one for one, a in links.items() if a.get("aria-current")] == [language]
        assert all(a["lang"] == one for one, a in links.items())


def test_every_page_can_be_found_through_by_keyboard_and_screen_reader():
    for name, found in READ.items():
        tags = [tag for tag, _ in found.tags]
        assert dict(found.tags)["html"]["lang"] == (name.partition("/")[0] if "/" in name else "fi")
        assert tags.count("main") == tags.count("h1") == 1
        levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert all(heading.strip() for heading in found.headings)
        assert all(table.caption for table in found.tables)
        assert all(cell.get("scope") in ("col", "row") for table in found.tables for cell in table.header_cells)
        assert all(picture["title"] and picture["desc"] for picture in found.pictures)
        if name != "index.html":
            assert tags.count("header") == tags.count("footer") == 1
            assert next(a for tag, a in found.tags if tag == "a")["href"] == "#content"
            assert all("aria-label" in a for tag, a in found.tags if tag == "nav")


@every_language
def test_every_picture_has_a_sentence_on_the_page_and_its_numbers_in_a_table(language):
    for number in range(len(TEXTS)):
        found = indicator(language, number)
        assert len(found.pictures) == 3
        for picture in found.pictures:
            sentence = picture["desc"].removesuffix(load_labels(language)["funnel_table"]).strip()
            assert found.text.count(sentence) >= 2
            assert TEXTS[number].title[language] in picture["title"]


@every_language
def test_symbols_are_explained_where_they_stand(language):
    labels = load_labels(language)
    for found in (indicator(language), page(language, "areas/101.html")):
        assert f"...: {labels['hidden']}" in found.text
        assert f"▲ {labels['above']}, ▼ {labels['below']}: {labels['above_explained']}" in found.text
        assert f"▲▲ {labels['far_above']}, ▼▼ {labels['far_below']}: {labels['far_above_explained']}" in found.text
        assert f"–: {labels['empty']}" in found.text
    assert f"..: {labels['not_given']}" in indicator(language).text


def test_synthetic_data_says_so_on_every_page_picture_and_table_and_real_data_does_not():
    for name, found in READ.items():
        labels = load_labels(name.partition("/")[0] if "/" in name else "fi")
        generated = labels["generated"].lower()
        titles = [
            name for name in (*(table.caption for table in found.tables),) if name not in (labels["files_caption"],)
        ]
        assert generated in found.text.lower()
        figures = titles if "downloads" not in name else []
        assert all(generated in title for title in figures)
        assert all(generated in picture["title"] for picture in found.pictures if "areas/index" not in name)
    real = render_site(TABLE, AREAS, TEXTS, replace(RELEASE, generated=False))
    for name, content in real.items():
        for language in LANGUAGES if name.endswith(".html") else ():
            assert load_labels(language)["generated"].lower() not in Page(content).text.lower()


@every_language
def test_the_definition_source_and_version_of_every_indicator_are_told(language):
    for number, text in enumerate(TEXTS):
        found = indicator(language, number)
        assert found.headings[0] == text.title[language]
        for told in (text.target_group[language], text.source[language], RELEASE.release_id, f"{text.version}, "):
            assert told in found.text
        assert found.text.count(text.description[language]) == 2
        assert b"<b>&" not in PAGES[f"{language}/{indicator_page(text.id)}"]


def test_files_are_listed_that_are_there_and_no_others():
    pages = render_site(TABLE, AREAS, TEXTS, RELEASE, sizes=SIZES)
    for language in LANGUAGES:
        table = page(language, "about/downloads.html", pages).tables[0]
        assert [row[0] for row in table.rows[1:]] == list(SIZES)
        assert table.rows[2][2].startswith(("1\u00a0954", "1,954"))
        links = {a["href"] for tag, a in page(language, "about/downloads.html", pages).tags if tag == "a"}
        assert {f"../../{path}" for path in SIZES} <= links


@pytest.mark.parametrize("email", ["", "feedback@city.example"])
def test_the_accessibility_statement_says_where_to_complain(email):
    pages = render_site(TABLE, AREAS, TEXTS, RELEASE, publisher=Publisher(email))
    for language in LANGUAGES:
        found, labels = page(language, "about/accessibility.html", pages), load_labels(language)
        for told in ("306/2019", "Traficom", "saavutettavuusvaatimukset.fi", labels["acc_not_tested"]):
            assert told in found.text
        assert (labels["acc_feedback_none"] in found.text) == (not email)
        assert not email or email in found.text


def test_every_word_is_used():
    """A word that no page says any more is taken out of the three files."""
    root = Path(__file__).parents[2] / "transforms/release"
    code = "".join(path.read_text("utf-8") for path in root.rglob("*") if path.suffix in (".py", ".jinja"))
    made = re.compile(r"sex_\w+|\w+_title")  # named by a code, or by the page
    unused = [key for key in load_labels("fi") if not made.fullmatch(key) and not re.search(rf"\b{key}\b", code)]
    assert unused == []
