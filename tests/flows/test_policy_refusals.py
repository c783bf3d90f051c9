"""What the steward's file does not allow stops a run before anything is read or written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas import policy
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.test_refusals import write_feed

Edit = Callable[..., None]
EXCEPTION = """
[[residency.exception]]
place = "storage.release"
region = "US"
decision = "D-1"
reason = "a processor there, under standard clauses"
until = {until}
"""


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """The policy of this test, as the steward has edited it."""
    path = tmp_path / "policy.toml"
    path.write_text(policy.POLICY_FILE.read_text("utf-8"))
    monkeypatch.setattr(policy, "POLICY_FILE", path)

    def edit(old: str = "", new: str = "", added: str = "") -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1) + added)

    return edit


CASES: dict[str, tuple[str, str, str, int, str]] = {
    "a storage target outside the EEA": ('platform = "FI"', 'platform = "US"', "", 15, "storage.platform"),
    "a source outside the EEA": ('[source.feed]\nregion = "FI"', '[source.feed]\nregion = "GB"', "", 15, "source.feed"),
    "a channel outside the EEA": (
        "", "", '\n[channel.hook]\nkind = "webhook"\npurpose = "p"\nurl = "https://example.org/"\nregion = "US"\n',
        15, "region of channel.hook is outside",
    ),
    "an exception that has ended": (
        'release = "FI"', 'release = "US"', EXCEPTION.format(until="2026-01-31"), 15, "has ended"
    ),
    "an assessment that has run out": (
        "valid_until = 2030-12-31", "valid_until = 2026-01-31", "", 12, "Renew the impact"
    ),
    "a table without approval": (
        'vaccination = ["code_system", "code", "event_date", "status"]\n', "", "", 12, "impact assessment"
    ),
    "births coarser than an indicator needs": (
        'birth_date = "month"', 'birth_date = "year"', "", 15, "child_health_check_missed"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_load_that_policy_does_not_allow_stops(
    case: str, edited: Edit, data: Path, tmp_path: Path, caregap: Caregap
) -> None:
    old, new, added, code, words = CASES[case]
    edited(old, new, added)
    before = (data / "platform" / "lake" / "snapshot.json").read_bytes()
    done = caregap("ingest", "--source", f"feed:{write_feed(tmp_path / 'feed')}", "--as-of", AS_OF, data=data)
    assert (done.code, words in done.err) == (code, True), done.err
    assert (data / "platform" / "lake" / "snapshot.json").read_bytes() == before
    assert not list((data / "controller" / "staging").iterdir())


def test_an_exception_in_force_lets_a_load_through(edited: Edit, data: Path, tmp_path: Path, caregap: Caregap) -> None:
    edited('release = "FI"', 'release = "US"', EXCEPTION.format(until="9999-12-31"))
    done = caregap("ingest", "--source", f"feed:{write_feed(tmp_path / 'feed')}", "--as-of", AS_OF, data=data)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "command",
    [
        ["analyse", "--as-of", AS_OF],
        ["release", "--as-of", AS_OF],
        ["approve", f"{AS_OF}-1", "--as", "Data Steward", "--reason", "checked"],
        ["counts", "--indicator", "diabetes_hba1c_missing", "--as-of", AS_OF, "--reason", "planning"],
    ],
    ids=lambda command: command[0],
)
def test_no_zone_works_where_data_lie_outside_the_eea(
    command: list[str], edited: Edit, data: Path, caregap: Caregap
) -> None:
    edited('platform = "FI"', 'platform = "US"')
    done = caregap(*command, data=data)
    assert (done.code, done.out) == (15, ""), done.err
    assert "storage.platform" in done.err
    assert '"exit_code": 15' in (data / "audit" / "log.jsonl").read_text()


def test_persons_who_stand_out_stop_an_analysis_of_real_data_and_the_steward_sees_how_many(
    edited: Edit, data: Path, caregap: Caregap
) -> None:
    snapshot = data / "platform" / "lake" / "snapshot.json"
    snapshot.write_text(snapshot.read_text().replace('"generated": true', '"generated": false'))
    counts = data / "platform" / "counts" / AS_OF / "counts.parquet"
    before = counts.stat().st_mtime_ns
    edited("from_persons = 200_000", "from_persons = 1000")
    report = data / "platform" / "quality" / "singling_out.json"
    report.unlink()
    done = caregap("analyse", "--as-of", AS_OF, data=data)
    assert done.code == 15, done.err
    assert "singling_out.json" in done.err
    assert counts.stat().st_mtime_ns == before
    assert AS_OF in report.read_text()
    edited("limit = 0.5", "limit = 1.0")
    assert caregap("analyse", "--as-of", AS_OF, data=data).code == 0
