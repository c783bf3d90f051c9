"""The tables of the source, one file each; a new file with a `TABLE` in it is a new table."""

from importlib import import_module
from pkgutil import iter_modules

from schemas.table import Table

TABLES: dict[str, Table] = {
    module.name: import_module(f"{__name__}.{module.name}").TABLE for module in iter_modules(__path__)
}
"""Every table by its name, in alphabetical order."""
