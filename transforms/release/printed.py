"""Figures derived from a table's counts as a release prints them: derived.csv and what its certificate says of it.

The auditor's reading. derived.csv has one row per figure: the cell's labels (without the measure), `kind`, `figure` as
it is printed, so that its decimals are known, and, for a change, `since`, the date of the earlier count. A figure that
is not printed is left empty. The certificate describes the kinds under `derived`:

    {"rounding": "half_up", "kinds": {
        "percent": {"figure": "share", "per": 100},
        "upper": {"figure": "wilson_upper", "per": 100, "z": "1.959963984540054"},
        "standardised": {"figure": "standardised", "per": 1000, "level": "age_band", "weights": {"0-64": "0.8", ...}}}}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused

DERIVED_FILE = "derived.csv"
NUMBER = re.compile(r"-?\d+(?:\.(\d+))?")
SHARES = ("share", "standardised", "difference", "share_change")
"""Sums of gap / eligible, each times a known weight: of one group, over age bands, less the city's, less the one
before."""
INTERVALS = ("wilson_lower", "wilson_upper", "byar_lower", "byar_upper")
"""Ends of the interval of one group's gap / eligible: Wilson's of a proportion, Byar's of a rate."""
RATIO, CHANGE, OTHER = "indirect_ratio", "change", "other"
"""The gap over what the reference's shares by age band lead one to expect; a count less the one before; and what the
auditor has no equation for, so that it may be printed over published counts alone."""
ROUNDINGS = ("half_up", "half_even", "nearest")
"""What becomes of a figure half-way between two printed ones; with `nearest` it may be either."""


@dataclass(frozen=True)
class Kind:
    """How a kind of figure follows from counts, and is then multiplied by `per`.

    `level` is the level whose bands it adds up, `weights` (by band, or by a value of the `by` columns and band) or
    `reference` (shares, not multiplied) their known numbers; without a `reference` the city's shares are it. `inputs`
    are the counts that it is made of, where the release says so. `measure` is what a change is of, `z` the normal
    quantile of an interval.
    """

    figure: str
    per: Fraction
    level: str | None = None
    weights: Mapping[str, Fraction] | Mapping[str, Mapping[str, Fraction]] | None = None
    reference: Mapping[str, Fraction] | None = None
    measure: str = "gap"
    z: float = 1.959963984540054
    inputs: tuple[str, ...] | None = None

    def weights_of(self, key: tuple[str, ...]) -> dict[str, Fraction] | None:
        """The weights by band for the table of some `by` values; None where there are none."""
        found: dict[str, Fraction] = {}
        for name, weight in (self.weights or {}).items():
            if isinstance(weight, Fraction):
                found[name] = weight
            elif name in key:
                found |= weight
        return found or None


@dataclass(frozen=True)
class Printed:
    """The derived figures of a release; `rows` has one row per printed figure."""

    rows: pl.DataFrame
    kinds: Mapping[str, Kind]
    rounding: str


def read_printed(folder: Path, certificate: Mapping[str, Any], labels: tuple[str, ...]) -> Printed | None:
    """Read the derived figures of a release, None where it has none.

    Raises UsageRefused where they or their description cannot be read: a figure that nobody can read is not safe.
    """
    path = folder / DERIVED_FILE
    if not path.exists() and "derived" not in certificate:
        return None
    try:
        rows = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        rows = None
    if rows is None or "derived" not in certificate:
        raise UsageRefused(
            "derived.csv and its description go together", "Give both or neither", table="certificate.json"
        )
    return printed(rows, certificate["derived"], labels)


def printed(rows: pl.DataFrame, description: Mapping[str, Any], labels: tuple[str, ...]) -> Printed:
    """Check derived figures and their description. Raises UsageRefused where they cannot be read."""
    for name in (*labels, "kind", "figure"):
        if name not in rows.columns:
            raise UsageRefused("the column is missing", "Give the whole file", table=DERIVED_FILE, column=name)
    since = pl.col("since") if "since" in rows.columns else pl.lit(None, pl.String)
    rows = rows.select(*labels, "kind", "figure", since=since).cast(pl.String)
    rows = rows.filter(pl.col("figure").fill_null("").str.strip_chars() != "")
    try:
        kinds = {name: _kind(about) for name, about in description["kinds"].items()}
        rounding = ROUNDINGS[ROUNDINGS.index(description.get("rounding", "nearest"))]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
        kinds = None
    if kinds is None:
        raise UsageRefused("the description of derived.csv cannot be read", "Correct it", table="certificate.json")
    _none(~rows["kind"].is_in([*kinds]).fill_null(False), "the certificate does not describe the kind", "kind")
    _none(~rows["figure"].str.contains(f"^(?:{NUMBER.pattern})$"), "the figure is not a decimal number", "figure")
    changes = [name for name, kind in kinds.items() if kind.figure in (CHANGE, "share_change")]
    _none(rows["kind"].is_in(changes) & rows["since"].is_null(), "a change does not say since when", "since")
    return Printed(rows, kinds, rounding)


def span(text: str, rounding: str, per: Fraction) -> tuple[Fraction, Fraction, bool, bool]:
    """What a printed figure leaves open before it was multiplied: its least and most, and whether each can be it."""
    decimals = NUMBER.fullmatch(text)
    digits = len(decimals[1] or "") if decimals else 0
    unit, value = Fraction(1, 10**digits), Fraction(text)
    even = (value / unit).numerator % 2 == 0
    # half up is away from zero for a negative figure where people round, and towards more where programs do
    either = rounding == "nearest" or value < 0 or (rounding == "half_even" and even)
    with_least = either or rounding == "half_up"
    return (value - unit / 2) / per, (value + unit / 2) / per, with_least, either


def _kind(about: Mapping[str, Any]) -> Kind:
    figure = (*SHARES, *INTERVALS, RATIO, CHANGE, OTHER)
    kind = Kind(
        figure=figure[figure.index(about["figure"])],
        per=Fraction(str(about.get("per", 1))),
        level=about.get("level"),
        weights=_weights(about.get("weights")),
        reference=_numbers(about.get("reference")),
        measure=("gap", "closed", "eligible")[("gap", "closed", "eligible").index(about.get("measure", "gap"))],
        z=float(about.get("z", 1.959963984540054)),
        inputs=tuple(map(str, about["inputs"])) if "inputs" in about else None,
    )
    needs = {"standardised": (kind.level, kind.weights), RATIO: (kind.level,)}.get(kind.figure, ())
    if kind.per <= 0 or kind.z <= 0 or None in needs or (kind.weights is not None and not kind.weights):
        raise ValueError
    return kind


def _weights(raw: Mapping[str, Any] | None) -> dict[str, Fraction] | dict[str, dict[str, Fraction]] | None:
    """Weights by band, or by a value of the `by` columns and band. Raises ValueError where they add up to nothing."""
    if raw is not None and any(isinstance(weight, Mapping) for weight in raw.values()):
        return {str(name): _positive(_numbers(weight)) or {} for name, weight in raw.items()}
    return _positive(_numbers(raw))


def _positive(weights: dict[str, Fraction] | None) -> dict[str, Fraction] | None:
    if weights is not None and not sum(weights.values()):
        raise ValueError
    return weights


def _numbers(raw: Mapping[str, Any] | None) -> dict[str, Fraction] | None:
    return None if raw is None else {str(name): Fraction(str(number)) for name, number in raw.items()}


def _none(wrong: pl.Series, rule: str, column: str) -> None:
    if wrong.any():
        raise DisclosureRefused(
            rule, "Correct derived.csv or its description", table=DERIVED_FILE, column=column, count=int(wrong.sum())
        )
