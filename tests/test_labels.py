from string import Formatter

import pytest

from schemas.labels import LANGUAGES, load_labels
from transforms.release.page_words import words


def test_every_language_has_the_same_keys():
    finnish, *others = [list(load_labels(language)) for language in LANGUAGES]
    assert all(other == finnish for other in others)


@pytest.mark.parametrize("key", load_labels("fi"))
def test_a_label_has_words_in_every_language_and_takes_the_same_values(key):
    texts = [load_labels(language)[key] for language in LANGUAGES]
    assert all(text.strip(" ") == text and text for text in texts)
    assert all("<" not in text and "&" not in text for text in texts)
    wanted = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in texts]
    assert wanted[0] == wanted[1] == wanted[2]


def test_secrecy_is_called_what_statistics_finland_calls_it():
    assert [load_labels(language)["hidden"] for language in LANGUAGES] == [
        "Tieto on salassapitosäännön alainen",
        "Uppgift är sekretessbelagd",
        "Data is subject to secrecy",
    ]


@pytest.mark.parametrize(
    ("language", "count", "percent", "interval", "whole"),
    [
        ("fi", "1\u00a0234\u00a0567", "12,5\u00a0%", "6,3–100,0\u00a0%", "100,0\u00a0%"),
        ("sv", "1\u00a0234\u00a0567", "12,5\u00a0%", "6,3–100,0\u00a0%", "100,0\u00a0%"),
        ("en", "1,234,567", "12.5%", "6.3–100.0%", "100.0%"),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(language, count, percent, interval, whole):
    own = words(language)
    assert own.count(1_234_567) == count
    assert own.count(999) == "999"
    assert own.percent(125) == percent
    assert own.percent(1000) == whole
    assert own.interval(0.0625, 1.0) == interval  # 6.25 rounds up
    assert own.percent(0).startswith("0" + percent[2])


def test_a_hidden_number_and_an_absent_one_have_their_symbols():
    own = words("fi")
    assert (own.count(None), own.percent(None), own.interval(None, None)) == ("...", "...", "...")
    assert (own.percent(None, is_empty=True), own.interval(None, None, is_empty=True)) == ("–", "–")


@pytest.mark.parametrize(
    ("language", "closed", "single", "opened"),
    [
        ("fi", "18–44-vuotiaat", "0-vuotiaat", "75 vuotta täyttäneet"),
        ("sv", "18–44 år", "0 år", "75 år och äldre"),
        ("en", "Aged 18–44", "Aged 0", "Aged 75 and over"),
    ],
)
def test_groups_have_names_and_an_unnamed_code_stands_for_itself(language, closed, single, opened):
    own = words(language)
    assert (own.age_band("18-44"), own.age_band("0-0"), own.age_band("75-")) == (closed, single, opened)
    assert own.age_band("old") == "old"
    assert own.sex("X") == "X"
    assert own.sex("female") == own.labels["sex_female"]
