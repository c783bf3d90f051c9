"""A count table whose every cell is published, changed: the other methods, by the contract that suppression keeps."""

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused, KeyUnavailable
from transforms.release import attack_values
from transforms.release.cell_key import noise_of, perturb
from transforms.release.link import Populations, link, populations
from transforms.release.methods import CellKey, Method, Rounding
from transforms.release.rounding import round_cells
from transforms.release.spec import STATUS, VALUE, Spec
from transforms.release.tables import SAFE, Block, Whole, build_blocks

PUBLISHED = "published"
SECRET_BYTES = 16
"""A shorter secret could be found by trying."""


def perturb_counts(
    counts: pl.DataFrame, spec: Spec, method: Method, secret: bytes | None
) -> tuple[pl.DataFrame, dict[str, Any], pl.DataFrame, dict[str, Any]]:
    """Change a table of inner cells; returns the public table, its certificate, the decisions and the exact figures.

    The same result for any order of rows. Raises UsageRefused or DisclosureRefused where the counts are no such table,
    KeyUnavailable where cell keys have no secret, and DisclosureRefused where the auditor finds the guarantee broken.
    """
    began = time.monotonic()
    blocks = build_blocks(counts, spec)
    same = populations(blocks, spec)
    further = 0
    if isinstance(method, Rounding):
        values, further = _round(blocks, spec, same, method)
    else:
        values = _with_keys(blocks, spec, method, secret)
    decisions = pl.concat(
        block.labels(spec.by).with_columns(
            pl.Series(VALUE, block.value),
            pl.Series("decision", [PUBLISHED] * len(block.value)),
            pl.Series("unsafe_as", block.unsafe_as),
        )
        for block in blocks
    )
    published = np.concatenate(values)
    table = decisions.with_columns(pl.Series(VALUE, published), pl.lit(PUBLISHED).alias(STATUS))
    table = table.drop("decision", "unsafe_as")
    certificate = _public_rules(spec, method, same, further)
    rules = attack_values.rules_of(certificate)
    low, high = rules.box(published)
    if wrong := int(((decisions[VALUE] < low) | (decisions[VALUE] > high)).sum()):
        raise DisclosureRefused("counts were changed by more than is told", "Report the spec", "table.csv", count=wrong)
    verdict = attack_values.attack_table(table, rules)
    if not verdict.holds:
        raise DisclosureRefused(
            f"the guarantee {verdict.guarantee} does not hold: the changes are too small for these sums",
            "Take a larger base or deviation, or fewer dimensions",
            table="table.csv",
            count=verdict.broken,
        )
    certificate |= {
        "cells": table.height,
        "published": table.height,
        "exactly_recoverable": verdict.recovered_unsafe,
        "exactly_recoverable_safe": verdict.recovered_safe,
        "provably_small": verdict.provably_small,
        "seconds": round(time.monotonic() - began, 2),
    }
    off = np.abs(published - decisions[VALUE].to_numpy())
    figures = certificate | {
        "unsafe": int((decisions["unsafe_as"] != SAFE).sum()),
        "changed": int((off > 0).sum()),
        "mean_change": round(float(off.mean()), 3),
    }
    return table, certificate, decisions, figures


def describe(figures: dict[str, Any]) -> str:
    """The figures in a few lines for a terminal."""
    lines = {"cells": "cells", "unsafe": "unsafe", "changed": "changed", "changed by, on average": "mean_change"}
    lines |= {"exactly recoverable": "exactly_recoverable", "provably small": "provably_small", "seconds": "seconds"}
    return "\n".join(f"{words:<22} {figures[name]:>10,}" for words, name in lines.items() if name in figures)


def _round(blocks: list[Block], spec: Spec, same: Populations, method: Rounding) -> tuple[list[Whole], int]:
    """Every cell's rounded count, by block; tables that count the same people are rounded as one."""
    values, further = dict[int, Whole](), 0
    for group in link(blocks, spec, same, [], []):
        rounded = round_cells(group.cells, method.base)
        further = max(further, rounded.further)
        for place, merged in zip(group.blocks, group.merged, strict=True):
            values[place] = np.append(rounded.value, 0)[merged]
    return [values[place] for place in range(len(blocks))], further


def _with_keys(blocks: list[Block], spec: Spec, method: CellKey, secret: bytes | None) -> list[Whole]:
    if secret is None or len(secret) < SECRET_BYTES:
        raise KeyUnavailable(
            f"cell keys need a secret of at least {SECRET_BYTES} bytes",
            "Name a file of mode 0600 that holds it in CAREGAP_CELL_KEY_FILE, the same for every release",
        )
    return [perturb(block, spec, method, secret) for block in blocks]


def _public_rules(spec: Spec, method: Method, same: Populations, further: int) -> dict[str, Any]:
    """What an attacker may know of how the counts were changed, and so everybody."""
    if isinstance(method, Rounding):
        reach = (further + 1) * method.base - 1
        how = {"name": method.name, "base": method.base, "additive": True}
        how["noise"] = [[0, 0], *([-min(count, reach), reach] for count in range(1, reach + 1))]
        words = f"that each count was changed by at most {reach} to a multiple of {method.base}"
    else:
        how = {"name": method.name, "deviation": method.deviation, "variance": method.variance}
        how |= {"date": method.date.isoformat(), "additive": False, "noise": noise_of(method)}
        words = f"that each count was changed by at most {method.reach}, and that counts of 0 are published as 0"
    rules = asdict(spec.rules)
    return {
        "method": how,
        "rules": {name: rules[name] for name in ("threshold", "zeros", "group_disclosure", "guarantee")},
        "by": list(spec.by),
        "dimensions": [list(levels) for levels in spec.dimensions],
        "linked": spec.eligible is not None,
        "populations": [[list(key) for key in keys] for keys in same],
        "attacker": "knows every published cell, how the true counts add up, that they are whole and not negative, and "
        + words,
    }
