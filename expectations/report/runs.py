"""What is kept of a run beside the results of its checks, and how runs compare."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

Outcome = Literal["checked", "done", "stopped"]
GATE_CODE = 11
"""Exit code of a run that the quality gate stopped."""


@dataclass(frozen=True)
class Run:
    """One load as it was checked; counts and versions only.

    `outcome` is `checked` until the load has ended: `done` where it reached the lake. `rules` and `policy` are the
    SHA-256 of the checks and of policy.toml, empty where the load stopped before the checks. `tallies` are rows in,
    kept and quarantined by reason, `freshness` the days since the latest event, by table.
    """

    run: str
    as_of: date
    started: datetime
    source: str
    generated: bool
    increment: bool
    outcome: Outcome
    exit_code: int
    rules: str
    policy: str
    tallies: Mapping[str, Mapping[str, Any]]
    freshness: Mapping[str, int | None]

    @property
    def kind(self) -> tuple[str, bool, bool]:
        """Runs of the same kind can be compared: a night's changes are no full load."""
        return self.source, self.generated, self.increment

    @property
    def rows_in(self) -> int:
        """Rows that came from the source."""
        return sum(tally["rows_in"] for tally in self.tallies.values())

    @property
    def kept(self) -> int:
        """Rows that were accepted."""
        return sum(tally["kept"] for tally in self.tallies.values())

    @property
    def left_out(self) -> int:
        """Rows that were not, whatever the reason."""
        return sum(sum(tally["quarantined"].values()) for tally in self.tallies.values())

    @property
    def left_out_share(self) -> float | None:
        """Share of the rows that were not accepted; None where none came."""
        return self.left_out / self.rows_in if self.rows_in else None


def to_json(run: Run) -> dict[str, Any]:
    """A run as it is kept."""
    return asdict(run) | {"as_of": run.as_of.isoformat(), "started": run.started.isoformat()}


def from_json(content: Mapping[str, Any]) -> Run:
    """A run as it was kept."""
    day, started = date.fromisoformat(content["as_of"]), datetime.fromisoformat(content["started"])
    return Run(**{**content, "as_of": day, "started": started})


def earlier_of_kind(runs: Sequence[Run], run: Run) -> list[Run]:
    """Runs of the same kind that were checked before, the earliest first."""
    return [one for one in in_order(runs) if one.kind == run.kind and one.rules and one.started < run.started]


def earlier_checked(runs: Sequence[Run], run: Run) -> list[Run]:
    """Runs of any kind that were checked before: what rules are compared with."""
    return [one for one in in_order(runs) if one.rules and one.started < run.started]


def in_order(runs: Sequence[Run]) -> list[Run]:
    """The earliest first."""
    return sorted(runs, key=lambda run: (run.started, run.run))
