"""A draft of an indicator: checked by the project's own parser, counted on generated people, protected, and saved."""

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import polars as pl

from flows.counted import BY, DIMENSIONS, inner_cells
from notebooks.parts.figures import FIGURE_SCHEMA, TOTAL, figured
from notebooks.parts.practice import Practice
from schemas import indicators as definitions
from schemas.errors import Refusal, UsageRefused
from schemas.indicators import SHARED_EXCLUSIONS, Indicator, load_indicators
from schemas.policy import Disclosure
from transforms.analysis.cases import Outcome, possible_statuses, read_cases, run_cases
from transforms.analysis.counts import counts, margins, statuses_at
from transforms.analysis.evaluation import evaluate
from transforms.release.protect import PRIMARY, PUBLISHED, SECONDARY, protect_counts
from transforms.release.spec import Spec

INDICATORS = Path(definitions.__file__).parent
CASES = INDICATORS.parent.parent / "tests" / "indicators"
"""Where definitions and their cases lie."""


@dataclass(frozen=True)
class Counted:
    """A draft counted on a practice city. `people`: one row per status and reason. `figures`: FIGURE_SCHEMA."""

    people: pl.DataFrame
    figures: pl.DataFrame
    cells: pl.DataFrame


@dataclass(frozen=True)
class Suppression:
    """What protecting the counts of a draft would hide, in cells: groups of people times gap, closed and eligible.

    `by_level` has one row per kind of area and says whether a cell is also cut by sex or age, `by_district` one row per
    district: cells, `unsafe` ones, those `also` hidden so that the unsafe ones cannot be worked back, and the share.
    """

    cells: int
    unsafe: int
    also: int
    exact: int
    by_level: pl.DataFrame
    by_district: pl.DataFrame


def read_draft(text: str, folder: Path = INDICATORS) -> Indicator:
    """Read a draft as if its file stood beside the indicators of `folder`, in the place of one of its id.

    Raises UsageRefused with the file, the clause and the mend, exactly as `caregap indicators check` does.
    """
    name = _id_of(text)
    with TemporaryDirectory(prefix="draft-") as beside:
        for path in folder.glob("*.toml"):
            shutil.copyfile(path, Path(beside) / path.name)
        (Path(beside) / f"{name}.toml").write_text(text, "utf-8")
        return load_indicators(Path(beside))[name]


def count_draft(indicator: Indicator, city: Practice, age_band_starts: tuple[int, ...]) -> Counted:
    """Count a draft on a practice city at its date. Raises UsageRefused where the definition cannot be evaluated."""
    statuses = evaluate(city.files, [indicator], [city.as_of], age_band_starts, city.areas)
    of_persons = statuses_at(statuses, indicator.id, city.as_of, for_outreach=False)
    people = of_persons.group_by("status", "reason").agg(persons=pl.len().cast(pl.Int64))
    found = counts(statuses)
    rows = margins(found, city.areas).rename({"open": "gap"})
    return Counted(
        people.sort("persons", "status", "reason", descending=True),
        figured(rows, city.areas) if rows.height else pl.DataFrame(schema=FIGURE_SCHEMA),
        inner_cells(found, city.areas),
    )


def told(indicator: Indicator, people: pl.DataFrame, language: str) -> pl.DataFrame:
    """The statuses of a draft in words, with persons and their share of the population, in the order of the definition.

    The population are all but those to whom the draft does not apply.
    """
    labels = {exclusion.reason: exclusion.label[language] for exclusion in indicator.exclusions}
    rows = {(status, reason): persons for status, reason, persons in people.iter_rows()}
    population = sum(persons for (status, _), persons in rows.items() if status != "not_applicable")
    order = [("not_applicable", None), *(("excluded", reason) for reason in labels), ("declined", None)]
    order += [("closed", None), ("open", None)]
    words = [(status, labels.get(reason or "", ""), rows.get((status, reason), 0)) for status, reason in order]
    if indicator.declined is None:
        words = [word for word in words if word[0] != "declined"]
    shares = [
        None if status == "not_applicable" or not population else round(100 * persons / population, 1)
        for status, _, persons in words
    ]
    return pl.DataFrame(
        words, schema={"Status": pl.String, "Reason": pl.String, "Persons": pl.Int64}, orient="row"
    ).with_columns(pl.Series("% of the population", shares, dtype=pl.Float64))


def suppression(cells: pl.DataFrame, rules: Disclosure) -> Suppression:
    """Protect the counts of a draft as a release would and tell what that hides.

    Raises DisclosureRefused where nothing would be left to publish.
    """
    spec = Spec(count="gap", eligible="eligible", by=BY, dimensions=DIMENSIONS, rules=rules)
    protected = protect_counts(cells, spec)
    decided = protected.decisions.filter(~((pl.col("major") == "unknown") & (pl.col("district") == TOTAL)))
    level = (
        pl.when(pl.col("district") != TOTAL).then(pl.lit("district"))
        .when(pl.col("major") != TOTAL).then(pl.lit("major district"))
        .otherwise(pl.lit("city"))
    )  # fmt: skip
    by_sex, by_age = (
        pl.when(pl.col(name) != TOTAL).then(pl.lit(words)).otherwise(pl.lit(""))
        for name, words in (("sex", ", by sex"), ("age_band", ", by age"))
    )
    by = pl.concat_str(pl.lit("all"), by_sex, by_age)
    tallied = decided.with_columns(area=level, people=by)
    districts = tallied.filter(pl.col("district") != TOTAL).rename({"district": "area_code"})
    hidden = decided.filter(pl.col("decision") != PUBLISHED)
    return Suppression(
        cells=decided.height,
        unsafe=decided.filter(pl.col("decision") == PRIMARY).height,
        also=hidden.height - decided.filter(pl.col("decision") == PRIMARY).height,
        exact=int(protected.figures["exactly_recoverable"]),
        by_level=_tally(tallied, ["area", "people"]),
        by_district=_tally(districts, ["area_code"]),
    )


