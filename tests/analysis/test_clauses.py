"""The words of the definitions that the first indicators do not all use, each against plain Python."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.areas import load_areas
from schemas.codelists import load_codelists
from schemas.errors import UsageRefused
from schemas.indicators import Events, Indicator, Period, Selected, age_reach, load_indicators
from schemas.indicators.parsing import Place, parse_clause
from tests.analysis import oracle
from tests.analysis.lakes import write_lake
from tests.analysis.populations import AS_OFS, by_person, population
from tests.analysis.test_statuses import Opened
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate

PLACE = Place("test.toml", "closed", load_codelists())
EVERYBODY = parse_clause({"age_years": {"from": 0}}, PLACE)
INDICATORS = load_indicators()


def indicator(clause: dict[str, Any]) -> Indicator:
    """Everybody who is born, closed where the clause holds."""
    bare = replace(INDICATORS["diabetes_hba1c_missing"], population=EVERYBODY, exclusions=(), declined=None)
    return replace(bare, closed=parse_clause(clause, PLACE))


def within(records: oracle.Records, table: str, day: date, months: int) -> list[Any]:
    return [r for r in oracle.valid(records, table) if oracle.back(day, months) < r["event_date"] <= day]


CASES: dict[str, tuple[dict[str, Any], Callable[[Any, oracle.Records, date], bool]]] = {
    "so many rows": (
        {"table": "measurement", "within": "24 months", "at_least": 2},
        lambda person, records, day: len(within(records, "measurement", day, 24)) >= 2,
    ),
    "so many days": (
        {"table": "measurement", "within": "24 months", "at_least": 2, "distinct": "event_date"},
        lambda person, records, day: len({r["event_date"] for r in within(records, "measurement", day, 24)}) >= 2,
    ),
    "so many codes": (
        {"table": "measurement", "within": "2 years", "at_least": 2, "distinct": "code"},
        lambda person, records, day: (
            len({(r["code_system"], r["code"]) for r in within(records, "measurement", day, 24)}) >= 2
        ),
    ),
    "so many of several clauses": (
        {
            "at_least": 2,
            "of": [
                {"table": "measurement", "codes": "hba1c", "within": "12 months"},
                {"table": "measurement", "codes": "ldl", "within": "12 months"},
                {"not": {"table": "contact", "within": "12 months"}},
            ],
        },
        lambda person, records, day: (
            sum(
                (
                    oracle.is_measured(
                        records, {("loinc", "4548-4"), ("loinc", "59261-8"), ("kuntaliitto", "6128")}, day
                    ),
                    oracle.is_measured(records, {("loinc", "18262-6"), ("loinc", "2089-1")}, day),
                    not within(records, "contact", day, 12),
                )
            )
            >= 2
        ),
    ),
    "days and weeks": (
        {"any": [{"table": "contact", "within": "90 days"}, {"table": "measurement", "within": "2 weeks"}]},
        lambda person, records, day: any(
            day - timedelta(days=length) < r["event_date"] <= day
            for table, length in (("contact", 90), ("measurement", 14))
            for r in oracle.valid(records, table)
        ),
    ),
    "between two days ago": (
        {"table": "contact", "within": "12 months", "begun_at_least": "1 month"},
        lambda person, records, day: any(
            oracle.back(day, 12) < r["event_date"] <= oracle.back(day, 1) for r in oracle.valid(records, "contact")
        ),
    ),
    "an empty value never meets a condition": (
        {"table": "appointment", "where": {"reason": ["illness", "capacity"]}},
        lambda person, records, day: any(
            r["event_date"] <= day and r["reason"] in ("illness", "capacity")
            for r in oracle.valid(records, "appointment")
        ),
    ),
    "an empty value never fails one": (
        {"table": "appointment", "where_not": {"reason": ["pandemic", "need_ended", "capacity"]}},
        lambda person, records, day: any(
            r["event_date"] <= day and r["reason"] in (None, "illness") for r in oracle.valid(records, "appointment")
        ),
    ),
    "moved away and not": (
        {"all": [{"not": {"moved_away": True}}, {"not": {"died": True}}]},
        lambda person, records, day: (
            oracle.lives_here(records, day) and not (person["death_date"] is not None and person["death_date"] < day)
        ),
    ),
    "a value": (
        {"table": "measurement", "value": {"from": 75, "below": 90}},
        lambda person, records, day: any(
            r["event_date"] <= day and r["value"] is not None and 75 <= r["value"] < 90
            for r in oracle.valid(records, "measurement")
        ),
    ),
    "the latest of several, whatever came long ago": (
        {"table": "contact", "latest": True, "within": "24 months"},
        lambda person, records, day: bool(within(records, "contact", day, 24)),
    ),
    "no other row before": (
        {"table": "contact", "without_before": "90 days", "within": "12 months"},
        lambda person, records, day: any(
            not any(
                r["event_date"] - timedelta(days=90) < other["event_date"] < r["event_date"]
                for other in oracle.valid(records, "contact")
            )
            for r in within(records, "contact", day, 12)
        ),
    ),
    "followed by either of two, by the date": (
        {
            "table": "diagnosis",
            "within": "24 months",
            "followed_by": {
                "from": "0 days",
                "to": "2 months",
                "any": [{"table": "contact", "where": {"channel": "visit"}}, {"table": "medication"}],
            },
        },
        lambda person, records, day: any(
            d["event_date"] <= r["event_date"] <= min(day, oracle.back(d["event_date"], -2))
            for d in within(records, "diagnosis", day, 24)
            for table in ("contact", "medication")
            for r in oracle.valid(records, table)
            if table == "medication" or r["channel"] == "visit"
        ),
    ),
    "not followed": (
        {
            "table": "diagnosis",
            "begun_at_least": "30 days",
            "not_followed_by": {"from": "1 day", "to": "30 days", "any": [{"table": "contact"}]},
        },
        lambda person, records, day: any(
            d["event_date"] <= day - timedelta(days=30)
            and not any(1 <= (r["event_date"] - d["event_date"]).days <= 30 for r in oracle.valid(records, "contact"))
            for d in oracle.valid(records, "diagnosis")
        ),
    ),
    "a total": (
        {"table": "medication", "within": "180 days", "total": {"days_supplied": 200}},
        lambda person, records, day: (
            sum(
                r["days_supplied"] or 0
                for r in oracle.valid(records, "medication")
                if day - timedelta(days=180) < r["event_date"] <= day
            )
            >= 200
        ),
    ),
    "a season within a year": (
        {"table": "contact", "in_season": {"from": "02-01", "to": "06-30"}},
        lambda person, records, day: any(
            date(year, 2, 1) <= r["event_date"] <= min(day, date(year, 6, 30))
            for year in [day.year if day >= date(day.year, 2, 1) else day.year - 1]
            for r in oracle.valid(records, "contact")
        ),
    ),
    "an age from and to": (
        {"age_years": {"from": 45, "to": 80}},
        lambda person, records, day: 45 <= oracle.age_years(person, day) <= 80,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_clause_means_what_it_says(name: str, tmp_path: Path) -> None:
    clause, expected = CASES[name]
    rows = population(11, 200)
    statuses = evaluate(write_lake(tmp_path, rows, parts=3), [indicator(clause)], AS_OFS, [0], load_areas())
    holds = set()
    everybody = by_person(rows)
    for as_of in AS_OFS:
        found = statuses_at(statuses, "diabetes_hba1c_missing", as_of, for_outreach=False)["status"]
        for person, records in zip(rows["person"], everybody, strict=True):
            if oracle.is_counted(person, records, as_of):
                holds.add(expected(person, records, as_of))
                word = "closed" if expected(person, records, as_of) else "open"
                assert found[person["person_number"]] == word, (name, as_of, person, records)
    assert holds == {True, False}


def test_days_before_1970_are_days_like_others(tmp_path: Path) -> None:
    reading = {"person_number": 0, "code_system": "loinc", "code": "8480-6"}
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1930, 1, 1)}],
        "measurement": [{**reading, "event_date": date(1969, 12, 31)}, {**reading, "event_date": date(1970, 1, 1)}],
    }
    clause = {"table": "measurement", "at_least": 2, "distinct": "event_date"}
    statuses = evaluate(write_lake(tmp_path, rows), [indicator(clause)], AS_OFS[:1], [0], load_areas())
    assert statuses_at(statuses, "diabetes_hba1c_missing", AS_OFS[0], for_outreach=False)["status"].to_list() == [
        "closed"
    ]


def test_two_windows_on_the_same_rows_read_them_once(tmp_path: Path) -> None:
    files = Opened(write_lake(tmp_path, population(9, 20)))
    closed = INDICATORS["diabetes_hba1c_missing"].closed
    assert isinstance(closed, Events)
    longer = replace(
        INDICATORS["diabetes_hba1c_missing"],
        id="no_such_indicator",
        closed=replace(closed, within=Period(24, "months")),
    )
    evaluate(files, [INDICATORS["diabetes_hba1c_missing"], longer], AS_OFS, [0], load_areas())
    assert files.tables.count("measurement") == 1


def test_what_one_indicator_asks_of_the_old_another_may_ask_of_everybody(tmp_path: Path) -> None:
    """A leaf is computed for the ages that its indicators can reach, all of them together."""
    medicine = {"person_number": 0, "code_system": "atc", "event_date": AS_OFS[0]}
    rows = {
        "person": [{"person_number": 0, "birth_date": date(1990, 1, 1)}],
        "medication": [{**medicine, "code": f"C{number:02d}"} for number in range(10)],
    }
    files = write_lake(tmp_path, rows)
    of_all = indicator({"table": "medication", "within": "12 months", "at_least": 10, "distinct": "code"})
    assert of_all.closed in INDICATORS["frail_no_contact"].leaves
    for both in ([of_all, INDICATORS["frail_no_contact"]], [INDICATORS["frail_no_contact"], of_all]):
        statuses = evaluate(files, both, AS_OFS[:1], [0], load_areas())
        assert statuses_at(statuses, "diabetes_hba1c_missing", AS_OFS[0], for_outreach=False)["status"].to_list() == [
            "closed"
        ]


@pytest.mark.parametrize(
    ("clause", "reach"),
    [
        ({"died": True}, (0, None)),
        ({"age_years": {"from": 16}}, (192, None)),
        ({"age_months": {"from": 24, "to": 35}}, (24, 36)),
        ({"all": [{"age_years": {"from": 16, "to": 80}}, {"age_years": {"to": 40}}]}, (192, 492)),
        ({"any": [{"age_years": {"from": 16, "to": 17}}, {"age_years": {"from": 75}}]}, (192, None)),
        ({"any": [{"age_years": {"from": 16}}, {"died": True}]}, (0, None)),
        ({"any": [{"age_years": {"from": 2, "to": 3}}, {"age_years": {"from": 5, "to": 6}}]}, (24, 84)),
        ({"not": {"age_years": {"from": 16}}}, (0, None)),
    ],
)
def test_the_ages_that_a_clause_can_reach(clause: dict[str, Any], reach: tuple[int, int | None]) -> None:
    assert age_reach(parse_clause(clause, PLACE)) == reach


@pytest.mark.parametrize("where", [("is_rebooked", ("true",)), ("is_booked_again", (True,))])
def test_a_select_is_asked_for_columns_and_values_that_it_has(where: tuple[str, tuple[object, ...]]) -> None:
    sequence = Selected("no_show", (where,))
    asked = replace(INDICATORS["no_show_not_rebooked"], population=sequence, closed=sequence)
    with pytest.raises(UsageRefused, match="no such column or values"):
        evaluate({}, [asked], [date(2023, 6, 30)], (0,), load_areas())
