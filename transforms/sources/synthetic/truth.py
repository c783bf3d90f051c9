"""Who has which gap and why, known from what was planned and not from the rows.

The status on the as-of date follows from the plan of each person: who has which illness since when, who misses which
care, how each planned course of events stands. Nothing here reads a row that was drawn.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from transforms.sources.synthetic.block import CLOSED, DECLINED, EXCLUDED, NOTHING, OPEN, Block
from transforms.sources.synthetic.bookings import follow_up_fails
from transforms.sources.synthetic.courses import CHILD_CHECKS, closed_within
from transforms.sources.synthetic.draws import Flags, Places, months_before
from transforms.sources.synthetic.late import recorded_late
from transforms.sources.synthetic.vocabulary import CAUSE

GAP_SCHEMA = {
    "person_id": pl.String(),
    "indicator": pl.String(),
    "status": pl.String(),
    "cause": pl.String(),
    "is_eligible": pl.Boolean(),
    "is_open": pl.Boolean(),
}
"""One row per person and indicator that something is planned for.

`status`: excluded, declined, open or closed on the as-of date; `cause` of the open ones. `is_open` is empty where the
person is not eligible, which is open and closed together.
"""
LEAST_YEARS = 2
"""Years of rows that the longest look-back needs; with fewer there is no truth."""

_GROUPS = (
    ("diabetes_hba1c_missing", "hba1c_high_no_followup", "diabetes_annual_checks_incomplete"),
    ("cvd_ldl_missing", "cvd_statin_missing"),
    ("copd_spirometry_missing", "copd_influenza_vaccine_missing"),
)
"""Gaps of one disease, which count once among several."""
_NOT_AMONG_SEVERAL = ("callback_late",)
"""Requests are no gaps of a person's care."""
_CHRONIC = ("arterial_disease", "copd", "dementia", "diabetes", "heart_failure", "hypertension", "kidney_disease")
_STATUSES = ("not_applicable", "open", "closed", "excluded", "declined")


@dataclass(frozen=True)
class _Planned:
    """One indicator: the state of each person, and the cause of the open ones as places in `CAUSE`."""

    state: Places
    cause: Places


def gap_truth(block: Block, codes: pl.Series) -> pl.DataFrame:
    """What was planned for a block; GAP_SCHEMA. Empty where the rows do not reach back far enough."""
    if block.as_of - block.start < LEAST_YEARS * 365:
        return pl.DataFrame(schema=GAP_SCHEMA)
    plans = _lasting(block) | _courses(block)
    plans["multiple_gaps"] = _several(block, plans)
    return pl.concat(_frame(block, codes, indicator, planned) for indicator, planned in plans.items())


def _counted(block: Block) -> Flags:
    """Persons who are in any count: those who have not objected, and whose data may be processed."""
    counted = np.ones(block.size, dtype=np.bool_)
    for name in ("objection", "processing_restriction"):
        first, last = block.periods[name]
        counted &= ~((first <= block.as_of) & (last >= block.as_of))
    return counted


def _left_out(block: Block, months: int = 12) -> Flags:
    """Persons left out of every indicator: dead, gone, newcomers, the dying."""
    return ~block.is_settled(months) | block.is_in("palliative_care")


def _state(population: Flags, excluded: Flags, is_open: Flags) -> Places:
    state = np.where(is_open, OPEN, CLOSED)
    return np.where(population, np.where(excluded, EXCLUDED, state), NOTHING).astype(np.int32)


