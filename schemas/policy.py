"""The data steward's policy, read and checked."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from schemas.channels import Channel, read_channels
from schemas.errors import PolicyRefused
from schemas.inventory import Approval, check_assessments, read_inventory
from schemas.residency import Residency, read_residency
from schemas.stewards import Steward, read_required, read_stewards
from schemas.tables import TABLES

Resolution = Literal["day", "month", "quarter", "year", "band"]
EventResolution = Literal["day", "week", "month"]
KEEP_DAYS = ("person", "residence", "restriction")
"""Tables whose dates decide where somebody lives and which rights hold on a day; they are not made coarser."""
POLICY_FILE = files("schemas").joinpath("policy.toml")


@dataclass(frozen=True)
class Disclosure:
    """Rules of disclosure control for our own releases; the words of a `caregap protect` spec's `[rules]`."""

    threshold: int
    zeros: Literal["publish", "protect"]
    group_disclosure: bool
    guarantee: Literal["not_exact", "not_small"]
    effort: Literal["quick", "normal", "thorough"]


@dataclass(frozen=True)
class SinglingOut:
    """The share of persons in groups below `group_size` at which a run stops, in sources of at least `from_persons`."""

    group_size: int
    limit: float
    from_persons: int


@dataclass(frozen=True)
class SourcePolicy:
    """Terms for one kind of source; `approvals` says how many signatures of which roles a release from it needs."""

    region: str
    identifier: Literal["hetu", "opaque"]
    generated: bool
    approvals: Mapping[str, int]
    birth_date: Resolution


@dataclass(frozen=True)
class QualityPages:
    """What the quality pages show: a district's share where it hides at least `least_persons`; the trend's length."""

    least_persons: int
    trend_runs: int


@dataclass(frozen=True)
class Policy:
    """policy.toml as checked values; `version` is the SHA-256 of its text."""

    version: str
    disclosure: Disclosure
    age_band_starts: tuple[int, ...]
    event_dates: Mapping[str, EventResolution]
    singling_out: SinglingOut
    lake_days: int
    quarantine_days: int
    residency: Residency
    purpose: str
    legal_basis: str
    sources: dict[str, SourcePolicy]
    inventory: Mapping[str, Mapping[str, Approval]]
    stewards: tuple[Steward, ...]
    channels: tuple[Channel, ...]
    quality_pages: QualityPages

    @property
    def age_bands(self) -> tuple[str, ...]:
        """Labels of the bands: "0-17", ..., "75-"."""
        starts = self.age_band_starts
        ends = [f"{after - 1}" for after in starts[1:]] + [""]
        return tuple(f"{start}-{end}" for start, end in zip(starts, ends, strict=True))

    @property
    def assessment(self) -> str:
        """References of the impact assessments that the inventory rests on."""
        approvals = (approval for columns in self.inventory.values() for approval in columns.values())
        return ", ".join(sorted({approval.assessment.reference for approval in approvals}))

    def source(self, kind: str) -> SourcePolicy:
        """Terms of a kind of source; PolicyRefused where the steward has not named it."""
        if kind not in self.sources:
            raise PolicyRefused("the source is not named in policy.toml", f"Add [source.{kind}] to it")
        return self.sources[kind]

    def in_force(self, today: date, *, crossing: bool = False) -> "Policy":
        """The policy, where what it says holds today.

        Raises PolicyRefused where a place lies outside the EU/EEA without an exception that holds, and, where data
        are about to cross the boundary, BoundaryRefused where an impact assessment has run out.
        """
        self.residency.check(today)
        if crossing:
            check_assessments(self.inventory, today)
        return self


def load_policy(path: Path | None = None) -> Policy:
    """Read policy.toml, the project's own by default. Raises PolicyRefused with the section and the mend."""
    text = (path or POLICY_FILE).read_text("utf-8")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raw = None
    if raw is None:
        raise PolicyRefused("policy.toml is not valid TOML", "Correct it; a TOML checker names the line")
    return _policy(raw, hashlib.sha256(text.encode()).hexdigest())


