"""What the downloadable files are made from: the public cells and derived figures, with one code for each area.

Nothing else reaches the files, so that none of them can hold what `table.csv` and `derived.csv` do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.areas import CITY, DISTRICT, MAJOR, UNKNOWN_AREA
from schemas.errors import DisclosureRefused
from schemas.labels import LANGUAGES
from schemas.labels.downloads import load_download_labels
from transforms.release.page import IndicatorText, Release
from transforms.release.page_figures import PUBLISHED, SUPPRESSED, TOTAL
from transforms.release.page_words import UNKNOWN, Words, words

__all__ = ["LANGUAGES", "PUBLISHED", "SUPPRESSED", "TOTAL", "Contents", "IndicatorText", "Release", "contents_of"]

ALL = "total"
"""Code of a sum over a dimension; `*` in table.csv, which statistical databases take for "any value"."""
UNKNOWN_MAJOR = "unknown_major"
"""Code of the unknown area as a major district; as a district it is UNKNOWN_AREA."""
MEASURES = ("eligible", "gap", "closed")
GROUP = ("indicator", "area", "sex", "age_band")


@dataclass(frozen=True)
class Contents:
    """What a release publishes.

    `counts` has one row per date, indicator, area, sex, age band and measure: `as_of` (YYYY-MM-DD), GROUP, `measure`,
    `value` (null where hidden), `status`. `rates` has one row per date, indicator, area, sex, age band and kind:
    `as_of`, GROUP, `kind`, `figure` (printed, null where not given), `status`. `places` has one row per area in the
    order of tables: `area`, `level`, `parent`, `major`, `district` and what areas.csv says of it. `contact` is an
    address for questions, or empty.
    """

    counts: pl.DataFrame
    rates: pl.DataFrame
    places: pl.DataFrame
    indicators: Sequence[IndicatorText]
    release: Release
    licence: str
    contact: str
    words: Mapping[str, Words]
    labels: Mapping[str, Mapping[str, str]]

    @property
    def own_rates(self) -> pl.DataFrame:
        """The derived figures of the release's own date; of other dates there are those that a trend needs."""
        return self.rates.filter(pl.col("as_of") == self.release.as_of.isoformat())

    @property
    def detailed_counts(self) -> pl.DataFrame:
        """The counts of the dates that are cut by sex and age; of other dates there are those of areas alone."""
        is_cut = pl.any_horizontal(pl.col("sex", "age_band") != ALL).any().over("as_of")
        return self.counts.filter(is_cut | (pl.col("as_of") == self.release.as_of.isoformat()))

    @property
    def area_counts(self) -> pl.DataFrame:
        """The counts of areas, of all dates; none where every date is cut by sex and age."""
        has_more = self.detailed_counts.height < self.counts.height
        return self.counts.filter(pl.lit(has_more), pl.col("sex") == ALL, pl.col("age_band") == ALL)

    def city(self, language: str) -> str:
        """Name of the city."""
        return str(self.places.item(0, f"name_{language}"))

    def notes(self, language: str) -> list[str]:
        """What a reader must know of every file: hidden figures, sums, generated data, terms of use."""
        own = self.labels[language]
        generated = [own["note_generated"]] if self.release.generated else []
        return [*generated, own["note_hidden"], own["note_totals"], own["note_licence"].format(licence=self.licence)]


