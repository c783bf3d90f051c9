"""How a page writes numbers, dates and groups in one language."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from schemas.labels import load_labels

HIDDEN = "..."
"""Statistics Finland's symbol for confidential; the same whatever the reason, since a reason tells of the count."""
EMPTY = "–"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Words:
    """The labels of one language and its ways of writing."""

    language: str
    labels: Mapping[str, str]

    def count(self, value: int | None) -> str:
        """A count with its thousands set apart, or the symbol of a hidden one."""
        return HIDDEN if value is None else f"{value:,}".replace(",", self.labels["thousands_mark"])

    def tenths(self, value: int) -> str:
        """Tenths of a percent as a number with one decimal and no sign."""
        return f"{value // 10}{self.labels['decimal_mark']}{value % 10}"

    def percent(self, value: int | None, *, is_empty: bool = False) -> str:
        """Tenths of a percent as a percentage, the symbol of a hidden one, or a dash where there is nobody."""
        if value is None:
            return EMPTY if is_empty else HIDDEN
        return self.tenths(value) + self.labels["percent_mark"]

    def interval(self, lower: float | None, upper: float | None, *, is_empty: bool = False) -> str:
        """Two limits between 0 and 1 as a range of percentages."""
        if lower is None or upper is None:
            return EMPTY if is_empty else HIDDEN
        return f"{self.tenths(_tenths(lower))}–{self.tenths(_tenths(upper))}{self.labels['percent_mark']}"

    def date(self, day: date) -> str:
        """A date as the language writes it."""
        return self.labels["date"].format(year=day.year, month=day.month, day=day.day)

    def sex(self, code: str) -> str:
        """The name of a sex as registered; a code that has no name stands for itself."""
        return self.labels.get(f"sex_{code}", code)

    def age_band(self, band: str) -> str:
        """The name of an age band: "18-44", "75-" for an open one, "0-0" for a single year, or what stands there."""
        first, dash, last = band.partition("-")
        if not (first.isdigit() and dash and (last.isdigit() or not last)):
            return self.labels["age_unknown"] if band == UNKNOWN else band
        label = "age_band_open" if not last else "age_band_one" if first == last else "age_band"
        return self.labels[label].format(first=first, last=last)


def words(language: str) -> Words:
    """The words of one of schemas.labels.LANGUAGES."""
    return Words(language, load_labels(language))


def _tenths(share: float) -> int:
    return int((Decimal(share) * 1000).to_integral_value(ROUND_HALF_UP))
