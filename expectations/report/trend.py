"""A figure over the runs as a small picture and as a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from expectations.report.words import Words

WIDTH, HEIGHT, EDGE = 120, 28, 4


@dataclass(frozen=True)
class Trend:
    """`text` says what the picture shows; without `line` there is no picture. `failed` are points out of limits."""

    text: str
    line: str = ""
    last: tuple[float, float] = (0.0, 0.0)
    failed: tuple[tuple[float, float], ...] = ()
    limit: float | None = None


def trend(
    figure: str, values: Sequence[float | None], passed: Sequence[bool], limits: Sequence[float | None], words: Words
) -> Trend:
    """The trend of a figure, the earliest run first; runs in which there was nothing to judge are left out."""
    found = [(value, is_fine) for value, is_fine in zip(values, passed, strict=True) if value is not None]
    if not found:
        return Trend(words.labels["not_judged"])
    if len(found) == 1:
        return Trend(words.labels["trend_first"])
    figures = [value for value, _ in found]
    least, most = min(figures), max(figures)
    if least == most and all(is_fine for _, is_fine in found):
        return Trend(words.labels["trend_same"].format(runs=len(found)))
    bounds = [limit for limit in limits if limit is not None and any(not is_fine for _, is_fine in found)]
    low, high = min([least, *bounds]), max([most, *bounds])
    points = [
        (
            round(EDGE + place * (WIDTH - 2 * EDGE) / (len(found) - 1), 1),
            _height(value, low, high),
        )
        for place, value in enumerate(figures)
    ]
    said = {name: words.figure(figure, value) for name, value in (("first", figures[0]), ("last", figures[-1]))}
    said |= {"least": words.figure(figure, least), "most": words.figure(figure, most)}
    sentence = words.labels["trend_text" if limits else "trend_plain"]
    failed = tuple(point for point, (_, is_fine) in zip(points, found, strict=True) if not is_fine)
    return Trend(
        text=sentence.format(runs=len(found), failed=len(failed), **said),
        line=" ".join(f"{x:g},{y:g}" for x, y in points),
        last=points[-1],
        failed=failed,
        limit=_height(bounds[0], low, high) if bounds else None,
    )


def _height(value: float, low: float, high: float) -> float:
    span = high - low
    return round(HEIGHT - EDGE - (value - low) / span * (HEIGHT - 2 * EDGE), 1) if span else HEIGHT / 2
