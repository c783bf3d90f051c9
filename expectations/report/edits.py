"""What stewards changed between two runs: checks added, removed or given other limits, and lines of policy.toml."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from expectations.rules import Check

Rules = Sequence[Mapping[str, Any]]
"""Checks as they were kept."""
FIELDS = ("limits", "severity", "tolerate", "owner", "reason", "next_step")
"""What of a check can be edited."""


@dataclass(frozen=True)
class Edit:
    """One edit. Of a check: its figure, its tables, and which of FIELDS; of the policy: its dotted key.

    `before` or `after` is None where something was added or removed; limits are (minimum, maximum). `severity` is that
    of the check as it was last.
    """

    file: Literal["rules", "policy"]
    key: str
    tables: tuple[str, ...]
    field: str
    before: Any
    after: Any
    severity: str = ""


def rules_text(checks: Sequence[Check]) -> str:
    """The checks as they are kept: the same checks give the same text."""
    return json.dumps([asdict(check) for check in checks], ensure_ascii=False, sort_keys=True, indent=0) + "\n"


def version(text: str) -> str:
    """SHA-256 of a text: the name that it is kept under."""
    return hashlib.sha256(text.encode()).hexdigest()


def rule_edits(before: Rules, after: Rules) -> list[Edit]:
    """What was edited in the checks; the same edit of several tables is one."""
    old, new = ({rule["id"]: rule for rule in rules} for rules in (before, after))
    pairs = [(old[name], new[name]) for name in old if name in new]
    gone = [rule for name, rule in old.items() if name not in new]
    come = [rule for name, rule in new.items() if name not in old]
    for rule in list(gone):  # a check whose severity was edited has another id
        same = [one for one in come if (one["table"], one["figure"]) == (rule["table"], rule["figure"])]
        if len(same) == 1:
            pairs.append((rule, same[0]))
            gone.remove(rule)
            come.remove(same[0])
    found = [
        Edit("rules", was["figure"], (was["table"],), name, _field(was, name), _field(now, name), now["severity"])
        for was, now in pairs
        for name in FIELDS
        if _field(was, name) != _field(now, name)
    ]
    for rule, is_new in [*((rule, False) for rule in gone), *((rule, True) for rule in come)]:
        limits = _field(rule, "limits")
        then, since = (None, limits) if is_new else (limits, None)
        found.append(Edit("rules", rule["figure"], (rule["table"],), "rule", then, since, rule["severity"]))
    together: dict[Edit, list[str]] = {}
    for edit in found:
        together.setdefault(replace(edit, tables=()), []).extend(edit.tables)
    return [replace(edit, tables=tuple(tables)) for edit, tables in together.items()]


def policy_edits(before: str, after: str) -> list[Edit]:
    """What was edited in policy.toml, line by line of what it says; comments are no edit."""
    old, new = (_flat(tomllib.loads(text)) for text in (before, after))
    return [
        Edit("policy", key, (), "", old.get(key), new.get(key))
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def _field(rule: Mapping[str, Any], name: str) -> Any:
    return (rule["minimum"], rule["maximum"]) if name == "limits" else rule[name]


def _flat(value: Any, key: str = "") -> dict[str, str]:
    """Every value by its dotted key; a list of plain values is one value, entries of others are numbered."""
    if isinstance(value, dict):
        parts = [(f"{key}.{name}" if key else name, inner) for name, inner in value.items()]
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        parts = [(f"{key}[{place}]", inner) for place, inner in enumerate(value, start=1)]
    else:
        return {key: json.dumps(value, ensure_ascii=False, default=str)}
    return {name: text for part in parts for name, text in _flat(part[1], part[0]).items()}
