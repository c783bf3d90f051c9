"""What to protect and how: the TOML file that a person writes for `caregap protect`, read and checked."""

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NoReturn

from schemas.errors import UsageRefused
from schemas.policy import Disclosure
from transforms.release.methods import METHOD_RULES, Method, method_of

SUMMED = "*"
"""Stands in a level column where the cell is summed over that level."""
MEASURE, VALUE, STATUS = "measure", "value", "status"
"""Columns that a protected table has beside its `by` and level columns."""


@dataclass(frozen=True)
class Spec:
    """A count table to protect.

    `count` is the column with the count; with `eligible` the gap (`count`), the closed (eligible less gap) and the
    eligible are published as one linked table. Each value of the `by` columns is a table of its own. A dimension is
    its level columns from coarse to fine; its total is added above them.

    With `self_contribution` an attacker who is counted himself subtracts himself: a count is safe from one more than
    the threshold. With `public_eligible` everybody knows how many are eligible, so that these are published. `parts`
    names a `by` value and those that add up to it; `nested` pairs of `by` values of which everybody who is eligible in
    the first is so in the second.

    What hiding a cell costs grows with its value, `people_per_cell` people as much as one more cell (as many as a usual
    safe cell has where it is None), and with its `standing`: the product of a factor for each dimension's level, the
    total first; all alike where a dimension has none. `bound` says how hard to look for the least possible. With a
    `method` nothing is hidden, and every count is published changed.
    """

    count: str
    dimensions: tuple[tuple[str, ...], ...]
    rules: Disclosure
    eligible: str | None = None
    by: tuple[str, ...] = ()
    self_contribution: bool = False
    public_eligible: bool = False
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    nested: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    standing: tuple[tuple[float, ...], ...] = ()
    people_per_cell: float | None = None
    bound: Literal["none", "quick", "full"] = "quick"
    method: Method | None = None

    @property
    def safe_from(self) -> int:
        """The least count that is safe."""
        return self.rules.threshold + self.self_contribution

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that name a cell: `by` columns, then every level."""
        return self.by + tuple(level for levels in self.dimensions for level in levels)

    @property
    def counts(self) -> tuple[str, ...]:
        """The columns with counts."""
        return (self.count,) if self.eligible is None else (self.count, self.eligible)


def load_spec(path: Path) -> Spec:
    """Read a spec file. Raises UsageRefused with what to correct."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raw = None
        rule = "the spec cannot be read"
    except tomllib.TOMLDecodeError:
        raw = None
        rule = "the spec is not valid TOML"
    if raw is None:
        raise UsageRefused(rule, "Give a TOML file with count, [[dimension]] and [rules]")
    return spec_from(raw)


def spec_from(raw: dict[str, Any]) -> Spec:
    """Check the content of a spec. Raises UsageRefused with what to correct."""
    _known(raw, ("count", "eligible", "by", "dimension", "rules", "sum", "within", "costs"), "the spec")
    if "count" not in raw:
        _refuse("count is missing", 'Name the column with the count: count = "gap"')
    dimensions = raw.get("dimension")
    if not isinstance(dimensions, list) or not dimensions or not all(isinstance(part, dict) for part in dimensions):
        _refuse("there is no [[dimension]]", "Add one for each dimension, with its levels from coarse to fine")
    for part in dimensions:
        _known(part, ("levels", "standing"), "a [[dimension]]")
    spec = Spec(
        count=_word(raw["count"], "count"),
        eligible=_word(raw["eligible"], "eligible") if "eligible" in raw else None,
        by=_words(raw.get("by", []), "by"),
        dimensions=tuple(_words(part.get("levels"), "levels", least=1) for part in dimensions),
        rules=_rules(raw.get("rules")),
        self_contribution=_true_or_false(raw["rules"], "self_contribution"),
        public_eligible=_true_or_false(raw["rules"], "public_eligible"),
        parts=_parts(raw.get("sum", [])),
        nested=_nested(raw.get("within", [])),
        standing=tuple(_standing(part) for part in dimensions),
        people_per_cell=_people_per_cell(raw.get("costs", {})),
        bound=_bound(raw["rules"]),
        method=method_of(raw["rules"], _refuse),
    )
    columns = [*spec.labels, *spec.counts]
    if len(set(columns)) < len(columns):
        _refuse("a column is named twice", "Give each column one part: by, level, count or eligible")
    if set(columns) & {MEASURE, VALUE, STATUS, "decision", "unsafe_as"}:
        _refuse(
            "measure, value, status, decision and unsafe_as are names of the protected table",
            "Rename the column in the counts",
        )
    if spec.rules.group_disclosure and spec.eligible is None:
        _refuse("group_disclosure needs to know who is eligible", "Name the eligible column, or set it to false")
    if spec.public_eligible and spec.eligible is None:
        _refuse("public_eligible needs to know who is eligible", "Name the eligible column, or set it to false")
    if spec.public_eligible and spec.rules.guarantee == "not_small":
        _refuse("not_small cannot hold where everybody knows that few are eligible", "Ask for not_exact")
    if spec.public_eligible and spec.rules.zeros == "publish":
        _refuse("a published zero tells the other count where everybody knows who is eligible", 'Set zeros = "protect"')
    if spec.parts and len(spec.by) != 1:
        _refuse("[[sum]] adds up values of the one column in by", "Name that column in by")
    if spec.nested and (len(spec.by) != 1 or spec.eligible is None):
        _refuse("[[within]] names values of the one column in by, and who is eligible", "Name by and eligible")
    if spec.method is not None and (spec.parts or spec.nested or spec.self_contribution or spec.public_eligible):
        rule = "[[sum]], [[within]], self_contribution and public_eligible go with suppression only"
        _refuse(rule, "Leave them out, or method")
    if spec.rules.guarantee == "not_small" and spec.method is not None and spec.method.reach < spec.safe_from:
        _refuse(
            "a count that is changed by so little is proven to be small where 0 is published",
            "Set a base above the threshold, or a deviation of at least the threshold, or ask for not_exact",
        )
    return spec


