"""Disclosure control of a count table: from inner cells to what may be published, with proof."""

import io
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from schemas.errors import DisclosureRefused, UsageRefused
from transforms.pool import Spread, pool
from transforms.release import attack, perturb, published
from transforms.release.harm import Outcome, costs_in_words, costs_of, figures_of, harm_of, outcome
from transforms.release.ledger import Record, earlier_tables
from transforms.release.linear import Amounts
from transforms.release.link import Group, Parts, Populations, link, parts, populations
from transforms.release.optimum import WORK, Harm, least_harm
from transforms.release.outer import Inner, above_inner, accompanied, below_outer, inner_cells, room_for_inner
from transforms.release.spec import STATUS, VALUE, Spec
from transforms.release.suppress import Suppression, accompany, suppress
from transforms.release.tables import SAFE, Block, Merged, Whole, build_blocks
from transforms.release.witnesses import verify_witnesses

PUBLISHED, PRIMARY, SECONDARY = "published", "primary", "secondary"
SUPPRESSED = "suppressed"
FEW = 100
"""So many suppressed cells a table are enough that their exact number and sum tell nothing of any of them."""
CHUNK = 256
"""Witnesses that are spread out over the cells of the table at a time."""
CONFIDENTIAL = "confidential"
FIGURES_FILE = f"{CONFIDENTIAL}/figures.json"
DECISIONS_FILE, WITNESSES_FILE = f"{CONFIDENTIAL}/decisions.parquet", f"{CONFIDENTIAL}/witnesses.parquet"


Key = tuple[str, ...]


class ToldRefused(DisclosureRefused):
    """What is out already tells unsafe cells, whatever is hidden now.

    `cells` has one row per such cell, with its labels and never its count; it is as confidential as the counts and
    does not leave with the message.
    """

    cells: pl.DataFrame = pl.DataFrame()


@dataclass(frozen=True)
class Protected:
    """A protected table.

    `table` has one row per cell and is public: labels, `value` (null where suppressed) and `status`, the same for
    every reason. `certificate` is public too. `decisions` is confidential: one row per cell with its count, its
    `decision` and `unsafe_as`. So are the `witnesses`, changes of the true table that show that the guarantee holds:
    one row per `witness` and `cell` (its row in the table, from 0) with its `change`; and the `figures`, exact where
    the certificate withholds them. Where every count is changed instead, there are no witnesses.
    """

    table: pl.DataFrame
    certificate: dict[str, Any]
    decisions: pl.DataFrame
    figures: dict[str, Any]
    witnesses: pl.DataFrame | None = None


def protect_counts(
    counts: pl.DataFrame,
    spec: Spec,
    processes: int = 1,
    earlier: Sequence[Record] = (),
    secret: bytes | None = None,
) -> Protected:
    """Protect a table of inner cells; one row per inner cell. The result is the same for any number of processes.

    `earlier` are the releases of the same cells, the earliest first: what they told is known, what they hid stays
    hidden, and their unsafe cells stay protected. The spec may ask for another method, which changes every count;
    cell keys need a `secret`. Raises UsageRefused or DisclosureRefused where the counts are no such
    table, and DisclosureRefused where nothing is left to publish, where earlier releases and this one together tell an
    unsafe cell whatever is hidden, or where the auditor finds the guarantee broken.
    """
    if spec.method is not None:
        if earlier:
            raise UsageRefused("earlier releases of the date were suppressed", "Keep to suppression, or to a new date")
        return Protected(*perturb.perturb_counts(counts, spec, spec.method, secret))
    with pool(processes) as spread:
        return _suppressed(counts, spec, earlier, spread)


