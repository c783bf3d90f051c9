"""Notices: an outbox that every run tries to empty, within seconds, and that never stops or holds a run.

A notice to a channel is a file named by both. It is written once, sent under a lock, and then moved to `sent`, where
it stays: what is there is not told again. A run that is killed between the two sends it again under the same id.
"""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

from flows import audit
from flows.channels import Unsent, send
from flows.letters import FLOWS, KINDS, TEST, Notice, from_json, to_json, write
from flows.settings import Layout
from flows.storage import replace_json
from schemas.channels import Channel
from schemas.errors import Refusal
from schemas.policy import Policy, load_policy

MOST_SECONDS = 10.0
"""How long a run waits for its notices; what is slower is tried again by the next run."""
KEEP = timedelta(days=7)
"""How long a notice is tried."""


@contextlib.contextmanager
def told(layout: Layout, flow: str, run: str) -> Iterator[None]:
    """Tell the channels where what is done in here fails; the error goes on as it was."""
    try:
        yield
    except Exception as error:
        code = error.exit_code if isinstance(error, Refusal) and error.exit_code in KINDS else 1
        announce(layout, "quality_gate" if code == 11 else "failed", flow, run, code)
        raise


def announce(layout: Layout, event: str, flow: str, run: str, exit_code: int = 0) -> None:
    """Tell the channels that want to know of an event, once; what cannot be sent now waits. Raises nothing."""
    with contextlib.suppress(Exception):  # a notice is no reason for a run to fail
        policy = load_policy()
        channels = [channel for channel in policy.channels if event == TEST or event in channel.events]
        notice = Notice(event, flow, run, datetime.now(UTC), exit_code)
        for channel in channels:
            _enter(layout, channel, notice)
        deliver(layout, policy)


def deliver(layout: Layout, policy: Policy, seconds: float = MOST_SECONDS) -> None:
    """Try to send what waits, each channel by itself, and return after `seconds` at the latest."""
    threads = [
        Thread(target=_empty, args=(layout, policy, channel), daemon=True)
        for channel in policy.channels
        if any(_waiting(layout, channel))
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def send_waiting(layout: Layout, *, test: bool = False) -> str:
    """Send what waits, or a test to every channel; returns what is sent and what waits, as `listed` does."""
    policy = load_policy().in_force(datetime.now(UTC).date())
    if test:
        announce(layout, TEST, FLOWS[-1], f"{datetime.now(UTC):%Y-%m-%d}")
    else:
        deliver(layout, policy)
    return listed(layout)


def listed(layout: Layout) -> str:
    """Notices as CSV, the latest last; `state` is outbox where it waits, sent or given_up."""
    rows = []
    for state in ("outbox", "sent", "given_up"):
        for path in (layout.notices / state).glob("*.json"):
            content = json.loads(path.read_text("utf-8"))
            notice = content["notice"]
            rows.append((notice["time"], notice["event"], notice["flow"], notice["run"], content["channel"], state))
    return "".join(
        ",".join(row) + "\n" for row in [("time", "event", "flow", "run", "channel", "state"), *sorted(rows)]
    )


def _enter(layout: Layout, channel: Channel, notice: Notice) -> None:
    """Put a notice into the outbox unless it has been there before."""
    name = f"{notice.id}.{channel.name}.json"
    for state in ("outbox", "sent", "given_up"):
        (layout.notices / state).mkdir(mode=0o700, parents=True, exist_ok=True)
        if (layout.notices / state / name).exists():
            return
    replace_json(layout.notices / "outbox" / name, {"channel": channel.name, "notice": to_json(notice)})


def _waiting(layout: Layout, channel: Channel) -> list[Path]:
    return sorted((layout.notices / "outbox").glob(f"*.{channel.name}.json"))


def _empty(layout: Layout, policy: Policy, channel: Channel) -> None:
    """Send what waits for a channel, the earliest first, until it does not take one. One at a time may do so."""
    with contextlib.suppress(Exception), (layout.notices / f".{channel.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in _waiting(layout, channel):
            if not _deliver(layout, policy, channel, path):
                break


def _deliver(layout: Layout, policy: Policy, channel: Channel, path: Path) -> bool:
    """Send one notice and move it; False where the channel is not worth another try now."""
    now, refused, why, is_final, notice = datetime.now(UTC), 0, "", False, None
    try:
        notice = from_json(json.loads(path.read_text("utf-8"))["notice"])
        if not policy.residency.allows(channel.place, now.date()):
            raise Unsent("the policy does not let the channel be used")
        refused = send(channel, write(notice, channel.languages))
    except Unsent as unsent:
        why, is_final = unsent.why, unsent.is_final
    except (ValueError, KeyError):
        why, is_final = "the notice is not whole", True
    is_final = is_final or (notice is not None and now - notice.time > KEEP)
    outcome = "sent" if not why else "given_up" if is_final else "outbox"
    if outcome != "outbox":
        path.replace(layout.notices / outcome / path.name)
    details = {"why": why} if why else {"refused_recipients": refused} if refused else {}
    audit.record(
        layout.audit,
        "notice",
        notice=path.name.partition(".")[0],
        channel=channel.name,
        outcome="waiting" if outcome == "outbox" else outcome.replace("_", " "),
        **details,
    )
    return not why or is_final
