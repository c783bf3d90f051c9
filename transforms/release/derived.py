"""What a printed figure tells of hidden counts: rates, their intervals, standardised rates and changes as inequalities.

The auditor's reading; it has its own formulas. Everything here is exact for whole counts, but for this: where
inequalities have no small whole factors, figures within a millionth of their last decimal of a rounding edge are taken
to fit. A figure over hidden counts that it has no exact inequality for is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, gcd, lcm

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release.inputs import EARLIER, follow_from_published, with_earlier
from transforms.release.printed import CHANGE, DERIVED_FILE, INTERVALS, OTHER, RATIO, Kind, span
from transforms.release.published import SUMMED, Part, same_date
from transforms.release.unknowns import Marks, Numbers, Places

MOST_SIZES = 1_000_000
"""A hidden denominator may be one of so many for an interval over it to be taken apart."""
MOST_CHOICES = 2_000
"""So many denominators may be left that print the same interval."""
SMALL_FACTOR = 10**7
"""Whole factors up to this are kept as they are."""

Fits = tuple[Kind, Fraction, Fraction]
Bounding = Callable[[], tuple[Numbers, Numbers]]


@dataclass(frozen=True)
class Ranges:
    """In each row, `factor` times the value of `cell` add up to `least`..`most`.

    `more` cells are new: whole, not negative, in no table.
    """

    row: Places
    cell: Places
    factor: Numbers
    least: Numbers
    most: Numbers
    more: int


@dataclass
class _Rows:
    """Ranges as they are found."""

    row: list[int] = field(default_factory=list)
    cell: list[int] = field(default_factory=list)
    factor: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def add(
        self,
        factors: dict[int, Fraction],
        least: Fraction | None,
        most: Fraction | None,
        with_least: bool = True,
        with_most: bool = True,
    ) -> None:
        """A row in whole numbers, where an edge that does not belong to it is left out, or as near as floats come."""
        factors = {cell: factor for cell, factor in factors.items() if factor}
        scale = Fraction(lcm(*(factor.denominator for factor in factors.values())))
        scale /= gcd(*(int(factor * scale) for factor in factors.values())) or 1
        if all(abs(factor * scale) <= SMALL_FACTOR for factor in factors.values()):
            low = None if least is None else ceil(least * scale)
            high = None if most is None else floor(most * scale)
            if least is not None and low == least * scale and not with_least:
                low = ceil(least * scale) + 1
            if most is not None and high == most * scale and not with_most:
                high = floor(most * scale) - 1
            self._add({cell: float(factor * scale) for cell, factor in factors.items()}, low, high)
            return
        largest = max(abs(factor) for factor in factors.values())
        width = largest / 1000 if least is None or most is None else most - least
        ends = [None if end is None else float(end / width) for end in (least, most)]
        self._add({cell: float(factor / width) for cell, factor in factors.items()}, *ends)

    def _add(self, factors: dict[int, float], least: float | None, most: float | None) -> None:
        self.row += [len(self.least)] * len(factors)
        self.cell += factors.keys()
        self.factor += factors.values()
        if least is None and most is not None:
            # a row has a least in any case
            self.factor[len(self.factor) - len(factors) :] = [-factor for factor in factors.values()]
            least, most = -most, None
        self.least.append(-np.inf if least is None else float(least))
        self.most.append(np.inf if most is None else float(most))


@dataclass(frozen=True)
class _Cells:
    """All the cells of a system: `value` where published, and what hangs on intervals, by gap and eligible."""

    value: Numbers
    hidden: Marks
    rows: _Rows
    intervals: dict[tuple[int, int], list[Fits]]

    def share(self, terms: list[tuple[Fraction, int, int]], text: str, rounding: str, kind: Kind) -> None:
        """A figure that is a sum of known weights times gap / eligible."""
        least, most, with_least, with_most = span(text, rounding, kind.per)
        linear: dict[int, Fraction] = {}
        divided = []
        for weight, gap, eligible in terms:
            if self.hidden[eligible]:
                divided.append((weight, gap, eligible))
            elif self.value[eligible] > 0:
                share = weight / int(self.value[eligible])
                if self.hidden[gap]:
                    linear[gap] = linear.get(gap, Fraction(0)) + share
                else:
                    least, most = least - share * int(self.value[gap]), most - share * int(self.value[gap])
        if not divided:
            self.rows.add(linear, least, most, with_least, with_most)
        elif len(divided) == 1 and not linear:
            ((weight, gap, eligible),) = divided
            self.rows.add({gap: weight, eligible: -least}, Fraction(0), None, with_least)
            self.rows.add({gap: weight, eligible: -most}, None, Fraction(0), True, with_most)
            self.rows.add({eligible: Fraction(1)}, Fraction(1), None)
        else:
            _refuse("a figure divides by several hidden counts, or by one beside a hidden one", 1)

    def ratio(self, gap: int, expected: dict[int, Fraction], text: str, rounding: str, kind: Kind) -> None:
        """A figure that is the gap over known shares of the eligible."""
        least, most, with_least, with_most = span(text, rounding, kind.per)
        self.rows.add(
            {gap: Fraction(1)} | {cell: -least * share for cell, share in expected.items()},
            Fraction(0),
            None,
            with_least,
        )
        self.rows.add(
            {gap: Fraction(1)} | {cell: -most * share for cell, share in expected.items()},
            None,
            Fraction(0),
            True,
            with_most,
        )
        self.rows.add(expected, Fraction(0), None, with_least=False)


def ranges(
    parts: Sequence[Part], start: Places, value: Numbers, hidden: Marks, bounding: Bounding, extra: int
) -> Ranges:
    """What the printed figures of the parts tell; new cells are counted from `extra` on.

    Raises DisclosureRefused where a figure over hidden counts is of no kind that can be read exactly.
    """
    cells = _Cells(value, hidden, _Rows(), {})
    for number, part in enumerate(parts):
        if part.printed is not None:
            for (name,), rows in part.printed.rows.partition_by("kind", as_dict=True, maintain_order=True).items():
                _read(cells, parts, start, number, part.printed.kinds[str(name)], rows)
    more = 0
    if cells.intervals:
        low, high = bounding()
        for (gap, eligible), fits in cells.intervals.items():
            more += _interval(cells, gap, eligible, fits, low, high, extra + more)
    found = cells.rows
    return Ranges(
        np.array(found.row, np.int64),
        np.array(found.cell, np.int64),
        np.array(found.factor, np.float64),
        np.array(found.least, np.float64),
        np.array(found.most, np.float64),
        more,
    )


def _read(cells: _Cells, parts: Sequence[Part], start: Places, number: int, kind: Kind, rows: pl.DataFrame) -> None:
    part, rounding = parts[number], parts[number].printed.rounding  # type: ignore[union-attr]
    labels = [name for levels in part.rules.dimensions for name in levels]
    own = _groups(part, int(start[number]))
    if not part.rules.linked and kind.figure not in (CHANGE, OTHER):
        raise UsageRefused("a share needs to know who is eligible", "Name a change or other", table=DERIVED_FILE)
    rows = rows.join(own, on=labels, how="left", maintain_order="left")
    if rows["gap"].is_null().any():
        _refuse("a figure is of no cell of the table", rows["gap"].null_count())
    rows = pl.concat(
        some.filter(~follow_from_published(some, groups, cells.hidden, kind, part))
        for some, groups in _by_since(rows, own, parts, start, part, kind)
    )
    if kind.figure in ("share", *INTERVALS):
        for gap, eligible, text in rows.select("gap", "eligible", "figure").iter_rows():
            if not (cells.hidden[gap] or cells.hidden[eligible]):
                continue
            if kind.figure == "share":
                cells.share([(Fraction(1), gap, eligible)], text, rounding, kind)
            else:
                cells.intervals.setdefault((gap, eligible), []).append((kind, *span(text, rounding, kind.per)[:2]))
    elif kind.figure in ("standardised", RATIO):
        _over_bands(cells, part, own, kind, rows, rounding)
    elif kind.figure == "difference":
        ((city_gap, city),) = own.filter(pl.col(name) == SUMMED for name in labels).select("gap", "eligible").rows()
        for gap, eligible, text in rows.select("gap", "eligible", "figure").iter_rows():
            # the city's difference from itself is nothing, whatever it is
            if gap != city_gap and cells.hidden[[gap, eligible, city_gap, city]].any():
                terms = [(Fraction(1), gap, eligible), (Fraction(-1), city_gap, city)]
                cells.share(terms, text, rounding, kind)
    elif kind.figure == OTHER:
        if rows.height and any(name.startswith(EARLIER) for name in kind.inputs or ()):
            _refuse("a figure of a kind that the auditor cannot read is over hidden counts", rows.height)
        _nothing_hidden(cells, part, int(start[number]), labels, rows)
    else:
        for (since,), some in rows.partition_by("since", as_dict=True, maintain_order=True).items():
            (before,) = changes(parts, part, str(since))
            _changed(cells, _groups(parts[before], int(start[before])), labels, kind, some, rounding)


def _by_since(
    rows: pl.DataFrame, own: pl.DataFrame, parts: Sequence[Part], start: Places, part: Part, kind: Kind
) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """The figures by the date that they are measured from, with the groups' cells at both dates; else all at once."""
    if not any(name.startswith(EARLIER) for name in kind.inputs or ()):
        return [(rows, own)]
    found = [(rows.clear(), own)]
    for (since,), some in rows.partition_by("since", as_dict=True, maintain_order=True).items():
        (before,) = changes(parts, part, str(since))
        found.append((some, with_earlier(own, _groups(parts[before], int(start[before])), part)))
    return found


