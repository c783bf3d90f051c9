"""The whole way as a user goes it: from a feed to a published table, and what is true of it."""

import csv
import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.settings import Layout
from flows.storage import lake_files, read_snapshot
from tests.flows.conftest import AS_OF, ROOT, Caregap, start


def published(data: Path) -> Path:
    return data / "release" / "published" / "latest"


def table_of(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "table.csv", schema_overrides={"value": pl.Int64, "district": pl.String})


def test_the_run_leaves_pages_in_three_languages_and_the_data_behind_them(finished: Path) -> None:
    files = {path.relative_to(published(finished)).as_posix() for path in published(finished).rglob("*.*")}
    assert files >= {
        "index.html", "style.css", "table.csv", "table.parquet", "areas.csv", "certificate.json", "datapackage.json",
        "derived.csv", "manifest.json", "decisions.json", "downloads/table.px", "downloads/table.fi.xlsx",
    }  # fmt: skip
    named = {"index.html", "areas/index.html", "areas/101.html", "areas/1.html", "indicators/frail-no-contact.html"}
    named |= {f"about/{name}.html" for name in ("method", "secrecy", "data", "downloads", "accessibility")}
    assert files >= {f"{language}/{name}" for language in ("fi", "sv", "en") for name in named}
    pages = [path for path in files if path.endswith(".html") and not path.startswith("downloads/")]
    assert len(pages) == 1 + 3 * (7 + 20 + 7)
    assert all((published(finished) / page).stat().st_size < 150_000 for page in pages)


def test_every_rate_on_the_pages_follows_from_the_published_table(finished: Path) -> None:
    """The numbers of the front page and of every indicator, read off the pages and worked out from table.csv."""
    table = table_of(published(finished)).filter(pl.col("district") == "*", pl.col("major") == "*")
    city = table.filter(pl.col("sex") == "*", pl.col("age_band") == "*")
    seen = 0
    for indicator, cells in city.partition_by("indicator", as_dict=True).items():
        value = dict(cells.select("measure", "value").iter_rows())
        name = str(indicator[0]).replace("_", "-")
        page = (published(finished) / "en" / "indicators" / f"{name}.html").read_text("utf-8")
        front = (published(finished) / "en" / "index.html").read_text("utf-8")
        row = next(line for line in front.split("\n") if f'<tr role="row" id="{name}">' in line)
        if value["gap"] is None or not value["eligible"]:
            assert "%" not in row
            continue
        rate = f"{int(1000 * value['gap'] / value['eligible'] + 0.5 + 1e-9) / 10:.1f}%"
        assert f"<b>{rate}</b>" in row
        assert f"the rate is {rate} " in page
        assert f'<td role="cell">{value["gap"]:,}</td>' in row
        seen += 1
    assert seen > 5


def test_rows_in_are_rows_kept_and_quarantined_for_every_table(finished: Path) -> None:
    report = json.loads((finished / "platform" / "quality" / "load.json").read_text())
    kept = {}
    for table, tally in report["tallies"].items():
        assert tally["rows_in"] == tally["kept"] + sum(tally["quarantined"].values())
        kept[table] = tally["kept"]
    layout = Layout(finished)
    for table, files in lake_files(layout, read_snapshot(layout)).items():
        if table != "area":
            rows = sum(pl.read_parquet(file).height for file in files)
            assert rows == kept.get(table, 0), table


def test_quarantine_holds_every_reason_that_the_generator_planted(finished: Path, feed: Path) -> None:
    report = json.loads((finished / "platform" / "quality" / "load.json").read_text())
    found = {
        (table, reason): n for table, tally in report["tallies"].items() for reason, n in tally["quarantined"].items()
    }
    planted = pl.read_parquet(feed / "truth" / "dirt.parquet")
    assert planted.height > 10
    invalid = planted.filter(pl.col("kind") == "invalid_identifier")
    for table, count in invalid.select("table", "count").iter_rows():
        assert found[table].get("person_id: is not a valid identifier", 0) == count


