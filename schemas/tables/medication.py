"""Medicines dispensed or prescribed."""

from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="medication",
    grain="One row per dispensing of a medicine, or per prescription where the source has no dispensings.",
    columns=(
        person_key(),
        Column("code_system", Kind.CODE, Role.PLAIN, "Code system of `code`.", required=True, terms=("atc", "rxnorm")),
        Column("code", Kind.CODE, Role.SENSITIVE, "Medicine.", required=True),
        event_date("Day of dispensing."),
        Column(
            "days_supplied",
            Kind.INTEGER,
            Role.SENSITIVE,
            "Days that the dispensed amount lasts.",
            minimum=0,
            maximum=3660,
            unit="d",
        ),
        *record_columns(),
    ),
    order=("code_system", "code", "person_number", "event_date"),
)
