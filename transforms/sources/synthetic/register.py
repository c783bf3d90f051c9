"""The register of persons and residences."""

import numpy as np
import polars as pl

from schemas.table import PERSON_ID
from transforms.sources.synthetic.block import Block
from transforms.sources.synthetic.dirt import PLACEHOLDER_DAYS, RATES, missing_districts
from transforms.sources.synthetic.draws import NEVER, Days, Places, recorded, stream, whole
from transforms.sources.synthetic.identity import names, wrong_check
from transforms.sources.synthetic.population import Codes, Population
from transforms.sources.synthetic.rows import Rows, dates, joined
from transforms.sources.synthetic.vocabulary import ADDRESS


def persons(
    people: Population, codes: Codes, as_of: int, seed: int, block: int, *, is_dirty: bool = True
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """The persons of a block, faulty rows after them, and the codes in the rows with each kind of fault."""
    rng, size = stream(seed, "persons", block), len(codes.own)
    learnt = np.where(people.death < NEVER, people.death, people.first)
    frame = names(seed, block, size).select(
        pl.Series(PERSON_ID, codes.own),
        pl.all(),
        birth_date=pl.Series(dates(people.birth)),
        sex=pl.when(pl.Series(people.is_male)).then(pl.lit("male")).otherwise(pl.lit("female")),
        death_date=pl.Series(dates(people.death)),
        recorded_date=pl.Series(dates(np.minimum(recorded(rng, learnt, is_dirty=is_dirty), as_of))),
        is_retracted=pl.lit(False),
    )
    if not is_dirty:
        return frame, {}
    misspelt = frame[rng.integers(0, size, rng.binomial(size, RATES["invalid_identity_code"]))]
    misspelt = misspelt.with_columns(wrong_check(misspelt[PERSON_ID]))
    # A person that no row belongs to: the codes of strangers from the end, events of strangers use any of them.
    undated = frame[rng.integers(0, size, min(rng.binomial(size, RATES["impossible_date"]), len(codes.nobodys)))]
    undated = undated.with_columns(
        codes.nobodys.tail(undated.height).alias(PERSON_ID),
        dates(np.full(undated.height, PLACEHOLDER_DAYS[1], dtype=np.int32)).alias("birth_date"),
    )
    changed = np.flatnonzero(people.code_changed < NEVER)
    both = changed[rng.random(len(changed)) < RATES["duplicate_person"]]
    under_former = frame[both].with_columns(codes.former[both].alias(PERSON_ID))
    twice = frame[np.unique(rng.integers(0, size, rng.binomial(size, RATES["duplicate_person"] * 0.0006)))]
    faults = {
        "duplicate_person": pl.concat([under_former[PERSON_ID], twice[PERSON_ID]]),
        "invalid_identity_code": misspelt[PERSON_ID],
        "impossible_date": undated[PERSON_ID],
    }
    return pl.concat([frame, under_former, twice, misspelt, undated]), faults


def identity_links(codes: Codes) -> pl.DataFrame:
    """One row per former identity code of a person."""
    links = pl.DataFrame({PERSON_ID: codes.own, "former_id": codes.former})
    return links.filter(pl.col("former_id").is_not_null())


def residences(block: Block, unknown_area: int) -> tuple[Rows, Places]:
    """Where each person lived: the last place, and the one before for those who moved within the city.

    `unknown_area` is the place of the empty word among the area codes. Also returns the places of the rows that the
    register learnt of months later; a move that it has not learnt of yet is not there.
    """
    rng, people, size = block.rng("residences"), block.people, block.size
    begin, end = people.arrived, np.minimum(people.death, people.left)
    moved = people.moved < NEVER
    everyone = np.arange(size, dtype=np.int32)
    told_late = moved & (rng.random(size) < RATES["retroactive_move"] * block.is_dirty)
    told = people.moved + np.where(told_late, whole(rng, 60, 300, size), 0)
    unheard = told_late & (told > block.as_of)
    area = np.where(unheard, people.previous_area, people.area)
    area = np.where(missing_districts(block), unknown_area, area).astype(np.int32)
    moved &= ~unheard

    def rows(person: Places, first: Days, last: Days, area: Places, learnt: Days) -> Rows:
        learnt = np.minimum(recorded(rng, learnt, is_dirty=block.is_dirty), block.as_of)
        learnt = np.where(told_late[person] & ~unheard[person], np.maximum(learnt, told[person]), learnt)
        return Rows(
            person,
            {
                "from_date": first.astype(np.int32),
                "to_date": last.astype(np.int32),
                "recorded_date": learnt.astype(np.int32),
            },
            {"address": rng.integers(0, ADDRESS.frame.height, len(person), dtype=np.int32), "area": area},
            {},
        )

    current = np.where(moved, people.moved, begin)
    known = np.where(end < NEVER, end, np.where(current < NEVER, current, people.birth))
    ended = people.moved[moved] - 1
    both = joined(
        [
            rows(everyone, current, end, area, known),
            rows(everyone[moved], begin[moved], ended, people.previous_area[moved], ended),
        ]
    )
    return both, np.flatnonzero(told_late[both.person] & ~unheard[both.person]).astype(np.int32)
