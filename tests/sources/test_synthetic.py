"""The synthetic city: nobody's codes, the city's margins, lives in order, faults and gaps as many as it says."""

import csv
import hashlib
import tomllib
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.areas import complete_areas, load_areas
from schemas.errors import UsageRefused
from schemas.tables import SOURCE_TABLES, TABLES
from transforms.sources import synthetic
from transforms.sources.feed import FeedSource
from transforms.sources.synthetic import SyntheticSource, write_feed
from transforms.sources.synthetic.block import BLOCK_PERSONS
from transforms.sources.synthetic.draws import arrivals, between, date_of, day_of, spaced, working_day
from transforms.sources.synthetic.identity import identity_codes, wrong_check
from transforms.sources.synthetic.rows import record_ids

AS_OF = date(2026, 10, 31)
PERSONS = 24_000
OID = "1.2.246.21."
PLACEHOLDERS = [date(1800, 1, 1), date(2999, 12, 31)]
EVENT_TABLES = sorted(set(TABLES) - {"person", "residence"})
CENTURY = {"+": 1800} | dict.fromkeys("-YXWVU", 1900) | dict.fromkeys("ABCDEF", 2000)

City = tuple[SyntheticSource, dict[str, pl.DataFrame]]


def read(source: SyntheticSource) -> dict[str, pl.DataFrame]:
    parts: dict[str, list[pl.DataFrame]] = {}
    for table, frame in source.batches():
        parts.setdefault(table, []).append(frame)
    return {table: pl.concat(frames) for table, frames in parts.items()}


@pytest.fixture(scope="module")
def city() -> City:
    source = SyntheticSource(PERSONS, 3, AS_OF, 7)
    return source, read(source)


@pytest.fixture(scope="module")
def spotless() -> City:
    """The same city without faults."""
    source = SyntheticSource(PERSONS, 3, AS_OF, 7, dirt=False)
    return source, read(source)


@pytest.fixture(scope="module")
def persons(city: City) -> pl.DataFrame:
    """One row per person: what remains when as many rows as are said to be invalid or doubled are taken out."""
    dirt = dirt_of(city)
    former = city[1]["identity_link"]["former_id"]
    twice = city[1]["person"]["person_id"].is_in(former.implode())
    frame = city[1]["person"].filter(~twice)
    doubled = frame.height - frame.unique().height
    assert twice.sum() + doubled == dirt["person", "duplicate_person"]
    frame = frame.unique(maintain_order=True)
    undated = frame["birth_date"].is_in(PLACEHOLDERS)
    misspelt = ~pl.Series([identity_code_says(code)[2] for code in frame["person_id"]])
    assert undated.sum() == dirt["person", "impossible_date"]
    assert misspelt.sum() == dirt["person", "invalid_identity_code"]
    return frame.filter(~undated & ~misspelt)


def clean(city: City, table: str, persons: pl.DataFrame) -> pl.DataFrame:
    """Rows of persons with possible dates, as a careful reader would keep them: the code of now, no doubles."""
    links = city[1].get("identity_link", pl.DataFrame(schema={"former_id": pl.String, "person_id": pl.String}))
    frame = (
        city[1][table]
        .unique()
        .with_columns(
            pl.col("person_id").str.strip_prefix(OID).replace(links["former_id"], links["person_id"]),
        )
    )
    dated = [name for name, dtype in frame.schema.items() if dtype == pl.Date]
    return frame.filter(
        ~pl.col("is_retracted"), *(~pl.col(name).is_in(PLACEHOLDERS).fill_null(False) for name in dated)
    ).join(persons.select("person_id", "birth_date", "death_date"), on="person_id")


def current(city: City, persons: pl.DataFrame) -> pl.DataFrame:
    """One row per person who lives in the city on the as-of date."""
    rows = clean(city, "residence", persons).filter(pl.col("to_date").is_null())
    return rows.join(persons.select("person_id", "sex"), on="person_id")


def dirt_of(city: City) -> dict[tuple[str, str], int]:
    return {(table, kind): count for table, kind, count in city[0].truth()["dirt"].iter_rows()}


