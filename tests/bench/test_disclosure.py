"""Disclosure control measured beside a leading peer: GaussSuppression 1.2.3 for R, on the same table."""

import os
import sys
from dataclasses import dataclass

import polars as pl
import pytest

from transforms.release.protect import protect_counts
from transforms.release.published import rules_of
from transforms.release.spec import spec_from
from transforms.release.witnesses import verify_witnesses


@dataclass(frozen=True)
class Peer:
    """What the peer hides beside the unsafe cells, how much that is, and what an attacker recovers from it."""

    secondary: int
    value_sum: int
    recovered: int


CASES = {
    "gap by district, sex and five-year band": (False, ["broad", "age5"], Peer(3_239, 60_220, 29)),
    "gap, closed and eligible by district, sex and broad band": (True, ["broad"], Peer(2_702, 406_153, 28)),
}


@pytest.mark.bench
@pytest.mark.parametrize(("linked", "ages", "peer"), CASES.values(), ids=CASES.keys())
def test_less_is_hidden_than_by_a_leading_peer_and_nothing_is_recovered(
    linked: bool, ages: list[str], peer: Peer
) -> None:
    path = os.environ.get("CAREGAP_DISCLOSURE_COUNTS")
    if path is None:
        pytest.skip("the table to measure on is not part of the project: name it in CAREGAP_DISCLOSURE_COUNTS")
    raw = {
        "count": "gap",
        "by": ["indicator"],
        "dimension": [{"levels": ["major", "district"]}, {"levels": ["sex"]}, {"levels": ages}],
        "rules": {"threshold": 5},
    }
    spec = spec_from(raw | ({"eligible": "eligible"} if linked else {}))
    counts = pl.read_csv(path).group_by(spec.labels).agg(pl.col("gap", "eligible").sum())
    protected = protect_counts(counts, spec, processes=os.cpu_count() or 1)
    figures = protected.figures
    sys.stdout.write(
        f"\nalso suppressed {figures['secondary']:,} (peer {peer.secondary:,}), their sum "
        f"{figures['suppressed_value_sum']:,} ({peer.value_sum:,}), recovered {figures['exactly_recoverable']} "
        f"({peer.recovered}), {figures['seconds']} s\n"
    )
    assert figures["exactly_recoverable"] == figures["exactly_recoverable_safe"] == 0
    assert figures["secondary"] < peer.secondary
    assert figures["suppressed_value_sum"] < peer.value_sum
    rules = rules_of(protected.certificate)
    proof = verify_witnesses(protected.table, rules, protected.decisions, protected.witnesses)
    assert proof.unsafe == figures["primary"]