def changes(parts: Sequence[Part], part: Part, since: str) -> list[int]:
    """The part that a change since a date is measured from, as a list of one.

    Raises UsageRefused where its release was not given: what is public of it is needed.
    """
    found = [
        place
        for place, other in enumerate(parts)
        if other.count == part.count and other is not part and same_date(other.date, since)
    ]
    if not found:
        raise UsageRefused(
            "a change is printed since a release that was not given", "Give that release too", table=DERIVED_FILE
        )
    return found[-1:]


def _changed(
    cells: _Cells, before: pl.DataFrame, labels: list[str], kind: Kind, rows: pl.DataFrame, rounding: str
) -> None:
    if not {*labels} <= {*before.columns}:
        _refuse("a change is measured from a table of other dimensions", rows.height)
    both = rows.join(before, on=labels, how="left", maintain_order="left", suffix="_before")
    if both["gap_before"].is_null().any():
        _refuse("a change is measured from a cell that is not there", both["gap_before"].null_count())
    if kind.figure == CHANGE:
        if kind.measure not in before.columns or kind.measure not in rows.columns:
            _refuse("a change is of a measure that the tables do not have", rows.height)
        for now, then, text in both.select(kind.measure, f"{kind.measure}_before", "figure").iter_rows():
            if cells.hidden[now] or cells.hidden[then]:
                least, most, with_least, with_most = span(text, rounding, kind.per)
                cells.rows.add({now: Fraction(1), then: Fraction(-1)}, least, most, with_least, with_most)
        return
    names = ("gap", "eligible", "gap_before", "eligible_before", "figure")
    if not {*names} <= {*both.columns}:
        _refuse("a change of a share needs to know who was eligible", rows.height)
    for *places, text in both.select(names).iter_rows():
        if cells.hidden[places].any():
            terms = [(Fraction(1), places[0], places[1]), (Fraction(-1), places[2], places[3])]
            cells.share(terms, text, rounding, kind)