def _parts(raw: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(raw, list) or not all(isinstance(part, dict) for part in raw):
        _refuse("[[sum]] must be a list of sums", "Write each with whole and parts")
    for part in raw:
        _known(part, ("whole", "parts"), "a [[sum]]")
    return tuple((_word(part.get("whole"), "whole"), _words(part.get("parts"), "parts", least=1)) for part in raw)


def _nested(raw: Any) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    if not isinstance(raw, list) or not all(isinstance(pair, dict) for pair in raw):
        _refuse("[[within]] must be a list of pairs", "Write each with part and whole")
    for pair in raw:
        _known(pair, ("part", "whole"), "a [[within]]")
    return tuple(((_word(pair.get("part"), "part"),), (_word(pair.get("whole"), "whole"),)) for pair in raw)


def _standing(dimension: dict[str, Any]) -> tuple[float, ...]:
    raw, levels = dimension.get("standing", []), len(dimension["levels"])
    if not isinstance(raw, list) or len(raw) not in (0, levels + 1):
        _refuse("standing must have a number for the total and one for each level", "Write it as standing = [4, 2, 1]")
    if not all(_is_number(each) and each > 0 for each in raw):
        _refuse("standing must be numbers above 0", "Correct it")
    if any(upper < lower for upper, lower in pairwise(raw)):
        _refuse("standing must not grow from the total to the finest level", "Write the greatest number first")
    return tuple(float(each) for each in raw)


def _people_per_cell(raw: Any) -> float | None:
    if not isinstance(raw, dict):
        _refuse("[costs] must be a section", "Write it as [costs], with people_per_cell")
    _known(raw, ("people_per_cell",), "[costs]")
    people = raw.get("people_per_cell")
    if people is not None and not (_is_number(people) and people > 0):
        _refuse("people_per_cell must be a number above 0", "Correct it; 30 makes 30 people cost as much as a cell")
    return None if people is None else float(people)


def _is_number(raw: Any) -> bool:
    return isinstance(raw, int | float) and not isinstance(raw, bool) and isfinite(raw)


def _bound(rules: dict[str, Any]) -> Literal["none", "quick", "full"]:
    usual = "full" if rules.get("effort") == "thorough" else "quick"
    found: Literal["none", "quick", "full"] = _one_of({"bound": usual} | rules, "bound", ("none", "quick", "full"))
    return found


def _rules(raw: Any) -> Disclosure:
    if not isinstance(raw, dict):
        _refuse("the section [rules] is missing", "Add it, with at least threshold")
    _known(
        raw,
        (
            "threshold",
            "zeros",
            "group_disclosure",
            "guarantee",
            "effort",
            "bound",
            *METHOD_RULES,
            "self_contribution",
            "public_eligible",
        ),
        "[rules]",
    )
    threshold = raw.get("threshold")
    if not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 2:
        _refuse("threshold must be a whole number of at least 2", "Correct it; 5 makes counts of 1 to 4 unsafe")
    group = _true_or_false(raw, "group_disclosure")
    zeros: Literal["publish", "protect"] = _one_of(raw, "zeros", ("publish", "protect"))
    guarantee: Literal["not_exact", "not_small"] = _one_of(raw, "guarantee", ("not_exact", "not_small"))
    effort: Literal["quick", "normal", "thorough"] = _one_of(raw, "effort", ("normal", "quick", "thorough"))
    return Disclosure(threshold=threshold, zeros=zeros, group_disclosure=group, guarantee=guarantee, effort=effort)


def _true_or_false(raw: dict[str, Any], name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        _refuse(f"{name} must be true or false", "Correct it")
    return value


def _one_of(raw: dict[str, Any], name: str, allowed: tuple[str, ...]) -> Any:
    value = raw.get(name, allowed[0])
    if value not in allowed:
        _refuse(f"{name} must be one of {', '.join(allowed)}", "Correct it")
    return value


def _word(raw: Any, name: str) -> str:
    if not isinstance(raw, str) or not raw:
        _refuse(f"{name} must be the name of a column", "Correct it")
    return raw


def _words(raw: Any, name: str, least: int = 0) -> tuple[str, ...]:
    if not isinstance(raw, list) or len(raw) < least:
        _refuse(f"{name} must be a list of column names", f'Write it as {name} = ["column"]')
    return tuple(_word(word, name) for word in raw)


def _known(raw: dict[str, Any], allowed: tuple[str, ...], place: str) -> None:
    if set(raw) - set(allowed):
        _refuse(f"{place} has a key that is not known", f"Keep to {', '.join(allowed)}")


def _refuse(rule: str, next_step: str) -> NoReturn:
    raise UsageRefused(rule, next_step, table="spec")
