"""What an analyst asks about the indicators' definitions."""

import polars as pl

from schemas.indicators import load_indicators


def list_all() -> str:
    """Every indicator as CSV: id, version and title in three languages."""
    rows = [
        (one.id, one.version, one.title["fi"], one.title["sv"], one.title["en"]) for one in load_indicators().values()
    ]
    return pl.DataFrame(rows, schema=["id", "version", "title_fi", "title_sv", "title_en"], orient="row").write_csv()
