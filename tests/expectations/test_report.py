"""What the quality pages say: no value of a record, no small group, every check, and every edit of the rules."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.profile import DUPLICATE
from expectations.report import runs as history
from expectations.report.coverage import SCHEMA, told
from expectations.report.edits import policy_edits, rule_edits, rules_text, version
from expectations.report.page import Counted, HistoryView, RunView, history_pages, run_pages
from expectations.report.runs import Run
from expectations.report.trend import trend
from expectations.report.words import HIDDEN, known_reason, words
from expectations.rules import all_checks, load_rules
from expectations.run import run_suites
from schemas.errors import UsageRefused
from schemas.labels import LANGUAGES, load_section
from schemas.policy import POLICY_FILE
from tests.expectations.quality_faults import AS_OF, CANARY, clean_frames, clean_intakes, profiles_of

CODE = "131052-999X"
CHECKS = all_checks()
START = datetime(2026, 11, 22, 2, tzinfo=UTC)
RUN = Run(
    run="20240510-20261122T020000000000",
    as_of=AS_OF,
    started=START,
    source="feed",
    generated=False,
    increment=False,
    outcome="done",
    exit_code=0,
    rules="a" * 64,
    policy="b" * 64,
    tallies={"contact": {"rows_in": 1000, "kept": 990, "quarantined": {"event_date: is missing": 7, DUPLICATE: 3}}},
    freshness={"contact": 1},
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The results of every check on invented rows, all of whose codes are the canary."""
    frames = clean_frames()
    profiles = profiles_of(frames, clean_intakes(frames), tmp_path_factory.mktemp("files") / "files")
    return {result.check: vars(result) for result in run_suites(profiles)}


def view(rows: dict[str, dict[str, object]], run: Run = RUN, **more: object) -> RunView:
    rules = {rule["id"]: rule for rule in json.loads(rules_text(CHECKS))}
    given = {"previous": None, "before": {}, "edits": None, "trend": {name: [row] for name, row in rows.items()}}
    return RunView(run=run, results=rows, rules=rules, **(given | more))  # type: ignore[arg-type]


def plain(page: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.decode()))


def test_a_page_has_every_check_with_all_that_belongs_to_it(rows: dict[str, dict[str, object]]) -> None:
    for language, page in zip(("fi", "sv", "en"), run_pages(view(rows)).values(), strict=True):
        own, text = words(language), plain(page)
        assert page.startswith(b'<!doctype html>\n<html lang="' + language.encode())
        assert page.decode().count('<th scope="row" class="what">') == len(CHECKS)
        for check in CHECKS:
            assert own.checked(check.figure) in text.replace("&#39;", "'")
            assert own.owner(check.owner) in text
            assert own.limits(check.figure, check.minimum, check.maximum).replace("\xa0", " ") in text
            reason = check.texts[language]["reason"] if language != "en" else check.reason
            assert reason in text.replace("&#39;", "'")


def test_pages_ask_nothing_of_any_host_and_run_nothing(rows: dict[str, dict[str, object]]) -> None:
    for page in [*run_pages(view(rows)).values(), *history_pages(HistoryView([RUN], {})).values()]:
        text = page.decode()
        assert not re.search(r"<script|<link|<img|<iframe|https?://|url\(|@import|\son\w+=|style=", text)
        assert "default-src 'none'" in text
        assert all(not target.startswith("/") for target in re.findall(r'href="([^"]*)"', text))


def test_no_value_of_a_record_is_on_a_page(rows: dict[str, dict[str, object]]) -> None:
    reasons = {f"person_id: {CODE}": 3, f"{CODE}: is missing": 2, f"{CANARY.lower()}: is missing": 4, CODE: 1}
    tally = {"rows_in": 100, "kept": 90, "quarantined": reasons}
    pages = run_pages(view(rows, replace(RUN, tallies={"person": tally})))
    for page in pages.values():
        assert CODE.encode() not in page
        assert CANARY.lower().encode() not in page.lower()
    assert "another reason" in plain(pages["index.en.html"])
    assert {known_reason(reason) for reason in reasons} == {""}


