"""From what a user writes behind --source to a source that can be read. Used by the controller zone alone."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from flows.progress import progress
from flows.settings import keep_secret, take_secrets
from schemas.areas import load_areas
from schemas.errors import SourceRefused
from schemas.policy import load_policy
from transforms.sources import Source
from transforms.sources.feed import FeedSource
from transforms.sources.fhir import FhirSource
from transforms.sources.omop import OmopSource
from transforms.sources.postgresql import PostgresqlSource
from transforms.sources.postgresql_address import Address, parse_address
from transforms.sources.postgresql_schema import ddl, load_feed
from transforms.sources.synthea import SyntheaSource
from transforms.sources.synthetic import SyntheticSource

WORDS = "synthetic:N, feed:DIR, synthea:DIR, omop:DIR, fhir:DIR or postgresql://USER@HOST/DATABASE"
MAPPED: Mapping[str, Callable[[Path, Path | None, pl.DataFrame | None], Source]] = {
    "synthea": SyntheaSource,
    "omop": OmopSource,
    "fhir": FhirSource,
}
KINDS = ("synthetic", "feed", "synthea", "omop", "fhir", "postgresql")
EARLIEST, LATEST = date(2000, 1, 1), date(2099, 12, 31)
"""Records of before are history, kept for some of the patients: what is missing from them is no gap. And a slip of the
finger must not replace the lake by one in which nobody is counted."""


@dataclass(frozen=True)
class SourceOptions:
    """What shapes a source beside its address: a geography, a map into it, and the generator's terms."""

    areas: Path | None = None
    area_map: Path | None = None
    years: int = 3
    seed: int = 1
    increment: bool = False


def kind_of(address: str) -> str:
    """The kind of source that an address names; SourceRefused where it is none that caregap reads."""
    kind, colon, rest = address.partition(":")
    if not colon or not rest or kind not in KINDS:
        raise SourceRefused("the source is not of a known kind", f"Give {WORDS}")
    return kind


def without_password(address: str) -> str:
    """The address without a password, which is held as if PGPASSWORD had been set. Raises SourceRefused.

    To be called before the address goes anywhere: to a flow's parameters, another process or a log.
    """
    if kind_of(address) != "postgresql":
        return address
    parsed = parse_address(address)
    if parsed.password:
        keep_secret("PGPASSWORD", parsed.password)
    return str(replace(parsed, password=""))


def described(address: str) -> str:
    """What audit may hold of an address: the kind, of a database its host and name too."""
    kind = kind_of(address)
    return parse_address(address).public if kind == "postgresql" else kind


def open_source(address: str, as_of: date, options: SourceOptions) -> Source:
    """Open a source for reading. Raises SourceRefused, also where no source can have what a date asks for."""
    kind, rest = kind_of(address), address.partition(":")[2]
    if kind != "synthetic" and not EARLIEST <= as_of <= LATEST:
        raise SourceRefused(f"no source has the records as of {as_of}", f"Give a date from {EARLIEST} to {LATEST}")
    if kind == "feed":
        return FeedSource(Path(rest), increment=options.increment)
    if kind in MAPPED:
        return MAPPED[kind](Path(rest), options.area_map, load_areas(options.areas) if options.areas else None)
    if kind == "postgresql":
        server, passfile = _server(address)
        return PostgresqlSource(server, load_policy().source(kind).identifier, passfile)
    if not rest.isdecimal() or not 1 <= int(rest) <= 10_000_000:
        raise SourceRefused("the number of persons is not a whole number from 1 to 10,000,000", "Give synthetic:N")
    return SyntheticSource(int(rest), options.years, as_of, options.seed, load_areas(options.areas))


def source_ddl(schema: str, role: str) -> str:
    """Statements that make the source tables in a PostgreSQL database, and a role that reads them."""
    return ddl(schema, role)


def load_database(directory: Path, address: str) -> int:
    """Add a feed to the tables of a PostgreSQL database; returns the number of rows. Raises SourceRefused."""
    feed = FeedSource(directory)
    server, passfile = _server(without_password(address))
    with progress("Loading", feed.rows_expected(), "rows") as advance:
        return sum(load_feed(feed, server, passfile, advance).values())


def _server(address: str) -> tuple[Address, Path | None]:
    """The server and the password file, from the address and the secrets that were taken.

    What else libpq would read from the environment could lead it to another server or undo that it only reads.
    """
    secrets = take_secrets()
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    passfile = secrets.get("PGPASSFILE")
    password = secrets.get("PGPASSWORD", "")
    return replace(parse_address(address), password=password), Path(passfile) if passfile else None
