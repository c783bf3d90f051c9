"""Processes that end with the one that started them, however that ends: killed, it cannot end them itself."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

_PARENT = "CAREGAP_PARENT"
_PARENT_DEATH_SIGNAL = 1


def bound(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to end with this one; it has to call `end_with_parent`."""
    return {**environment, _PARENT: str(os.getpid())}


def end_with_parent(sent: signal.Signals) -> None:
    """Have Linux send a signal to this process when the one that started it ends; it may have ended already.

    Does nothing in a process that was not started with what `bound` gives.
    """
    parent = os.environ.pop(_PARENT, "")
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, sent)
        if os.getppid() != int(parent):
            os.kill(os.getpid(), sent)


def module(name: str, *words: str) -> list[str]:
    """The command that runs a module of ours with this Python."""
    return [sys.executable, "-m", name, *words]
