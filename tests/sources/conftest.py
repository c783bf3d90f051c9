"""What several tests of sources share."""

from collections.abc import Iterator

import pytest

from tests.sources.postgresql_server import READER_PASSWORD, Server, running
from transforms.sources.postgresql_schema import ddl


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server with the source tables, empty, and a role that reads them."""
    with running() as started:
        started.run(ddl("caregap", "caregap_reader") + f"ALTER ROLE caregap_reader PASSWORD '{READER_PASSWORD}';")
        yield started
