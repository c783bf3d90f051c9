"""Persons known to the services."""

from schemas.table import Column, Kind, Role, Table, person_key, record_columns

TABLE = Table(
    name="person",
    grain="One row per person known to the services, alive or dead.",
    columns=(
        person_key("Current personal identity code, or the source's own person identifier."),
        Column("given_names", Kind.TEXT, Role.DIRECT_IDENTIFIER, "Given names."),
        Column("family_name", Kind.TEXT, Role.DIRECT_IDENTIFIER, "Family name."),
        Column("phone", Kind.TEXT, Role.DIRECT_IDENTIFIER, "Telephone number."),
        Column("email", Kind.TEXT, Role.DIRECT_IDENTIFIER, "E-mail address."),
        Column("birth_date", Kind.DATE, Role.QUASI_IDENTIFIER, "Date of birth.", required=True),
        Column(
            "sex",
            Kind.CODE,
            Role.QUASI_IDENTIFIER,
            "Legal sex as registered.",
            terms=("female", "male", "unknown"),
        ),
        Column("death_date", Kind.DATE, Role.SENSITIVE, "Date of death; empty while alive."),
        *record_columns()[:2],
    ),
    order=("person_number",),
)
