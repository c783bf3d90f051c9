"""An increment leaves the lake as a full load of all rows would, whatever comes late, twice, corrected or withdrawn."""

import random
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.areas import load_areas
from schemas.errors import KeyUnavailable, SourceRefused
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from tests.controller.people import diagnoses, identity_code, persons
from transforms.controller import increment, load
from transforms.controller.holding import Holding, holding
from transforms.controller.increment import Merged, merge
from transforms.controller.key_index import KeyIndex
from transforms.controller.keys import Keyring
from transforms.controller.load import Before, Loader, Terms
from transforms.controller.memory import Memory, memory_key, recall, remember
from transforms.controller.pseudonymise import from_series
from transforms.controller.quarantine import quarantine_key, unseal
from transforms.controller.register import words
from transforms.retracted import IS_RETRACTED

KEYRING = Keyring("e1", {"e1": bytes(range(32))}, bytes(range(32, 64)))
AS_OF = date(2026, 10, 31)
TERMS = Terms(KEYRING, "district-stats", "hetu", "month", load_areas(), AS_OF, date(2026, 11, 1))
PEOPLE = persons(9)
IDS = PEOPLE["person_id"].to_list()
OLD, LATELY = date(2024, 5, 1), date(2026, 10, 1)

Batches = list[tuple[str, pl.DataFrame]]
Lake = dict[str, list[str]]


class Controller:
    """A lake in a folder, loaded and added to as the flow does."""

    def __init__(self, folder: Path, terms: Terms = TERMS) -> None:
        self.folder, self.terms = folder, terms
        self.files: Lake = {}
        self.memory: Memory | None = None
        self.loads = 0
        self.has_index = True

    def folders(self) -> tuple[Path, Path]:
        self.loads += 1
        made = []
        for name in ("staging", "quarantine"):
            made.append(self.folder / f"{name}-{self.loads}")
            made[-1].mkdir(parents=True)
        return made[0], made[1]

    def load(self, batches: Batches) -> Loader:
        loader = Loader(self.terms, *self.folders())
        for name, rows in in_turn(batches):
            loader.add(name, rows)
        self.files = self.moved({name: [str(path) for path in paths] for name, paths in loader.finish()})
        return self.remembered(loader)

    def add(self, batches: Batches) -> tuple[Loader, dict[str, Merged]]:
        assert self.memory is not None
        people = pl.read_parquet(self.files["person"])
        numbers = pl.DataFrame([*words(from_series(people["pseudonym"])[0]), people[PERSON_NUMBER]])
        before = Before(self.memory, numbers)
        staging, quarantine = self.folders()
        loader = Loader(self.terms, staging, quarantine, before)
        waiting = [(name, rows, True) for name, rows in self.memory.waiting.items()]
        for name, rows, again in in_turn([*waiting, *((name, rows, False) for name, rows in batches)]):
            loader.add(name, rows, again=again)
        index = {name: KeyIndex(self.folder / "index" / name, memory_key(KEYRING)) for name in TABLES}
        for name, of_table in index.items():
            of_table.keep_only(self.files.get(name, []))
        merged = dict(merge(loader, before, self.files, staging, index if self.has_index else None))
        fresh = self.moved({name: [str(path) for path in table.written] for name, table in merged.items()})
        self.files = {name: [*fresh[name], *table.kept] for name, table in merged.items()}
        return self.remembered(loader), merged

    def moved(self, files: Lake) -> Lake:
        """Files under the names that the lake gives them."""
        found: Lake = {}
        for name, paths in files.items():
            found[name] = []
            for path in map(Path, paths):
                target = self.folder / "lake" / name / f"{self.loads}-{path.stem}-{random.randbytes(4).hex()}.parquet"
                target.parent.mkdir(parents=True, exist_ok=True)
                found[name].append(str(path.rename(target)))
        return found

    def remembered(self, loader: Loader) -> Loader:
        path, key = self.folder / f"{self.loads}.sealed", memory_key(KEYRING)
        remember(loader.memory(), path, key)
        self.memory = recall(path, key)
        return loader

    def rows(self) -> dict[str, list[str]]:
        """The lake's rows, with whose they are in place of the number; in an order of their own."""
        people = pl.read_parquet(self.files["person"])
        assert sorted(people[PERSON_NUMBER]) == list(range(people.height))
        found = {"person": people.drop(PERSON_NUMBER)}
        for name, table in TABLES.items():
            if name != "person":
                files = self.files.get(name, [])
                each = [pl.read_parquet(file) for file in files]
                assert all(one.select(IS_RETRACTED).n_unique() == 1 for one in each), name
                rows = pl.concat(each) if files else pl.DataFrame()
                if rows.height:
                    assert rows.schema == table.platform_schema
                    found[name] = rows.join(people.select(PERSON_NUMBER, "pseudonym"), on=PERSON_NUMBER, how="left")
                    assert found[name]["pseudonym"].null_count() == 0
                    found[name] = found[name].drop(PERSON_NUMBER)
        return {name: sorted(map(str, rows.select(sorted(rows.columns)).rows())) for name, rows in found.items()}


