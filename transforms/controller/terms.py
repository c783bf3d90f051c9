"""What a load is told beside the rows, and what it counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from schemas.policy import EventResolution, Resolution
from transforms.controller import validate
from transforms.controller.keys import Keyring
from transforms.controller.memory import Memory


@dataclass(frozen=True)
class Terms:
    """What a load needs to know beside the rows: keys, policy and geography."""

    keyring: Keyring
    domain: str
    identifier: str
    birth_date: Resolution
    areas: pl.DataFrame
    as_of: date
    latest: date
    event_dates: Mapping[str, EventResolution] = field(default_factory=dict)

    def resolution(self, table: str) -> EventResolution:
        """How exact the dates of a table's events are in the lake."""
        return self.event_dates.get(table, "day")


@dataclass(frozen=True)
class Before:
    """What an increment adds to: what is remembered of the loads before it, and the lake's persons (KEY, number)."""

    memory: Memory
    persons: pl.DataFrame


@dataclass
class Tally:
    """Rows of one table: how many came, how many were kept, and the rest by reason. Duplicates are a reason too."""

    rows_in: int = 0
    kept: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)

    def duplicates(self, count: int) -> None:
        """Count exact duplicates; they hold nothing that the kept row does not, so nothing is sealed."""
        self.left_out(validate.DUPLICATE, count)

    def left_out(self, reason: str, count: int) -> None:
        """Count rows that are not kept."""
        if count:
            self.quarantined[reason] += count

    def reconcile(self, table: str) -> None:
        """Raise AssertionError where a row has disappeared or come into being."""
        if self.rows_in != self.kept + self.quarantined.total():
            raise AssertionError(f"{table}: rows in are not rows kept and quarantined")
