"""FHIR R4 resources as rows of caregap's tables, one function a resource type.

Each row comes with `patient_id`, the id of its Patient, and `patient_code`, a personal identity code where the
reference is to one; the source turns them into `person_id`.
"""

import polars as pl

from schemas.tables import TABLES
from transforms.sources.fhir_elements import (
    WORDS,
    code_of,
    day_of,
    field,
    first_term_of,
    has_code,
    is_partial,
    reference_id,
    system_of,
    term_of,
)
from transforms.sources.notes import Notes
from transforms.sources.words import OUT_OF_RANGE, count_where, number_in, terms_of, unit_in, within_range

_PARTIAL = "the day or the month is not told: the first of it was taken"


def encounters(rows: pl.DataFrame, professions: dict[str, str], notes: Notes) -> pl.DataFrame:
    """One contact per Encounter; the profession is that of the first participant whose role tells one."""
    channel = terms_of(field("class", "code"), WORDS["channel"])
    notes.count("contact", "channel", "the class of encounter is not known", count_where(rows, channel.is_null()))
    start = field("period", "start")
    _count_partial(rows, "contact", start, notes)
    codings = pl.col("type").list.eval(pl.element().struct.field("coding").list.explode()).list.drop_nulls()
    met = [
        reference_id(pl.element().struct.field("individual").struct.field("reference"), kind).replace_strict(
            professions, default=None, return_dtype=pl.String
        )
        for kind in ("PractitionerRole", "Practitioner")
    ]
    profession = pl.col("participant").list.eval(pl.coalesce(met)).list.drop_nulls().list.first()
    service = term_of(pl.col("serviceType"), WORDS["service"])
    unknown = count_where(rows, pl.col("serviceType").is_not_null() & service.is_null())
    notes.count("contact", "service", "the service is not named in fhir.toml and was left empty", unknown)
    return rows.select(
        *_subject("subject"),
        event_date=day_of(start),
        channel=channel.fill_null("other"),
        profession=profession,
        service=service,
        **code_of(codings, TABLES["contact"].column("code_system").terms[::-1]),
        **_record("Encounter", pl.col("status")),
    )