def in_turn(batches: list) -> list:
    return sorted(batches, key=lambda batch: {"identity_link": 0, "person": 1}.get(batch[0], 2))


def records(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    """Diagnoses: identifier, record_id, code, event_date, recorded_date, is_retracted."""
    schema = {
        "person_id": pl.String,
        "record_id": pl.String,
        "code": pl.String,
        "event_date": pl.Date,
        "recorded_date": pl.Date,
        "is_retracted": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(code_system=pl.lit("icd10"))


def homes(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    schema = {"person_id": pl.String, "area_code": pl.String, "from_date": pl.Date, "record_id": pl.String}
    found = pl.DataFrame(rows, schema=schema, orient="row")
    return found.with_columns(recorded_date=pl.coalesce("from_date", pl.lit(date(2010, 1, 20))))


def bans(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    schema = {"person_id": pl.String, "end_date": pl.Date, "record_id": pl.String, "is_retracted": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        kind=pl.lit("security_ban"), event_date=pl.lit(date(2026, 1, 1))
    )


def links(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema=["former_id", "person_id"], orient="row")


def assert_as_a_full_load(folder: Path, deltas: list[Batches], terms: Terms = TERMS) -> Controller:
    """The first delta is loaded in full and the others are merged; the same in one load gives the same lake."""
    merged, whole = Controller(folder / "merged", terms), Controller(folder / "whole", terms)
    merged.load(deltas[0])
    for delta in deltas[1:]:
        merged.add(delta)
    whole.load([batch for delta in deltas for batch in delta])
    assert merged.rows() == whole.rows()
    return merged


BASE: Batches = [
    ("person", PEOPLE[:6]),
    (
        "diagnosis",
        records(
            [(IDS[n], f"a{n}", "E11.9", OLD, OLD, False) for n in range(6)]
            + [(IDS[n], f"b{n}", "I10", LATELY, LATELY, False) for n in range(6)]
            + [(IDS[n], None, "F20", OLD, OLD, False) for n in range(6)]
            + [(IDS[8], "later", "I10", OLD, OLD, False), (IDS[0], "ahead", "I10", date(2027, 1, 5), None, False)]
        ),
    ),
    (
        "residence",
        homes(
            [(IDS[n], "101", OLD, f"h{n}") for n in range(6)]
            + [(IDS[n], "103", PEOPLE["birth_date"][n] if n % 2 else None, f"b{n}") for n in range(6)]
        ),
    ),
]
DELTAS: dict[str, Batches] = {
    "a late row": [("diagnosis", records([(IDS[1], "new", "E10", OLD, LATELY, False)]))],
    "a corrected row of old": [("diagnosis", records([(IDS[1], "a1", "E10", OLD, LATELY, False)]))],
    "a corrected row of late": [("diagnosis", records([(IDS[1], "b1", "E10", OLD, LATELY, False)]))],
    "a correction to another person": [("diagnosis", records([(IDS[2], "a1", "E10", OLD, LATELY, False)]))],
    "an older version": [("diagnosis", records([(IDS[1], "b1", "E10", OLD, OLD, False)]))],
    "a version of no known day": [("diagnosis", records([(IDS[1], "b1", "E10", OLD, None, False)]))],
    "a retraction": [("diagnosis", records([(IDS[3], "a3", "E11.9", OLD, LATELY, True)]))],
    "the same row again": [("diagnosis", records([(IDS[1], "a1", "E11.9", OLD, OLD, False)]))],
    "the same row again without a key": [("diagnosis", records([(IDS[1], None, "F20", OLD, OLD, False)]))],
    "a row without a key": [("diagnosis", records([(IDS[1], None, "F21", OLD, OLD, False)]))],
    "twice in the delta": [
        ("diagnosis", records([(IDS[1], "a1", "E10", OLD, LATELY, False), (IDS[1], "a1", "E13", OLD, LATELY, False)]))
    ],
    "a new person, whose row had waited": [("person", PEOPLE[8:])],
    "new persons with rows": [
        ("person", PEOPLE[6:8]),
        ("diagnosis", records([(IDS[7], "n7", "I10", LATELY, LATELY, False)])),
    ],
    "a death": [("person", PEOPLE[2:3].with_columns(death_date=pl.lit(LATELY), recorded_date=pl.lit(LATELY)))],
    "a changed identity code": [("identity_link", links((IDS[2], IDS[7]))), ("person", PEOPLE[7:8])],
    "two persons that were one": [("identity_link", links((IDS[2], IDS[3])))],
    "a row under a former code": [
        ("identity_link", links((IDS[2], IDS[3]))),
        ("diagnosis", records([(IDS[2], "x", "I10", LATELY, LATELY, False)])),
    ],
    "a person taken back": [("person", PEOPLE[1:2].with_columns(is_retracted=pl.lit(True)))],
    "a person taken back and one new": [
        ("person", PEOPLE[1:2].with_columns(is_retracted=pl.lit(True))),
        ("person", PEOPLE[6:7]),
    ],
    "a person said again": [("person", PEOPLE[1:2].with_columns(recorded_date=pl.lit(LATELY)))],
    "persons that contradict each other": [
        ("person", PEOPLE[4:5].with_columns(sex=pl.lit("male"), birth_date=pl.lit(date(2010, 1, 6)), recorded_date=OLD))
    ],
    "a sex that is not known": [("person", PEOPLE[4:5].with_columns(sex=pl.lit("unknown")))],
    "a corrected sex": [("person", PEOPLE[3:4].with_columns(sex=pl.lit("female"), recorded_date=LATELY))],
    "a corrected day of birth": [
        ("person", PEOPLE[5:6].with_columns(birth_date=pl.lit(date(2010, 1, 7)), recorded_date=LATELY))
    ],
    "a move": [("residence", homes([(IDS[0], "102", LATELY, "m0"), (IDS[0], "101", date(2023, 1, 1), "h0")]))],
    "a ban": [("restriction", bans([(IDS[0], None, "s0", False)]))],
    "a row that is not valid": [("diagnosis", records([(IDS[1], "a1", "no code", OLD, LATELY, False)]))],
}


@pytest.mark.parametrize("what", DELTAS)
def test_a_delta_gives_what_a_full_load_gives(what: str, tmp_path: Path) -> None:
    once = assert_as_a_full_load(tmp_path / "once", [BASE, DELTAS[what]])
    rows = once.rows()
    once.has_index = False  # what finds the rows makes no difference
    _, again = once.add(DELTAS[what])
    assert once.rows() == rows
    assert not any(table.written for name, table in again.items() if name not in load.WHOLE_TABLES and not table.judged)


@given(st.lists(st.lists(st.sampled_from(sorted(DELTAS)), min_size=1, max_size=3, unique=True), min_size=1, max_size=3))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_deltas_one_after_the_other_give_what_a_full_load_gives(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[str]]
) -> None:
    deltas = [[batch for what in night for batch in DELTAS[what]] for night in nights]
    folder = tmp_path_factory.mktemp("nights")
    try:
        assert_as_a_full_load(folder, [BASE, *deltas])
    except SourceRefused as refused:  # of links that contradict each other, or what must come back, alone
        if "another person's before" in refused.rule:
            assert any("a correction to another person" in night for night in nights)
            return
        if "there again" in refused.rule:
            assert any(what.startswith(TAKES_OUT) for night in nights[:-1] for what in night)
            return
        whole = Controller(folder / "all").load([batch for delta in [BASE, *deltas] for batch in delta])
        assert whole.tallies["identity_link"].quarantined.total() > 0


MOVED_AND_BACK = {
    "one night after the other": [["a correction to another person"], ["the person it went to taken back"]],
    "back and forth in one night": [
        ["a correction to another person", "twice in the delta"],
        ["a person taken back"],
    ],
    "in the full load": [[], ["the person it went to taken back"]],
}
TAKEN = {"the person it went to taken back": [("person", PEOPLE[2:3].with_columns(is_retracted=pl.lit(True)))]}


@pytest.mark.parametrize("how", MOVED_AND_BACK)
def test_a_record_that_would_be_another_persons_again_asks_for_a_full_load(how: str, tmp_path: Path) -> None:
    nights = [[batch for what in night for batch in (DELTAS | TAKEN)[what]] for night in MOVED_AND_BACK[how]]
    city = Controller(tmp_path)
    city.load([*BASE, *DELTAS["a correction to another person"]] if how == "in the full load" else BASE)
    city.add(nights[0])
    with pytest.raises(SourceRefused, match="another person's before") as caught:
        city.add(nights[1])
    assert (caught.value.table, caught.value.count) == ("diagnosis", 1)


TAKES_OUT = ("a person taken back", "persons that contradict each other")
BACK_AGAIN: dict[str, Batches] = {
    "under the code that was": DELTAS["a person said again"],
    "under another code": [("identity_link", links((IDS[1], IDS[7]))), ("person", PEOPLE[7:8])],
    "as a person who is there": [("identity_link", links((IDS[1], IDS[3])))],
}


@pytest.mark.parametrize("how", BACK_AGAIN)
def test_a_person_who_comes_back_asks_for_a_full_load(how: str, tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load(BASE)
    city.add(DELTAS["a person taken back"])
    city.add(DELTAS["a move"])
    with pytest.raises(SourceRefused, match="there again") as caught:
        city.add(BACK_AGAIN[how])
    assert (caught.value.table, caught.value.count) == ("person", 1)
    city.load([*BASE, *DELTAS["a person taken back"], *BACK_AGAIN[how]])
    city.add(DELTAS["a move"])


LATER_BORN = persons(60)["person_id"][50]
CORRECTED: dict[str, Batches] = {
    "under a new code": [
        ("identity_link", links((IDS[2], LATER_BORN))),
        ("person", persons(60)[50:51]),
    ],
    "under the code that was": [
        ("person", PEOPLE[1:2].with_columns(is_retracted=pl.lit(True), recorded_date=pl.lit(OLD))),
        ("person", PEOPLE[1:2].with_columns(birth_date=pl.lit(date(2010, 3, 2)), recorded_date=pl.lit(LATELY))),
    ],
    "by a later row": [
        ("person", PEOPLE[1:2].with_columns(birth_date=pl.lit(date(2010, 3, 2)), recorded_date=pl.lit(LATELY))),
    ],
}


@pytest.mark.parametrize("what", CORRECTED)
def test_a_corrected_month_of_birth_asks_for_a_full_load(what: str, tmp_path: Path) -> None:
    city = Controller(tmp_path / "months")
    city.load(BASE)
    with pytest.raises(SourceRefused, match="month of birth") as caught:
        city.add(CORRECTED[what])
    assert caught.value.count == 1
    assert_as_a_full_load(tmp_path / "days", [BASE, CORRECTED[what]], replace(TERMS, birth_date="day"))


BORN = (date(2010, 1, 1), date(2010, 1, 2))
Said = tuple[int, date, str | None, date | None]


def who_it_is(rows: list[Said]) -> tuple[date, str] | None:
    """The day of birth and the sex of one person, by the rules in words; None where two persons share the code."""
    born, sex = None, "unknown"
    for day in sorted({row[3] or date.min for row in rows}):
        said = [row for row in rows if (row[3] or date.min) == day]
        births, sexes = {row[1] for row in said}, {row[2] for row in said} - {None, "unknown"}
        if len(births) > 1 or len(sexes) > 1:
            return None
        other_birth = born not in (None, *births)
        if other_birth and sexes and sex != "unknown" and {sex} != sexes:
            return None
        (born,), sex = births, next(iter(sexes), sex)
    return (born, sex) if born else None


said = st.tuples(
    st.integers(0, 1),
    st.sampled_from(BORN),
    st.sampled_from(["female", "male", "unknown", None]),
    st.sampled_from([None, OLD, LATELY, LATELY + timedelta(days=1)]),
)


@given(st.lists(st.lists(said, max_size=3), min_size=2, max_size=3))
@settings(max_examples=40, deadline=None)
def test_a_person_is_what_was_recorded_last_however_the_rows_are_spread(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[Said]]
) -> None:
    def rows(some: list[Said]) -> pl.DataFrame:
        told = pl.DataFrame(some, ["place", "birth_date", "sex", "recorded_date"], orient="row")
        people = pl.DataFrame({"place": [0, 1], "person_id": IDS[:2]}, schema_overrides={"place": told.schema["place"]})
        return told.join(people, on="place", maintain_order="left").drop("place")

    terms = replace(TERMS, birth_date="day")
    diagnosed = ("diagnosis", records([(IDS[n], f"a{n}", "I10", OLD, OLD, False) for n in (0, 1, 6)]))
    deltas: list[Batches] = [[("person", rows(night))] if night else [] for night in nights]
    deltas[0] += [("person", PEOPLE[6:7]), diagnosed]
    known = [
        [
            who_it_is([row for night in nights[:end] for row in night if row[0] == n])
            for end in range(1, len(nights) + 1)
        ]
        for n in (0, 1)
    ]
    expected = [nights_of[-1] for nights_of in known]
    whole = Controller(tmp_path_factory.mktemp("whole"), terms)
    whole.load([batch for delta in deltas for batch in delta])
    found = pl.read_parquet(whole.files["person"]).filter(pl.col("birth_date") != PEOPLE["birth_date"][6])
    assert sorted(found.select("birth_date", "sex").rows()) == sorted(one for one in expected if one)
    assert len(whole.rows()["diagnosis"]) == found.height + 1
    # Two persons' rows that are one's again need what the increment took out of the lake.
    is_back = ["".join("-+"[one is not None] for one in nights_of).find("+-+") >= 0 for nights_of in known]
    with pytest.raises(SourceRefused, match="there again") if any(is_back) else nullcontext():
        assert_as_a_full_load(tmp_path_factory.mktemp("nights"), deltas, terms)


versions = st.tuples(
    st.integers(0, 5),
    st.one_of(st.none(), st.sampled_from(["r1", "r2", "r3"])),
    st.sampled_from(["E11.9", "I10"]),
    st.sampled_from([OLD, LATELY]),
    st.one_of(st.none(), st.sampled_from([OLD, LATELY])),
    st.booleans(),
)


@given(st.lists(st.lists(versions, max_size=8), min_size=2, max_size=4))
@settings(max_examples=25, deadline=None)
def test_the_latest_version_of_a_record_stands_however_the_versions_are_spread(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[tuple[object, ...]]]
) -> None:
    folder = tmp_path_factory.mktemp("versions")
    deltas = [[("diagnosis", records([(IDS[row[0]], *row[1:]) for row in night]))] for night in nights]
    found = assert_as_a_full_load(folder, [[("person", PEOPLE[:6]), *deltas[0]], *deltas[1:]])
    expected: dict[object, tuple[object, ...]] = {}
    for row in (row for night in nights for row in night):
        key = row[1] or row
        if key not in expected or (row[4] or date.min) >= (expected[key][4] or date.min):
            expected[key] = row
    assert len(found.rows().get("diagnosis", [])) == len(expected)


def test_files_that_no_row_leaves_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BUCKET_PERSONS", 2)
    city = Controller(tmp_path)
    city.load(BASE)
    before = set(city.files["diagnosis"])
    loader, merged = city.add(DELTAS["a corrected row of old"])
    kept = set(merged["diagnosis"].kept)
    assert len([file for file in before if "recent-" not in file]) == 3
    assert kept < before
    assert len(before - kept) == 1
    assert merged["diagnosis"].left_out == {"record_id: a later row replaces it": 1}
    assert (loader.tallies["diagnosis"].rows_in, loader.tallies["diagnosis"].kept) == (1, 1)


def test_the_files_of_many_nights_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(increment, "MOST_SMALL", 3)
    banned = [("restriction", bans([(IDS[0], None, "s0", False)]))]
    nights = [
        [
            ("diagnosis", records([(IDS[night % 6], f"n{night}", "I10", LATELY, LATELY, False)])),
            ("residence", homes([(IDS[night % 6], "102", LATELY - timedelta(days=night), f"m{night}")])),
        ]
        for night in range(8)
    ]
    city = assert_as_a_full_load(tmp_path, [BASE, nights[0] + banned, *nights[1:]])
    for name in ("diagnosis", "residence"):
        assert len([file for file in city.files[name] if f"-{load.RECENT}" in file]) <= increment.MOST_SMALL
    assert city.memory is not None
    assert city.memory.withheld["area_code"].null_count() == 0
    assert city.memory.withheld.height == 4


def test_nights_that_take_rows_back_put_their_files_together_no_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increment, "MOST_SMALL", 3)
    city, most = Controller(tmp_path), 0
    city.load([("person", PEOPLE[:6])])
    for night in range(9):
        before = set(city.files.get("diagnosis", []))
        city.add(
            [
                (
                    "diagnosis",
                    records([(IDS[night % 6], f"{night}-{n}", "I10", LATELY, LATELY, n == 0) for n in range(3)]),
                )
            ]
        )
        files = {taken_back: set[str]() for taken_back in (False, True)}
        for file in city.files["diagnosis"]:
            files[bool(pl.read_parquet(file).select(IS_RETRACTED).to_series().any())].add(file)
        assert {len(some) for some in files.values()} == {night % 3 + 1}
        assert (before <= set(city.files["diagnosis"])) == (night % 3 > 0 or night == 0)
        most = max(most, len(city.files["diagnosis"]))
    assert most == 2 * increment.MOST_SMALL


def test_a_night_is_judged_by_its_own_rows_and_the_whole_table_is_known(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load(BASE)
    _, merged = city.add(DELTAS["a corrected row of old"])
    diagnosis = merged["diagnosis"]
    assert diagnosis.rows_after == 1
    assert [path.name for path in diagnosis.judged] == ["recent-0000.parquet"]
    held = holding(city.files["diagnosis"], AS_OF)
    assert held == Holding(sum(pl.read_parquet(file).height for file in city.files["diagnosis"]), (AS_OF - LATELY).days)
    assert holding(city.files["residence"], AS_OF).days_since_latest_event is None
    assert (
        holding(city.files["diagnosis"], LATELY - timedelta(days=1)).days_since_latest_event
        == (LATELY - timedelta(days=1) - OLD).days
    )
    assert holding([], AS_OF) == Holding(0, None)


def test_new_persons_are_numbered_behind_the_others_in_the_order_of_their_pseudonyms(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load(BASE)
    before = dict(pl.read_parquet(city.files["person"]).select("pseudonym", PERSON_NUMBER).iter_rows())
    city.add([("person", PEOPLE[6:].reverse())])
    after = dict(pl.read_parquet(city.files["person"]).select("pseudonym", PERSON_NUMBER).iter_rows())
    assert {pseudonym: after[pseudonym] for pseudonym in before} == before
    new = sorted((number, pseudonym) for pseudonym, number in after.items() if pseudonym not in before)
    assert [number for number, _ in new] == [6, 7, 8]
    keys = words(from_series(pl.Series([pseudonym for _, pseudonym in new]))[0])
    assert pl.DataFrame(keys).rows() == sorted(pl.DataFrame(keys).rows())


def test_a_lifted_ban_brings_the_residences_back(tmp_path: Path) -> None:
    ended = [("restriction", bans([(IDS[0], date(2026, 1, 5), "s0", False)]))]
    city = assert_as_a_full_load(tmp_path, [BASE, DELTAS["a ban"], DELTAS["a move"], ended])
    homes_now = pl.concat([pl.read_parquet(file) for file in city.files["residence"]])
    assert homes_now["area_code"].null_count() == 0


def test_of_a_person_taken_back_nothing_is_remembered_but_that(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load(BASE)
    city.add(DELTAS["a person taken back"])
    assert city.memory is not None
    said = city.memory.persons.filter(pl.col("person_id") == IDS[1])
    assert said["is_retracted"].to_list() == [True]
    assert len(city.rows()["person"]) == 5


def test_dates_made_coarser_are_compared_as_they_cross(tmp_path: Path) -> None:
    terms = replace(TERMS, event_dates={"diagnosis": "month"})
    days = [date(2026, 10, 20), date(2026, 10, 5), date(2026, 9, 30)]
    versions = [
        [("diagnosis", records([(IDS[0], "r", code, OLD, day, False)]))] for code, day in zip("ABC", days, strict=True)
    ]
    versions = [[(name, rows.with_columns(code=pl.col("code") + "10")) for name, rows in night] for night in versions]
    city = assert_as_a_full_load(tmp_path, [[("person", PEOPLE[:6]), *versions[0]], *versions[1:]], terms)
    assert "B10" in city.rows()["diagnosis"][0]
    with pytest.raises(SourceRefused, match="record_id"):
        city.add(DELTAS["a row without a key"])


def test_what_is_remembered_opens_with_its_key_alone_and_shows_nothing(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load([*BASE, ("restriction", bans([(IDS[0], None, "s0", False)]))])
    path = tmp_path / "1.sealed"
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(identifier.encode() not in path.read_bytes() for identifier in IDS)
    with pytest.raises(KeyUnavailable):
        recall(path, bytes(32))
    changed = path.with_name("2.sealed")
    changed.write_bytes(path.read_bytes())
    with pytest.raises(KeyUnavailable):
        recall(changed, memory_key(KEYRING))


def test_rows_that_disappear_in_merging_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    city = Controller(tmp_path)
    city.load(BASE)
    monkeypatch.setattr(increment, "in_order", lambda rows, order: rows.head(rows.height - 1))
    with pytest.raises(AssertionError, match=r"diagnosis|residence"):
        city.add(DELTAS["a late row"])


def test_who_is_new_and_who_goes_keeps_the_numbers_dense(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load([("person", PEOPLE), ("diagnosis", diagnoses(IDS, recorded_date=OLD))])
    gone = PEOPLE.with_columns(is_retracted=pl.lit(True))
    nights = [[0, 1, 2], [8], [4, 5]]
    for number, night in enumerate(nights):
        city.add([("person", gone[night])])
        left = 9 - sum(map(len, nights[: number + 1]))
        assert len(city.rows()["person"]) == len(city.rows()["diagnosis"]) == left
    born = PEOPLE[:1].with_columns(person_id=pl.lit(identity_code(date(2011, 3, 3))), birth_date=date(2011, 3, 3))
    city.add([("person", born)])
    assert len(city.rows()["person"]) == 4


def test_a_row_waits_until_the_day_comes(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    city.load(BASE)
    assert "2027, 1, 5" not in str(city.rows()["diagnosis"])
    city.terms = replace(TERMS, latest=TERMS.latest + timedelta(days=90))
    city.add(DELTAS["a late row"])
    assert "2027, 1, 5" in str(city.rows()["diagnosis"])


def test_a_row_that_waited_comes_whole(tmp_path: Path) -> None:
    city = Controller(tmp_path)
    booked = {"event_date": LATELY, "status": "cancelled_by_provider", "reason": "pandemic", "service": "hospital"}
    rows = pl.DataFrame({"person_id": IDS[8:], **booked})
    loader = city.load([*BASE, ("appointment", rows)])
    assert loader.tallies["appointment"].quarantined.total() == 1
    sealed = next(tmp_path.glob("quarantine-1/appointment-*"))
    opened = unseal(sealed, quarantine_key(KEYRING))
    assert opened["reason_in_source"].to_list() == ["pandemic"]
    assert opened["reason"].to_list() == ["person_id: is not among the persons"]
    city.add(DELTAS["a new person, whose row had waited"])
    assert pl.read_parquet(city.files["appointment"])["reason"].to_list() == ["pandemic"]
