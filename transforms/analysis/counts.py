"""How many people have which status where: the figures that release protects and `caregap counts` shows."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.areas import CITY, MAJOR, UNKNOWN_AREA
from schemas.errors import UsageRefused
from schemas.indicators import Indicator, age_reach
from schemas.table import PERSON_NUMBER
from transforms.analysis.compiling import excluded_column, lacking_column
from transforms.analysis.days import Masks
from transforms.analysis.evaluation import Statuses
from transforms.analysis.masks import Numbers
from transforms.analysis.statuses import Status

TOTAL = "*"
"""Stands where a dimension is summed over."""

COUNT_SCHEMA: dict[str, pl.DataType] = {
    "indicator": pl.String(),
    "as_of": pl.Date(),
    "area_code": pl.String(),
    "sex": pl.String(),
    "age_band": pl.String(),
    "eligible": pl.Int64(),
    "open": pl.Int64(),
    "closed": pl.Int64(),
    "declined": pl.Int64(),
    "excluded": pl.Int64(),
    "newcomer_eligible": pl.Int64(),
    "newcomer_open": pl.Int64(),
    "newcomer_declined": pl.Int64(),
}
"""One row per indicator, as-of date, area, sex and age band; counts of persons, eligible = open + closed.

Newcomers are a stratum of their own: persons whom nothing but a too short residence leaves out, by the status that they
would have. They are among the excluded, and in no other column.
"""

DETAIL_SCHEMA: dict[str, pl.DataType] = {
    "indicator": pl.String(),
    "as_of": pl.Date(),
    "detail": pl.String(),
    "area_code": pl.String(),
    "sex": pl.String(),
    "age_band": pl.String(),
    "persons": pl.Int64(),
}
"""One row per indicator, as-of date, detail, area, sex and age band with somebody in it; counts of persons.