def _suppressed(counts: pl.DataFrame, spec: Spec, earlier: Sequence[Record], spread: Spread) -> Protected:
    began = time.monotonic()
    blocks = build_blocks(counts, spec)
    same, sums = populations(blocks, spec), parts(blocks, spec)
    groups = link(blocks, spec, same, sums, earlier_tables(earlier, spec))
    inner = inner_cells(groups, blocks, spec)
    answers, outcomes = _suppress_all(groups, inner, blocks, spec, spread)
    if any(answer.bare.any() for answer in answers):
        cause = "what was published before tells" if earlier else "tables that lie within each other tell"
        raise _told(groups, answers, blocks, spec, cause)
    of_block = {
        place: (merged, answer)
        for group, answer in zip(groups, answers, strict=True)
        for place, merged in zip(group.blocks, group.merged, strict=True)
    }
    decisions = pl.concat(_decide(block, *of_block[place], spec) for place, block in enumerate(blocks))
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
    rules = _public_rules(spec, {block.key for block in blocks}, same, sums, len(earlier))
    before = [(each.table, each.rules) for each in earlier]
    truth = [*(each.cells[VALUE] for each in earlier), decisions[VALUE]]
    verdict = attack.attack_tables(
        [*before, (table, published.rules_of(rules))],
        present=[values >= 1 for values in truth] if spec.self_contribution else None,
        spread=spread,
    )
    figures = _figures(decisions, verdict)
    figures |= figures_of(outcomes, figures["secondary"], figures["suppressed_value_sum"], spec)
    figures |= {"seconds": round(time.monotonic() - began, 2)}
    certificate = rules | figures | _withheld(figures, len(blocks))
    start = np.cumsum([0, *(len(block.value) for block in blocks)])
    witnesses = _witnesses(groups, inner, answers, start)
    _must_hold(verdict)
    verify_witnesses(table, published.rules_of(rules), decisions, witnesses)
    return Protected(table, certificate, decisions, figures, witnesses)


def verify(protected: Protected) -> attack.Verdict:
    """Attack a protected table from what is public. Raises DisclosureRefused where its guarantee does not hold."""
    rules = published.rules_of(protected.certificate)
    verdict = attack.attack_table(protected.table, rules)
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
    own = {published.TABLE_FILE, published.CERTIFICATE_FILE, CONFIDENTIAL}
    if directory.exists() and not (directory.is_dir() and {path.name for path in directory.iterdir()} <= own):
        raise UsageRefused("the folder for the result holds other files", "Give a new folder")
    for left_over in (beside, before):
        shutil.rmtree(left_over, ignore_errors=True)
    (beside / DECISIONS_FILE).parent.mkdir(parents=True, mode=0o700)
    protected.table.write_csv(beside / published.TABLE_FILE)
    text = json.dumps(protected.certificate, indent=2, ensure_ascii=False)
    (beside / published.CERTIFICATE_FILE).write_text(text + "\n", "utf-8")
    for name, content in confidential_files(protected).items():
        path = beside / CONFIDENTIAL / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    if directory.exists():
        directory.rename(before)
    beside.rename(directory)
    shutil.rmtree(before, ignore_errors=True)


def confidential_files(protected: Protected) -> dict[str, bytes]:
    """What stays with whoever made the table: the decision on each cell, the witnesses and the exact figures."""
    files = {}
    for name, frame in ((DECISIONS_FILE, protected.decisions), (WITNESSES_FILE, protected.witnesses)):
        if frame is None:
            continue
        parquet = io.BytesIO()
        frame.write_parquet(parquet)
        files[Path(name).name] = parquet.getvalue()
    return files | {Path(FIGURES_FILE).name: (json.dumps(protected.figures, indent=2) + "\n").encode()}


def describe(figures: dict[str, Any]) -> str:
    """The figures, exact or as the certificate has them, in a few lines for a terminal."""
    if "method" in figures:
        return perturb.describe(figures)
    lines = {
        "cells": "cells",
        "unsafe, suppressed": "primary",
        "also suppressed": "secondary",
        "their sum": "suppressed_value_sum",
        "exactly recoverable": "exactly_recoverable",
        "provably small": "provably_small",
        "seconds": "seconds",
    }
    shown = [f"{words:<20} {_shown(figures[name]):>12}{_distance(figures, name)}" for words, name in lines.items()]
    if figures["proven_optimal"] is not None:
        best, of = figures["proven_optimal"]["tables"], figures["proven_optimal"]["of"]
        shown.append(f"{'proven least costly':<20} {best:>12,} of {of:,} tables")
    return "\n".join(shown)


def _shown(figure: float | None) -> str:
    return "withheld" if figure is None else f"{figure:,}"


