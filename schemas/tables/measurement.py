"""Laboratory results and other measurements."""

from schemas.table import Column, Kind, Role, Table, event_date, person_key, record_columns

TABLE = Table(
    name="measurement",
    grain="One row per measured value of a person.",
    columns=(
        person_key(),
        Column(
            "code_system",
            Kind.CODE,
            Role.PLAIN,
            "Code system of `code`.",
            required=True,
            terms=("loinc", "kuntaliitto"),
        ),
        Column("code", Kind.CODE, Role.SENSITIVE, "What was measured.", required=True),
        event_date("Day of the sample or the reading."),
        Column("value", Kind.DECIMAL, Role.SENSITIVE, "Value in `unit`; empty where the result is not a number."),
        Column("unit", Kind.CODE, Role.PLAIN, "Unit in UCUM, after normalisation (HbA1c in mmol/mol)."),
        *record_columns(),
    ),
    order=("code_system", "code", "person_number", "event_date"),
)
