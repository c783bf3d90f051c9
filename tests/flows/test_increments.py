"""Nightly increments, as an analyst schedules them: the published table is that of a full load, to the byte."""

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import cast

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from flows.settings import Layout
from flows.storage import lake_files, read_snapshot
from tests.flows.conftest import AS_OF, Caregap, start
from tests.flows.test_crashes import DRIVER, readable_state
from tests.flows.test_restrictions import IDS, areas_in
from tests.flows.test_restrictions import write_feed as write_people
from transforms.sources.feed import FeedSource

pytestmark = pytest.mark.slow
TERMS = 'format = "caregap-feed/1"\nidentifier = "hetu"\ngenerated = true\n'
NIGHTS = 2


def deltas_of(feed: Path, folder: Path) -> tuple[Path, list[Path]]:
    """A feed as it would have been some nights ago, and the nights since: late, corrected, retracted and new rows.

    What was recorded in the last nights had not come; of the rest, some rows had another value, a later day of
    recording or had not been taken back yet.
    """
    last = date.fromisoformat(AS_OF)
    nights = [last - timedelta(days=30 * (NIGHTS - number)) for number in range(NIGHTS)]
    parts: list[dict[str, list[pl.DataFrame]]] = [{} for _ in range(NIGHTS + 1)]
    for number, (name, rows) in enumerate(FeedSource(feed).batches()):
        if "recorded_date" not in rows.columns:  # links between codes: known from the start
            parts[0].setdefault(name, []).append(rows)
            continue
        recorded = pl.col("recorded_date").fill_null(date(1900, 1, 1))
        for night, part in enumerate(parts):
            since = recorded > nights[night - 1] if night else pl.lit(True)
            until = recorded <= nights[night] if night < NIGHTS else pl.lit(True)
            part.setdefault(name, []).append(rows.filter(since & until))
        if "record_id" not in rows.columns or name in ("residence", "restriction"):
            continue
        early = parts[0][name][-1]
        early = early.filter(~pl.col("is_retracted").fill_null(False), pl.col("record_id").is_unique())
        corrected = early.sample(n=min(20, early.height), seed=number)
        moved = corrected.with_columns(event_date=pl.col("event_date").dt.offset_by("-40d"), recorded_date=nights[0])
        retracted = early.sample(n=min(20, early.height), seed=number + 1).with_columns(
            is_retracted=pl.lit(True), recorded_date=pl.lit(nights[-1])
        )
        parts[1][name].append(moved)
        parts[2][name].append(retracted)
    feeds = [write(folder / f"night-{number}", part) for number, part in enumerate(parts)]
    for made in feeds:
        (made / "areas.csv").write_bytes((feed / "areas.csv").read_bytes())
    return feeds[0], feeds[1:]


def write(folder: Path, tables: dict[str, list[pl.DataFrame]]) -> Path:
    for name, frames in tables.items():
        rows = pl.concat(frames)
        if rows.height:
            (folder / name).mkdir(parents=True, exist_ok=True)
            rows.write_parquet(folder / name / "part-0000.parquet")
    folder.mkdir(exist_ok=True)
    (folder / "feed.toml").write_text(TERMS)
    return folder


def joined(feeds: list[Path], folder: Path) -> Path:
    """One feed with all rows of several, in the order in which they came."""
    for number, feed in enumerate(feeds):
        for path in feed.glob("*/*.parquet"):
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / path.parent.name / f"part-{number:04d}.parquet").write_bytes(path.read_bytes())
    (folder / "feed.toml").write_text(TERMS)
    (folder / "areas.csv").write_bytes((feeds[0] / "areas.csv").read_bytes())
    return folder


def ingest(caregap: Caregap, data: Path, feed: Path, *more: str) -> str:
    done = caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, *more, data=data)
    assert done.code == 0, done.err
    return done.out


