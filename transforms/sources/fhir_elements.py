"""Expressions that read FHIR's data types: codings, references, dates, quantities."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import polars as pl

from transforms.sources.listed import is_listed
from transforms.sources.words import terms_of

WORDS: dict[str, Any] = tomllib.loads(files("transforms.sources").joinpath("fhir.toml").read_text("utf-8"))
"""fhir.toml."""
_IN_UTC = r"(Z|[+-]00:00)$"
_DAY = r"^\d{4}-\d{2}-\d{2}($|T)"


def field(column: str, *path: str) -> pl.Expr:
    """An element within elements."""
    found = pl.col(column)
    for name in path:
        found = found.struct.field(name)
    return found


def system_of(uri: pl.Expr) -> pl.Expr:
    """A code system's URI as fhir.toml writes it."""
    plain = uri.str.strip_chars().str.replace("^urn:oid:", "").str.replace("^https:", "http:")
    plain = plain.str.replace(r"^(http://snomed\.info/sct)\b.*$", "$1")
    return plain.str.replace(r"^(1\.2\.246\..+)\.(?:19|20)\d{2}$", "$1").str.strip_suffix("/")


def code_of(codings: pl.Expr, systems: Sequence[str]) -> dict[str, pl.Expr]:
    """`code_system` and `code` of a list of codings: the first of the systems that it has, null where it has none.

    A coding that a code list has goes before all that none has: it is the one that counts.
    """
    found: list[tuple[str, pl.Expr]] = []
    listed: list[tuple[str, pl.Expr]] = []
    code = pl.element().struct.field("code")
    for system in systems:
        if system == "spat":
            fits = code.str.contains(r"^SPAT\d{4}$")
        else:
            fits = system_of(pl.element().struct.field("system")).is_in(WORDS["system"][system])
        fits &= code.is_not_null()
        found.append((system, codings.list.eval(code.filter(fits)).list.first()))
        listed.append((system, codings.list.eval(code.filter(fits & is_listed(system, code))).list.first()))
    chosen = listed + found
    return {
        "code_system": pl.coalesce(pl.when(code.is_not_null()).then(pl.lit(name)) for name, code in chosen),
        "code": pl.coalesce(code for _, code in chosen),
    }


def term_of(concept: pl.Expr, groups: dict[str, list[str]]) -> pl.Expr:
    """The term whose group holds the first code or display, or the text, of a CodeableConcept."""
    codings = concept.struct.field("coding")
    told = [codings.list.eval(terms_of(pl.element().struct.field(name), groups)) for name in ("code", "display")]
    return pl.coalesce(
        *(words.list.drop_nulls().list.first() for words in told), terms_of(concept.struct.field("text"), groups)
    )


def first_term_of(concepts: pl.Expr, groups: dict[str, list[str]]) -> pl.Expr:
    """The term of the first of several CodeableConcepts that has one."""
    return concepts.list.eval(term_of(pl.element(), groups)).list.drop_nulls().list.first()


def has_code(concept: pl.Expr, words: list[str]) -> pl.Expr:
    """Whether a coding of a CodeableConcept has one of the codes."""
    codes = concept.struct.field("coding").list.eval(
        pl.element().struct.field("code").str.to_lowercase().is_in(words).fill_null(False)
    )
    return codes.list.any().fill_null(False)


def reference_id(reference: pl.Expr, kind: str) -> pl.Expr:
    """The id that a reference to a resource of a type leads to: relative, absolute, with a version, or urn:uuid."""
    return reference.str.extract(rf"^(?:.*/)?{kind}/([^/?|#]+)(?:/_history/.*)?$").fill_null(
        reference.str.extract(r"^urn:(?:uuid|oid):(.+)$")
    )


def day_of(text: pl.Expr, *, last: bool = False) -> pl.Expr:
    """The day of a dateTime; of a month or a year alone its first day, or its last. Other text stays as it is."""
    utc = text.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False)
    here = utc.dt.replace_time_zone("UTC").dt.convert_time_zone(WORDS["time_zone"]).dt.strftime("%Y-%m-%d")
    month = (text + "-01").str.to_date("%Y-%m-%d", strict=False)
    month = month.dt.month_end() if last else month
    return (
        pl.when(text.str.contains(_IN_UTC) & here.is_not_null())
        .then(here)
        .when(text.str.contains(_DAY))
        .then(text.str.head(10))
        .when(text.str.contains(r"^\d{4}-\d{2}$"))
        .then(month.cast(pl.String))
        .when(text.str.contains(r"^\d{4}$"))
        .then(text + ("-12-31" if last else "-01-01"))
        .otherwise(text)
    )


def is_partial(text: pl.Expr) -> pl.Expr:
    """Whether a dateTime is a month or a year alone."""
    return text.str.contains(r"^\d{4}(-\d{2})?$").fill_null(False)
