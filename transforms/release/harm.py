"""What hiding costs, as the spec sets it, and how far a result is from the least possible."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms.release.greedy import weights
from transforms.release.linear import Amounts
from transforms.release.link import Group
from transforms.release.optimum import Bound, Harm
from transforms.release.spec import Spec
from transforms.release.tables import SAFE, Block, Mask

NEAR = 1e-6


@dataclass(frozen=True)
class Outcome:
    """What was hidden in tables that are protected as one, and the least that could be."""

    cost: float
    least: Bound

    @property
    def is_best(self) -> bool:
        """Whether no other choice costs less."""
        return self.cost - self.least.cost <= NEAR * max(1.0, self.cost)


def costs_of(group: Group, blocks: list[Block], spec: Spec) -> Amounts:
    """What hiding each merged cell costs: its cells by their standing, and something for the people in them."""
    cells = group.cells
    usual = weights(cells)
    if spec.people_per_cell is not None:
        usual = cells.count * (1 + cells.value / spec.people_per_cell)
    if not any(spec.standing):
        return usual
    standing = np.zeros(cells.size)
    for place, merged in zip(group.blocks, group.merged, strict=True):
        known = merged >= 0
        standing += np.bincount(merged[known], weights=_standing(blocks[place], spec)[known], minlength=cells.size)
    return np.asarray(usual * np.where(cells.count > 0, standing / np.maximum(cells.count, 1), 1.0))


def harm_of(group: Group, blocks: list[Block], costs: Amounts) -> Harm:
    """What hiding each merged cell does to cells that need not be hidden for themselves."""
    number, people = np.zeros(group.cells.size), np.zeros(group.cells.size)
    for place, merged in zip(group.blocks, group.merged, strict=True):
        block = blocks[place]
        safe = (merged >= 0) & (block.unsafe_as == SAFE)
        number += np.bincount(merged[safe], minlength=len(number))
        people += np.bincount(merged[safe], weights=block.value[safe], minlength=len(number))
    share = number / np.maximum(group.cells.count, 1)
    return Harm(np.asarray(costs * np.minimum(share, 1)), number, people)


def outcome(hidden: Mask, harm: Harm, least: Bound) -> Outcome:
    """What a choice costs beside the least possible."""
    return Outcome(float(harm.cost[hidden].sum()), least)


def figures_of(outcomes: list[Outcome], secondary: int, people: int, spec: Spec) -> dict[str, Any]:
    """The distance to the least possible, over all tables, for the certificate.

    A gap is the part of what is hidden, beside the unsafe cells, that a better choice could spare at most.
    """
    if spec.bound == "none":
        return {"bound": "none", "cost": None, "lower_bound": None, "optimality_gap": None, "proven_optimal": None}
    found = {
        "secondary": secondary,
        "suppressed_value_sum": people,
        "cost": round(sum(each.cost for each in outcomes)),
    }
    least = {
        "secondary": sum(each.least.number for each in outcomes),
        "suppressed_value_sum": sum(each.least.people for each in outcomes),
        "cost": int(np.floor(sum(each.least.cost for each in outcomes))),
    }
    return {
        "bound": spec.bound,
        "cost": found["cost"],
        "lower_bound": least,
        "optimality_gap": {name: _gap(found[name], least[name]) for name in found},
        "proven_optimal": {"tables": sum(each.is_best for each in outcomes), "of": len(outcomes)},
    }


def costs_in_words(spec: Spec) -> dict[str, Any]:
    """How a cell's cost was set, for the certificate."""
    people, standing = spec.people_per_cell, (*spec.standing, *((),) * len(spec.dimensions))
    return {
        "people_per_cell": "one and a half times the median of the cells of a table" if people is None else people,
        "standing": [
            list(factors) if factors else [1] * (len(levels) + 1)
            for factors, levels in zip(standing, spec.dimensions, strict=False)
        ],
    }


def _gap(found: int, least: int) -> float:
    return round(max(found - least, 0) / found, 4) if found else 0.0


def _standing(block: Block, spec: Spec) -> Amounts:
    """The standing of each cell of a block: the product of its levels' factors."""
    standing = np.ones(1)
    for place, axis in enumerate(block.axes):
        factors = spec.standing[place] if place < len(spec.standing) else ()
        own = np.array(factors)[axis.depth] if factors else np.ones(len(axis.depth))
        standing = np.multiply.outer(standing, own).ravel()
    return standing
