"""A published release in a browser of this machine: what is served, and to whom."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.view import address_of, serve
from schemas.errors import UsageRefused


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "published" / "2026-10-31-1"
    (folder / "fi").mkdir(parents=True)
    for name in ("manifest.json", "index.html", "fi/index.html", "style.css"):
        (folder / name).write_text(f"<p>{name}")
    (tmp_path / "published" / "secret.html").write_text("not of this release")
    (folder / "fi" / "link.html").symlink_to(tmp_path / "published" / "secret.html")
    (folder.parent / "latest").symlink_to(folder.name)
    return folder.parent / "latest"


@contextmanager
def running(release: Path) -> Iterator[tuple[str, int]]:
    with serve(release, 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield address_of(server), server.server_address[1]
        server.shutdown()


def get(port: int, path: str, host: str | None = None, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=host is not None)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_the_files_of_the_release_are_served_on_loopback_alone(release: Path) -> None:
    with running(release) as (address, port):
        assert address == f"http://127.0.0.1:{port}/"
        for path in ("/", "/index.html", "/fi/", "/style.css"):
            response = get(port, path)
            assert response.status == 200, path
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert get(port, "/fi/index.html", f"localhost:{port}").status == 200
        assert get(port, "/missing.html").status == 404
        assert get(port, "/", method="HEAD").status == 200


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/../secret.html", None),
        ("/fi/../../secret.html", None),
        ("/%2e%2e/secret.html", None),
        ("/fi/link.html", None),
        ("/index.html", "evil.example:{port}"),
        ("/index.html", "127.0.0.1.evil.example"),
    ],
)
def test_nothing_else_is_served_and_to_no_other_name(release: Path, path: str, host: str | None) -> None:
    with running(release) as (_, port):
        assert get(port, path, host and host.format(port=port)).status in (403, 404)
        assert get(port, path, host and host.format(port=port), method="HEAD").status in (403, 404)


def test_a_folder_without_a_front_page_is_not_listed_and_nothing_can_be_written(release: Path) -> None:
    (release / "downloads").mkdir()
    with running(release) as (_, port):
        assert get(port, "/downloads/").status == 404
        assert get(port, "/index.html", method="POST").status == 501
        assert get(port, "/index.html", method="PUT").status == 501


def test_what_is_no_release_and_a_port_that_is_taken_are_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageRefused):
        serve(tmp_path, 0)
    with running(release) as (_, port), pytest.raises(UsageRefused):
        serve(release, port)
