"""Limits that a person or an authority has set on the use of the person's data."""

from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="restriction",
    grain="One row per person and period of a restriction.",
    columns=(
        person_key(),
        Column(
            "kind",
            Kind.CODE,
            Role.SENSITIVE,
            "`security_ban`: the address is secret (turvakielto). `contact_ban`: no outreach. `objection`: the person "
            "objects to this use (GDPR Article 21). `processing_restriction`: the data may only be kept (Article 18).",
            required=True,
            terms=("contact_ban", "security_ban", "objection", "processing_restriction"),
        ),
        event_date("First day; the restriction is honoured from the load that brings it on.", may_be_future=True),
        Column("end_date", Kind.DATE, Role.SENSITIVE, "Last day; empty while it lasts.", may_be_future=True),
        *record_columns(),
    ),
    order=("kind", "person_number", "event_date"),
)
