"""What a key custodian does with the keyring: create, list, verify, rotate, destroy. Controller zone.

A rotation is: the next epoch's root into the keyring, the lake re-keyed and checked in staging, committed table by
table, the snapshot, earlier versions and what increments built on deleted, and last the keyring switched. Until the
snapshot is written the lake is the old one; whatever a killed rotation left undone, the next one does.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from deltalake import DeltaTable

from flows import audit
from flows.increment import forget_rekeyed
from flows.passphrase import passphrase
from flows.progress import progress
from flows.settings import Layout
from flows.storage import Snapshot, commit, exclusive, has_snapshot, lake_files, read_snapshot, write_snapshot
from schemas.errors import KeyUnavailable, SourceRefused, UsageRefused
from schemas.policy import load_policy
from schemas.tables import TABLES
from transforms.controller import keys
from transforms.controller.boundary import check_boundary
from transforms.controller.keys import Keyring
from transforms.controller.rekey import Rotation, rekey_lake
from transforms.controller.token import Place

ENDED = (
    "every way back from this epoch's pseudonyms, every link from them to another epoch's, "
    "and the quarantine sealed in this epoch"
)
"""What the destruction of an epoch's key ends."""


def create(layout: Layout, module: Path | None, label: str | None) -> list[str]:
    """Make a keyring, in a token where one is named. KeyUnavailable: there is one already, or nothing to seal it by.

    Raises UsageRefused where only one of module and label is given.
    """
    if (module is None) != (label is None):
        raise UsageRefused("a token needs its module and its label", "Give --token-module and --token-label")
    place = None if module is None or label is None else Place(str(module), label)
    keyring = keys.new_keyring()
    keys.save(keyring, layout.keyring, passphrase(layout, new=True, pin=place is not None), place=place)
    audit.record(layout.audit, "keys create", epoch=keyring.current, sealed_by="token" if place else "passphrase")
    means = "token and its PIN" if place else "passphrase"
    return [
        f"Created a keyring with epoch {keyring.current}. Keep its {means} apart from it; nothing opens it without."
    ]


def list_epochs(layout: Layout) -> list[str]:
    """Name the epochs; never a key."""
    keyring, _ = _open(layout)
    notes = {keyring.current: "  (in use)", keyring.pending: "  (a rotation to it has not finished)"}
    return [f"{epoch}{notes.get(epoch, '')}" for epoch in sorted(keyring.roots, key=lambda name: (len(name), name))]


def verify(layout: Layout) -> list[str]:
    """Open the keyring and say that it opened. Raises KeyUnavailable where the lake's epoch is not in it."""
    keyring, _ = _open(layout)
    snapshot = _snapshot(layout, keyring)
    audit.record(layout.audit, "keys verify", epochs=len(keyring.roots))
    lines = [f"The keyring opens: {len(keyring.roots)} epochs, {keyring.current} in use"]
    return lines + ([f"The lake is in epoch {snapshot.epoch}"] if snapshot else [])


def rotate(layout: Layout, domain: str, reason: str) -> list[str]:
    """Bring the next epoch into use and the lake under it; go on where a killed rotation stopped.

    Raises KeyUnavailable or BoundaryRefused; the lake and the epoch in use are as they were then.
    """
    _give(reason)
    load_policy().in_force(datetime.now(UTC).date(), crossing=True)
    with exclusive(layout):
        opened, secret = _open(layout)
        snapshot = _snapshot(layout, opened)
        keyring = opened.with_pending()
        old, new = keyring.current, keyring.pending
        if new is None:
            raise AssertionError
        rows = 0 if snapshot is None else snapshot.rows["person"]
        audit.record(layout.audit, "keys rotate", epoch=old, to=new, reason=reason, count=rows, outcome="begun")
        if opened.pending is None:
            keys.change(keyring, layout.keyring, secret)
        if snapshot is not None:
            if snapshot.epoch != new:
                snapshot = _rekey(layout, snapshot, Rotation(keyring, domain, snapshot.epoch, new, snapshot.identifier))
            _delete_earlier(layout, snapshot)
            shutil.rmtree(layout.evidence, ignore_errors=True)  # its person numbers are those of the old epoch
            forget_rekeyed(layout)
        keys.change(replace(keyring, current=new), layout.keyring, secret)
        audit.record(layout.audit, "keys rotate", epoch=old, to=new, reason=reason, count=rows, outcome="done")
    return [
        f"Epoch {new} is in use; {rows:,} persons re-keyed, earlier versions of the lake deleted",
        f"Epoch {old} still opens its quarantine and links its pseudonyms: caregap keys destroy --epoch {old}",
    ]


