"""What the pages on a candidate are made from. All of it is confidential, and none of it is a value of a record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from schemas.labels import LANGUAGES
from transforms.release.decisions import Statement

Texts = Mapping[str, str]
"""A text by language."""
WAITING, READY, PUBLISHED = "waiting", "ready", "published"
REJECTED, RETURNED, WITHDRAWN = "rejected", "returned", "withdrawn"
"""Where the decision on a candidate stands; also the keys of the words."""
BUILT_IT, REVOKED, NOT_ASKED, NOT_NEEDED = "built_it", "revoked", "not_asked", "not_needed"
"""Why somebody's approval does not count, or no longer; also the keys of the words."""
HIDDEN_CSV = "hidden.csv"
"""Beside the pages: every hidden cell."""


@dataclass(frozen=True)
class Signatory:
    """One steward of the policy. `signed` is when the candidate was approved by this one, `bar` why it
    could not be, or need not."""

    name: str
    roles: tuple[str, ...]
    signed: datetime | None
    bar: str


@dataclass(frozen=True)
class Standing:
    """Where the decision stands: `required` and `left` are numbers of signatures by role."""

    state: str
    required: Mapping[str, int]
    left: Mapping[str, int]
    signatories: Sequence[Signatory]


@dataclass(frozen=True)
class Before:
    """The release that a candidate is compared with: its own date's table, and the indicators' versions."""

    release_id: str
    as_of: date
    table: pl.DataFrame
    versions: Mapping[str, int]


@dataclass(frozen=True)
class Missed:
    """A quality check of the load that did not pass, in words."""

    severity: str
    table: Texts
    what: Texts
    observed: Texts
    limit: Texts


@dataclass(frozen=True)
class Quality:
    """What the checks of the load said: how many there were, those that did not pass, and the page that tells more.

    `pages` are addresses by language, relative to the candidate's page; empty where there is none.
    """

    checks: int
    missed: Sequence[Missed]
    pages: Texts


@dataclass(frozen=True)
class Review:
    """A candidate as a steward sees it.

    `manifest` and `certificate` are the candidate's own; `figures` are the certificate's, exact where it withholds
    them. `table` is the protected table of all its dates, `decisions` has one row per cell of it with the rule that
    hides it. `titles` are of indicators, by id. `command` is how caregap is called for this data folder,
    `dates` what `caregap release` is told beside the date to build the same dates again.
    """

    manifest: Mapping[str, Any]
    digest: str
    standing: Standing
    made: Sequence[Statement]
    certificate: Mapping[str, Any]
    figures: Mapping[str, Any]
    table: pl.DataFrame
    decisions: pl.DataFrame
    before: Before | None
    quality: Quality
    areas: pl.DataFrame
    titles: Mapping[str, Texts]
    folder: str
    command: str
    written: datetime
    dates: str = ""

    @property
    def id(self) -> str:
        """The candidate's id, and that of the release that may come of it."""
        return str(self.manifest["release_id"])

    @property
    def as_of(self) -> date:
        """The date that the candidate's own figures are of."""
        return date.fromisoformat(self.manifest["as_of"])


def page_name(language: str) -> str:
    """File name of a candidate's page in a language."""
    return "review.html" if language == LANGUAGES[0] else f"review.{language}.html"
