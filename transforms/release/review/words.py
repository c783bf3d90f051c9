"""How the pages on a candidate write figures, times, cells and states in one language."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from schemas.areas import UNKNOWN_AREA
from schemas.labels import load_section
from schemas.labels.downloads import load_download_labels
from transforms.release import page_words
from transforms.release.page_figures import TOTAL
from transforms.release.site.gaps import WORD_JOINER

_HELSINKI = ZoneInfo("Europe/Helsinki")
_MINUS = "−"


@dataclass(frozen=True)
class Words:
    """The words of one language: `site` are those of the published pages, `t` the room's own."""

    language: str
    t: Mapping[str, str]
    site: page_words.Words
    measures: Mapping[str, str]

    def say(self, key: str, /, **values: object) -> str:
        """A label with its values filled in; whole numbers are written as the language writes them."""
        told = {name: self.count(value) if isinstance(value, int) else value for name, value in values.items()}
        return self.t[key].format(**told)

    def count(self, value: int | None) -> str:
        """A count, or the symbol of a hidden one."""
        return self.site.count(value)

    def signed(self, value: int | None) -> str:
        """A difference of counts with its sign; the symbol where one of the two is hidden."""
        if value is None:
            return page_words.HIDDEN
        return ("+" if value > 0 else _MINUS if value < 0 else "±") + self.count(abs(value))

    def share(self, part: float, whole: float = 1) -> str:
        """A part of a whole as a percentage with one decimal; a dash of nothing."""
        return self.site.percent(tenths(part, whole), is_empty=True)

    def points(self, change: int | None) -> str:
        """A change of a rate, in tenths of a percentage point, with its sign."""
        if change is None:
            return page_words.HIDDEN
        sign = "+" if change > 0 else _MINUS if change < 0 else "±"
        return self.say("points", value=sign + self.site.tenths(abs(change)))

    def date(self, day: date | str) -> str:
        """A date, also one that is written as YYYY-MM-DD."""
        return self.site.date(date.fromisoformat(day) if isinstance(day, str) else day)

    def time(self, moment: datetime) -> str:
        """A moment in Helsinki's time."""
        at = moment.astimezone(_HELSINKI)
        return self.t["time"].format(year=at.year, month=at.month, day=at.day, hour=f"{at:%H}", minute=f"{at:%M}")

    def role(self, name: str) -> str:
        """A role that signs; one that has no translation stands for itself."""
        return self.t.get(f"role_{name}", name)

    def attribute(self, name: str) -> str:
        """A detail by which persons are told from others."""
        return self.t.get(f"attribute_{name}", name)

    def roles(self, counts: Mapping[str, int]) -> str:
        """How many of which roles."""
        return ", ".join(self.say("role_count", role=self.role(role), count=count) for role, count in counts.items())

    def rule(self, name: str, threshold: int) -> str:
        """The rule that hides a cell."""
        return self.say(f"rule_{name}", unsafe=self.unsafe(threshold))

    def unsafe(self, threshold: int) -> str:
        """Counts that are too small, as a range."""
        return "1" if threshold == 2 else f"1–{WORD_JOINER}{threshold - 1}"

    def measure(self, name: str) -> str:
        """What a cell counts; as in the downloads."""
        return self.measures.get(f"measure_{name}", name)

    def group(self, sex: str, age_band: str) -> str:
        """A group by sex and age."""
        if sex == age_band == TOTAL:
            return self.t["everybody"]
        who = self.t["sex_all"] if sex == TOTAL else self.site.sex(sex)
        return who if age_band == TOTAL else f"{self.site.age_band(age_band)}, {_lower(who)}"

    def places(self, areas: pl.DataFrame) -> Mapping[str, str]:
        """Names of areas by code, the city and the unknown district among them."""
        names: dict[str, Any] = dict(areas.select("code", f"name_{self.language}").iter_rows())
        labels = self.site.labels
        return {**names, TOTAL: labels["city"], UNKNOWN_AREA: labels["unknown_area"]}


def words(language: str) -> Words:
    """The words of one of schemas.labels.LANGUAGES."""
    own, measures = load_section(language, "room"), load_download_labels(language)
    return Words(language, own, page_words.words(language), measures)


def tenths(part: float, whole: float) -> int | None:
    """Tenths of a percent, rounded half up; None of nothing."""
    return int((2000 * part + whole) // (2 * whole)) if whole else None


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
