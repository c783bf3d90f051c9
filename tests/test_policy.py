"""The steward's file: what it must say, and what it lets happen on a day."""

import re
from datetime import date
from pathlib import Path

import pytest

from flows.settings import Layout
from schemas.errors import BoundaryRefused, PolicyRefused
from schemas.indicators import load_indicators
from schemas.policy import POLICY_FILE, Policy, load_policy
from schemas.residency import EEA, STORAGE
from schemas.resolution import check_resolutions
from schemas.tables import TABLES
from transforms.analysis.selects import select_text

TODAY = date(2026, 11, 21)
EXCEPTION = """
[[residency.exception]]
place = "{place}"
region = "{region}"
decision = "D-1"
reason = "a processor there, under standard clauses"
until = 2026-11-30
"""


@pytest.fixture
def changed(tmp_path: Path):  # type: ignore[no-untyped-def]
    """The project's policy with some text replaced, and some added."""

    def change(*pairs: tuple[str, str], added: str = "") -> Policy:
        text = POLICY_FILE.read_text("utf-8")
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / "policy.toml"
        path.write_text(text + added)
        return load_policy(path)

    return change


def test_the_policy_holds_and_covers_every_column_of_the_platform() -> None:
    policy = load_policy().in_force(TODAY, crossing=True)
    for name, table in TABLES.items():
        assert set(policy.inventory[name]) == set(table.platform_schema), name
    approvals = [approval for columns in policy.inventory.values() for approval in columns.values()]
    assert all(approval.purpose and approval.legal_basis and approval.assessment.reference for approval in approvals)


def test_the_eea_is_the_union_with_iceland_liechtenstein_and_norway() -> None:
    assert len(EEA) == 30
    assert {"FI", "SE", "DE", "HR", "IS", "LI", "NO"} <= EEA
    assert not EEA & {"GB", "CH", "US", "UK"}


def test_every_part_of_the_data_folder_has_a_region(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    assert {path.name for path in tmp_path.iterdir()} == set(STORAGE)
    assert {f"storage.{part}" for part in STORAGE} <= set(load_policy().residency.places)


PLACES = [
    *((f'{part} = "FI"', f"storage.{part}") for part in STORAGE),
    ('[source.feed]\nregion = "FI"', "source.feed"),
]


@pytest.mark.parametrize(("line", "place"), PLACES)
def test_a_place_outside_the_eea_is_refused_and_an_exception_holds_through_its_last_day(  # type: ignore[no-untyped-def]
    line: str, place: str, changed
) -> None:
    move = (line, line.replace("FI", "US"))
    with pytest.raises(PolicyRefused, match=f"the region of {place} is outside"):
        changed(move).in_force(TODAY)
    excepted = changed(move, added=EXCEPTION.format(place=place, region="US"))
    excepted.in_force(date(2026, 11, 30))
    with pytest.raises(PolicyRefused, match=f"{place} .* has ended"):
        excepted.in_force(date(2026, 12, 1))
    with pytest.raises(PolicyRefused, match="outside"):
        changed(move, added=EXCEPTION.format(place=place, region="CN")).in_force(TODAY)


def test_a_channel_has_a_region_too(changed) -> None:  # type: ignore[no-untyped-def]
    text = '\n[channel.mail]\nkind = "webhook"\npurpose = "tests"\nurl = "https://example.org/"\n'
    changed(added=f'{text}region = "SE"\n').in_force(TODAY)
    with pytest.raises(PolicyRefused, match=re.escape("region of channel.mail is outside")):
        changed(added=f'{text}region = "US"\n').in_force(TODAY)
    with pytest.raises(PolicyRefused, match=re.escape("region of channel.mail is missing")):
        changed(added=text)


@pytest.mark.parametrize("lost", ["decision", "reason", "until", "place"])
def test_an_exception_without_decision_reason_or_end_is_refused(lost: str, changed) -> None:  # type: ignore[no-untyped-def]
    text = EXCEPTION.format(place="storage.audit", region="US")
    with pytest.raises(PolicyRefused, match="exception"):
        changed(added=re.sub(rf"(?m)^{lost} = .*$", "", text))


def test_an_assessment_holds_through_its_last_day(changed) -> None:  # type: ignore[no-untyped-def]
    policy = changed(("valid_until = 2030-12-31", "valid_until = 2026-11-21"))
    policy.in_force(TODAY, crossing=True)
    policy.in_force(date(2026, 11, 22))
    with pytest.raises(BoundaryRefused, match="Renew the impact assessment"):
        policy.in_force(date(2026, 11, 22), crossing=True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('purpose = "rights"', 'purpose = "other"', "no purpose that is defined"),
        ('legal_basis = "data_subject"', 'legal_basis = "other"', "no legal_basis that is defined"),
        ('"kind", "event_date"', '"kind", "kind"', "twice"),
        ('"kind", "event_date"', "3", "lists no columns"),
        ("valid_until = 2030-12-31", 'valid_until = "some day"', "valid_until"),
        ('prefect = "FI"\n', "", "storage.prefect"),
        ('prefect = "FI"', 'prefect = "EU"', "outside"),
        ('prefect = "FI"', 'prefect = "Finland"', "no country code"),
        ('prefect = "FI"', 'prefect = "FI"\nbackup = "FI"', "no storage target backup"),
        ("limit = 0.5", "limit = 50", "singling_out.limit"),
        ("# contact_request", "residence", "cannot be made coarser"),
        ("# contact_request", "no_table", "cannot be made coarser"),
        ('event_date = "day"', 'event_date = "year"', "day, week, month"),
        ("{ data_steward = 1 }", "{}", "approvals"),
        ("{ data_steward = 1 }", "{ data_steward = 0 }", "approvals"),
        ("{ data_steward = 1 }", "1", "approvals"),
    ],
)
def test_a_slip_of_the_pen_is_named(old: str, new: str, words: str, changed) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PolicyRefused, match=words):
        changed((old, new)).in_force(TODAY)


NEEDED = [
    (('birth_date = "month"', 'birth_date = "quarter"'), "child_health_check_missed needs months of birth"),
    (('birth_date = "month"', 'birth_date = "year"'), "child_health_check_missed needs months of birth"),
    (('birth_date = "month"', 'birth_date = "band"'), "the age bands needs years of birth"),
    (('event_date = "day"', 'event_date = "month"'), "needs days"),
    (("# contact_request", "diagnosis"), "needs days, and generalise.event_dates.diagnosis"),
    (("# contact_request", "appointment"), "no_show_not_rebooked needs days"),
    (('# contact_request = "month"', 'measurement = "week"'), "needs days, and generalise.event_dates.measurement"),
]


@pytest.mark.parametrize(("change", "words"), NEEDED)
def test_dates_too_coarse_for_an_indicator_are_refused(change: tuple[str, str], words: str, changed) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PolicyRefused, match=words):
        check_resolutions(changed(change), "feed", load_indicators().values(), select_text)


def test_what_no_indicator_needs_may_be_coarser(changed) -> None:  # type: ignore[no-untyped-def]
    months = changed(("# contact_request", 'measurement = "month"\nvaccination = "month"\n# contact_request'))
    assert (months.event_dates["vaccination"], months.event_dates["measurement"]) == ("month", "month")
    check_resolutions(months, "feed", load_indicators().values(), select_text)
    years = changed(('birth_date = "month"', 'birth_date = "year"'))
    adults = [indicator for name, indicator in load_indicators().items() if not name.startswith(("mmr", "child"))]
    check_resolutions(years, "feed", adults, select_text)