def publish(caregap: Caregap, data: Path) -> Path:
    for command in (["analyse"], ["release", "--publish-generated"]):
        done = caregap(*command, "--as-of", AS_OF, data=data)
        assert done.code == 0, done.err
    return data / "release" / "published" / "latest"


def contents(data: Path) -> dict[str, pl.DataFrame]:
    """The rows of the lake, each with a name of its person's that does not depend on number and key."""
    layout = Layout(data)
    files = {name: paths for name, paths in lake_files(layout, read_snapshot(layout)).items() if paths}
    frames = {name: pl.concat([pl.read_parquet(path) for path in paths]) for name, paths in files.items()}
    people = frames["person"].select("person_number", "pseudonym")
    found = {}
    for name, rows in frames.items():
        if name not in ("area", "person"):
            rows = rows.join(people, on="person_number", validate="m:1")
        columns = sorted(set(rows.columns) - {"person_number"})
        found[name] = rows.select(columns).sort(columns)
    return found


def test_increments_leave_lake_counts_and_published_table_as_a_full_load(
    feed: Path, tmp_path: Path, caregap: Caregap
) -> None:
    merged = tmp_path / "merged"
    first, nights = deltas_of(feed, tmp_path)
    ingest(caregap, merged, first)
    keys = (merged / "controller" / "keys").rglob("*")
    whole = tmp_path / "whole"
    for path in keys:  # under the same keys, so that the rows can be compared with their pseudonyms
        target = whole / path.relative_to(merged)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
    for night in nights:
        said = ingest(caregap, merged, night, "--increment")
        assert "replaces it" in said
    ingest(caregap, whole, joined([first, *nights], tmp_path / "all"))
    one, other = contents(merged), contents(whole)
    assert set(one) == set(other)
    for name in one:
        assert_frame_equal(one[name], other[name])
    published = [publish(caregap, data) for data in (merged, whole)]
    counts = [pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet") for data in (merged, whole)]
    assert counts[0].equals(counts[1])
    for name in ("table.csv", "table.parquet"):
        assert (published[0] / name).read_bytes() == (published[1] / name).read_bytes(), name
    versions = DeltaTable(str(merged / "platform" / "lake" / "contact")).history()
    assert len(versions) == 2 + NIGHTS
    assert caregap("audit", "verify", data=merged).code == 0


def test_a_ban_in_an_increment_ends_the_time_travel_of_residences(tmp_path: Path, caregap: Caregap) -> None:
    data = tmp_path / "data"
    ingest(caregap, data, write_people(tmp_path / "people", None))
    folder = data / "platform" / "lake" / "residence"
    assert len(areas_in(list(folder.glob("*.parquet")))) == 1
    old = DeltaTable(str(folder)).version()
    ban = pl.DataFrame({"person_id": IDS[:1], "kind": "security_ban", "event_date": date(2026, 10, 30)})
    ingest(caregap, data, write(tmp_path / "ban", {"restriction": [ban]}), "--increment")
    assert areas_in(list(folder.glob("*.parquet"))) == []
    with pytest.raises(Exception, match=r"(?i)no files|not found|invalid"):
        DeltaTable(str(folder), version=old)
    ended = ban.with_columns(end_date=pl.lit(date(2026, 10, 30)))
    ingest(caregap, data, write(tmp_path / "ended", {"restriction": [ended]}), "--increment")


def test_an_objection_in_an_increment_takes_the_person_out_of_the_counts(tmp_path: Path, caregap: Caregap) -> None:
    data = tmp_path / "data"
    ingest(caregap, data, write_people(tmp_path / "people", None))
    objection = pl.DataFrame({"person_id": IDS[:1], "kind": "objection", "event_date": date(2026, 10, 30)})
    before = diabetics(caregap, data)
    ingest(caregap, data, write(tmp_path / "objection", {"restriction": [objection]}), "--increment")
    assert diabetics(caregap, data) == before - 1


def diabetics(caregap: Caregap, data: Path) -> int:
    assert caregap("analyse", "--as-of", AS_OF, data=data).code == 0
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    return int(counts.filter(pl.col("indicator") == "diabetes_hba1c_missing").select(pl.col("open").sum()).item())


KILLS = {
    "while merging": ("transforms.controller.increment", "write_run", 1),
    "at the boundary": ("flows.controller", "check_boundary", 1),
    "between two tables": ("flows.controller", "commit", 3),
    "before the snapshot": ("flows.controller", "write_snapshot", 1),
}


@pytest.mark.parametrize("when", KILLS)
def test_a_killed_increment_leaves_the_last_good_lake_and_the_next_succeeds(
    when: str, tmp_path: Path, prefect_api: str, caregap: Caregap
) -> None:
    data = tmp_path / "data"
    ingest(caregap, data, write_people(tmp_path / "people", None))
    ban = pl.DataFrame({"person_id": IDS[:1], "kind": "contact_ban", "event_date": date(2026, 10, 30)})
    delta = write(tmp_path / "delta", {"restriction": [ban]})
    module, name, nth = KILLS[when]
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.format(module=module, name=name, nth=nth))
    before = readable_state(data)
    load = ("ingest", "--source", f"feed:{delta}", "--as-of", AS_OF, "--increment")
    killed = start([str(driver)], *load, data=data, PREFECT_API_URL=prefect_api, PYTHONPATH=".")
    assert killed.code == -signal.SIGKILL, killed.err
    assert readable_state(data) == before
    ingest(caregap, data, delta, "--increment")
    after = readable_state(data)[1]
    assert after["restriction"] == 1
    assert {**after, "restriction": 0} == {**before[1], "restriction": 0}
    assert len(list((data / "controller" / "memory").iterdir())) == 1
    assert not list((data / "controller" / "staging").iterdir())


