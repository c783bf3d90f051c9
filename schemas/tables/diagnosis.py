"""Diagnoses."""

from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="diagnosis",
    grain="One row per recorded diagnosis of a person.",
    columns=(
        person_key(),
        Column(
            "code_system",
            Kind.CODE,
            Role.PLAIN,
            "Code system of `code`.",
            required=True,
            terms=("icd10", "icpc2", "snomed"),
        ),
        Column("code", Kind.CODE, Role.SENSITIVE, "Diagnosis code, ICD-10 with its dot.", required=True),
        event_date("Day from which the condition is known."),
        Column(
            "end_date",
            Kind.DATE,
            Role.SENSITIVE,
            "Last day on which it was active; empty while it lasts.",
            may_be_future=True,
        ),
        *record_columns(),
    ),
    order=("code_system", "code", "person_number", "event_date"),
)
