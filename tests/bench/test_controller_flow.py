"""Rows a second of the controller's load, and what pseudonymising and the boundary take of it; no time is asserted."""

import sys
import time
from datetime import date
from pathlib import Path

import pytest

from flows.batches import add_all
from schemas.areas import load_areas
from schemas.policy import load_policy
from transforms.controller import load, people
from transforms.controller.boundary import check_boundary
from transforms.controller.canaries import Canaries
from transforms.controller.keys import new_keyring
from transforms.sources.synthetic import SyntheticSource

pytestmark = pytest.mark.bench
AS_OF = date(2026, 10, 31)


def test_rows_a_second_and_what_takes_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = {"pseudonymising": 0.0}
    real = load.pseudonymise

    def timed(*arguments: object, **named: object) -> object:
        began = time.process_time()
        found = real(*arguments, **named)
        spent["pseudonymising"] += time.process_time() - began
        return found

    for module in (load, people):
        monkeypatch.setattr(module, "pseudonymise", timed)
    for folder in ("staging", "quarantine"):
        (tmp_path / folder).mkdir()
    areas, policy, canaries = load_areas(), load_policy(), Canaries()
    terms = load.Terms(new_keyring(), "district-stats", "hetu", "month", areas, AS_OF, AS_OF)
    loader = load.Loader(terms, tmp_path / "staging", tmp_path / "quarantine")
    batches = list(SyntheticSource(70_000, 3, AS_OF, 1, areas).batches())
    began, wall = time.process_time(), time.perf_counter()
    add_all(loader, canaries, ((table, rows, False) for table, rows in batches), lambda rows: None)
    spent["reading"] = time.process_time() - began
    files = dict(loader.finish())
    spent["load"] = time.process_time() - began
    areas.write_parquet(tmp_path / "staging" / "area.parquet")
    check_boundary({**files, "area": [tmp_path / "staging" / "area.parquet"]}, policy, canaries)
    whole, wall = time.process_time() - began, time.perf_counter() - wall
    count = sum(tally.rows_in for tally in loader.tallies.values())
    sys.stdout.write(
        f"\ncontroller flow, {count:,} rows: {count / wall:,.0f} rows/s on two cores; of its CPU "
        f"pseudonymising {spent['pseudonymising'] / whole:.1%}, reading and staging {spent['reading'] / whole:.0%}, "
        f"leak scan {1 - spent['load'] / whole:.0%}; "
        f"without the leak scan {count / spent['load']:,.0f} rows per CPU second, with it {count / whole:,.0f}\n"
    )
    assert count > 2_000_000
