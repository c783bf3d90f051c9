"""How the quality pages write figures, checks and reasons in one language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from schemas.labels import load_section
from schemas.tables import TABLES

HIDDEN, NOTHING = "...", "–"
_HELSINKI = ZoneInfo("Europe/Helsinki")
_REASON = re.compile(r"(?:(?P<column>[a-z_]+): )?(?P<rule>[a-z0-9 ,]+)")
_COLUMNS = {None, *(name for table in TABLES.values() for name in table.names), "former_id", "person_id"}
_REASONS = {
    "cannot be read": "unreadable",
    "is missing": "missing",
    "is not a valid identifier": "invalid",
    "is not one of the terms": "not_a_term",
    "is out of range": "out_of_range",
    "is not written as a code": "not_a_code",
    "is before 1880": "too_early",
    "is in the future": "in_future",
    "is before the first day": "ends_before",
    "is not among the persons": "unknown_person",
    "two persons share it": "conflict",
    "leads to two persons, or round in a circle": "links",
    "exact duplicate": "duplicate",
    "merged with another row of the person": "merged",
    "is withheld under a security ban": "withheld",
    "a later row replaces it": "replaced",
    "the source took the row back": "taken_back",
}
"""The controller's reasons; another one is told as "another reason", whatever it says."""


def known_reason(text: str) -> str:
    """A reason as the controller words it, of a column that a source table has; empty where it is anything else."""
    found = _REASON.fullmatch(text)
    is_known = found and found["rule"] in _REASONS and found["column"] in _COLUMNS
    return text if is_known else ""


@dataclass(frozen=True)
class Words:
    """The words of one language and its ways of writing."""

    language: str
    labels: Mapping[str, str]

    def count(self, value: float) -> str:
        """A whole number with its thousands set apart."""
        return f"{round(value):,}".replace(",", self.labels["thousands_mark"])

    def rows(self, count: int) -> str:
        """A number of rows."""
        return self.labels["rows_one" if count == 1 else "rows_many"].format(count=self.count(count))

    def percent(self, share: float | None) -> str:
        """A share with up to two decimals; a dash where there is none."""
        if share is None:
            return NOTHING
        if 0 < share < 0.0001:
            return self.labels["under"].format(value=self._percent("0.01"))
        return self._percent(f"{100 * share:.2f}".rstrip("0").rstrip("."))

    def band(self, low: int | None, step: int | None) -> str:
        """A share of which only the band is told; a row's share without a width is a whole per cent."""
        if low is None:
            return HIDDEN
        step = step or 1
        if low == 0:
            return self.labels["under"].format(value=self._percent(str(step)))
        if low + step >= 100:
            return self.labels["over"].format(value=self._percent(str(100 - step)))
        both = str(low) if step == 1 else self.labels["band"].format(low=low, high=low + step)
        return self._percent(both)

    def figure(self, name: str, value: float | None) -> str:
        """A figure of a profile as a share, days or a count."""
        if value is None:
            return self.labels["not_judged"]
        if name.endswith("_share"):
            return self.percent(value)
        if name == "days_since_latest_event":
            return self.labels["days"].format(count=self.count(value))
        return self.count(value)

    def observed(self, name: str, value: float | None, count: int | None) -> str:
        """A figure and, of a share, the rows that make it up."""
        text = self.figure(name, value)
        if value is None or count is None or not name.endswith("_share"):
            return text
        return self.labels["rows_counted"].format(share=text, rows=self.rows(count))

    def limits(self, name: str, minimum: float | None, maximum: float | None) -> str:
        """The limits of a figure."""
        parts = [("at_least", minimum), ("at_most", maximum)]
        return ", ".join(
            self.labels[key].format(value=self.figure(name, limit)) for key, limit in parts if limit is not None
        )

    def checked(self, figure: str) -> str:
        """What a figure measures, in words, after the column it is about."""
        column, _, name = figure.rpartition(".")
        if f"figure_{name}" not in self.labels:
            name = name.removesuffix("_count").removesuffix("_share")
        if column and name == "repeated":
            name = "repeated_key"
        if f"figure_{name}" in self.labels and name != "before":
            said = self.labels[f"figure_{name}"]
        elif name.startswith("before_"):
            said = self.labels["figure_before"].format(other=name.removeprefix("before_"))
        else:
            said = name
        return f"{column}: {said}" if column else said

    def table(self, name: str) -> str:
        """The name of a source table."""
        return self.labels.get(f"table_{name}", name)

    def attribute(self, name: str) -> str:
        """What persons may be singled out by; a detail that has no name stands for itself."""
        return load_section(self.language, "room").get(f"attribute_{name}", name)

    def owner(self, name: str) -> str:
        """Who answers for a check; an owner that has no translation stands for itself."""
        return self.labels.get(f"owner_{name.replace(' ', '_')}", name)

    def reason(self, text: str) -> str:
        """Why rows were left out. Only the controller's own words are told: anything else is "another reason"."""
        found = _REASON.fullmatch(known_reason(text))
        key = _REASONS.get(found["rule"]) if found else None
        if found is None or key is None:
            return self.labels["reason_other"]
        said = self.labels[f"reason_{key}"]
        if "{column}" not in said:
            return said
        return said.format(column=found["column"]) if found["column"] else said.replace("{column}: ", "")

    def rule_text(self, rule: Mapping[str, Any], part: str) -> tuple[str, str]:
        """A rule's reason or next step, and the language that it is in: English where there is no other."""
        own = rule.get("texts", {}).get(self.language, {})
        return (own[part], self.language) if part in own else (rule[part], "en")

    def date(self, day: date) -> str:
        """A date as the language writes it."""
        return self.labels["date"].format(year=day.year, month=day.month, day=day.day)

    def time(self, moment: datetime) -> str:
        """A moment in Helsinki's time."""
        local = moment.astimezone(_HELSINKI)
        return self.labels["time"].format(year=local.year, month=local.month, day=local.day, clock=f"{local:%H:%M}")

    def _percent(self, number: str) -> str:
        return number.replace(".", self.labels["decimal_mark"]) + self.labels["percent_mark"]


def words(language: str) -> Words:
    """The words of one of schemas.labels.LANGUAGES."""
    return Words(language, load_section(language, "quality"))
