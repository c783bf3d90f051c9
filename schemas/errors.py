"""What caregap says when it refuses, and the exit code that goes with it.

A refusal names the table, the column, the rule, how many rows or files and what to do next. It never holds a value of a
record: everything in it is safe to log, to store and to show.
"""

from dataclasses import dataclass


@dataclass(eq=False)
class Refusal(Exception):
    """A run stops on purpose. Subclasses fix the exit code."""

    rule: str
    next_step: str
    table: str | None = None
    column: str | None = None
    count: int | None = None
    of: str = "rows"

    exit_code = 1

    def __str__(self) -> str:
        """One line: place, rule, count, next step."""
        place = ".".join(part for part in (self.table, self.column) if part)
        head = f"{place}: {self.rule}" if place else self.rule
        count = f" ({self.count} {self.of})" if self.count is not None else ""
        return f"{head}{count}. {self.next_step}"

    def __reduce__(self) -> tuple[type, tuple[str, str, str | None, str | None, int | None, str]]:
        """Survive pickling between processes with the fields and nothing else."""
        return type(self), (self.rule, self.next_step, self.table, self.column, self.count, self.of)


class UsageRefused(Refusal):
    """The command line or a file that a person wrote is wrong."""

    exit_code = 2


class Busy(UsageRefused):
    """Another process is at the same work; it is possible later."""


class SourceRefused(Refusal):
    """The source cannot be read as the tables it should hold."""

    exit_code = 10


class QualityGateFailed(Refusal):
    """A quality check with severity `fail` did not hold."""

    exit_code = 11


class BoundaryRefused(Refusal):
    """Something would have left the controller zone that must not."""

    exit_code = 12


class DisclosureRefused(Refusal):
    """A table cannot be published without giving a small group away."""

    exit_code = 13


class ApprovalMissing(Refusal):
    """A person's decision is needed first."""

    exit_code = 14


class PolicyRefused(Refusal):
    """policy.toml does not allow it, or is not valid itself."""

    exit_code = 15


class KeyUnavailable(Refusal):
    """The key is not there, does not open, or must not be used."""

    exit_code = 16
