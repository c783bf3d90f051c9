"""Disclosure control of a count table: from inner cells to what may be published, with proof."""

import json
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.release import attack
from transforms.release.spec import STATUS, VALUE, Spec
from transforms.release.suppress import Suppression, suppress
from transforms.release.tables import SAFE, Block, build_blocks

PUBLISHED, PRIMARY, SECONDARY = "published", "primary", "secondary"
SUPPRESSED = "suppressed"
DECISIONS_FILE = "confidential/decisions.parquet"


@dataclass(frozen=True)
class Protected:
    """A protected table.

    `table` has one row per cell and is public: labels, `value` (null where suppressed) and `status`, the same for
    every reason. `certificate` is public too. `decisions` is confidential: one row per cell with its count, its
    `decision` and `unsafe_as`.
    """

    table: pl.DataFrame
    certificate: dict[str, Any]
    decisions: pl.DataFrame


def protect_counts(counts: pl.DataFrame, spec: Spec, processes: int = 1) -> Protected:
    """Protect a table of inner cells; one row per inner cell. The result is the same for any number of processes.

    Raises UsageRefused or DisclosureRefused where the counts are no such table, and DisclosureRefused where nothing
    is left to publish or the auditor finds the guarantee broken.
    """
    began = time.monotonic()
    blocks = build_blocks(counts, spec)
    answers = _suppress_all(blocks, spec, processes)
    decisions = pl.concat(_decide(block, answer, spec) for block, answer in zip(blocks, answers, strict=True))
    if not (decisions["decision"] == PUBLISHED).any():
        raise DisclosureRefused(
            "nothing is left to publish: every cell is suppressed",
            "Publish over fewer dimensions or wider levels",
            table="counts",
        )
    is_published = pl.col("decision") == PUBLISHED
    table = decisions.with_columns(
        pl.when(is_published).then(VALUE).alias(VALUE),
        pl.when(is_published).then(pl.lit(PUBLISHED)).otherwise(pl.lit(SUPPRESSED)).alias(STATUS),
    ).drop("decision", "unsafe_as")
    rules = _public_rules(spec)
    verdict = attack.attack_table(table, attack.rules_of(rules), processes=processes)
    certificate = rules | _figures(decisions, verdict) | {"seconds": round(time.monotonic() - began, 2)}
    protected = Protected(table, certificate, decisions)
    _must_hold(verdict)
    return protected


def verify(protected: Protected, processes: int = 1) -> attack.Verdict:
    """Attack a protected table from what is public. Raises DisclosureRefused where its guarantee does not hold."""
    rules = attack.rules_of(protected.certificate)
    verdict = attack.attack_table(protected.table, rules, processes=processes)
    _must_hold(verdict)
    return verdict


def write_protected(protected: Protected, directory: Path) -> None:
    """Write the public files and, apart from them, the confidential decisions; a folder there before is replaced.

    Written beside and then moved, so that a killed run leaves the old folder or the new one. Raises UsageRefused where
    the folder holds anything else.
    """
    directory = directory.absolute()
    beside = directory.with_name(f".{directory.name}.new")
    before = directory.with_name(f".{directory.name}.old")
    if before.exists() and not directory.exists():
        before.rename(directory)
    own = {attack.TABLE_FILE, attack.CERTIFICATE_FILE, Path(DECISIONS_FILE).parts[0]}
    if directory.exists() and not (directory.is_dir() and {path.name for path in directory.iterdir()} <= own):
        raise UsageRefused("the folder for the result holds other files", "Give a new folder")
    for left_over in (beside, before):
        shutil.rmtree(left_over, ignore_errors=True)
    (beside / DECISIONS_FILE).parent.mkdir(parents=True, mode=0o700)
    protected.table.write_csv(beside / attack.TABLE_FILE)
    text = json.dumps(protected.certificate, indent=2, ensure_ascii=False)
    (beside / attack.CERTIFICATE_FILE).write_text(text + "\n", "utf-8")
    with os.fdopen(os.open(beside / DECISIONS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        protected.decisions.write_parquet(file)
    if directory.exists():
        directory.rename(before)
    beside.rename(directory)
    shutil.rmtree(before, ignore_errors=True)


def describe(certificate: dict[str, Any]) -> str:
    """The certificate in a few lines, for a terminal."""
    return "\n".join(
        [
            f"cells                {certificate['cells']:>12,}",
            f"unsafe, suppressed   {certificate['primary']:>12,}",
            f"also suppressed      {certificate['secondary']:>12,}",
            f"their sum            {certificate['suppressed_value_sum']:>12,}",
            f"exactly recoverable  {certificate['exactly_recoverable']:>12,}",
            f"provably small       {certificate['provably_small']:>12,}",
            f"seconds              {certificate['seconds']:>12,}",
            f"guarantee            {certificate['rules']['guarantee']:>12}",
        ]
    )


def _suppress_all(blocks: list[Block], spec: Spec, processes: int) -> list[Suppression]:
    """One answer per block; the longest work is started first, and no answer depends on another."""
    work = partial(suppress, rules=spec.rules)
    order = sorted(range(len(blocks)), key=lambda place: -blocks[place].cells.size)
    cells = [blocks[place].cells for place in order]
    if processes > 1 and len(blocks) > 1:
        with ProcessPoolExecutor(min(processes, len(blocks)), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(work, cells))
    else:
        found = [work(each) for each in cells]
    answers = dict(zip(order, found, strict=True))
    return [answers[place] for place in range(len(blocks))]


def _decide(block: Block, answer: Suppression, spec: Spec) -> pl.DataFrame:
    hidden = np.append(answer.hidden, False)[block.merged]
    decision = np.where(block.unsafe_as != SAFE, PRIMARY, np.where(hidden, SECONDARY, PUBLISHED))
    return block.labels(spec.by).with_columns(
        pl.Series(VALUE, block.value), pl.Series("decision", decision), pl.Series("unsafe_as", block.unsafe_as)
    )


def _public_rules(spec: Spec) -> dict[str, Any]:
    """The part of the certificate that an attacker needs to read the table, and so everybody may have."""
    zeros = (
        "that a suppressed count is at least 1, for zeros are published"
        if spec.rules.zeros == "publish"
        else "that zeros are suppressed as small counts are"
    )
    if spec.rules.group_disclosure:
        zeros += " (a suppressed closed count may be 0: a group in which everybody has the gap is hidden too)"
    return {
        "rules": asdict(spec.rules),
        "by": list(spec.by),
        "dimensions": [list(levels) for levels in spec.dimensions],
        "linked": spec.eligible is not None,
        "attacker": f"knows every published cell, how cells add up, that counts are whole, the rules, and {zeros}",
    }


def _figures(decisions: pl.DataFrame, verdict: attack.Verdict) -> dict[str, Any]:
    also = decisions.filter(pl.col("decision") == SECONDARY)
    return {
        "cells": decisions.height,
        "published": int((decisions["decision"] == PUBLISHED).sum()),
        "primary": int((decisions["decision"] == PRIMARY).sum()),
        "secondary": also.height,
        "suppressed_value_sum": int(also[VALUE].sum()),
        "exactly_recoverable": verdict.recovered_unsafe,
        "exactly_recoverable_safe": verdict.recovered_safe,
        "provably_small": verdict.provably_small,
    }


def _must_hold(verdict: attack.Verdict) -> None:
    if not verdict.holds:
        raise DisclosureRefused(
            f"the guarantee {verdict.guarantee} does not hold",
            "Do not publish; report the spec as a fault of the disclosure control",
            table="table.csv",
            count=verdict.recovered_unsafe + verdict.published_unsafe + verdict.provably_small,
        )
