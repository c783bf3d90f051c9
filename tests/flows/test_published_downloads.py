"""The downloads of a release that was published by a whole run."""

import csv
import hashlib
import json
from pathlib import Path

from schemas.labels import LANGUAGES
from tests.release.download_readers import expected, read_json_stat, read_px, read_star, star_connection

COUNTS = ("indicator", "area", "sex", "age_band", "as_of", "measure")


def test_the_downloads_of_a_published_release_are_its_table(finished: Path) -> None:
    folder = finished / "release" / "published" / "latest"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in (folder / "downloads").rglob("*")
        if path.is_file()
    }
    tables = {}
    for name, last in (("table", "value"), ("derived", "figure")):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            tables[name] = expected(csv.DictReader(lines), "091", last)
    counts, star = tables["table"], star_connection(files)
    assert read_px(files["downloads/table.px"], COUNTS) == counts
    assert all(read_json_stat(files[f"downloads/table.{language}.json"]) == counts for language in LANGUAGES)
    for fact, cells, number in (("fact_count", counts, int), ("fact_rate", tables["derived"], float)):
        found = {key: (None if figure is None else number(figure), status) for key, (figure, status) in cells.items()}
        assert read_star(star, fact) == found
    package = json.loads((folder / "datapackage.json").read_bytes())
    described = {one["path"]: one["hash"] for one in package["resources"] if "/" in one["path"]}
    assert described == {path: f"sha256:{hashlib.sha256(content).hexdigest()}" for path, content in files.items()}
