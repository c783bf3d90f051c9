"""The pages that stay at every address of a withdrawn release."""

from collections.abc import Iterable
from datetime import date
from html import escape

from schemas.labels import LANGUAGES
from transforms.release.page_words import Words, words
from transforms.release.site.addresses import FRONT_PAGE, language_of

_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
</head>
<body>
<main>
{said}
</main>
</body>
</html>
"""


def withdrawn_pages(release_id: str, day: date, addresses: Iterable[str]) -> dict[str, bytes]:
    """A page at each address of a page that says that the release was withdrawn, and when; UTF-8 by address.

    Other files have no successor. The page that all languages share says it in all of them.
    """
    pages = {}
    for address in {FRONT_PAGE, *(one for one in addresses if one.endswith(".html"))}:
        language = language_of(address)
        told = [words(one) for one in LANGUAGES if language in (one, None)]
        said = "\n".join(_said(own, release_id, day) for own in told)
        title = " – ".join(own.labels["withdrawn_title"] for own in told)
        page = _PAGE.format(language=told[0].language, title=escape(title), said=said)
        pages[address] = page.encode()
    return pages


def _said(own: Words, release_id: str, day: date) -> str:
    text = own.labels["withdrawn_text"].format(release=release_id, day=own.date(day))
    title = own.labels["withdrawn_title"]
    return f'<section lang="{own.language}">\n<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n</section>'
