"""Named code sets, one TOML file each: a title, where the codes come from, and the codes by code system.

A new `name.toml` here is a new code list, and indicators use it by that name.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from schemas.codelists.check_digits import CHECKS
from schemas.errors import UsageRefused

LANGUAGES = ("fi", "sv", "en")

CODE_SYSTEMS: dict[str, str] = {
    "icd10": r"[A-Z]\d\d(\.[0-9A-Z]{1,3})?",
    "icpc2": r"[A-Z]\d\d",
    "atc": r"[A-Z](\d\d([A-Z]([A-Z](\d\d)?)?)?)?",
    "cvx": r"\d{2,3}",
    "loinc": r"\d{1,6}-\d",
    "kuntaliitto": r"\d{3,5}",
    "snomed": r"\d{6,18}",
    "rxnorm": r"\d{2,8}",
    "spat": r"SPAT\d{4}",
}
"""How a code of each system is written; a code that is written otherwise is a slip of the pen and matches nothing."""

TREE_SYSTEMS = ("icd10", "icpc2", "atc")
"""Systems where a code stands for itself and for everything below it; in the others for itself alone."""


@dataclass(frozen=True)
class CodeList:
    """A named set of codes; `codes` by code system, `title` by language."""

    name: str
    title: Mapping[str, str]
    source: str
    codes: Mapping[str, tuple[str, ...]]


def load_codelists(folder: Path | None = None) -> dict[str, CodeList]:
    """Read every code list of a folder, the project's own by default, by name in alphabetical order.

    Raises UsageRefused with the file, the place in it and the mend.
    """
    place = folder or files(__name__)
    texts = {item.name: item.read_text("utf-8") for item in place.iterdir() if item.name.endswith(".toml")}
    return {name.removesuffix(".toml"): parse_codelist(name, texts[name]) for name in sorted(texts)}


def parse_codelist(file: str, text: str) -> CodeList:
    """Read one code list; its name is the file's. Raises UsageRefused with the file, the place and the mend."""
    raw = parse_toml(file, text)
    if extra := sorted(set(raw) - {"title", "source", "codes"}):
        raise UsageRefused("the key is unknown", "Use title, source and codes", table=file, column=extra[0])
    source = raw.get("source")
    if not isinstance(source, str) or not source.strip():
        raise UsageRefused("the source of the codes is missing", "Say where they come from", table=file)
    return CodeList(
        name=file.removesuffix(".toml"),
        title=words_by_language(file, "title", raw.get("title")),
        source=source,
        codes=_codes(file, raw.get("codes")),
    )


def parse_toml(file: str, text: str) -> dict[str, Any]:
    """Read TOML that a person wrote; UsageRefused where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageRefused(f"it is not valid TOML: {error}", "Correct it", table=file) from None


def words_by_language(file: str, key: str, raw: Any) -> dict[str, str]:
    """Check that a text is there in every language; UsageRefused names the language that is missing."""
    if not isinstance(raw, dict) or set(raw) - set(LANGUAGES):
        raise UsageRefused("it must hold a text for fi, sv and en", "Write all three", table=file, column=key)
    for language in LANGUAGES:
        if not isinstance(raw.get(language), str) or not raw[language].strip():
            raise UsageRefused("the language is missing", "Write it", table=file, column=f"{key}.{language}")
    return {language: raw[language].strip() for language in LANGUAGES}


def _codes(file: str, raw: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, dict) or not raw:
        raise UsageRefused("there are no codes", "Add [codes] with a code system", table=file, column="codes")
    for system, codes in raw.items():
        place = f"codes.{system}"
        if system not in CODE_SYSTEMS:
            known = ", ".join(CODE_SYSTEMS)
            raise UsageRefused("the code system is unknown", f"Use one of {known}", table=file, column=place)
        if not isinstance(codes, list) or not codes:
            raise UsageRefused("the list of codes is empty", "Add codes or drop the line", table=file, column=place)
        for number, code in enumerate(codes, start=1):
            if not isinstance(code, str) or not re.fullmatch(CODE_SYSTEMS[system], code):
                rule = f"number {number} is not written as a code of {system}"
                raise UsageRefused(rule, "Correct it; codes are quoted texts", table=file, column=place)
            if system in CHECKS and not CHECKS[system](code):
                rule = f"number {number} has a check digit that is not its own"
                raise UsageRefused(rule, f"Compare it with {system}'s own table", table=file, column=place)
        if len(set(codes)) < len(codes):
            raise UsageRefused("a code stands twice", "Drop one", table=file, column=place)
    return {system: tuple(codes) for system, codes in raw.items()}