def test_every_published_number_is_the_lakes_count_and_every_other_is_hidden(finished: Path) -> None:
    counts = pl.read_parquet(finished / "platform" / "counts" / AS_OF / "counts.parquet")
    areas = pl.read_csv(published(finished) / "areas.csv", infer_schema=False)
    above = dict(areas.select("code", "parent").iter_rows())
    cells = counts.with_columns(
        major=pl.col("area_code").replace({**above, "unknown": "unknown"}), district=pl.col("area_code")
    )
    seen = 0
    for row in table_of(published(finished)).iter_rows(named=True):
        mine = cells.filter(
            pl.col("indicator") == row["indicator"],
            *(pl.col(name) == row[name] for name in ("major", "district", "sex", "age_band") if row[name] != "*"),
        )
        measure = {"gap": "open", "closed": "closed", "eligible": "eligible"}[row["measure"]]
        if row["status"] == "published":
            assert row["value"] == mine[measure].sum()
            seen += 1
        else:
            assert row["status"] == "suppressed"
            assert row["value"] is None
        if seen > 1500:
            return


def test_no_small_count_is_published_and_the_attack_finds_none(finished: Path, caregap: Caregap) -> None:
    values = table_of(published(finished))["value"].drop_nulls()
    assert not ((values > 0) & (values < 5)).any()
    attack = caregap("attack", published(finished), data=finished)
    assert attack.code == 0, attack.err
    certificate = json.loads((published(finished) / "certificate.json").read_text())
    assert certificate["exactly_recoverable"] == 0


