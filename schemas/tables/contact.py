"""Contacts with health and social services."""

from schemas.services import SERVICES
from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="contact",
    grain="One row per contact between a person and a professional, or an automated message.",
    columns=(
        person_key(),
        event_date("Day of the contact."),
        Column(
            "channel",
            Kind.CODE,
            Role.SENSITIVE,
            "How they met.",
            required=True,
            terms=("visit", "phone", "chat", "home", "emergency", "inpatient", "automated_message", "other"),
        ),
        Column(
            "profession",
            Kind.CODE,
            Role.SENSITIVE,
            "Profession of the one met.",
            terms=("doctor", "nurse", "public_health_nurse", "social_worker", "therapist", "dentist", "other"),
        ),
        Column(
            "service",
            Kind.CODE,
            Role.SENSITIVE,
            "Service, such as health_centre, child_clinic or home_care.",
            known=SERVICES,
        ),
        Column("code_system", Kind.CODE, Role.PLAIN, "Code system of `code`.", terms=("spat", "snomed")),
        Column("code", Kind.CODE, Role.SENSITIVE, "What was done: procedure or visit type."),
        Column("note", Kind.TEXT, Role.DIRECT_IDENTIFIER, "Free text of the professional."),
        *record_columns(),
    ),
    order=("channel", "service", "person_number", "event_date"),
)