def identity_code_says(code: str) -> tuple[date, int, bool]:
    """Date, individual number and whether the check character holds, by the rule as it is written down."""
    day, month, year = int(code[0:2]), int(code[2:4]), CENTURY[code[6]] + int(code[4:6])
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(code[0:6] + code[7:10]) % 31]
    return date(year, month, day), int(code[7:10]), code[10] == check


def test_identity_codes_hold_and_are_nobodys(persons: pl.DataFrame) -> None:
    for code, born, sex in persons.select("person_id", "birth_date", "sex").iter_rows():
        birth_date, number, holds = identity_code_says(code)
        assert holds
        assert birth_date == born
        assert 900 <= number <= 999
        assert (number % 2 == 1) == (sex == "male")
    assert persons["person_id"].n_unique() == persons.height == PERSONS
    assert set(persons["person_id"].str.slice(6, 1)) == set(CENTURY) - {"+"}


def test_every_code_anywhere_in_the_feed_has_a_temporary_number(city: City) -> None:
    for table, frame in city[1].items():
        texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and name != "record_id"]
        words = pl.concat([frame[name].unique().alias("text") for name in texts])
        numbers = words.str.extract(r"\d{6}[-+A-FU-Y](\d{3})[0-9A-Y]").drop_nulls()
        assert len(numbers) >= frame["person_id"].n_unique(), table
        assert (numbers.cast(pl.Int32) >= 900).all(), table


births = st.integers(day_of(date(1880, 1, 1)), day_of(date(2090, 12, 31)))


@given(st.lists(st.tuples(births, st.booleans()), min_size=1, max_size=60), st.integers(1, 5))
def test_identity_codes_differ_and_hold_for_any_births(people: list[tuple[int, bool]], times: int) -> None:
    people = people * times if all(birth > day_of(date(1899, 12, 31)) for birth, _ in people) else people[:50]
    birth = np.array([day for day, _ in people], dtype=np.int32)
    codes = identity_codes(birth, np.array([male for _, male in people]))
    assert codes.n_unique() == len(people)
    for code, (day, male) in zip(codes, people, strict=True):
        assert identity_code_says(code) == (date_of(day), int(code[7:10]), True)
        assert int(code[7:10]) >= 900
        assert int(code[7:10]) % 2 == male
    assert not any(identity_code_says(code)[2] for code in wrong_check(codes))


@pytest.mark.parametrize(("born", "room"), [(date(1899, 5, 5), 50), (date(1960, 5, 5), 300), (date(2020, 5, 5), 300)])
def test_identity_codes_run_out_rather_than_repeat(born: date, room: int) -> None:
    birth, male = np.full(room + 1, day_of(born), dtype=np.int32), np.zeros(room + 1, dtype=np.bool_)
    assert identity_codes(birth[:room], male[:room]).n_unique() == room
    with pytest.raises(UsageRefused):
        identity_codes(birth, male)


def test_names_and_addresses_are_nobodys(city: City, persons: pl.DataFrame) -> None:
    assert persons["email"].str.ends_with("@example.org").all()
    assert persons["email"].str.contains(r"^[a-z.]+\d{4}@").all()
    assert persons["phone"].str.contains(r"^\+3580\d{8}$").all()
    assert persons.select(pl.col("given_names", "family_name").str.contains("(?i)[qxzw]").all()).row(0) == (True, True)
    assert city[1]["residence"]["postal_code"].str.starts_with("0000").all()


def test_residents_fit_the_profile_by_district_sex_and_age(city: City, persons: pl.DataFrame) -> None:
    groups = {
        "age_0_6": 0,
        "age_7_15": 7,
        "age_16_18": 16,
        "age_19_24": 19,
        "age_25_39": 25,
        "age_40_64": 40,
        "age_65": 65,
    }
    path = Path(synthetic.__file__).parent / "helsinki_profile.csv"
    profile = {row["code"]: row for row in csv.DictReader(path.read_text("utf-8").splitlines())}
    population = dict(load_areas().filter(pl.col("level") == "district").select("code", "population").iter_rows())
    residents = (
        current(city, persons)
        .filter(pl.col("area_code").is_not_null())
        .with_columns(age=(pl.lit(AS_OF) - pl.col("birth_date")).dt.total_days() / 365.25)
    )
    found = Counter()
    for area, sex, age in residents.select("area_code", "sex", "age").iter_rows():
        found[area, sex, max(name for name, start in groups.items() if age >= start and _last(groups, name, age))] += 1
    total, female = residents.height, (residents["sex"] == "female").mean()
    assert 0.5 < female < 0.54
    for area, row in profile.items():
        people = sum(int(row[name]) for name in groups)
        for name in groups:
            expected = total * population[area] / sum(population.values()) * int(row[name]) / people
            counts = [found[area, sex, name] for sex in ("female", "male")]
            assert abs(sum(counts) - expected) < 4.5 * expected**0.5 + 3, (area, name)
            if name != "age_65" and expected > 50:
                assert 0.3 < counts[0] / sum(counts) < 0.7, (area, name)


