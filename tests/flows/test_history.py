"""What a release tells of earlier dates: which cells it takes from the counts, and which from what is out already."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows.history import cells_a_year_before, cells_of
from schemas.areas import load_areas
from transforms.release.ledger import Record

AS_OF, BEFORE = date(2026, 10, 31), date(2025, 10, 31)
COUNTS = pl.DataFrame(
    [
        (day, "i", area, sex, "18-44", 10 * place, place, 9 * place)
        for day in (BEFORE, AS_OF)
        for place, (area, sex) in enumerate([("101", "female"), ("101", "male"), ("102", "male")], 1)
    ],
    schema=["as_of", "indicator", "area_code", "sex", "age_band", "eligible", "open", "closed"],
    orient="row",
)


def record(release_id: str, gap: int, indicator: str = "i") -> Record:
    """What the ledger has of a release of the year before: one district, hidden or not."""
    cells = [
        (BEFORE.isoformat(), indicator, major, district, sex, "*", measure, value, "suppressed")
        for major, district, sex in (("1", "101", "*"), ("1", "*", "*"), ("1", "101", "male"))
        for measure, value in (("eligible", 50), ("gap", gap), ("closed", 50 - gap))
    ]
    names = ["as_of", "indicator", "major", "district", "sex", "age_band", "measure", "value", "status"]
    return Record(release_id, "city", {}, pl.DataFrame(cells, schema=names, orient="row"))


def publish(folder: Path, release_id: str, versions: dict[str, int], **about: Any) -> None:
    inputs = {"load": "load", "indicator_versions": versions}
    manifest: dict[str, Any] = {"release_id": release_id, "built_by": "somebody", "generated": False, "sha256": {}}
    manifest |= {"as_of": BEFORE.isoformat(), "created": "2025-11-03", "inputs": inputs} | about
    (folder / release_id).mkdir(parents=True)
    (folder / release_id / "manifest.json").write_text(json.dumps(manifest))


def test_earlier_dates_come_by_area_alone_and_add_up_to_the_same_people() -> None:
    cells = cells_of(COUNTS, load_areas(), AS_OF)
    assert cells.filter(pl.col("as_of") == "2026-10-31").height == 3
    earlier = cells.filter(pl.col("as_of") == "2025-10-31")
    names = ("district", "sex", "age_band", "eligible", "gap")
    assert earlier.select(names).rows() == [("101", "*", "*", 30, 3), ("102", "*", "*", 30, 3)]


def test_the_year_before_is_told_as_the_ledger_has_it(tmp_path: Path) -> None:
    publish(tmp_path, "one", {"i": 1})
    found = cells_a_year_before(tmp_path, [record("one", 7)], "city", {"i": 1}, AS_OF)
    assert found.columns == cells_of(COUNTS, load_areas(), AS_OF).columns
    assert found.rows() == [("2025-10-31", "i", "1", "101", "*", "*", 50, 7)]


def test_of_two_releases_of_the_year_before_the_later_one_counts(tmp_path: Path) -> None:
    publish(tmp_path, "one", {"i": 1})
    publish(tmp_path, "two", {"i": 1}, created="2025-12-03")
    records = [record("two", 8), record("one", 7)]
    assert cells_a_year_before(tmp_path, records, "city", {"i": 1}, AS_OF)["gap"].to_list() == [8]


def test_nothing_is_taken_of_another_definition_population_or_date_or_of_what_is_not_out(tmp_path: Path) -> None:
    publish(tmp_path, "one", {"i": 1})
    records = [record("one", 7)]

    def found(of: str = "city", versions: dict[str, int] | None = None, day: date = AS_OF) -> bool:
        return cells_a_year_before(tmp_path, records, of, versions or {"i": 1}, day).height > 0

    assert found()
    assert not found(versions={"i": 2})
    assert not found(of="generated load")
    assert not found(day=date(2026, 9, 30))
    assert cells_a_year_before(tmp_path, [record("never published", 7)], "city", {"i": 1}, AS_OF).is_empty()
