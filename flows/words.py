"""What words on the command line may be, and how a command is added to it."""

import argparse
import re
import sys
from collections.abc import Callable
from datetime import date
from typing import Protocol

from flows.settings import Layout

YEAR_AND_DATE, QUARTER = 13, 3
"""Month-ends that a run counts, so that the change over a year is there, and every how many of them it releases."""


class Command(Protocol):
    """Adds a command of a name: what runs it, and what it is for."""

    def __call__(
        self, name: str, function: Callable[[argparse.Namespace, Layout], None], what: str
    ) -> argparse.ArgumentParser:
        """The parser, for the command's own words."""
        ...


def common() -> argparse.ArgumentParser:
    """The words that every command takes."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument(
        "--data", metavar="DIR", default=argparse.SUPPRESS, help="where everything lives (CAREGAP_DATA, or data)"
    )
    return made


def actions(made: argparse.ArgumentParser, metavar: str) -> Callable[[str, str], argparse.ArgumentParser]:
    """Adds what a command does, by name and what it is for; the command's `action` is the one that was given."""
    parsers = made.add_subparsers(dest="action", required=True, metavar=metavar)
    return lambda name, what: parsers.add_parser(name, parents=[common()], help=what)


def day(text: str) -> date:
    """A date, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a date; write YYYY-MM-DD") from None


def candidate(text: str) -> str:
    """The id of a candidate, such as 2026-10-31-1."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}-\d{1,4}", text):
        raise argparse.ArgumentTypeError("not a candidate's id; caregap candidate list names them")
    return text


def plain_name(text: str) -> str:
    """A name that a database takes without quotes."""
    if not text.isidentifier() or not text.isascii():
        raise argparse.ArgumentTypeError("not a plain name")
    return text


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("not a whole number of at least 1")
    return int(text)


def fixed_port(text: str) -> int:
    """A port that others are told of beforehand."""
    if not port(text):
        raise argparse.ArgumentTypeError("not a port from 1 to 65535")
    return int(text)


def port(text: str) -> int:
    """A port; 0 is a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("not a port")
    return int(text)


def say(text: str) -> None:
    """A line for whoever gave the command."""
    write(f"{text}\n")


def write(text: str) -> None:
    """Text as it is, such as CSV."""
    sys.stdout.write(text)
    sys.stdout.flush()
