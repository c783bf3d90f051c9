"""Whether the dates that policy keeps are exact enough for the indicators: refused where a result would change by it.

A month of birth is exact for ages in months at the end of a month, which figures are published for, and a month of an
event for windows in whole months that end there. Weeks begin in another month than they end in, and last days of
periods decide on a day; both need days.
"""

from collections.abc import Callable, Iterable

from schemas.errors import PolicyRefused
from schemas.indicators import Age, Events, Indicator, Period, Selected
from schemas.policy import Policy


def check_resolutions(
    policy: Policy, kind: str, indicators: Iterable[Indicator], select_text: Callable[[str], str]
) -> None:
    """Raise PolicyRefused where an indicator needs dates more exact than policy keeps for a kind of source.

    `select_text` gives the text of a named SELECT: a table that it reads needs its days.
    """
    birth = policy.source(kind).birth_date
    coarse = {table: found for table, found in policy.event_dates.items() if found != "day"}
    if birth == "band" and len(policy.age_band_starts) > 1:
        _refuse("the age bands", "years of birth", "birth_date")
    for indicator in indicators:
        for leaf in indicator.leaves:
            if birth not in ("day", "month") and any(months % 12 for months in _ages(leaf)):
                _refuse(indicator.id, "months of birth", "birth_date")
            if birth == "band" and any(_ages(leaf)):
                _refuse(indicator.id, "years of birth", "birth_date")
            if isinstance(leaf, Selected) and coarse:
                text = select_text(leaf.name)
                for table in coarse:
                    if table in text:
                        _refuse(indicator.id, "days", f"event_dates.{table}")
            if isinstance(leaf, Events) and leaf.table in coarse and _needs_days(leaf, coarse[leaf.table]):
                _refuse(indicator.id, "days", f"event_dates.{leaf.table}")


def _ages(leaf: object) -> tuple[int, ...]:
    """Ages in months that a leaf draws a line at."""
    if isinstance(leaf, Age):
        return (leaf.from_months, leaf.below_months or 0)
    if isinstance(leaf, Events) and leaf.from_age:
        return (leaf.from_age.count if leaf.from_age.unit == "months" else 1,)
    return ()


def _needs_days(leaf: Events, resolution: str) -> bool:
    windows = [period for period in (leaf.within, leaf.begun_at_least, leaf.from_age) if isinstance(period, Period)]
    in_days = any(period.unit == "days" for period in windows)
    return leaf.active or leaf.distinct == "event_date" or in_days or (resolution == "week" and bool(windows))


def _refuse(who: str, what: str, setting: str) -> None:
    raise PolicyRefused(
        f"policy.toml: {who} needs {what}, and generalise.{setting} is coarser", "Keep what it needs, or take it out"
    )
