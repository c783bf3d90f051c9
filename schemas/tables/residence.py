"""Where persons lived, and when the register learnt of it."""

from schemas.table import Column, Kind, Role, Table, person_key, record_columns

TABLE = Table(
    name="residence",
    grain="One row per person and period of living in one area.",
    columns=(
        person_key(),
        Column("street_address", Kind.TEXT, Role.DIRECT_IDENTIFIER, "Street address."),
        Column("postal_code", Kind.TEXT, Role.DIRECT_IDENTIFIER, "Postal code; never a district by itself."),
        Column(
            "area_code",
            Kind.CODE,
            Role.QUASI_IDENTIFIER,
            "Area of residence in the geography in use; empty where it is not known.",
        ),
        Column("from_date", Kind.DATE, Role.SENSITIVE, "First day of living there; empty: since birth."),
        Column(
            "to_date",
            Kind.DATE,
            Role.SENSITIVE,
            "Last day of living there; empty while it lasts. A person without a current row has moved away.",
        ),
        *record_columns(),
    ),
    order=("person_number", "from_date"),
)
