"""Vaccinations, given or not."""

from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="vaccination",
    grain="One row per vaccine dose given, refused or contraindicated.",
    columns=(
        person_key(),
        Column("code_system", Kind.CODE, Role.PLAIN, "Code system of `code`.", required=True, terms=("atc", "cvx")),
        Column("code", Kind.CODE, Role.SENSITIVE, "Vaccine.", required=True),
        event_date("Day of the dose or of the decision."),
        Column(
            "status",
            Kind.CODE,
            Role.SENSITIVE,
            "Whether it was given; empty counts as given.",
            terms=("given", "refused", "contraindicated"),
        ),
        *record_columns(),
    ),
    order=("code_system", "code", "person_number", "event_date"),
)