A detail is `excluded_<reason>`, which together are the excluded, or `lacking_<part>`: open and closed without a part.
"""

RESIDENT_SCHEMA: dict[str, pl.DataType] = {
    "as_of": pl.Date(),
    "area_code": pl.String(),
    "sex": pl.String(),
    "age_band": pl.String(),
    "residents": pl.Int64(),
}
"""One row per as-of date, area, sex and age band; persons alive and living there."""

DIMENSIONS = ("area_code", "sex", "age_band")

_STATUSES = ("open", "closed", "declined", "excluded", "newcomer_open", "newcomer_closed", "newcomer_declined")
"""What is counted, in the order of the numbers that stand for it; 0 is whoever is not of the population."""


def counts(statuses: Statuses) -> pl.DataFrame:
    """One row per indicator, as-of date, area (district or unknown), sex and age band, zeros included.

    Columns of COUNT_SCHEMA. An indicator has the age bands that its population can reach, every area of the
    geography, and every sex that the person table knows.
    """
    places, found = [], []
    for order, indicator in enumerate(statuses.indicators):
        reached = _bands_reached(statuses, indicator)
        tallies = _tallies(statuses, statuses.of[indicator.id])[:, :, :, reached]
        places.append([np.full(tallies[..., 0].size, order), *_places(tallies.shape[:-1], reached)])
        found.append(tallies.reshape(-1, len(_STATUSES)))
    if not found:
        return pl.DataFrame(schema=COUNT_SCHEMA)
    count = dict(zip(_STATUSES, np.concatenate(found).T, strict=True))
    newly = [count[f"newcomer_{word}"] for word in ("open", "closed", "declined")]
    columns = {
        "eligible": count["open"] + count["closed"],
        **{word: count[word] for word in ("open", "closed", "declined")},
        "excluded": count["excluded"] + sum(newly),
        "newcomer_eligible": newly[0] + newly[1],
        "newcomer_open": newly[0],
        "newcomer_declined": newly[2],
    }
    return _labelled(statuses, [np.concatenate(place) for place in zip(*places, strict=True)], columns, COUNT_SCHEMA)


def details(statuses: Statuses) -> pl.DataFrame:
    """One row per indicator, as-of date, detail, area, sex and age band with somebody in it; DETAIL_SCHEMA."""
    frames = [pl.DataFrame(schema=DETAIL_SCHEMA)]
    for order, indicator in enumerate(statuses.indicators):
        status = statuses.of[indicator.id]
        named = {excluded_column(reason): mask for reason, mask in status.reasons.items()}
        named |= {lacking_column(part): mask for part, mask in status.lacking.items()}
        for detail, mask in named.items():
            count = _tally(statuses, status.persons, [mask])[..., 0]
            where = np.nonzero(count)
            labelled = {"detail": np.full(len(where[0]), detail), "persons": count[where]}
            places = [np.full(len(where[0]), order), *where]
            frames.append(_labelled(statuses, places, labelled, DETAIL_SCHEMA))
    return pl.concat(frames)


def detail_columns(indicator: Indicator) -> list[str]:
    """The details that an indicator can have, in the order of its definition."""
    reasons = [excluded_column(exclusion.reason) for exclusion in indicator.exclusions]
    return reasons + [lacking_column(part.name) for part in indicator.parts]


def residents(statuses: Statuses) -> pl.DataFrame:
    """One row per as-of date, area (district or unknown), sex and age band, zeros included; RESIDENT_SCHEMA."""
    mask = statuses.persons["resident"].to_numpy()
    count = _tally(statuses, np.arange(len(mask), dtype=np.int32), [mask])[..., 0]
    places = _places(count.shape, range(len(statuses.age_bands)))
    return _labelled(statuses, places, {"residents": count.ravel()}, RESIDENT_SCHEMA)


def margins(counts: pl.DataFrame, areas: pl.DataFrame) -> pl.DataFrame:
    """The same counts with every sum over area, sex and age band beside them, marked `*`.

    An area is a district or unknown, its major district, or `*` for everybody; the unknown area is in `*` alone. Raises
    UsageRefused where a district is not of the geography, for it would be missing in the sums.
    """
    if not set(counts["area_code"].unique()) <= {UNKNOWN_AREA, *areas["code"]}:
        raise UsageRefused("a district is not of the geography", "Give the geography that was counted by", "area")
    parents = areas.filter(pl.col("level").is_in([CITY, MAJOR]).not_()).select(area_code="code", above="parent")
    keys = [name for name in counts.columns if name in COUNT_SCHEMA and COUNT_SCHEMA[name] in (pl.String, pl.Date)]
    measures = [name for name in counts.columns if name not in keys]
    by_area = pl.concat(
        [
            counts,
            counts.join(parents, on="area_code").with_columns(area_code="above").drop("above"),
            counts.with_columns(area_code=pl.lit(TOTAL)),
        ]
    )
    by_sex = pl.concat([by_area, by_area.with_columns(sex=pl.lit(TOTAL))])
    by_age = pl.concat([by_sex, by_sex.with_columns(age_band=pl.lit(TOTAL))])
    return by_age.group_by(keys, maintain_order=True).agg(pl.col(measures).sum()).select(counts.columns)


def statuses_at(statuses: Statuses, indicator: str, as_of: date, *, for_outreach: bool) -> pl.DataFrame:
    """One row per person number: `status` (not_applicable, excluded, declined, open or closed) and exclusion `reason`.

    `newcomer_status` is open, closed or declined for whom nothing but a too short residence leaves out, and else null.
    This is the only way to statuses of persons. Whoever asks says whether somebody will be contacted because of the
    answer: `for_outreach` leaves out who is under a contact ban, is in no count, or has died. Raises UsageRefused
    where the indicator or the date was not evaluated.
    """
    if indicator not in statuses.of or as_of not in statuses.as_ofs:
        raise UsageRefused("the indicator or the date was not evaluated", "Evaluate it first")
    status, bit = statuses.of[indicator], np.uint32(1 << statuses.as_ofs.index(as_of))
    words = {word: getattr(status, word) for word in ("open", "closed", "declined", "excluded")}
    height = statuses.persons.height
    found = pl.DataFrame(
        {
            PERSON_NUMBER: pl.int_range(height, dtype=pl.Int32, eager=True),
            "status": _words(status.persons, words, bit, height).fill_null("not_applicable"),
            "reason": _words(status.persons, status.reasons, bit, height),
            "newcomer_status": _words(status.persons, status.newcomers, bit, height),
        }
    )
    if not for_outreach:
        return found
    return found.filter(pl.Series(statuses.persons["may_be_contacted"].to_numpy() & bit > 0))


def _words(persons: Numbers, masks: Mapping[str, Masks], bit: np.uint32, person_count: int) -> pl.Series:
    """By person number the word whose mask has the bit; null where none has."""
    places = np.full(person_count, len(masks), dtype=np.uint32)
    for place, mask in enumerate(masks.values()):
        places[persons[mask & bit > 0]] = place
    return pl.Series([*masks, None], dtype=pl.String).gather(places)


def _tallies(statuses: Statuses, status: Status) -> NDArray[np.int64]:
    """Persons by as-of date, area, sex, age band and one of _STATUSES; the excluded without the newcomers."""
    newly = [status.newcomers[word] for word in ("open", "closed", "declined")]
    left_out = status.excluded & ~(newly[0] | newly[1] | newly[2])
    return _tally(statuses, status.persons, [status.open, status.closed, status.declined, left_out, *newly])


def _tally(statuses: Statuses, persons: Numbers, masks: Sequence[Masks]) -> NDArray[np.int64]:
    """Persons by as-of date, area, sex, age band and mask; no two masks of a person share a bit."""
    # The number of the mask that has a bit, written in binary: digit k is the bit of planes[k].
    numbers = range(1, len(masks) + 1)
    planes = [
        reduce(np.bitwise_or, (mask for number, mask in zip(numbers, masks, strict=True) if number >> digit & 1))
        for digit in range(len(masks).bit_length())
    ]
    shape = (len(statuses.area_codes), len(statuses.sexes), len(statuses.age_bands), 1 << len(planes))
    found = np.empty((len(statuses.as_ofs), *shape), dtype=np.int64)
    for bit, cells in enumerate(statuses.cells):
        places = cells[persons]
        for plane in reversed(planes):
            places = places << 1 | (plane >> np.uint32(bit) & 1).astype(np.int32)
        found[bit] = np.bincount(places, minlength=found[bit].size).reshape(shape)
    return found[..., 1 : len(masks) + 1]


def _bands_reached(statuses: Statuses, indicator: Indicator) -> list[int]:
    """Positions of the age bands in which the population can have somebody."""
    low, high = age_reach(indicator.population)
    ends: list[int | None] = [*statuses.age_band_starts[1:], None]
    return [
        position
        for position, (start, end) in enumerate(zip(statuses.age_band_starts, ends, strict=True))
        if (end is None or low < end * 12) and (high is None or start * 12 < high)
    ]


def _places(shape: Sequence[int], bands: Sequence[int]) -> list[NDArray[np.int64]]:
    """Positions of as-of date, area, sex and age band, one entry per cell."""
    *others, band = (axis.ravel() for axis in np.indices(tuple(shape)))
    return [*others, np.array(bands, dtype=np.int64)[band]]


def _labelled(
    statuses: Statuses,
    places: Sequence[NDArray[np.int64]],
    columns: Mapping[str, NDArray[Any]],
    schema: dict[str, pl.DataType],
) -> pl.DataFrame:
    """A frame of the columns with the names that the last of the dimensions' positions stand for."""
    names: dict[str, Sequence[object]] = {
        "indicator": [indicator.id for indicator in statuses.indicators],
        "as_of": statuses.as_ofs,
        "area_code": statuses.area_codes,
        "sex": statuses.sexes,
        "age_band": statuses.age_bands,
    }
    named = [name for name in names if name in schema]
    labels = {
        name: pl.Series(names[name], dtype=schema[name]).gather(place.astype(np.uint32))
        for name, place in zip(named, places, strict=True)
    }
    return pl.DataFrame({**labels, **columns}).select(pl.col(name).cast(kind) for name, kind in schema.items())
