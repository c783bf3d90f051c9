"""Names of the files and folders that a candidate and a release are made of."""

MANIFEST = "manifest.json"
DECISIONS = "decisions.json"
"""What stewards decided, signed: beside the manifest of a candidate, and of the release that came of it."""
PUBLIC, CONFIDENTIAL = "public", "confidential"
LATEST = "latest"
"""Beside the published releases: the one that stands now."""
