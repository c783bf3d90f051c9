"""Small tables to try disclosure control on."""

from itertools import product
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from schemas.errors import DisclosureRefused
from transforms.release.protect import Protected, protect_counts
from transforms.release.spec import Spec, spec_from
from transforms.release.suppress import suppress
from transforms.release.tables import Merged, build_blocks

AREAS = [("M1", "D1"), ("M1", "D2"), ("M2", "D3"), ("M2", "D4")]


def make_spec(dimensions: list[list[str]], *, linked: bool = False, by: tuple[str, ...] = (), **rules: Any) -> Spec:
    raw: dict[str, Any] = {
        "count": "gap",
        "by": list(by),
        "dimension": [{"levels": levels} for levels in dimensions],
        "rules": {"threshold": 5, **rules},
    }
    return spec_from(raw | ({"eligible": "eligible"} if linked else {}))


def grid(rows: int, columns: int, counts: list[int]) -> pl.DataFrame:
    """A two-way table given row by row."""
    return pl.DataFrame(
        [
            {"row": f"r{i}", "column": f"c{j}", "gap": counts[i * columns + j]}
            for i, j in product(range(rows), range(columns))
        ]
    )


def drawn_block(seed: int, guarantee: str) -> tuple[Spec, Merged, np.ndarray, np.ndarray]:
    """A drawn two-way table under a guarantee: its cells, what hiding each costs, and what is hidden."""
    random = np.random.default_rng(seed)
    spec = make_spec([["row"], ["column"]], guarantee=guarantee, effort="quick")
    cells = build_blocks(grid(5, 6, random.negative_binomial(1, 0.1, 30).tolist()), spec)[0].cells
    costs = random.uniform(1, 2, cells.size)
    return spec, cells, costs, suppress(cells, spec.rules, spec.safe_from, costs).hidden


def protect_or_nothing(counts: pl.DataFrame, spec: Spec) -> Protected | None:
    """Protect, or see that every cell is unsafe or needed by one and the refusal says so."""
    try:
        return protect_counts(counts, spec)
    except DisclosureRefused as refusal:
        if "nothing is left" not in refusal.rule:
            raise
        return None


@st.composite
def tables(draw: st.DrawFn, largest: int = 7) -> tuple[pl.DataFrame, Spec]:
    """Inner cells of two or three dimensions, flat or with levels, linked or not, and rules to protect them by."""
    linked = draw(st.booleans())
    shapes: list[list[tuple[list[str], list[tuple[str, ...]]]]] = [
        [(["row"], [("r1",), ("r2",), ("r3",)][: 2 if linked else 3]), (["column"], [("c1",), ("c2",)])],
        [(["major", "district"], AREAS[: 3 if linked else 4]), (["sex"], [("F",), ("M",)][: 1 if linked else 2])],
        [(["row"], [("r1",), ("r2",)]), (["column"], [("c1",), ("c2",)]), (["sex"], [("F",), ("M",)][: 2 - linked])],
    ]
    shape = draw(st.sampled_from(shapes))
    count = st.one_of(st.integers(0, 3), st.integers(0, largest))
    rows = []
    for path in product(*(nodes for _, nodes in shape)):
        row: dict[str, Any] = {}
        for (levels, _), node in zip(shape, path, strict=True):
            row |= dict(zip(levels, node, strict=True))
        row["gap"] = draw(count)
        row["eligible"] = row["gap"] + draw(count)
        rows.append(row)
    rules = {
        "threshold": draw(st.integers(2, 5)),
        "zeros": draw(st.sampled_from(["publish", "protect"])),
        "guarantee": draw(st.sampled_from(["not_exact", "not_small"])),
        "effort": draw(st.sampled_from(["normal", "thorough"])),
        "group_disclosure": linked and draw(st.booleans()),
    }
    frame = pl.DataFrame(rows)
    return (frame if linked else frame.drop("eligible")), make_spec(
        [levels for levels, _ in shape], linked=linked, **rules
    )