def test_every_reason_of_the_controller_has_its_words() -> None:
    from transforms.controller import validate
    from transforms.controller.generalise import WITHHELD
    from transforms.controller.register import TAKEN_BACK

    names = ("UNREADABLE", "MISSING", "INVALID", "NOT_A_TERM", "OUT_OF_RANGE", "NOT_A_CODE", "TOO_EARLY", "IN_FUTURE")
    names += ("ENDS_BEFORE", "UNKNOWN_PERSON", "CONFLICT", "LINKS_DISAGREE")
    texts = [f"event_date: {getattr(validate, name)}" for name in names]
    texts += [validate.DUPLICATE, validate.MERGED, WITHHELD, TAKEN_BACK, "record_id: a later row replaces it"]
    for language in LANGUAGES:
        own = words(language)
        said = [own.reason(text) for text in texts]
        assert own.labels["reason_other"] not in said
        assert len(set(said)) == len(said)
        assert not any("{" in text for text in said)


def test_a_load_that_the_gate_stopped_says_what_to_do(rows: dict[str, dict[str, object]]) -> None:
    check = next(check for check in CHECKS if check.figure == "quarantined_count")
    missed = {**rows, check.id: rows[check.id] | {"passed": False, "observed": 3.0, "count": 3}}
    stopped = replace(RUN, outcome="stopped", exit_code=11)
    before = view(missed, stopped, previous=RUN, before=rows)
    pages = run_pages(before)
    assert "Korjauta rivit lähteessä" in plain(pages["index.html"])
    assert "Ei enää läpi: kiellot ja rajoitukset: karanteeniin joutuneet rivit" in re.sub(
        r" +:", ":", plain(pages["index.html"])
    )
    assert "Låt rätta raderna i källan" in plain(pages["index.sv.html"])
    assert f"Passed: {len(CHECKS) - 1}. Warnings: 0. Blocking faults: 1." in plain(pages["index.en.html"])
    assert "stopped by the quality gate" in plain(pages["index.en.html"])


@pytest.mark.parametrize(
    ("change", "words_said"),
    [
        ({"outcome": "stopped", "exit_code": 12}, "not by the quality gate (exit code 12)"),
        ({"outcome": "checked"}, "did not finish"),
        ({"outcome": "done"}, "brought to the platform"),
        ({"outcome": "stopped", "exit_code": 10, "rules": ""}, "before the quality checks (exit code 10)"),
    ],
)
def test_a_page_says_what_the_load_came_to(
    rows: dict[str, dict[str, object]], change: dict[str, object], words_said: str
) -> None:
    run = replace(RUN, **change)  # type: ignore[arg-type]
    assert words_said in plain(run_pages(view(rows if run.rules else {}, run))["index.en.html"])


def test_a_rule_without_translations_is_shown_in_english_as_english(rows: dict[str, dict[str, object]]) -> None:
    whole = view(rows)
    bare = replace(whole, rules={name: {**rule, "texts": {}} for name, rule in whole.rules.items()})
    assert '<span lang="en">Every row belongs' in run_pages(bare)["index.html"].decode()
    assert '<span lang="en">Every row belongs' not in run_pages(whole)["index.html"].decode()


def rules(text: str, path: Path) -> list[dict[str, object]]:
    path.write_text(text)
    return list(json.loads(rules_text(load_rules(path))))


def test_edits_of_rules_are_named_with_what_was_and_what_is(tmp_path: Path) -> None:
    rule = '[[rule]]\nfigure = "{figure}"\ntables = {tables}\nmaximum = {maximum}\nseverity = "{severity}"\n'
    rule += 'owner = "source owner"\nreason = "{reason}"\nnext_step = "Ask"\n'
    share = {"figure": "retracted_share", "tables": '["contact", "diagnosis"]', "severity": "warn", "reason": "Why"}
    lost = {"figure": "lost_count", "tables": '["contact"]', "maximum": 0, "severity": "fail", "reason": "Ours"}
    first = rules(rule.format(**share, maximum=0.05) + rule.format(**lost), tmp_path / "a.toml")
    assert rule_edits(first, first) == []
    wider = rules(rule.format(**share, maximum=0.1) + rule.format(**lost), tmp_path / "b.toml")
    (edit,) = rule_edits(first, wider)
    assert (edit.key, edit.tables, edit.field) == ("retracted_share", ("contact", "diagnosis"), "limits")
    assert (edit.before, edit.after) == ((None, 0.05), (None, 0.1))
    softer = rules(rule.format(**share, maximum=0.05) + rule.format(**lost | {"severity": "warn"}), tmp_path / "c.toml")
    (edit,) = rule_edits(first, softer)
    assert (edit.field, edit.before, edit.after) == ("severity", "fail", "warn")
    fewer = rules(rule.format(**share, maximum=0.05), tmp_path / "d.toml")
    (gone,), (come,) = rule_edits(first, fewer), rule_edits(fewer, first)
    assert (gone.field, gone.before, gone.after) == ("rule", (None, 0), None)
    assert (come.before, come.after) == (None, (None, 0))
    reworded = rules(
        rule.format(**share | {"reason": "Because"}, maximum=0.05) + rule.format(**lost), tmp_path / "e.toml"
    )
    assert [(edit.field, edit.after) for edit in rule_edits(first, reworded)] == [("reason", "Because")]


