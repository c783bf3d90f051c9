"""What a notice says: fixed words in three languages, an event, a flow, an id, a time and an exit code; nothing else.

Whatever is not of these forms makes no notice. So no text of an error and no figure can come into one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from schemas.channels import EVENTS
from schemas.errors import (
    ApprovalMissing,
    BoundaryRefused,
    DisclosureRefused,
    KeyUnavailable,
    PolicyRefused,
    QualityGateFailed,
    SourceRefused,
    UsageRefused,
)
from schemas.labels import load_section

FLOWS = ("ingest", "analyse", "release", "publish")
"""What a notice can come from: the zones' flows, and publishing."""
KINDS: Mapping[int, str] = {
    0: "",
    1: "Failure",
    **{
        refusal.exit_code: refusal.__name__
        for refusal in (
            UsageRefused,
            SourceRefused,
            QualityGateFailed,
            BoundaryRefused,
            DisclosureRefused,
            ApprovalMissing,
            PolicyRefused,
            KeyUnavailable,
        )
    },
}
"""The kind of a refusal by its exit code; 1 is what nobody foresaw."""
TEST = "test"
"""Not an event of a run: somebody tries the channels."""
_RUN = re.compile(r"\d{8}-\d{8}T\d{12}|\d{4}-\d{2}-\d{2}(-\d{1,4})?")
_HELSINKI = ZoneInfo("Europe/Helsinki")


@dataclass(frozen=True)
class Notice:
    """One event. `run` is the id of a load or a candidate, or the as-of date; `exit_code` is 0 where nothing failed.

    Raises ValueError where a part is not of its form.
    """

    event: str
    flow: str
    run: str
    time: datetime
    exit_code: int = 0

    def __post_init__(self) -> None:
        """Let nothing but ids, words of ours and a time in."""
        known = self.event in (*EVENTS, TEST) and self.flow in FLOWS and self.exit_code in KINDS
        if not known or not _RUN.fullmatch(self.run) or self.time.tzinfo is None:
            raise ValueError("not a notice")

    @property
    def id(self) -> str:
        """The same for the same event, so that it is told once; a run that fails again is another event."""
        once = self.event in ("quality_gate", "decision_waiting", "published")
        parts = [self.event, self.flow, self.run, *([] if once else [f"{self.time.astimezone(UTC):%Y%m%dT%H%M%S%f}"])]
        return "-".join(parts)

    @property
    def kind(self) -> str:
        """What kind of refusal it was; empty where nothing failed."""
        return KINDS[self.exit_code]


@dataclass(frozen=True)
class Letter:
    """A notice in words: subject and body of a mail, and what a webhook gets."""

    id: str
    time: datetime
    subject: str
    body: str
    facts: Mapping[str, Any]
    texts: Mapping[str, str]


def write(notice: Notice, languages: Sequence[str]) -> Letter:
    """A notice in the words of the languages, in their order; the first one's subject."""
    words = {language: load_section(language, "notices") for language in languages}
    local = notice.time.astimezone(_HELSINKI)
    filled: dict[str, dict[str, str]] = {}
    for language, labels in words.items():
        values = {
            "run": notice.run,
            "flow": labels[f"flow_{notice.flow}"],
            "time": labels["time"].format(
                day=local.day, month=local.month, year=local.year, clock=f"{local:%H:%M}", iso=f"{local:%Y-%m-%d}"
            ),
            "code": notice.exit_code,
            "kind": labels[f"kind_{notice.exit_code}"] if notice.exit_code else "",
        }
        filled[language] = {
            part: labels[f"{notice.event}_{part}"].format(**values) for part in ("subject", "body", "where")
        }
        filled[language]["end"] = labels["end"]
    texts = {language: f"{said['body']} {said['where']}" for language, said in filled.items()}
    body = "\n\n--\n\n".join(f"{said['body']}\n\n{said['where']}\n\n{said['end']}" for said in filled.values())
    facts = {
        "id": notice.id,
        "event": notice.event,
        "flow": notice.flow,
        "run": notice.run,
        "time": notice.time.astimezone(UTC).isoformat(timespec="seconds"),
        "exit_code": notice.exit_code,
        "kind": notice.kind,
    }
    return Letter(notice.id, notice.time, filled[languages[0]]["subject"], body + "\n", facts, texts)


def to_json(notice: Notice) -> dict[str, Any]:
    """A notice as the outbox keeps it."""
    return asdict(notice) | {"time": notice.time.isoformat()}


def from_json(content: Mapping[str, Any]) -> Notice:
    """A notice back from the outbox. Raises ValueError where it is none."""
    try:
        return Notice(**{**content, "time": datetime.fromisoformat(content["time"])})
    except (KeyError, TypeError) as error:
        raise ValueError("not a notice") from error