def _over_bands(cells: _Cells, part: Part, own: pl.DataFrame, kind: Kind, rows: pl.DataFrame, rounding: str) -> None:
    levels = next((levels for levels in part.rules.dimensions if kind.level in levels), None)
    if levels is None or kind.level is None:
        raise UsageRefused("a figure is over a level that is not there", "Correct it", table="certificate.json")
    if rows.filter(pl.any_horizontal(pl.col(name) != SUMMED for name in levels)).height:
        _refuse("a figure over bands is of a cell within a band", rows.height)
    below = levels[levels.index(kind.level) + 1 :]
    bands = own.filter(pl.col(kind.level) != SUMMED, *(pl.col(name) == SUMMED for name in below))
    others = [name for of in part.rules.dimensions for name in of if of != levels]
    both = bands.select(*others, band=kind.level, gap_of="gap", eligible_of="eligible")
    joined = (
        rows.with_row_index("#figure").join(both, on=others, maintain_order="left")
        if others
        else rows.with_row_index("#figure").join(both, how="cross")
    )
    weights = kind.weights_of(part.key)
    whole = Fraction(sum(weights.values())) if weights else Fraction(1)
    reference = kind.reference
    if kind.figure == RATIO and reference is None:
        city = both.filter(pl.col(name) == SUMMED for name in others)
        reference = {}
        for band, gap, eligible in city.select("band", "gap_of", "eligible_of").iter_rows():
            if cells.hidden[gap] or cells.hidden[eligible]:
                _refuse("what is expected follows from a hidden count of the whole city", rows.height)
            people = int(cells.value[eligible])
            reference[band] = Fraction(int(cells.value[gap]), people) if people else Fraction(0)
    known = reference if kind.figure == RATIO else weights
    if known is None or set(both["band"]) - set(known):
        raise UsageRefused("a band has no weight or no reference", "Correct it", table="certificate.json")
    for (_,), some in joined.partition_by("#figure", as_dict=True, maintain_order=True).items():
        gap, text = some.select("gap", "figure").row(0)
        of = some.select("band", "gap_of", "eligible_of").rows()
        if kind.figure == RATIO:
            if cells.hidden[[gap, *(eligible for _, _, eligible in of)]].any():
                cells.ratio(gap, {eligible: known[band] for band, _, eligible in of}, text, rounding, kind)
        elif cells.hidden[[eligible for _, _, eligible in of]].any():
            # a band in which there may be nobody adds nothing, or its share: that is no inequality
            _refuse("a figure over bands divides by a hidden count", 1)
        elif cells.hidden[[place for _, *places in of for place in places]].any():
            terms = [(known[band] / whole, gap_of, eligible) for band, gap_of, eligible in of]
            cells.share(terms, text, rounding, kind)


