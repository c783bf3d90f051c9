"""The tile map: where each district's tile lies, what it is called and which colour a rate has."""

from dataclasses import dataclass

import polars as pl

from schemas.areas import DISTRICT

TILE_WIDTH, TILE_HEIGHT, TILE_GAP = 64, 54, 3
GRID_COLUMNS = 10
"""Tiles in a row where a geography gives no positions."""
LABEL_LENGTH, SQUEEZED_LENGTH = 12, 9
"""Characters of a name that a tile has room for, and from which on its letters are squeezed to fit in any font."""


@dataclass(frozen=True)
class Shade:
    """A step of the colour scale and the colour of the text on it; contrast at least 4.5:1."""

    fill: str
    ink: str


SHADES = (
    Shade("#e9f1f9", "#14202b"),
    Shade("#b9d3ec", "#14202b"),
    Shade("#82b0dc", "#14202b"),
    Shade("#2e6cae", "#ffffff"),
    Shade("#0e3c70", "#ffffff"),
)
"""From the smallest rates to the largest; one hue, so that the order can be read without telling colours apart."""
HIDDEN_SHADE = Shade("#ffffff", "#14202b")
STEPS_TENTHS = (1, 2, 5, 10, 20, 50, 100, 200, 250)
"""Widths that a step of the scale may have, in tenths of a percent."""


@dataclass(frozen=True)
class Tile:
    """One district on the map; `left` and `top` in the map's own units."""

    code: str
    label: str
    name: str
    left: int
    top: int

    @property
    def is_squeezed(self) -> bool:
        """Whether the label may be wider than the tile in some font."""
        return len(self.label) >= SQUEEZED_LENGTH


@dataclass(frozen=True)
class TileMap:
    """The tiles of a geography and the size of the map; `is_placed` is false where the tiles are merely in order."""

    tiles: tuple[Tile, ...]
    width: int
    height: int
    is_placed: bool


def tile_map(areas: pl.DataFrame, language: str) -> TileMap:
    """Lay out the districts: by their own positions where each has one, else as a grid in the order of their codes."""
    districts = areas.filter(pl.col("level") == DISTRICT).sort("code")
    positions = districts.select("tile_column", "tile_row")
    is_placed = positions.drop_nulls().height == districts.height and not positions.is_duplicated().any()
    column, row = pl.col("tile_column"), pl.col("tile_row")
    if not is_placed:
        order = pl.int_range(pl.len())
        column, row = order % GRID_COLUMNS, order // GRID_COLUMNS
    # Only Finnish and Swedish have short names; Helsinki's English names are the Finnish ones.
    name = f"name_{language}"
    short = f"short_{language}" if f"short_{language}" in areas.columns else None
    if short is None:
        short_of_name = pl.when(pl.col(name) == pl.col("name_fi")).then("short_fi").otherwise(name)
    else:
        short_of_name = pl.col(short)
    laid = districts.select("code", name=name, short=short_of_name, column=column - column.min(), row=row - row.min())
    tiles = tuple(
        Tile(code, fitted(short), name, column * TILE_WIDTH, row * TILE_HEIGHT)
        for code, name, short, column, row in laid.iter_rows()
    )
    width = max(tile.left for tile in tiles) + TILE_WIDTH - TILE_GAP
    height = max(tile.top for tile in tiles) + TILE_HEIGHT - TILE_GAP
    return TileMap(tiles, width, height, is_placed)


def fitted(name: str) -> str:
    """Cut a name that no tile has room for; short names in the areas file avoid it."""
    return name if len(name) <= LABEL_LENGTH else f"{name[: LABEL_LENGTH - 1].rstrip()}…"


@dataclass(frozen=True)
class Scale:
    """A colour scale over published rates: at most as many steps as there are shades.

    Steps are bounded by rates as printed, in tenths of a percent, so that a tile's colour and its number never
    disagree.
    """

    start: int
    step: int
    count: int

    def shade_of(self, rate_tenths: int) -> int:
        """Index into SHADES of a rate within the scale."""
        return (rate_tenths - self.start) // self.step

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """First and last rate of each step, as printed."""
        starts = range(self.start, self.start + self.step * self.count, self.step)
        return tuple((start, min(start + self.step - 1, 1000)) for start in starts)


def scale_of(rates_tenths: list[int]) -> Scale:
    """Choose the narrowest round step with which all rates fit on the scale."""
    if not rates_tenths:
        return Scale(0, 1, 0)
    smallest, largest = min(rates_tenths), max(rates_tenths)
    for step in STEPS_TENTHS:
        start = smallest // step * step
        count = (largest - start) // step + 1
        if count <= len(SHADES):
            break
    return Scale(start, step, count)
