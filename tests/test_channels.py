"""A channel that the policy does not describe whole is refused before a run begins, with what is wrong."""

from pathlib import Path

import pytest

from schemas import policy
from schemas.errors import PolicyRefused
from tests.flows.test_notices import MAIL, WEBHOOK

SLIPS = [
    ('kind = "webhook"', 'kind = "pigeon"', "kind must be one of"),
    ('purpose = "tests"', "", "needs purpose"),
    ('region = "FI"', "", "channel.hook is missing"),
    ("{}", "ftp://example.org/", "must begin with https"),
    ("{}", "http://example.org/", "must begin with https"),
    ("{}", "https://someone:word@example.org/", "no user"),
    ("{}", "https:///path", "must be an address"),
    ("[channel.hook]", '[channel."Hook 1"]', "small letters"),
    ("[channel.hook]", "[[channel]]", "a section of its own"),
    ('purpose = "tests"', 'purpose = "tests"\ntoken = "x"', "must not hold a secret"),
    ('purpose = "tests"', 'purpose = "tests"\nevents = ["every"]', "events must be a list"),
    ('purpose = "tests"', 'purpose = "tests"\nlanguages = []', "languages must be a list"),
    ('purpose = "tests"', 'purpose = "tests"\ncolour = "red"', "knows no colour"),
    ('purpose = "tests"', 'purpose = "tests"\ntoken_env = "A"\ntoken_file = "b"', "one of token_env"),
]
MAIL_SLIPS = [
    ('security = "{security}"', 'security = "none"\nusername = "x"', "needs both username"),
    ('host = "127.0.0.1"', 'host = "mail.example.org"', "on this machine only"),
    ("{port}", "0", "port must be"),
    ('"two@example.org"', '"two"', "plain mail addresses"),
    ('to = ["one@example.org", "two@example.org"]', "", "needs to"),
    ('"caregap@example.org"', '"a@b.org\\nBcc: c@d.org"', "plain mail addresses"),
    ('security = "{security}"', 'password = "x"', "must not hold a secret"),
]


@pytest.mark.parametrize(("old", "new", "words"), SLIPS)
def test_a_slip_of_the_pen_in_a_webhook_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in WEBHOOK
    path = tmp_path / "policy.toml"
    path.write_text(
        policy.POLICY_FILE.read_text("utf-8") + WEBHOOK.replace(old, new).replace("{}", "https://example.org/")
    )
    with pytest.raises(PolicyRefused, match=words) as caught:
        policy.load_policy(path)
    assert caught.value.exit_code == 15


@pytest.mark.parametrize(("old", "new", "words"), MAIL_SLIPS)
def test_a_slip_of_the_pen_in_a_mail_channel_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in MAIL
    path = tmp_path / "policy.toml"
    path.write_text(
        policy.POLICY_FILE.read_text("utf-8")
        + MAIL.replace(old, new).replace("{port}", "587").replace("{security}", "none")
    )
    with pytest.raises(PolicyRefused, match=words):
        policy.load_policy(path)
