"""The other methods, off by default: every cell is published, changed a little, instead of some hidden."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NoReturn

METHOD_RULES = ("method", "base", "deviation", "variance", "date")
"""Names in [rules] that say how counts are changed."""


@dataclass(frozen=True)
class Rounding:
    """Every count is rounded up or down to a multiple of `base` so that all sums hold (controlled rounding)."""

    base: int
    name: str = "rounding"

    @property
    def reach(self) -> int:
        """How far a count may be changed, as everybody knows."""
        return self.base - 1


@dataclass(frozen=True)
class CellKey:
    """Noise is added that the cell's name, its count and a secret determine (cell-key perturbation).

    It is at most `deviation`, 0 on average, and of the given `variance`; a count of 0 stays 0. `date` is the date of
    the counts: the same cell and count at another date gets noise of its own.
    """

    deviation: int
    variance: float
    date: date
    name: str = "cell_key"

    @property
    def reach(self) -> int:
        """How far a count may be changed, as everybody knows."""
        return self.deviation


Method = Rounding | CellKey


def method_of(rules: Mapping[str, Any], refuse: Callable[[str, str], NoReturn]) -> Method | None:
    """Read the method from [rules]; None for suppression. Calls `refuse` with the rule and the next step."""
    name = rules.get("method", "suppression")
    own = {"suppression": (), "rounding": ("base",), "cell_key": ("deviation", "variance", "date")}
    if not isinstance(name, str) or name not in own:
        refuse("method must be one of suppression, rounding, cell_key", "Correct it")
    for rule in METHOD_RULES[1:]:
        if rule in rules and rule not in own[name]:
            refuse(f"{rule} does not belong to method {name}", "Leave it out, or name its method")
        if rule not in rules and rule in own[name]:
            refuse(f"method {name} needs {rule}", "Add it to [rules]")
    if name == "suppression":
        return None
    if name == "rounding":
        if not _is_whole(rules["base"]) or rules["base"] < 2:
            refuse("base must be a whole number of at least 2", "Correct it; 5 rounds to 0, 5, 10, ...")
        return Rounding(rules["base"])
    if not _is_whole(rules["deviation"]) or not 1 <= rules["deviation"] <= 100:
        refuse("deviation must be a whole number from 1 to 100", "Correct it; it is the most that is added")
    variance = rules["variance"]
    if not isinstance(variance, int | float) or isinstance(variance, bool) or not variance > 0:
        refuse("variance must be a number above 0", "Correct it")
    if not variance <= 0.9 * rules["deviation"]:
        refuse("so much variance does not fit the deviation for a count of 1", "Set deviation / variance above 1.1")
    if type(rules["date"]) is not date:
        refuse("date must be the date of the counts", "Write it as date = 2026-10-31")
    return CellKey(rules["deviation"], float(variance), rules["date"])


def _is_whole(raw: Any) -> bool:
    return isinstance(raw, int) and not isinstance(raw, bool)
