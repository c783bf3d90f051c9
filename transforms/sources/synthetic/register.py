"""The register of persons and residences."""

import numpy as np
import polars as pl

from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.dirt import IMPOSSIBLE_DATE, INVALID_IDENTITY_CODE, PLACEHOLDER_DAYS
from transforms.sources.synthetic.draws import NEVER, recorded, stream
from transforms.sources.synthetic.identity import names, wrong_check
from transforms.sources.synthetic.population import Population
from transforms.sources.synthetic.rows import Rows, dates, joined
from transforms.sources.synthetic.vocabulary import ADDRESS


def persons(
    people: Population, codes: pl.Series, strangers: pl.Series, as_of: int, seed: int, block: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The persons of a block, some invalid rows after them, and how many of each kind these are."""
    rng, size = stream(seed, "persons", block), len(codes)
    learnt = np.where(people.death < NEVER, people.death, people.first)
    frame = names(seed, block, size).select(
        pl.Series("person_id", codes),
        pl.all(),
        birth_date=pl.Series(dates(people.birth)),
        sex=pl.when(pl.Series(people.is_male)).then(pl.lit("male")).otherwise(pl.lit("female")),
        death_date=pl.Series(dates(people.death)),
        recorded_date=pl.Series(dates(recorded(rng, learnt, as_of))),
        is_retracted=pl.lit(False),
    )
    misspelt = frame[rng.integers(0, size, rng.binomial(size, INVALID_IDENTITY_CODE))]
    misspelt = misspelt.with_columns(wrong_check(misspelt["person_id"]))
    # A person that no row belongs to: the codes of strangers from the end, events of strangers use any of them.
    undated = frame[rng.integers(0, size, min(rng.binomial(size, IMPOSSIBLE_DATE), len(strangers)))]
    undated = undated.with_columns(
        strangers.tail(undated.height).alias("person_id"),
        dates(np.full(undated.height, PLACEHOLDER_DAYS[1], dtype=np.int32)).alias("birth_date"),
    )
    counts = {"invalid_identity_code": misspelt.height, "impossible_date": undated.height}
    return pl.concat([frame, misspelt, undated]), counts


def residences(block: Block, unknown_area: int) -> Rows:
    """Where each person lived: the last place, and the one before for those who moved within the city.

    `unknown_area` is the place of the empty word among the area codes.
    """
    rng, people, size = block.rng("residences"), block.people, block.size
    begin = np.where(people.arrived == NEVER, NEVER, people.arrived)
    end = np.minimum(people.death, people.left)
    moved = people.moved < NEVER
    everyone = np.arange(size, dtype=np.int32)

    def rows(person: np.ndarray, first: np.ndarray, last: np.ndarray, area: np.ndarray) -> Rows:
        learnt = np.where(last < NEVER, last, np.where(first < NEVER, first, people.birth[person]))
        return Rows(
            person,
            {
                "from_date": first.astype(np.int32),
                "to_date": last.astype(np.int32),
                "recorded_date": recorded(rng, learnt, block.as_of),
            },
            {"address": rng.integers(0, ADDRESS.frame.height, len(person), dtype=np.int32), "area": area},
            {},
        )

    area = np.where(people.is_area_unknown, unknown_area, people.area).astype(np.int32)
    return joined(
        [
            rows(everyone, np.where(moved, people.moved, begin), end, area),
            rows(everyone[moved], begin[moved], people.moved[moved] - 1, people.previous_area[moved]),
        ]
    )
