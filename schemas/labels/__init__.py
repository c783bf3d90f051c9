"""Words of the published pages in Finnish, Swedish and English; the three files have the same keys."""

import tomllib
from importlib.resources import files

LANGUAGES = ("fi", "sv", "en")
"""Languages of every page; Finnish is the first address of a release."""


def load_labels(language: str) -> dict[str, str]:
    """Words by key in one of LANGUAGES; a word in {braces} is filled in where it is used."""
    text = files(__name__).joinpath(f"{language}.toml").read_text("utf-8")
    labels: dict[str, str] = tomllib.loads(text)
    return labels


def load_section(language: str, section: str) -> dict[str, str]:
    """Words of something other than the published pages, from the folder of that name: "quality" or "notices"."""
    text = files(__name__).joinpath(section, f"{language}.toml").read_text("utf-8")
    labels: dict[str, str] = tomllib.loads(text)
    return labels
