"""Services that last."""

from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="service_period",
    grain="One row per person and uninterrupted period of a service.",
    columns=(
        person_key(),
        Column(
            "service",
            Kind.CODE,
            Role.SENSITIVE,
            "Service that lasts.",
            required=True,
            terms=("home_care", "round_the_clock_care", "palliative_care", "specialist_care"),
        ),
        event_date("First day."),
        Column("end_date", Kind.DATE, Role.SENSITIVE, "Last day; empty while it lasts.", may_be_future=True),
        *record_columns(),
    ),
    order=("service", "person_number", "event_date"),
)
