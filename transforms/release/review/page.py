"""The pages on a candidate, one a language: no script, and nothing is asked of any host."""

from schemas.labels import LANGUAGES
from transforms.release.html import environment, written
from transforms.release.review.cells import hidden_cells, hidden_csv
from transforms.release.review.content import content
from transforms.release.review.views import HIDDEN_CSV, Review, page_name
from transforms.release.review.words import words


def review_files(review: Review) -> dict[str, bytes]:
    """The pages and the list of every hidden cell; file name to UTF-8 bytes. The same review gives the same bytes."""
    templates = environment("transforms.release.review")
    pages = {
        page_name(language): written(templates, "review.html.jinja", content(review, words(language)))
        for language in LANGUAGES
    }
    return pages | {HIDDEN_CSV: hidden_csv(hidden_cells(review.decisions, review.as_of), review.areas)}
