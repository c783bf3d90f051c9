"""What several tests of sources share."""

import os
from collections.abc import Iterator

import pytest

from tests.sources.postgresql_server import READER_PASSWORD, Server, has_server, running
from transforms.sources.postgresql_schema import ddl


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server with the source tables, empty, and a role that reads them."""
    if not has_server():
        assert "CAREGAP_CI" not in os.environ, "no PostgreSQL server is installed; .ci/run installs it"
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    with running() as started:
        started.run(ddl("caregap", "caregap_reader") + f"ALTER ROLE caregap_reader PASSWORD '{READER_PASSWORD}';")
        yield started