def contents_of(
    cells: pl.DataFrame,
    derived: pl.DataFrame | None,
    areas: pl.DataFrame,
    indicators: Sequence[IndicatorText],
    release: Release,
    licence: str,
    contact: str = "",
) -> Contents:
    """Take the public cells of a release, and its derived figures, into the form of the downloads.

    `cells` has the columns of table.csv, `derived` those of derived.csv. Raises DisclosureRefused
    where a code of the table is one that the downloads give a meaning of their own.
    """
    places = _places(areas, {language: load_download_labels(language) for language in LANGUAGES})
    city = str(places.item(0, "area"))
    kinds = ("kind", "figure", "status")
    rates = pl.DataFrame(schema=dict.fromkeys(("as_of", *GROUP, *kinds), pl.String)) if derived is None else derived
    taken = pl.col("code").str.contains(f"^({UNKNOWN_MAJOR}$|sex_|age_)")
    count = (
        areas.select(taken.sum()).item() + cells.select((pl.col("sex", "age_band") == ALL).sum()).sum_horizontal()[0]
    )
    if count:
        raise DisclosureRefused(
            "a code means something else in the downloads", "Use another code", table="protected table", count=count
        )
    counts = _with_area(cells, city).select("as_of", *GROUP, "measure", "value", "status")
    is_known = ~pl.col("area").is_in([UNKNOWN_MAJOR, UNKNOWN_AREA])
    used = {*counts["area"], *([UNKNOWN_MAJOR] if UNKNOWN_AREA in counts["area"] else [])}
    return Contents(
        counts=counts,
        rates=rates if derived is None else _with_area(rates, city).select("as_of", *GROUP, *kinds),
        places=places.filter(is_known | pl.col("area").is_in(used)),
        indicators=indicators,
        release=release,
        licence=licence,
        contact=contact,
        words={language: words(language) for language in LANGUAGES},
        labels={language: load_download_labels(language) for language in LANGUAGES},
    )


def in_order(codes: Sequence[str]) -> list[str]:
    """Codes of a dimension of people: the sum first, ages by their first year, what is not known last."""
    return sorted(set(codes), key=lambda code: (code != ALL, code == UNKNOWN, _first_age(code), code))


def people(own: Words, labels: Mapping[str, str], dimension: str, code: str) -> str:
    """Name of a sex or an age band in one language."""
    if code == ALL:
        return labels["total"]
    return own.sex(code) if dimension == "sex" else own.age_band(code)


def _first_age(band: str) -> int:
    first = band.partition("-")[0]
    return int(first) if first.isdigit() else -1


def _with_area(frame: pl.DataFrame, city: str) -> pl.DataFrame:
    major, district = pl.col("major"), pl.col("district")
    area = (
        pl.when(district != TOTAL)
        .then(district)
        .when(major == UNKNOWN_AREA)
        .then(pl.lit(UNKNOWN_MAJOR))
        .when(major != TOTAL)
        .then(major)
        .otherwise(pl.lit(city))
    )
    return frame.with_columns(pl.col("sex", "age_band").replace(TOTAL, ALL), area=area)


def _places(areas: pl.DataFrame, labels: Mapping[str, Mapping[str, str]]) -> pl.DataFrame:
    """The city, each major district before its districts, and the unknown one."""
    city = areas.filter(pl.col("level") == CITY)
    rows: list[dict[str, Any]] = [_place(city.row(0, named=True), None, None)]
    for major in areas.filter(pl.col("level") == MAJOR).iter_rows(named=True):
        rows.append(_place(major, major["code"], None))
        inside = areas.filter(pl.col("parent") == major["code"])
        rows += [_place(district, major["code"], district["code"]) for district in inside.iter_rows(named=True)]
    for level, code, name in ((MAJOR, UNKNOWN_MAJOR, "unknown_major"), (DISTRICT, UNKNOWN_AREA, "unknown_district")):
        unknown = dict.fromkeys(areas.columns) | {"code": code, "level": level}
        unknown["parent"] = city.item(0, "code") if level == MAJOR else UNKNOWN_MAJOR
        unknown |= {f"name_{language}": labels[language][name] for language in LANGUAGES}
        rows.append(_place(unknown, UNKNOWN_MAJOR, UNKNOWN_AREA if level == DISTRICT else None))
    schema = {"major": pl.String(), "district": pl.String(), **areas.schema}
    return pl.DataFrame(rows, schema=schema, orient="row").rename({"code": "area"})


def _place(area: Mapping[str, Any], major: str | None, district: str | None) -> dict[str, Any]:
    return {**area, "major": major, "district": district}
