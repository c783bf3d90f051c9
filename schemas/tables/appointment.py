"""Appointments, kept or not."""

from schemas.services import SERVICES
from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="appointment",
    grain="One row per appointment that was ever booked.",
    columns=(
        person_key(),
        event_date("Day of the appointment.", may_be_future=True),
        Column("booked_date", Kind.DATE, Role.SENSITIVE, "Day on which it was booked."),
        Column(
            "status",
            Kind.CODE,
            Role.SENSITIVE,
            "What became of it; `booked` while it lies ahead.",
            required=True,
            terms=("booked", "attended", "no_show", "cancelled_by_client", "cancelled_by_provider"),
        ),
        Column("status_date", Kind.DATE, Role.SENSITIVE, "Day of attendance, absence or cancellation."),
        Column(
            "reason",
            Kind.CODE,
            Role.SENSITIVE,
            "Why it was cancelled.",
            terms=("pandemic", "capacity", "illness", "need_ended", "client_request", "other"),
        ),
        Column("service", Kind.CODE, Role.SENSITIVE, "Service, such as health_centre or child_clinic.", known=SERVICES),
        Column("specialty", Kind.CODE, Role.SENSITIVE, "Specialty, such as general_practice or ophthalmology."),
        *record_columns(),
    ),
    order=("status", "person_number", "event_date"),
)
