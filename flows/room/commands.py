"""The commands of the release room; their words, and what each does."""

import argparse
from pathlib import Path

from flows.settings import Layout
from flows.words import Command, actions, port, say, write
from schemas.labels import LANGUAGES


def words(command: Command) -> None:
    """Add the release room's commands to the command line."""
    for name, what in (
        ("approve", "Sign a candidate as it is; it is published when policy is met."),
        ("reject", "Decide that a candidate is not to be published."),
        ("return", "Send a candidate back; another has to be built."),
    ):
        made = command(name, decide, what)
        made.add_argument("candidate", metavar="CANDIDATE")
        _signed(made)

    made = command("withdraw", withdraw, "Take a published release back; pages that say so stay at its address.")
    made.add_argument("release", metavar="RELEASE")
    _signed(made)

    made = command("candidate", candidate, "List candidates, or show one to whoever decides on it.")
    action = actions(made, "list | show CANDIDATE")
    listed = action("list", "every candidate, as CSV")
    shown = action("show", "what it is, what changed, what is hidden and why; pages in every language beside it")
    shown.add_argument("candidate", metavar="CANDIDATE")
    for each in (listed, shown):
        each.add_argument("--language", choices=LANGUAGES, default="en", help="of what is printed (en)")

    made = command("view", view, "Show a published release in a browser of this machine.")
    made.add_argument("release", nargs="?", default="latest", metavar="RELEASE", help="the latest, if none is named")
    made.add_argument(
        "--port", type=port, default=8000, metavar="N", help="port on loopback (8000); 0 takes a free one"
    )

    made = command("verify", verify, "Check a published release offline: its bytes, and who approved them.")
    made.add_argument("directory", type=Path, metavar="DIR")

    made = command("stewards", stewards, "Make a steward's signing key, and the lines for policy.toml.")
    action = actions(made, "create")
    created = action("create", "make a key; the private part stays with you")
    created.add_argument("--as", dest="steward", required=True, metavar="NAME")
    created.add_argument("--role", action="append", required=True, metavar="ROLE", help="data_steward; may be repeated")
    created.add_argument("--key", type=Path, metavar="FILE", help="where to (CAREGAP_SIGNING_KEY)")


def _signed(made: argparse.ArgumentParser) -> None:
    made.add_argument("--as", dest="steward", required=True, metavar="NAME", help="as the policy names you")
    made.add_argument("--reason", required=True, metavar="TEXT", help="why; signed, logged and published")
    made.add_argument("--key", type=Path, metavar="FILE", help="your signing key (CAREGAP_SIGNING_KEY)")


def decide(given: argparse.Namespace, layout: Layout) -> None:
    """Approve, reject or return a candidate."""
    layout.create()
    from flows.room.acts import decide

    say(decide(layout, given.candidate, given.name, given.steward, given.reason, given.key))


def withdraw(given: argparse.Namespace, layout: Layout) -> None:
    """Take a published release back."""
    layout.create()
    from flows.room.acts import take_back

    say(take_back(layout, given.release, given.steward, given.reason, given.key))


def candidate(given: argparse.Namespace, layout: Layout) -> None:
    """List candidates, or show one."""
    layout.create()
    from flows.room.review import list_candidates, show

    if given.action == "list":
        write(list_candidates(layout, given.language))
    else:
        say(show(layout, given.candidate, given.language))


def view(given: argparse.Namespace, layout: Layout) -> None:
    """Serve a published release to a browser of this machine, until it is stopped."""
    from flows.view import address_of, serve

    with serve(layout.published / given.release, given.port) as server:
        say(f"{address_of(server)} - Ctrl-C stops")
        server.serve_forever()


def verify(given: argparse.Namespace, layout: Layout) -> None:
    """Check a published release offline."""
    from flows.room.acts import verify

    say(verify(layout, given.directory))


def stewards(given: argparse.Namespace, layout: Layout) -> None:
    """Make a steward's signing key."""
    from flows.room.signing import create

    for line in create(given.steward, given.role, given.key):
        say(line)
