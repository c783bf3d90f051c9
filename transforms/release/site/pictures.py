"""Pictures of published figures: where their marks, lines and ticks lie, and the same in one sentence.

Coordinates are in the units of the picture's own viewBox. What a sentence says is counted from what is drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import ceil, floor, log10

import numpy as np

from transforms.release.page_words import Words
from transforms.release.site.rows import ABOVE, ALIKE, BELOW, FAR_ABOVE, FAR_BELOW, Row
from transforms.statistics import Z_95, Z_998, funnel_limits

WIDTH, HEIGHT = 700, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 12, 46
"""Margins around the plot, wide enough for the words of the axes."""
LABELLED = 8
"""At most so many marks of a funnel plot bear a name; all are in the table."""
GRID = 120
"""Sizes at which the limits of a funnel plot are drawn."""
BAR_WIDTH = 150


@dataclass(frozen=True)
class Tick:
    """A number on an axis and where it stands."""

    place: float
    text: str


@dataclass(frozen=True)
class Mark:
    """One area: its place, what is said of it, and its name where there is room for it."""

    x: float
    y: float
    said: str
    title: str
    label: str
    is_left: bool

    @property
    def box(self) -> tuple[float, float]:
        """From where to where its name reaches."""
        length = 8 * len(self.label) + 11
        return (self.x - length, self.x - 11) if self.is_left else (self.x + 11, self.x + length)


@dataclass(frozen=True)
class Funnel:
    """Rates against sizes, and the limits between which chance alone puts them; a limit may run beyond the axis."""

    marks: tuple[Mark, ...]
    limits: tuple[tuple[str, str], ...]
    city_y: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    def count(self, *said: str) -> int:
        """Number of marks of which this is said."""
        return sum(mark.said in said for mark in self.marks)

    def sentence(self, own: Words, hidden: int, empty: int) -> str:
        """What the picture shows, in words; `hidden` districts and those with nobody are not in it."""
        return own.labels["funnel_sentence"].format(
            shown=len(self.marks),
            above=self.count(ABOVE, FAR_ABOVE),
            below=self.count(BELOW, FAR_BELOW),
            far=self.count(FAR_ABOVE, FAR_BELOW),
            alike=self.count(ALIKE),
            hidden=hidden,
            empty=empty,
        )


@dataclass(frozen=True)
class Point:
    """The rate of the whole city at a date, as it is told and where it is drawn; no place where it is hidden."""

    day: date
    eligible: str
    gap: str
    rate: str
    interval: str
    x: float
    y: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Trend:
    """Rates of the whole city by date, with their intervals."""

    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    from_zero: bool

    @property
    def lines(self) -> tuple[str, ...]:
        """The line through the rates, in pieces where a rate is hidden between."""
        return tuple(_path([(p.x, p.y) for p in run if p.y is not None]) for run in self._runs())

    @property
    def bands(self) -> tuple[str, ...]:
        """What the intervals cover, in the same pieces."""
        there = [[(p.x, p.high) for p in run if p.high is not None] for run in self._runs()]
        back = [[(p.x, p.low) for p in reversed(run) if p.low is not None] for run in self._runs()]
        return tuple(_path(out + home) + "Z" for out, home in zip(there, back, strict=True))

    def _runs(self) -> list[list[Point]]:
        runs: list[list[Point]] = [[]]
        for point in self.points:
            if point.y is None:
                runs.append([])
            else:
                runs[-1].append(point)
        return [run for run in runs if run]

    def sentence(self, own: Words) -> str:
        """What the picture shows, in words."""
        shown = [point for point in self.points if point.y is not None]
        if not shown:
            return own.labels["trend_hidden"]
        first, last = shown[0], shown[-1]
        smallest, largest = max(shown, key=lambda point: point.y or 0), min(shown, key=lambda point: point.y or 0)
        return own.labels["trend_sentence"].format(
            first=first.rate,
            first_date=own.date(first.day),
            last=last.rate,
            last_date=own.date(last.day),
            smallest=smallest.rate,
            smallest_date=own.date(smallest.day),
            largest=largest.rate,
            largest_date=own.date(largest.day),
        )


@dataclass(frozen=True)
class Bars:
    """The common axis of the small pictures in a table's rows, from 0 to `end` percent; BAR_WIDTH wide."""

    end: float

    def place(self, share: float) -> float:
        """Where a share lies."""
        return round(BAR_WIDTH * min(100 * share / self.end, 1), 1)


def bars(rows: Sequence[Row]) -> Bars:
    """The axis on which the intervals of all rows fit."""
    return Bars(_ticks(0, 100 * max((row.limits[1] for row in rows if row.limits), default=0.1))[-1])


