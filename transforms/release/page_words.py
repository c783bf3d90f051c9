"""How a page writes numbers, dates and groups in one language."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from schemas.labels import load_labels

HIDDEN = "..."
"""Statistics Finland's symbol for confidential; the same whatever the reason, since a reason tells of the count."""
EMPTY = "–"
NOT_GIVEN = ".."
"""Statistics Finland's symbol for what cannot be shown: too uncertain, or not defined."""
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

    def decimal(self, printed: str | None, instead: str) -> str:
        """A number printed with a point, as the language writes it; `instead` where there is none."""
        if printed is None:
            return instead
        return printed.replace("-", "−").replace(".", self.labels["decimal_mark"])

    def change(self, change: str | None, low: str | None, high: str | None) -> str:
        """How much the rate has changed in a year, in a sentence; nothing where it is not known."""
        if change is None or low is None or high is None:
            return ""
        sign = "+" if Decimal(change) > 0 else ""
        label = "change_alike" if Decimal(low) <= 0 <= Decimal(high) else "change_sentence"
        first, last = (self.decimal(limit, HIDDEN) for limit in (low, high))
        return self.labels[label].format(change=sign + self.decimal(change, HIDDEN), low=first, high=last)

    def narrow(self, text: str) -> str:
        """The same for a narrow cell: long words with soft hyphens where they may break."""
        for word in self.labels["narrow"].split():
            text = text.replace(word.replace("\u00ad", ""), word)
        return text

    def month(self, day: date) -> str:
        """A month in figures, for an axis."""
        return f"{day.month}/{day.year}"

    def date(self, day: date) -> str:
        """A date as the language writes it."""
        return self.labels["date"].format(year=day.year, month=day.month, day=day.day)

    def axis(self, value: float) -> str:
        """A number on an axis, with no more decimals than it has."""
        return f"{value:g}".replace(".", self.labels["decimal_mark"])

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
