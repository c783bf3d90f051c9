"""Synthea's CSV files as a source: made-up persons, in whichever layout of the exporter or of a converter.

Headers in any case and order, columns and files that are missing, `+00:00`, `Z` or no time at all are taken as they
come. Of a timestamp the day counts as it is written, without moving it to another time zone: that is the day on which
it happened where the person lives. Appointments, call-backs and social services do not exist in Synthea.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import polars as pl

from schemas.areas import CITY, DISTRICT, MAJOR, UNKNOWN_AREA, complete_areas
from schemas.errors import SourceRefused
from transforms.sources import Remark
from transforms.sources.files import columns_of, csv_batches, quotation_marks, rows_about
from transforms.sources.notes import Notes
from transforms.sources.places import read_area_map
from transforms.sources.words import count_where, stripped, word_of

_EVENT_FILES = {
    "encounters": ("contact", "snomed"),
    "conditions": ("diagnosis", "snomed"),
    "observations": ("measurement", "loinc"),
    "medications": ("medication", "rxnorm"),
    "immunizations": ("vaccination", "cvx"),
}
"""Table and code system of each file of events. Other files say nothing that an indicator asks for."""
_PATIENTS = "patients"
_REQUIRED_DAYS = ("birth_date", "event_date")
_WORDS = tomllib.loads(files("transforms.sources").joinpath("synthea_codes.toml").read_text("utf-8"))
_ABSENT = pl.lit(None, dtype=pl.String)


class SyntheaSource:
    """A folder of Synthea's CSV files, or the folder above its `csv`.

    Districts are the cities that persons live in and major districts their states, unless `area_map` (a CSV of `city`
    and `area_code`) places cities in a geography: `areas`, or the default. Raises SourceRefused where there is no
    patients.csv and UsageRefused where the map cannot be used.
    """

    kind = "synthea"
    identifier = "opaque"
    generated = True

    def __init__(self, directory: Path, area_map: Path | None = None, areas: pl.DataFrame | None = None) -> None:
        """Find the files; patients.csv must be there with an Id and a BIRTHDATE column."""
        self._files = _csv_files(directory)
        self._notes = Notes()
        if _PATIENTS not in self._files:
            raise SourceRefused("patients.csv is missing", "Give the folder of Synthea's CSV files", "person")
        present = self._columns(_PATIENTS, "person")
        for word, column in (("ID", "person_id"), ("BIRTHDATE", "birth_date")):
            if word not in present:
                rule = f"patients.csv has no {word} column"
                raise SourceRefused(rule, "Export it again with Synthea's CSV exporter", "person", column)
        self._given_areas = areas
        self._area_of_city = read_area_map(area_map, areas) if area_map else None
        self._geography: tuple[pl.DataFrame | None, pl.DataFrame] | None = None

    def areas(self) -> pl.DataFrame | None:
        """Give the cities and states that persons live in; with an area map the geography that was given with it."""
        return self._given_areas if self._area_of_city is not None else self._districts()[0]

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield persons, then where they live, then what happened to them."""
        self._notes = Notes()
        persons = 0
        for rows in self._rows(_PATIENTS, "person"):
            persons += rows.height
            yield "person", self._persons(rows)
        if not persons:
            raise SourceRefused("patients.csv has no rows", "Give an export with patients in it", "person")
        for rows in self._rows(_PATIENTS, "residence"):
            yield "residence", self._residences(rows)
        for name, (table, code_system) in _EVENT_FILES.items():
            if self._has_events(name, table):
                for rows in self._rows(name, table):
                    yield table, self._events(rows, table, code_system)

    def remarks(self) -> list[Remark]:
        """Tell what was missing or not understood; complete once `batches` has been read to its end."""
        return self._notes.remarks()

    def rows_expected(self) -> int | None:
        """Estimate from the size of the files; a patient is a person and a residence."""
        read = [self._files[name] for name in (_PATIENTS, _PATIENTS, *_EVENT_FILES) if name in self._files]
        return rows_about(read)

    # Tables

    def _persons(self, rows: pl.DataFrame) -> pl.DataFrame:
        given = [self._text(rows, "person", "given_names", "FIRST")]
        given += [stripped("MIDDLE")] if "MIDDLE" in rows.columns else []
        given_names = pl.concat_str(given, separator=" ", ignore_nulls=True)
        return rows.select(
            person_id=self._text(rows, "person", "person_id", "ID"),
            given_names=pl.when(given_names != "").then(given_names),
            family_name=self._text(rows, "person", "family_name", "LAST"),
            birth_date=self._day(rows, "person", "birth_date", "BIRTHDATE"),
            sex=word_of(self._text(rows, "person", "sex", "GENDER"), _WORDS["sex"], "unknown"),
            death_date=self._day(rows, "person", "death_date", "DEATHDATE"),
        )

    def _residences(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row per person: Synthea tells where a person lives last, not since when."""
        residences = rows.select(
            person_id=self._text(rows, "residence", "person_id", "ID"),
            street_address=self._text(rows, "residence", "street_address", "ADDRESS"),
            postal_code=self._text(rows, "residence", "postal_code", "ZIP"),
            city=self._text(rows, "residence", "area_code", "CITY"),
            state=stripped("STATE") if "STATE" in rows.columns else _ABSENT,
        )
        if self._area_of_city is not None:
            key = pl.col("city").str.to_lowercase()
            placed = residences.with_columns(area_code=key.replace_strict(self._area_of_city, default=None))
        else:
            districts = self._districts()[1]
            placed = residences.join(
                districts, on=["city", "state"], how="left", nulls_equal=True, maintain_order="left"
            )
        self._notes.count("residence", "area_code", "the city has no area", placed["area_code"].null_count())
        return placed.drop("city", "state")

    def _events(self, rows: pl.DataFrame, table: str, code_system: str) -> pl.DataFrame:
        code = stripped("CODE") if "CODE" in rows.columns else _ABSENT
        columns = {
            "person_id": stripped("PATIENT"),
            "code_system": pl.when(code.is_not_null()).then(pl.lit(code_system)),
            "code": code,
            "event_date": self._day(rows, table, "event_date", "START", "DATE"),
        }
        if "ID" in rows.columns:
            columns["record_id"] = stripped("ID")
        if "STATUS" in rows.columns:
            columns["is_retracted"] = stripped("STATUS").str.to_lowercase().is_in(_WORDS["retracted"]["status"])
        if table == "contact":
            words = self._text(rows, table, "channel", "ENCOUNTERCLASS", "CLASS")
            columns["channel"] = word_of(words, _WORDS["channel"], "other")
            known = [word for group in _WORDS["channel"].values() for word in group]
            unknown = count_where(rows, ~words.str.to_lowercase().is_in(known).fill_null(False))
            self._notes.count(table, "channel", "the class of encounter is not known and counts as other", unknown)
        elif table == "diagnosis":
            columns["end_date"] = self._day(rows, table, "end_date", "STOP")
        elif table == "measurement":
            value = self._text(rows, table, "value", "VALUE")
            is_number = value.cast(pl.Float64, strict=False).is_finite()
            columns["value"] = pl.when(is_number).then(value)
            columns["unit"] = self._text(rows, table, "unit", "UNITS", "UNIT")
            no_number = count_where(rows, value.is_not_null() & ~is_number.fill_null(False))
            self._notes.count(table, "value", "the result is not a number and was left empty", no_number)
        return rows.select(**columns)

    # Files

    def _columns(self, name: str, table: str) -> list[str]:
        """Column names in capitals; a name that is empty or comes again is made unique and so never asked for."""
        names = [column.upper() for column in columns_of(self._files[name], table)]
        return [word if word and word not in names[:place] else f"#{place}" for place, word in enumerate(names)]

    def _rows(self, name: str, table: str) -> Iterator[pl.DataFrame]:
        def skipped() -> None:
            self._notes.count(table, None, "rows with more or fewer fields than the header were left out", 1)

        if quotation_marks(self._files[name]) % 2:
            self._notes.note(table, None, f"{name}.csv has a quotation mark too few: rows may have been read as one")
        return csv_batches(self._files[name], table, self._columns(name, table), skipped)

    def _has_events(self, name: str, table: str) -> bool:
        """Whether a file can be read as events; a remark where it cannot."""
        if name not in self._files:
            self._notes.note(table, None, f"{name}.csv is missing")
            return False
        if self._files[name].stat().st_size == 0:
            self._notes.note(table, None, f"{name}.csv is empty")
            return False
        present = self._columns(name, table)
        needed = {"person_id": ("PATIENT",), "event_date": ("START", "DATE")}
        needed |= {"code": ("CODE",)} if table != "contact" else {}
        lacking = [column for column, words in needed.items() if not set(words) & set(present)]
        for column in lacking:
            self._notes.note(table, column, f"{name}.csv lacks the column and was left out")
        return not lacking

    def _text(self, rows: pl.DataFrame, table: str, column: str, *words: str) -> pl.Expr:
        """The first of the named columns that is there, else nothing and a remark."""
        for word in words:
            if word in rows.columns:
                return stripped(word)
        self._notes.note(table, column, f"there is no {words[0]} column")
        return _ABSENT

    def _day(self, rows: pl.DataFrame, table: str, column: str, *words: str) -> pl.Expr:
        """The day as it is written; what is no day is kept, for the controller to quarantine."""
        text = self._text(rows, table, column, *words)
        day = text.str.head(10)
        is_day = day.str.to_date("%Y-%m-%d", strict=False).is_not_null()
        lost = ~is_day if column in _REQUIRED_DAYS else ~is_day & text.is_not_null()
        self._notes.count(table, column, "the date is missing or cannot be read", count_where(rows, lost))
        return pl.when(is_day).then(day).otherwise(text)

    def _districts(self) -> tuple[pl.DataFrame | None, pl.DataFrame]:
        """The geography (None where no city is named) and the district of each city and state."""
        if self._geography is None:
            places = pl.DataFrame(schema={"city": pl.String, "state": pl.String})
            for rows in csv_batches(self._files[_PATIENTS], "person", self._columns(_PATIENTS, "person"), lambda: None):
                if "CITY" in rows.columns:
                    state = stripped("STATE") if "STATE" in rows.columns else _ABSENT
                    found = rows.select(city=stripped("CITY"), state=state).drop_nulls("city")
                    places = pl.concat([places, found]).unique()
            self._geography = geography(places)
        return self._geography


def geography(places: pl.DataFrame) -> tuple[pl.DataFrame | None, pl.DataFrame]:
    """Areas of distinct `city` and `state` names, and one row per pair with its `area_code`.

    A city is a district, its state a major district; a city in two states is two districts. Codes are made from the
    names (MA-new-bedford) and numbered where two names give the same one. Areas are None where there is no place.
    """
    taken = {"synthea", UNKNOWN_AREA}
    rows = [{"code": "synthea", "parent": None, "level": CITY, "name_en": "Synthea"}]
    majors: dict[str | None, str] = {}
    codes = []
    for state, city in places.select("state", "city").unique().sort("state", "city", nulls_last=True).iter_rows():
        if state not in majors:
            majors[state] = _new_code(_slug(state or "no state"), taken)
            rows.append(
                {"code": majors[state], "parent": "synthea", "level": MAJOR, "name_en": state or "No state given"}
            )
        codes.append(_new_code(f"{majors[state]}-{_slug(city).lower()}", taken))
        rows.append({"code": codes[-1], "parent": majors[state], "level": DISTRICT, "name_en": city})
    districts = places.select("state", "city").unique().sort("state", "city", nulls_last=True)
    districts = districts.with_columns(pl.Series("area_code", codes, dtype=pl.String))
    return complete_areas(pl.DataFrame(rows)) if codes else None, districts


def _new_code(code: str, taken: set[str]) -> str:
    number, unique = 1, code
    while unique.lower() in taken:
        number += 1
        unique = f"{code}-{number}"
    taken.add(unique.lower())
    return unique


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-") or "area"


def _csv_files(directory: Path) -> dict[str, Path]:
    """CSV files by name in small letters, without the ending."""
    for folder in (directory, directory / "csv"):
        if folder.is_dir():
            found = {path.stem.lower(): path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".csv"}
            if _PATIENTS in found:
                return found
    if not directory.is_dir():
        raise SourceRefused("there is no such folder", "Give the folder of Synthea's CSV files")
    return {}
