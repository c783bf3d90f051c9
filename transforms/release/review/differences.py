"""What a steward is told of the change since the last release."""

from typing import Any

from transforms.release.review.cells import RATED, city_changes, hidden_changes, own_cells
from transforms.release.review.views import Before, Review
from transforms.release.review.words import Words, tenths


def differences(review: Review, own: Words) -> dict[str, Any] | None:
    """The city's figures beside those of the last release, the indicator whose rate changed most first; None where
    there is no release to compare with.

    Cells of other dates are compared where they go by the same name but for the date.
    """
    if review.before is None:
        return None
    before, now = review.before, own_cells(review.table, review.as_of)
    names = [list(dict.fromkeys(table["indicator"])) for table in (now, before.table)]
    city: dict[str, dict[str, tuple[int | None, int | None]]] = {}
    for indicator, measure, *pair in city_changes(now, before.table).iter_rows():
        city.setdefault(indicator, {})[measure] = (pair[0], pair[1])
    moved = {row["indicator"]: row for row in hidden_changes(now, before.table).iter_rows(named=True)}
    rated = [(name, _rates(found), found) for name, found in city.items()]
    rated.sort(key=lambda one: -abs(one[1][1] - one[1][0]) if None not in one[1] else 1)  # type: ignore[operator]
    titles = {name: review.titles[name][own.language] for part in names for name in part}
    versions = review.manifest["inputs"].get("indicator_versions", {})
    return {
        "said": own.say(
            "changes_from", release=before.release_id, before=own.date(before.as_of), now=own.date(review.as_of)
        ),
        "rows": [
            {
                "title": titles[name],
                "hidden": _moved(moved[name], own),
                "moved": [own.count(moved[name][key]) for key in ("became_hidden", "became_visible")],
                "figures": _figures(found, rates, own),
            }
            for name, rates, found in rated
        ],
        "new": [titles[name] for name in names[0] if name not in names[1]],
        "gone": [titles[name] for name in names[1] if name not in names[0]],
        "redefined": _redefined(before, versions, titles, own),
    }


def _rates(found: dict[str, tuple[int | None, int | None]]) -> tuple[int | None, int | None]:
    """Gaps per target group before and now, in tenths of a percent; None where hidden, or where there is nobody."""
    gap, eligible = (found[name] for name in RATED)
    pairs = zip(gap, eligible, strict=True)
    before, now = (None if part is None or not whole else tenths(part, whole) for part, whole in pairs)
    return before, now


def _figures(
    found: dict[str, tuple[int | None, int | None]], rates: tuple[int | None, int | None], own: Words
) -> list[tuple[str, str, str, str]]:
    rows = [
        (own.measure(name), own.count(before), own.count(now), own.signed(_difference(before, now)))
        for name, (before, now) in ((name, found[name]) for name in RATED)
    ]
    shown = [own.site.percent(rate) for rate in rates]
    return [*rows, (own.t["rate"], shown[0], shown[1], own.points(_difference(*rates)))]


def _difference(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else now - before


def _moved(row: dict[str, Any], own: Words) -> str:
    told = own.say("changes_hidden", became_hidden=row["became_hidden"], became_visible=row["became_visible"])
    if row["added"] or row["gone"]:
        told += "; " + own.say("changes_cells", added=row["added"], gone=row["gone"])
    return told


def _redefined(before: Before, versions: dict[str, int], titles: dict[str, str], own: Words) -> list[str]:
    """Indicators that another version of the definition counted then."""
    return [
        own.t["versions_changed"].format(title=titles[name], before=before.versions[name], now=version)
        for name, version in versions.items()
        if name in titles and before.versions.get(name, version) != version
    ]
