"""Notices reach their channels once, say fixed words only, and never stop or hold a run; against real servers."""

import email.policy
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest

from flows import audit, channels, notices
from flows.letters import FLOWS, KINDS, Notice, write
from flows.notices import announce, listed, send_waiting, told
from flows.settings import Layout
from schemas import policy
from schemas.channels import EVENTS
from schemas.errors import QualityGateFailed
from schemas.labels import LANGUAGES, load_section
from tests.flows.conftest import AS_OF, Caregap
from tests.flows.servers import certificate, mail_server, server_context, web_server
from tests.flows.test_refusals import lose_the_persons, spoil_many_rows, write_feed

LOAD = "20261031-20261122T022142945252"
CANARY = "131052-999X Zyxwv"
WEBHOOK = '\n[channel.hook]\nkind = "webhook"\nregion = "FI"\npurpose = "tests"\nurl = "{}"\n'
MAIL = """
[channel.mail]
kind = "smtp"
region = "FI"
purpose = "tests"
host = "127.0.0.1"
port = {port}
security = "{security}"
from = "caregap@example.org"
to = ["one@example.org", "two@example.org"]
"""
Allow = Callable[..., Path]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Allow:
    """Make the policy of this test one with the channels given."""
    original = policy.POLICY_FILE.read_text("utf-8")

    def change(*sections: str) -> Path:
        path = tmp_path / "policy.toml"
        path.write_text(original + "".join(sections))
        monkeypatch.setattr(policy, "POLICY_FILE", path)
        return path

    return change


def states(layout: Layout) -> list[str]:
    return [line.rpartition(",")[2] for line in listed(layout).splitlines()[1:]]


