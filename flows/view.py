"""A published release in one's own browser: `caregap view`, a server for this machine alone."""

import http.server
from functools import partial
from http import HTTPStatus
from pathlib import Path

from schemas.errors import UsageRefused
from transforms.release.names import MANIFEST
from transforms.release.site.addresses import FRONT_PAGE

LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Files(http.server.SimpleHTTPRequestHandler):
    """The files of one folder: no listings, nothing outside it, no other name than this machine's own."""

    def do_GET(self) -> None:
        """Send a file."""
        if self._may_be_served():
            super().do_GET()

    def do_HEAD(self) -> None:
        """Send what is known of a file."""
        if self._may_be_served():
            super().do_HEAD()

    def _may_be_served(self) -> bool:
        # Another name that resolves to loopback would let a foreign page read what is served here.
        host = self.headers.get("Host", "").rpartition(":")[0]
        found, folder = Path(self.translate_path(self.path)), Path(self.directory).resolve()
        is_inside = found.resolve().is_relative_to(folder)
        if host not in (LOOPBACK, "localhost") or not is_inside:
            self.send_error(HTTPStatus.FORBIDDEN)
            return False
        return True

    def list_directory(self, path: object) -> None:
        """No folder is listed."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """What no page may do."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing is logged."""


def serve(release: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a release's pages on loopback, not yet started; port 0 takes a free one.

    Raises UsageRefused where the folder is no release or the port is taken.
    """
    if not (release / MANIFEST).is_file() or not (release / FRONT_PAGE).is_file():
        raise UsageRefused("there is no published release here", "caregap run, or name one: caregap view RELEASE")
    try:
        return http.server.ThreadingHTTPServer((LOOPBACK, port), partial(_Files, directory=str(release)))
    except OSError:
        pass
    raise UsageRefused("the port is taken", "Give another: --port N")


def address_of(server: http.server.ThreadingHTTPServer) -> str:
    """Where a browser finds the pages."""
    return f"http://{LOOPBACK}:{server.server_address[1]}/"
