"""A database the whole way: its records come through, and its password is nowhere afterwards."""

import sqlite3
from pathlib import Path

import pytest

from tests.flows.conftest import Caregap
from tests.sources.conftest import server  # noqa: F401 - a fixture
from tests.sources.population import AS_OF, invented
from tests.sources.postgresql_server import OWNER_PASSWORD, READER_PASSWORD, Server
from tests.sources.writers import write_feed

pytestmark = pytest.mark.slow
SECRET = {"CAREGAP_PASSPHRASE": "a passphrase of the test"}


def holds(folder: Path, secret: bytes) -> list[str]:
    """Names of the files below a folder that hold a secret."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path.name for path in files if secret in path.read_bytes()]


def test_the_password_is_in_no_file_log_parameter_or_message(
    server: Server,  # noqa: F811
    caregap_process: Caregap,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server.run("CREATE DATABASE whole TEMPLATE postgres")
    data, written = tmp_path / "data", tmp_path / "feed"
    write_feed(invented(120), written)
    owner = server.address(password=OWNER_PASSWORD, database="whole", options="?schema=caregap")
    assert caregap_process("sources", "load", written, owner, data=data).code == 0
    assert caregap_process("keys", "create", data=data, **SECRET).code == 0
    address = server.address("caregap_reader", READER_PASSWORD, "whole")
    done = caregap_process("ingest", "--source", address, "--as-of", AS_OF, data=data, **SECRET)
    assert done.code == 0, done.err
    wrong = server.address("caregap_reader", READER_PASSWORD + "x", "whole")
    refused = caregap_process("ingest", "--source", wrong, "--as-of", AS_OF, data=data, **SECRET)
    assert (refused.code, refused.err.count("\n")) == (10, 1)
    said = done.out + done.err + refused.out + refused.err
    base = tmp_path_factory.getbasetemp()
    for password in (READER_PASSWORD[:15], OWNER_PASSWORD):  # what comes after it may be written in several ways
        assert password not in said
        assert holds(base, password.encode()) == []
    log = (data / "audit" / "log.jsonl").read_text()
    assert '"source": "postgresql://127.0.0.1/whole"' in log
    assert holds(data / "platform", b"127.0.0.1") == holds(data / "release", b"127.0.0.1") == []
    # The search looks where parameters are stored, and the address that the flow was given is not among them.
    stored = [text for path in base.rglob("prefect.db") for text in parameters(path)]
    assert any(str(AS_OF) in text and str(data) in text for text in stored)
    assert not any("caregap_reader" in text or f"127.0.0.1:{server.port}" in text for text in stored)


def parameters(database: Path) -> list[str]:
    """Parameters of every flow run."""
    with sqlite3.connect(database) as connection:
        return [row[0] for row in connection.execute("SELECT parameters FROM flow_run")]