def _last(groups: dict[str, int], name: str, age: float) -> bool:
    """Whether no later group begins by this age."""
    return not any(groups[name] < start <= age for start in groups.values())


def test_some_residents_have_no_known_district(city: City, persons: pl.DataFrame) -> None:
    assert 0.025 < current(city, persons)["area_code"].is_null().mean() < 0.035


def test_residences_of_a_person_follow_each_other(city: City, persons: pl.DataFrame) -> None:
    rows = clean(city, "residence", persons).sort("person_id", "from_date", nulls_last=False)
    before = rows.with_columns(pl.col("to_date").shift().over("person_id").alias("ended"))
    later = before.filter(pl.col("person_id").is_first_distinct().not_())
    assert later.height > 100
    assert (later["from_date"] == later["ended"].dt.offset_by("1d")).all()
    assert (rows["to_date"] >= rows["from_date"]).drop_nulls().all()
    assert rows.select((pl.col("death_date") == pl.col("to_date")).any()).item()
    moved_in_city = later.filter(pl.col("area_code").is_not_null())
    assert moved_in_city.height > 100
    assert set(rows["person_id"]) == set(persons["person_id"])


@pytest.mark.parametrize("table", EVENT_TABLES)
def test_nothing_happens_before_birth_or_after_death_but_what_the_truth_names(
    city: City, spotless: City, persons: pl.DataFrame, table: str
) -> None:
    beyond = city[0].truth()["faults"].filter((pl.col("table") == table) & (pl.col("kind") == "after_death"))
    for rows, late in ((clean(city, table, persons), set(beyond["record_id"])), (spotless[1][table], set())):
        lived = rows.drop("birth_date", "death_date", strict=False).join(
            persons.select("person_id", "birth_date", "death_date"), on="person_id"
        )
        assert lived.height > 0
        assert (lived["event_date"] >= lived["birth_date"]).all()
        assert set(lived.filter(pl.col("event_date") > pl.col("death_date"))["record_id"]) == late


@pytest.mark.parametrize("table", sorted(TABLES))
def test_nothing_lies_after_the_as_of_date_but_what_is_booked(city: City, persons: pl.DataFrame, table: str) -> None:
    rows = persons if table == "person" else clean(city, table, persons)
    for name, dtype in rows.schema.items():
        if dtype == pl.Date and (table, name) != ("appointment", "event_date"):
            assert (rows[name] <= AS_OF).drop_nulls().all(), name
    if table == "appointment":
        ahead = rows.filter(pl.col("event_date") > AS_OF)
        assert ahead.height > 0
        assert ahead["event_date"].max() <= AS_OF + timedelta(days=240)
        assert set(ahead["status"]) <= {"booked", "cancelled_by_client", "cancelled_by_provider"}
        assert (rows.filter(pl.col("status") == "booked")["event_date"] > AS_OF).all()
        assert (rows["booked_date"] <= rows["event_date"]).all()
        assert (rows["status_date"] >= rows["booked_date"]).drop_nulls().all()


@pytest.mark.parametrize("table", sorted(TABLES))
def test_rows_are_what_the_tables_declare(city: City, persons: pl.DataFrame, table: str) -> None:
    declared, frame = TABLES[table], city[1][table]
    assert frame.columns == [name for name in declared.names if name in frame.columns]
    for column in declared.columns:
        if column.required:
            assert frame[column.name].null_count() == 0, column.name
        if column.terms:
            assert set(frame[column.name].drop_nulls()) <= set(column.terms), column.name
        if column.name != "value":
            assert frame[column.name].dtype == declared.source_schema[column.name], column.name
    if "record_id" in frame.columns:
        assert frame["record_id"].str.len_bytes().max() <= 12
        assert frame.unique()["record_id"].is_unique().all()


