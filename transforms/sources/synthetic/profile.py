"""What is known of the areas that persons are spread over: how many live there, how old they are, how well off.

helsinki_profile.csv: one row per basic district; residents by age group at the turn of 2014 and 2015, income per
person (2013), share of adults with basic education only (2013), unemployment rate (2014) and moves in and out (2014),
from the City of Helsinki's open statistics by district; `decade_*`, residents by ten years of age, from the population
grid of the Helsinki Region (HSY). The number of residents of each district is that of `schemas/areas/helsinki.csv`.
"""

from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

import numpy as np
import polars as pl

from schemas.areas import DISTRICT
from transforms.sources.synthetic.draws import Floats, stream
from transforms.sources.synthetic.fitting import Margin, fitted

OLDEST = 104
AGE_GROUP_STARTS = {
    "age_0_6": 0,
    "age_7_15": 7,
    "age_16_18": 16,
    "age_19_24": 19,
    "age_25_39": 25,
    "age_40_64": 40,
    "age_65": 65,
}
"""First age of each age group of the profile; the last is open."""
MALE_SHARES = (0.511, 0.511, 0.51, 0.47, 0.5, 0.487, 0.4)
"""Men among the city's residents by age group. The statistics by district have no sex; these are near Helsinki's."""
_MALE_OLD = (65, 0.46, 0.012)
"""From this age on the share of men begins so high and falls so much a year: only the shape, the margin decides."""
STRAIN_SPREAD = 0.2
"""How much services differ between areas for other reasons than deprivation (standard deviation, log scale)."""


@dataclass(frozen=True)
class Profile:
    """One entry per district. `share` is districts x sexes (women, men) x years of age and sums to one.

    `deprivation` is a standard score of low income, low education and unemployment; `strain` says how much more often
    than elsewhere care is missed there, on a log scale; `mobility` how much more often than elsewhere people move.
    """

    codes: tuple[str, ...]
    share: Floats
    deprivation: Floats
    strain: Floats
    mobility: Floats

    @property
    def weight(self) -> Floats:
        """Each district's share of the residents."""
        weight: Floats = self.share.sum(axis=(1, 2))
        return weight


def profile_of(areas: pl.DataFrame, seed: int) -> Profile:
    """The profile of a geography: Helsinki's figures where a district is Helsinki's, else its average and chance."""
    known = pl.read_csv(
        files(__package__).joinpath("helsinki_profile.csv").read_bytes(), schema_overrides={"code": pl.String}
    )
    districts = areas.filter(pl.col("level") == DISTRICT).sort("code")
    matched = districts.select("code", "name_fi", "population").join(
        known, on=["code", "name_fi"], how="left", maintain_order="left"
    )
    is_known = matched["age_65"].is_not_null().to_numpy()

    def counts(columns: list[str]) -> Floats:
        city = known.select(pl.col(columns).sum()).to_numpy().astype(float)
        return np.where(is_known[:, None], matched.select(columns).to_numpy(), city)

    rng = stream(seed, "profile")
    measures = [
        _score(-known["income_euros_per_person"], -matched["income_euros_per_person"]),
        _score(known["basic_education_percent"], matched["basic_education_percent"]),
        _score(known["unemployed_percent"], matched["unemployed_percent"]),
    ]
    chance = rng.normal(size=districts.height)
    deprivation = np.mean(measures, axis=0)
    people = matched["population"].cast(pl.Float64)
    weight = people.to_numpy() if people.null_count() == 0 and people.sum() > 0 else np.ones(districts.height)
    groups = counts(list(AGE_GROUP_STARTS))
    by_age = groups / groups.sum(axis=1, keepdims=True) * (weight / weight.sum())[:, None]
    moves = counts(["moves_in", "moves_out"]).sum(axis=1) / groups.sum(axis=1)
    return Profile(
        codes=tuple(districts["code"]),
        share=_fit(by_age, counts([name for name in known.columns if name.startswith("decade_")])),
        deprivation=np.where(np.isnan(deprivation), chance, deprivation),
        strain=rng.normal(scale=STRAIN_SPREAD, size=districts.height),
        mobility=moves / moves.mean(),
    )


def _score(known: pl.Series, values: pl.Series) -> Floats:
    reference = known.to_numpy()
    score: Floats = (values.cast(pl.Float64).to_numpy() - reference.mean()) / reference.std()
    return score


def _fit(by_age: Floats, decades: Floats) -> Floats:
    """Districts x sexes x years of age with the given district and age margins, and the city's sexes by age.

    Inside an age group the ages are as the district's decades have them, and the sexes as they usually are.
    """
    age = np.arange(OLDEST + 1)
    inside = np.zeros((len(decades), OLDEST + 1))
    for decade, (start, end) in enumerate(pairwise([*range(0, 90, 10), OLDEST + 1])):
        beyond = np.arange(end - start)
        # The last decade is open: the number thins out from year to year.
        shape = np.exp(-0.06 * beyond - 0.006 * beyond**2) if end > OLDEST else np.ones(end - start)
        inside[:, start:end] = decades[:, decade : decade + 1] * shape / shape.sum()
    old, begins, falls = _MALE_OLD
    male = np.where(age < old, 0.5, np.maximum(begins - falls * (age - old), 0.2))
    cells = (inside[:, None, :] + 1e-9) * np.stack([1 - male, male])
    starts = tuple(AGE_GROUP_STARTS.values())
    men = by_age.sum(axis=0) * np.array(MALE_SHARES)
    margins = [Margin((0, 2), by_age, starts), Margin((1, 2), np.stack([by_age.sum(axis=0) - men, men]), starts)]
    return fitted(cells, margins)
