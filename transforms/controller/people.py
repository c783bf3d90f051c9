"""The persons of a load: what the source says of them, merged, numbered in the order of their pseudonyms, written.

Persons come before everything that happened to them. Their numbers say nothing of the order in which they came.
"""

from collections.abc import Callable
from pathlib import Path
from threading import RLock

import numpy as np
import polars as pl

from schemas.errors import SourceRefused
from schemas.table import PERSON_ID, PERSON_NUMBER
from schemas.tables import IDENTITY_LINK, TABLES
from transforms.controller import validate
from transforms.controller.blocks import through_runs
from transforms.controller.generalise import generalise_birth, generalise_recorded
from transforms.controller.lake_files import write
from transforms.controller.links import Links
from transforms.controller.memory import WITHDRAWN
from transforms.controller.pseudonymise import pseudonym_key, pseudonymise, to_series
from transforms.controller.register import (
    KEY,
    SAID,
    TAKEN_BACK,
    Numbering,
    now_known_as,
    number_all,
    number_more,
    resolve,
    words,
)
from transforms.controller.terms import Before, Tally, Terms

Reject = Callable[[str, pl.DataFrame, pl.Series], None]


class People:
    """Takes identity links and then rows of persons; numbers the persons once something else is asked for.

    `reject` seals rows of a table, as the source had them, with their reasons. With a `before`, the persons of the
    lake keep their numbers.
    """

    def __init__(self, terms: Terms, file: Path, reject: Reject, before: Before | None) -> None:
        """Know what is remembered of earlier loads; the persons will be written to `file`."""
        self.links = before.memory.known_links() if before else Links()
        self.numbering: Numbering | None = None
        self.birth_dates = pl.Series("birth_date", [], pl.Date)
        """The day of birth of each person by number, once they are numbered; the controller's alone."""
        self.withdrawn = before.memory.withdrawn if before else pl.DataFrame(schema=WITHDRAWN)
        """The persons who were in the lake once and no longer are, by the identifier that they had last."""
        self.file = file
        self._terms, self._reject, self._before = terms, reject, before
        self._key = pseudonym_key(terms.keyring, terms.identifier, terms.domain)
        self._said: dict[int, pl.DataFrame] = {}
        self._raw: dict[int, pl.DataFrame] = {}
        self._remembered: pl.DataFrame | None = None
        self._lock = RLock()

    def add_links(self, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series, tally: Tally) -> None:
        """Take identity links. Raises SourceRefused where persons came before them."""
        if self._raw or self.numbering is not None:
            raise SourceRefused("identity links came after persons", "Deliver them first", table=IDENTITY_LINK)
        usable = reason.is_null()
        disagree = self.links.add(rows.filter(usable))
        reason = reason.scatter(usable.arg_true(), disagree)
        self._reject(IDENTITY_LINK, raw, reason)
        tally.kept += reason.null_count()

    def add(self, raw: pl.DataFrame, rows: pl.DataFrame, reason: pl.Series, part: int) -> None:
        """Keep what the valid rows of a batch say, and the rows themselves until the persons are numbered.

        `part` is the place of the batch among all; several threads may add batches.
        """
        self._reject("person", raw, reason)
        valid = reason.is_null()
        said = rows.filter(valid).select(*SAID).with_columns(pl.col("is_retracted").fill_null(False))
        with self._lock:
            self._said[part] = said.cast(SAID)  # type: ignore[arg-type]
            self._raw[part] = raw.filter(valid)

    def remembered(self) -> pl.DataFrame:
        """What later loads must know of what the source said."""
        if self._remembered is None:
            raise AssertionError("persons have not been numbered")
        return self._remembered

    def numbers_of(self, identifiers: pl.Series, tally: Tally) -> pl.Series:
        """The person number of each identifier, be it a former one; null where there is no such person."""
        numbering = self.numbering or self.number(tally)

        def number(some: pl.Series) -> pl.Series:
            return numbering.number_of(pseudonymise(self.links.current(some), self._key))

        return through_runs(identifiers, number)

    def number(self, tally: Tally) -> Numbering:
        """Merge rows of one person, quarantine persons whose rows contradict each other, number and write the rest."""
        with self._lock:
            if self.numbering is None:
                self.numbering = self._number(tally)
            return self.numbering

    def _number(self, tally: Tally) -> Numbering:
        remembered = [self._before.memory.persons] if self._before else []
        if not self._said and not remembered:
            raise SourceRefused("no person was read", "Check the source", table="person")
        said = pl.concat([*remembered, *(self._said[part] for part in sorted(self._said))])
        earlier = said.height - sum(rows.height for rows in self._raw.values())
        found = resolve(said, self.links, self._key)
        if found.persons.height == 0:
            # The rows are sealed, so that the reasons can be looked at.
            self._lose(found.lost, earlier)
            raise SourceRefused("no valid person was read", "See the quarantine for the reasons", table="person")
        if self._raw:
            kept = found.persons.filter(pl.col("arrival") >= earlier).height
            lost = self._lose(found.lost, earlier)
            tally.kept = kept
            tally.left_out(validate.MERGED, said.height - earlier - kept - lost)
        # Of a person whose row was taken back nothing is remembered but that.
        taken_back = found.lost.filter(pl.col("reason") == TAKEN_BACK)["arrival"]
        places = pl.int_range(pl.len(), dtype=pl.UInt32)
        self._remembered = said.filter(pl.col("is_retracted") | ~places.is_in(taken_back.implode()))
        self._said, self._raw = {}, {}
        numbering = self._numbered(found.persons, said[:earlier], said[PERSON_ID].slice(earlier))
        in_order = found.persons.select("birth_date", numbering.index[PERSON_NUMBER]).sort(PERSON_NUMBER)
        self.birth_dates = in_order["birth_date"]
        self._write(found.persons, numbering)
        return numbering

    def _numbered(self, persons: pl.DataFrame, earlier: pl.DataFrame, said_now: pl.Series) -> Numbering:
        if self._before is None:
            return number_all(persons)
        said = ["former_id", "person_id"]
        undone = self._before.memory.known_links().pairs.join(self.links.pairs, on=said, how="anti")
        if undone.height:
            raise SourceRefused(
                "identity links contradict those of earlier loads, whose persons are one in the lake",
                "Load the source in full",
                IDENTITY_LINK,
                "former_id",
                undone.height,
            )
        was, now = (
            self._before.memory.known_links().current(earlier[PERSON_ID]),
            self.links.current(earlier[PERSON_ID]),
        )
        changed = was.ne_missing(now)
        became = pl.DataFrame(words(pseudonymise(was.filter(changed), self._key)))
        after = pl.DataFrame(words(pseudonymise(now.filter(changed), self._key))).rename(
            dict(zip(KEY, ("now_0", "now_1"), strict=True))
        )
        became = pl.concat([became, after], how="horizontal").unique(KEY)
        self._same_births(persons, earlier.filter(changed | now.is_in(self.links.current(said_now).implode())), became)
        self._nobody_comes_back(persons)
        numbering = number_more(persons, self._before.persons, became)
        if numbering.changes["now"].null_count():
            there = self._identifiers(earlier[PERSON_ID])
            were = there.join(now_known_as(self._before.persons, became), on=KEY, how="semi")
            gone = were.join(persons, on=KEY, how="anti").select(PERSON_ID)
            self.withdrawn = pl.concat([self.withdrawn, gone]).unique(maintain_order=True)
        return numbering

    def _identifiers(self, said: pl.Series) -> pl.DataFrame:
        """Each identifier that persons have now, of those that were said, and its KEY."""
        current = self.links.current(said).unique(maintain_order=True).alias(PERSON_ID)
        return pl.DataFrame([current, *words(pseudonymise(current, self._key))])

    def _nobody_comes_back(self, persons: pl.DataFrame) -> None:
        """Raise SourceRefused where a person is there again whose rows an increment has taken out of the lake."""
        again = self._identifiers(self.withdrawn[PERSON_ID]).join(persons, on=KEY, how="semi").height
        if again:
            raise SourceRefused(
                "persons are there again whose records an earlier increment took out of the lake",
                "Load the source in full",
                "person",
                PERSON_ID,
                again,
            )

    def _same_births(self, persons: pl.DataFrame, earlier: pl.DataFrame, became: pl.DataFrame) -> None:
        """Raise SourceRefused where a person's month of birth is another than the lake's residences were cut by.

        `earlier` is what was said before of the persons of whom something new is known.
        """
        if self._before is None or self._terms.birth_date == "day":
            return
        month = pl.col("birth_date").dt.truncate("1mo")
        before = resolve(earlier, self._before.memory.known_links(), self._key).persons.select(*KEY, was=month)
        now = persons.select(*KEY, now=month)
        moved = now_known_as(before, became).join(now, on=KEY, how="inner")
        if corrected := moved.filter(pl.col("was").ne_missing(pl.col("now"))).height:
            raise SourceRefused(
                "the month of birth of persons of the lake was corrected",
                "Load the source in full",
                "person",
                "birth_date",
                corrected,
            )

    def _write(self, persons: pl.DataFrame, numbering: Numbering) -> None:
        pseudonym = persons.select(*KEY).to_numpy(order="c").view(np.uint8).reshape(-1, 16)
        rows = persons.with_columns(
            numbering.index[PERSON_NUMBER],
            generalise_birth(persons["birth_date"], self._terms.birth_date),
            generalise_recorded(persons["recorded_date"], persons["birth_date"], self._terms.birth_date),
            persons["sex"].fill_null("unknown").alias("sex"),
            to_series(pseudonym, "pseudonym"),
        )
        table = TABLES["person"]
        write(rows.select(*table.platform_schema).sort(PERSON_NUMBER), self.file)

    def _lose(self, lost: pl.DataFrame, earlier: int) -> int:
        """Seal the rows of this load that stand for nobody; returns how many."""
        lost = lost.filter(pl.col("arrival") >= earlier)
        if not lost.height:
            return 0
        raw = pl.concat([self._raw[part] for part in sorted(self._raw)], how="diagonal_relaxed").with_row_index(
            "arrival", earlier
        )
        rejected = raw.join(lost, on="arrival", how="inner", maintain_order="left")
        self._reject("person", rejected.drop("arrival", "reason"), rejected["reason"])
        return lost.height
