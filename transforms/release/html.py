"""Pages from templates: how this zone's HTML is set up and written, whatever it tells of."""

from collections.abc import Mapping
from typing import Any

import jinja2


def environment(package: str) -> jinja2.Environment:
    """The templates of a package: what is filled in is escaped, and a name that nobody gave is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def written(templates: jinja2.Environment, name: str, about: Mapping[str, Any]) -> bytes:
    """A page as UTF-8 bytes, without indentation and empty lines. The same words give the same bytes."""
    html = templates.get_template(name).render(about)
    lines = (line.strip(" \t") for line in html.split("\n"))
    return "\n".join(line for line in lines if line).encode() + b"\n"
