"""A release as cubes: every combination of the codes of some dimensions, as statistics offices publish them."""

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import prod

import numpy as np
import polars as pl

from transforms.release.downloads.contents import (
    ALL,
    LANGUAGES,
    MEASURES,
    SUPPRESSED,
    Contents,
    in_order,
    people,
)
from transforms.release.figures import KINDS, TOO_FEW, UNDEFINED

ABSENT = "absent"
"""Status of a combination that the table does not have."""
SYMBOLS = {SUPPRESSED: "...", TOO_FEW: "..", UNDEFINED: "....", ABSENT: "."}
"""What stands in place of a figure. Three dots are confidential, as Statistics Finland writes them."""
TIME, GEO, METRIC = "time", "geo", "metric"
_UNITS = {
    "rate": "percent",
    "difference": "points",
    "funnel": "percent",
    "comparison": "step",
    "per_1000": "per_1000",
    "standardised": "standardised",
    "ratio": "ratio",
    "change": "points",
}

Texts = Mapping[str, Sequence[str]]
"""By language, one text for each code."""


@dataclass(frozen=True)
class Dimension:
    """One axis of a cube. Names and labels are by language; `total` is the code of the sum over the others."""

    id: str
    names: Mapping[str, str]
    codes: Sequence[str]
    labels: Texts
    role: str = ""
    total: str = ""
    notes: Texts = field(default_factory=dict)
    units: Texts = field(default_factory=dict)
    decimals: Sequence[int] = ()
    children: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cube:
    """Figures in the order of `dimensions`, the last one running fastest.

    `figures` are printed numbers, empty where there is none; `statuses` say why, and are empty where there is one.
    """

    id: str
    titles: Mapping[str, str]
    dimensions: Sequence[Dimension]
    figures: np.ndarray
    statuses: np.ndarray

    @property
    def size(self) -> list[int]:
        """Number of codes of each dimension."""
        return [len(dimension.codes) for dimension in self.dimensions]


def kind_texts(kind: str) -> tuple[str, str]:
    """Keys of the labels of a derived figure: its explanation and its unit."""
    stem = next(stem for stem in _UNITS if kind.startswith(stem))
    return f"explained_{stem}", f"unit_{_UNITS[stem]}"


def counts_cube(contents: Contents) -> Cube:
    """The cube of the dates that table.csv cuts by sex and age: indicator, area, sex, age band, date, measure."""
    return _cube_of_counts(contents, contents.detailed_counts, "table", "counts_title", ("sex", "age_band"))


def dates_cube(contents: Contents) -> Cube:
    """The cube of the areas at every date of table.csv: indicator, area, date, measure.

    Earlier dates have areas alone: one cube with sex and age as well would be empty but for its edges.
    """
    return _cube_of_counts(contents, contents.area_counts, "dates", "dates_title", ())


def _cube_of_counts(contents: Contents, counts: pl.DataFrame, name: str, title: str, people: tuple[str, ...]) -> Cube:
    dimensions = [
        _indicators(contents),
        _areas(contents),
        *(_people(contents, group, counts[group].unique().to_list()) for group in people),
        _dates(contents, counts["as_of"].unique().to_list()),
        _measures(contents),
    ]
    cells = counts.with_columns(figure=pl.col("value").cast(pl.String))
    return _cube(name, {one: contents.labels[one][title] for one in LANGUAGES}, dimensions, cells)


def rates_cube(contents: Contents) -> Cube:
    """The cube of the derived figures of the release's own date: indicator, area or group of the city, date, kind.

    Figures are of areas, and of the sexes and age bands of the whole city: as one dimension, for a cube of areas by sex
    by age would be empty but for its edges.
    """
    city = contents.places.item(0, "area")
    group = (
        pl.when(pl.col("sex") != ALL)
        .then(pl.format("sex_{}", "sex"))
        .when(pl.col("age_band") != ALL)
        .then(pl.format("age_{}", "age_band"))
        .otherwise("area")
    )
    cells = contents.own_rates.with_columns(group=group, measure="kind")
    areas = _areas(contents)
    ids, labels = list(areas.codes), {one: list(areas.labels[one]) for one in LANGUAGES}
    for name, prefix in (("sex", "sex_"), ("age_band", "age_")):
        for code in in_order([code for code in cells[name].unique() if code != ALL]):
            ids.append(prefix + code)
            for one in LANGUAGES:
                who = people(contents.words[one], contents.labels[one], name, code)
                labels[one].append(f"{contents.labels[one]['city']}: {who}")
    groups = Dimension("group", _names(contents, "group"), ids, _distinct(ids, labels), total=city)
    dimensions = [
        _indicators(contents),
        groups,
        _dates(contents, [contents.release.as_of.isoformat()]),
        _kinds(contents),
    ]
    return _cube("rates", {one: contents.labels[one]["rates_title"] for one in LANGUAGES}, dimensions, cells)


def month_ends(days: Sequence[str]) -> bool:
    """Whether all dates are the last days of months, so that a month stands for each."""
    found = [date.fromisoformat(day) for day in days]
    return all(day.day == monthrange(day.year, day.month)[1] for day in found)


