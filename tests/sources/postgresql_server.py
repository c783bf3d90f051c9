"""A PostgreSQL server of a test session's own, on loopback; its data vanish with the session."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.conftest import needs

OWNER, OWNER_PASSWORD, READER_PASSWORD = "owner", "owner-Secret-1", "reader-Secret-2%/@"


def programs() -> Path:
    """The folder of the newest server's programs."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    needs(found, "a PostgreSQL server", "postgresql")
    return max(found).parent


@dataclass(frozen=True)
class Server:
    """A running server."""

    folder: Path
    port: int

    def address(self, user: str = OWNER, password: str = "", database: str = "postgres", options: str = "") -> str:
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}{options}"

    def run(self, statements: str, database: str = "postgres") -> str:
        """Run statements as the owner; the first column of what they give."""
        environment = {**os.environ, "PGPASSWORD": OWNER_PASSWORD}
        words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        done = subprocess.run(
            [*words, "-U", OWNER, database],
            input=statements,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def running() -> Iterator[Server]:
    """Start a server and stop it again. As root it runs as the user postgres: initdb refuses root."""
    bin_folder = programs()
    folder = Path(tempfile.mkdtemp(prefix="caregap-pg-", dir="/tmp"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    secret = folder / "password"
    secret.write_text(OWNER_PASSWORD)
    secret.chmod(0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*words: str) -> None:
        done = subprocess.run([*as_user, *words], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    data = str(folder / "data")
    call(
        str(bin_folder / "initdb"),
        "-D",
        data,
        "-U",
        OWNER,
        "-A",
        "scram-sha-256",
        "--pwfile",
        str(secret),
        "-E",
        "UTF8",
        "-N",
    )
    settings = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    # Output to a file: the server would keep a pipe open for ever.
    call(str(bin_folder / "pg_ctl"), "-D", data, "-w", "-s", "-o", settings, "-l", str(folder / "log"), "start")
    try:
        yield Server(folder, port)
    finally:
        call(str(bin_folder / "pg_ctl"), "-D", data, "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