def _distance(figures: dict[str, Any], name: str) -> str:
    """How far a figure is from the least possible, where that is known and may be said."""
    if figures["lower_bound"] is None or name not in figures["lower_bound"]:
        return ""
    least, gap = figures["lower_bound"][name], figures["optimality_gap"][name]
    return f"  at least {least:,} whatever is chosen; {gap:.1%} at most could be spared"


def _suppress_all(
    groups: list[Group], inner: list[Inner], blocks: list[Block], spec: Spec, spread: Spread
) -> tuple[list[Suppression], list[Outcome]]:
    """One answer per group, and one outcome where none of its cells is told already. Outer groups come first; the
    longest work is started first, and no answer but those of outer groups matters for another.
    """
    order = sorted(range(len(groups)), key=lambda place: -groups[place].cells.size)
    outer, found = {each.outer for each in inner}, dict[int, tuple[Suppression, Outcome | None]]()
    for is_outer in (True, False):
        places, jobs = [place for place in order if (place in outer) == is_outer], []
        raised = {place: answer.companion for place, (answer, _) in found.items()}
        for place in places:
            held = (above_inner if is_outer else partial(below_outer, raised=raised))(groups, inner, place)
            costs = costs_of(groups[place], blocks, spec)
            harm, least = harm_of(groups[place], blocks, costs), room_for_inner(groups, inner, place, spec)
            jobs.append(_Job(groups[place].cells, held, costs, harm, least))
        found |= dict(zip(places, spread(partial(_answer, spec=spec), jobs), strict=True))
    answers = [found[place] for place in range(len(groups))]
    return [answer for answer, _ in answers], [each for _, each in answers if each is not None]


@dataclass(frozen=True)
class _Job:
    """A group to protect: its cells, the same `held` by other tables, and what each must reach at `least` for those."""

    cells: Merged
    held: Merged
    costs: Amounts
    harm: Harm
    least: Whole


def _answer(job: _Job, spec: Spec) -> tuple[Suppression, Outcome | None]:
    """What to hide in a group and how far that is from the least possible; the least possible itself where known.

    The bound is that of the group by itself: other tables can only make it harder to protect.
    """
    answer = suppress(job.held, spec.rules, spec.safe_from, job.costs)
    if answer.bare.any():
        return answer, None
    least = least_harm(job.cells, spec.rules, spec.safe_from, job.harm, WORK[spec.bound])
    mine = outcome(answer.hidden, job.harm, least)
    better = None if mine.is_best else least.witnesses
    if least.best is not None and better is not None and _is_within(better, job.held):
        answer = replace(answer, hidden=least.best, witnesses=better)
    answer = accompany(answer, job.held, job.least, job.costs)
    mine = outcome(answer.hidden, job.harm, least)
    return answer, replace(mine, least=replace(least, best=None, witnesses=None))


def _is_within(changes: Whole, cells: Merged) -> bool:
    return bool(((changes <= cells.up) & (-changes <= cells.down)).all())


def _decide(block: Block, merged: Whole, answer: Suppression, spec: Spec) -> pl.DataFrame:
    hidden = np.append(answer.hidden, False)[merged]
    decision = np.where(block.unsafe_as != SAFE, PRIMARY, np.where(hidden, SECONDARY, PUBLISHED))
    return block.labels(spec.by).with_columns(
        pl.Series(VALUE, block.value), pl.Series("decision", decision), pl.Series("unsafe_as", block.unsafe_as)
    )


def _witnesses(groups: list[Group], inner: list[Inner], answers: list[Suppression], start: Whole) -> pl.DataFrame:
    """Every witness of every group, with the companions that it needs, over the cells of the table; only what it
    changes.
    """
    none = np.zeros(0, np.int64)
    witness, cell, change, first = [none], [none], [none], 0

    def add(group: Group, some: Whole, numbers: Whole) -> None:
        some = np.column_stack([some, np.zeros(len(some), np.int64)])
        for place, merged in zip(group.blocks, group.merged, strict=True):
            number, row = np.nonzero(some[:, merged])
            witness.append(numbers[number])
            cell.append(row + start[place])
            change.append(some[number, merged[row]])

    for number, (group, answer) in enumerate(zip(groups, answers, strict=True)):
        for at in range(0, len(answer.witnesses), CHUNK):
            some = answer.witnesses[at : at + CHUNK]
            numbers = np.arange(len(some)) + first + at
            add(group, some, numbers)
            for outer, which in accompanied(groups, inner, number, some).items():
                companions = np.tile(answers[outer].companion, (int(which.sum()), 1))
                add(groups[outer], companions, numbers[which])
        first += len(answer.witnesses)
    columns = {"witness": (witness, pl.UInt32), "cell": (cell, pl.UInt32), "change": (change, pl.Int64)}
    frame = pl.DataFrame({name: pl.Series(np.concatenate(part), dtype=kind) for name, (part, kind) in columns.items()})
    return frame.sort("witness", "cell")