def check_cases(indicator: Indicator, text: str) -> tuple[list[Outcome], list[str]]:
    """Run the cases of a draft: an outcome for each, and the statuses that no case reaches. Raises UsageRefused."""
    cases = read_cases(f"tests/{indicator.id}.toml", text)
    with TemporaryDirectory(prefix="cases-") as folder:
        outcomes = run_cases(indicator, cases, Path(folder))
    reached = {case.expect for case in cases}
    return outcomes, [status for status in possible_statuses(indicator) if status not in reached]


def save_draft(
    text: str, cases: str, *, replace: bool, folder: Path = INDICATORS, cases_folder: Path = CASES
) -> tuple[Path, Path]:
    """Write a definition and its cases to where the project reads them, beside and then in place; where they are.

    Raises UsageRefused, before anything is written, where the definition is not valid, a case does not have the status
    that it expects or no case reaches a status; where one of the files is there already and `replace` is false; and
    where the meaning of an indicator changes under the version that it had.
    """
    indicator = read_draft(text, folder)
    outcomes, unreached = check_cases(indicator, cases)
    if wrong := [outcome for outcome in outcomes if not outcome.holds]:
        raise UsageRefused(
            "cases do not have the status that they expect", "Correct the definition or the cases", count=len(wrong)
        )
    if unreached:
        raise UsageRefused("no case reaches a status that a person can have", f"Add one with expect {unreached[0]}")
    targets = {folder / f"{indicator.id}.toml": text, cases_folder / f"{indicator.id}.toml": cases}
    if not replace and any(path.exists() for path in targets):
        raise UsageRefused("an indicator of this id is there already", "Tick that it may be replaced, or change the id")
    if (folder / f"{indicator.id}.toml").exists():
        _must_have_new_version(indicator, load_indicators(folder)[indicator.id])
    if not all(path.parent.is_dir() for path in targets):
        raise UsageRefused("the folders of the definitions are not there", "Work in a checkout of the project")
    beside = {path.with_name(f".{path.name}.{uuid4().hex[:8]}"): path for path in targets}
    for new, path in beside.items():
        new.write_text(targets[path].rstrip() + "\n", "utf-8")
    for new, path in beside.items():
        new.replace(path)
    return tuple(targets)  # type: ignore[return-value]


def in_words(refusal: Refusal) -> Mapping[str, str]:
    """A refusal as its parts: where, what is wrong, and the mend."""
    where = ": ".join(part for part in (refusal.table, refusal.column) if part)
    count = f" ({refusal.count})" if refusal.count is not None else ""
    return {"where": where or "the draft", "what": f"{refusal.rule}{count}", "mend": refusal.next_step}


def example(name: str) -> tuple[str, str]:
    """The definition and the cases of an indicator that is there, to begin a draft with; the cases may be missing."""
    cases = CASES / f"{name}.toml"
    return (INDICATORS / f"{name}.toml").read_text("utf-8"), cases.read_text("utf-8") if cases.exists() else ""


def _id_of(text: str) -> str:
    """The id that a draft gives itself; a stand-in where it gives none that a file can be named by."""
    try:
        name = tomllib.loads(text).get("id")
    except tomllib.TOMLDecodeError:
        name = None
    is_name = isinstance(name, str) and name.isidentifier() and name.islower() and name.isascii()
    return str(name) if is_name and f"{name}.toml" != SHARED_EXCLUSIONS else "draft"


def _must_have_new_version(new: Indicator, old: Indicator) -> None:
    def meaning(one: Indicator) -> object:
        reasons = [(exclusion.reason, exclusion.when) for exclusion in one.exclusions]
        return one.population, one.closed, reasons, one.declined, one.grace, one.parts, one.deadlines, one.components

    changed = meaning(new) != meaning(old)
    if new.version < old.version or (changed and new.version == old.version):
        raise UsageRefused(
            "the meaning changes under the version that it had",
            f"Raise version above {old.version}",
            table=f"{new.id}.toml",
            column="version",
        )


def _tally(decided: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    unsafe, also = pl.col("decision") == PRIMARY, pl.col("decision") == SECONDARY
    return (
        decided.group_by(by, maintain_order=True)
        .agg(cells=pl.len().cast(pl.Int64), unsafe=unsafe.sum().cast(pl.Int64), also=also.sum().cast(pl.Int64))
        .with_columns(hidden_share=(pl.col("unsafe") + pl.col("also")) / pl.col("cells"))
    )
