"""OMOP CDM folders as different sites export them; the rows here are invented."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import SourceRefused
from schemas.tables import TABLES
from tests.controller.people import identity_code
from transforms.sources import Source
from transforms.sources.omop import OmopSource

CANARY = "Zyxwv"
CODE = identity_code(date(2001, 2, 3))
PERSON = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,person_source_value,location_id\n"
CDM = {
    "PERSON": PERSON + "1,8532,1950,2,3,abc,7\n2,8507,1960,4,,def,8\n3,0,1970,,,ghi,\n",
    "DEATH": "person_id,death_date\n2,2019-12-31\n2,2020-01-02\n",
    "LOCATION": "location_id,address_1,city,zip,location_source_value\n7,Road 1,Helsinki,00100,101\n8,,Kallio,,\n",
    "VISIT_OCCURRENCE": (
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_source_value,provider_id\n"
        f"1,1,9202,2020-01-02,x,1\n2,1,0,2020-01-03,R50,\n3,2,0,2020-01-04,{CANARY},\n"
    ),
    "PROVIDER": "provider_id,specialty_concept_id,specialty_source_value\n1,38004446,\n",
    "CONDITION_OCCURRENCE": (
        "condition_occurrence_id,person_id,condition_concept_id,condition_source_concept_id,condition_source_value,"
        "condition_start_date,condition_end_date\n"
        "1,1,201826,45591027,E11.9,2015-01-01,\n"
        "2,1,201826,0,local-77,2016-01-01,2017-01-01\n"
        "3,2,0,0,I10,2017-01-01,\n"
        f"4,2,0,0,{CANARY},2017-01-01,\n"
    ),
    "MEASUREMENT": (
        "measurement_id,person_id,measurement_concept_id,measurement_source_concept_id,measurement_source_value,"
        "measurement_date,value_as_number,unit_concept_id,unit_source_value,value_source_value\n"
        "1,1,3004410,0,HbA1c,2020-01-02,48.5,9579,mmol/mol,48.5\n"
        f"2,1,3004410,0,HbA1c,2020-02-02,,8554,,{CANARY}\n"
        "3,1,4024958,0,x,2020-02-02,1,0,,\n"
    ),
    "DRUG_EXPOSURE": (
        "drug_exposure_id,person_id,drug_concept_id,drug_source_concept_id,drug_source_value,drug_exposure_start_date,"
        "days_supply\n1,1,1503297,0,x,2020-01-02,90\n4,1,1503297,0,x,2020-01-03,-1\n2,1,21600000,0,x,2020-01-02,\n3,1,0,0,03,2020-01-03,\n"
    ),
    "CONCEPT": (
        "concept_id,concept_name,vocabulary_id,concept_code\n201826,a,SNOMED,44054006\n45591027,b,ICD10fi,E11.9\n"
        '3004410,"c ""d""",LOINC,4548-4\n9579,e,UCUM,mmol/mol\n8554,f,UCUM,%\n4024958,g,SNOMED,117015009\n'
        "1503297,h,RxNorm,6809\n21600000,i,ATC,J07BD52\n"
    ),
}


