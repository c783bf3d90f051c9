"""A date that is out already: whatever is published of it later is one system with what is public."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from flows.settings import Layout
from tests.flows.conftest import AS_OF, Caregap

Counts = Callable[[pl.DataFrame], pl.DataFrame]
pytestmark = pytest.mark.usefixtures("stewards")
INDICATOR = "diabetes_hba1c_missing"


def counts_of_somebody(data: Path, change: Counts = lambda counts: counts) -> None:
    """Let the counts of a data folder be those of a real city, changed."""
    folder = Layout(data).counts / AS_OF
    about = json.loads((folder / "counts.json").read_text())
    (folder / "counts.json").write_text(json.dumps(about | {"generated": False}))
    change(pl.read_parquet(folder / "counts.parquet")).write_parquet(folder / "counts.parquet")


def one_person_more(counts: pl.DataFrame) -> pl.DataFrame:
    """One more gap, of somebody whose gap was closed, in the first cell that has both."""
    rows = counts.with_row_index("row").filter(pl.col("indicator") == INDICATOR, pl.col("closed") > 0)
    found = pl.int_range(pl.len()) == rows.sort("open", "row")["row"][0]
    return counts.with_columns(
        open=pl.col("open") + found.cast(pl.Int64), closed=pl.col("closed") - found.cast(pl.Int64)
    )


def released(caregap: Caregap, data: Path, number: int) -> Path:
    done = caregap("release", "--as-of", AS_OF, data=data)
    assert done.code == 0, done.err
    approved = caregap("approve", f"{AS_OF}-{number}", "--as", "Data Steward", "--reason", "checked", data=data)
    assert approved.code == 0, approved.err
    return Layout(data).published / f"{AS_OF}-{number}"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda counts: counts, id="same counts", marks=pytest.mark.slow),
        pytest.param(one_person_more, id="one person changed"),
    ],
)
def test_two_releases_of_a_date_tell_no_more_than_the_guarantee_allows(
    data: Path, caregap: Caregap, change: Counts
) -> None:
    counts_of_somebody(data)
    first = released(caregap, data, 2)
    counts_of_somebody(data, change)
    second = released(caregap, data, 3)
    certificate = json.loads((second / "certificate.json").read_text())
    assert certificate["earlier_releases"] == 1
    attack = caregap("attack", first, second, data=data)
    assert attack.code == 0, attack.out + attack.err
    tables = [pl.read_csv(folder / "table.csv", infer_schema=False) for folder in (first, second)]
    other = [table.filter(pl.col("indicator") != INDICATOR) for table in tables]
    assert other[0].equals(other[1])
    assert tables[0].equals(tables[1]) == (change is not one_person_more)


@pytest.mark.slow
def test_a_release_that_does_not_know_of_another_of_the_date_is_not_published(data: Path, caregap: Caregap) -> None:
    counts_of_somebody(data)
    assert caregap("release", "--as-of", AS_OF, data=data).code == 0
    counts_of_somebody(data, one_person_more)
    released(caregap, data, 3)
    late = caregap("approve", f"{AS_OF}-2", "--as", "Data Steward", "--reason", "checked", data=data)
    assert late.code == 13
    assert "published since" in late.err
    assert not (Layout(data).published / f"{AS_OF}-2").exists()


@pytest.mark.slow
def test_a_release_that_was_remembered_and_not_yet_published_is_published_when_it_is_repeated(
    data: Path, caregap: Caregap, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.room.acts

    counts_of_somebody(data)
    assert caregap("release", "--as-of", AS_OF, data=data).code == 0
    words = ("approve", f"{AS_OF}-2", "--as", "Data Steward", "--reason", "checked")
    with monkeypatch.context() as broken:
        broken.setattr(flows.room.acts, "publish", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        assert caregap(*words, data=data).code == 1
    assert caregap(*words, data=data).code == 0
    assert (Layout(data).published / f"{AS_OF}-2").exists()
    assert len([path for path in Layout(data).ledger.iterdir() if f"{AS_OF}-2" in path.name]) == 1


def test_decisions_that_are_not_those_of_the_table_are_not_remembered(data: Path, caregap: Caregap) -> None:
    """The ledger is what later releases are protected with: it must not hold another table than the public one."""
    counts_of_somebody(data)
    assert caregap("release", "--as-of", AS_OF, data=data).code == 0
    path = Layout(data).candidates / f"{AS_OF}-2" / "confidential" / "decisions.parquet"
    pl.read_parquet(path).with_columns(pl.col("value") + 1).write_parquet(path)
    done = caregap("approve", f"{AS_OF}-2", "--as", "Data Steward", "--reason", "checked", data=data)
    assert done.code == 13
    assert "decisions" in done.err
    assert not (Layout(data).published / f"{AS_OF}-2").exists()


@pytest.mark.slow
def test_each_load_of_generated_data_is_a_city_of_its_own(data: Path, caregap: Caregap) -> None:
    layout = Layout(data)
    about_file = layout.counts / AS_OF / "counts.json"
    about = json.loads(about_file.read_text())
    about_file.write_text(json.dumps(about | {"load": "another"}))
    words = ("release", "--as-of", AS_OF, "--publish-generated")
    assert caregap(*words, data=data).code == 0
    about_file.write_text(json.dumps(about))
    assert caregap(*words, data=data).code == 0
    earlier = [
        json.loads((layout.published / f"{AS_OF}-{number}" / "certificate.json").read_text())["earlier_releases"]
        for number in (1, 2, 3)
    ]
    assert earlier == [0, 0, 1]


@pytest.mark.slow
def test_month_ends_that_were_never_released_come_along_and_others_stay_as_they_are(
    data: Path, caregap: Caregap
) -> None:
    assert caregap("release", "--as-of", AS_OF, "--months", 2, data=data).code == 2
    assert caregap("analyse", "--as-of", AS_OF, "--months", 3, data=data).code == 0
    for months in (2, 3):
        done = caregap("release", "--as-of", AS_OF, "--months", months, "--publish-generated", data=data)
        assert done.code == 0, done.err
    folders = [Layout(data).published / f"{AS_OF}-{number}" for number in (1, 2, 3)]
    dates = [set(pl.read_parquet(folder / "table.parquet")["as_of"].cast(pl.String)) for folder in folders]
    assert dates == [{AS_OF}, {"2026-09-30", AS_OF}, {"2026-08-31", AS_OF}]
    attack = caregap("attack", *folders, data=data)
    assert attack.code == 0, attack.out + attack.err


@pytest.mark.slow
def test_the_change_over_a_year_is_shown_again_where_the_date_is_out_already(data: Path, caregap: Caregap) -> None:
    """Earlier dates have areas alone; the second release tells the year before as the first one did."""
    assert caregap("analyse", "--as-of", AS_OF, "--months", 13, data=data).code == 0
    words = ("release", "--as-of", AS_OF, "--months", 13, "--every", 3, "--publish-generated")
    for _ in range(2):
        done = caregap(*words, data=data)
        assert done.code == 0, done.err
    folders = [Layout(data).published / f"{AS_OF}-{number}" for number in (2, 3)]
    tables = [
        pl.read_parquet(folder / "table.parquet").with_columns(pl.col("as_of").cast(pl.String)) for folder in folders
    ]
    dates = [set(table["as_of"]) for table in tables]
    assert dates == [{"2025-10-31", "2026-01-31", "2026-04-30", "2026-07-31", AS_OF}, {"2025-10-31", AS_OF}]
    earlier = [table.filter(pl.col("as_of") == "2025-10-31") for table in tables]
    assert earlier[0].equals(earlier[1])
    assert set(earlier[0]["sex"]) | set(earlier[0]["age_band"]) == {"*"}
    derived = [pl.read_csv(folder / "derived.csv", infer_schema=False) for folder in folders]
    changed = [each.filter(pl.col("kind") == "change", pl.col("status") == "published") for each in derived]
    assert changed[0].height > 0
    assert changed[0].equals(changed[1])
    assert set(changed[0]["since"]) == {"2025-10-31"}
    for folder in folders:
        pages = (folder / "en" / "indicators").glob("*.html")
        assert any("percentage points" in page.read_text("utf-8") for page in pages)
    attack = caregap("attack", *folders, data=data)
    assert attack.code == 0, attack.out + attack.err
