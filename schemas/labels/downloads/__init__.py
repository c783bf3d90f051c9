"""Words of the downloadable files in Finnish, Swedish and English; the three files have the same keys."""

import tomllib
from importlib.resources import files


def load_download_labels(language: str) -> dict[str, str]:
    """Words by key in one of schemas.labels.LANGUAGES; a word in {braces} is filled in where it is used."""
    text = files(__name__).joinpath(f"{language}.toml").read_text("utf-8")
    labels: dict[str, str] = tomllib.loads(text)
    return labels
