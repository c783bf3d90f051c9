"""A slow and plain account of what the pages must say."""

from fractions import Fraction
from math import sqrt

import polars as pl
from scipy import stats

from schemas.labels import load_labels

SIGNS = {"above": "▲", "far_above": "▲▲", "below": "▼", "far_below": "▼▼"}
CITY = ("*", "*", "*", "*")
SEXES = [("*", "*", sex, "*") for sex in ("female", "male")]
AGES = [("*", "*", "*", band) for band in ("0-17", "18-44", "45-64", "65-74", "75-")]


def tenths(share, language):
    whole, rest = divmod(int(Fraction(share) * 1000 + Fraction(1, 2)), 10)
    return f"{whole}{'.' if language == 'en' else ','}{rest}"


def counted(value, language):
    return "..." if value is None else f"{value:,}".replace(",", "," if language == "en" else "\u00a0")


def limits(gap, eligible):
    z, share = 1.959963984540054, gap / eligible
    middle, half = share + z**2 / (2 * eligible), z * sqrt(share * (1 - share) / eligible + (z / eligible) ** 2 / 4)
    ends = (middle - half) / (1 + z**2 / eligible), (middle + half) / (1 + z**2 / eligible)
    return max(ends[0], 0.0), min(ends[1], 1.0)


def position(gap, eligible, city):
    """The key of the words for where a count lies among those that chance gives."""
    far = 0
    for tail in (0.025, 0.001):
        far += stats.binom.sf(gap - 1, eligible, city) <= tail
        far -= stats.binom.cdf(gap, eligible, city) <= tail
    return {2: "far_above", 1: "above", 0: "alike", -1: "below", -2: "far_below"}[int(far)]


def expected_row(cells, indicator, group, language):
    """Eligible, gap, rate, interval and difference as they must be told."""
    labels, percent = load_labels(language), "%" if language == "en" else "\u00a0%"
    eligible, gap = (cells.get((indicator, *group, measure), 0) for measure in ("eligible", "gap"))
    if (indicator, *group, "eligible") not in cells:
        return ["–"] * 5
    numbers = [counted(eligible, language), counted(gap, language)]
    if eligible is None or gap is None:
        return [*numbers, "...", "...", "" if group == CITY else "..."]
    if eligible == 0:
        return [*numbers, "–", "–", "–"]
    low, high = limits(gap, eligible)
    interval = f"{tenths(low, language)}–{tenths(high, language)}{percent}"
    city_eligible, city_gap = (cells[(indicator, *CITY, measure)] for measure in ("eligible", "gap"))
    if city_eligible is None or city_gap is None:
        difference = "..."
    else:
        word = position(gap, eligible, city_gap / city_eligible)
        difference = f"{SIGNS.get(word, '')} {labels[word]}".strip()
    if group == CITY:
        difference = ""
    return [*numbers, tenths(Fraction(gap, eligible), language) + percent, interval, difference]


def written(row):
    """The same as the cells of a table: eligible, gap, rate with its interval; and the difference."""
    eligible, gap, rate, interval, difference = row
    return [eligible, gap, rate if rate in ("...", "–") else f"{rate} ({interval})"], difference


def expected_standardised(derived, indicator, group, eligible, language):
    """The standardised rate as it must stand in a table; its number is tested where it is computed."""
    if eligible in ("0", "–"):
        return "–"
    found = derived.filter(
        indicator=indicator, kind="standardised", major=group[0], district=group[1], sex="*", age_band="*"
    )
    value, status = found.select("figure", "status").row(0)
    if value is None:
        return "..." if status == "suppressed" else ".."
    return value if language == "en" else value.replace(".", ",")


def values(table):
    return {
        (row["indicator"], row["major"], row["district"], row["sex"], row["age_band"], row["measure"]): row["value"]
        for row in table.iter_rows(named=True)
    }


def area_groups(areas, language):
    """Code, name and group of each area, in the order of the table."""
    labels = load_labels(language)
    yield areas.filter(pl.col("level") == "city").item(0, "code"), labels["city"], CITY
    for major in areas.filter(pl.col("level") == "major").iter_rows(named=True):
        yield major["code"], major[f"name_{language}"], (major["code"], "*", "*", "*")
        for district in areas.filter(pl.col("parent") == major["code"]).iter_rows(named=True):
            yield district["code"], district[f"name_{language}"], (major["code"], district["code"], "*", "*")
    yield "unknown", labels["unknown_area"], ("unknown", "unknown", "*", "*")
