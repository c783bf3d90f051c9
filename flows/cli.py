"""The command line: its words, exit codes, and what is said when a command fails."""

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from flows import audit, commands
from flows.guard import Failure, ZoneFailed, guarded
from flows.process import end_with_parent
from flows.room import commands as room
from flows.server import commands as server
from flows.settings import Layout, set_up
from flows.words import QUARTER, YEAR_AND_DATE, actions, common, day, plain_name, positive
from schemas.errors import Refusal


def main() -> NoReturn:
    """Run the command that was given and leave with its exit code."""
    end_with_parent(signal.SIGKILL)  # a zone's process: what it had not finished is then as it was before
    code = run(sys.argv[1:])
    # DuckDB's binding writes pages of warnings when Python takes modules down that Prefect still holds: so the exit
    # handlers (Prefect delivers its last log lines there) run as ever, and taking down is left to the system.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code is 0 done, 2 usage, 10 to 16 a refusal, 1 a failure nobody foresaw."""
    try:
        given = _parser().parse_args(arguments)
    except SystemExit as usage:
        return int(usage.code or 0)
    layout = Layout(Path(getattr(given, "data", os.environ.get("CAREGAP_DATA", "data"))))
    set_up(layout)
    try:
        guarded(given.command)(given, layout)
    except Refusal as refusal:
        _say(f"caregap: {refusal}")
        audit.record_refusal(layout.audit, given.name, refusal)
        return refusal.exit_code
    except ZoneFailed as failed:
        return failed.exit_code
    except Failure as failure:
        _say(f"caregap: unexpected failure: {failure}. Nothing was published; please report it")
        return failure.exit_code
    except KeyboardInterrupt:
        _say("caregap: stopped; the last good state is unchanged")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="caregap",
        parents=[common()],
        description="Where people in need of care fall through the gaps, district by district.",
    )
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, function: Callable[[argparse.Namespace, Layout], None], what: str
    ) -> argparse.ArgumentParser:
        made = parsers.add_parser(name, parents=[common()], help=what, description=what)
        made.set_defaults(command=function, name=name)
        return made

    def generator(made: argparse.ArgumentParser) -> None:
        made.add_argument("--years", type=positive, default=3, metavar="Y", help="years of events to generate (3)")
        made.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the generator (1)")
        made.add_argument("--areas", type=Path, metavar="CSV", help="a geography in place of Helsinki's")

    def dated(made: argparse.ArgumentParser) -> None:
        made.add_argument("--as-of", type=day, required=True, metavar="DATE", help="the date asked for, YYYY-MM-DD")

    def source_words(made: argparse.ArgumentParser, *, required: bool) -> None:
        made.add_argument(
            "--source",
            required=required,
            metavar="SRC",
            help="synthetic:N, feed:DIR, synthea:DIR, omop:DIR, fhir:DIR or postgresql://USER@HOST/DB; it is only read",
        )
        made.add_argument("--area-map", type=Path, metavar="CSV", help="city,area_code: where the source's cities lie")
        generator(made)

    def source(made: argparse.ArgumentParser) -> None:
        source_words(made, required=True)
        dated(made)

    def dry(made: argparse.ArgumentParser) -> None:
        made.add_argument("--dry-run", action="store_true", help="only tell what would be read; write nothing")

    def months(made: argparse.ArgumentParser, default: int = 1) -> None:
        told = f"the date and the month-ends before it, N in all ({default})"
        made.add_argument("--months", type=positive, default=default, metavar="N", help=told)

    def every(made: argparse.ArgumentParser, default: int = 1) -> None:
        told = f"release only every Nth of them, back from the date ({default})"
        made.add_argument("--every", type=positive, default=default, metavar="N", help=told)

    made = command("synth", commands.synth, "Write a generated source feed, and the truth about it beside it.")
    made.add_argument("--persons", type=positive, required=True, metavar="N")
    made.add_argument("--out", type=Path, required=True, metavar="DIR")
    made.add_argument(
        "--deltas",
        type=positive,
        default=0,
        metavar="N",
        help="DIR/base of N days ago, and DIR/delta-DATE a day since",
    )
    made.add_argument("--clean", action="store_true", help="without faults")
    dated(made)
    generator(made)

    made = command("keys", commands.keys, "Create, list, rotate, verify or destroy keys. For the controller alone.")
    action = actions(made, "create | list | rotate | verify | destroy")
    created = action("create", "make a keyring, sealed by a passphrase or a token")
    created.add_argument("--token-module", type=Path, metavar="FILE", help="a PKCS#11 module; needs caregap[token]")
    created.add_argument("--token-label", metavar="LABEL", help="label of the token")
    action("list", "name the epochs")
    action("verify", "open the keyring")
    rotated = action("rotate", "bring a new epoch into use, and the lake under it")
    destroyed = action("destroy", "destroy the key of an earlier epoch for good")
    destroyed.add_argument("--epoch", required=True, metavar="E")
    for each in (rotated, destroyed):
        each.add_argument("--reason", required=True, metavar="TEXT", help="why; logged")

    made = command("ingest", commands.ingest, "Controller zone: read, check and pseudonymise a source into the lake.")
    source(made)
    made.add_argument(
        "--increment", action="store_true", help="a feed of what is new, corrected or withdrawn since the last load"
    )

    dry(made)

    made = command("sources", commands.sources, "Make and fill a PostgreSQL database that caregap can read.")
    action = actions(made, "ddl | load DIR ADDRESS")
    statements = action("ddl", "print the statements that make its tables")
    statements.add_argument("--schema", type=plain_name, default="caregap", metavar="NAME", help="schema (caregap)")
    statements.add_argument("--role", type=plain_name, default="caregap_reader", metavar="NAME", help="who may read")
    loaded = action("load", "add a feed's rows to its tables, all or none")
    loaded.add_argument("directory", type=Path, metavar="DIR", help="a feed")
    loaded.add_argument("address", metavar="ADDRESS", help="postgresql://OWNER@HOST/DB?schema=caregap")

    made = command("analyse", commands.analyse, "Analysis zone: count the care gaps from the lake.")
    dated(made)
    months(made)

    made = command(
        "release", commands.release, "Release zone: protect the counts, attack the result, build a candidate."
    )
    dated(made)
    months(made)
    every(made)
    made.add_argument(
        "--publish-generated", action="store_true", help="publish at once where policy allows it: generated data only"
    )

    room.words(command)

    made = command(
        "run", commands.run_all, "The whole way: ingest, analyse, release, and publish where policy allows it."
    )
    source(made)
    months(made, default=YEAR_AND_DATE)
    every(made, default=QUARTER)
    dry(made)

    server.words(command, source_words)

    made = command(
        "counts", commands.show_counts, "Print unprotected counts as CSV, for those allowed to; the access is logged."
    )
    made.add_argument("--indicator", required=True, metavar="ID")
    dated(made)
    made.add_argument("--reason", required=True, metavar="TEXT")
    made.add_argument("--area", metavar="A", help="one area code, unknown, or * for the city")

    made = command(
        "evidence", commands.evidence, "Write why each gap is open, for those allowed to; the access is logged."
    )
    made.add_argument("--indicator", required=True, metavar="ID")
    dated(made)
    made.add_argument("--reason", required=True, metavar="TEXT")
    made.add_argument(
        "--with-contact-bans",
        action="store_true",
        help="also who must not be contacted or has died: to check figures, never to contact anybody",
    )

    made = command(
        "coverage", commands.coverage, "Print how well the records cover the residents; the access is logged."
    )
    dated(made)
    made.add_argument("--reason", required=True, metavar="TEXT")
    made.add_argument("--indicator", metavar="ID", help="only the tables that it uses")
    made.add_argument("--area", metavar="A", help="one district's code, unknown, or * for the city")

    made = command("protect", commands.protect, "Disclosure control of any count table.")
    made.add_argument("--counts", type=Path, required=True, metavar="CSV")
    made.add_argument("--spec", type=Path, required=True, metavar="TOML")
    made.add_argument("--out", type=Path, required=True, metavar="DIR")
    made.add_argument(
        "--ledger", type=Path, metavar="DIR", help="what was published of these cells before, and now; confidential"
    )

    made = command("attack", commands.attack, "The attacker's view of protected tables, from their public files alone.")
    made.add_argument("directory", type=Path, nargs="+", metavar="DIR", help="several as one system: earliest first")
    made.add_argument(
        "--verify-witnesses", action="store_true", help="check the confidential proof beside it, without a solver"
    )

    made = command("indicators", commands.indicators, "List, check or explain the indicators.")
    action = actions(made, "list | check | explain ID")
    action("list", "every indicator with its title")
    action("check", "check every definition")
    explained = action("explain", "a definition in words, and its SQL")
    explained.add_argument("id", metavar="ID")
    explained.add_argument("--language", choices=("fi", "sv", "en"), default="en")

    made = command(
        "audit", commands.audit_log, "List who did what, or check that no entry was changed, removed or reordered."
    )
    action = actions(made, "list | verify")
    action("list", "every entry, as CSV")
    verified = action("verify", "check the chain of entries")
    verified.add_argument("--head", metavar="HASH", help="a head that was noted earlier; its entry must be there")

    made = command(
        "notices", commands.notices, "List notices, send those that wait, or try the channels of the policy."
    )
    action = actions(made, "list | send | test")
    for name, what in (
        ("list", "every notice, as CSV"),
        ("send", "try again what could not be sent"),
        ("test", "send a test to every channel"),
    ):
        action(name, what)

    made = command("quality", commands.quality, "What the checks of each load said; pages for data stewards.")
    action = actions(made, "list | show [LOAD] | build")
    action("list", "every load, as CSV")
    shown = action("show", "what did not pass and what to do, and where the page is")
    shown.add_argument("load", nargs="?", metavar="LOAD", help="the latest where it is left out")
    action("build", "make every page anew")

    made = command(
        "quarantine", commands.quarantine, "List rejected rows by reason, or show a load's. For the controller alone."
    )
    made.add_argument("--load", metavar="LOAD", help="show the rows of this load; needs the key")
    made.add_argument("--table", metavar="TABLE")
    made.add_argument("--reason", default="", metavar="TEXT", help="why the rows are looked at; logged")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
