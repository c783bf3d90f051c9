"""Requests to be called back."""

from schemas.services import SERVICES
from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="contact_request",
    grain="One row per request of a person to be contacted.",
    columns=(
        person_key(),
        event_date("Day of the request."),
        Column("channel", Kind.CODE, Role.SENSITIVE, "How it was made.", terms=("callback", "chat", "form")),
        Column("service", Kind.CODE, Role.SENSITIVE, "Service that was asked.", known=SERVICES),
        Column("answered_date", Kind.DATE, Role.SENSITIVE, "Day on which a professional reached the person."),
        Column(
            "outcome",
            Kind.CODE,
            Role.SENSITIVE,
            "What became of it; empty while open.",
            terms=("answered", "not_reached", "withdrawn", "duplicate"),
        ),
        *record_columns(),
    ),
    order=("person_number", "event_date"),
)