def funnel(rows: Sequence[Row], shorts: Sequence[str], city_rate: float, own: Words) -> Funnel | None:
    """The funnel plot of the districts that have a rate; None where none has. `shorts` are names for the marks."""
    drawn = [(row, short) for row, short in zip(rows, shorts, strict=True) if row.rate_tenths is not None and row.size]
    if not drawn:
        return None
    x_values = _ticks(0, max(row.size or 0 for row, _ in drawn))
    rates = [(row.rate_tenths or 0) / 10 for row, _ in drawn]
    y_values = _ticks(0, max(100 * city_rate, *rates, 0.1) * 1.15)
    y_values = [value for value in y_values if value <= 100]
    x, y = _axis(0, x_values[-1], LEFT, WIDTH - RIGHT), _axis(0, y_values[-1], HEIGHT - BOTTOM, TOP)
    first = max(1, min(row.size or 1 for row, _ in drawn) // 2)
    sizes = np.unique(np.geomspace(first, x_values[-1], GRID).round())
    limits = []
    for name, z in (("95", Z_95), ("998", Z_998)):
        for limit in funnel_limits(city_rate, sizes, z):
            places = [(x(size), y(100 * share)) for size, share in zip(sizes, limit, strict=True)]
            limits.append((name, _path(places)))
    marks = [
        Mark(
            x(row.size or 0),
            y((row.rate_tenths or 0) / 10),
            row.comparison,
            f"{row.name}: {row.rate}, {own.labels[row.comparison]}" if row.is_compared else f"{row.name}: {row.rate}",
            short,
            x(row.size or 0) > WIDTH * 0.8,
        )
        for row, short in drawn
    ]
    return Funnel(
        _labelled(marks, y(100 * city_rate)),
        tuple(limits),
        y(100 * city_rate),
        tuple(Tick(x(value), own.count(int(value))) for value in x_values),
        tuple(Tick(y(value), own.axis(value)) for value in y_values),
    )


def _labelled(marks: Sequence[Mark], city_y: float) -> tuple[Mark, ...]:
    """The marks with a name only on those outside the limits, the farthest first, where nothing else stands."""
    order = sorted(marks, key=lambda mark: (mark.said not in (FAR_ABOVE, FAR_BELOW), -abs(mark.y - city_y)))
    named: list[Mark] = []
    for mark in order:
        if mark.said not in (ABOVE, BELOW, FAR_ABOVE, FAR_BELOW) or len(named) == LABELLED:
            continue
        left, right = mark.box
        is_free = not any(left - 9 < one.x < right + 9 and abs(one.y - mark.y) < 16 for one in marks if one != mark)
        apart = all(right < one.box[0] or left > one.box[1] or abs(one.y - mark.y) > 16 for one in named)
        if is_free and apart:
            named.append(mark)
    return tuple(mark if mark in named else replace(mark, label="") for mark in marks)


def trend(days: Sequence[tuple[date, Row]], own: Words) -> Trend | None:
    """The line of the city's rate over the dates; None of fewer than two dates."""
    if len(days) < 2:
        return None
    limits = [row.limits for _, row in days if row.limits]
    low, high = min((each[0] for each in limits), default=0), max((each[1] for each in limits), default=1)
    y_values = _ticks(0 if low < 0.4 * high else 100 * low, 100 * high)
    ordinals = [day.toordinal() for day, _ in days]
    x = _axis(ordinals[0], ordinals[-1], LEFT + 24, WIDTH - RIGHT - 24)
    y = _axis(y_values[0], y_values[-1], HEIGHT - BOTTOM, TOP)
    points = tuple(
        Point(
            day,
            row.eligible,
            row.gap,
            row.rate,
            row.interval,
            x(day.toordinal()),
            None if row.limits is None or row.rate_tenths is None else y(row.rate_tenths / 10),
            None if row.limits is None else y(100 * row.limits[0]),
            None if row.limits is None else y(100 * row.limits[1]),
        )
        for day, row in days
    )
    every = ceil(len(points) / 7)
    x_ticks = tuple(Tick(point.x, own.month(point.day)) for point in points[::-every][::-1])
    return Trend(points, x_ticks, tuple(Tick(y(value), own.axis(value)) for value in y_values), y_values[0] == 0)


def _axis(first: float, last: float, start: float, end: float) -> Callable[[float], float]:
    """Numbers from first to last, to places from start to end."""
    return lambda value: round(start + (value - first) / ((last - first) or 1) * (end - start), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers, the first at or below low, the last at or above high."""
    width = max(high - low, 1e-6) / 5
    power = 10.0 ** floor(log10(width))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= width)
    return [round(number * step, 9) for number in range(floor(low / step + 1e-9), ceil(high / step - 1e-9) + 1)]


def _path(places: Sequence[tuple[float, float]]) -> str:
    """Straight lines from place to place, as SVG writes them."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
