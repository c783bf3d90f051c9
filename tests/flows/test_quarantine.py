"""Rejected rows: listed without content, shown to who has the key and a reason, deleted when their time is over."""

import csv
import json
import os
from datetime import date
from pathlib import Path

from flows.quarantine import forget_old
from flows.settings import Layout
from tests.flows.conftest import Caregap


def listed(data: Path, caregap: Caregap) -> list[dict[str, str]]:
    done = caregap("quarantine", data=data)
    assert done.code == 0, done.err
    return list(csv.DictReader(done.out.splitlines()))


def test_the_list_agrees_with_the_loads_report(data: Path, caregap: Caregap) -> None:
    report = json.loads((data / "platform" / "quality" / "load.json").read_text())
    found = {(row["table"], row["reason"]): int(row["rows"]) for row in listed(data, caregap)}
    assert found == {(t, r): n for t, tally in report["tallies"].items() for r, n in tally["quarantined"].items()}


def test_rows_are_shown_with_their_reason_to_who_has_the_key_and_logged(data: Path, caregap: Caregap) -> None:
    load = listed(data, caregap)[0]["load"]
    assert caregap("quarantine", "--load", load, data=data).code == 2
    done = caregap("quarantine", "--load", load, "--table", "person", "--reason", "checking codes", data=data)
    assert done.code == 0, done.err
    shown = list(csv.DictReader(done.out.splitlines()))
    sealed = {row["reason"]: int(row["rows"]) for row in listed(data, caregap) if row["table"] == "person"}
    assert {reason: sum(row["reason"] == reason for row in shown) for reason in sealed} == {
        reason: 0 if reason == "merged with another row of the person" else count for reason, count in sealed.items()
    }
    log = [json.loads(line) for line in (data / "audit" / "log.jsonl").read_text().splitlines()]
    assert (log[-1]["action"], log[-1]["reason"]) == ("quarantine", "checking codes")
    assert caregap(
        "quarantine", "--load", load, "--reason", "x", data=data, CAREGAP_PASSPHRASE="another"
    ).code == 16  # fmt: skip


def test_rejected_rows_are_deleted_when_their_time_is_over(data: Path) -> None:
    layout = Layout(data)
    (folder,) = layout.quarantine.iterdir()
    os.utime(folder, (1_000_000_000, 1_000_000_000))  # 9 September 2001
    assert forget_old(layout, date(2001, 12, 8), keep_days=90) == 0
    assert forget_old(layout, date(2001, 12, 9), keep_days=90) == 1
    assert not list(layout.quarantine.iterdir())
