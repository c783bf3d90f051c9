"""Changed identifiers: every identifier a person ever had leads to the one that the person has now."""

import polars as pl

from transforms.controller.validate import LINKS_DISAGREE

_LONGEST_CHAIN = 8
"""Changes of identifier that are followed; nobody has had more."""


class Links:
    """Former identifiers and the current one of each. In normal spelling throughout."""

    def __init__(self, pairs: pl.DataFrame | None = None) -> None:
        """Know no link yet, or all that were `said` before."""
        none = pl.DataFrame(schema={"former_id": pl.String, "person_id": pl.String})
        self.said = self.pairs = none
        self._ends = none["person_id"]
        if pairs is not None:
            self.add(pairs)

    def add(self, pairs: pl.DataFrame) -> pl.Series:
        """Take rows of `person_id` and `former_id`; the reason why a row cannot be used, or null. One value a row.

        A former identifier that would lead to two persons, or round in a circle, leads nowhere: its rows are rejected.
        """
        known = pl.concat([self.said, pairs.select("former_id", "person_id")]).unique(maintain_order=True)
        self.said = known
        twice = known.filter(pl.col("former_id").is_duplicated())["former_id"].unique()
        known = known.filter(~pl.col("former_id").is_in(twice.implode()))
        ends = _ends(known)
        lost = known.filter(ends.is_null())["former_id"]
        self.pairs, self._ends = known.filter(ends.is_not_null()), ends.drop_nulls()
        bad = pairs["former_id"].is_in(twice.implode()) | pairs["former_id"].is_in(lost.implode())
        reason = pl.when(bad).then(pl.lit(f"former_id: {LINKS_DISAGREE}")).alias("reason")
        return pairs.select(reason).to_series()

    def current(self, identifiers: pl.Series) -> pl.Series:
        """The current identifier of each; itself where it never changed. One value a row."""
        if self.pairs.height == 0:
            return identifiers
        former = identifiers.is_in(self.pairs["former_id"].implode())
        if not former.any():
            return identifiers
        now = identifiers.filter(former).replace(self.pairs["former_id"], self._ends)
        return identifiers.clone().scatter(former.arg_true(), now)


def _ends(pairs: pl.DataFrame) -> pl.Series:
    """Where each chain of changes ends; null where it goes round in a circle."""
    end = pairs["person_id"]
    for _ in range(_LONGEST_CHAIN):
        end = end.replace(pairs["former_id"], pairs["person_id"])
    still = end.is_in(pairs["former_id"].implode())
    return end.to_frame().select(pl.when(~still).then(pl.first())).to_series()
