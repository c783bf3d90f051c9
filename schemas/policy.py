"""The data steward's policy, read and checked."""

import hashlib
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from schemas.errors import PolicyRefused

Resolution = Literal["day", "month", "quarter", "year"]


@dataclass(frozen=True)
class Disclosure:
    """Rules of disclosure control for our own releases; the words of a `caregap protect` spec's `[rules]`."""

    threshold: int
    zeros: Literal["publish", "protect"]
    group_disclosure: bool
    guarantee: Literal["not_exact", "not_small"]
    effort: Literal["normal", "thorough"]


@dataclass(frozen=True)
class SourcePolicy:
    """Terms for one kind of source."""

    region: str
    identifier: Literal["hetu", "opaque"]
    generated: bool
    approvals: int
    birth_date: Resolution


@dataclass(frozen=True)
class Policy:
    """policy.toml as checked values; `version` is the SHA-256 of its text."""

    version: str
    disclosure: Disclosure
    age_band_starts: tuple[int, ...]
    lake_days: int
    quarantine_days: int
    purpose: str
    legal_basis: str
    assessment: str
    sources: dict[str, SourcePolicy]
    inventory: dict[str, tuple[str, ...]]

    @property
    def age_bands(self) -> tuple[str, ...]:
        """Labels of the bands: "0-17", ..., "75-"."""
        starts = self.age_band_starts
        ends = [f"{after - 1}" for after in starts[1:]] + [""]
        return tuple(f"{start}-{end}" for start, end in zip(starts, ends, strict=True))

    def source(self, kind: str) -> SourcePolicy:
        """Terms of a kind of source; PolicyRefused where the steward has not named it."""
        if kind not in self.sources:
            raise PolicyRefused("the source is not named in policy.toml", f"Add [source.{kind}] to it")
        return self.sources[kind]


def load_policy(path: Path | None = None) -> Policy:
    """Read policy.toml, the project's own by default. Raises PolicyRefused with the section and the mend."""
    text = path.read_text("utf-8") if path else files("schemas").joinpath("policy.toml").read_text("utf-8")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raw = None
    if raw is None:
        raise PolicyRefused("policy.toml is not valid TOML", "Correct it; a TOML checker names the line")
    return _policy(raw, hashlib.sha256(text.encode()).hexdigest())


def _policy(raw: dict[str, Any], version: str) -> Policy:
    def one_of(section: dict[str, Any], name: str, allowed: tuple[Any, ...], default: Any = None) -> Any:
        value = section.get(name, default)
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            words = ", ".join(str(word).lower() for word in allowed)
            raise PolicyRefused(f"policy.toml: {name} must be one of {words}", "Correct it")
        return value

    def whole(section: dict[str, Any], name: str, least: int) -> int:
        value = section.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise PolicyRefused(f"policy.toml: {name} must be a whole number of at least {least}", "Correct it")
        return value

    def section(name: str) -> dict[str, Any]:
        value = raw.get(name)
        if not isinstance(value, dict):
            raise PolicyRefused(f"policy.toml: the section [{name}] is missing", "Add it")
        return value

    rules, resolutions = section("disclosure"), ("day", "month", "quarter", "year")
    default = one_of(section("generalise"), "birth_date", resolutions)
    starts = tuple(section("age_bands").get("starts", ()))
    if not starts or starts[0] != 0 or list(starts) != sorted(set(starts)):
        raise PolicyRefused("policy.toml: age_bands.starts must begin with 0 and rise", "Correct it")
    allowed = section("residency").get("allowed", [])
    sources = {}
    for kind, terms in section("source").items():
        if terms.get("region") not in allowed:
            raise PolicyRefused(
                f"policy.toml: the region of [source.{kind}] is not in residency.allowed", "Move it into the EU/EEA"
            )
        generated = one_of(terms, "generated", (True, False))
        sources[kind] = SourcePolicy(
            region=terms["region"],
            identifier=one_of(terms, "identifier", ("hetu", "opaque")),
            generated=generated,
            approvals=whole(terms, "approvals", 0 if generated else 1),
            birth_date=one_of(terms, "birth_date", resolutions if generated else (default,), default),
        )
    inventory = section("inventory")
    return Policy(
        version=version,
        disclosure=Disclosure(
            threshold=whole(rules, "threshold", 2),
            zeros=one_of(rules, "zeros", ("publish", "protect")),
            group_disclosure=one_of(rules, "group_disclosure", (True, False)),
            guarantee=one_of(rules, "guarantee", ("not_exact", "not_small")),
            effort=one_of(rules, "effort", ("normal", "thorough")),
        ),
        age_band_starts=starts,
        lake_days=whole(section("retention"), "lake_days", 0),
        quarantine_days=whole(section("retention"), "quarantine_days", 1),
        purpose=section("purpose").get("text", ""),
        legal_basis=section("purpose").get("legal_basis", ""),
        assessment=inventory.get("assessment", ""),
        sources=sources,
        inventory={table: tuple(columns) for table, columns in inventory.items() if isinstance(columns, list)},
    )
