"""Files of a release for other programs: Excel, PX, JSON-stat, and a star schema for Power BI.

| file | what it is |
|---|---|
| downloads/table.LANGUAGE.xlsx | workbook for reading, in one language |
| downloads/table.px | counts of the release's own date by area, sex and age, as PX in three languages |
| downloads/dates.px | counts of every date by area; not there where the table has one date |
| downloads/rates.px | derived figures |
| downloads/{table,dates,rates}.LANGUAGE.json | the same as JSON-stat 2.0, in one language |
| downloads/star/*.parquet | star schema: see `star` |
| downloads/power-bi.LANGUAGE.html | how to connect Power BI and Fabric to it |
"""

from collections.abc import Sequence

import polars as pl

from schemas.labels import LANGUAGES
from transforms.release.datapackage import Licence
from transforms.release.downloads.connecting import connecting_pages
from transforms.release.downloads.contents import IndicatorText, Release, contents_of
from transforms.release.downloads.cube import counts_cube, dates_cube, rates_cube
from transforms.release.downloads.json_stat import write_json_stat
from transforms.release.downloads.px import write_px
from transforms.release.downloads.star import star_schema, write_parquet
from transforms.release.downloads.workbook import write_workbook

FOLDER = "downloads"
STAR = f"{FOLDER}/star"


def download_files(
    cells: pl.DataFrame,
    areas: pl.DataFrame,
    indicators: Sequence[IndicatorText],
    release: Release,
    derived: pl.DataFrame | None,
    licence: Licence,
    contact: str = "",
) -> dict[str, bytes]:
    """Write every download; path in the release to bytes. The same input gives the same bytes.

    `cells` are the public cells, with the columns of table.csv, `derived` the figures of derived.csv:
    what is not in one of them is in no download. `contact` is an address
    for questions. Raises DisclosureRefused where their codes cannot be told apart.
    """
    contents = contents_of(cells, derived, areas, indicators, release, f"{licence.title}, {licence.path}", contact)
    counts = counts_cube(contents)
    cubes = [counts]
    if contents.area_counts.height:
        cubes.append(dates_cube(contents))
    if contents.own_rates.height:
        cubes.append(rates_cube(contents))
    files = {f"{FOLDER}/table.{one}.xlsx": write_workbook(counts, contents, one) for one in LANGUAGES}
    for cube in cubes:
        files[f"{FOLDER}/{cube.id}.px"] = write_px(cube, contents)
        files |= {f"{FOLDER}/{cube.id}.{one}.json": write_json_stat(cube, contents, licence, one) for one in LANGUAGES}
    star = star_schema(contents)
    files |= {f"{STAR}/{name}.parquet": write_parquet(table) for name, table in star.items()}
    return files | {f"{FOLDER}/{name}": page for name, page in connecting_pages(star, contents).items()}
