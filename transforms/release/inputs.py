"""Which printed figures follow from published counts alone, by what their release says that they are made of.

The auditor's reading. Such a figure tells nothing more; any other is left for what the auditor has an equation for.
"""

import polars as pl

from transforms.release.printed import Kind
from transforms.release.published import SUMMED, Part
from transforms.release.unknowns import Marks

BANDS, CITY, EARLIER = "bands.", "city.", "earlier."
"""Before a measure: of every band of the kind's level that has a weight; of the whole city instead of the group; of the
same group at the date that a change is measured from."""


def with_earlier(groups: pl.DataFrame, before: pl.DataFrame, part: Part) -> pl.DataFrame:
    """The groups that an earlier table has too, with the cells of its measures beside their own."""
    labels = [name for levels in part.rules.dimensions for name in levels]
    if not {*labels} <= {*before.columns}:
        return groups.clear()
    measures = {name: f"{EARLIER}{name}" for name in before.columns if name not in labels}
    return groups.join(before.rename(measures), on=labels, how="inner", maintain_order="left")


def follow_from_published(rows: pl.DataFrame, groups: pl.DataFrame, hidden: Marks, kind: Kind, part: Part) -> pl.Series:
    """For each printed figure, whether all the counts that it is made of are published.

    `groups` has one row per group of the part with the cell of each measure; `hidden` is by cell. A kind that does not
    say what it is made of, or of what else than counts of this release, never does.
    """
    labels = [name for levels in part.rules.dimensions for name in levels]
    measures = [name for name in groups.columns if name not in labels]
    flags = groups.with_columns(pl.Series(name, ~hidden[groups[name].to_numpy()]) for name in measures)
    levels = next((levels for levels in part.rules.dimensions if kind.level in levels), ())
    found = pl.Series([kind.inputs is not None] * rows.height, dtype=pl.Boolean)
    for given in kind.inputs or ():
        name = given.removeprefix(CITY)
        over = [label for label in labels if not given.startswith(CITY)]
        is_city = [pl.col(label) == SUMMED for label in labels if label not in levels or BANDS not in name]
        source = flags if over or not is_city else flags.filter(is_city)
        if name.startswith(BANDS):
            name = name.removeprefix(BANDS)
            source = _bands(source, kind, part, levels)
            over = [label for label in over if label not in levels]
        if name not in measures or source.is_empty():
            return pl.Series([False] * rows.height, dtype=pl.Boolean)
        if over:
            known = source.group_by(over).agg(pl.col(name).all().alias("#known"))
            known_of = rows.select(over).join(known, on=over, how="left", maintain_order="left")["#known"]
            found &= known_of.fill_null(value=False)
        else:
            found &= bool(source[name].all())
    return found


def _bands(flags: pl.DataFrame, kind: Kind, part: Part, levels: tuple[str, ...]) -> pl.DataFrame:
    """The groups that are one band of the kind's level, those without a weight left out."""
    if kind.level is None or not levels:
        return flags.clear()
    below = levels[levels.index(kind.level) + 1 :]
    bands = flags.filter(pl.col(kind.level) != SUMMED, *(pl.col(name) == SUMMED for name in below))
    weights = kind.weights_of(part.key)
    if weights is None:
        return bands
    return bands.filter(~pl.col(kind.level).is_in([band for band, weight in weights.items() if weight == 0]))
