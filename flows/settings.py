"""Where things lie, and the environment that each process is given."""

import os
import sys
from dataclasses import dataclass
from fcntl import LOCK_NB, LOCK_SH, flock
from pathlib import Path
from zoneinfo import ZoneInfo

PASSPHRASES = ("CAREGAP_PASSPHRASE", "CAREGAP_PASSPHRASE_FILE")
SOURCE = "CAREGAP_SOURCE"
"""Environment variable with the source that served loads read."""
SECRETS = (*PASSPHRASES, "PGPASSWORD", "PGPASSFILE", SOURCE)
"""Environment variables that only the controller zone may have."""
SERVED = "CAREGAP_SERVED"
"""Environment variable by which a server's processes, and those that they start, are known."""
PREFECT_DATABASE = "CAREGAP_PREFECT_DATABASE"
"""Environment variable with the PostgreSQL address that the server keeps its runs in; without it, SQLite."""
CITY = ZoneInfo("Europe/Helsinki")
_taken: dict[str, str] = {}
_prepared: list["Layout"] = []
QUIET = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
    "POLARS_VERBOSE": "0",
}
"""Nothing calls home, nothing is persisted that a task returned, and a pipe stays quiet."""


@dataclass(frozen=True)
class Layout:
    """The data folder: one subfolder a zone, the audit log and Prefect's home."""

    data: Path

    @property
    def keyring(self) -> Path:
        """The sealed keyring."""
        return self.data / "controller" / "keys" / "keyring.json"

    @property
    def passphrase(self) -> Path:
        """The passphrase of a keyring that caregap made by itself, for generated data only."""
        return self.data / "controller" / "keys" / "passphrase"

    @property
    def quarantine(self) -> Path:
        """Sealed rejected rows, a folder a run."""
        return self.data / "controller" / "quarantine"

    @property
    def memory(self) -> Path:
        """What the controller remembers of the load that the lake holds, sealed: an increment builds on it."""
        return self.data / "controller" / "memory"

    @property
    def staging(self) -> Path:
        """Files on their way to the lake; empty between runs."""
        return self.data / "controller" / "staging"

    @property
    def lake(self) -> Path:
        """Delta Lake tables, and the snapshot that names a consistent set of their versions."""
        return self.data / "platform" / "lake"

    @property
    def counts(self) -> Path:
        """Counts that are not yet protected, a folder an as-of date."""
        return self.data / "platform" / "counts"

    @property
    def quality(self) -> Path:
        """Results of the quality checks, and their history."""
        return self.data / "platform" / "quality"

    @property
    def coverage(self) -> Path:
        """How well the records cover the residents, by as-of date; counts that are not protected."""
        return self.quality / "coverage.parquet"

    @property
    def notices(self) -> Path:
        """Notices that wait to be sent, and those that were; fixed words without figures."""
        return self.data / "platform" / "notices"

    @property
    def evidence(self) -> Path:
        """Why gaps are open, person by person; there only on request and until the next analysis."""
        return self.data / "platform" / "evidence"

    @property
    def candidates(self) -> Path:
        """Release candidates, a folder each."""
        return self.data / "release" / "candidates"

    @property
    def published(self) -> Path:
        """Published releases, a folder each, and the pointer to the latest."""
        return self.data / "release" / "published"

    @property
    def ledger(self) -> Path:
        """Every cell that was released, hidden ones with their counts; confidential."""
        return self.data / "release" / "ledger"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.data / "audit" / "log.jsonl"

    @property
    def prefect(self) -> Path:
        """Prefect's home: database, storage, logs."""
        return self.data / "prefect"

    @property
    def login(self) -> Path:
        """Name and password of the server's pages and API, `name:password`."""
        return self.prefect / "login"

    @property
    def served(self) -> Path:
        """Held while a server is at work in this data folder; its content is the API's address."""
        return self.prefect / "served"

    def create(self) -> None:
        """Make the folders; the controller's, Prefect's and the unprotected ones closed to others."""
        self.data.mkdir(parents=True, exist_ok=True)
        for zone in ("controller", "platform", "prefect", "audit"):
            (self.data / zone).mkdir(mode=0o700, exist_ok=True)
            (self.data / zone).chmod(0o700)
        self.ledger.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (
            self.keyring.parent,
            self.quarantine,
            self.memory,
            self.staging,
            self.lake,
            self.counts,
            self.quality,
            self.candidates,
            self.published,
        ):
            folder.mkdir(parents=True, exist_ok=True)


def set_up(layout: Layout) -> None:
    """Once a process, set Prefect and the libraries that would call home up; nothing is written.

    Before any of them is imported: they read the environment then.
    """
    if _prepared:
        return
    if "prefect" in sys.modules or "great_expectations" in sys.modules:
        raise AssertionError("set_up() must come before the first import of Prefect and Great Expectations")
    os.environ.update(QUIET)
    os.environ["PREFECT_HOME"] = str(layout.prefect.resolve())
    os.environ["PREFECT_PROFILES_PATH"] = str((layout.prefect / "profiles.toml").resolve())
    if "PREFECT_API_URL" not in os.environ and (api := api_at_work(layout)):
        os.environ["PREFECT_API_URL"] = api
        os.environ["PREFECT_API_AUTH_STRING"] = layout.login.read_text("utf-8").strip()
    _prepared.append(layout)


def prepare(layout: Layout) -> None:
    """Make the folders, and set up what reads the environment."""
    layout.create()
    set_up(layout)


def api_at_work(layout: Layout) -> str:
    """Address of the API of the server that is at work in this data folder; empty where there is none."""
    try:
        with layout.served.open("rb") as file:
            try:
                flock(file, LOCK_SH | LOCK_NB)
            except BlockingIOError:
                return file.read().decode().strip()
    except FileNotFoundError:
        pass
    return ""


def take_secrets() -> dict[str, str]:
    """Move what leads to the key out of the environment, so that no process started from here inherits it."""
    for name in SECRETS:
        if name in os.environ:
            _taken[name] = os.environ.pop(name)
    return dict(_taken)


def keep_secret(name: str, value: str) -> None:
    """Hold a secret that came on the command line as if it had come in the environment."""
    _taken[name] = value
