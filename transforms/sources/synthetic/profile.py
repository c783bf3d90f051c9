"""What is known of the areas that persons are spread over: how many live there, how old they are, how well off.

helsinki_profile.csv: one row per basic district; residents by age group at the turn of 2014 and 2015, income per
person (2013), share of adults with basic education only (2013) and unemployment rate (2014). City of Helsinki, open
statistics by district.
"""

from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

import numpy as np
import polars as pl

from schemas.areas import DISTRICT
from transforms.sources.synthetic.draws import Floats, stream

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
STRAIN_SPREAD = 0.2
"""How much services differ between areas for other reasons than deprivation (standard deviation, log scale)."""


@dataclass(frozen=True)
class Profile:
    """One entry per district. `weight` and each row of `age_share` (by year of age) sum to one.

    `deprivation` is a standard score of low income, low education and unemployment; `strain` says how much more often
    than elsewhere care is missed there, on a log scale.
    """

    codes: tuple[str, ...]
    weight: Floats
    age_share: Floats
    deprivation: Floats
    strain: Floats


def profile_of(areas: pl.DataFrame, seed: int) -> Profile:
    """The profile of a geography: Helsinki's figures where a district is Helsinki's, else its average and chance."""
    known = pl.read_csv(
        files(__package__).joinpath("helsinki_profile.csv").read_bytes(), schema_overrides={"code": pl.String}
    )
    groups = list(AGE_GROUP_STARTS)
    districts = areas.filter(pl.col("level") == DISTRICT).sort("code")
    matched = districts.select("code", "name_fi", "population").join(
        known, on=["code", "name_fi"], how="left", maintain_order="left"
    )
    rng = stream(seed, "profile")
    city = known.select(pl.col(groups).sum()).to_numpy().astype(float)
    counts = np.where(matched["age_65"].is_null().to_numpy()[:, None], city, matched.select(groups).to_numpy())
    measures = [
        _score(-known["income_euros_per_person"], -matched["income_euros_per_person"]),
        _score(known["basic_education_percent"], matched["basic_education_percent"]),
        _score(known["unemployed_percent"], matched["unemployed_percent"]),
    ]
    chance = rng.normal(size=districts.height)
    deprivation = np.mean(measures, axis=0)
    people = matched["population"].cast(pl.Float64)
    weight = people.to_numpy() if people.null_count() == 0 and people.sum() > 0 else np.ones(districts.height)
    return Profile(
        codes=tuple(districts["code"]),
        weight=weight / weight.sum(),
        age_share=_years_of_age(counts),
        deprivation=np.where(np.isnan(deprivation), chance, deprivation),
        strain=rng.normal(scale=STRAIN_SPREAD, size=districts.height),
    )


def _score(known: pl.Series, values: pl.Series) -> Floats:
    reference = known.to_numpy()
    score: Floats = (values.cast(pl.Float64).to_numpy() - reference.mean()) / reference.std()
    return score


def _years_of_age(counts: Floats) -> Floats:
    """Age groups spread over their years: evenly, and thinning out from 65 as the city's old do."""
    starts = [*AGE_GROUP_STARTS.values(), OLDEST + 1]
    share = np.zeros((len(counts), OLDEST + 1))
    for group, (start, end) in enumerate(pairwise(starts)):
        beyond = np.arange(end - start)
        shape = np.exp(-0.035 * beyond - 0.0022 * beyond**2) if end > OLDEST else np.ones(end - start)
        share[:, start:end] = counts[:, group : group + 1] * shape / shape.sum()
    total: Floats = share.sum(axis=1, keepdims=True)
    return share / total
