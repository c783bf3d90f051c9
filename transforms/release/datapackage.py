"""The machine-readable description of a release's files: a Data Package (datapackage.org, version 2)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transforms.release.figures import DERIVED_FILE, KINDS
from transforms.release.page import IndicatorText, Release
from transforms.release.page_figures import GROUP

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"


@dataclass(frozen=True)
class Licence:
    """Terms under which the data may be used; `name` as in the Open Definition's list."""

    name: str
    title: str
    path: str


CC_BY_4 = Licence(
    "CC-BY-4.0", "Creative Commons Attribution 4.0 International", "https://creativecommons.org/licenses/by/4.0/"
)

_GROUP_FIELDS = {
    "indicator": ("Indicator", "Key of the care gap."),
    "major": ("Major district", "Code in areas.csv; * where summed over it, unknown where the district is not known."),
    "district": ("District", "Code in areas.csv; * where summed over it, unknown where it is not known."),
    "sex": ("Sex", "Legal sex as registered; * where summed over it."),
    "age_band": ("Age band", "First and last age in years, the last open for the oldest; * where summed over it."),
}
_AREA_FIELDS = {
    "code": ("string", "Code of the area."),
    "parent": ("string", "Code of the area that it is part of; empty for the city."),
    "level": ("string", "city, major or district."),
    "name_fi": ("string", "Name in Finnish."),
    "name_sv": ("string", "Name in Swedish."),
    "name_en": ("string", "Name in English."),
    "short_fi": ("string", "Short name in Finnish."),
    "short_sv": ("string", "Short name in Swedish."),
    "tile_column": ("integer", "Column on the tile map, from the west."),
    "tile_row": ("integer", "Row on the tile map, from the north."),
    "population": ("integer", "Public figure of the number of residents."),
}


def sha256(content: bytes) -> str:
    """SHA-256 as lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def describe_release(
    files: Mapping[str, bytes],
    release: Release,
    indicators: Sequence[IndicatorText],
    licence: Licence,
    downloads: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Write datapackage.json for the tables at the root of a release as they are in `files`; UTF-8 JSON.

    `downloads` are the resources of the files in folders.
    """
    package = {
        "$schema": PROFILE,
        "profile": "data-package",
        "name": f"caregap-{release.release_id.lower()}",
        "title": "Care gaps by district",
        "description": (
            "Counts of people in need of care, of those with a care gap and of those without, by indicator, area, sex "
            "and age. A suppressed cell has no value; its status is the same whatever the reason."
            + (" Synthetic data: the figures describe neither real people nor the real situation." * release.generated)
        ),
        "version": release.release_id,
        "created": f"{release.created.isoformat()}T00:00:00Z",
        "as_of": release.as_of.isoformat(),
        "generated": release.generated,
        "licenses": [{"name": licence.name, "title": licence.title, "path": licence.path}],
        "sources": [{"title": source} for source in dict.fromkeys(indicator.source["en"] for indicator in indicators)],
        "resources": [
            _resource("table", "table.csv", files, _table_schema(indicators)),
            _resource("table-parquet", "table.parquet", files, _table_schema(indicators)),
            _resource("areas", "areas.csv", files, _areas_schema()),
            *([_resource("derived", DERIVED_FILE, files, _derived_schema())] if DERIVED_FILE in files else []),
            *downloads,
        ],
    }
    return (json.dumps(package, indent=2, ensure_ascii=False) + "\n").encode()


def resource(
    name: str,
    path: str,
    files: Mapping[str, bytes],
    kind: str,
    media: str,
    schema: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> dict[str, Any]:
    """Describe one file, with its size and SHA-256."""
    content = files[path]
    text = {"encoding": "utf-8", "dialect": {"delimiter": ",", "lineTerminator": "\n", "header": True}}
    return {
        "name": name,
        "path": path,
        **({"title": title} if title else {}),
        # Checkers read a Parquet "table" through its columns and then miss the bytes that the hash is of.
        "type": "table" if kind == "csv" else "file",
        "format": kind,
        "mediatype": media,
        **(text if kind == "csv" else {}),
        "bytes": len(content),
        "hash": f"sha256:{sha256(content)}",
        **({"schema": schema} if schema else {}),
    }


def _resource(name: str, path: str, files: Mapping[str, bytes], schema: Mapping[str, Any]) -> dict[str, Any]:
    if path.endswith(".csv"):
        return resource(name, path, files, "csv", "text/csv", schema)
    return resource(name, path, files, "parquet", "application/vnd.apache.parquet", schema)


def _table_schema(indicators: Sequence[IndicatorText]) -> dict[str, Any]:
    required = {"required": True}
    fields: list[dict[str, Any]] = [
        {
            "name": "as_of",
            "type": "date",
            "title": "As of",
            "description": "Date of the figure.",
            "constraints": required,
        }
    ]
    fields += [
        {"name": name, "type": "string", "title": title, "description": text, "constraints": {"required": True}}
        for name, (title, text) in _GROUP_FIELDS.items()
    ]
    fields[1]["constraints"]["enum"] = [indicator.id for indicator in indicators]
    fields[1]["categories"] = [{"value": one.id, "label": one.title["en"]} for one in indicators]
    fields += [
        _closed(
            "measure",
            "Measure",
            "gap: has the care gap; closed: has not; eligible: both together.",
            "gap closed eligible",
        ),
        {
            "name": "value",
            "type": "integer",
            "title": "Count",
            "description": "Number of people, or of the units that the indicator counts; empty where suppressed.",
            "constraints": {"minimum": 0},
        },
        _closed("status", "Status", "Whether the count is published or subject to secrecy.", "published suppressed"),
    ]
    return {"fields": fields, "missingValues": [""], "primaryKey": ["as_of", *GROUP, "measure"]}


def _derived_schema() -> dict[str, Any]:
    texts = {
        "as_of": "Date of the figure.",
        **{name: text for name, (_, text) in _GROUP_FIELDS.items()},
        "kind": "What is told of the group: " + ", ".join(KINDS) + ".",
        "figure": "The figure as it is printed; empty where it is not given. certificate.json says how it follows.",
        "status": "published; suppressed, undefined or too_few where the figure is not given.",
        "since": "Of a change, the date that it is measured from; empty of other figures.",
    }
    fields = [{"name": name, "type": "string", "description": text} for name, text in texts.items()]
    return {"fields": fields, "missingValues": [""], "primaryKey": ["as_of", *GROUP, "kind"]}


def _closed(name: str, title: str, text: str, terms: str) -> dict[str, Any]:
    constraints = {"required": True, "enum": terms.split()}
    return {"name": name, "type": "string", "title": title, "description": text, "constraints": constraints}


def _areas_schema() -> dict[str, Any]:
    fields = [{"name": name, "type": kind, "description": text} for name, (kind, text) in _AREA_FIELDS.items()]
    return {"fields": fields, "missingValues": [""], "primaryKey": ["code"]}
