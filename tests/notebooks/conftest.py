"""The whole run that the flows' tests make once a session."""

from tests.flows.conftest import data, feed, finished

__all__ = ["data", "feed", "finished"]
