"""The standard population that age-standardised rates are weighted by.

Source of esp2013.csv: Eurostat, Revision of the European Standard Population: report of Eurostat's task force, 2013
edition, ISBN 978-92-79-31094-2: 100,000 persons by age, both sexes together, the last band open.
"""

from importlib.resources import files

import polars as pl

STANDARD_SCHEMA: dict[str, pl.DataType] = {"age_from": pl.Int32(), "age_to": pl.Int32(), "weight": pl.Int64()}
"""One row per age band: first and last age in completed years, the last open, and persons."""


def load_standard_population() -> pl.DataFrame:
    """The European standard population of 2013; one row per age band, in the order of age."""
    return pl.read_csv(files(__package__).joinpath("esp2013.csv").read_bytes(), schema=STANDARD_SCHEMA)
