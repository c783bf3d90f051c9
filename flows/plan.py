"""A dry run of a load: what would be read, how much, and under which policy. Nothing is written, not even a folder."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from flows.outcome import as_text, table
from flows.settings import Layout
from flows.sources import SourceOptions, described, kind_of, open_source
from flows.storage import has_snapshot, read_snapshot
from schemas.indicators import load_indicators
from schemas.policy import load_policy
from schemas.resolution import check_resolutions
from transforms.analysis.selects import select_text
from transforms.sources.files import rows_about

FOLDERS = ("feed", "synthea", "omop", "fhir")
HEAD = ("table or file", "files", "bytes", "rows, about")


@dataclass(frozen=True)
class Plan:
    """Facts of a load that was not made, and what it would read: one row per table or kind of file."""

    facts: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, int, int, int | None], ...]

    def as_text(self) -> str:
        """For a terminal."""
        parts = ["Nothing was read into the lake. A load would be:", as_text(("", ""), self.facts)]
        return "\n".join([*parts, *([as_text(HEAD, self.files)] if self.files else [])])

    def as_parts(self) -> list[str]:
        """For the server's pages."""
        return [table(("", ""), self.facts), *([table(HEAD, self.files)] if self.files else [])]


def plan(layout: Layout, address: str, as_of: date, options: SourceOptions) -> Plan:
    """What a load would read. Raises what the load would raise before it reads a row."""
    policy, kind, day = load_policy().in_force(datetime.now(UTC).date(), crossing=True), kind_of(address), as_of
    check_resolutions(policy, kind, load_indicators().values(), select_text)
    terms, source = policy.source(kind), open_source(address, day, options)
    generated = source.generated or terms.generated
    rows = source.rows_expected()
    approvals = {} if generated else terms.approvals
    signatures = ", ".join(f"{count} signature of a {role}" for role, count in approvals.items())
    before = read_snapshot(layout) if has_snapshot(layout) else None
    facts = {
        "as of": day.isoformat(),
        "source": f"{described(address)} in {terms.region}" + (", generated" if generated else ""),
        "persons known by": {"hetu": "identity codes", "opaque": "keys of the source"}[source.identifier],
        "kind of load": "what changed, merged into the lake" if options.increment else "everything; replaces the lake",
        "rows, about": "only reading tells" if rows is None else f"{rows:,}",
        "policy": policy.version,
        "may cross": f"{sum(len(columns) for columns in policy.inventory.values())} columns of "
        f"{len(policy.inventory)} tables, under {policy.assessment}",
        "a release needs": signatures or "no signature: nobody's data",
        "keyring": "there" if layout.keyring.exists() else "made by the load" if generated else "MISSING: keys create",
        "lake now": f"load {before.load}, as of {before.as_of}, {sum(before.rows.values()):,} rows"
        if before
        else "empty",
    }
    folder = Path(address.partition(":")[2]) if kind in FOLDERS else None
    return Plan(tuple(facts.items()), tuple(_files(folder)) if folder else ())


def _files(folder: Path) -> list[tuple[str, int, int, int | None]]:
    """One row per table of a folder: files, bytes, and rows where they can be told without reading them all."""
    tables: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_"))):
        within = path.relative_to(folder)
        if within.parts[0] != "truth" and path.suffix != ".toml":
            tables.setdefault(within.parts[0].partition(".")[0], []).append(path)
    return [
        (name, len(paths), sum(path.stat().st_size for path in paths), _rows(paths)) for name, paths in tables.items()
    ]


def _rows(paths: list[Path]) -> int | None:
    return rows_about(paths) if all(path.suffix in (".csv", ".parquet") for path in paths) else None