def test_what_cannot_be_merged_is_refused_and_changes_nothing(tmp_path: Path, caregap: Caregap) -> None:
    data, people = tmp_path / "data", write_people(tmp_path / "people", None)
    load = ("ingest", "--source", f"feed:{people}", "--as-of")
    empty = caregap(*load, AS_OF, "--increment", data=data)
    assert empty.code == 10
    assert "could be merged into" in empty.err
    ingest(caregap, data, people)
    before = readable_state(data)
    earlier = caregap(*load, "2026-09-30", "--increment", data=data)
    assert earlier.code == 2
    other = caregap("ingest", "--source", "synthetic:10", "--as-of", AS_OF, "--increment", data=data)
    assert other.code == 2
    areas = people.parent / "elsewhere"
    write(areas, {})
    (areas / "areas.csv").write_text("code,parent,level,name_fi,name_sv,name_en\nX,,city,X,X,X\n1,X,district,a,a,a\n")
    assert caregap("ingest", "--source", f"feed:{areas}", "--as-of", AS_OF, "--increment", data=data).code == 10
    assert caregap("keys", "rotate", "--reason", "yearly", data=data).code == 0
    rekeyed = caregap(*load, AS_OF, "--increment", data=data)
    assert rekeyed.code in (10, 16)
    assert "in full" in rekeyed.err
    assert readable_state(data)[1] == before[1]


def test_a_backfill_of_24_months_reads_each_file_as_often_as_one_date_does(
    data: Path, caregap: Caregap, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = str(data / "platform" / "lake")
    read: Counter[str] = Counter()

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def counted(source: object, *arguments: object, **named: object) -> object:
            paths = [source] if isinstance(source, str | Path) else list(cast("Sequence[str]", source))
            read.update(str(path) for path in paths if lake in str(path))
            return real(source, *arguments, **named)

        return counted

    for name in ("scan_parquet", "read_parquet"):
        monkeypatch.setattr(pl, name, counting(getattr(pl, name)))
    times = []
    for months in (1, 24):
        read.clear()
        assert caregap("analyse", "--as-of", AS_OF, "--months", months, data=data).code == 0
        times.append(dict(read))
    assert times[0]
    assert times[0] == times[1]
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    assert counts["as_of"].n_unique() == 24
