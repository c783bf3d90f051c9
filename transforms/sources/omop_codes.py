"""Codes of OMOP rows: through CONCEPT where it is given, else from how the source value is written."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.table import Column
from schemas.tables import TABLES
from transforms.sources.listed import is_listed
from transforms.sources.notes import Notes
from transforms.sources.omop_files import OmopFiles

_CONCEPT = {"concept_id": pl.String(), "code_system": pl.String(), "code": pl.String()}
_OTHER = "a vocabulary that caregap does not read"


@dataclass(frozen=True)
class Concepts:
    """The concepts of an export and the words of omop.toml; `code` finds the code of each row."""

    concepts: pl.DataFrame
    words: dict[str, Any]
    notes: Notes

    def code(self, rows: pl.DataFrame, terms: dict[str, Any], name: str) -> pl.DataFrame:
        """Rows that have a code of a system of their table, with `code_system`, `code` and `unit_code`.

        The source's own code counts where a code list has it, be it told by the source concept or by the source value,
        then a standard concept that a list has. Else the first concept column that leads to a code tells it, and last
        the source value. Rows without are left out and counted.
        """
        table = terms["table"]
        systems = _systems(table)
        coded = rows
        for place, column in enumerate(terms["concepts"]):
            coded = self._look_up(coded, column, systems, place)
        coded = self._read_value(coded, terms["source_value"], table)
        first, *others = [str(place) for place in range(len(terms["concepts"]))]
        chosen = pl.coalesce(
            *(pl.when(_listed(place, systems)).then(pl.lit(place)) for place in (first, "_written", *others)),
            *(pl.when(pl.col(f"system{place}").is_not_null()).then(pl.lit(place)) for place in (first, *others)),
            pl.lit("_written"),
        )
        coded = coded.with_columns(chosen=chosen).with_columns(
            pl.coalesce(
                pl.when(pl.col("chosen") == place).then(f"{word}{place}") for place in (first, *others, "_written")
            ).alias(name)
            for word, name in (("system", "code_system"), ("code", "code"))
        )
        guessed = coded.filter((pl.col("chosen") == "_written") & pl.col("code_system").is_not_null()).height
        rule = "no concept tells a code that counts; it was taken from the source value as it is written"
        self.notes.count(table, "code", rule, guessed)
        lost = coded["code_system"].null_count()
        self.notes.count(table, "code", f"rows of {name.upper()} without a code that caregap reads were left out", lost)
        kept = coded.filter(pl.col("code_system").is_not_null())
        return self._look_up(kept, "unit_concept_id", ["ucum"], "_unit") if "unit_concept_id" in kept.columns else kept

    def unit(self) -> pl.Expr:
        """The unit of a measurement in UCUM: by its concept, by omop.toml, else the source's own word."""
        known = {concept: unit for unit, concepts in self.words["unit"].items() for concept in concepts}
        by_number = pl.col("unit_concept_id").replace_strict(known, default=None, return_dtype=pl.String)
        return pl.coalesce("code_unit", by_number, "unit_source_value")

    def _look_up(self, rows: pl.DataFrame, column: str, systems: list[str], place: int | str) -> pl.DataFrame:
        """Rows with the code system and code of a concept column, null where it leads to none of the systems."""
        used = rows.select(pl.col(column).alias("concept_id")).unique().drop_nulls()
        found = used.join(self.concepts.filter(pl.col("code_system").is_in(systems)), on="concept_id")
        found = found.rename({"code_system": f"system{place}", "code": f"code{place}"})
        return rows.join(found, left_on=column, right_on="concept_id", how="left", maintain_order="left")

    def _read_value(self, rows: pl.DataFrame, column: str, table: str) -> pl.DataFrame:
        """Rows with the code system and code that the source value is written as, once for each distinct value."""
        values = rows.select(pl.col(column)).unique().drop_nulls()
        parts = pl.col(column).str.extract_groups(r"^(?:([A-Za-z][A-Za-z0-9 ]*)[:|])?\s*(.+)$")
        values = values.with_columns(
            named=parts.struct[0]
            .str.to_lowercase()
            .replace_strict(_by_vocabulary(self.words), default=_OTHER, return_dtype=pl.String),
            is_named=parts.struct[0].is_not_null(),
            code_written=parts.struct[1],
        )
        shaped = pl.coalesce(
            pl.when(pl.col("code_written").str.contains(shape)).then(pl.lit(system))
            for system, shape in self.words["shape"][table].items()
        )
        system = pl.when("is_named").then("named").otherwise(shaped)
        allowed = pl.when(system.is_in(_systems(table))).then(system)
        values = values.select(column, "code_written", "is_named", system_written=allowed)
        return rows.join(values, on=column, how="left", maintain_order="left").with_columns(
            pl.when(pl.col("system_written").is_not_null()).then("code_written")
        )


def read_concepts(files: OmopFiles, words: dict[str, Any], notes: Notes) -> Concepts:
    """Read the concepts of the vocabularies that caregap reads. Raises SourceRefused where CONCEPT cannot be read."""
    if "concept" not in files:
        notes.note("diagnosis", "code", "the table CONCEPT is missing: codes are taken from the source values")
        return Concepts(pl.DataFrame(schema=_CONCEPT), words, notes)
    for column in ("concept_id", "vocabulary_id", "concept_code"):
        files.need("concept", column)
    systems = _by_vocabulary(words)
    parts = []
    for rows in files.rows("concept", ["concept_id", "vocabulary_id", "concept_code"]):
        system = pl.col("vocabulary_id").str.to_lowercase()
        known = rows.with_columns(code_system=system.replace_strict(systems, default=None, return_dtype=pl.String))
        parts.append(known.drop_nulls().select("concept_id", "code_system", code="concept_code"))
    concepts = pl.concat([pl.DataFrame(schema=_CONCEPT), *parts]).filter(pl.col("concept_id") != "0")
    return Concepts(concepts.unique("concept_id", keep="first"), words, notes)


def _listed(place: str, systems: list[str]) -> pl.Expr:
    """Whether the code of a place is in a code list; two digits that may be CVX's do not outdo a concept."""
    system, code = pl.col(f"system{place}"), pl.col(f"code{place}")
    found = pl.any_horizontal((system == name) & is_listed(name, code) for name in systems).fill_null(False)
    return found & ((system != "cvx") | pl.col("is_named")) if place == "_written" else found


def _by_vocabulary(words: dict[str, Any]) -> dict[str, str]:
    return {name: system for system, names in words["vocabulary"].items() for name in names}


def _systems(table: str) -> list[str]:
    """Code systems that the rows of a table may have; a medicine may turn out to be a vaccine."""
    column: Column = TABLES[table].column("code_system")
    return [*column.terms, "cvx"] if table == "medication" else list(column.terms)
