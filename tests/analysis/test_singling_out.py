from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from schemas.codelists import CodeList, load_codelists
from schemas.errors import PolicyRefused
from schemas.policy import SinglingOut
from tests.analysis.lakes import write_lake
from tests.analysis.populations import of_person, population
from transforms.analysis.singling_out import FURTHER, KNOWN, check_singling_out, shares, singling_out

DAY = date(2022, 6, 30)


def known_of(person: dict[str, Any], records: dict[str, list[Any]]) -> tuple[Any, ...]:
    valid = {name: [row for row in rows if not row.get("is_retracted")] for name, rows in records.items()}
    homes = valid["residence"]
    here = [h for h in homes if (h["from_date"] or DAY) <= DAY <= (h["to_date"] or DAY)]
    latest = max(((h["from_date"] or date.min, h["area_code"] or "unknown") for h in here), default=(None, None))[1]
    death = person["death_date"]
    lists = {
        name
        for name, codelist in load_codelists().items()
        for row in valid["diagnosis"]
        if row["event_date"] <= DAY and holds(codelist, row)
    }
    return (
        (person["birth_date"], person["sex"] or "unknown", latest or "unknown"),
        (death.year, death.month) if death and death <= DAY else None,
        len(homes) > 1,
        tuple(sorted(lists)),
    )


def holds(codelist: CodeList, row: dict[str, Any]) -> bool:
    codes = codelist.codes.get(row["code_system"], ())
    return row["code"] in codes if row["code_system"] == "snomed" else any(row["code"].startswith(c) for c in codes)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_a_plain_count(seed: int, tmp_path: Path) -> None:
    rows = population(seed, 120)
    for person in rows["person"]:
        person["birth_date"] = date(person["birth_date"].year // 20 * 20, 1, 1)
    found = singling_out(write_lake(tmp_path, rows), DAY, 5)
    of = [known_of(person, of_person(rows, person["person_number"])) for person in rows["person"]]
    assert [row["attributes"] for row in found] == [
        [*KNOWN], [*KNOWN, FURTHER[2]], [*KNOWN, FURTHER[1]], [*KNOWN, FURTHER[0]], [*KNOWN, *FURTHER]
    ]  # fmt: skip
    for row, columns in zip(found, ((0,), (0, 3), (0, 2), (0, 1), (0, 1, 2, 3)), strict=True):
        sizes = Counter(tuple(person[column] for column in columns) for person in of)
        small = sum(size for size in sizes.values() if size < 5)
        assert (row["persons"], row["groups"]) == (120, len(sizes))
        assert row["unique_persons"] == sum(size == 1 for size in sizes.values())
        assert (row["persons_in_small_groups"], row["share_in_small_groups"]) == (small, round(small / 120, 4))


def twins(count: int) -> dict[str, list[dict[str, Any]]]:
    """So many persons alike, and one who is not."""
    rows = [{"person_number": n, "birth_date": date(1950, 1, 1), "sex": "male"} for n in range(count)]
    return {"person": [*rows, {"person_number": count, "birth_date": date(1951, 1, 1), "sex": "male"}]}


@pytest.mark.parametrize(("alike", "small"), [(4, 5), (5, 1), (6, 1)])
def test_a_group_of_the_size_named_is_not_small(alike: int, small: int, tmp_path: Path) -> None:
    known = singling_out(write_lake(tmp_path, twins(alike)), DAY, 5)[0]
    assert (known["persons_in_small_groups"], known["unique_persons"]) == (small, 1)


@pytest.mark.parametrize(
    ("persons", "share", "generated", "stops"),
    [(1000, 0.51, False, True), (1000, 0.5, False, False), (999, 1.0, False, False), (1000, 1.0, True, False)],
)
def test_a_large_source_of_real_persons_stops_above_the_limit(
    persons: int, share: float, generated: bool, stops: bool
) -> None:
    report = [{"persons": persons, "share_in_small_groups": share, "persons_in_small_groups": 1}]
    terms = SinglingOut(group_size=5, limit=0.5, from_persons=1000)
    if not stops:
        check_singling_out(report, terms, generated=generated)
        return
    with pytest.raises(PolicyRefused, match="too many persons"):
        check_singling_out(report, terms, generated=generated)


def test_what_goes_into_a_manifest_holds_no_number_of_persons(tmp_path: Path) -> None:
    found = shares(singling_out(write_lake(tmp_path, twins(9)), DAY, 5))
    assert {name for row in found for name in row} == {"attributes", "share_unique", "share_in_small_groups"}


def test_nobody_stands_out_in_an_empty_lake() -> None:
    report = singling_out({}, DAY, 5)
    assert report == []
    check_singling_out(report, SinglingOut(5, 0.5, 0), generated=False)
