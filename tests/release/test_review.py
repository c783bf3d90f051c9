"""A candidate's pages say what its table and its decisions say, the same in every language, and no hidden count."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_reader import Page
from review_cases import AREAS, CANARY, INDICATORS, MARKUP, city, hidden_rows, number, review, signatories, table_of

from schemas.labels import LANGUAGES, load_section
from transforms.release.review.cells import CELL, hidden_changes
from transforms.release.review.content import SIGNS
from transforms.release.review.page import review_files
from transforms.release.review.suppressed import SHOWN
from transforms.release.review.text import review_text
from transforms.release.review.views import (
    HIDDEN_CSV,
    PUBLISHED,
    READY,
    REJECTED,
    RETURNED,
    WITHDRAWN,
    Standing,
    page_name,
)
from transforms.release.review.words import words

REVIEW = review()
FILES = review_files(REVIEW)
every_language = pytest.mark.parametrize("language", LANGUAGES)


def page(language: str, files: dict[str, bytes] = FILES) -> Page:
    return Page(files[page_name(language)])


def told(**changes: Any) -> Iterator[tuple[str, dict[str, str], str]]:
    """Each language, its words, and the text of its page of a changed candidate."""
    files = review_files(replace(REVIEW, **changes))
    for language in LANGUAGES:
        yield language, load_section(language, "room"), page(language, files).text


def table(language: str, key: str, files: dict[str, bytes] = FILES) -> list[list[str]]:
    caption = load_section(language, "room")[key]
    (found,) = [one for one in page(language, files).tables if one.caption == caption]
    return found.rows


@every_language
def test_the_change_is_that_of_the_two_tables(language: str) -> None:
    before = city(REVIEW.before.table, "2026-09-30")  # type: ignore[union-attr]
    now, rows = city(REVIEW.table, "2026-10-31"), table(language, "changes_caption")[1:]
    assert len(rows) == 4 * len(INDICATORS)
    moved = []
    for head, gap, eligible, rate in zip(*(iter(rows),) * 4, strict=True):
        name = head[0].split()[0]
        for measure, row in (("gap", gap), ("eligible", eligible)):
            told = [number(text, language) for text in row[1:]]
            assert told == [before[name, measure], now[name, measure], now[name, measure] - before[name, measure]]
        shares = [round(100 * at[name, "gap"] / at[name, "eligible"], 1) for at in (before, now)]
        told = [number(text, language) for text in rate[1:]]
        assert told == pytest.approx([*shares, shares[1] - shares[0]], abs=0.11)
        moved.append(abs(told[2]))
    assert moved == sorted(moved, reverse=True)


@every_language
def test_cells_that_became_hidden_or_visible_are_counted(language: str) -> None:
    status = [
        {tuple(row[name] for name in CELL): row["status"] for row in cells.iter_rows(named=True)}
        for cells in (REVIEW.table.filter(pl.col("as_of") == "2026-10-31"), REVIEW.before.table)  # type: ignore[union-attr]
    ]
    for name in INDICATORS:
        mine = [cell for cell in status[0] if cell[0] == name]
        became = Counter((status[1][cell], status[0][cell]) for cell in mine)
        told = next(row[0] for row in table(language, "changes_caption") if row[0].startswith(name))
        found = [int(text) for text in re.findall(r"\d+", told.replace(name, ""))]
        assert found == [became["published", "suppressed"], became["suppressed", "published"]]


@every_language
def test_hidden_cells_by_rule_are_those_of_the_decisions_and_sum_up_to_the_certificates(language: str) -> None:
    hidden, rules = hidden_rows(REVIEW.decisions), ("small", "group", "secondary")
    counts = Counter((row["indicator"], row["rule"]) for row in hidden)
    cells = Counter(REVIEW.table["indicator"])
    _, total, *rows = table(language, "hidden_caption")
    figures = REVIEW.figures
    assert number(total[3], language) == figures["secondary"]
    assert number(total[1], language) + number(total[2], language) == figures["primary"]  # type: ignore[operator]
    assert number(total[4], language) == figures["primary"] + figures["secondary"] == len(hidden)
    assert [row[0].split()[0] for row in rows] == INDICATORS
    for row in rows:
        name = row[0].split()[0]
        assert [number(text, language) for text in row[1:4]] == [counts[name, rule] for rule in rules]
        everything = sum(counts[name, rule] for rule in rules)
        assert number(row[4], language) == everything
        assert number(row[5], language) == pytest.approx(100 * everything / cells[name], abs=0.051)
        whole = [
            one["district"]
            for one in hidden
            if (one["indicator"], one["measure"], one["sex"], one["age_band"]) == (name, "gap", "*", "*")
            and one["as_of"] == "2026-10-31"
            and one["district"] not in ("*", "unknown")
        ]
        assert [int(text) for text in re.findall(r"\d+", row[6])] == [len(whole), 34]


def test_the_list_beside_the_pages_has_every_hidden_cell_and_its_rule() -> None:
    listed = list(csv.DictReader(io.StringIO(FILES[HIDDEN_CSV].decode())))
    names = {f"name_{language}" for language in LANGUAGES}
    bare = [tuple(value for name, value in row.items() if name not in names) for row in listed]
    assert sorted(bare) == sorted(tuple(row.values()) for row in hidden_rows(REVIEW.decisions))
    of = {row["code"]: row for row in AREAS.iter_rows(named=True)}
    for row in listed:
        area = of.get(row["major"] if row["district"] == "*" else row["district"])
        assert [row[name] for name in sorted(names)] == [area[name] if area else "" for name in sorted(names)]


@every_language
def test_the_first_hidden_cells_stand_on_the_page_and_the_rest_is_said(language: str) -> None:
    found, own = page(language), load_section(language, "room")
    hidden = Counter(row["indicator"] for row in hidden_rows(REVIEW.decisions))
    lists = [one for one in found.tables if one.rows[0] == [own[key] for key in ("place", "group", "figure", "rule")]]
    assert len(lists) == len(INDICATORS)
    for name, one in zip(INDICATORS, lists, strict=True):
        assert len(one.rows) - 1 == min(SHOWN, hidden[name])
        title = REVIEW.titles[name][language]
        assert (
            own["cells_some"].format(title=title, count=words(language).count(hidden[name]), shown=SHOWN) in found.text
        )


def test_the_own_date_and_the_widest_groups_come_first() -> None:
    listed = list(csv.DictReader(io.StringIO(FILES[HIDDEN_CSV].decode())))
    for name in INDICATORS:
        own = [row for row in listed if row["indicator"] == name]
        order = [(row["as_of"] != "2026-10-31", -sum(value == "*" for value in row.values())) for row in own]
        assert order == sorted(order)
        assert len(set(order)) == 4


def test_few_hidden_cells_all_stand_on_the_page() -> None:
    few = REVIEW.decisions.filter(pl.col("decision") != "published").group_by("indicator").head(3)
    for language, own, text in told(decisions=few):
        assert own["cells_all"].format(title=REVIEW.titles["CG01"][language], count=3) in text


def test_no_hidden_count_is_anywhere() -> None:
    everything = b"".join(FILES.values()).decode() + "".join(review_text(REVIEW, language) for language in LANGUAGES)
    digits = re.sub(r"[\u00a0,. ]", "", everything)
    assert str(CANARY) not in digits
    assert str(CANARY) in re.sub(r"[,.]", "", REVIEW.decisions.write_csv())


def test_every_language_tells_the_same_facts() -> None:
    facts = []
    for language in LANGUAGES:
        found = [
            [
                [number(text, language) if re.match(r"[+−±]?\d", text) else text == "..." for text in row[1:]]
                for row in rows
            ]
            for rows in (table(language, "changes_caption")[1:], table(language, "hidden_caption")[1:])
        ]
        shown = page(language)
        found += [[len(one.rows) for one in shown.tables], [tag for tag, _ in shown.tags]]  # type: ignore[list-item]
        facts.append(found)
    assert facts[0] == facts[1] == facts[2]


@every_language
def test_the_page_asks_nothing_of_any_host_runs_nothing_and_says_what_it_is(language: str) -> None:
    text = FILES[page_name(language)].decode()
    assert not re.search(r"<script|<link|<img|<iframe|https?://|url\(|@import|\son\w+=|style=", text)
    assert "default-src 'none'" in text
    own = load_section(language, "room")
    found = page(language)
    assert found.by_class["secret"] == [own["confidential"]]
    assert all(heading in found.headings for key, heading in own.items() if key in PARTS)
    assert "\u00a0klo" not in found.text
    assert len(text) < 150_000
    assert MARKUP not in text
    assert found.text.count(MARKUP) > 5
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [str(attributes.get("href"))[1:] for tag, attributes in found.tags if tag == "a"]
    assert {one for one in targets if not one.startswith((".", "e", "i"))} <= set(ids)


PARTS = ("state_title", "verdict_title", "changes_title", "hidden_title", "quality_title", "decisions_title",
         "commands_title", "versions_title")  # fmt: skip


@every_language
def test_who_signed_and_who_may_not_is_told(language: str) -> None:
    own, rows = load_section(language, "room"), table(language, "signatories_caption")[1:]
    when = {"fi": "22.11.2026 klo 00.30", "sv": "22.11.2026 kl. 00.30", "en": "2026-11-22 at 00:30"}[language]
    assert [row[2] for row in rows] == [
        own["signed"].format(time=when), own["bar_not_needed"], own["may_sign"], own["bar_built_it"],
    ]  # fmt: skip
    assert rows[1][1] == f"{own['role_data_steward']}, auditor"
    missing = f"{own['role_statistician']} (1)"
    assert own["state_waiting"].format(left=missing) in page(language).text
    assert f"""--as 'Counter <b>&"'"'"'' --reason "{own["reason_placeholder"]}\"""" in page(language).text


