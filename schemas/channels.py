"""Where notices go: mail servers and webhooks that the policy names, each with its purpose; secrets are elsewhere."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from schemas.errors import PolicyRefused
from schemas.labels import LANGUAGES

EVENTS = ("failed", "quality_gate", "decision_waiting", "published")
"""What a notice can be about: a run stopped, the quality gate stopped it, a candidate waits, a release is out."""
SECURITIES = ("starttls", "tls", "none")
"""How the way to a mail server is closed; "none" only within this machine."""
_COMMON = {"kind", "region", "purpose", "events", "languages", "ca_file"}
_KEYS = {
    "smtp": _COMMON | {"host", "port", "security", "from", "to", "username", "password_env", "password_file"},
    "webhook": _COMMON | {"url", "token_env", "token_file"},
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")


@dataclass(frozen=True)
class SecretPlace:
    """Where a secret is read when it is needed: an environment variable, or a file that only its owner can read."""

    variable: str | None
    file: Path | None


@dataclass(frozen=True)
class Mail:
    """A mail server, and who gets the notice. `ca_file` names the authority of a server that a city runs itself."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    recipients: tuple[str, ...]
    username: str | None
    password: SecretPlace | None
    ca_file: Path | None


@dataclass(frozen=True)
class Webhook:
    """An address that takes a POST of JSON; `token` is sent as a bearer token."""

    url: str
    token: SecretPlace | None
    ca_file: Path | None


@dataclass(frozen=True)
class Channel:
    """One `[channel.NAME]` of the policy: what it is for, which events it is told of, and in which languages."""

    name: str
    region: str
    purpose: str
    events: tuple[str, ...]
    languages: tuple[str, ...]
    target: Mail | Webhook

    @property
    def place(self) -> str:
        """The channel as the policy's residency names it."""
        return f"channel.{self.name}"


def read_channels(raw: Mapping[str, Any]) -> tuple[Channel, ...]:
    """The channels of a policy; `schemas.residency` checks their regions. PolicyRefused where one is not whole."""
    return tuple(_channel(name, terms) for name, terms in raw.get("channel", {}).items())


def _channel(name: str, terms: Mapping[str, Any]) -> Channel:
    if not _NAME.fullmatch(name):
        _refuse(name, "must have a name of small letters, digits and _")
    kind = terms.get("kind")
    if kind not in _KEYS:
        _refuse(name, f"kind must be one of {', '.join(_KEYS)}")
    if secret := sorted(set(terms) & {"password", "token"}):
        _refuse(name, f"must not hold a secret: write {secret[0]}_env or {secret[0]}_file")
    if unknown := sorted(set(terms) - _KEYS[kind]):
        _refuse(name, f"knows no {unknown[0]}; keep to {', '.join(sorted(_KEYS[kind]))}")
    target = _mail(name, terms) if kind == "smtp" else _webhook(name, terms)
    return Channel(
        name=name,
        region=terms["region"],
        purpose=_text(name, terms, "purpose"),
        events=_some_of(name, terms, "events", EVENTS),
        languages=_some_of(name, terms, "languages", LANGUAGES),
        target=target,
    )


def _mail(name: str, terms: Mapping[str, Any]) -> Mail:
    host, security, port = _text(name, terms, "host"), terms.get("security", "starttls"), terms.get("port", 587)
    if security not in SECURITIES:
        _refuse(name, f"security must be one of {', '.join(SECURITIES)}")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        _refuse(name, "port must be a port number")
    username, password = terms.get("username"), _secret(name, terms, "password")
    if (username is None) != (password is None):
        _refuse(name, "needs both username and password_env or password_file, or neither")
    if security == "none" and not is_loopback(host):
        _refuse(name, 'security = "none" is for a mail server on this machine only')
    recipients = terms.get("to")
    if not isinstance(recipients, list) or not recipients:
        _refuse(name, "needs to, a list of addresses")
    for address in (terms.get("from"), *recipients):
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address) or not address.isascii():
            _refuse(name, "from and to must be plain mail addresses")
    return Mail(host, port, security, terms["from"], tuple(recipients), username, password, _file(name, terms))


def _webhook(name: str, terms: Mapping[str, Any]) -> Webhook:
    url = _text(name, terms, "url")
    parts = urlsplit(url)
    if not url.isascii() or any(letter.isspace() for letter in url) or not parts.hostname:
        _refuse(name, "url must be an address of the form https://host/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        _refuse(name, "url must begin with https://; http:// is for this machine only")
    if parts.username or parts.password or parts.fragment:
        _refuse(name, "url must hold no user, password or fragment")
    return Webhook(url, _secret(name, terms, "token"), _file(name, terms))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself by its very name, without asking a name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(name: str, terms: Mapping[str, Any], what: str) -> SecretPlace | None:
    variable, file = terms.get(f"{what}_env"), terms.get(f"{what}_file")
    if variable is None and file is None:
        return None
    given = file if variable is None else variable
    if (variable is not None and file is not None) or not isinstance(given, str) or not given.strip():
        _refuse(name, f"needs one of {what}_env and {what}_file, a name")
    return SecretPlace(variable, None if file is None else Path(file))


def _file(name: str, terms: Mapping[str, Any]) -> Path | None:
    return Path(_text(name, terms, "ca_file")) if "ca_file" in terms else None


def _text(name: str, terms: Mapping[str, Any], key: str) -> str:
    value = terms.get(key)
    if not isinstance(value, str) or not value.strip():
        _refuse(name, f"needs {key}, a text")
    return value.strip()


def _some_of(name: str, terms: Mapping[str, Any], key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    value = terms.get(key, list(known))
    if not isinstance(value, list) or not value or not set(value) <= set(known) or len(set(value)) < len(value):
        _refuse(name, f"{key} must be a list of {', '.join(known)}")
    return tuple(value)


def _refuse(name: str, rule: str) -> NoReturn:
    raise PolicyRefused(f"policy.toml: channel.{name} {rule}", "Correct it")
