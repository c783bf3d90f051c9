"""The version of the code that a figure was computed with."""

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def code_version() -> str:
    """The package's version, and the commit where the code is a checkout ("+" where it was changed since)."""
    number = version("caregap")
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return number
    described = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{number}-{described.stdout.strip()}" if described.returncode == 0 else number
