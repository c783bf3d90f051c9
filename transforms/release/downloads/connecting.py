"""The page on connecting Power BI and Fabric to the star schema, one a language."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2
import polars as pl

from schemas.labels import LANGUAGES, load_labels
from transforms.release.downloads.contents import Contents
from transforms.release.site.addresses import STYLE

RELATIONS = {
    "date_key": "dim_date",
    "indicator_key": "dim_indicator",
    "area_key": "dim_area",
    "sex_key": "dim_sex",
    "age_key": "dim_age",
    "measure_key": "dim_measure",
}
"""Column of both fact tables, and the dimension that it points to."""


def connecting_pages(star: Mapping[str, pl.DataFrame], contents: Contents) -> dict[str, bytes]:
    """Write the page of each language; file name to UTF-8 bytes. It has no script and asks nothing of any host."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transforms.release.downloads", "templates"),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("power-bi.html.jinja")
    found = {}
    for language in LANGUAGES:
        own, words = _texts(language), contents.words[language]
        found[f"power-bi.{language}.html"] = page.render(
            language=language,
            own=own,
            site=words.labels,
            style=STYLE,
            names=[(other, load_labels(other)["language_name"]) for other in LANGUAGES],
            city=contents.city(language),
            release=contents.release,
            generated=contents.labels[language]["note_generated"],
            tables=[(name, words.count(table.height)) for name, table in star.items()],
            relations=list(RELATIONS.items()),
            query=environment.get_template("folder.pq.jinja").render(own=own, release=contents.release),
            measures=environment.get_template("measures.dax.jinja").render(),
        ).encode()
    return found


def _texts(language: str) -> dict[str, Any]:
    text = files("transforms.release.downloads").joinpath("templates", f"power-bi.{language}.toml").read_text("utf-8")
    return tomllib.loads(text)
