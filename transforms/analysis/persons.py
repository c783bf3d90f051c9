"""What is known of the persons themselves on the as-of dates: whether they count, age, sex, where they live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.areas import DISTRICT, UNKNOWN_AREA
from schemas.errors import QualityGateFailed
from schemas.indicators import Period, ResidentAtLeast
from schemas.table import PERSON_NUMBER
from schemas.tables import TABLES
from transforms.analysis.days import (
    FAR_FUTURE,
    FAR_PAST,
    Days,
    Masks,
    column_days,
    days_before,
    masks_between,
)
from transforms.analysis.lake import Lake
from transforms.analysis.masks import Numbers, scatter
from transforms.analysis.reading import person_numbers

NOT_COUNTED = ("objection", "processing_restriction")
"""Restrictions (GDPR Articles 21 and 18) under which a person is in no count."""
SECURITY_BAN = ("security_ban",)
"""The person's whereabouts are secret; the person counts, in an unknown area."""
CONTACT_BAN = ("contact_ban",)
"""The person is in nothing that is meant for outreach; the person counts."""


@dataclass(frozen=True)
class Persons:
    """Arrays over person numbers; a number that nobody has is never born. `sexes` are positions in `sex_names`."""

    births: Days
    deaths: Days
    sexes: NDArray[np.uint32]
    sex_names: tuple[str, ...]

    def __len__(self) -> int:
        """One more than the largest person number."""
        return len(self.births)


@dataclass(frozen=True)
class Restrictions:
    """One entry per restriction: the person, its last day, and by kind whether it is of that."""

    persons: Numbers
    ends: Days
    of_kind: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Residences:
    """Periods of residence of persons, in the order of person and first day; `areas` are positions in area_codes.

    `spell_*` are the same periods with those that follow without a break, or overlap, made one.
    """

    persons: Numbers
    starts: Days
    ends: Days
    areas: NDArray[np.uint16]
    spell_persons: Numbers
    spell_starts: Days
    spell_ends: Days
    is_known: NDArray[np.bool_]


def read_persons(lake: Lake) -> Persons:
    """Read the person table. QualityGateFailed where a number is missing or is of two persons."""
    rows = lake.scan(TABLES["person"]).select(PERSON_NUMBER, "birth_date", "death_date", "sex").collect()
    numbers = rows[PERSON_NUMBER]
    largest = numbers.max()
    count = largest + 1 if isinstance(largest, int) else 0
    everybody = pl.int_range(0, count if lake.last is None else lake.last - lake.offset, dtype=pl.Int32, eager=True)
    known = rows
    if not numbers.equals(everybody):  # as the load writes it, and an increment does not
        repeated = rows.height - numbers.drop_nulls().filter(numbers.drop_nulls() >= 0).n_unique()
        if repeated:
            mend = "Load the lake again from the source"
            raise QualityGateFailed("person numbers are missing or repeated", mend, "person", PERSON_NUMBER, repeated)
        known = everybody.alias(PERSON_NUMBER).to_frame().join(rows, PERSON_NUMBER, "left", maintain_order="left")
    sexes = known["sex"].fill_null("unknown")
    sex_names = tuple(sexes.unique().sort())
    return Persons(
        births=column_days(known["birth_date"], FAR_FUTURE),
        deaths=column_days(known["death_date"], FAR_FUTURE),
        sexes=sexes.cast(pl.Enum(sex_names)).to_physical().cast(pl.UInt32).to_numpy(),
        sex_names=sex_names,
    )


def read_restrictions(lake: Lake, person_count: int) -> Restrictions:
    """Read every restriction. QualityGateFailed where one is of nobody."""
    kinds = {
        kind: (pl.col("kind") == kind).fill_null(value=False) for kind in (*NOT_COUNTED, *SECURITY_BAN, *CONTACT_BAN)
    }
    end = pl.col("end_date").to_physical().fill_null(FAR_FUTURE)
    rows = lake.scan(TABLES["restriction"]).select(pl.col(PERSON_NUMBER).fill_null(-1), end=end, **kinds).collect()
    return Restrictions(
        persons=person_numbers(rows[PERSON_NUMBER].to_numpy(), "restriction", person_count),
        ends=rows["end"].to_numpy(),
        of_kind={kind: rows[kind].to_numpy() for kind in kinds},
    )


def restricted_mask(restrictions: Restrictions, kinds: Sequence[str], person_count: int, as_ofs: Days) -> Masks:
    """As-of dates before whose end no restriction of these kinds has been lifted.

    A restriction holds for whatever is computed once it is known, so also for dates before it began.
    """
    asked = np.logical_or.reduce([restrictions.of_kind[kind] for kind in kinds])
    lasting = masks_between(restrictions.ends[asked], as_ofs - 1, FAR_FUTURE)
    return scatter(restrictions.persons[asked], lasting, person_count)