def _lasting(block: Block) -> dict[str, _Planned]:
    """Indicators of lasting conditions: who has one, and who misses the care."""
    lacks, out = block.lacks, _left_out(block)
    adult = block.is_aged(18 * 12)
    diabetes = block.is_aged(16 * 12) & (block.onset["diabetes"] <= months_before(block.as_of, 12))
    without_diabetes = out | block.has("diabetes_in_remission")
    arterial = adult & block.is_aged(0, 86 * 12) & block.has("arterial_disease")
    copd = block.is_aged(35 * 12) & block.has("copd")
    psychosis = adult & block.has("psychosis")
    checks = ("hba1c", "blood_pressure", "ldl", "kidneys", "feet", "weight")
    frail = block.is_aged(75 * 12) & (
        block.is_in("home_care") | (np.sum([block.has(name) for name in _CHRONIC], axis=0) >= 2) | block.had_emergency
    )
    cared_for = out | block.is_in("round_the_clock_care")
    no_opioids = out | block.has("cancer") | block.has("intractable_pain")
    opioid = block.courses["opioid"]
    metabolic = [lacks[name] for name in ("weight", "blood_pressure", "glucose", "ldl")]
    states = {
        "diabetes_hba1c_missing": _state(diabetes, without_diabetes, lacks["hba1c"]),
        "diabetes_annual_checks_incomplete": _state(
            diabetes, without_diabetes, np.sum([lacks[name] for name in checks], axis=0) > len(checks) - 4
        ),
        "hypertension_bp_missing": _state(adult & block.has("hypertension"), out, lacks["blood_pressure"]),
        "cvd_ldl_missing": _state(arterial, out, lacks["ldl"]),
        "cvd_statin_missing": _state(arterial, out | block.has("statin_intolerance"), lacks["statin"]),
        "copd_spirometry_missing": _state(copd, out, lacks["spirometry"]),
        "psychosis_metabolic_check_missing": _state(psychosis, out, np.any(metabolic, axis=0)),
        "dementia_medicine_no_review": _state(
            block.is_aged(60 * 12) & block.has("dementia"), out, lacks["memory_review"]
        ),
        "frail_no_contact": _state(frail, cared_for, block.is_out_of_touch),
        "opioid_no_review": _state(
            adult & (opioid.state != NOTHING) & (block.last > block.as_of - 60), no_opioids, opioid.state == OPEN
        ),
    }
    care = {
        "diabetes_hba1c_missing": "hba1c",
        "hypertension_bp_missing": "blood_pressure",
        "cvd_ldl_missing": "ldl",
        "copd_spirometry_missing": "spirometry",
    }
    return {name: _Planned(state, _cause(block, care.get(name))) for name, state in states.items()}


def _cause(block: Block, care: str | None) -> Places:
    """Why each person's care is missing.

    A missed or cancelled appointment is the cause where there is one to be seen, late recording where there is care
    that will come; otherwise nobody invited the person.
    """
    missed, cancelled = follow_up_fails(block)
    seen = (missed & (block.causes == CAUSE["no_show"])) | cancelled | (block.causes == CAUSE["moved"])
    if care is None:
        return np.where(block.causes == CAUSE["moved"], block.causes, CAUSE["never_invited"]).astype(np.int32)
    seen |= recorded_late(block, care)
    return np.where(seen, block.causes, CAUSE["never_invited"]).astype(np.int32)


