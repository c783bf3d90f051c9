"""How notebooks lay out tables and choices."""

from collections.abc import Mapping

import marimo as mo
import polars as pl

from schemas.errors import Refusal
from schemas.labels import load_labels

LANGUAGES = {"suomi": "fi", "svenska": "sv", "English": "en"}


def table(rows: pl.DataFrame, label: str, *, download: bool = True) -> object:
    """A table that is only read, with every row; numbers stand to the right. `download` offers it as a file."""
    words = {"Date", "Area", "District", "Sex", "Age", "Against the city", "Care gap", "What it is", "Areas", "People"}
    words |= {"Status", "Reason", "Case", "Expected", "Found", "Result"}
    return mo.ui.table(
        rows,
        label=label,
        selection=None,
        page_size=60,
        show_column_summaries=False,
        show_data_types=False,
        show_download=download,
        text_justify_columns={name: "left" if name in words else "right" for name in rows.columns},
    )


def language_choice(given: str) -> object:
    """In which language names and titles are shown."""
    return mo.ui.dropdown(LANGUAGES, value={code: name for name, code in LANGUAGES.items()}[given], label="Names in")


def sexes(found: pl.Series, language: str) -> dict[str, str]:
    """The sexes that figures are cut by, by their words; everybody first."""
    labels = load_labels(language)
    return {"All": "*", **{labels[f"sex_{code}"]: code for code in found.unique().sort() if code != "*"}}


def ages(found: pl.Series) -> dict[str, str]:
    """The age bands that figures are cut by, youngest first; everybody first."""
    bands = sorted((band for band in found.unique() if band != "*"), key=lambda band: int(band.split("-")[0]))
    return {"All": "*", **{band: band for band in bands}}


def refused(refusal: Refusal, before: str = "") -> object:
    """A refusal as a reader meets it."""
    return mo.callout(mo.md(f"{before}**{refusal}**"), kind="danger")


def faulty(fault: Mapping[str, str]) -> object:
    """Where a text is wrong, what is wrong and the mend."""
    lines = (f"**Where**: `{fault['where']}`", f"**What**: {fault['what']}", f"**Mend**: {fault['mend']}")
    return mo.callout(mo.md("\n\n".join(lines)), kind="danger")
