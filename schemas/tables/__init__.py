"""The tables of the source, one file each; a new file with a `TABLE` in it is a new table."""

from importlib import import_module
from pkgutil import iter_modules

from schemas.table import Table

SOURCE_TABLES: dict[str, Table] = {
    module.name: import_module(f"{__name__}.{module.name}").TABLE for module in iter_modules(__path__)
}
"""Every table that a source may have, by its name, in alphabetical order."""
TABLES: dict[str, Table] = {name: table for name, table in SOURCE_TABLES.items() if table.crosses}
"""The tables of the lake."""
IDENTITY_LINK = "identity_link"
"""The one table that comes before the persons."""
