"""An OMOP Common Data Model 5.4 folder as a source; omop.toml says what becomes what.

Persons are known by their personal identity codes where PERSON_SOURCE_VALUE holds them, else by PERSON_ID. Of a
timestamp the day counts as it is written. A birth date without its day is the first of the month, without its month
July: an error of half a year at most.
"""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl

from schemas.errors import SourceRefused
from transforms.sources import Remark
from transforms.sources.files import rows_about
from transforms.sources.notes import Notes
from transforms.sources.omop_codes import Concepts, read_concepts
from transforms.sources.omop_files import OmopFiles
from transforms.sources.places import Places
from transforms.sources.words import (
    OUT_OF_RANGE,
    count_where,
    hold_identity_codes,
    number_in,
    terms_of,
    unit_in,
    within_range,
)

_MAP: dict[str, Any] = tomllib.loads(files("transforms.sources").joinpath("omop.toml").read_text("utf-8"))
_LOCATION = ("location_source_value", "county", "city")
"""Columns of LOCATION that may tell the district, the finest first."""
_BIRTH = ("year_of_birth", "birth_datetime")


class OmopSource:
    """A folder of CDM tables, CSV or Parquet, names in any case; only PERSON is required.

    LOCATION places persons by the code or name of a district, or by `area_map`. Raises SourceRefused where the folder
    is no OMOP export and UsageRefused where the map cannot be used.
    """

    kind = "omop"
    generated = False

    def __init__(self, directory: Path, area_map: Path | None = None, areas: pl.DataFrame | None = None) -> None:
        """Find the files, check the columns without which nothing can be read, and see who persons are known by."""
        self._files = OmopFiles(directory)
        if "person" not in self._files:
            raise SourceRefused("the table is missing", "Add PERSON.csv or PERSON.parquet to the folder", "person")
        self._files.need("person", "person_id")
        self._files.need("person", *_BIRTH)
        for name, terms in _MAP["event"].items():
            if name in self._files:
                self._files.need(name, "person_id")
                self._files.need(name, *terms["date"])
                if "source_value" in terms:
                    self._files.need(name, *terms["concepts"], terms["source_value"])
        self._areas, self._places = areas, Places(area_map, areas)
        self._notes = Notes()
        first = next(self._files.rows("person", ["person_source_value"]), None)
        self.identifier = "hetu" if first is not None and hold_identity_codes(first.to_series()) else "opaque"

    def areas(self) -> pl.DataFrame | None:
        """Give the geography that was given, or None for the default."""
        return self._areas

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield persons, then where they live, then what happened to them."""
        self._notes = Notes()
        deaths, identifiers = self._deaths(), []
        for rows in self._files.rows("person", _PERSON_COLUMNS):
            persons = self._persons(rows, deaths)
            if self.identifier == "hetu":
                identifiers.append(persons.select(rows["person_id"].alias("cdm_id"), "person_id"))
            yield "person", persons
        known = pl.concat(identifiers) if identifiers else None
        for residences in self._residences(known):
            yield "residence", residences
        concepts = read_concepts(self._files, _MAP, self._notes)
        for name in _MAP["event"]:
            if name not in self._files:
                self._notes.note(_MAP["event"][name]["table"], None, f"the table {name.upper()} is missing")
                continue
            yield from self._events(name, concepts, known)

    def remarks(self) -> list[Remark]:
        """Tell what was missing or not understood; complete once `batches` has been read to its end."""
        return self._notes.remarks()

    def rows_expected(self) -> int | None:
        """Estimate from the files; a person is a person and a residence."""
        return rows_about([path for name in ("person", "person", *_MAP["event"]) for path in self._files.paths(name)])

    # Persons

    def _persons(self, rows: pl.DataFrame, deaths: pl.DataFrame) -> pl.DataFrame:
        sex = pl.coalesce(
            terms_of(pl.col("gender_concept_id"), _MAP["person"]["sex_concept"]),
            terms_of(pl.col("gender_source_value"), _MAP["person"]["sex_word"]),
            pl.lit("unknown"),
        )
        for part in ("day", "month"):
            lost = pl.col(f"{part}_of_birth").is_null() & pl.col("birth_datetime").is_null()
            rule = f"the {part} of birth is not known and was taken as the {'first' if part == 'day' else 'seventh'}"
            self._notes.count("person", "birth_date", rule, count_where(rows, lost))
        return rows.join(deaths, on="person_id", how="left", maintain_order="left").select(
            person_id=self._identifier(),
            birth_date=_birth_date(),
            sex=sex,
            death_date=pl.col("death_date"),
        )

    def _identifier(self) -> pl.Expr:
        """The personal identity code; a person without one keeps the CDM's key and is quarantined for it."""
        own = pl.col("person_id")
        return pl.coalesce("person_source_value", own) if self.identifier == "hetu" else own

    def _deaths(self) -> pl.DataFrame:
        """Day of death by person; the first where there are several rows."""
        none = pl.DataFrame(schema={"person_id": pl.String, "death_date": pl.String})
        if "death" not in self._files:
            self._notes.note("person", "death_date", "the table DEATH is missing")
            return none
        self._files.need("death", "person_id")
        self._files.need("death", "death_date", "death_datetime")
        wanted = ["person_id", "death_date", "death_datetime"]
        found = [
            rows.select("person_id", death_date=_day("death_date", "death_datetime"))
            for rows in self._files.rows("death", wanted)
        ]
        deaths = pl.concat([none, *found]).drop_nulls("person_id")
        return deaths.group_by("person_id", maintain_order=True).agg(pl.col("death_date").min())

    def _residences(self, known: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        """One row per person, or per enrolment of a person who has enrolments."""
        places, periods = self._locations(), self._enrolments()
        for rows in self._files.rows("person", ["person_id", "location_id"]):
            placed = rows.join(places, on="location_id", how="left", maintain_order="left")
            lost = placed["area_code"].null_count()
            self._notes.count("residence", "area_code", "the place is no area of the geography", lost)
            placed = placed.join(periods, on="person_id", how="left", maintain_order="left")
            yield _named(placed, known).drop("location_id")

    def _locations(self) -> pl.DataFrame:
        """Address, postal code and area by LOCATION_ID."""
        schema = dict.fromkeys(["location_id", "street_address", "postal_code", "area_code"], pl.String())
        wanted = ["location_id", "address_1", "zip", *_LOCATION]
        found = [
            rows.select(
                "location_id",
                street_address="address_1",
                postal_code="zip",
                area_code=self._places.area_code([pl.col(name) for name in _LOCATION]),
            )
            for rows in self._files.rows("location", wanted)
        ]
        return pl.concat([pl.DataFrame(schema=schema), *found]).unique("location_id", keep="first", maintain_order=True)

    def _enrolments(self) -> pl.DataFrame:
        """Person, first and last day of each enrolment; the last is empty where the data end with it."""
        schema = dict.fromkeys(["person_id", "from_date", "to_date"], pl.String())
        wanted = ["person_id", "observation_period_start_date", "observation_period_end_date", "period_type_concept_id"]
        types = _MAP["residence"]["period_types"]
        found = [
            rows.filter(pl.col("period_type_concept_id").is_in(types)).select(
                "person_id",
                from_date=_day("observation_period_start_date"),
                to_date=_day("observation_period_end_date"),
            )
            for rows in self._files.rows("observation_period", wanted)
        ]
        periods = pl.concat([pl.DataFrame(schema=schema), *found])
        return periods.with_columns(pl.when(pl.col("to_date") < pl.col("to_date").max()).then("to_date"))

    # Events

    def _events(self, name: str, concepts: Concepts, known: pl.DataFrame | None) -> Iterator[tuple[str, pl.DataFrame]]:
        terms = _MAP["event"][name]
        table, came, kept = terms["table"], 0, 0
        wanted = ["person_id", terms["key"], *terms["date"], *terms.get("end_date", ()), *_EXTRA[table]]
        if table == "contact":
            professions, services = self._professions(), self._services()
        else:
            wanted += [*terms["concepts"], terms["source_value"]]
        for rows in self._files.rows(name, wanted):
            columns = {
                "event_date": _day(*terms["date"]),
                "record_id": pl.format("{}-{}", pl.lit(name[:3]), pl.col(terms["key"])),
            }
            if table == "contact":
                columns |= self._contact(rows, professions, services)
                yield table, _named(rows.select("person_id", **columns), known)
                continue
            came += rows.height
            coded = concepts.code(rows, terms, name)
            kept += coded.height
            if table == "diagnosis":
                columns["end_date"] = _day(*terms["end_date"])
            elif table == "measurement":
                columns["value"] = pl.coalesce("value_as_number", "value_source_value")
                columns["unit"] = concepts.unit()
                coded = self._numbers_only(coded)
            else:
                days = pl.col("days_supply").str.replace(r"\.0+$", "")
                columns["days_supplied"] = within_range(days, "medication", "days_supplied")
                lost = count_where(coded, days.is_not_null() & columns["days_supplied"].is_null())
                self._notes.count("medication", "days_supplied", OUT_OF_RANGE, lost)
            events = _named(coded.select("person_id", "code_system", "code", **columns), known)
            if table != "medication":
                yield table, events
                continue
            vaccine = (pl.col("code_system") == "cvx") | pl.col("code").str.starts_with(terms["vaccine_atc"])
            vaccine &= pl.col("code_system").is_in(["cvx", "atc"])
            yield "medication", events.filter(~vaccine)
            yield "vaccination", events.filter(vaccine).drop("days_supplied")
        if came and not kept and name != "observation":
            rule = f"no row of {name.upper()} has a code of a system that caregap reads"
            raise SourceRefused(rule, "Add CONCEPT to the folder, or the vocabulary to omop.toml", table, "code", came)

    def _contact(self, rows: pl.DataFrame, professions: dict[str, str], services: dict[str, str]) -> dict[str, pl.Expr]:
        channel = pl.coalesce(
            terms_of(pl.col("visit_concept_id"), _MAP["channel"]),
            terms_of(pl.col("visit_source_value"), _MAP["channel_word"]),
        )
        unknown = count_where(rows, channel.is_null())
        self._notes.count("contact", "channel", "the kind of visit is not known and counts as other", unknown)
        service = pl.col("care_site_id").replace_strict(services, default=None, return_dtype=pl.String)
        unknown = count_where(rows, pl.col("care_site_id").is_not_null() & service.is_null())
        rule = "the service of the care site is not named in omop.toml and was left empty"
        self._notes.count("contact", "service", rule, unknown)
        return {
            "channel": channel.fill_null("other"),
            "profession": pl.col("provider_id").replace_strict(professions, default=None, return_dtype=pl.String),
            "service": service,
        }

    def _professions(self) -> dict[str, str]:
        """Profession by PROVIDER_ID, of those that omop.toml names."""
        told = ["specialty_concept_id", "specialty_source_value"]
        return self._words("provider", "provider_id", told, _MAP["profession"])

    def _services(self) -> dict[str, str]:
        """Service by CARE_SITE_ID, of those that omop.toml names."""
        return self._words("care_site", "care_site_id", ["care_site_source_value"], _MAP["service"])

    def _words(self, name: str, key: str, told: list[str], groups: dict[str, list[str]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for rows in self._files.rows(name, [key, *told]):
            term = pl.coalesce(terms_of(pl.col(column), groups) for column in told)
            found |= dict(rows.select(key, term.alias("term")).drop_nulls().iter_rows())
        return found

    def _numbers_only(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows whose value is a number or, where the source wrote words, none."""
        text = pl.col("value_source_value")
        lost = pl.col("value_as_number").is_null() & text.is_not_null() & number_in(text).is_null()
        rule = "the result is not a number and was left empty"
        self._notes.count("measurement", "value", rule, count_where(rows, lost))
        unit = pl.coalesce("unit_source_value", unit_in(text))
        return rows.with_columns(value_source_value=number_in(text), unit_source_value=unit)


_PERSON_COLUMNS = [
    *("person_id", "person_source_value", "gender_concept_id", "gender_source_value"),
    *("year_of_birth", "month_of_birth", "day_of_birth", "birth_datetime"),
]
_EXTRA = {
    "contact": ["visit_concept_id", "visit_source_value", "provider_id", "care_site_id"],
    "diagnosis": [],
    "measurement": ["value_as_number", "value_source_value", "unit_concept_id", "unit_source_value"],
    "medication": ["days_supply"],
}


def _named(rows: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
    """Rows under the identifiers that persons are known by; the CDM's key stays where there is no such person."""
    if known is None:
        return rows
    named = rows.rename({"person_id": "cdm_id"}).join(known, on="cdm_id", how="left", maintain_order="left")
    return named.with_columns(pl.coalesce("person_id", "cdm_id").alias("person_id")).drop("cdm_id")


def _birth_date() -> pl.Expr:
    """Year, month and day; BIRTH_DATETIME where one of them is missing; the middle of what is not known."""
    parts = [pl.col(f"{part}_of_birth").str.replace(r"\.0+$", "") for part in ("year", "month", "day")]
    year, month, day = parts[0], parts[1].str.zfill(2), parts[2].str.zfill(2)
    return pl.coalesce(
        pl.format("{}-{}-{}", year, month, day),
        _day("birth_datetime"),
        pl.format("{}-{}-01", year, month),
        pl.format("{}-07-01", year),
    )


def _day(*columns: str) -> pl.Expr:
    """The day of the first column that has one, as it is written."""
    return pl.coalesce(pl.col(column) for column in columns).str.replace(r"^(\d{4}-\d{2}-\d{2})[T ].*$", "$1")
