"""The checks: those that follow from `schemas.tables`, and those of rules.toml that somebody has thought out."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from expectations.profile import figure_names
from schemas.errors import UsageRefused
from schemas.labels import LANGUAGES, load_section
from schemas.table import PERSON_NUMBER, Kind, Table
from schemas.tables import TABLES


@dataclass(frozen=True)
class Check:
    """Limits of one figure of a table's profile.

    `severity` is `fail` where the run must stop. `reason` says why the limit is what it is. Where the figure is a share
    made of no more than `tolerate` rows, it is not judged. `texts` has `reason` and `next_step` in other languages.
    """

    id: str
    table: str
    column: str | None
    figure: str
    minimum: float | None
    maximum: float | None
    severity: Literal["fail", "warn"]
    owner: str
    reason: str
    next_step: str
    tolerate: int = 0
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    @property
    def threshold(self) -> str:
        """The limits in words."""
        least = [f"at least {self.minimum:g}"] if self.minimum is not None else []
        return " and ".join(least + ([f"at most {self.maximum:g}"] if self.maximum is not None else []))


def all_checks(path: Path | None = None) -> tuple[Check, ...]:
    """Every check, derived ones first; the hand-written ones from `path`, by default our own rules.toml."""
    return (*derived_checks(), *load_rules(path))


def derived_checks() -> tuple[Check, ...]:
    """What `schemas.tables` declares, as checks that nothing in the lake contradicts it."""
    words = {language: load_section(language, "quality") for language in LANGUAGES}
    return tuple(check for table in TABLES.values() for check in _declared(table, words))


def load_rules(path: Path | None = None) -> tuple[Check, ...]:
    """Read the hand-written checks. Raises UsageRefused where a rule is incomplete or fits no table."""
    text = path.read_text("utf-8") if path else files("expectations").joinpath("rules.toml").read_text("utf-8")
    rules: Any = None
    try:
        rules = tomllib.loads(text).get("rule", [])
    except tomllib.TOMLDecodeError:
        rules = None
    if rules is None:
        raise UsageRefused("the quality rules are not valid TOML", "Correct them; a TOML checker names the line")
    checks = tuple(check for place, rule in enumerate(rules, start=1) for check in _written(rule, place))
    if twice := len(checks) - len({check.id for check in checks}):
        raise UsageRefused("quality rules: a figure is limited twice with the same severity", "Merge them", count=twice)
    return checks


def _declared(table: Table, words: Mapping[str, Mapping[str, str]]) -> Iterator[Check]:
    def never(figure: str, reason: str) -> Check:
        column = figure.rpartition(".")[0] or None
        return Check(
            id=f"{table.name}.{figure}.fail",
            table=table.name,
            column=column,
            figure=figure,
            minimum=None,
            maximum=0,
            severity="fail",
            owner="data engineering",
            reason=words["en"][f"declared_{reason}"],
            next_step=words["en"]["declared_next"],
            texts={
                language: {"reason": own[f"declared_{reason}"], "next_step": own["declared_next"]}
                for language, own in words.items()
                if language != "en"
            },
        )

    for name in (PERSON_NUMBER, *(["pseudonym"] if table.name == "person" else [])):
        yield never(f"{name}.null_count", "person")
        if table.name == "person":
            yield never(f"{name}.repeated_count", "once")
    if table.name != "person":
        yield never("orphan_count", "orphan")
    for column in table.platform_columns:
        if column.required:
            yield never(f"{column.name}.null_count", "required")
        if column.terms:
            yield never(f"{column.name}.not_a_term_count", "terms")
        if column.minimum is not None or column.maximum is not None:
            yield never(f"{column.name}.out_of_range_count", "range")
        if column.kind is Kind.DECIMAL:
            yield never(f"{column.name}.not_finite_count", "finite")
        if column.kind is Kind.DATE and not column.may_be_future:
            yield never(f"{column.name}.in_future_count", "future")


_NEEDED = {"figure": str, "tables": list, "severity": str, "owner": str, "reason": str, "next_step": str}
_OPTIONAL = {"minimum": (int, float), "maximum": (int, float), "tolerate": (int,)}


_TRANSLATED = tuple(language for language in LANGUAGES if language != "en")


def _written(rule: dict[str, Any], place: int) -> Iterator[Check]:
    """The checks of one rule, one for each table and figure that it fits."""
    if mistake := _mistake(rule):
        raise UsageRefused(f"quality rule {place}: {mistake}", "Correct the rules file")
    tables = sorted(TABLES) if rule["tables"] == ["*"] else rule["tables"]
    for table in tables:
        for figure in _fitting(rule, table):
            yield Check(
                id=f"{table}.{figure}.{rule['severity']}",
                table=table,
                column=figure.rpartition(".")[0] or None,
                figure=figure,
                minimum=rule.get("minimum"),
                maximum=rule.get("maximum"),
                severity=rule["severity"],
                owner=rule["owner"],
                reason=rule["reason"],
                next_step=rule["next_step"],
                tolerate=rule.get("tolerate", 0),
                texts={language: rule[language] for language in _TRANSLATED if language in rule},
            )


def _fitting(rule: dict[str, Any], table: str) -> list[str]:
    return [name for name in _figures(table) if fnmatchcase(name, rule["figure"])]


@cache
def _figures(table: str) -> tuple[str, ...]:
    return tuple(figure_names(TABLES[table])) if table in TABLES else ()


def _mistake(rule: dict[str, Any]) -> str | None:
    for name, kind in _NEEDED.items():
        if not isinstance(rule.get(name), kind) or not rule[name]:
            return f"{name} is missing or of a wrong type"
    for language in _TRANSLATED:
        texts = rule.get(language, {"reason": "-", "next_step": "-"})
        whole = isinstance(texts, dict) and set(texts) == {"reason", "next_step"}
        if not whole or not all(isinstance(text, str) and text for text in texts.values()):
            return f"{language} must hold reason and next_step"
    for name, value in rule.items():
        if name not in (*_NEEDED, *_TRANSLATED) and (
            not isinstance(value, _OPTIONAL.get(name, ())) or isinstance(value, bool)
        ):
            return f"{name} is of a wrong type or not a word of a rule"
    if rule["severity"] not in ("fail", "warn"):
        return "severity is neither fail nor warn"
    if "minimum" not in rule and "maximum" not in rule:
        return "there is no limit"
    if "tolerate" in rule and not rule["figure"].endswith("_share"):
        return "only of a share can rows be tolerated"
    fits = [bool(_fitting(rule, table)) for table in (TABLES if rule["tables"] == ["*"] else rule["tables"])]
    if not any(fits) or (rule["tables"] != ["*"] and not all(fits)):
        return "a table has no such figure"
    return None