def _cube(name: str, titles: Mapping[str, str], dimensions: Sequence[Dimension], cells: pl.DataFrame) -> Cube:
    size = [len(dimension.codes) for dimension in dimensions]
    strides = [prod(size[place + 1 :]) for place in range(len(size))]
    place = pl.sum_horizontal(
        pl.col(dimension.id).replace_strict(
            {code: number for number, code in enumerate(_own_codes(dimension, cells))}, return_dtype=pl.Int64
        )
        * stride
        for dimension, stride in zip(dimensions, strides, strict=True)
    )
    at = cells.select(place)[:, 0].to_numpy()
    figures, statuses = np.full(prod(size), "", dtype=object), np.full(prod(size), ABSENT, dtype=object)
    figures[at] = cells["figure"].fill_null("").to_numpy()
    statuses[at] = np.where(cells["figure"].is_null().to_numpy(), cells["status"].to_numpy(), "")
    return Cube(name, titles, dimensions, figures, statuses)


def _own_codes(dimension: Dimension, cells: pl.DataFrame) -> Sequence[str]:
    """Codes as the cells have them: dates are not written as months there."""
    return sorted(cells["as_of"].unique()) if dimension.role == TIME and cells.height else dimension.codes


def _names(contents: Contents, key: str) -> dict[str, str]:
    return {language: contents.labels[language][key] for language in LANGUAGES}


def _distinct(codes: Sequence[str], labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Labels of which no two are the same, for readers that know values by their labels alone."""
    return {language: list(_told_apart(codes, texts)) for language, texts in labels.items()}


def _told_apart(codes: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
    plain = [plain_text(text) or code for code, text in zip(codes, texts, strict=True)]
    for code, text in zip(codes, plain, strict=True):
        yield text if plain.count(text) == 1 else f"{text} ({code})"


def plain_text(text: str) -> str:
    """A text on one line, its straight quotation marks as typographic ones: PX has no way to write those."""
    return " ".join(text.replace('"', "”").split())


def _indicators(contents: Contents) -> Dimension:
    codes = [one.id for one in contents.indicators]
    labels = {language: [one.title[language] for one in contents.indicators] for language in LANGUAGES}
    source = {language: contents.labels[language]["indicator_source"] for language in LANGUAGES}
    notes = {
        language: [
            f"{one.description[language]} {text.format(source=one.source[language])}" for one in contents.indicators
        ]
        for language, text in source.items()
    }
    return Dimension("indicator", _names(contents, "indicator"), codes, _distinct(codes, labels), notes=notes)


def _areas(contents: Contents) -> Dimension:
    places = contents.places
    codes = places["area"].to_list()
    labels = {one: [contents.labels[one]["city"], *places[f"name_{one}"].to_list()[1:]] for one in LANGUAGES}
    parents = places.filter(pl.col("parent").is_not_null()).group_by("parent", maintain_order=True).agg("area")
    return Dimension(
        "area",
        _names(contents, "area"),
        codes,
        _distinct(codes, labels),
        GEO,
        total=codes[0],
        children=dict(parents.iter_rows()),
    )


def _people(contents: Contents, name: str, found: Sequence[str]) -> Dimension:
    codes = in_order([ALL, *found])
    labels = {
        one: [people(contents.words[one], contents.labels[one], name, code) for code in codes] for one in LANGUAGES
    }
    return Dimension(name, _names(contents, name), codes, _distinct(codes, labels), total=ALL)


def _dates(contents: Contents, found: Sequence[str]) -> Dimension:
    days = sorted(found)
    codes = [f"{day[:4]}M{day[5:7]}" for day in days] if month_ends(days) else days
    return Dimension("as_of", _names(contents, "as_of"), codes, dict.fromkeys(LANGUAGES, codes), TIME)


def _measures(contents: Contents) -> Dimension:
    def of(prefix: str) -> dict[str, list[str]]:
        return {one: [contents.labels[one][f"{prefix}_{measure}"] for measure in MEASURES] for one in LANGUAGES}

    units = {one: [contents.labels[one]["unit_count"]] * len(MEASURES) for one in LANGUAGES}
    decimals = [0] * len(MEASURES)
    names = _names(contents, "measure")
    return Dimension(
        "measure", names, MEASURES, of("measure"), METRIC, notes=of("explained"), units=units, decimals=decimals
    )


def _kinds(contents: Contents) -> Dimension:
    there = set(contents.own_rates["kind"])
    codes = [kind for kind in KINDS if kind in there]

    def of(key: int) -> dict[str, list[str]]:
        return {one: [contents.labels[one][kind_texts(kind)[key]] for kind in codes] for one in LANGUAGES}

    labels = {one: [contents.labels[one][f"kind_{kind}"] for kind in codes] for one in LANGUAGES}
    decimals = [KINDS[kind] for kind in codes]
    return Dimension(
        "measure", _names(contents, "measure"), codes, labels, METRIC, notes=of(0), units=of(1), decimals=decimals
    )