@pytest.mark.parametrize("state", [READY, PUBLISHED, REJECTED, RETURNED, WITHDRAWN])
def test_a_changed_state_shows_with_what_is_left_to_do(state: str) -> None:
    wanted = {READY: "caregap approve 2026-10-31-1", PUBLISHED: "caregap withdraw 2026-10-31-1"}
    for _, own, text in told(standing=Standing(state, {"data_steward": 1}, {}, signatories())):
        assert own[f"state_{state}"] in text
        assert own["state_waiting"].partition("{")[0] not in text
        assert f"{SIGNS[state]} {own[f'state_{state}']}" in text
        assert (own["commands_closed"] in text) == (state != READY)
        assert wanted.get(state, "caregap release --as-of 2026-10-31") in text
        assert "caregap reject" not in text
    assert all("caregap reject 2026-10-31-1" in page(language).text for language in LANGUAGES)


def test_a_broken_guarantee_is_not_called_held() -> None:
    for language in LANGUAGES:
        assert load_section(language, "room")["verdict_held"] in page(language).text
    for figures, guarantee in (({"exactly_recoverable": 3}, "not_exact"), ({}, "not_small")):
        rules = REVIEW.certificate["rules"] | {"guarantee": guarantee}
        changes = {"figures": REVIEW.figures | figures, "certificate": {**REVIEW.certificate, "rules": rules}}
        for _, own, text in told(**changes):
            assert own["verdict_held"] not in text
            assert own["verdict_broken"].partition("{")[0] in text