def destroy(layout: Layout, epoch: str, reason: str) -> list[str]:
    """Remove an earlier epoch's root key from the keyring.

    Raises KeyUnavailable where there is no such epoch, it is in use, or the lake is still in it.
    """
    _give(reason)
    with exclusive(layout):
        keyring, secret = _open(layout)
        snapshot = _snapshot(layout, keyring)
        left = keyring.without(epoch)
        if snapshot and snapshot.epoch == epoch:
            raise KeyUnavailable("the lake is still in this epoch", "Rotate first: caregap keys rotate --reason TEXT")
        audit.record(layout.audit, "keys destroy", epoch=epoch, reason=reason, outcome="begun")
        keys.change(left, layout.keyring, secret)
        audit.record(layout.audit, "keys destroy", epoch=epoch, reason=reason, outcome="done", ended=ENDED)
    lines = [f"Destroyed the key of epoch {epoch}. This ended {ENDED}."]
    if not keys.is_in_token(layout.keyring):
        lines.append("An older copy of the keyring file still holds the key: destroy every backup of it too.")
    return lines


def _open(layout: Layout) -> tuple[Keyring, str]:
    secret = passphrase(layout)
    return keys.load(layout.keyring, secret), secret


def _give(reason: str) -> None:
    if not reason.strip():
        raise UsageRefused("a reason is needed to change keys", "Give --reason TEXT")


def _snapshot(layout: Layout, keyring: Keyring) -> Snapshot | None:
    """The lake's snapshot, where there is one; KeyUnavailable where its epoch's key does not exist."""
    if not has_snapshot(layout):
        return None
    snapshot = read_snapshot(layout)
    if not snapshot.epoch:
        raise SourceRefused("the lake does not say which epoch it is in", "Load the source again: caregap ingest")
    if snapshot.epoch not in keyring.roots:
        raise KeyUnavailable("the lake is in an epoch that this keyring does not have", "Restore the lake's keyring")
    return snapshot


def _rekey(layout: Layout, snapshot: Snapshot, rotation: Rotation) -> Snapshot:
    """Re-key the lake beside it, check the files and make them the current snapshot, which is returned."""
    for leftover in layout.staging.iterdir():
        shutil.rmtree(leftover)
    staging = layout.staging / f"rotate-{rotation.new}"
    staging.mkdir(mode=0o700)
    try:
        files = _person_tables(layout, snapshot)
        staged: dict[str, Sequence[Path]] = {}
        with progress("Re-keying", len(files), "tables") as advance:
            for name, paths in rekey_lake(files, rotation, staging):
                staged[name] = paths
                advance(1)
        # The geography stays as it is; it is there for its codes, under the name that the check knows it by.
        area = staging / "area.parquet"
        shutil.copyfile(_only(lake_files(layout, snapshot)["area"]), area)
        check_boundary({**staged, "area": [area]}, load_policy())
        now = int(datetime.now(UTC).timestamp() * 1000)
        load = f"{snapshot.load}-{rotation.new}"
        versions = {name: commit(layout, name, paths, load, now) for name, paths in staged.items()}
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    rekeyed = replace(snapshot, tables={**snapshot.tables, **versions}, epoch=rotation.new)
    write_snapshot(layout, rekeyed)
    return rekeyed


def _person_tables(layout: Layout, snapshot: Snapshot) -> dict[str, list[Path]]:
    """The files of every table that has persons in it, persons first."""
    files = {name: [Path(path) for path in paths] for name, paths in lake_files(layout, snapshot).items()}
    return {name: files[name] for name in TABLES if name in files}


def _only(paths: list[str]) -> str:
    (path,) = paths
    return path


def _delete_earlier(layout: Layout, snapshot: Snapshot) -> None:
    """Delete what the snapshot does not name, now: equal rows in two versions would link the epochs."""
    for name, version in snapshot.tables.items():
        table = DeltaTable(str(layout.lake / name))
        table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True, keep_versions=[version])