def outcomes(layout: Layout) -> list[tuple[str, str]]:
    return [(entry["outcome"], entry.get("why", "")) for entry in audit.entries(layout.audit, "notice")]


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_mail_goes_over_starttls_with_a_login_in_three_languages_and_once(
    layout: Layout, allow: Allow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("CAREGAP_TEST_PASSWORD", "open sesame")
    login = f'username = "caregap"\npassword_env = "CAREGAP_TEST_PASSWORD"\nca_file = "{pem}"\n'
    with mail_server(
        tls_context=server_context(pem), require_starttls=True, login=("caregap", "open sesame")
    ) as server:
        allow(MAIL.format(port=server.port, security="starttls"), login)
        for _ in range(2):
            announce(layout, "quality_gate", "ingest", LOAD, 11)
    assert len(server.mails) == 1
    assert server.over_tls == [True]
    assert server.recipients == [["one@example.org", "two@example.org"]]
    mail = message_from_bytes(server.mails[0], policy=email.policy.default)
    assert mail["Subject"] == f"caregap: laadun tarkistus pysäytti latauksen ({LOAD})"
    assert mail["Message-ID"].strip() == f"<quality_gate-ingest-{LOAD}.mail@example.org>"
    for language in LANGUAGES:
        assert load_section(language, "notices")["quality_gate_where"].format(run=LOAD) in mail.get_content()
    assert states(layout) == ["sent"]
    assert outcomes(layout) == [("sent", "")]
    assert b"open sesame" not in everything(layout.data)


def test_a_mail_goes_over_tls_from_the_start(layout: Layout, allow: Allow, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with mail_server(ssl_context=server_context(pem)) as server:
        allow(MAIL.format(port=server.port, security="tls"), f'ca_file = "{pem}"\n')
        announce(layout, "published", "publish", "2026-10-31-1")
    assert server.over_tls == [True]
    assert states(layout) == ["sent"]


def test_nothing_is_sent_in_the_clear_or_to_a_server_that_cannot_prove_itself(
    layout: Layout, allow: Allow, tmp_path: Path
) -> None:
    pem = certificate(tmp_path)
    with mail_server() as plain, mail_server(tls_context=server_context(pem)) as unknown:
        other = MAIL.format(port=unknown.port, security="starttls").replace("channel.mail", "channel.other")
        allow(MAIL.format(port=plain.port, security="starttls"), other)
        announce(layout, "published", "publish", "2026-10-31-1")
    assert plain.mails == unknown.mails == []
    assert states(layout) == ["outbox", "outbox"]
    assert {why for _, why in outcomes(layout)} == {
        "the server offers no TLS or no login",
        "the server's certificate or TLS was not accepted",
    }


def test_what_a_server_that_is_down_did_not_get_is_sent_when_it_is_up(layout: Layout, allow: Allow) -> None:
    with mail_server() as server:
        port = server.port
    allow(MAIL.format(port=port, security="none"))
    announce(layout, "failed", "analyse", AS_OF, 10)
    assert states(layout) == ["outbox"]
    assert outcomes(layout) == [("waiting", "the server did not answer")]
    with mail_server(port=port) as server:
        assert send_waiting(layout).count(",sent") == 1
        send_waiting(layout)
    assert len(server.mails) == 1


def test_what_was_tried_for_a_week_is_given_up(layout: Layout, allow: Allow) -> None:
    with mail_server() as server:
        allow(MAIL.format(port=server.port, security="none"))
    announce(layout, "published", "publish", "2026-10-31-1")
    (path,) = (layout.notices / "outbox").iterdir()
    content = json.loads(path.read_text())
    content["notice"]["time"] = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    path.write_text(json.dumps(content))
    send_waiting(layout)
    assert states(layout) == ["given_up"]
    assert outcomes(layout)[-1][0] == "given up"


def test_a_server_that_is_slow_holds_no_run_and_no_other_channel(
    layout: Layout, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices.deliver, "__defaults__", (0.5,))
    released = threading.Event()
    with web_server(wait=released.wait) as slow, web_server() as quick:
        other = WEBHOOK.format(quick.address).replace("channel.hook", "channel.quick")
        allow(WEBHOOK.format(slow.address), other)
        announce(layout, "published", "publish", "2026-10-31-1")  # the slow one answers only after this has returned
        assert sorted(states(layout)) == ["outbox", "sent"]
        released.set()
        assert len(quick.requests) == 1


@pytest.mark.parametrize(
    ("refused", "state", "why"),
    [
        ({"two@example.org": "550 no such user"}, "sent", ""),
        (dict.fromkeys(("one@example.org", "two@example.org"), "550 no"), "given_up", "every recipient"),
        (dict.fromkeys(("one@example.org", "two@example.org"), "451 later"), "outbox", "every recipient"),
    ],
)
def test_recipients_that_are_refused(
    layout: Layout, allow: Allow, refused: dict[str, str], state: str, why: str
) -> None:
    with mail_server() as server:
        server.refused = refused
        allow(MAIL.format(port=server.port, security="none"))
        announce(layout, "published", "publish", "2026-10-31-1")
    assert states(layout) == [state]
    (entry,) = audit.entries(layout.audit, "notice")
    assert why in entry.get("why", "")
    assert entry.get("refused_recipients", 0) == (1 if state == "sent" else 0)
    assert "example.org" not in layout.audit.read_text()


def test_a_webhook_gets_the_event_the_run_the_time_and_fixed_words(
    layout: Layout, allow: Allow, tmp_path: Path
) -> None:
    secret, pem = tmp_path / "token", certificate(tmp_path)
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    with web_server(context=server_context(pem)) as server:
        allow(WEBHOOK.format(server.address + "/in?board=1"), f'token_file = "{secret}"\nca_file = "{pem}"\n')
        announce(layout, "failed", "release", "2026-10-31-1", 13)
    ((path, headers, body),) = server.requests
    content = json.loads(body)
    assert path == "/in?board=1"
    assert headers["Authorization"] == "Bearer open sesame"
    assert headers["Idempotency-Key"] == content["id"]
    assert set(content) == {"id", "event", "flow", "run", "time", "exit_code", "kind", "text"}
    assert (content["event"], content["run"], content["kind"]) == ("failed", "2026-10-31-1", "DisclosureRefused")
    assert set(content["text"]) == set(LANGUAGES)
    assert b"open sesame" not in everything(layout.data)


def test_a_redirect_to_another_host_is_not_followed(layout: Layout, allow: Allow) -> None:
    with web_server() as elsewhere, web_server(307, elsewhere.address) as server:
        allow(WEBHOOK.format(server.address))
        announce(layout, "published", "publish", "2026-10-31-1")
        assert len(server.requests) == 1
        assert elsewhere.requests == []
    assert outcomes(layout) == [("waiting", "the server sends elsewhere, which is not followed")]


def test_a_secret_that_others_can_read_or_that_is_not_there_sends_nothing(
    layout: Layout, allow: Allow, tmp_path: Path
) -> None:
    secret = tmp_path / "token"
    with web_server() as server:
        allow(WEBHOOK.format(server.address), f'token_file = "{secret}"\n')
        announce(layout, "published", "publish", "2026-10-31-1")
        secret.write_text("open sesame")
        secret.chmod(0o644)
        send_waiting(layout)
    assert server.requests == []
    assert [why for _, why in outcomes(layout)] == [
        "the secret is not there",
        "the file with the secret can be read by others",
    ]


def test_nothing_of_an_error_is_in_a_notice_and_the_error_goes_on(layout: Layout, allow: Allow) -> None:
    with web_server() as server, mail_server() as mail:
        allow(WEBHOOK.format(server.address), MAIL.format(port=mail.port, security="none"))
        for error in (
            ValueError(CANARY),
            QualityGateFailed(CANARY, CANARY, CANARY, CANARY, 131052),
            ExceptionGroup(CANARY, [KeyError(CANARY)]),
        ):
            with pytest.raises(type(error)) as caught, told(layout, "ingest", LOAD):
                raise error
            assert caught.value is error
    told_of = [json.loads(body) for _, _, body in server.requests]
    assert [(one["event"], one["exit_code"]) for one in told_of] == [("failed", 1), ("quality_gate", 11), ("failed", 1)]
    said = b"".join(body for _, _, body in server.requests) + b"".join(mail.mails) + everything(layout.data)
    assert len(mail.mails) == 3
    for word in CANARY.split():
        assert word.encode() not in said


@pytest.mark.parametrize(
    "part",
    [
        {"run": CANARY},
        {"run": "131052-999X"},
        {"run": f"{AS_OF}\n131052-999X"},
        {"event": CANARY},
        {"flow": CANARY},
        {"exit_code": 131052},
        {"time": datetime(2026, 11, 22)},  # noqa: DTZ001 - it is what must be refused
    ],
)
def test_what_is_no_id_of_ours_makes_no_notice(layout: Layout, allow: Allow, part: dict[str, object]) -> None:
    whole = {"event": "failed", "flow": "ingest", "run": LOAD, "time": datetime.now(UTC), "exit_code": 1}
    Notice(**whole)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a notice"):
        Notice(**(whole | part))  # type: ignore[arg-type]
    with web_server() as server:
        allow(WEBHOOK.format(server.address))
        if "time" not in part:
            given = whole | part
            announce(layout, given["event"], given["flow"], given["run"], given["exit_code"])  # type: ignore[arg-type]
    assert server.requests == []


def test_a_notice_holds_no_number_but_its_id_time_and_exit_code() -> None:
    when = datetime(2026, 1, 5, 22, 7, tzinfo=UTC)
    for event in EVENTS:
        for flow in FLOWS:
            for code in KINDS:
                letter = write(Notice(event, flow, "2026-10-31-1", when, code), LANGUAGES)
                text = f"{letter.subject} {letter.body} {' '.join(letter.texts.values())}"
                for known in ("2026-10-31-1", "6.1.2026", "2026-01-06", "00:07"):
                    text = text.replace(known, "")
                assert set(re.findall(r"\d+", text)) <= {str(code)}, text


def test_every_language_has_the_same_words_of_notices() -> None:
    finnish, *others = [load_section(language, "notices") for language in LANGUAGES]
    for other in others:
        assert list(other) == list(finnish)
        for key, text in finnish.items():
            if key != "time":
                assert sorted(re.findall(r"{\w+}", other[key])) == sorted(re.findall(r"{\w+}", text)), key


def test_a_channel_is_told_of_its_events_only(layout: Layout, allow: Allow) -> None:
    with web_server() as server:
        allow(WEBHOOK.format(server.address), 'events = ["published"]\nlanguages = ["sv"]\n')
        announce(layout, "failed", "ingest", LOAD, 10)
        announce(layout, "published", "publish", "2026-10-31-1")
    ((_, _, body),) = server.requests
    assert json.loads(body)["event"] == "published"
    assert list(json.loads(body)["text"]) == ["sv"]


EXCEPTION = """
[[residency.exception]]
place = "channel.hook"
region = "US"
decision = "D-1"
reason = "a board there, fixed words only"
until = {}
"""


def test_a_channel_outside_the_eea_is_used_while_its_exception_holds_and_not_after(
    layout: Layout, allow: Allow
) -> None:
    yesterday, today = datetime.now(UTC).date() - timedelta(days=1), datetime.now(UTC).date()
    with web_server() as server:
        outside = WEBHOOK.format(server.address).replace('"FI"', '"US"')
        allow(outside, EXCEPTION.format(today))
        announce(layout, "published", "publish", "2026-10-31-1")
        assert len(server.requests) == 1
        for change in ((outside,), (outside, EXCEPTION.format(yesterday))):
            allow(*change)
            announce(layout, "published", "publish", "2026-10-31-2")
        assert len(server.requests) == 1
    assert outcomes(layout)[-1] == ("waiting", "the policy does not let the channel be used")


@pytest.mark.slow
def test_a_run_tells_of_what_it_comes_to(data: Path, tmp_path: Path, allow: Allow, caregap: Caregap) -> None:
    spoilt, broken = write_feed(tmp_path / "spoilt"), write_feed(tmp_path / "broken")
    spoil_many_rows(spoilt)
    lose_the_persons(broken)
    with web_server() as server:
        allow(WEBHOOK.format(server.address))
        for feed, code in ((spoilt, 11), (broken, 10)):
            assert caregap("ingest", "--source", f"feed:{feed}", "--as-of", AS_OF, data=data).code == code
        snapshot = data / "platform" / "lake" / "snapshot.json"
        snapshot.rename(snapshot.with_suffix(".away"))
        assert caregap("analyse", "--as-of", AS_OF, data=data).code == 10
        assert caregap("release", "--as-of", AS_OF, "--publish-generated", data=data).code == 0
    told_of = [json.loads(body) for _, _, body in server.requests]
    assert [(one["event"], one["flow"], one["exit_code"]) for one in told_of] == [
        ("quality_gate", "ingest", 11),
        ("failed", "ingest", 10),
        ("failed", "analyse", 10),
        ("published", "publish", 0),
    ]
    assert told_of[-1]["run"] == f"{AS_OF}-2"
    assert states(Layout(data)) == ["sent"] * 4


@pytest.mark.slow
def test_a_candidate_of_real_persons_tells_that_it_waits(
    data: Path, allow: Allow, caregap: Caregap, stewards: dict[str, Path]
) -> None:
    counts = data / "platform" / "counts" / AS_OF / "counts.json"
    counts.write_text(json.dumps(json.loads(counts.read_text()) | {"generated": False}))
    with web_server() as server:
        allow(WEBHOOK.format(server.address))
        assert caregap("release", "--as-of", AS_OF, data=data).code == 0
    ((_, _, body),) = server.requests
    content = json.loads(body)
    assert (content["event"], content["run"]) == ("decision_waiting", f"{AS_OF}-2")


def test_an_outbox_that_cannot_be_written_stops_nothing(layout: Layout, allow: Allow) -> None:
    layout.notices.write_text("not a folder")
    with web_server() as server:
        allow(WEBHOOK.format(server.address))
        announce(layout, "published", "publish", "2026-10-31-1")
    assert server.requests == []


def test_servers_do_not_answer_for_longer_than_a_step() -> None:
    assert channels.STEP_SECONDS * 2 <= notices.MOST_SECONDS