@given(st.integers(0, 2**20 - 1), st.integers(0, 2**20 - 1), st.integers(1, 40))
def test_record_ids_of_blocks_never_meet(block: int, other: int, count: int) -> None:
    ids = record_ids(block, count)
    assert ids.n_unique() == count
    assert ids.str.len_bytes().max() <= 12
    assert block == other or not set(ids) & set(record_ids(other, count))


def test_dates_of_record_are_mostly_the_same_day_and_never_before(city: City, persons: pl.DataFrame) -> None:
    for table in ("contact", "measurement", "vaccination"):
        late = clean(city, table, persons).select(pl.col("recorded_date") - pl.col("event_date")).to_series()
        assert late.min() == timedelta(0)
        assert 0.75 < (late == timedelta(0)).mean() < 0.95
        assert late.max() > timedelta(days=30)


def test_faults_are_as_many_as_the_truth_says(city: City, persons: pl.DataFrame) -> None:
    dirt = dirt_of(city)
    known, strangers = set(persons["person_id"]), set()
    former = set(city[1]["identity_link"]["former_id"])
    assert len(former) == dirt["identity_link", "changed_code"]
    deaths = dict(persons.filter(pl.col("death_date").is_not_null()).select("person_id", "death_date").iter_rows())
    for table, frame in city[1].items():
        if table in ("person", "identity_link"):
            continue
        once = frame.unique(maintain_order=True)
        first_date = next(name for name, dtype in frame.schema.items() if dtype == pl.Date)
        codes = once["person_id"].str.strip_prefix(OID)
        of_former = codes.is_in(list(former))
        codes = codes.replace(city[1]["identity_link"]["former_id"], city[1]["identity_link"]["person_id"])
        others = codes.filter(~codes.is_in(list(known)))
        invalid = [code for code in others if not identity_code_says(code)[2]]
        strangers |= set(others) - set(invalid)
        undated = once[first_date].is_in(PLACEHOLDERS).fill_null(False)
        # Of what is spelt differently or retracted there may be invalid copies, which are counted as what they are.
        valid = once.filter(codes.is_in(list(known)) & ~undated)
        found = {
            "duplicate": frame.height - once.height,
            "oid_prefix": once["person_id"].str.starts_with(OID).sum(),
            "invalid_identity_code": len(invalid),
            "unknown_person": len(others) - len(invalid),
            "former_code": of_former.sum(),
            "impossible_date": undated.sum(),
        }
        if (table, "retracted") in dirt:
            found["retracted"] = valid["is_retracted"].sum()
        if (table, "after_death") in dirt:
            died = codes.filter(codes.is_in(list(known)) & ~undated).replace_strict(deaths, default=None)
            found["after_death"] = (valid["event_date"] > died).fill_null(False).sum()
        if table == "residence":
            found["missing_district"] = valid["area_code"].is_null().sum()
            found["retroactive_move"] = dirt[table, "retroactive_move"]
        if table == "measurement":
            unreadable = valid["value"].str.contains(r"^<?\d*([.,]\d)?$").not_().fill_null(False)
            found["censored"] = (valid["value"] == "<5").sum()
            is_small = valid["value"].str.contains(r"^\d+[.,]\d$") & (valid["unit"] == "mmol/mol")
            found["wrong_unit"] = is_small.sum()
            found["unreadable_value"] = unreadable.sum()
            found["retracted"] = valid.filter(~unreadable)["is_retracted"].sum()
            found["percent"] = (valid.filter(~unreadable)["unit"] == "%").sum()
            found["decimal_comma"] = valid["value"].str.contains(r"^\d+,\d$").sum()
        if table == "diagnosis":
            undotted = valid["code"].str.contains(r"^[A-Z]\d{3}") & (valid["code_system"] == "icd10")
            found["undotted_code"] = undotted.sum()
        expected = {kind: count for (name, kind), count in dirt.items() if name == table}
        assert {kind: count for kind, count in found.items() if count} == expected, table
    assert strangers


