"""What an analyst asks about the indicators' definitions."""

import polars as pl

from schemas.errors import UsageRefused
from schemas.indicators import load_indicators
from transforms.analysis.explain import check_indicators
from transforms.analysis.explain import explain as explain_indicator


def list_all() -> str:
    """Every indicator as CSV: id, version and title in three languages."""
    rows = [
        (one.id, one.version, one.title["fi"], one.title["sv"], one.title["en"]) for one in load_indicators().values()
    ]
    return pl.DataFrame(rows, schema=["id", "version", "title_fi", "title_sv", "title_en"], orient="row").write_csv()


def check() -> str:
    """Read every definition and run it over an empty lake; returns what was checked."""
    return f"{len(check_indicators())} indicators are well defined"


def explain(indicator: str, language: str) -> str:
    """A definition in words and the SQL that it becomes."""
    known = load_indicators()
    if indicator not in known:
        raise UsageRefused("there is no such indicator", "caregap indicators list names them")
    return explain_indicator(known[indicator], language)
