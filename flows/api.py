"""A Prefect API of a command's own, where no server is at work: on loopback, and gone with the command."""

import atexit
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import nullcontext

from flows.guard import Failure
from flows.process import bound, module

START_SECONDS = 120
_ADDRESS, _LOGIN = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
_begun: list[subprocess.Popen[bytes]] = []


def begin() -> str:
    """Begin to start an API for this process and the zones that it starts, unless one is configured; its address.

    To be called before Prefect is imported, which is when it reads the address. Both take seconds, side by side.
    """
    if _ADDRESS in os.environ:
        return os.environ[_ADDRESS]
    if "prefect" in sys.modules:
        raise AssertionError("begin() must come before the first import of Prefect")
    login = f"caregap:{secrets.token_urlsafe(24)}"  # other accounts of the machine are to have no part in it
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        os.environ |= {_ADDRESS: address, _LOGIN: login, "PREFECT_SERVER_EPHEMERAL_ENABLED": "false"}
        process = subprocess.Popen(  # noqa: S603 - our own program
            module("flows.server.process", "api", str(listening.fileno())),
            env=bound({**os.environ, "PREFECT_SERVER_API_AUTH_STRING": login}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(listening.fileno(),),
            start_new_session=True,  # a Ctrl-C is the command's alone: its last log lines are still delivered
        )
    _begun.append(process)
    atexit.register(end)  # before Prefect registers what delivers those lines, and so called after it
    return address


def ready() -> None:
    """Wait until the API answers: the one that was begun, or a server's that may just be starting.

    Raises Failure where it does not.
    """
    until = time.monotonic() + START_SECONDS
    while not _answers(os.environ.get(_ADDRESS, "")):
        if any(process.poll() is not None for process in _begun) or time.monotonic() > until:
            raise Failure("Prefect's API does not answer; is the disk full, or data/prefect not writable?")
        time.sleep(0.1)


def end() -> None:
    """End the API that was begun, if one was."""
    while _begun:
        process = _begun.pop()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    """Whether an API answers, whatever it says; also where none is named, for Prefect then starts its own."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen  # only flows need it, and `caregap --help` is to be quick

    try:
        with urlopen(f"{address}/health", timeout=START_SECONDS) if address else nullcontext():  # noqa: S310 - as set
            return True
    except HTTPError as answer:
        answer.close()
        return True
    except (OSError, HTTPException):
        return False