def test_every_kind_of_fault_occurs(city: City) -> None:
    kinds = {kind for (_, kind), count in dirt_of(city).items() if count}
    assert kinds == {
        "duplicate", "retracted", "oid_prefix", "percent", "decimal_comma", "undotted_code", "invalid_identity_code",
        "unknown_person", "impossible_date", "unreadable_value", "wrong_unit", "censored", "former_code",
        "changed_code", "duplicate_person", "after_death", "retroactive_move", "missing_district",
    }  # fmt: skip


def years_before(years: int) -> date:
    return AS_OF.replace(year=AS_OF.year - years)


def measured_lately(city: City, persons: pl.DataFrame, codes: list[str]) -> set[str]:
    """Persons with such a measurement in the last twelve months."""
    rows = clean(city, "measurement", persons).filter(pl.col("code").is_in(codes))
    readable = rows.filter(pl.col("value").str.contains(r"^\d+([.,]\d)?$"))
    return set(readable.filter(pl.col("event_date") > years_before(1))["person_id"])


@pytest.mark.parametrize(
    ("indicator", "diagnosis", "measurement"),
    [
        ("diabetes_hba1c_missing", r"^(E1[0-4]|T89|T90)", ["4548-4", "6128"]),
        ("hypertension_bp_missing", r"^(I1[0-5]|K8[67])", ["8480-6"]),
        ("cvd_ldl_missing", r"^(I2[0-5]|I63|I70|G45|K76)", ["18262-6", "2089-1"]),
    ],
)
def test_planted_truth_holds_for_the_rows(
    spotless: City, indicator: str, diagnosis: str, measurement: list[str]
) -> None:
    city, persons = spotless, spotless[1]["person"]
    truth = city[0].truth()["gaps"].filter(pl.col("indicator") == indicator)
    assert truth["person_id"].is_unique().all()
    ill = set(clean(city, "diagnosis", persons).filter(pl.col("code").str.contains(diagnosis))["person_id"])
    assert set(truth["person_id"]) <= ill
    assert truth.height > 0.8 * len(ill)
    eligible = truth.filter(pl.col("is_eligible"))
    assert eligible.height > 0.5 * truth.height
    closed = measured_lately(city, persons, measurement)
    assert set(eligible.filter(~pl.col("is_open"))["person_id"]) == set(eligible["person_id"]) & closed
    assert truth.filter(~pl.col("is_eligible") | pl.col("is_eligible").is_null())["is_open"].null_count() > 0
    assert set(eligible["person_id"]) <= set(current(city, persons)["person_id"])


def test_planted_truth_of_mmr_holds_for_the_rows(city: City, persons: pl.DataFrame) -> None:
    truth = city[0].truth()["gaps"].filter((pl.col("indicator") == "mmr_missing_at_two") & pl.col("is_eligible"))
    doses = clean(city, "vaccination", persons).filter(pl.col("code").str.starts_with("J07BD"))
    given = doses.filter(pl.col("status").is_null() | (pl.col("status") == "given"))
    assert (given["event_date"] >= given["birth_date"].dt.offset_by("11mo")).all()
    assert set(truth.filter(~pl.col("is_open"))["person_id"]) == set(truth["person_id"]) & set(given["person_id"])
    assert {"refused", "given", None} <= set(doses["status"])
    born = dict(persons.select("person_id", "birth_date").iter_rows())
    assert all(years_before(3) < born[code] <= years_before(2) for code in truth["person_id"])


def test_care_is_missed_about_as_often_as_it_should_be_and_more_where_people_are_worse_off(
    city: City, persons: pl.DataFrame
) -> None:
    truth = city[0].truth()["gaps"].filter(pl.col("is_eligible"))
    shares = dict(truth.group_by("indicator").agg(pl.col("is_open").mean()).iter_rows())
    assert 0.15 < shares["diabetes_hba1c_missing"] < 0.25
    assert 0.01 < shares["mmr_missing_at_two"] < 0.12
    path = Path(synthetic.__file__).parent / "helsinki_profile.csv"
    unemployed = pl.read_csv(path, schema_overrides={"code": pl.String}).select(
        pl.col("code").alias("area_code"), is_worse_off=pl.col("unemployed_percent") > 12
    )
    here = current(city, persons).select("person_id", "area_code")
    by_area = truth.join(here, on="person_id").join(unemployed, on="area_code")
    rate = dict(by_area.group_by("is_worse_off").agg(pl.col("is_open").mean()).iter_rows())
    assert rate[True] > 1.15 * rate[False]
    by_district = by_area.group_by("area_code").agg(pl.col("is_open").mean(), pl.len()).filter(pl.col("len") > 100)
    assert by_district["is_open"].max() > 1.5 * by_district["is_open"].min()


