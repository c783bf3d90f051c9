"""A FHIR R4 Bulk Data export as a source: NDJSON files, several a type, plain or gzip; fhir.toml says what means what.

Persons are known by their Finnish personal identity codes where Patient.identifier has them, else by Patient.id. What
is entered in error or did not happen comes as retracted; a Patient replaced by another, or with an earlier identity
code, comes as an identity link.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from schemas.errors import SourceRefused
from transforms.sources import Remark
from transforms.sources import fhir_resources as resources
from transforms.sources.fhir_elements import WORDS, day_of, field, is_partial, reference_id, system_of
from transforms.sources.fhir_files import FhirFiles
from transforms.sources.files import rows_about
from transforms.sources.notes import Notes
from transforms.sources.places import Places
from transforms.sources.words import count_where, terms_of

_EVENTS = {
    "Encounter": "contact",
    "Appointment": "appointment",
    "Condition": "diagnosis",
    "Observation": "measurement",
    "MedicationRequest": "medication",
    "Immunization": "vaccination",
}
"""Table of each resource type with events."""
_CODED = ("Condition", "Observation", "MedicationRequest", "Immunization")


class FhirSource:
    """A folder of NDJSON files; only Patient is required.

    Patient.address places persons by the code or name of the district, or by `area_map`. Raises SourceRefused where
    there is no Patient and UsageRefused where the map cannot be used.
    """

    kind = "fhir"
    generated = False

    def __init__(self, directory: Path, area_map: Path | None = None, areas: pl.DataFrame | None = None) -> None:
        """Find the files, and read who the patients are."""
        self._files = FhirFiles(directory)
        if "Patient" not in self._files:
            raise SourceRefused("there is no file of Patient resources", "Add Patient.ndjson to the export", "Patient")
        self._areas, self._places = areas, Places(area_map, areas)
        self._notes = Notes()
        self._patients, self._former = _identities(self._files)
        if not self._patients.height:
            raise SourceRefused("there are no patients", "Give an export with patients in it", "Patient")
        self.identifier = "hetu" if self._patients["patient_code"].null_count() < self._patients.height else "opaque"

    def areas(self) -> pl.DataFrame | None:
        """Give the geography that was given, or None for the default."""
        return self._areas

    def batches(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield identity links, persons, where they live, their bans, then what happened to them."""
        self._notes = Notes()
        rule = "files of no resource type that is read were left out"
        self._notes.count("fhir", None, rule, self._files.left_out)
        links = self._links()
        if links.height:
            yield "identity_link", links
        for rows in self._files.rows("Patient", self._notes):
            yield "person", self._persons(rows)
        for rows in self._files.rows("Patient"):
            yield "residence", self._residences(rows)
            bans = self._bans(rows)
            if bans.height:
                yield "restriction", bans
        readers = self._readers()
        for kind, table in _EVENTS.items():
            if kind not in self._files:
                self._notes.note(table, None, f"there is no file of {kind} resources")
                continue
            came = kept = 0
            for rows in self._files.rows(kind, self._notes):
                events = self._of_persons(readers[kind](rows))
                came, kept = came + rows.height, kept + events.height
                yield table, events
            if kind in _CODED and came and not kept:
                rule, mend = "no row has a code of a system that caregap reads", "Add the code system to fhir.toml"
                raise SourceRefused(rule, mend, kind, "code", came)

    def remarks(self) -> list[Remark]:
        """Tell what was missing or not understood; complete once `batches` has been read to its end."""
        return self._notes.remarks()

    def rows_expected(self) -> int | None:
        """Estimate from the size of the plain files; None where one is compressed."""
        paths = [path for kind in ("Patient", "Patient", *_EVENTS) for path in self._files.paths(kind)]
        return None if any(path.suffix.lower() == ".gz" for path in paths) else rows_about(paths)

    # Persons

    def _links(self) -> pl.DataFrame:
        """Earlier identity codes of a person, and patients that another has replaced."""
        replaced = self._patients.drop_nulls("replaced_by").select(former_id="patient_id", patient_id="replaced_by")
        replaced = self._of_persons(replaced.with_columns(patient_code=pl.lit(None, pl.String)))
        former = replaced.rename({"former_id": "patient_id"}).with_columns(patient_code=pl.lit(None, pl.String))
        former = self._of_persons(former.rename({"person_id": "now"})).rename({"person_id": "former_id"})
        links = [former.select("former_id", person_id="now")]
        if self.identifier == "hetu":
            links.append(self._former)
        return pl.concat(links).drop_nulls().filter(pl.col("former_id") != pl.col("person_id")).unique()

    def _of_persons(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows under the identifiers that persons are known by; the id stays where there is no such patient."""
        if self.identifier == "opaque":
            return rows.rename({"patient_id": "person_id"}).drop("patient_code")
        named = rows.join(
            self._patients.select("patient_id", own="patient_code"), on="patient_id", how="left", maintain_order="left"
        )
        person = pl.coalesce("patient_code", "own", "patient_id")
        return named.with_columns(person_id=person).drop("patient_id", "patient_code", "own")

    def _persons(self, rows: pl.DataFrame) -> pl.DataFrame:
        partial = count_where(rows, is_partial(pl.col("birthDate")))
        rule = "the day or month of birth is not told: the first day, or July, was taken"
        self._notes.count("person", "birth_date", rule, partial)
        # Dead without a day is not alive: the day of the last change is the latest that it can be.
        dead = pl.when("deceasedBoolean").then(pl.coalesce(day_of(field("meta", "lastUpdated")), pl.lit("unknown")))
        undated = count_where(rows, pl.col("deceasedBoolean") & pl.col("deceasedDateTime").is_null())
        self._notes.count("person", "death_date", "dead on an unknown day: that of the last change was taken", undated)
        name = pl.col("name").list.first()
        telecom = {
            word: pl.col("telecom")
            .list.eval(pl.element().struct.field("value").filter(pl.element().struct.field("system") == word))
            .list.first()
            for word in ("phone", "email")
        }
        birth = pl.col("birthDate")
        persons = rows.select(
            patient_id="id",
            patient_code=pl.lit(None, pl.String),
            given_names=name.struct.field("given").list.join(" "),
            family_name=pl.coalesce(name.struct.field("family"), name.struct.field("text")),
            **telecom,
            birth_date=pl.when(birth.str.contains(r"^\d{4}$")).then(birth + "-07-01").otherwise(day_of(birth)),
            sex=terms_of(pl.col("gender"), WORDS["sex"]).fill_null("unknown"),
            death_date=pl.coalesce(day_of(pl.col("deceasedDateTime")), dead),
        )
        return self._of_persons(persons)

    def _residences(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row per address that somebody lives or lived at; one without a place for a patient without."""
        home = ~pl.element().struct.field("use").is_in(["temp", "billing"]).fill_null(False)
        homes = rows.select(patient_id="id", address=pl.col("address").list.eval(pl.element().filter(home)))
        homes = homes.explode("address").unnest("address")
        # An old address whose end is not told says nothing of when.
        old = (pl.col("use") == "old").fill_null(False) & field("period", "end").is_null()
        homes = homes.filter(~old)
        residences = homes.select(
            "patient_id",
            patient_code=pl.lit(None, pl.String),
            street_address=pl.col("line").list.join(" "),
            postal_code="postalCode",
            area_code=self._places.area_code([pl.col("district"), pl.col("city")]),
            from_date=day_of(field("period", "start")),
            to_date=day_of(field("period", "end"), last=True),
        )
        lost = residences["area_code"].null_count()
        self._notes.count("residence", "area_code", "the place is no area of the geography", lost)
        return self._of_persons(residences)

    def _bans(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Security bans (turvakielto), from birth on: a label has no day."""
        labels = field("meta", "security").list.eval(pl.element().struct.field("code").str.to_lowercase())
        banned = labels.list.eval(pl.element().is_in(WORDS["security_ban"]["label"])).list.any().fill_null(False)
        bans = rows.filter(banned).select(
            patient_id="id",
            patient_code=pl.lit(None, pl.String),
            kind=pl.lit("security_ban"),
            event_date=day_of(pl.col("birthDate")),
        )
        return self._of_persons(bans)

    def _readers(self) -> dict[str, Callable[[pl.DataFrame], pl.DataFrame]]:
        """How each resource type is read, with what must be known of other files first."""
        notes = self._notes
        professions: dict[str, str] = {}
        for rows in self._files.rows("PractitionerRole"):
            professions |= resources.professions_of(rows)
        schema = dict.fromkeys(["medicine_id", "code_system", "code"], pl.String())
        parts = [resources.medicines_of(rows) for rows in self._files.rows("Medication")]
        medicines = pl.concat([pl.DataFrame(schema=schema), *parts]).unique("medicine_id", keep="first")
        return {
            "Encounter": lambda rows: resources.encounters(rows, professions, notes),
            "Appointment": lambda rows: resources.appointments(rows, notes),
            "Condition": lambda rows: resources.conditions(rows, notes),
            "Observation": lambda rows: resources.observations(rows, notes),
            "MedicationRequest": lambda rows: resources.medication_requests(rows, medicines, notes),
            "Immunization": lambda rows: resources.immunizations(rows, notes),
        }


def _identities(files: FhirFiles) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Patients (`patient_id`, `patient_code`, `replaced_by`) and their earlier codes (`former_id`, `person_id`)."""
    patients = [pl.DataFrame(schema=dict.fromkeys(["patient_id", "patient_code", "replaced_by"], pl.String()))]
    former = [pl.DataFrame(schema=dict.fromkeys(["former_id", "person_id"], pl.String()))]
    system, use = system_of(pl.element().struct.field("system")), pl.element().struct.field("use")
    value = pl.element().struct.field("value")
    is_code = system.is_in(WORDS["identity_codes"])
    is_old = (use == "old").fill_null(False)
    link = pl.element().struct.field("other").struct.field("reference")
    replaced = pl.element().struct.field("type") == "replaced-by"
    for rows in files.rows("Patient"):
        found = rows.select(
            patient_id="id",
            patient_code=pl.col("identifier").list.eval(value.filter(is_code & ~is_old)).list.first(),
            replaced_by=pl.col("link").list.eval(reference_id(link.filter(replaced), "Patient")).list.first(),
            earlier=pl.col("identifier").list.eval(value.filter(is_code & is_old)),
        )
        patients.append(found.drop("earlier"))
        earlier = found.select(former_id="earlier", person_id="patient_code").explode("former_id")
        former.append(earlier.drop_nulls())
    return pl.concat(patients).unique("patient_id", keep="last", maintain_order=True), pl.concat(former)