def _policy(raw: dict[str, Any], version: str) -> Policy:
    rules, generalise = _section(raw, "disclosure"), _section(raw, "generalise")
    starts = tuple(_section(raw, "age_bands").get("starts", ()))
    if not starts or starts[0] != 0 or list(starts) != sorted(set(starts)):
        raise PolicyRefused("policy.toml: age_bands.starts must begin with 0 and rise", "Correct it")
    inventory, groups = read_inventory(raw), raw["inventory"]
    return Policy(
        version=version,
        disclosure=Disclosure(
            threshold=_whole(rules, "threshold", 2),
            zeros=_one_of(rules, "zeros", ("publish", "protect")),
            group_disclosure=_one_of(rules, "group_disclosure", (True, False)),
            guarantee=_one_of(rules, "guarantee", ("not_exact", "not_small")),
            effort=_one_of(rules, "effort", ("quick", "normal", "thorough")),
        ),
        age_band_starts=starts,
        event_dates=_event_dates(generalise),
        singling_out=_singling_out(_section(raw, "singling_out")),
        lake_days=_whole(_section(raw, "retention"), "lake_days", 0),
        quarantine_days=_whole(_section(raw, "retention"), "quarantine_days", 1),
        residency=read_residency(raw),
        purpose=raw["purposes"][groups[0]["purpose"]],
        legal_basis=raw["legal_bases"][groups[0]["legal_basis"]],
        sources=_sources(_section(raw, "source"), generalise),
        inventory=inventory,
        stewards=read_stewards(raw),
        channels=read_channels(raw),
        quality_pages=_quality_pages(_section(raw, "quality_pages")),
    )


def _sources(section: dict[str, Any], generalise: dict[str, Any]) -> dict[str, SourcePolicy]:
    resolutions = ("day", "month", "quarter", "year", "band")
    default = _one_of(generalise, "birth_date", resolutions)
    sources = {}
    for kind, terms in section.items():
        generated = _one_of(terms, "generated", (True, False))
        sources[kind] = SourcePolicy(
            region=terms["region"],
            identifier=_one_of(terms, "identifier", ("hetu", "opaque")),
            generated=generated,
            approvals=read_required(terms.get("approvals"), kind, generated=generated),
            birth_date=_one_of(terms, "birth_date", resolutions if generated else (default,), default),
        )
    return sources


def _event_dates(section: dict[str, Any]) -> dict[str, EventResolution]:
    """Resolution of each table whose dates may be made coarser."""
    resolutions, named = ("day", "week", "month"), section.get("event_dates", {})
    overall = _one_of(section, "event_date", resolutions)
    tables = [name for name in TABLES if name not in KEEP_DAYS]
    for table in named:
        if table not in tables:
            raise PolicyRefused(
                "policy.toml: its dates cannot be made coarser", f"Use {', '.join(tables)}", table=table
            )
    return {table: _one_of(named, table, resolutions, overall) for table in tables}


def _singling_out(section: dict[str, Any]) -> SinglingOut:
    limit = section.get("limit")
    if not isinstance(limit, float) or not 0 < limit <= 1:
        raise PolicyRefused("policy.toml: singling_out.limit must be a share above 0 and at most 1.0", "Correct it")
    return SinglingOut(_whole(section, "group_size", 2), limit, _whole(section, "from_persons", 0))


def _quality_pages(section: dict[str, Any]) -> QualityPages:
    return QualityPages(_whole(section, "least_persons", 2), _whole(section, "trend_runs", 2))


def _section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    if not isinstance(value, dict):
        raise PolicyRefused(f"policy.toml: the section [{name}] is missing", "Add it")
    return value


def _one_of(section: dict[str, Any], name: str, allowed: tuple[Any, ...], default: Any = None) -> Any:
    value = section.get(name, default)
    if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
        words = ", ".join(str(word).lower() for word in allowed)
        raise PolicyRefused(f"policy.toml: {name} must be one of {words}", "Correct it")
    return value


def _whole(section: dict[str, Any], name: str, least: int) -> int:
    value = section.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PolicyRefused(f"policy.toml: {name} must be a whole number of at least {least}", "Correct it")
    return value