def test_new_gone_and_redefined_indicators_are_named() -> None:
    assert REVIEW.before is not None
    titles, others = REVIEW.titles, table_of(9, date(2026, 9, 30), ["CG02", "CG09"]).drop("reason")
    for language, own, text in told(before=replace(REVIEW.before, table=others)):
        assert f"{own['indicators_new']}: {titles['CG01'][language]}, {titles['CG03'][language]}" in text
        assert f"{own['indicators_gone']}: {titles['CG09'][language]}" in text
        redefined = own["versions_changed"].format(title=titles["CG01"][language], before=1, now=2)
        assert redefined in text
    for _, own, text in told(before=None):
        assert own["changes_none"] in text
        assert own["changes_caption"] not in text


def test_a_hidden_figure_of_the_city_is_no_number() -> None:
    is_city = pl.all_horizontal(pl.col(name) == "*" for name in ("major", "district", "sex", "age_band"))
    hide = is_city & (pl.col("measure") == "gap") & (pl.col("indicator") == "CG02")
    hidden = REVIEW.table.with_columns(value=pl.when(~hide).then("value"))
    files = review_files(replace(REVIEW, table=hidden))
    for language in LANGUAGES:
        rows = table(language, "changes_caption", files)[1:]
        assert rows[-4][0].startswith("CG02")
        assert [row[2:] for row in rows[-3::2]] == [["...", "..."]] * 2
        assert number(rows[-3][1], language) is not None


@every_language
def test_a_terminal_is_told_what_the_page_tells(language: str) -> None:
    text = review_text(REVIEW, language)
    assert not re.search(r"[<>]/?(?:td|th|p)\b|[\u00ad\u2060]", text)
    for rows in (table(language, "changes_caption")[1:], table(language, "hidden_caption")[1:]):
        for row in rows[1:]:
            assert all(figure in text for figure in row[1:5])
    assert all(load_section(language, "room")[key] in text for key in PARTS[1:])


cells = st.lists(st.tuples(*(st.sampled_from(["published", "suppressed", None]),) * 2), min_size=1, max_size=8)


@given(cells)
def test_each_cell_is_counted_once_as_what_became_of_it(pairs: list[tuple[str | None, str | None]]) -> None:
    def side(place: int) -> pl.DataFrame:
        rows = [("CG01", "1", f"{at}", "*", "*", "gap", pair[place]) for at, pair in enumerate(pairs) if pair[place]]
        rows.append(("CG01", "*", "*", "*", "*", "gap", "published"))
        return pl.DataFrame(rows, schema=[*CELL, "status"], orient="row")

    counts = Counter(pairs)
    ((_, *found),) = hidden_changes(side(1), side(0)).rows()
    assert found == [
        counts["published", "suppressed"],
        counts["suppressed", "published"],
        counts[None, "published"] + counts[None, "suppressed"],
        counts["published", None] + counts["suppressed", None],
    ]


def test_every_language_has_the_same_words_and_each_is_used() -> None:
    finnish, *others = [load_section(language, "room") for language in LANGUAGES]
    for other in others:
        assert list(other) == list(finnish)
        for key, text in finnish.items():
            names = [sorted(re.findall(r"{(\w+)", one)) for one in (other[key], text)]
            assert names[0] == names[1], key
            assert other[key].strip(" ")
    root = Path(__file__).parents[2]
    files = [*(root / "transforms/release/review").rglob("*"), *(root / "flows/room").glob("*.py")]
    code = "".join(path.read_text("utf-8") for path in files if path.suffix in (".py", ".jinja"))
    made = re.compile(
        r"(?:state|short|role|bar|guarantee|rule|decision|attribute|severity|attacker_zeros|indicators)_\w+"
    )
    unused = [key for key in finnish if not made.fullmatch(key) and not re.search(rf"\b{key}\b", code)]
    assert unused == []
