"""The approved inventory: which personal-data columns may be on the platform, what for, and on whose assessment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from schemas.errors import BoundaryRefused, PolicyRefused


@dataclass(frozen=True)
class Assessment:
    """A data protection impact assessment (GDPR Article 35) and the last day on which it can be relied on."""

    reference: str
    subject: str
    valid_until: date


@dataclass(frozen=True)
class Approval:
    """Why one column may be on the platform: purpose, legal basis and the assessment that covered it."""

    purpose: str
    legal_basis: str
    assessment: Assessment


Inventory = Mapping[str, Mapping[str, Approval]]
"""Approvals by table and column."""


def check_assessments(inventory: Inventory, today: date) -> None:
    """Raise BoundaryRefused where a column was covered by an assessment that has run out."""
    for table, columns in inventory.items():
        for column, approval in columns.items():
            if today > approval.assessment.valid_until:
                raise BoundaryRefused(
                    f"the impact assessment {approval.assessment.reference} has run out",
                    "Renew the impact assessment, then enter it in policy.toml",
                    table=table,
                    column=column,
                )


def read_inventory(raw: Mapping[str, Any]) -> Inventory:
    """Read [purposes], [legal_bases], [assessment.*] and [[inventory]]; PolicyRefused where a word is not defined."""
    purposes, bases, assessments = _words(raw, "purposes"), _words(raw, "legal_bases"), _assessments(raw)
    inventory: dict[str, dict[str, Approval]] = {}
    for group in _tables(raw, "inventory"):
        approval = Approval(
            purpose=_defined(group, "purpose", purposes),
            legal_basis=_defined(group, "legal_basis", bases),
            assessment=_defined(group, "assessment", assessments),
        )
        for table, columns in group.items():
            if table in ("purpose", "legal_basis", "assessment"):
                continue
            if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
                raise PolicyRefused("policy.toml: the inventory lists no columns", 'Write ["a", "b"]', table=table)
            covered = inventory.setdefault(table, {})
            for column in columns:
                if column in covered:
                    raise PolicyRefused(
                        "policy.toml: the inventory has it twice", "Keep one", table=table, column=column
                    )
                covered[column] = approval
    return inventory


def _words(raw: Mapping[str, Any], name: str) -> dict[str, str]:
    section = raw.get(name)
    if not isinstance(section, dict) or not all(isinstance(text, str) and text.strip() for text in section.values()):
        raise PolicyRefused(f"policy.toml: [{name}] is missing or has an empty text", 'Write word = "text"')
    return section


def _assessments(raw: Mapping[str, Any]) -> dict[str, Assessment]:
    found = {}
    for reference, terms in raw.get("assessment", {}).items():
        if not isinstance(terms.get("subject"), str) or type(terms.get("valid_until")) is not date:
            raise PolicyRefused(
                f"policy.toml: [assessment.{reference}] needs subject and valid_until", "Write valid_until = YYYY-MM-DD"
            )
        found[reference] = Assessment(reference, terms["subject"], terms["valid_until"])
    return found


def _tables(raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    groups = raw.get(name)
    if not isinstance(groups, list) or not groups:
        raise PolicyRefused(f"policy.toml: there is no [[{name}]]", "Add what was approved to cross")
    return groups


def _defined(group: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> Any:
    if group.get(name) not in known:
        raise PolicyRefused(f"policy.toml: an [[inventory]] names no {name} that is defined", f"Use {', '.join(known)}")
    return known[group[name]]