def test_what_the_indicators_look_for_is_there(city: City, persons: pl.DataFrame) -> None:
    def codes(table: str) -> set[str]:
        return set(clean(city, table, persons)["code"].drop_nulls())

    assert {"8480-6", "8462-4", "18262-6", "2089-1", "33914-3", "62238-1", "20150-9", "39156-5"} <= codes("measurement")
    assert {code[:5] for code in codes("medication")} >= {"C10AA", "N06DA", "N06AB", "N02AX", "A10BA"}
    assert {code[:5] for code in codes("vaccination")} >= {"J07BD", "J07BB"}
    assert {code[:3] for code in codes("diagnosis")} >= {"E10", "E11", "T90", "I10", "K86", "I25", "J44", "F20", "G30"}
    assert {code[:3] for code in codes("diagnosis")} >= {"F32", "F10", "O24", "C50"}
    contacts = clean(city, "contact", persons)
    assert set(contacts["channel"]) == set(TABLES["contact"].column("channel").terms)
    assert {"child_clinic", "memory_clinic", "substance_services"} <= set(contacts["service"])
    appointments = clean(city, "appointment", persons)
    assert set(appointments["status"]) == set(TABLES["appointment"].column("status").terms)
    no_shows = appointments.filter(pl.col("status") == "no_show")["person_id"].value_counts()
    assert (no_shows["count"] >= 2).any()
    requests = clean(city, "contact_request", persons)
    assert {"answered", "withdrawn", "not_reached", "duplicate", None} == set(requests["outcome"])
    assert requests.filter(pl.col("outcome") == "answered")["answered_date"].null_count() == 0
    assert set(clean(city, "service_period", persons)["service"]) == set(
        TABLES["service_period"].column("service").terms
    )
    assert set(clean(city, "restriction", persons)["kind"]) == set(TABLES["restriction"].column("kind").terms)


def test_the_pandemic_keeps_people_from_meeting() -> None:
    rows = read(SyntheticSource(8_000, 4, date(2022, 12, 31), 3))
    visits = rows["contact"].filter(pl.col("channel") == "visit", ~pl.col("event_date").is_in(PLACEHOLDERS))
    by_month = visits.group_by(pl.col("event_date").dt.truncate("1mo").alias("month")).len()
    usual = by_month.filter(pl.col("month").dt.year() == 2019)["len"].mean()
    pandemic = by_month.filter(pl.col("month").is_between(date(2020, 4, 1), date(2021, 12, 1)))["len"].mean()
    after = by_month.filter(pl.col("month") >= date(2022, 4, 1))["len"].mean()
    assert pandemic < 0.85 * usual
    assert after > 0.95 * usual
    reasons = rows["appointment"].filter(pl.col("reason") == "pandemic")["status_date"]
    assert len(reasons) > 100
    assert date(2020, 3, 1) < reasons.min()
    assert reasons.max() < date(2022, 3, 1)


def digest(frames: dict[str, pl.DataFrame]) -> dict[str, str]:
    return {table: hashlib.sha256(frame.write_csv().encode()).hexdigest() for table, frame in frames.items()}


def test_rows_do_not_depend_on_how_many_blocks_are_read_together() -> None:
    persons = 2 * BLOCK_PERSONS + 500
    apart, together = (SyntheticSource(persons, 1, AS_OF, 5, blocks_together=blocks) for blocks in (1, 3))
    assert digest(read(apart)) == digest(read(together))
    assert apart.truth()["dirt"].equals(together.truth()["dirt"])
    assert apart.truth()["gaps"].equals(together.truth()["gaps"])