def test_a_printed_figure_over_a_hidden_count_stops_the_release(
    data: Path, caregap: Caregap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are attacked as they would be published, and not the table alone."""
    import flows.release

    given = flows.release.release_figures

    def careless(*arguments: object) -> pl.DataFrame:
        found = given(*arguments)  # type: ignore[arg-type]
        hidden = (pl.col("kind") == "rate") & (pl.col("status") == "suppressed")
        return found.with_columns(figure=pl.when(hidden).then(pl.lit("33.3")).otherwise("figure"))

    monkeypatch.setattr(flows.release, "release_figures", careless)
    before = sorted(Layout(data).candidates.iterdir())
    done = caregap("release", "--as-of", AS_OF, data=data)
    assert done.code == 13, done.err
    assert sorted(Layout(data).candidates.iterdir()) == before


def test_counts_are_printed_with_margins_that_add_up_and_the_access_is_logged(data: Path, caregap: Caregap) -> None:
    done = caregap(
        "counts", "--indicator", "diabetes_hba1c_missing", "--as-of", AS_OF, "--reason", "planning", data=data
    )
    assert done.code == 0, done.err
    rows = list(csv.DictReader(done.out.splitlines()))
    words = "indicator as_of area_code sex age_band eligible open closed declined excluded newcomer_eligible"
    assert list(rows[0])[:11] == words.split()
    assert {"excluded_died", "excluded_resident_under_12_months"} <= set(rows[0])
    city = next(row for row in rows if (row["area_code"], row["sex"], row["age_band"]) == ("*", "*", "*"))
    inner = [row for row in rows if "*" not in (row["sex"], row["age_band"]) and row["area_code"] not in "*12345678"]
    for measure in ("eligible", "open", "closed", "declined", "excluded"):
        assert int(city[measure]) == sum(int(row[measure]) for row in inner)
    log = [json.loads(line) for line in (data / "audit" / "log.jsonl").read_text().splitlines()]
    assert (log[-1]["action"], log[-1]["reason"]) == ("counts", "planning")


def test_planted_gaps_are_found(finished: Path, feed: Path, caregap: Caregap) -> None:
    """Who misses care, and whose care is recorded late, as the generator planned it, against the counts of the city."""
    truth = pl.read_parquet(feed / "truth" / "gaps.parquet").filter(pl.col("indicator") == "diabetes_hba1c_missing")
    sure_open = truth.filter("is_eligible", "is_open").height
    late = pl.read_parquet(feed / "truth" / "late.parquet").filter(table="measurement")
    unsure = truth.filter("is_eligible", ~pl.col("is_open")).join(late, on="person_id", how="semi").height
    counts = pl.read_parquet(finished / "platform" / "counts" / AS_OF / "counts.parquet")
    found = counts.filter(pl.col("indicator") == "diabetes_hba1c_missing")["open"].sum()
    assert sure_open > 5
    assert sure_open <= found <= sure_open + unsure


@pytest.mark.slow
def test_platform_commands_run_without_the_controllers_code(data: Path, tmp_path: Path) -> None:
    """Analysis and release work where neither key code nor readers exist, and load none of it."""
    for package in ("flows", "transforms", "schemas", "expectations"):
        shutil.copytree(ROOT / package, tmp_path / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "code" / "transforms" / "controller")
    shutil.rmtree(tmp_path / "code" / "transforms" / "sources")
    shutil.rmtree(data / "controller")
    driver = tmp_path / "code" / "driver.py"
    driver.write_text(
        "import sys; sys.path.insert(0, sys.path[0])\n"
        "from importlib.metadata import version\n"
        "from flows import cli\n"
        "assert cli.__file__.startswith(sys.path[0]), cli.__file__\n"
        "if __name__ == '__main__':\n"
        "    cli.main()\n"
    )
    before = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    for command in (["analyse", "--as-of", AS_OF], ["release", "--as-of", AS_OF]):
        done = start([str(driver)], *command, data=data, PYTHONPATH=str(tmp_path / "code"))
        assert done.code == 0, done.err
    assert pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet").equals(before)
    assert (data / "release" / "candidates" / f"{AS_OF}-2").is_dir()


@pytest.mark.slow
def test_a_source_that_may_be_somebodys_waits_for_a_steward(
    feed: Path, tmp_path: Path, caregap: Caregap, caregap_process: Caregap, stewards: dict[str, Path]
) -> None:
    here, caregap = caregap, caregap_process
    real = Path(shutil.copytree(feed, tmp_path / "real"))
    (real / "feed.toml").unlink()
    data = tmp_path / "data"
    run = ("run", "--source", f"feed:{real}", "--as-of", AS_OF)
    refused = caregap(*run, data=data)
    assert refused.code == 16
    assert "caregap keys create" in refused.err
    secret = {"CAREGAP_PASSPHRASE": "correct horse battery staple"}
    assert caregap("keys", "create", data=data, **secret).code == 0
    waiting = caregap(*run, data=data, **secret)
    assert waiting.code == 14, waiting.err
    assert f"caregap candidate show {AS_OF}-1" in waiting.err
    assert not list((data / "release" / "published").iterdir())
    assert here("approve", f"{AS_OF}-1", "--as", " ", "--reason", "checked", data=data).code == 2
    approved = here("approve", f"{AS_OF}-1", "--as", "Data Steward", "--reason", "checked", data=data)
    assert approved.code == 0, approved.err
    assert (published(data) / "index.html").exists()


@pytest.mark.parametrize("months", [1, 3])
def test_months_before_the_date_are_counted_too(data: Path, caregap: Caregap, months: int) -> None:
    from flows.unprotected import confidential_counts

    assert caregap("analyse", "--as-of", AS_OF, "--months", months, data=data).code == 0
    counts = pl.read_parquet(data / "platform" / "counts" / AS_OF / "counts.parquet")
    expected = [date(2026, 8, 31), date(2026, 9, 30), date(2026, 10, 31)][-months:]
    assert sorted(counts["as_of"].unique()) == expected
    words = ("--indicator", "diabetes_hba1c_missing", "--as-of", AS_OF, "--reason", "planning")
    shown = pl.read_csv(caregap("counts", *words, data=data).out.encode(), infer_schema=False)
    assert set(shown["as_of"]) == {AS_OF}
    every = confidential_counts(
        Layout(data), words[1], date.fromisoformat(AS_OF), "planning", None, with_months_before=True
    )
    assert pl.read_csv(every.encode())["as_of"].n_unique() == months
