"""Bans, objections and restrictions, from the source to the published table."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from flows.settings import Layout
from flows.storage import lake_files, read_snapshot
from schemas.areas import load_areas
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from tests.controller.people import diagnoses, identity_code
from tests.flows.conftest import AS_OF, Caregap
from transforms.analysis.counts import statuses_at
from transforms.analysis.evaluation import evaluate

pytestmark = pytest.mark.slow
INDICATOR = "diabetes_hba1c_missing"
DAYS = [date.fromordinal(date(1965, 1, 1).toordinal() + 40 * number) for number in range(110)]
IDS = [identity_code(day, sign="-") for day in DAYS]
HOME = "101"


def write_feed(folder: Path, kind: str | None, **restriction: object) -> Path:
    """Women with diabetes: in one district 60 without a blood test and 30 with one, without a home 10 and 10.

    The first, of the district and without a test, is under a restriction of a kind.
    """
    people = pl.DataFrame({"person_id": IDS, "birth_date": DAYS, "sex": "female"})
    homes = pl.DataFrame(
        {
            "person_id": [*IDS, IDS[0]],
            "street_address": "Some street 1",
            "area_code": [*[HOME] * 90, *[None] * 20, "102"],
            "from_date": [date(2020, 1, 1)] * 110 + [date(2015, 1, 1)],
            "to_date": [None] * 110 + [date(2019, 12, 31)],
        }
    )
    tests = pl.DataFrame({"person_id": [*IDS[60:90], *IDS[100:]]}).with_columns(
        code_system=pl.lit("loinc"), code=pl.lit("4548-4"), event_date=pl.lit(date(2026, 5, 1))
    )
    tables = {"person": people, "residence": homes, "diagnosis": diagnoses(IDS), "measurement": tests}
    if kind:
        held = {"person_id": [IDS[0]], "kind": [kind], "event_date": [date(2026, 10, 1)], **restriction}
        tables["restriction"] = pl.DataFrame(held)
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        rows.write_parquet(folder / name / "part-0000.parquet")
    (folder / "feed.toml").write_text('format = "caregap-feed/1"\nidentifier = "hetu"\ngenerated = true\n')
    return folder


def load(caregap: Caregap, data: Path, feed: Path) -> None:
    done = caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data)
    assert done.code == 0, done.err


def publish(caregap: Caregap, data: Path) -> pl.DataFrame:
    """Count and publish what the lake holds; the counts before protection and the published table of the indicator."""
    for command in (["analyse"], ["release", "--publish-generated"]):
        done = caregap(*command, "--as-of", AS_OF, data=data)
        assert done.code == 0, done.err
    table = pl.read_csv(
        data / "release" / "published" / "latest" / "table.csv",
        schema_overrides={"value": pl.Int64, "major": pl.String, "district": pl.String},
    )
    return table.filter(pl.col("indicator") == INDICATOR, pl.col("measure") == "gap")


def open_gaps(data: Path) -> dict[str, int]:
    """Persons with an open gap by area, before protection."""
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    rows = counts.filter(pl.col("indicator") == INDICATOR, pl.col("open") > 0)
    return dict(rows.group_by("area_code").agg(pl.col("open").sum()).iter_rows())


def published(table: pl.DataFrame, district: str = "*") -> int:
    """A published number of open gaps, of both sexes and all ages."""
    above = "*" if district == "*" else pl.col("major")
    found = table.filter(pl.col("district") == district, pl.col("major") == above, sex="*", age_band="*")
    return int(found["value"].item())


def first_person(data: Path) -> bytes:
    """The pseudonym of the first person, told by the month of birth."""
    layout = Layout(data)
    files = lake_files(layout, read_snapshot(layout))
    people = pl.read_parquet(files["person"])
    return bytes(people.filter(pl.col("birth_date") == date(1965, 1, 1))["pseudonym"].item())


def areas_in(files: list[Path]) -> list[tuple[Path, str]]:
    """Areas that Parquet files hold for the first person, whose earlier home none of the others shared."""
    return [(path, area) for path in files for area in pl.read_parquet(path)["area_code"].drop_nulls() if area == "102"]


def test_a_security_ban_that_comes_later_takes_the_district_out_of_every_version(
    tmp_path: Path, caregap: Caregap
) -> None:
    data = tmp_path / "data"
    load(caregap, data, write_feed(tmp_path / "before", None))
    before = publish(caregap, data)
    assert open_gaps(data) == {HOME: 60, "unknown": 10}
    assert (published(before, HOME), published(before, "unknown"), published(before)) == (60, 10, 70)
    folder = data / "platform" / "lake" / "residence"
    old_files, old_version = set(folder.glob("*.parquet")), DeltaTable(str(folder)).version()
    assert len(areas_in(list(old_files))) == 1

    load(caregap, data, write_feed(tmp_path / "after", "security_ban"))
    after = publish(caregap, data)
    assert open_gaps(data) == {HOME: 59, "unknown": 11}
    assert (published(after, HOME), published(after, "unknown"), published(after)) == (59, 11, 70)

    left = [path for path in (data / "platform").rglob("*.parquet") if path.parent == folder]
    assert not old_files & set(left)
    assert areas_in(left) == []
    for version in range(old_version + 1):
        with pytest.raises(Exception, match=r"(?i)no files|not found|invalid"):
            DeltaTable(str(folder), version=version)

    layout = Layout(data)
    files = lake_files(layout, read_snapshot(layout))
    persons, homes = pl.read_parquet(files["person"]), pl.read_parquet(files["residence"])
    mine = homes.join(persons.filter(pl.col("pseudonym") == first_person(data)), on="person_number", how="semi")
    assert mine.height == 1
    assert mine.drop("person_number").null_count().row(0) == (1,) * (mine.width - 1)


def test_without_a_new_ban_earlier_versions_stay_readable(tmp_path: Path, caregap: Caregap) -> None:
    data = tmp_path / "data"
    for name in ("first", "second"):
        load(caregap, data, write_feed(tmp_path / name, "security_ban"))
    folder = str(data / "platform" / "lake" / "residence")
    versions = [version for version in range(DeltaTable(folder).version() + 1) if readable_rows(folder, version)]
    assert len(versions) >= 2


def readable_rows(folder: str, version: int) -> int:
    try:
        return pl.read_parquet(DeltaTable(folder, version=version).file_uris()).height
    except Exception:  # any way in which a version cannot be read
        return 0


def test_a_run_killed_before_it_could_forget_is_made_good_by_the_next(tmp_path: Path, caregap: Caregap) -> None:
    data = tmp_path / "data"
    load(caregap, data, write_feed(tmp_path / "before", None))
    folder = data / "platform" / "lake" / "residence"
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    load(caregap, data, write_feed(tmp_path / "after", "security_ban"))
    for path, content in kept.items():  # as a kill between the snapshot and the removal leaves it
        path.write_bytes(content)
    (data / "platform" / "lake" / ".forget-earlier-residences").touch()
    load(caregap, data, write_feed(tmp_path / "again", "security_ban"))
    assert areas_in(list(folder.glob("*.parquet"))) == []


@pytest.mark.parametrize("kind", ["objection", "processing_restriction"])
def test_an_objection_or_restriction_takes_the_person_out_of_the_published_counts(
    kind: str, tmp_path: Path, caregap: Caregap
) -> None:
    data = tmp_path / "data"
    load(caregap, data, write_feed(tmp_path / "before", None))
    assert published(publish(caregap, data), HOME) == 60
    load(caregap, data, write_feed(tmp_path / "after", kind))
    assert published(publish(caregap, data), HOME) == 59
    assert open_gaps(data) == {HOME: 59, "unknown": 10}
    assert caregap("analyse", "--as-of", AS_OF, "--months", 3, data=data).code == 0
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    months = counts.filter(pl.col("indicator") == INDICATOR).group_by("as_of").agg(pl.col("open").sum())
    assert set(months["open"]) == {69}


def test_an_objection_that_has_been_withdrawn_counts_again(tmp_path: Path, caregap: Caregap) -> None:
    data = tmp_path / "data"
    load(caregap, data, write_feed(tmp_path / "feed", "objection", end_date=[date(2026, 10, 30)]))
    assert published(publish(caregap, data), HOME) == 60


def test_a_contact_ban_keeps_out_of_outreach_and_not_out_of_the_counts(tmp_path: Path, caregap: Caregap) -> None:
    data = tmp_path / "data"
    load(caregap, data, write_feed(tmp_path / "feed", "contact_ban"))
    assert published(publish(caregap, data), HOME) == 60
    assert open_gaps(data) == {HOME: 60, "unknown": 10}
    layout, day = Layout(data), date.fromisoformat(AS_OF)
    files = lake_files(layout, read_snapshot(layout))
    files.pop("area")
    bands = load_policy().age_band_starts
    statuses = evaluate(files, [load_indicators()[INDICATOR]], [day], bands, load_areas())
    evidence = statuses_at(statuses, INDICATOR, day, for_outreach=False)
    outreach = statuses_at(statuses, INDICATOR, day, for_outreach=True)
    assert (evidence.height, outreach.height) == (110, 109)
    people = pl.read_parquet(files["person"])
    banned = people.filter(pl.col("pseudonym") == first_person(data))["person_number"].item()
    assert set(evidence["person_number"]) - set(outreach["person_number"]) == {banned}
    with pytest.raises(TypeError):
        statuses_at(statuses, INDICATOR, day)  # type: ignore[call-arg]