def appointments(rows: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """One appointment per Appointment that has a Patient; who cancelled is told by the reason."""
    actors = pl.col("participant").list.eval(pl.element().struct.field("actor"))
    patient = actors.list.eval(
        pl.element().filter(
            reference_id(pl.element().struct.field("reference"), "Patient").is_not_null()
            | _identity_code(pl.element().struct.field("identifier")).is_not_null()
        )
    ).list.first()
    rows = rows.with_columns(patient=patient)
    lost = rows.filter(pl.col("patient").is_null()).height
    notes.count("appointment", "person_id", "appointments of no patient were left out", lost)
    rows = rows.filter(pl.col("patient").is_not_null())
    cancelled = pl.col("status").str.to_lowercase() == "cancelled"
    reason = pl.col("cancelationReason")
    by = pl.coalesce(term_of(reason, WORDS["cancelled"]), _by_prefix(reason))
    status = pl.when(cancelled).then(by).otherwise(terms_of(pl.col("status"), WORDS["appointment"]))
    rule = "nothing tells who cancelled: name the reason's code in fhir.toml"
    notes.count("appointment", "status", rule, count_where(rows, cancelled & by.is_null()))
    start = pl.coalesce("start", pl.col("requestedPeriod").list.first().struct.field("start"))
    day = day_of(start)
    rows = rows.with_columns(became=status)
    places = {
        name: _place(told, WORDS[name]) for name, told in (("service", "serviceType"), ("specialty", "specialty"))
    }
    for name, place in places.items():
        rule = f"the {name} is not named in fhir.toml: no other time counts as one of the same"
        notes.count("appointment", name, rule, count_where(rows, place.str.starts_with("unknown_")))
    return rows.select(
        *_subject("patient"),
        event_date=day,
        booked_date=day_of(pl.col("created")),
        # A row that was entered in error need not tell who cancelled it.
        status=pl.when(pl.col("status").is_in(WORDS["retracted"]["Appointment"]))
        .then(pl.lit("booked"))
        .otherwise(status),
        status_date=pl.when(pl.col("status").is_in(["arrived", "checked-in", "fulfilled", "noshow"])).then(day),
        reason=pl.when(cancelled).then(term_of(reason, WORDS["reason"]).fill_null("other")),
        **places,
        **_record("Appointment", pl.col("status")),
    )


def _place(column: str, groups: dict[str, list[str]]) -> pl.Expr:
    """Service or specialty of an appointment: by fhir.toml, else its own code where the column can hold it.

    Two that cannot be told apart must not be the same: of what cannot be held the word is what `became` of the
    appointment, so that nothing attended is where something was missed or cancelled.
    """
    concepts = pl.col(column)
    codings = concepts.list.eval(pl.element().struct.field("coding").list.explode()).list.drop_nulls()
    code = codings.list.eval(pl.element().struct.field("code")).list.drop_nulls().list.first().str.to_lowercase()
    text = concepts.list.eval(pl.element().struct.field("text")).list.drop_nulls().list.first()
    return pl.coalesce(
        first_term_of(concepts, groups),
        pl.when(code.str.contains(r"^[a-z]+(_[a-z]+)*$")).then(code),
        pl.when(code.str.contains(r"^[a-z0-9]{1,4}$")).then(pl.format("code_{}", code)),
        pl.when(code.is_not_null() | text.is_not_null()).then(pl.format("unknown_{}", "became")),
    )


def conditions(rows: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """One diagnosis per Condition that has a code of a known system."""
    rows = _coded(rows, "diagnosis", pl.col("code"), notes)
    onset = pl.coalesce("onsetDateTime", field("onsetPeriod", "start"), "recordedDate")
    _count_partial(rows, "diagnosis", onset, notes)
    abatement = pl.coalesce("abatementDateTime", field("abatementPeriod", "end"))
    ended = has_code(pl.col("clinicalStatus"), WORDS["ended"]["status"])
    rule = "it has ended and nothing tells when: it counts until it was recorded"
    notes.count("diagnosis", "end_date", rule, count_where(rows, ended & abatement.is_null()))
    recorded, begun = day_of(pl.coalesce("recordedDate", onset)), day_of(onset)
    verification = pl.col("verificationStatus").struct.field("coding").list.first().struct.field("code")
    return rows.select(
        *_subject("subject"),
        "code_system",
        "code",
        event_date=begun,
        end_date=pl.when(abatement.is_not_null())
        .then(day_of(abatement, last=True))
        .when(ended)
        .then(pl.max_horizontal(recorded, begun)),
        recorded_date=day_of(pl.col("recordedDate")),
        **_record("Condition", verification),
    )


def observations(rows: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """One measurement per Observation and per component of one, where the code is of a known system."""
    rows = rows.with_columns(
        when=pl.coalesce("effectiveDateTime", field("effectivePeriod", "start"), "effectiveInstant")
    )
    _count_partial(rows, "measurement", pl.col("when"), notes)
    whole = rows.select(*_OBSERVED, key=pl.col("id"), **_VALUE)
    whole = whole.with_columns(
        # A panel's values are in its components; without a value and without components nothing was measured.
        absent=(pl.col("dataAbsentReason").is_not_null() & (rows["component"].list.len().fill_null(0) == 0))
    )
    parts = rows.select(*_OBSERVED, "id", "component").filter(pl.col("component").list.len() > 0)
    parts = parts.with_columns(place=pl.int_ranges(pl.col("component").list.len())).explode("component", "place")
    parts = parts.select(
        *_OBSERVED,
        key=pl.format("{}-{}", "id", "place"),
        **{name: field("component", name) for name in _VALUE},
        absent=field("component", "dataAbsentReason").is_not_null(),
    )
    both = pl.concat([whole, parts])
    both = _coded(both, "measurement", pl.col("code"), notes)
    text = number_in(pl.col("valueString"))
    lost = count_where(both, pl.col("valueString").is_not_null() & text.is_null())
    notes.count("measurement", "value", "the result is not a number and was left empty", lost)
    number = pl.coalesce(field("valueQuantity", "value"), "valueInteger").cast(pl.String)
    ucum = system_of(field("valueQuantity", "system")).is_in(WORDS["system"]["ucum"]).fill_null(True)
    return both.select(
        *_subject("subject"),
        "code_system",
        "code",
        event_date=day_of(pl.col("when")),
        value=pl.coalesce(number, text),
        unit=pl.coalesce(
            pl.when(ucum).then(field("valueQuantity", "code")),
            field("valueQuantity", "unit"),
            unit_in(pl.col("valueString")),
        ),
        recorded_date=day_of(pl.col("issued")),
        is_retracted=_is_retracted("Observation", pl.col("status")) | pl.col("absent"),
        record_id=pl.col("key"),
    )


def medication_requests(rows: pl.DataFrame, medicines: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """One medication per MedicationRequest; its medicine is told there, in a contained resource or by reference.

    `medicines` has `medicine_id`, `code_system` and `code`.
    """
    systems = TABLES["medication"].column("code_system").terms
    contained = rows.select("id", reference=field("medicationReference", "reference"), part="contained").explode("part")
    within = contained.filter(pl.format("#{}", field("part", "id")) == pl.col("reference"))
    within = within.select("id", **code_of(field("part", "code", "coding"), systems)).unique("id", keep="first")
    own = code_of(field("medicationCodeableConcept", "coding"), systems)
    rows = rows.with_columns(
        own_system=own["code_system"],
        own_code=own["code"],
        medicine_id=reference_id(field("medicationReference", "reference"), "Medication"),
    )
    rows = rows.join(medicines, on="medicine_id", how="left", maintain_order="left", suffix="_other")
    rows = rows.join(within, on="id", how="left", maintain_order="left", suffix="_within")
    rows = rows.with_columns(
        code_system=pl.coalesce("own_system", "code_system", "code_system_within"),
        code=pl.coalesce("own_code", "code", "code_within"),
    )
    rows = _left_out(rows, "medication", notes)
    supply = field("dispenseRequest", "expectedSupplyDuration")
    unit = pl.coalesce(supply.struct.field("code"), supply.struct.field("unit")).str.to_lowercase()
    factor = unit.replace_strict(WORDS["days"], default=None, return_dtype=pl.Float64)
    days = (supply.struct.field("value") * factor).round(0)
    days_supplied = within_range(days, "medication", "days_supplied")
    lost = count_where(rows, days.is_not_null() & days_supplied.is_null())
    notes.count("medication", "days_supplied", OUT_OF_RANGE, lost)
    no_order = pl.col("intent").is_in(WORDS["intent"]["none"]) | pl.col("doNotPerform")
    return rows.select(
        *_subject("subject"),
        "code_system",
        "code",
        event_date=day_of(pl.col("authoredOn")),
        days_supplied=days_supplied,
        is_retracted=_is_retracted("MedicationRequest", pl.col("status")) | no_order.fill_null(False),
        record_id=pl.col("id"),
    )


def medicines_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Code of each Medication."""
    systems = TABLES["medication"].column("code_system").terms
    return rows.select(medicine_id="id", **code_of(field("code", "coding"), systems)).drop_nulls()


def immunizations(rows: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """One vaccination per Immunization, given or not; a dose that was not given for no known reason is retracted."""
    rows = _coded(rows, "vaccination", pl.col("vaccineCode"), notes)
    not_given = (pl.col("status") == "not-done").fill_null(False)
    why = term_of(pl.col("statusReason"), WORDS["vaccination"])
    _count_partial(rows, "vaccination", pl.col("occurrenceDateTime"), notes)
    return rows.select(
        *_subject("patient"),
        "code_system",
        "code",
        event_date=day_of(pl.coalesce("occurrenceDateTime", "recorded")),
        status=pl.when(not_given).then(why).otherwise(pl.lit("given")),
        recorded_date=day_of(pl.col("recorded")),
        is_retracted=_is_retracted("Immunization", pl.col("status")) | (not_given & why.is_null()),
        record_id=pl.col("id"),
    )


def professions_of(rows: pl.DataFrame) -> dict[str, str]:
    """Profession by the id of a PractitionerRole, and of the Practitioner who has it."""
    told = [first_term_of(pl.col(name), WORDS["profession"]) for name in ("code", "specialty")]
    roles = rows.select(
        "id",
        practitioner=reference_id(field("practitioner", "reference"), "Practitioner"),
        profession=pl.coalesce(told),
    ).drop_nulls("profession")
    people = roles.select("practitioner", "profession").drop_nulls()
    return dict(people.iter_rows()) | dict(roles.select("id", "profession").iter_rows())


_OBSERVED = ["subject", "status", "issued", "when"]
_VALUE = {name: pl.col(name) for name in ("code", "valueQuantity", "valueInteger", "valueString", "dataAbsentReason")}


def _coded(rows: pl.DataFrame, table: str, concept: pl.Expr, notes: Notes) -> pl.DataFrame:
    """Rows with the code that caregap reads of a CodeableConcept; the others are left out and counted."""
    found = code_of(concept.struct.field("coding"), TABLES[table].column("code_system").terms)
    return _left_out(rows.with_columns(**found), table, notes)


def _left_out(rows: pl.DataFrame, table: str, notes: Notes) -> pl.DataFrame:
    lost = rows["code_system"].null_count()
    notes.count(table, "code", "rows without a code of a system in fhir.toml were left out", lost)
    return rows.filter(pl.col("code_system").is_not_null())


def _by_prefix(reason: pl.Expr) -> pl.Expr:
    """Who cancelled, by the first letters of HL7's codes of reasons."""
    code = reason.struct.field("coding").list.first().struct.field("code").str.to_lowercase()
    return (
        pl.when(code.str.starts_with("pat-"))
        .then(pl.lit("cancelled_by_client"))
        .when(code.str.starts_with("prov-"))
        .then(pl.lit("cancelled_by_provider"))
    )


def _identity_code(identifier: pl.Expr) -> pl.Expr:
    """The personal identity code that a logical reference names; null where it names another identifier."""
    known = system_of(identifier.struct.field("system")).is_in(WORDS["identity_codes"])
    return pl.when(known).then(identifier.struct.field("value"))


def _subject(column: str) -> tuple[pl.Expr, pl.Expr]:
    return (
        reference_id(field(column, "reference"), "Patient").alias("patient_id"),
        _identity_code(field(column, "identifier")).alias("patient_code"),
    )


def _is_retracted(kind: str, status: pl.Expr) -> pl.Expr:
    return status.str.to_lowercase().is_in(WORDS["retracted"][kind]).fill_null(False)


def _record(kind: str, status: pl.Expr) -> dict[str, pl.Expr]:
    return {"is_retracted": _is_retracted(kind, status), "record_id": pl.col("id")}


def _count_partial(rows: pl.DataFrame, table: str, text: pl.Expr, notes: Notes) -> None:
    notes.count(table, "event_date", _PARTIAL, count_where(rows, is_partial(text)))