def _courses(block: Block) -> dict[str, _Planned]:
    """Indicators of courses of events."""
    out, never_invited = _left_out(block), np.full(block.size, CAUSE["never_invited"], dtype=np.int32)
    courses = block.courses

    def planned(name: str, population: Flags, excluded: Flags, is_open: Flags, cause: str) -> dict[str, _Planned]:
        return {name: _Planned(_state(population, excluded, is_open), np.full_like(never_invited, CAUSE[cause]))}

    high, no_shows, cancelled = courses["hba1c_high"], courses["no_shows"], courses["cancelled"]
    remission = out | block.has("diabetes_in_remission")
    found = planned(
        "hba1c_high_no_followup",
        block.is_aged(16 * 12) & (high.state != NOTHING),
        remission,
        high.state == OPEN,
        "never_invited",
    )
    found |= planned("no_show_not_rebooked", no_shows.state != NOTHING, out, no_shows.state == OPEN, "no_show")
    called_off = follow_up_fails(block)[1] & (block.causes == CAUSE["cancelled_by_provider"])
    found |= planned(
        "provider_cancelled_not_rebooked",
        (cancelled.state != NOTHING) | called_off,
        out | (cancelled.state == EXCLUDED),
        (cancelled.state == OPEN) | called_off,
        "cancelled_by_provider",
    )
    late = (courses["late_answer"].state == OPEN) & (courses["late_answer"].day > months_before(block.as_of, 12))
    found |= planned("callback_late", late, ~block.is_here, late, "answered_late")
    for name, indicator, days in (
        ("depression", "depression_no_followup", 56),
        ("substance_use", "substance_use_no_followup", 30),
    ):
        onset = block.onset[name]
        new = (onset > months_before(block.as_of, 12)) & (onset <= block.as_of - days)
        if name == "substance_use":
            new &= block.is_aged(16 * 12)
        excluded = out | (block.is_in("specialist_care") & (name == "depression"))
        found |= planned(
            indicator, new, excluded, (courses[name].state == OPEN) | block.is_out_of_touch, "never_invited"
        )
    return found | _children(block) | {"copd_influenza_vaccine_missing": _influenza(block, out)}


def _children(block: Block) -> dict[str, _Planned]:
    mmr = block.courses["mmr"].state
    out = _left_out(block, 6) | (mmr == EXCLUDED)
    state = _state(block.is_aged(24, 36), out, mmr == OPEN)
    state[(state == CLOSED) & (mmr == DECLINED)] = DECLINED
    population, missed = np.zeros(block.size, dtype=np.bool_), np.zeros(block.size, dtype=np.bool_)
    for name in CHILD_CHECKS:
        due = closed_within(block, name)
        population |= due
        missed |= due & (block.courses[name].state != CLOSED)
    cause = _cause(block, None)
    return {
        "mmr_missing_at_two": _Planned(state, cause),
        "child_health_check_missed": _Planned(_state(population, _left_out(block), missed), cause),
    }


def _influenza(block: Block, out: Flags) -> _Planned:
    course = block.courses["influenza"].state
    state = _state(block.is_aged(35 * 12) & block.has("copd"), out, course != CLOSED)
    state[(state == OPEN) & (course == DECLINED)] = DECLINED
    return _Planned(state, _cause(block, None))


def _several(block: Block, plans: dict[str, _Planned]) -> _Planned:
    """At least two open gaps, those of one disease counted once, of whoever is eligible for one."""
    counted = {name: planned for name, planned in plans.items() if name not in _NOT_AMONG_SEVERAL}
    grouped = {name for group in _GROUPS for name in group}
    groups = [*_GROUPS, *((name,) for name in counted if name not in grouped)]
    gaps = np.sum([np.any([counted[name].state == OPEN for name in group], axis=0) for group in groups], axis=0)
    eligible = np.any([np.isin(planned.state, (OPEN, CLOSED)) for planned in counted.values()], axis=0)
    return _Planned(_state(eligible, np.zeros(block.size, dtype=np.bool_), gaps >= 2), _cause(block, None))


def _frame(block: Block, codes: pl.Series, indicator: str, planned: _Planned) -> pl.DataFrame:
    place = np.flatnonzero((planned.state != NOTHING) & _counted(block))
    state = planned.state[place]
    status = pl.Series(_STATUSES, dtype=pl.String).gather(state)
    causes = CAUSE.frame["cause"].gather(np.where(state == OPEN, planned.cause[place], CAUSE[""]))
    eligible = np.isin(state, (OPEN, CLOSED))
    return pl.DataFrame(
        {
            "person_id": codes.gather(place),
            "indicator": pl.Series([indicator], dtype=pl.String).new_from_index(0, len(place)),
            "status": status,
            "cause": causes,
            "is_eligible": eligible,
        }
    ).with_columns(is_open=pl.when("is_eligible").then(pl.col("status") == "open"))
