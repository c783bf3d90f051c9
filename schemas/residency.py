"""Where data lie and pass: one region for each storage target, source and channel, inside the EU/EEA or excepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from schemas.errors import PolicyRefused

EU = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
        "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
"""Member states by ISO 3166-1 code. Source: Treaty on European Union, Article 52, as in force since 1 February 2020."""
EEA = EU | frozenset({"IS", "LI", "NO"})
"""With the EFTA states that apply the GDPR. Source: EEA Agreement, Article 2; EEA Joint Committee decision 154/2018."""
STORAGE = ("controller", "platform", "release", "audit", "prefect")
"""The parts of the data folder; each is a storage target of its own."""


@dataclass(frozen=True)
class ResidencyException:
    """A decision that lets one place lie outside the EU/EEA, through its last day."""

    place: str
    region: str
    decision: str
    reason: str
    until: date


@dataclass(frozen=True)
class Residency:
    """Region by place ("storage.platform", "source.feed", "channel.mail"), and the exceptions decided on."""

    places: Mapping[str, str]
    exceptions: tuple[ResidencyException, ...]

    def check(self, today: date) -> None:
        """Raise PolicyRefused where a place lies outside the EU/EEA and no exception for it holds today."""
        for place in self.places:
            if self.allows(place, today):
                continue
            if self._excepted(place):
                raise PolicyRefused(
                    f"policy.toml: the exception that lets {place} lie outside the EU/EEA has ended",
                    "Move it, or have a new decision taken",
                )
            raise PolicyRefused(
                f"policy.toml: the region of {place} is outside the EU/EEA",
                "Move it, or add a [[residency.exception]] with decision, reason and end date",
            )

    def allows(self, place: str, today: date) -> bool:
        """Whether a place lies in the EU/EEA, or an exception for it holds today."""
        return self.places[place] in EEA or any(today <= one.until for one in self._excepted(place))

    def _excepted(self, place: str) -> list[ResidencyException]:
        return [one for one in self.exceptions if (one.place, one.region) == (place, self.places[place])]


def read_residency(raw: Mapping[str, Any]) -> Residency:
    """Read [residency] and the regions of sources and channels. Raises PolicyRefused where one is missing."""
    section = raw.get("residency")
    if not isinstance(section, dict):
        raise PolicyRefused("policy.toml: the section [residency] is missing", "Add it")
    if unknown := sorted(set(section) - {*STORAGE, "exception"}):
        raise PolicyRefused(
            f"policy.toml: [residency] knows no storage target {unknown[0]}", f"Use {', '.join(STORAGE)}"
        )
    places = {f"storage.{part}": section.get(part) for part in STORAGE}
    for kind in ("source", "channel"):
        named = raw.get(kind, {})
        if not isinstance(named, dict) or not all(isinstance(terms, dict) for terms in named.values()):
            raise PolicyRefused(f"policy.toml: each {kind} is a section of its own", f"Write it as [{kind}.NAME]")
        places |= {f"{kind}.{name}": terms.get("region") for name, terms in named.items()}
    return Residency(
        {place: _region(place, region) for place, region in places.items()},
        tuple(_exception(one, places) for one in section.get("exception", [])),
    )


def _region(place: str, region: Any) -> str:
    if not isinstance(region, str) or len(region) != 2 or not region.isupper():
        raise PolicyRefused(
            f"policy.toml: the region of {place} is missing or no country code", 'Write "FI" or the like'
        )
    return region


def _exception(raw: Mapping[str, Any], places: Mapping[str, Any]) -> ResidencyException:
    for name in ("place", "region", "decision", "reason"):
        if not isinstance(raw.get(name), str) or not raw[name].strip():
            raise PolicyRefused(
                f"policy.toml: an exception of [residency] has no {name}", "Add it, or drop the exception"
            )
    if type(raw.get("until")) is not date:
        raise PolicyRefused("policy.toml: an exception of [residency] has no end date", "Add until = YYYY-MM-DD")
    if raw["place"] not in places:
        raise PolicyRefused("policy.toml: an exception of [residency] names no place", f"Use {', '.join(places)}")
    return ResidencyException(raw["place"], raw["region"], raw["decision"], raw["reason"], raw["until"])