def test_edits_of_the_policy_are_told_by_key_and_comments_are_none() -> None:
    text = POLICY_FILE.read_text("utf-8")
    edited = text.replace("threshold = 5 ", "threshold = 3 ", 1).replace("# What may cross", "# What can cross", 1)
    assert edited.count("# What can cross") == 1
    (edit,) = policy_edits(text, edited)
    assert (edit.key, edit.before, edit.after) == ("disclosure.threshold", "5", "3")
    (edit,) = policy_edits(text, text + '\n[channel.hook]\nkind = "webhook"\n')
    assert (edit.key, edit.before, edit.after) == ("channel.hook.kind", None, '"webhook"')
    assert version(text) != version(edited)


def test_edits_are_on_the_pages_in_words(rows: dict[str, dict[str, object]]) -> None:
    before, after = (
        [{**rule, "maximum": limit} if rule["figure"] == "retracted_share" else rule for rule in found]
        for found, limit in ((json.loads(rules_text(CHECKS)), 0.05), (json.loads(rules_text(CHECKS)), 0.1))
    )
    edits = rule_edits(before, after) + policy_edits("[disclosure]\nthreshold = 5", "[disclosure]\nthreshold = 3")
    for page in (
        run_pages(view(rows, edits=edits))["index.html"],
        history_pages(HistoryView([RUN], {}, {RUN.run: edits}))["index.html"],
    ):
        text = plain(page)
        assert (
            "perutut rivit (huomautus): raja, 11 taulua enintään 5\xa0% enintään 10\xa0%".replace("\xa0", " ") in text
        )
        assert "disclosure.threshold 5 3" in text


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2500), st.data(), st.integers(2, 10))
def test_a_told_share_leaves_as_many_persons_undecided_as_policy_asks(
    residents: int, data: st.DataObject, least: int
) -> None:
    persons = data.draw(st.integers(0, residents))

    def bands(counts: list[int]) -> list[tuple[int | None, int | None]]:
        found = told_of([(residents, count) for count in counts], least)
        return [(row["low"], row["step"]) for row in found]

    (band,) = bands([persons])
    if band[0] is None:
        assert residents < 10 * least
        return
    alike = bands(list(range(residents + 1))).count(band)
    assert alike >= least
    assert band[0] <= 100 * persons / residents <= band[0] + band[1]  # type: ignore[operator]


def told_of(pairs: list[tuple[int, int]], least: int) -> list[dict[str, object]]:
    """What is told of districts with so many residents, and so many of them with a record."""
    counts = coverage_counts([(f"a{place}", *pair, pair[1]) for place, pair in enumerate(pairs)])
    compared = counts.select("table", "area_code").unique().with_columns(recording=pl.lit("more"))
    rows = told(counts, compared, least)
    assert rows.schema == SCHEMA
    by_area = {row["area_code"]: row for row in rows.to_dicts()}
    return [by_area[f"a{place}"] for place in range(len(pairs))]


def coverage_counts(areas: list[tuple[str, int, int, int]]) -> pl.DataFrame:
    """The last month and one before it, in which a half as many persons had a record."""
    months = [(date(2024, 4, 10), 2), (AS_OF, 1)]
    return pl.DataFrame(
        [
            {
                "as_of": AS_OF,
                "table": "contact",
                "month_end": end,
                "area_code": area,
                "residents": residents,
                "residents_with_record": persons // part,
                "rows": rows,
                "rows_without_code": rows // 10,
                "rows_without_value": None,
                "rows_with_delay": rows,
                "delay_days": 3 * rows,
            }
            for area, residents, persons, rows in areas
            for end, part in months
        ],
        schema_overrides={"rows_without_value": pl.Int64},
        infer_schema_length=None,
    )


