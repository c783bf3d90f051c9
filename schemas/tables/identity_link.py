"""Which identifiers are one person: codes change, and an early record may have a temporary one."""

from schemas.table import Column, Kind, Role, Table, person_key

TABLE = Table(
    name="identity_link",
    grain="One row per former identifier of a person.",
    columns=(
        person_key("Identifier that the person has now, or one that is a former one in another row."),
        Column("former_id", Kind.TEXT, Role.KEY, "Identifier that the person had before.", required=True),
    ),
    order=(),
    crosses=False,
)
