"""Where each page of a release lies: addresses that stay the same from release to release.

A page is named by what it tells of and not by its place in a list. Every link is relative and names a file, so that the
pages work below any address, and from a folder.
"""

import re

from schemas.labels import LANGUAGES

FRONT_PAGE = "index.html"
"""The page at a release's own address: the choice of language."""
STYLE = "style.css"
ABOUT = ("method", "secrecy", "data", "downloads", "accessibility")
"""Pages that tell of the figures, in the order of the navigation."""


def slug(indicator: str) -> str:
    """The name of an indicator in addresses and anchors."""
    return re.sub(r"[^a-z0-9]+", "-", indicator.lower()).strip("-")


def indicator_page(indicator: str) -> str:
    """Address of an indicator's page within its language."""
    return f"indicators/{slug(indicator)}.html"


def area_page(code: str) -> str:
    """Address of a district's or major district's page within its language."""
    return f"areas/{slug(code)}.html"


def about_page(name: str) -> str:
    """Address of one of ABOUT within its language."""
    return f"about/{name}.html"


def to_root(page: str) -> str:
    """What leads from a page, by its address in the release, back to the release."""
    return "../" * page.count("/")


def language_of(page: str) -> str | None:
    """The language of a page, by its address in the release; None of the page that all languages share."""
    first = page.partition("/")[0]
    return first if first in LANGUAGES else None