def _told(groups: list[Group], answers: list[Suppression], blocks: list[Block], spec: Spec, cause: str) -> ToldRefused:
    """Says of which `by` values cells would be told, and how many; which they are stays with the counts."""
    told = [
        blocks[place].labels(spec.by).filter(pl.Series(np.append(answer.bare, False)[merged]))
        for group, answer in zip(groups, answers, strict=True)
        for place, merged in zip(group.blocks, group.merged, strict=True)
    ]
    cells = pl.concat(told)
    where = sorted(" ".join(key) for key in cells.select(spec.by).unique().rows()) if spec.by else []
    names = f" in {', '.join(spec.by)} {'; '.join(where)}" if where else ""
    refused = ToldRefused(
        f"{cause} unsafe cells{names}, whatever is hidden now",
        "Keep to the levels and the cells of the earlier release, or leave these values out",
        table="counts",
        count=cells.height,
    )
    refused.cells = cells
    return refused


def _public_rules(spec: Spec, keys: set[Key], same: Populations, sums: Parts, earlier: int) -> dict[str, Any]:
    """The part of the certificate that an attacker needs to read the table, and so everybody may have."""
    zeros = (
        "that a suppressed count is at least 1, for zeros are published"
        if spec.rules.zeros == "publish"
        else "that zeros are suppressed as small counts are"
    )
    if spec.rules.group_disclosure:
        zeros += " (a suppressed closed count may be 0: a group in which everybody has the gap is hidden too)"
    if spec.public_eligible:
        zeros += ", how many are eligible everywhere"
    if spec.self_contribution:
        zeros += ", and that he himself is counted"
    return {
        "rules": asdict(spec.rules)
        | {"self_contribution": spec.self_contribution, "public_eligible": spec.public_eligible},
        "by": list(spec.by),
        "dimensions": [list(levels) for levels in spec.dimensions],
        "linked": spec.eligible is not None,
        "populations": [[list(key) for key in keys] for keys in same],
        "nested": [[list(part), list(whole)] for part, whole in spec.nested if {part, whole} <= keys],
        "parts": [{"whole": list(whole), "parts": [list(key) for key in of], "measures": m} for whole, of, m in sums],
        "earlier_releases": earlier,
        "costs": costs_in_words(spec),
        "attacker": "knows every published cell, how cells add up, which tables count the same people, or some of "
        "the people of others, all earlier "
        "releases of the date and which of their inner counts were corrected, that counts are whole, the rules, and "
        + zeros,
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


def _withheld(figures: dict[str, Any], tables: int) -> dict[str, Any]:
    """What the public is not told of few suppressed cells: how many of them, and how much, would be one more sum.

    Few a table: of many tables with few each, a sum that is the least possible is so in every one of them.
    """
    if not 0 < figures["primary"] + figures["secondary"] < FEW * tables:
        return {}
    names = "primary", "secondary", "suppressed_value_sum", "cost", "lower_bound", "optimality_gap", "proven_optimal"
    note = f"{', '.join(names[:-1])} and {names[-1]} are withheld where fewer than {FEW} cells a table are suppressed"
    return dict.fromkeys(names) | {"note": note}


def _must_hold(verdict: attack.Verdict) -> None:
    if not verdict.holds:
        raise DisclosureRefused(
            f"the guarantee {verdict.guarantee} does not hold",
            "Do not publish; keep to the levels and cells of earlier releases, or report the spec as a fault",
            table="table.csv",
            count=verdict.broken,
        )