def test_delay_and_change_are_told_of_enough_persons_only() -> None:
    small, large, none = told_of([(1000, 4), (1000, 400), (1000, 0)], least=5)
    assert (small["delay_days"], small["recording"]) == (None, None)
    assert (large["delay_days"], large["recording"]) == (3, "more")
    assert (none["low"], none["delay_days"], none["recording"]) == (0, None, None)
    (chance,) = told_of([(1000, 12)], least=5)  # of 6 before: within two standard deviations or just beyond
    assert chance["recording"] == ("more" if 12 - 6 > 2 * 6**0.5 else "alike")


def test_coverage_is_on_the_page_and_what_is_not_told_is_dotted(rows: dict[str, dict[str, object]]) -> None:
    counts = coverage_counts([("101", 1000, 400, 900), ("102", 30, 29, 50)])
    compared = counts.select("table", "area_code").unique().with_columns(recording=pl.lit("more"))
    names = [(code, dict.fromkeys(LANGUAGES, f"District {code}")) for code in ("101", "102")]
    counted = Counted(AS_OF, 5, told(counts, compared, 5).to_dicts(), names, 5, 0.5, [(["birth_date", "sex"], 31)])
    text = plain(run_pages(view(rows, counted=counted))["index.en.html"])
    assert "District 101 ▲ has risen 40%" in text
    assert f"District 102 {HIDDEN}" in text
    assert "birth date, sex 31%" in text


def test_a_check_is_named_in_words_and_one_row_is_one() -> None:
    said = {
        "fi": ("rivien määrä", "1 rivi sallitaan aina", "2 riviä", "kuoleman jälkeen"),
        "sv": ("antal rader", "1 rad tillåts alltid", "2 rader", "efter döden"),
        "en": ("number of rows", "1 row always let through", "2 rows", "after death"),
    }
    for language, (count, one, two, late) in said.items():
        own = words(language)
        assert own.checked("row_count") == count
        assert own.labels["tolerated"].format(rows=own.rows(1)) == one
        assert own.observed("quarantined_share", 0.5, 2).endswith(f"({two})")
        assert own.checked("event_date.after_death_count") == f"event_date: {late}"


def test_a_trend_says_in_words_what_it_draws() -> None:
    own = words("en")
    assert trend("x_share", [0.1], [True], (None, 1.0), own).text == "first load"
    assert trend("x_count", [0, 0, 0], [True] * 3, (None, 0), own).text == "unchanged in 3 loads"
    drawn = trend("x_share", [0.01, None, 0.05, 0.02], [True, True, False, True], (None, 0.03), own)
    assert drawn.text == "3 loads: first 1%, now 2%, lowest 1%, highest 5%; did not pass 1 times"
    assert len(drawn.line.split()) == 3
    assert len(drawn.failed) == 1
    assert drawn.limit is not None


def test_runs_are_compared_with_those_of_their_kind() -> None:
    night = replace(RUN, run="20240510-20261122T030000000000", increment=True, started=START + timedelta(hours=1))
    later = replace(RUN, run="20240510-20261122T040000000000", started=START + timedelta(hours=2))
    unchecked = replace(RUN, run="20240510-20261122T050000000000", rules="", started=START + timedelta(hours=3))
    runs = [later, night, RUN, unchecked]
    assert history.earlier_of_kind(runs, later) == [RUN]
    assert history.earlier_checked(runs, later) == [RUN, night]
    assert history.from_json(json.loads(json.dumps(history.to_json(RUN)))) == RUN


@pytest.mark.parametrize("section", ["quality", "notices"])
def test_every_language_has_the_same_words(section: str) -> None:
    finnish, *others = [load_section(language, section) for language in LANGUAGES]
    for other in others:
        assert list(other) == list(finnish)
        for key, text in finnish.items():
            if key not in ("time", "date"):
                assert sorted(re.findall(r"{\w+}", other[key])) == sorted(re.findall(r"{\w+}", text)), key
            assert other[key].strip(" ")


@pytest.mark.parametrize("language", ["fi", "sv"])
def test_every_rule_of_ours_is_translated_and_half_a_translation_is_refused(language: str, tmp_path: Path) -> None:
    for check in CHECKS:
        assert check.texts[language]["reason"] != check.reason
        assert check.texts[language]["next_step"] != check.next_step
    path = tmp_path / "rules.toml"
    path.write_text(
        '[[rule]]\nfigure = "row_count"\ntables = ["person"]\nminimum = 1\nseverity = "fail"\nowner = "o"\n'
        f'reason = "r"\nnext_step = "n"\n[rule.{language}]\nreason = "r"\n'
    )
    with pytest.raises(UsageRefused, match=f"{language} must hold reason and next_step"):
        load_rules(path)
