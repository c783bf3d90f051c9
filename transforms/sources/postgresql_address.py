"""Addresses of PostgreSQL servers: what they may say, what may be shown of them, and how one is connected to."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from schemas.errors import SourceRefused

_HOW = "Write postgresql://user@host/database, and the password in PGPASSWORD or a file that PGPASSFILE names"
_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "port", "schema")
"""Options that an address may have. Others could lead elsewhere or undo what caregap sets."""
_ENCRYPTED = ("require", "verify-ca", "verify-full")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Address:
    """A database and who asks for it; the password is in neither its text nor its representation."""

    user: str
    host: str
    port: str
    database: str
    options: tuple[tuple[str, str], ...]
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Give the address as a user writes it, without a password."""
        options = f"?{urlencode(self.options)}" if self.options else ""
        return f"postgresql://{self._login('')}{self._place}{options}"

    def _login(self, password: str) -> str:
        login = ":".join(quote(part, safe="") for part in (self.user, password) if part)
        return f"{login}@" if login else ""

    @property
    def _place(self) -> str:
        host = quote(self.host, safe="") if self.is_socket else self.host
        return f"{host}{f':{self.port}' if self.port else ''}/{quote(self.database, safe='')}"

    @property
    def public(self) -> str:
        """Host and database: what audit may hold."""
        return f"postgresql://{self.host}/{self.database}"

    @property
    def is_socket(self) -> bool:
        """Whether the host is a folder with a socket."""
        return self.host.startswith("/")

    @property
    def schema(self) -> str:
        """The schema that was named, or nothing."""
        return dict(self.options).get("schema", "")

    def uri(self, passfile: Path | None, *, writes: bool = False) -> str:
        """The address for libpq, with the password; hold it in memory only.

        Without `writes` the server is told to refuse every write.
        """
        options = {name: value for name, value in self.options if name != "schema"}
        settings = ["-c TimeZone=Europe/Helsinki"]
        settings += [] if writes else ["-c default_transaction_read_only=on"]
        settings += [f"-c search_path={self.schema}"] if self.schema else []
        options |= {"options": " ".join(settings), "application_name": "caregap"}
        options |= {"passfile": str(passfile)} if passfile else {}
        options.setdefault("connect_timeout", "15")
        if not self.is_local:
            options.setdefault("sslmode", "verify-full")
        return f"postgresql://{self._login(self.password)}{self._place}?{urlencode(options, quote_via=quote)}"

    @property
    def is_local(self) -> bool:
        """Whether the connection stays on this machine."""
        if self.is_socket or self.host in ("", "localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Read an address. Raises SourceRefused where it is none, names several hosts, or does without TLS on a network."""
    scheme, mark, rest = text.partition("://")
    place, _, query = rest.partition("?")
    authority, slash, database = place.partition("/")
    login, _, hostport = authority.rpartition("@")
    user, _, password = login.partition(":")
    host, port = _host_and_port(hostport)
    given = dict(parse_qsl(query, keep_blank_values=True))
    password = given.pop("password", "") or unquote(password)
    user = given.pop("user", "") or unquote(user)
    if scheme != "postgresql" or not mark or not slash or not database or "/" in database:
        raise SourceRefused("the address is no PostgreSQL address", _HOW)
    if (password and not user) or "," in host or not (port or "5432").isdecimal():
        raise SourceRefused("the address does not name one user, host and port", _HOW)
    if set(given) - set(_OPTIONS):
        raise SourceRefused("the address has an option that is not passed on", f"Use {', '.join(_OPTIONS)}")
    if not _NAME.fullmatch(given.get("schema", "public")):
        raise SourceRefused("the schema is no plain name", "Give schema=NAME")
    port = given.pop("port", "") or port
    address = Address(user, host, port, unquote(database), tuple(sorted(given.items())), password)
    if not address.is_local and given.get("sslmode", "verify-full") not in _ENCRYPTED:
        raise SourceRefused("the address asks for a connection without TLS", "Use sslmode=verify-full, or leave it out")
    return address


def _host_and_port(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address stands in brackets."""
    if text.startswith("["):
        host, _, rest = text.partition("]")
        return f"{host}]", rest.removeprefix(":")
    host, _, port = text.partition(":")
    return unquote(host), port