def _nothing_hidden(cells: _Cells, part: Part, start: int, labels: list[str], rows: pl.DataFrame) -> None:
    hidden = part.table.filter("#hidden").select(labels).unique()
    for values in rows.select(labels).iter_rows() if hidden.height else ():
        inside = [pl.col(name) == value for name, value in zip(labels, values, strict=True) if value != SUMMED]
        if hidden.filter(*inside).height if inside else hidden.height:
            _refuse("a figure of a kind that the auditor cannot read is over hidden counts", 1)


def _groups(part: Part, start: int) -> pl.DataFrame:
    """One row per group: its labels and the cell of each measure."""
    labels = [name for levels in part.rules.dimensions for name in levels]
    measure = pl.col("measure") if part.rules.linked else pl.lit("gap")
    cells = part.table.select(*labels, measure.alias("#measure")).with_row_index("#cell")
    cells = cells.with_columns(pl.col("#cell").cast(pl.Int64) + start)
    names = ("gap", "closed", "eligible") if part.rules.linked else ("gap",)
    of = [cells.filter(pl.col("#measure") == name).select(*labels, pl.col("#cell").alias(name)) for name in names]
    found = of[0]
    for other in of[1:]:
        found = found.join(other, on=labels, how="left", maintain_order="left")
    return found


def _interval(cells: _Cells, gap: int, eligible: int, fits: list[Fits], low: Numbers, high: Numbers, first: int) -> int:
    """The counts that print the ends of intervals; returns how many new cells say which denominator it is.

    For each denominator it is a run of counts, for an end grows with the count.
    """
    if high[eligible] - low[eligible] > MOST_SIZES:
        _refuse("an interval is printed over a hidden denominator that may be anything", 1)
    size = np.arange(max(low[eligible], 1), high[eligible] + 1)
    least, most = np.full(len(size), low[gap]), np.minimum(size, high[gap])
    for kind, lower, upper in fits:
        near = 1e-12 * max(1.0, abs(float(upper)))
        least = np.maximum(least, _first(kind, size, float(lower) - near))
        most = np.minimum(most, _first(kind, size, float(upper) + near) - 1)
    size, least, most = (each[least <= most] for each in (size, least, most))
    if not cells.hidden[eligible]:
        ends = (int(least[0]), int(most[0])) if len(size) else (1, 0)
        cells.rows.add({gap: Fraction(1)}, Fraction(ends[0]), Fraction(ends[1]))
        return 0
    if len(size) > MOST_CHOICES:
        _refuse("an interval is printed over a hidden denominator that may be too much", 1)
    choice = [first + place for place in range(len(size))]
    one, none = Fraction(1), Fraction(0)
    cells.rows.add(dict.fromkeys(choice, one), one, one)
    for number, sign in ((size, 0), (least, 1), (most, -1)):
        chosen = {cell: Fraction(-int(of)) for cell, of in zip(choice, number, strict=True)}
        cell = gap if sign else eligible
        cells.rows.add({cell: one} | chosen, none if sign >= 0 else None, none if sign <= 0 else None)
    return len(size)


def _first(kind: Kind, size: Numbers, edge: float) -> Numbers:
    """The least count of each denominator whose figure reaches the edge; one more than all where none does."""
    low, high = np.zeros(len(size)), size + 1
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        reaches = _end(kind, np.minimum(middle, size), size) >= edge
        reaches |= middle > size
        low, high = np.where(reaches, low, middle + 1), np.where(reaches, middle, high)
    return low


def _end(kind: Kind, count: Numbers, size: Numbers) -> Numbers:
    """The end of an interval: Wilson (1927) for the share count / size; Byar for the rate, count a Poisson number."""
    z, upper = kind.z, kind.figure.endswith("upper")
    if kind.figure.startswith("byar"):
        number = count + upper
        safe = np.maximum(number, 1)
        root = 1 - 1 / (9 * safe) + (1 if upper else -1) * z / (3 * np.sqrt(safe))
        return np.asarray(np.where(number > 0, number * root**3, 0) / size)
    share = count / size
    half = z * np.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    end = (share + z * z / (2 * size) + (half if upper else -half)) / (1 + z * z / size)
    return np.asarray(np.where(count == 0, end if upper else 0.0, np.where(count == size, 1.0 if upper else end, end)))


def _refuse(rule: str, count: int) -> None:
    raise DisclosureRefused(rule, "Leave the figure out", table=DERIVED_FILE, column="figure", count=count)
