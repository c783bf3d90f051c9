"""JSON-stat 2.0 datasets, one file a language: the format has one label for each code."""

import json
from typing import Any

import numpy as np

from transforms.release.datapackage import Licence
from transforms.release.downloads.contents import Contents
from transforms.release.downloads.cube import METRIC, SYMBOLS, Cube, Dimension


def write_json_stat(cube: Cube, contents: Contents, licence: Licence, language: str) -> bytes:
    """Write a cube as a JSON-stat dataset in one language; UTF-8 JSON.

    `value` is null where there is no figure, and `status` says why with the symbols of statistics offices: "..." is
    hidden, "." a combination that the table does not have. `extension.status.label` puts them into words.
    """
    own = contents.labels[language]
    release = contents.release
    head: dict[str, Any] = {
        "version": "2.0",
        "class": "dataset",
        "label": cube.titles[language],
        "source": own["source"].format(city=contents.city(language), release=release.release_id),
        "updated": f"{release.created.isoformat()}T00:00:00Z",
        "note": contents.notes(language),
        "link": {"license": [{"type": "text/html", "href": licence.path, "label": licence.title}]},
        "id": [dimension.id for dimension in cube.dimensions],
        "size": cube.size,
        "role": {role: [one.id for one in cube.dimensions if one.role == role] for role in ("time", "geo", "metric")},
        "dimension": {dimension.id: _dimension(dimension, language) for dimension in cube.dimensions},
        "extension": {
            "release": release.release_id,
            "generated": release.generated,
            "language": language,
            **({"contact": contents.contact} if contents.contact else {}),
            "status": {"label": {symbol: own[f"symbol_{status}"] for status, symbol in SYMBOLS.items()}},
        },
    }
    head["role"] = {role: ids for role, ids in head["role"].items() if ids}
    missing = np.flatnonzero(cube.statuses != "")
    status = ",".join(f'"{place}":"{SYMBOLS[why]}"' for place, why in zip(missing, cube.statuses[missing], strict=True))
    values = ",".join(np.where(cube.figures == "", "null", cube.figures))
    start = json.dumps(head, ensure_ascii=False, separators=(",", ":")).removesuffix("}")
    return f'{start},"value":[{values}],"status":{{{status}}}}}\n'.encode()


def _dimension(dimension: Dimension, language: str) -> dict[str, Any]:
    category: dict[str, Any] = {
        "index": list(dimension.codes),
        "label": dict(zip(dimension.codes, dimension.labels[language], strict=True)),
    }
    if dimension.role == METRIC:
        units = zip(dimension.codes, dimension.units[language], dimension.decimals, strict=True)
        category["unit"] = {code: {"label": unit, "decimals": decimals} for code, unit, decimals in units}
    if dimension.children:
        category["child"] = {code: list(children) for code, children in dimension.children.items()}
    if dimension.notes:
        notes = zip(dimension.codes, dimension.notes[language], strict=True)
        category["note"] = {code: [note] for code, note in notes}
    extension = {"extension": {"elimination": dimension.total}} if dimension.total else {}
    return {"label": dimension.names[language], "category": category, **extension}
