"""What the front page says first: the largest gaps, the changes, and what chance explains."""

from collections.abc import Sequence
from dataclasses import dataclass

from transforms.release.page_words import Words
from transforms.release.site.gaps import Gap, said_of
from transforms.release.site.rows import FAR_ABOVE, FELL, ROSE, STEADY, Change

NAMES = 8
"""At most so many districts are named in a sentence."""
BY_CHANCE = 0.05
"""Beyond 95 % limits lies at most so much by chance."""


@dataclass(frozen=True)
class Item:
    """One indicator to look at: a link, and why in sentences."""

    title: str
    address: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Chance:
    """What cannot be distinguished from chance, in two sentences."""

    areas: str
    changes: str


def by_size(gaps: Sequence[Gap]) -> list[Gap]:
    """The gaps from the largest number to the smallest; hidden ones last, in the order of their titles."""
    return sorted(gaps, key=lambda gap: (gap.city.count is None, -(gap.city.count or 0), gap.title))


def look_first(gaps: Sequence[Gap], own: Words) -> list[Item]:
    """What to look at first, by rules that do not change: most gaps, highest rate, largest changes, most districts.

    A change counts only where chance does not explain it, and a district only beyond the 99.8 % limits.
    """
    rated = [gap for gap in gaps if gap.city.rate_tenths is not None and gap.city.count]
    found: list[tuple[Gap, str, dict[str, str]]] = []
    if rated:
        most = max(rated, key=lambda gap: gap.city.count or 0)
        found.append((most, "look_most", {"gap": most.city.gap, "rate": most.city.rate}))
        top = max(rated, key=lambda gap: gap.city.rate_tenths or 0)
        words = {"gap": top.city.gap, "rate": top.city.rate, "interval": top.city.interval}
        found.append((top, "look_rate", words))
    for word, label in ((ROSE, "look_rise"), (FELL, "look_fall")):
        changed = [(gap, gap.city.change) for gap in gaps if gap.city.change and gap.city.change.word == word]
        if changed:
            gap, change = max(changed, key=lambda each: abs(each[1].points_number))
            found.append((gap, label, {"points": change.points, "low": change.low, "high": change.high}))
    spread = max(gaps, key=lambda gap: gap.districts_said(FAR_ABOVE), default=None)
    if spread and spread.districts_said(FAR_ABOVE):
        names = [row.name for _, row in spread.tiles if row.comparison == FAR_ABOVE]
        shown = ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")
        found.append((spread, "look_areas", {"names": shown, "count": str(len(names))}))
    texts: dict[str, list[str]] = {}
    for gap, label, told in found:
        texts.setdefault(gap.text.id, []).append(own.labels[label].format(**told))
    return [Item(gap.title, gap.address, tuple(texts.pop(gap.text.id))) for gap, *_ in found if gap.text.id in texts]


def chance(gaps: Sequence[Gap], own: Words) -> Chance:
    """How many comparisons and changes chance explains."""
    said = said_of(row for gap in gaps for _, row in gap.tiles)
    outside = said["above"] + said["below"]
    compared = outside + said["alike"]
    changes: list[Change] = [gap.city.change for gap in gaps if gap.city.change and gap.city.change.word]
    steady = sum(change.word == STEADY for change in changes)
    return Chance(
        areas=own.labels["chance_areas"].format(
            compared=own.count(compared),
            alike=own.count(said["alike"]),
            outside=own.count(outside),
            expected=own.count(round(BY_CHANCE * compared)),
            hidden=own.count(said["hidden"]),
        ),
        changes=own.labels["chance_changes"].format(known=len(changes), steady=steady)
        if changes
        else own.labels["chance_no_change"],
    )