def test_blocks_draw_different_lives() -> None:
    batches = SyntheticSource(2 * BLOCK_PERSONS, 1, AS_OF, 5, blocks_together=1).batches()
    one, other = [frame.head(BLOCK_PERSONS) for table, frame in batches if table == "residence"]
    assert (one["street_address"] == other["street_address"]).mean() < 0.02


def test_persons_come_first() -> None:
    tables = [table for table, _ in SyntheticSource(BLOCK_PERSONS + 1, 1, AS_OF, 5, blocks_together=1).batches()]
    assert tables[:3] == ["identity_link", "person", "person"]
    assert not {"person", "identity_link"} & set(tables[3:])
    assert set(tables) == set(SOURCE_TABLES)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_seed_means_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 11), ("two", 11), ("other", 12)):
        write_feed(SyntheticSource(1_500, 2, AS_OF, seed), tmp_path / name)
    one, two, other = (folder_bytes(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one["person/part-0000.parquet"] != other["person/part-0000.parquet"]
    assert one["contact/part-0000.parquet"] != other["contact/part-0000.parquet"]


def test_a_source_gives_the_same_rows_when_read_again() -> None:
    source = SyntheticSource(500, 1, AS_OF, 1)
    first, dirt = digest(read(source)), source.truth()["dirt"]
    assert digest(read(source)) == first
    assert source.truth()["dirt"].equals(dirt)


def test_a_feed_is_read_as_any_other(tmp_path: Path) -> None:
    source, told = SyntheticSource(1_200, 1, AS_OF, 2), []
    rows = write_feed(source, tmp_path / "feed", told.append)
    assert sum(told) == sum(rows.values())
    description = tomllib.loads((tmp_path / "feed" / "feed.toml").read_text("utf-8"))
    assert description["rows"] == rows
    assert (description["as_of"], description["seed"], description["generated"]) == (AS_OF, 2, True)
    feed = FeedSource(tmp_path / "feed")
    assert (feed.identifier, feed.generated) == ("hetu", True)
    found: Counter[str] = Counter()
    for table, frame in feed.batches():
        found[table] += frame.height
    assert dict(found) == rows
    assert feed.remarks() == []
    assert feed.areas().equals(load_areas())
    truth = {name: pl.read_parquet(tmp_path / "feed" / "truth" / f"{name}.parquet") for name in source.truth()}
    assert set(truth) == {"gaps", "dirt", "faults", "late"}
    assert all(truth[name].equals(frame) for name, frame in source.truth().items())
    assert abs(source.rows_expected() - sum(rows.values())) < 0.35 * sum(rows.values())


def test_a_killed_run_leaves_the_feed_that_was_there(tmp_path: Path) -> None:
    write_feed(SyntheticSource(300, 1, AS_OF, 1), tmp_path / "feed")
    before = folder_bytes(tmp_path / "feed")

    def kill(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_feed(SyntheticSource(300, 1, AS_OF, 2), tmp_path / "feed", kill)
    assert folder_bytes(tmp_path / "feed") == before
    write_feed(SyntheticSource(300, 1, AS_OF, 2), tmp_path / "feed")
    assert folder_bytes(tmp_path / "feed") != before
    assert [path.name for path in tmp_path.iterdir()] == ["feed"]


def test_a_folder_that_is_no_feed_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(UsageRefused):
        write_feed(SyntheticSource(10, 1, AS_OF, 1), tmp_path)
    with pytest.raises(UsageRefused):
        write_feed(SyntheticSource(10, 1, AS_OF, 1), tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "irreplaceable"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_geography_is_filled_by_its_population_or_evenly() -> None:
    areas = [
        {"code": "c", "parent": None, "level": "city", "population": None},
        {"code": "m", "parent": "c", "level": "major", "population": None},
        {"code": "101", "parent": "m", "level": "district", "population": "3000"},
        {"code": "b", "parent": "m", "level": "district", "population": "1000"},
    ]
    weighted = complete_areas(pl.DataFrame(areas))
    for geography, share in ((weighted, 0.75), (weighted.with_columns(population=pl.lit(None, pl.Int64)), 0.5)):
        source = SyntheticSource(4_000, 1, AS_OF, 1, geography)
        assert source.areas().equals(geography)
        settled = read(source)["residence"].filter(pl.col("to_date").is_null())["area_code"].drop_nulls()
        assert set(settled) == {"101", "b"}
        assert abs((settled == "101").mean() - share) < 0.02


@pytest.mark.parametrize(
    ("persons", "years", "as_of", "seed"),
    [(0, 3, AS_OF, 1), (5, 0, AS_OF, 1), (5, 31, AS_OF, 1), (5, 3, AS_OF, -1), (5, 3, date(1979, 12, 31), 1)],
)
def test_arguments_out_of_range_are_refused(persons: int, years: int, as_of: date, seed: int) -> None:
    with pytest.raises(UsageRefused):
        SyntheticSource(persons, years, as_of, seed)


@pytest.mark.parametrize("persons", [1, 2, 37])
def test_a_handful_of_persons_is_a_city_too(persons: int) -> None:
    rows = read(SyntheticSource(persons, 1, date(2024, 2, 29), 9))
    assert set(rows) - {"identity_link"} == set(TABLES)
    assert rows["person"].height >= persons


spans_of_days = st.lists(st.tuples(st.integers(-9_000, 30_000), st.integers(-50, 4_000)), min_size=1, max_size=20)


@settings(max_examples=50)
@given(st.integers(0, 2**32), spans_of_days, st.integers(1, 400))
def test_drawn_days_lie_within_their_bounds(seed: int, spans: list[tuple[int, int]], every: int) -> None:
    rng = np.random.default_rng(seed)
    first = np.array([start for start, _ in spans], dtype=np.int32)
    last = first + np.array([length for _, length in spans], dtype=np.int32)
    open_ = last >= first
    day = between(rng, first, last)
    assert ((day >= first) & (day <= last))[open_].all()
    assert (day == first)[~open_].all()
    for person, drawn in (arrivals(rng, np.full(len(spans), 3.0), first, last), spaced(rng, first, last, every)):
        assert ((drawn >= first[person]) & (drawn <= last[person])).all()
    moved = working_day(day)
    assert all(date_of(int(one)).weekday() < 5 for one in moved)
    assert ((moved <= day) & (moved >= day - 6)).all()


def test_the_cause_of_a_gap_can_be_seen_in_the_rows(spotless: City) -> None:
    source, rows = spotless
    gaps = source.truth()["gaps"].filter(indicator="hypertension_bp_missing", status="open")
    appointments = rows["appointment"].filter(pl.col("status_date") > years_before(1), specialty="nursing")
    homes = rows["residence"].filter(pl.col("from_date") > years_before(2))
    late = source.truth()["late"].filter(table="measurement")
    evidence = {
        "no_show": appointments.filter(status="no_show"),
        "cancelled_by_client": appointments.filter(status="cancelled_by_client"),
        "cancelled_by_provider": appointments.filter(status="cancelled_by_provider", reason="capacity"),
        "moved": homes,
        "recorded_late": late,
    }
    for cause, seen in evidence.items():
        persons = gaps.filter(cause=cause)["person_id"]
        assert len(persons) > 3, cause
        assert set(persons) <= set(seen["person_id"]), cause
    assert (late["event_date"] <= AS_OF).all()
    assert (late["recorded_date"] > AS_OF).all()
    assert (
        not set(late["person_id"])
        & set(rows["measurement"].filter(pl.col("recorded_date") > years_before(1), code="6128")["person_id"])
        & set(source.truth()["gaps"].filter(indicator="diabetes_hba1c_missing", cause="recorded_late")["person_id"])
    )


def test_follow_up_is_booked_attended_and_measured(spotless: City) -> None:
    rows = spotless[1]
    nursing = rows["appointment"].filter(specialty="nursing", status="attended")
    assert nursing.height > 5_000
    contacts = rows["contact"].select("person_id", "event_date")
    met = nursing.join(contacts, on=["person_id", "event_date"], how="semi")
    assert met.height > 0.95 * nursing.height
    measured = nursing.join(
        rows["measurement"].select("person_id", "event_date"), on=["person_id", "event_date"], how="semi"
    )
    assert measured.height > 0.5 * nursing.height
    assert (nursing["booked_date"] <= nursing["event_date"]).all()
