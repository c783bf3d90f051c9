"""The page of one run and the history of all, one file a language: no script, and nothing is asked of any host."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2

from expectations.report.history_page import history_page
from expectations.report.run_page import run_page
from expectations.report.views import Counted, HistoryView, Row, RunView, page_name
from expectations.report.words import words
from schemas.labels import LANGUAGES

__all__ = ["Counted", "HistoryView", "Row", "RunView", "history_pages", "page_name", "run_pages"]


def run_pages(view: RunView) -> dict[str, bytes]:
    """The pages of a run; file name to UTF-8 bytes. The same view gives the same bytes."""
    return {page_name(language): _render("run.html.jinja", run_page(view, words(language))) for language in LANGUAGES}


def history_pages(view: HistoryView) -> dict[str, bytes]:
    """The pages of the history."""
    return {
        page_name(language): _render("history.html.jinja", history_page(view, words(language)))
        for language in LANGUAGES
    }


def _render(name: str, context: Mapping[str, Any]) -> bytes:
    html = _environment().get_template(name).render(context)
    return "\n".join(line for line in (line.strip(" \t") for line in html.split("\n")) if line).encode() + b"\n"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("expectations.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
