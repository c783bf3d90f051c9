"""What earlier releases have made public, for the trend that a new one shows."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from transforms.release.decisions import WITHDRAW, from_json, outcome
from transforms.release.names import DECISIONS, MANIFEST


def population(about: Mapping[str, Any]) -> str:
    """Whom counts are of, for the ledger: the city; of generated data each load is a city of its own."""
    return f"generated {about['load']}" if about["generated"] else "city"


def published_history(published: Path, of: str, versions: Mapping[str, int]) -> dict[date, pl.DataFrame]:
    """The cells of the whole city by date, from the tables of published releases of the same population.

    Of an indicator that then had another version nothing is taken, for it was another figure; nor of a withdrawn
    release. Of two releases of a date the one created last counts.
    """
    releases = [path.parent for path in published.glob(f"[!.]*/{MANIFEST}") if not path.parent.is_symlink()]
    manifests = {folder: json.loads((folder / MANIFEST).read_text("utf-8")) for folder in releases}
    found: dict[date, pl.DataFrame] = {}
    for folder in sorted(releases, key=lambda one: (manifests[one]["created"], len(one.name), one.name)):
        manifest = manifests[folder]
        decided = folder / DECISIONS
        about = {"generated": manifest["generated"], "load": manifest["inputs"]["load"]}
        is_withdrawn = decided.exists() and outcome(from_json(decided.read_bytes())) == WITHDRAW
        if is_withdrawn or population(about) != of:
            continue
        then = manifest["inputs"].get("indicator_versions", {})
        same = [name for name, version in versions.items() if then.get(name) == version]
        cells = pl.read_csv(folder / "table.csv", infer_schema=False).with_columns(pl.col("value").cast(pl.Int64))
        groups = ("major", "district", "sex", "age_band")
        cells = cells.filter(pl.col("indicator").is_in(same), *(pl.col(name) == "*" for name in groups))
        for (day,), part in cells.partition_by("as_of", as_dict=True).items():
            found[date.fromisoformat(str(day))] = part
    return found
