"""Notebooks for analysts: explore figures, draft an indicator, read a release. They hold no output and no key."""