def folder(directory: Path, changes: dict[str, str | bytes | None] | None = None) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in (CDM | (changes or {})).items():
        if text is not None:
            (directory / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


def read(source: Source) -> dict[str, pl.DataFrame]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for table, rows in source.batches():
        frames.setdefault(table, []).append(rows)
    return {table: pl.concat(parts) for table, parts in frames.items()}


def count(source: Source, table: str, word: str) -> int | None:
    found = [remark for remark in source.remarks() if remark.table == table and word in remark.rule]
    assert len(found) == 1, source.remarks()
    return found[0].count


def test_every_table_becomes_its_own(tmp_path: Path) -> None:
    source = OmopSource(folder(tmp_path))
    frames = read(source)
    assert (source.kind, source.identifier, source.generated) == ("omop", "opaque", False)
    for table, frame in frames.items():
        assert set(frame.columns) <= set(TABLES[table].names)
    assert frames["person"].rows() == [
        ("1", "1950-02-03", "female", None),
        ("2", "1960-04-01", "male", "2019-12-31"),
        ("3", "1970-07-01", "unknown", None),
    ]
    assert frames["residence"].select("person_id", "street_address", "postal_code", "area_code").rows() == [
        ("1", "Road 1", "00100", "101"),
        ("2", None, None, "301"),
        ("3", None, None, None),
    ]
    assert frames["contact"].select("event_date", "channel", "profession").rows() == [
        ("2020-01-02", "visit", "doctor"),
        ("2020-01-03", "phone", None),
        ("2020-01-04", "other", None),
    ]
    assert frames["diagnosis"].select("code_system", "code", "event_date", "end_date").rows() == [
        ("icd10", "E11.9", "2015-01-01", None),
        ("snomed", "44054006", "2016-01-01", "2017-01-01"),
        ("icd10", "I10", "2017-01-01", None),
    ]
    assert frames["measurement"].select("code_system", "code", "value", "unit").rows() == [
        ("loinc", "4548-4", "48.5", "mmol/mol"),
        ("loinc", "4548-4", None, "%"),
    ]
    assert frames["medication"].select("code_system", "code", "days_supplied").rows() == [
        ("rxnorm", "6809", "90"),
        ("rxnorm", "6809", None),
    ]
    assert frames["vaccination"].select("code_system", "code").rows() == [("atc", "J07BD52"), ("cvx", "03")]


def test_what_was_not_understood_is_counted_and_never_quoted(tmp_path: Path) -> None:
    source = OmopSource(folder(tmp_path))
    for _ in range(2):
        read(source)
        assert count(source, "diagnosis", "left out") == 1
        assert count(source, "diagnosis", "source value") == 1
        assert count(source, "measurement", "MEASUREMENT without") == 1
        assert count(source, "measurement", "not a number") == 1
        assert count(source, "contact", "kind of visit") == 1
        assert count(source, "medication", "out of range") == 1
        assert count(source, "person", "day of birth") == 2
        assert count(source, "person", "month of birth") == 1
    assert CANARY not in str(source.remarks())


def as_parquet(directory: Path) -> None:
    """Typed columns, keys that became decimals because some are missing, days as timestamps, parts in a folder."""
    for path in sorted(directory.glob("*.csv")):
        table = pl.read_csv(path, infer_schema_length=None, try_parse_dates=True, schema_overrides=STRINGS)
        table = table.cast({pl.Date: pl.Datetime("us"), pl.Int64: pl.Float64})
        (directory / path.stem.lower()).mkdir()
        for place in range(2):
            table.gather_every(2, place).write_parquet(directory / path.stem.lower() / f"part-{place}.parquet")
        path.unlink()


STRINGS = dict.fromkeys(["zip", "location_source_value", "concept_code", "drug_source_value"], pl.String)


def in_lower_case(directory: Path) -> None:
    for path in sorted(directory.glob("*.csv")):
        path.rename(path.with_name(path.name.lower()))


def with_upper_case_columns(directory: Path) -> None:
    for path in sorted(directory.glob("*.csv")):
        header, rest = path.read_text().split("\n", 1)
        path.write_text(f"{header.upper()}\n{rest}")


def with_semicolons(directory: Path) -> None:
    for path in sorted(directory.glob("*.csv")):
        pl.read_csv(path, infer_schema=False).write_csv(path, separator=";")


def with_vocabularies_in_tabs(directory: Path) -> None:
    table = pl.read_csv(directory / "CONCEPT.csv", infer_schema=False)
    table.write_csv(directory / "CONCEPT.csv", separator="\t", quote_style="never")


def with_datetimes_alone(directory: Path) -> None:
    for path in sorted(directory.glob("*_*.csv")):
        table = pl.read_csv(path, infer_schema=False)
        dates = [name for name in table.columns if name.endswith("_date")]
        times = [(pl.col(name) + " 23:59:59").alias(f"{name}time") for name in dates]
        table.with_columns(times).drop(dates).write_csv(path)


def with_columns_that_nobody_asked_for(directory: Path) -> None:
    for path in sorted(directory.glob("*.csv")):
        pl.read_csv(path, infer_schema=False).with_columns(note=pl.lit(CANARY)).write_csv(path)


@pytest.mark.parametrize(
    "change",
    [
        as_parquet,
        in_lower_case,
        with_upper_case_columns,
        with_semicolons,
        with_vocabularies_in_tabs,
        with_datetimes_alone,
        with_columns_that_nobody_asked_for,
    ],
    ids=lambda change: change.__name__,
)
def test_every_way_of_writing_the_same_tables_reads_the_same(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    expected = read(OmopSource(folder(tmp_path / "plain")))
    other = folder(tmp_path / "other")
    change(other)
    found = read(OmopSource(other))
    assert found.keys() == expected.keys()
    for table, frame in found.items():
        key = [name for name in ("person_id", "record_id") if name in frame.columns]
        numbers = frame.with_columns(pl.col("^value$").cast(pl.Float64), pl.col("^days_supplied$").cast(pl.Int64))
        plain = expected[table].with_columns(
            pl.col("^value$").cast(pl.Float64), pl.col("^days_supplied$").cast(pl.Int64)
        )
        assert numbers.sort(key).equals(plain.sort(key)), table


def test_without_concepts_codes_are_read_as_they_are_written(tmp_path: Path) -> None:
    header = CDM["CONDITION_OCCURRENCE"].split("\n", 1)[0] + "\n"
    written = ["E119", "44054006", "ICPC:K86", "icd10|I10", "K86", "E11.9*", "SNOMED:38341003", "ICD9:250", CANARY]
    rows = "".join(f"{place},1,0,0,{text},2015-01-01,\n" for place, text in enumerate(written))
    source = OmopSource(folder(tmp_path, {"CONCEPT": None, "CONDITION_OCCURRENCE": header + rows, "MEASUREMENT": None}))
    assert read(source)["diagnosis"].select("code_system", "code").rows() == [
        ("icd10", "E119"),
        ("snomed", "44054006"),
        ("icpc2", "K86"),
        ("icd10", "I10"),
        ("icd10", "K86"),
        ("icd10", "E11.9*"),
        ("snomed", "38341003"),
    ]
    assert count(source, "diagnosis", "CONCEPT is missing") is None
    assert count(source, "diagnosis", "left out") == 2


@pytest.mark.parametrize(
    ("concepts", "written", "expected"),
    [
        ("4329847,0", "I21.4", ("icd10", "I21.4")),  # the standard concept is in no list
        ("201826,0", "E11.9", ("icd10", "E11.9")),  # both are: the source's own is the finer one
        ("201826,0", "Z00", ("snomed", "44054006")),
        ("4329847,0", "Z00", ("snomed", "22298006")),
        ("4329847,45591027", "I21.4", ("icd10", "E11.9")),
    ],
)
def test_a_code_of_a_code_list_goes_before_one_of_none(
    tmp_path: Path, concepts: str, written: str, expected: tuple[str, str]
) -> None:
    header = CDM["CONDITION_OCCURRENCE"].split("\n", 1)[0] + "\n"
    changes: dict[str, str | bytes | None] = {
        "CONDITION_OCCURRENCE": header + f"1,1,{concepts},{written},2015-01-01,\n",
        "CONCEPT": CDM["CONCEPT"] + "4329847,x,SNOMED,22298006\n",
    }
    found = read(OmopSource(folder(tmp_path, changes)))["diagnosis"]
    assert found.select("code_system", "code").rows() == [expected]


def test_a_drug_known_by_its_atc_code_is_no_vaccine_for_two_digits(tmp_path: Path) -> None:
    header = CDM["DRUG_EXPOSURE"].split("\n", 1)[0] + "\n"
    rows = "1,1,1503297,0,C10AA05,2020-01-02,90\n2,1,1503297,0,03,2020-01-03,90\n3,1,1503297,0,CVX:03,2020-01-03,\n"
    frames = read(OmopSource(folder(tmp_path, {"DRUG_EXPOSURE": header + rows})))
    assert frames["medication"].select("code_system", "code").rows() == [("atc", "C10AA05"), ("rxnorm", "6809")]
    assert frames["vaccination"].select("code_system", "code").rows() == [("cvx", "03")]


def test_a_result_in_words_keeps_its_number_and_unit(tmp_path: Path) -> None:
    header = CDM["MEASUREMENT"].split("\n", 1)[0] + "\n"
    rows = '1,1,3004410,0,x,2020-01-02,,0,,"9,9 %"\n2,1,3004410,0,x,2020-01-02,48,9579,,high\n'
    found = read(OmopSource(folder(tmp_path, {"MEASUREMENT": header + rows})))["measurement"]
    assert found.select("value", "unit").rows() == [("9,9", "%"), ("48", "mmol/mol")]


def test_persons_are_known_by_identity_codes_where_these_are_given(tmp_path: Path) -> None:
    persons = PERSON + f"1,8532,2001,2,3,{CODE},\n2,8507,1960,4,5,,\n3,0,1970,1,1,{CODE.lower()},\n"
    source = OmopSource(folder(tmp_path, {"PERSON": persons}))
    frames = read(source)
    assert source.identifier == "hetu"
    # Who has no code keeps the key, which is no identity code: the controller quarantines the person for it.
    assert frames["person"]["person_id"].to_list() == [CODE, "2", CODE.lower()]
    assert frames["contact"]["person_id"].to_list() == [CODE, CODE, "2"]


def test_enrolments_bound_where_somebody_lives_and_spans_of_records_do_not(tmp_path: Path) -> None:
    header = "observation_period_id,person_id,observation_period_start_date,observation_period_end_date,"
    header += "period_type_concept_id\n"
    rows = "1,1,2010-01-01,2015-06-30,32813\n2,1,2017-01-01,2020-12-31,32813\n3,2,2012-01-01,2013-01-01,44814724\n"
    source = OmopSource(folder(tmp_path, {"OBSERVATION_PERIOD": header + rows}))
    assert read(source)["residence"].select("person_id", "from_date", "to_date").rows() == [
        ("1", "2010-01-01", "2015-06-30"),
        ("1", "2017-01-01", None),
        ("2", None, None),
        ("3", None, None),
    ]


def test_tables_may_be_missing_and_the_run_says_which(tmp_path: Path) -> None:
    source = OmopSource(folder(tmp_path, dict.fromkeys([name for name in CDM if name != "PERSON"])))
    assert set(read(source)) == {"person", "residence"}
    for table, word in (("person", "DEATH"), ("contact", "VISIT_OCCURRENCE"), ("diagnosis", "CONDITION_OCCURRENCE")):
        assert count(source, table, word) is None


@pytest.mark.parametrize("name", [name for name in CDM if name not in ("PERSON", "CONCEPT")])
def test_a_table_with_nothing_in_it_is_a_missing_one(tmp_path: Path, name: str) -> None:
    missing, empty = (OmopSource(folder(tmp_path / how, {name: text})) for how, text in (("no", None), ("nil", "")))
    assert str(read(empty)) == str(read(missing))
    assert empty.remarks() == missing.remarks()
    header = CDM[name].split("\n", 1)[0]
    found = read(OmopSource(folder(tmp_path / "header", {name: header})))
    assert found.keys() <= read(missing).keys()
    assert found["person"].height == 3


@pytest.mark.parametrize(
    ("changes", "table", "column", "word"),
    [
        ({"PERSON": None}, "person", None, "missing"),
        ({"PERSON": ""}, "person", None, "missing"),
        ({"PERSON": "person_id,sex\n1,2\n"}, "person", "year_of_birth", "required column"),
        ({"PERSON": "id,year_of_birth\n1,2000\n"}, "person", "person_id", "required column"),
        ({"MEASUREMENT": "person_id,measurement_id\n1,2\n"}, "measurement", "measurement_date", "required column"),
        (
            {"CONDITION_OCCURRENCE": "person_id,condition_start_date\n1,2020-01-01\n"},
            "condition_occurrence",
            "condition_source_concept_id",
            "required column",
        ),
        ({"DEATH": f"person_id,death_date\n1,2020-01-01,{CANARY}\n"}, "death", None, "fields"),
        ({"DEATH": f'person_id,death_date\n1,"{CANARY}\n'}, "death", None, "quotation mark"),
        ({"DEATH": b"person_id,death_date\n1,\xff\xfe\n"}, "death", None, "cannot be read"),
        ({"CONCEPT": "concept_id,concept_code\n1,2\n"}, "concept", "vocabulary_id", "required column"),
        ({"CONCEPT": "concept_id,vocabulary_id,concept_code\n1,Other,x\n"}, "measurement", "code", "no row"),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    tmp_path: Path, changes: dict[str, str | bytes | None], table: str, column: str | None, word: str
) -> None:
    with pytest.raises(SourceRefused) as caught:
        read(OmopSource(folder(tmp_path, changes)))
    assert (caught.value.table, caught.value.column, caught.value.exit_code) == (table, column, 10)
    assert word in caught.value.rule
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_table_in_two_forms_and_a_broken_parquet_file_are_refused(tmp_path: Path) -> None:
    directory = folder(tmp_path / "twice")
    pl.DataFrame({"person_id": [1]}).write_parquet(directory / "death.parquet")
    with pytest.raises(SourceRefused, match="more than one form"):
        OmopSource(directory)
    broken = folder(tmp_path / "broken", {"DEATH": None})
    pl.DataFrame({"person_id": ["1"] * 5000, "death_date": ["x"] * 5000}).write_parquet(tmp_path / "whole")
    (broken / "death.parquet").write_bytes((tmp_path / "whole").read_bytes()[:-100])
    with pytest.raises(SourceRefused) as caught:
        read(OmopSource(broken))
    assert caught.value.table == "death"
    with pytest.raises(SourceRefused, match="no such folder"):
        OmopSource(tmp_path / "nowhere")
