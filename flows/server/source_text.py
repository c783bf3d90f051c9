"""The server's source as one environment variable of the controller's processes, which never reaches another."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.sources import SourceOptions
from schemas.errors import UsageRefused


def source_to_text(address: str, options: SourceOptions) -> str:
    """A source and what shapes it; folders as the worker finds them from wherever it runs."""
    kind, colon, rest = address.partition(":")
    if kind in ("feed", "synthea", "omop", "fhir"):
        address = f"{kind}{colon}{Path(rest).resolve()}"
    given = {
        name: str(value.resolve()) if isinstance(value, Path) else value for name, value in asdict(options).items()
    }
    return json.dumps({"address": address, **given})


def source_from_text(text: str, *, increment: bool) -> tuple[str, SourceOptions]:
    """The address and the options. Raises UsageRefused where the server was given no source."""
    if not text:
        raise UsageRefused("the server was started without a source", "caregap serve --source SRC")
    given: dict[str, Any] = json.loads(text)
    address = str(given.pop("address"))
    paths = {name: Path(given[name]) if given[name] else None for name in ("areas", "area_map")}
    return address, SourceOptions(**{**given, **paths, "increment": increment})
