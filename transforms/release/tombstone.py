"""The pages that stay at every address of a withdrawn release."""

from collections.abc import Iterable
from datetime import date

from schemas.labels import LANGUAGES
from transforms.release.html import environment, written
from transforms.release.page_words import words
from transforms.release.site.addresses import FRONT_PAGE, STYLE, language_of, to_root


def withdrawn_pages(release_id: str, day: date, addresses: Iterable[str]) -> dict[str, bytes]:
    """A page at each address of a page that says that the release was withdrawn, and when; UTF-8 by address.

    They use the style sheet that the release has; other files have no successor. The page that all languages share
    says it in all of them.
    """
    templates = environment("transforms.release.site")
    pages = {}
    for address in {FRONT_PAGE, *(one for one in addresses if one.endswith(".html"))}:
        language = language_of(address)
        about = {
            "told": [words(one) for one in LANGUAGES if language in (one, None)],
            "root": to_root(address),
            "style": STYLE,
            "release_id": release_id,
            "day": day,
        }
        pages[address] = written(templates, "withdrawn.html.jinja", about)
    return pages
