"""What the pages say of their publisher, from publisher.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageRefused

PUBLISHER_FILE = Path(__file__).parent / "publisher.toml"


@dataclass(frozen=True)
class Publisher:
    """Who publishes; `email` is where readers send feedback, empty where there is none."""

    email: str


UNNAMED = Publisher(email="")


def to_fill_in(email: str) -> str:
    """What a publisher still has to say of himself before figures of real people are out; empty where nothing."""
    if email:
        return ""
    return "No feedback address: fill in email in schemas/publisher.toml and release again (act 306/2019, section 9)"


def load_publisher(path: Path = PUBLISHER_FILE) -> Publisher:
    """Read publisher.toml. Raises UsageRefused where it is not as described there."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        raw = {}
    email = raw.get("email")
    if not isinstance(email, str) or set(raw) != {"email"} or (email and email.count("@") != 1):
        raise UsageRefused("the publisher cannot be read", 'Write email = "..." alone', table="publisher.toml")
    return Publisher(email)