def read_residences(lake: Lake, areas: pl.DataFrame, person_count: int) -> Residences:
    """Read where persons lived; an area that is no district of the geography is unknown."""
    codes = pl.DataFrame({"area_code": area_codes(areas)}).with_row_index("area")
    rows = (
        lake.scan(TABLES["residence"])
        .select(
            PERSON_NUMBER,
            "area_code",
            start=pl.col("from_date").to_physical().fill_null(FAR_PAST),
            end=pl.col("to_date").to_physical().fill_null(FAR_FUTURE),
        )
        .collect()
        .join(codes, on="area_code", how="left")
        .with_columns(pl.col("area").fill_null(0))
        .sort(PERSON_NUMBER, "start", "area")
    )
    is_known = np.zeros(person_count, dtype=np.bool_)
    is_known[person_numbers(rows[PERSON_NUMBER], "residence", person_count)] = True
    persons, starts, ends = (rows[name].to_numpy() for name in (PERSON_NUMBER, "start", "end"))
    spell_persons, spell_starts, spell_ends = _spells(persons, starts, ends)
    return Residences(
        persons=persons,
        starts=starts,
        ends=ends,
        areas=rows["area"].cast(pl.UInt16).to_numpy(),
        spell_persons=spell_persons,
        spell_starts=spell_starts,
        spell_ends=spell_ends,
        is_known=is_known,
    )


def _spells(persons: Numbers, starts: Days, ends: Days) -> tuple[Numbers, Days, Days]:
    """Periods that overlap, or follow each other without a day between, made one; in order of person and start."""
    if not persons.size:
        return persons, starts, ends
    # Persons lie further apart than dates can, so that the latest end so far is the person's own.
    shift = persons.astype(np.int64) * (4 * FAR_FUTURE)
    latest = np.maximum.accumulate(ends + shift)
    firsts = np.flatnonzero(np.append(True, (starts + shift)[1:] > latest[:-1] + 1))
    lasts = np.append(firsts[1:], len(persons)) - 1
    return persons[firsts], starts[firsts], (latest - shift)[lasts].astype(np.int32)


def area_codes(areas: pl.DataFrame) -> list[str]:
    """Areas that figures are counted for: the unknown one, then the districts as the geography lists them."""
    return [UNKNOWN_AREA, *areas.filter(pl.col("level") == DISTRICT)["code"]]


def died_mask(persons: Persons, as_ofs: Days) -> Masks:
    """Persons who died before the as-of date."""
    return masks_between(persons.deaths, FAR_PAST, as_ofs - 1)


def resident_mask(residences: Residences, births: Days, as_ofs: Days, since: ResidentAtLeast | None = None) -> Masks:
    """Persons living in the area, without a break for as long as `since` says; those of unknown residence count.

    A child who has lived here since the month of birth has lived here long enough: it has lived nowhere else.
    """
    begun = days_before(as_ofs, since.period) if since else as_ofs
    masks = masks_between(residences.spell_starts, FAR_PAST, begun)
    if since:
        begun_in, born_in = (
            days.astype("datetime64[D]").astype("datetime64[M]")
            for days in (residences.spell_starts, births[residences.spell_persons])
        )
        since_birth = begun_in <= born_in
        masks |= np.where(since_birth, masks_between(residences.spell_starts, FAR_PAST, as_ofs), np.uint32(0))
    masks &= masks_between(residences.spell_ends, as_ofs - 1, FAR_FUTURE)
    resident = scatter(residences.spell_persons, masks, len(residences.is_known))
    return np.where(residences.is_known, resident, all_dates(as_ofs))


def all_dates(as_ofs: Days) -> np.uint32:
    """The mask of every as-of date."""
    return np.uint32(2 ** len(as_ofs) - 1)


def cells(
    persons: Persons, residences: Residences, secret: Masks, as_ofs: Days, age_band_starts: Sequence[int]
) -> NDArray[np.int32]:
    """By as-of date and person number the position of area, sex and age band, the age bands next to each other.

    `secret` masks dates when the area must not show; it is then the unknown one, as it is where none is known.
    """
    found = np.empty((len(as_ofs), len(persons)), dtype=np.int32)
    for bit, cell in enumerate(found):
        valid = (residences.starts <= as_ofs[bit]) & (residences.ends >= as_ofs[bit])
        cell[:] = 0
        # Later rows overwrite earlier ones: where two residences hold, the one begun last is the person's.
        cell[residences.persons[valid]] = residences.areas[valid]
        cell[secret & np.uint32(1 << bit) > 0] = 0
        cell *= len(persons.sex_names)
        cell += persons.sexes
        cell *= len(age_band_starts)
        for start in age_band_starts[1:]:
            cell += persons.births <= days_before(as_ofs[bit : bit + 1], Period(start * 12, "months"))
    return found
