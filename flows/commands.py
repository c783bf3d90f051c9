"""What each command does. A command imports its own zone when it runs, so that no other zone's code is loaded."""

import argparse

from flows import api, audit
from flows.settings import Layout, take_secrets
from flows.words import say, write


def synth(given: argparse.Namespace, layout: Layout) -> None:
    """Write a generated feed."""
    from flows.synth import write_synthetic_feed

    rows = write_synthetic_feed(
        given.persons,
        given.years,
        given.as_of,
        given.seed,
        given.areas,
        given.out,
        deltas=given.deltas,
        dirt=not given.clean,
    )
    say(f"{given.out}: {rows:,} rows, and truth/ beside them")


def keys(given: argparse.Namespace, layout: Layout) -> None:
    """Create, list, rotate, verify or destroy keys."""
    take_secrets()
    layout.create()
    from flows import keys

    if given.action == "create":
        lines = keys.create(layout, given.token_module, given.token_label)
    elif given.action == "list":
        lines = keys.list_epochs(layout)
    elif given.action == "verify":
        lines = keys.verify(layout)
    elif given.action == "destroy":
        lines = keys.destroy(layout, given.epoch, given.reason)
    else:
        from flows.controller import DOMAIN

        lines = keys.rotate(layout, DOMAIN, given.reason)
    for line in lines:
        say(line)


def ingest(given: argparse.Namespace, layout: Layout) -> None:
    """Load a source into the lake, or tell what would be loaded."""
    take_secrets()
    from flows.sources import SourceOptions, without_password

    source = without_password(given.source)
    options = SourceOptions(given.areas, given.area_map, given.years, given.seed, increment=given.increment)
    if given.dry_run:
        from flows.plan import plan

        say(plan(layout, source, given.as_of, options).as_text())
        return
    layout.create()
    api.begin()
    from flows.controller import describe_load, run_ingest
    from flows.outcome import last_load, load_changes

    before = last_load(layout)
    report = run_ingest(layout, source, given.as_of, options)
    say("\n".join([describe_load(report), *load_changes(report, before)]))


def sources(given: argparse.Namespace, layout: Layout) -> None:
    """Print the tables of a database to read, or fill them."""
    take_secrets()
    from flows.sources import load_database, source_ddl

    if given.action == "ddl":
        say(source_ddl(given.schema, given.role))
    else:
        say(f"Loaded {load_database(given.directory, given.address):,} rows")


def analyse(given: argparse.Namespace, layout: Layout) -> None:
    """Count the care gaps."""
    take_secrets()
    layout.create()
    api.begin()
    from flows.analysis import run_analyse

    counts = run_analyse(layout, given.as_of, given.months)
    say(f"Counted: {counts:,} counts as of {given.as_of}, not yet protected: caregap counts shows them")


def release(given: argparse.Namespace, layout: Layout) -> None:
    """Build a candidate, and publish it where that is allowed at once."""
    take_secrets()
    layout.create()
    api.begin()
    from flows.release import run_release
    from flows.room.acts import publish_generated

    candidate, summary = run_release(layout, given.as_of, given.months, given.every)
    say(summary)
    if not given.publish_generated:
        say(f"Candidate: {candidate}\nNext: caregap candidate show {candidate.name}, then approve, reject or return it")
        return
    say(f"Published: {publish_generated(layout, candidate.name)}")


def run_all(given: argparse.Namespace, layout: Layout) -> None:
    """Go the whole way, or tell what would be read."""
    if given.dry_run:
        given.increment = False
        ingest(given, layout)
        return
    take_secrets()
    from flows.sources import without_password

    source = without_password(given.source)
    layout.create()
    api.begin()
    from flows.run import run_all

    data = ["--data", str(layout.data)]
    load = [*data, "ingest", "--source", source, "--as-of", str(given.as_of)]
    load += ["--years", str(given.years), "--seed", str(given.seed)]
    for flag, path in (("--areas", given.areas), ("--area-map", given.area_map)):
        load += [flag, str(path)] if path else []
    analyse = [*data, "analyse", "--as-of", str(given.as_of), "--months", str(given.months)]
    release = [*data, "release", "--as-of", str(given.as_of), "--months", str(given.months)]
    release += ["--every", str(given.every), "--publish-generated"]
    run_all(load, analyse, release)


def show_counts(given: argparse.Namespace, layout: Layout) -> None:
    """Print unprotected counts."""
    layout.create()
    from flows.unprotected import confidential_counts

    write(confidential_counts(layout, given.indicator, given.as_of, given.reason, given.area))


def evidence(given: argparse.Namespace, layout: Layout) -> None:
    """Write why each gap is open."""
    layout.create()
    from flows.evidence import write_evidence

    outreach = not given.with_contact_bans
    say(write_evidence(layout, given.indicator, given.as_of, given.reason, for_outreach=outreach))


def coverage(given: argparse.Namespace, layout: Layout) -> None:
    """Print how well the records cover the residents."""
    layout.create()
    from flows.evidence import confidential_coverage

    write(confidential_coverage(layout, given.as_of, given.reason, given.indicator, given.area))


def protect(given: argparse.Namespace, layout: Layout) -> None:
    """Protect a count table."""
    from flows.protection import protect_file

    say(protect_file(given.counts, given.spec, given.out, given.ledger))


def attack(given: argparse.Namespace, layout: Layout) -> None:
    """Attack protected tables, or check their witnesses."""
    from flows.protection import attack_release, describe_attack, must_hold, verify_witnesses

    if given.verify_witnesses:
        say(verify_witnesses(*given.directory))
        return
    verdict = attack_release(*given.directory)
    say(describe_attack(verdict))
    must_hold(verdict)


def indicators(given: argparse.Namespace, layout: Layout) -> None:
    """List, check or explain indicators."""
    from flows.indicators import check, explain, list_all

    if given.action == "list":
        write(list_all())
    elif given.action == "check":
        say(check())
    else:
        say(explain(given.id, given.language))


def audit_log(given: argparse.Namespace, layout: Layout) -> None:
    """List the audit log, or check its chain."""
    if given.action == "list":
        write(audit.listed(layout.audit))
        return
    count = audit.verify(layout.audit, given.head)
    say(f"The audit log is whole: {count:,} entries. Note its head elsewhere: {audit.head_of(layout.audit)}")


def quality(given: argparse.Namespace, layout: Layout) -> None:
    """List the loads, show what one's checks said, or make the pages anew."""
    layout.create()
    from flows.quality import build, listed, show

    if given.action == "list":
        write(listed(layout))
    else:
        say(show(layout, given.load) if given.action == "show" else str(build(layout)))


def notices(given: argparse.Namespace, layout: Layout) -> None:
    """List notices, or send them."""
    layout.create()
    from flows.notices import listed, send_waiting

    write(listed(layout) if given.action == "list" else send_waiting(layout, test=given.action == "test"))


def quarantine(given: argparse.Namespace, layout: Layout) -> None:
    """List rejected rows by reason, or show them."""
    layout.create()
    take_secrets()
    from flows.quarantine import list_loads, show

    write(show(layout, given.load, given.table, given.reason) if given.load else list_loads(layout))
