"""The status of everybody on every as-of date, by indicator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.codelists import CodeList, load_codelists
from schemas.errors import Refusal
from schemas.indicators import Age, Died, Events, Gap, Indicator, Leaf, MovedAway, ResidentAtLeast, Selected
from schemas.table import PERSON_NUMBER
from transforms.analysis.asked import check_asked, check_files
from transforms.analysis.compiling import leaves_of
from transforms.analysis.days import FAR_PAST, Days, Masks, Reach, age_masks, day_numbers, masks_between
from transforms.analysis.features import event_masks
from transforms.analysis.lake import Files, Lake, as_lake
from transforms.analysis.persons import (
    CONTACT_BAN,
    NOT_COUNTED,
    SECURITY_BAN,
    Persons,
    Residences,
    all_dates,
    area_codes,
    cells,
    died_mask,
    read_persons,
    read_residences,
    read_restrictions,
    resident_mask,
    restricted_mask,
)
from transforms.analysis.selects import select_masks
from transforms.analysis.statuses import Status, status_of


@dataclass(frozen=True)
class Statuses:
    """Who has which status when.

    `of` holds the statuses by indicator id; bit m of a mask stands for `as_ofs[m]`. `persons` is one row per person
    number: the masks `counted`, `resident` (alive and living in the area) and `may_be_contacted` (alive, counted, under
    no contact ban). `cells` has, by as-of date and person number, where the person is counted: a position among
    `area_codes`, `sexes` and `age_bands`, the age bands next to each other.
    """

    indicators: tuple[Indicator, ...]
    as_ofs: tuple[date, ...]
    area_codes: tuple[str, ...]
    age_band_starts: tuple[int, ...]
    sexes: tuple[str, ...]
    persons: pl.DataFrame
    cells: NDArray[np.int32]
    of: Mapping[str, Status]

    @property
    def age_bands(self) -> tuple[str, ...]:
        """Labels of the age bands, in completed years; the last is open: "75-"."""
        starts = self.age_band_starts
        ends = [f"{after - 1}" for after in starts[1:]] + [""]
        return tuple(f"{start}-{end}" for start, end in zip(starts, ends, strict=True))


def evaluate(
    files: Files | Lake,
    indicators: Sequence[Indicator],
    as_ofs: Sequence[date],
    age_band_starts: Sequence[int],
    areas: pl.DataFrame,
    codelists: Mapping[str, CodeList] | None = None,
) -> Statuses:
    """Find the status of everybody on up to 32 as-of dates in one pass over the lake.

    `files` are the Parquet files of each table of one consistent version of the lake, where a table may be missing, or
    a part of such a lake. `areas` is a geography (`schemas.areas`). Raises UsageRefused where the dates or a definition
    cannot be used, and QualityGateFailed where rows belong to nobody or a file is not as its table is declared.
    """
    lake = as_lake(files)
    check_asked(lake, indicators, as_ofs, age_band_starts, areas)
    try:
        return _evaluated(lake, indicators, as_ofs, age_band_starts, areas, codelists or load_codelists())
    except Refusal:
        raise
    except Exception:
        check_files(lake)
        raise


def _evaluated(
    lake: Lake,
    indicators: Sequence[Indicator],
    as_ofs: Sequence[date],
    age_band_starts: Sequence[int],
    areas: pl.DataFrame,
    codelists: Mapping[str, CodeList],
) -> Statuses:
    days = day_numbers(as_ofs)
    persons = read_persons(lake)
    residences, restrictions = read_residences(lake, areas, len(persons)), read_restrictions(lake, len(persons))
    every = _with_components(indicators)
    leaves, lives_here = leaves_of(every), resident_mask(residences, persons.births, days)
    masks = _record_masks(lake, leaves, persons, residences, lives_here, days, codelists)
    masks |= select_masks(lake, [leaf for leaf in leaves if isinstance(leaf, Selected)], as_ofs, len(persons))
    counted = masks_between(persons.births, FAR_PAST, days)
    counted &= ~restricted_mask(restrictions, NOT_COUNTED, len(persons), days)
    status = _statuses(every, masks, counted)
    resident = counted & lives_here & ~masks[Died()]
    reachable = counted & ~restricted_mask(restrictions, CONTACT_BAN, len(persons), days) & ~masks[Died()]
    secret = restricted_mask(restrictions, SECURITY_BAN, len(persons), days)
    columns = {"counted": counted, "resident": resident, "may_be_contacted": reachable}
    return Statuses(
        indicators=tuple(indicators),
        as_ofs=tuple(as_ofs),
        area_codes=tuple(area_codes(areas)),
        age_band_starts=tuple(age_band_starts),
        sexes=persons.sex_names,
        persons=_frame(len(persons), columns),
        cells=cells(persons, residences, secret, days, age_band_starts),
        of={indicator.id: status[indicator.id] for indicator in indicators},
    )


def _record_masks(
    lake: Lake,
    leaves: Mapping[Leaf, Reach],
    persons: Persons,
    residences: Residences,
    lives_here: Masks,
    days: Days,
    codelists: Mapping[str, CodeList],
) -> dict[Leaf, Masks]:
    events = {leaf: reach for leaf, reach in leaves.items() if isinstance(leaf, Events)}
    masks = event_masks(lake, events, codelists, days, persons.births)
    masks[Died()] = died_mask(persons, days)
    for leaf in leaves:
        if isinstance(leaf, Age):
            masks[leaf] = age_masks(persons.births, (leaf.from_months, leaf.below_months), days)
        elif isinstance(leaf, MovedAway):
            masks[leaf] = all_dates(days) & ~lives_here
        elif isinstance(leaf, ResidentAtLeast):
            masks[leaf] = resident_mask(residences, persons.births, days, leaf)
    return masks


def _with_components(indicators: Sequence[Indicator]) -> list[Indicator]:
    """The indicators and what they are made of, once each, a composite after its components."""
    found = {part.id: part for indicator in indicators for part in indicator.components}
    found |= {indicator.id: indicator for indicator in indicators if not indicator.components}
    return [*found.values(), *(indicator for indicator in indicators if indicator.components)]


def _statuses(indicators: Sequence[Indicator], masks: dict[Leaf, Masks], counted: Masks) -> dict[str, Status]:
    """The status of everybody, by indicator; a composite, which stands after its components, reads theirs."""
    status: dict[str, Status] = {}
    for indicator in indicators:
        gaps = (leaf for leaf in indicator.leaves if isinstance(leaf, Gap))
        known = masks | {leaf: _gap_mask(leaf, status[leaf.indicator], len(counted)) for leaf in gaps}
        status[indicator.id] = status_of(indicator, known, counted)
    return status


def _gap_mask(gap: Gap, status: Status, person_count: int) -> Masks:
    masks = np.zeros(person_count, dtype=np.uint32)
    masks[status.persons] = status.open if gap.status == "open" else status.open | status.closed
    return masks


def _frame(person_count: int, columns: Mapping[str, Masks]) -> pl.DataFrame:
    numbers = pl.int_range(0, person_count, dtype=pl.Int32, eager=True).alias(PERSON_NUMBER)
    return pl.DataFrame([numbers, *(pl.Series(name, mask) for name, mask in columns.items())])
