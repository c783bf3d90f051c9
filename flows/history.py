"""What earlier dates a release tells of, and what earlier releases have made public of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows.counted import BY, DIMENSIONS, inner_cells
from transforms.release.decisions import WITHDRAW, from_json, outcome
from transforms.release.figures import year_before
from transforms.release.ledger import Record
from transforms.release.names import DECISIONS, MANIFEST
from transforms.release.publish import manifest_of
from transforms.release.spec import SUMMED

AREA = DIMENSIONS[0]
GROUPS = tuple(level for levels in DIMENSIONS[1:] for level in levels)
"""Sex and age band: only the figures of a release's own date are cut by them."""
COUNTS = ("eligible", "gap")


def population(about: Mapping[str, Any]) -> str:
    """Whom counts are of, for the ledger: the city; of generated data each load is a city of its own."""
    return f"generated {about['load']}" if about["generated"] else "city"


def cells_of(counts: pl.DataFrame, areas: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Inner cells of a release: of its own date one row per indicator, district, sex and age band, of earlier ones one
    per date, indicator and district.

    Earlier dates tell how the city and its areas changed. Cut by sex and age as well, each would hide as many cells as
    the own date does, and take as long to protect.
    """
    cells, is_own = inner_cells(counts, areas), pl.col("as_of") == as_of.isoformat()
    return pl.concat([_areas_alone(cells.filter(~is_own)), cells.filter(is_own)])


def cells_a_year_before(
    published: Path, records: Sequence[Record], of: str, versions: Mapping[str, int], as_of: date
) -> pl.DataFrame:
    """Inner cells of the date a year before `as_of` as they were when it was released; one row per indicator, district.

    None where no release that stands has that date, and of an indicator that then had another version: a change is
    measured between figures of one definition. The counts are those of the ledger, so that what is told of the date
    again is what was told before.
    """
    of_release, found = {record.release_id: record.cells for record in records}, pl.DataFrame()
    for release_id, same in _standing(published, of, versions):
        cells = of_release.get(release_id, pl.DataFrame())
        dates = [date.fromisoformat(day) for day in cells["as_of"].unique()] if cells.height else []
        before = year_before(as_of, dates).isoformat()
        is_inner = [pl.col("as_of") == before, pl.col(AREA[-1]) != SUMMED, pl.col("indicator").is_in(same)]
        cells = cells.filter(*is_inner, *(pl.col(name) == SUMMED for name in GROUPS)) if cells.height else cells
        found = cells if cells.height else found
    if found.is_empty():
        return found
    wide = found.pivot("measure", index=[*BY, *AREA, *GROUPS], values="value")
    return wide.select(*BY, *AREA, *GROUPS, eligible=pl.col("gap") + pl.col("closed"), gap="gap")


def published_history(published: Path, of: str, versions: Mapping[str, int]) -> dict[date, pl.DataFrame]:
    """The cells of the whole city by date, from the tables of published releases of the same population.

    Of an indicator that then had another version nothing is taken, for it was another figure; nor of a withdrawn
    release. Of two releases of a date the one created last counts.
    """
    found: dict[date, pl.DataFrame] = {}
    for release_id, same in _standing(published, of, versions):
        cells = pl.read_csv(published / release_id / "table.csv", infer_schema=False)
        cells = cells.with_columns(pl.col("value").cast(pl.Int64))
        cells = cells.filter(pl.col("indicator").is_in(same), *(pl.col(name) == SUMMED for name in (*AREA, *GROUPS)))
        for (day,), part in cells.partition_by("as_of", as_dict=True).items():
            found[date.fromisoformat(str(day))] = part
    return found


def _standing(published: Path, of: str, versions: Mapping[str, int]) -> Iterator[tuple[str, list[str]]]:
    """The releases of a population that are not withdrawn, the one created last at the end, and the indicators of each
    that had the same version then.
    """
    releases = [path.parent for path in published.glob(f"[!.]*/{MANIFEST}") if not path.parent.is_symlink()]
    manifests = {folder: manifest_of((folder / MANIFEST).read_bytes()) for folder in releases}
    for folder in sorted(releases, key=lambda one: (manifests[one]["created"], len(one.name), one.name)):
        manifest, decided = manifests[folder], folder / DECISIONS
        about = {"generated": manifest["generated"], "load": manifest["inputs"]["load"]}
        is_withdrawn = decided.exists() and outcome(from_json(decided.read_bytes())) == WITHDRAW
        if not is_withdrawn and population(about) == of:
            then = manifest["inputs"].get("indicator_versions", {})
            yield folder.name, [name for name, version in versions.items() if then.get(name) == version]


def _areas_alone(cells: pl.DataFrame) -> pl.DataFrame:
    summed = cells.with_columns(pl.lit(SUMMED).alias(name) for name in GROUPS)
    names = [name for name in cells.columns if name not in COUNTS]
    added = summed.group_by(names, maintain_order=True).agg(pl.col(name).sum() for name in COUNTS)
    return added.select(cells.columns)
