"""The pages that stay at the address of a withdrawn release."""

from datetime import date
from html import escape

from schemas.labels import LANGUAGES
from transforms.release.page import page_name
from transforms.release.page_words import words

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
<h1>{title}</h1>
<p>{text}</p>
</main>
</body>
</html>
"""


def withdrawn_pages(release_id: str, day: date) -> dict[str, bytes]:
    """A page of each language that says that a release was withdrawn, and when; file name to UTF-8 bytes."""
    pages = {}
    for own in map(words, LANGUAGES):
        text = own.labels["withdrawn_text"].format(release=release_id, day=own.date(day))
        title = own.labels["withdrawn_title"]
        page = _PAGE.format(language=own.language, title=escape(title), text=escape(text))
        pages[page_name(own.language)] = page.encode()
    return pages
